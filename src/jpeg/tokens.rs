//! The blocks of one JPEG component as Huffman coding sees them: DC values, and the AC coefficients that are not zero
//! with the zeros in front of each.
//!
//! A block of a photograph holds about ten coefficients that are not zero, so this takes a third of the memory of whole
//! blocks, and writing them again looks at nothing else.

use super::huffman::{self, Histogram, ZIGZAG};

/// Coefficients in natural order, as libjpeg keeps them.
pub(super) type Block = [i16; 64];

/// Zigzag position of each coefficient in natural order.
const POSITION: [u8; 64] = {
    let mut positions = [0; 64];
    let mut k = 0;
    while k < 64 {
        positions[ZIGZAG[k] as usize] = k as u8;
        k += 1;
    }
    positions
};

/// Up to 15 zeros in zigzag order and the AC coefficient behind them: 4 bits and 12. The coefficient is zero where
/// more zeros follow, as in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token(u16);

impl Token {
    /// Sixteen zeros.
    const RUN: Token = Token::new(15, 0);

    /// Larger values than a baseline stream holds lose their upper bits.
    const fn new(zeros: u32, value: i16) -> Token {
        Token((zeros as u16) << 12 | value as u16 & 0xfff)
    }

    #[inline]
    pub(super) fn zeros(self) -> u32 {
        u32::from(self.0 >> 12)
    }

    #[inline]
    pub(super) fn value(self) -> i16 {
        (self.0 << 4) as i16 >> 4
    }
}

/// One row of blocks.
pub(super) struct TokenRow {
    dc: Box<[i16]>,
    /// Where the tokens of each block end.
    ends: Box<[u32]>,
    tokens: Box<[Token]>,
}

impl TokenRow {
    /// DC value and AC tokens of a block.
    pub(super) fn block(&self, x: usize) -> (i16, &[Token]) {
        let start = if x == 0 { 0 } else { self.ends[x - 1] };
        (self.dc[x], &self.tokens[start as usize..self.ends[x] as usize])
    }
}

/// What the Huffman tables of one class are made for.
pub(super) struct Statistics {
    pub(super) dc: Histogram,
    pub(super) ac: Histogram,
    least_dc: i32,
    most_dc: i32,
    ac_fits: bool,
}

impl Statistics {
    pub(super) fn new() -> Self {
        let (mut dc, mut ac) = (Histogram::new(), Histogram::new());
        // Tiles put any two blocks next to each other, so every category needs a code; likewise for flat blocks.
        (0..=huffman::MAX_DC_CATEGORY).for_each(|category| dc.count(category as u8));
        ac.count(huffman::EOB);
        Statistics { dc, ac, least_dc: 0, most_dc: 0, ac_fits: true }
    }

    /// Whether a baseline stream can hold the coefficients. The first block of a tile is predicted as 0, any other as
    /// the one before it.
    pub(super) fn fits(&self) -> bool {
        self.ac_fits && huffman::category(self.most_dc - self.least_dc) <= huffman::MAX_DC_CATEGORY
    }
}

/// Turns rows of blocks into tokens; kept for its buffers.
#[derive(Default)]
pub(super) struct Tokenizer {
    dc: Vec<i16>,
    ends: Vec<u32>,
    tokens: Vec<Token>,
}

impl Tokenizer {
    pub(super) fn row(&mut self, blocks: &[Block], statistics: &mut Statistics) -> TokenRow {
        self.dc.clear();
        self.ends.clear();
        self.tokens.clear();
        let mut prediction = blocks.first().map_or(0, |block| block[0].into());
        for block in blocks {
            let dc = i32::from(block[0]);
            statistics.least_dc = statistics.least_dc.min(dc);
            statistics.most_dc = statistics.most_dc.max(dc);
            statistics.dc.count(huffman::category(dc - prediction) as u8);
            prediction = dc;
            self.dc.push(block[0]);
            self.block(block, statistics);
            self.ends.push(self.tokens.len() as u32);
        }
        TokenRow { dc: (&self.dc[..]).into(), ends: (&self.ends[..]).into(), tokens: (&self.tokens[..]).into() }
    }

    fn block(&mut self, block: &Block, statistics: &mut Statistics) {
        let mut left = nonzero(block) & !1;
        let mut last = 0;
        while left != 0 {
            let k = left.trailing_zeros();
            left &= left - 1;
            let mut zeros = k - last - 1;
            while zeros >= 16 {
                statistics.ac.count(huffman::ZRL);
                self.tokens.push(Token::RUN);
                zeros -= 16;
            }
            let value = block[usize::from(ZIGZAG[k as usize])];
            let category = huffman::category(value.into());
            statistics.ac_fits &= category <= huffman::MAX_AC_CATEGORY;
            statistics.ac.count((zeros << 4) as u8 | category as u8);
            self.tokens.push(Token::new(zeros, value));
            last = k;
        }
        if last < 63 {
            statistics.ac.count(huffman::EOB);
        }
    }
}

/// For each row of a block and each set of its columns: the zigzag positions, as bits.
static ZIGZAG_OF_COLUMNS: [[u64; 256]; 8] = {
    let mut masks = [[0; 256]; 8];
    let mut place = 0;
    while place < 8 * 256 {
        let (row, columns) = (place / 256, place % 256);
        let mut column = 0;
        while column < 8 {
            if columns >> column & 1 == 1 {
                masks[row][columns] |= 1 << POSITION[8 * row + column];
            }
            column += 1;
        }
        place += 1;
    }
    masks
};

/// Bit k says that the coefficient at zigzag position k is not zero.
fn nonzero(block: &Block) -> u64 {
    let columns = nonzero_columns(block);
    let mut mask = 0;
    for (columns, masks) in columns.into_iter().zip(&ZIGZAG_OF_COLUMNS) {
        mask |= masks[usize::from(columns)];
    }
    mask
}

/// For each row of a block, the columns that are not zero, as bits.
#[cfg(target_arch = "x86_64")]
fn nonzero_columns(block: &Block) -> [u8; 8] {
    use std::arch::x86_64::{__m128i, _mm_cmpeq_epi16, _mm_movemask_epi8, _mm_packs_epi16, _mm_setzero_si128};
    let rows: [__m128i; 8] = bytemuck::cast(*block);
    let pair = |k: usize| {
        let (above, below) = (rows[2 * k], rows[2 * k + 1]);
        // SAFETY: SSE2 is part of every x86-64, and the intrinsics touch no memory.
        let zeros = unsafe {
            let zero = _mm_setzero_si128();
            _mm_movemask_epi8(_mm_packs_epi16(_mm_cmpeq_epi16(above, zero), _mm_cmpeq_epi16(below, zero)))
        };
        !zeros as u16
    };
    bytemuck::cast([0, 1, 2, 3].map(pair))
}

#[cfg(not(target_arch = "x86_64"))]
fn nonzero_columns(block: &Block) -> [u8; 8] {
    let rows = block.as_chunks::<8>().0;
    std::array::from_fn(|row| rows[row].iter().rev().fold(0, |columns, value| columns << 1 | u8::from(*value != 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks in natural order, from their tokens.
    fn expand(dc: i16, tokens: &[Token]) -> Block {
        let mut block = [0; 64];
        block[0] = dc;
        let mut k = 0;
        for token in tokens {
            k += token.zeros() as usize + 1;
            block[usize::from(ZIGZAG[k])] = token.value();
        }
        block
    }

    #[test]
    fn tokens_say_all_that_the_blocks_say() {
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 16
        };
        let mut blocks: Vec<Block> = vec![[0; 64], [1; 64], [-2048; 64], [2047; 64]];
        for density in 1..40 {
            blocks.push(std::array::from_fn(|_| if random() % 40 < density { random() as i16 >> 4 } else { 0 }));
        }
        let row = Tokenizer::default().row(&blocks, &mut Statistics::new());
        for (x, block) in blocks.iter().enumerate() {
            let (dc, tokens) = row.block(x);
            assert_eq!(expand(dc, tokens), *block, "block {x}");
        }
    }

    #[test]
    fn coefficients_that_baseline_cannot_hold_are_seen() {
        let fits = |blocks: &[Block]| {
            let mut statistics = Statistics::new();
            Tokenizer::default().row(blocks, &mut statistics);
            statistics.fits()
        };
        let with = |at: usize, value: i16| {
            let mut block = [0; 64];
            block[at] = value;
            block
        };
        assert!(fits(&[with(63, 1023), with(0, -1024), with(0, 1023)]));
        assert!(!fits(&[with(63, 1024)]));
        assert!(!fits(&[with(63, -1024)]));
        assert!(!fits(&[with(0, -1025), [0; 64], with(0, 1023)]));
    }
}
