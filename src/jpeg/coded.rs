//! The blocks of one JPEG component as a baseline stream holds them: DC values, and the AC coefficients of each block as
//! bits that can go into any other stream with the same Huffman table.

use super::huffman::{self, Histogram, Table};

/// Coefficients in zigzag order.
pub(super) type Block = [i16; 64];

/// Bytes behind the last bit, so that reading may go past it.
const BEHIND: usize = 8;

/// One row of blocks.
pub(super) struct CodedRow {
    dc: Box<[i16]>,
    /// Where the bits of each block end.
    ends: Box<[u32]>,
    bits: Box<[u8]>,
}

impl CodedRow {
    /// DC value and AC coefficients of a block.
    pub(super) fn block(&self, x: usize) -> (i16, Span<'_>) {
        let start = if x == 0 { 0 } else { self.ends[x - 1] };
        (self.dc[x], Span { bits: &self.bits, at: start as usize, end: self.ends[x] as usize })
    }

    /// The least and the largest DC value.
    pub(super) fn dc_range(&self) -> (i16, i16) {
        self.dc.iter().fold((i16::MAX, i16::MIN), |(least, most), dc| (least.min(*dc), most.max(*dc)))
    }
}

/// Bits within bytes, most significant first.
#[derive(Clone, Copy)]
pub(super) struct Span<'a> {
    bits: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Span<'a> {
    /// Bits `at` to `end` of `bits`, which goes on for [`BEHIND`] bytes.
    pub(super) fn new(bits: &'a [u8], at: usize, end: usize) -> Self {
        Span { bits, at, end }
    }

    /// The next bits, 32 where as many are left, and how many; none at the end.
    #[inline]
    pub(super) fn next(&mut self) -> Option<(u32, u32)> {
        let length = (self.end - self.at).min(32) as u32;
        if length == 0 {
            return None;
        }
        let bits = self.peek() >> (32 - length);
        self.at += length as usize;
        Some((bits, length))
    }

    /// The next 32 bits, with others behind the end.
    #[inline]
    pub(super) fn peek(&self) -> u32 {
        let bytes = self.bits[self.at / 8..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        (bytes << (self.at % 8) >> 32) as u32
    }

    pub(super) fn skip(&mut self, length: u32) {
        self.at += length as usize;
    }
}

/// A row of blocks in the making; kept for its buffers.
#[derive(Default)]
pub(super) struct RowBuilder {
    dc: Vec<i16>,
    ends: Vec<u32>,
    bits: Vec<u8>,
    /// The low `count` bits are not in `bits` yet; fewer than 32.
    window: u64,
    count: u32,
}

impl RowBuilder {
    /// Appends the low `length` bits of `value`, which has no others; at most 32.
    #[inline]
    fn put(&mut self, value: u32, length: u32) {
        self.window = self.window << length | u64::from(value);
        self.count += length;
        if self.count >= 32 {
            self.count -= 32;
            self.bits.extend_from_slice(&((self.window >> self.count) as u32).to_be_bytes());
        }
    }

    /// Appends a block as it is coded already.
    #[inline]
    pub(super) fn copy(&mut self, dc: i16, mut coded: Span<'_>) {
        while let Some((bits, length)) = coded.next() {
            self.put(bits, length);
        }
        self.end_block(dc);
    }

    pub(super) fn code(&mut self, block: Zigzag<'_>, table: &Table) {
        block.symbols(|symbol, value| {
            let (bits, length) = table.coded(symbol, value.into());
            self.put(bits, length);
        });
        self.end_block(block.dc);
    }

    fn end_block(&mut self, dc: i16) {
        self.dc.push(dc);
        self.ends.push((8 * self.bits.len()) as u32 + self.count);
    }

    /// The row so far; the next one starts.
    pub(super) fn finish(&mut self) -> CodedRow {
        self.put(0, 32 - self.count);
        self.bits.extend_from_slice(&[0; BEHIND]);
        let row = CodedRow { dc: (&self.dc[..]).into(), ends: (&self.ends[..]).into(), bits: (&self.bits[..]).into() };
        self.dc.clear();
        self.ends.clear();
        self.bits.clear();
        (self.window, self.count) = (0, 0);
        row
    }
}

/// A block in zigzag order.
#[derive(Clone, Copy)]
pub(super) struct Zigzag<'a> {
    pub(super) dc: i16,
    /// The first is not looked at.
    pub(super) ac: &'a Block,
    /// Bit k says that AC coefficient k is not zero.
    pub(super) nonzero: u64,
}

impl Zigzag<'_> {
    /// Counts the symbols of the AC coefficients.
    pub(super) fn count(self, histogram: &mut Histogram) {
        self.symbols(|symbol, _| histogram.count(symbol));
    }

    /// Calls `put` with the symbols of the AC coefficients, and their values (F.1.2.2).
    #[inline]
    fn symbols(self, mut put: impl FnMut(u8, i16)) {
        let mut left = self.nonzero;
        let mut last = 0;
        while left != 0 {
            let k = left.trailing_zeros();
            left &= left - 1;
            let mut zeros = k - last - 1;
            while zeros >= 16 {
                put(huffman::ZRL, 0);
                zeros -= 16;
            }
            let value = self.ac[k as usize];
            put((zeros << 4 | huffman::category(value.into())) as u8, value);
            last = k;
        }
        if last < 63 {
            put(huffman::EOB, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a string of ones and zeros.
    fn text(mut span: Span<'_>) -> String {
        let mut text = String::new();
        while let Some((bits, length)) = span.next() {
            text += &format!("{bits:0width$b}", width = length as usize);
        }
        text
    }

    #[test]
    fn bits_of_a_block_are_found_again_wherever_they_lie() {
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 16
        };
        let mut blocks: Vec<Block> = vec![[0; 64], [1; 64]];
        for density in 1..40 {
            blocks.push(std::array::from_fn(|_| if random() % 40 < density { random() as i16 >> 6 } else { 0 }));
        }
        fn zigzag(ac: &Block) -> Zigzag<'_> {
            Zigzag { dc: ac[0], ac, nonzero: (1..64).map(|k| u64::from(ac[k] != 0) << k).sum() }
        }
        let mut histogram = Histogram::default();
        blocks.iter().for_each(|block| zigzag(block).count(&mut histogram));
        let table = Table::optimal(&histogram);
        let alone = |block: &Block| {
            let mut builder = RowBuilder::default();
            builder.code(zigzag(block), &table);
            text(builder.finish().block(0).1)
        };
        let mut builder = RowBuilder::default();
        blocks.iter().for_each(|block| builder.code(zigzag(block), &table));
        let row = builder.finish();
        for (x, block) in blocks.iter().enumerate() {
            let (dc, span) = row.block(x);
            assert_eq!((dc, text(span)), (block[0], alone(block)), "block {x}");
            builder.copy(dc, span);
        }
        let copied = builder.finish();
        assert_eq!((copied.dc, copied.ends, copied.bits), (row.dc, row.ends, row.bits));
    }
}
