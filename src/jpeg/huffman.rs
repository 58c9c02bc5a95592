//! Baseline Huffman coding of quantised blocks (ITU-T T.81, annexes C, F and K).

use super::tokens::Token;

/// Position in a row-major block of each coefficient in zigzag order.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// End of block.
pub(super) const EOB: u8 = 0x00;
/// Run of sixteen zeros.
pub(super) const ZRL: u8 = 0xf0;
/// Largest category of an AC coefficient, and of a DC difference, in 8-bit baseline.
pub(super) const MAX_AC_CATEGORY: u32 = 10;
pub(super) const MAX_DC_CATEGORY: u32 = 11;

/// Bits needed for the magnitude of `value`.
pub(super) fn category(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}

/// How often each symbol occurs.
#[derive(Clone)]
pub(super) struct Histogram([u64; 256]);

impl Histogram {
    pub(super) fn new() -> Self {
        Histogram([0; 256])
    }

    pub(super) fn count(&mut self, symbol: u8) {
        self.0[usize::from(symbol)] += 1;
    }
}

/// One Huffman table: as written (`bits`, `values`) and as used (`codes`).
pub(super) struct Table {
    /// Number of codes of each length 1–16.
    pub(super) bits: [u8; 16],
    /// Symbols by increasing code.
    pub(super) values: Vec<u8>,
    /// Code and length per symbol; length 0 is no code.
    codes: [(u16, u8); 256],
}

impl Table {
    /// The best table for a histogram (annex K.2): codes of at most 16 bits, none of them all ones.
    pub(super) fn optimal(histogram: &Histogram) -> Table {
        let lengths = code_lengths(&histogram.0);
        let mut bits = [0u8; 16];
        let mut values = Vec::new();
        let mut codes = [(0, 0); 256];
        let mut code = 0u32;
        for length in 1..=16u8 {
            for symbol in (0..256).filter(|symbol| lengths[*symbol] == length) {
                bits[usize::from(length) - 1] += 1;
                values.push(symbol as u8);
                codes[symbol] = (code as u16, length);
                code += 1;
            }
            code <<= 1;
        }
        Table { bits, values, codes }
    }

    fn code(&self, symbol: u8) -> (u32, u32) {
        let (code, length) = self.codes[usize::from(symbol)];
        (code.into(), length.into())
    }
}

/// Code length per symbol, 0 for symbols that do not occur.
fn code_lengths(counts: &[u64; 256]) -> [u8; 256] {
    // Symbol 256 stands for the all-ones code, which must stay free. It is the rarest, so it gets a longest code.
    let mut weight: Vec<u64> = counts.iter().copied().chain([1]).collect();
    let mut size = [0usize; 257];
    // Next symbol in the same branch.
    let mut next = [None::<usize>; 257];
    loop {
        // The two rarest; among equals the largest symbol first, as annex K.2 says.
        let rarest = |weight: &[u64], except: Option<usize>| {
            (0..257).filter(|i| weight[*i] > 0 && Some(*i) != except).min_by_key(|i| (weight[*i], usize::MAX - i))
        };
        let Some(first) = rarest(&weight, None) else { break };
        let Some(second) = rarest(&weight, Some(first)) else { break };
        weight[second] += weight[first];
        weight[first] = 0;
        let mut at = second;
        size[at] += 1;
        while let Some(following) = next[at] {
            at = following;
            size[at] += 1;
        }
        next[at] = Some(first);
        let mut at = first;
        size[at] += 1;
        while let Some(following) = next[at] {
            at = following;
            size[at] += 1;
        }
    }

    // Figure K.3: shorten codes of more than 16 bits in pairs, each time lengthening a shorter one.
    let mut lengths_wanted = [0usize; 258];
    for length in size.iter().filter(|length| **length > 0) {
        lengths_wanted[*length] += 1;
    }
    for length in (17..258).rev() {
        while lengths_wanted[length] > 0 {
            let shorter = (1..length - 1).rev().find(|j| lengths_wanted[*j] > 0).expect("a tree has a shorter branch");
            lengths_wanted[length] -= 2;
            lengths_wanted[length - 1] += 1;
            lengths_wanted[shorter + 1] += 2;
            lengths_wanted[shorter] -= 1;
        }
    }
    // Take the reserved code from the longest ones.
    if let Some(longest) = (1..=16).rev().find(|length| lengths_wanted[*length] > 0) {
        lengths_wanted[longest] -= 1;
    }

    // Deal the lengths out again, shortest to the symbols that had the shortest.
    let mut symbols: Vec<usize> = (0..256).filter(|symbol| size[*symbol] > 0).collect();
    symbols.sort_by_key(|symbol| (size[*symbol], *symbol));
    let mut lengths = [0u8; 256];
    let mut symbols = symbols.into_iter();
    for (length, wanted) in lengths_wanted.iter().enumerate().take(17) {
        for symbol in symbols.by_ref().take(*wanted) {
            lengths[symbol] = length as u8;
        }
    }
    lengths
}

/// Bytes that bits are gathered in before they are appended.
const GATHERED: usize = 1024;
/// The most that one block takes: 64 values of at most 16 + 11 bits and three runs of 16 zeros, every byte stuffed.
const BLOCK_BYTES: usize = 2 * (64 * 27 + 3 * 16) / 8 + 8;

/// Appends bits, most significant first, with a zero byte stuffed behind every 0xff.
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    gathered: [u8; GATHERED],
    filled: usize,
    /// The low `count` bits are not written yet.
    bits: u64,
    count: u32,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        BitWriter { out, gathered: [0; GATHERED], filled: 0, bits: 0, count: 0 }
    }

    /// Makes room for `bytes` more.
    fn reserve(&mut self, bytes: usize) {
        if self.filled + bytes > GATHERED {
            self.out.extend_from_slice(&self.gathered[..self.filled]);
            self.filled = 0;
        }
    }

    /// Appends the low `length` bits of `value`, which has no others; at most 32. There must be room.
    #[inline]
    fn put(&mut self, value: u32, length: u32) {
        self.bits = self.bits << length | u64::from(value);
        self.count += length;
        if self.count >= 32 {
            self.count -= 32;
            let word = (self.bits >> self.count) as u32;
            // A byte of `!word` is zero where a byte of `word` is 0xff.
            if (!word).wrapping_sub(0x0101_0101) & word & 0x8080_8080 == 0 {
                self.gathered[self.filled..self.filled + 4].copy_from_slice(&word.to_be_bytes());
                self.filled += 4;
            } else {
                word.to_be_bytes().into_iter().for_each(|byte| self.push(byte));
            }
        }
    }

    fn push(&mut self, byte: u8) {
        self.gathered[self.filled] = byte;
        self.filled += 1;
        if byte == 0xff {
            self.gathered[self.filled] = 0;
            self.filled += 1;
        }
    }

    /// Fills the last byte with ones.
    pub(super) fn finish(mut self) {
        self.reserve(BLOCK_BYTES);
        let fill = (8 - self.count % 8) % 8;
        self.put((1 << fill) - 1, fill);
        while self.count > 0 {
            self.count -= 8;
            self.push((self.bits >> self.count) as u8);
        }
        self.out.extend_from_slice(&self.gathered[..self.filled]);
    }

    /// Symbol `high` << 4 | category of `value`, then the bits of `value` (F.1.2.1 and F.1.2.2).
    fn put_value(&mut self, table: &Table, high: u32, value: i32) {
        let category = category(value);
        let (code, length) = table.code((high << 4 | category) as u8);
        // Negative values are stored less one.
        let bits = (value + (value >> 31)) as u32 & ((1 << category) - 1);
        self.put(code << category | bits, length + category);
    }

    /// Appends one block: the difference of `dc_value` to `prediction`, then its AC coefficients; bit k of `negated`
    /// says that coefficient k counts with the other sign.
    pub(super) fn put_block(
        &mut self,
        (dc, ac): (&Table, &Table),
        (dc_value, tokens): (i16, &[Token]),
        negated: u64,
        prediction: i32,
    ) {
        self.reserve(BLOCK_BYTES);
        self.put_value(dc, 0, i32::from(dc_value) - prediction);
        let mut k = 0;
        for token in tokens {
            k += token.zeros() + 1;
            // Sixteen zeros are a symbol of their own, whose category is 0.
            let value = i32::from(token.value());
            self.put_value(ac, token.zeros(), if negated >> k & 1 == 1 { -value } else { value });
        }
        if k < 63 {
            let (code, length) = ac.code(EOB);
            self.put(code, length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(counts: impl IntoIterator<Item = (u8, u64)>) -> Table {
        let mut histogram = Histogram::new();
        for (symbol, count) in counts {
            histogram.0[usize::from(symbol)] = count;
        }
        Table::optimal(&histogram)
    }

    /// Every symbol has a code, none is the start of another, none is all ones, none is longer than 16 bits.
    fn check(table: &Table, symbols: usize) {
        assert_eq!(table.values.len(), symbols);
        assert_eq!(table.bits.iter().map(|n| usize::from(*n)).sum::<usize>(), symbols);
        let codes: Vec<_> = table.values.iter().map(|symbol| table.code(*symbol)).collect();
        for (i, (code, length)) in codes.iter().enumerate() {
            assert!((1..=16).contains(length));
            assert_ne!(*code, (1 << length) - 1, "all ones");
            for (other, other_length) in &codes[i + 1..] {
                assert!(other_length >= length && other >> (other_length - length) != *code, "prefix");
            }
        }
    }

    #[test]
    fn tables_are_prefix_codes_of_at_most_16_bits() {
        check(&table([(7, 1)]), 1);
        check(&table([(7, 1), (200, 1)]), 2);
        check(&table((0..=255).map(|symbol| (symbol, 1))), 256);
        // Fibonacci weights give the deepest tree: 40 levels without the limit.
        let (mut a, mut b) = (1, 1);
        let fibonacci = (0..40).map(|symbol| {
            (a, b) = (b, a + b);
            (symbol, a)
        });
        check(&table(fibonacci), 40);
    }

    #[test]
    fn frequent_symbols_get_short_codes() {
        let table = table([(1, 1000), (2, 500), (3, 10), (4, 1)]);
        let lengths = [1, 2, 3, 4].map(|symbol| table.code(symbol).1);
        assert_eq!(lengths, [1, 2, 3, 4]);
    }

    #[test]
    fn stuffs_a_zero_behind_every_ff_and_fills_with_ones() {
        let mut out = Vec::new();
        let mut writer = BitWriter::new(&mut out);
        for byte in [0x12, 0xff, 0xfe, 0x80, 0xff, 0xff, 0x00, 0x01, 0xff] {
            writer.reserve(8);
            writer.put(byte >> 4, 4);
            writer.put(byte & 15, 4);
        }
        writer.put(0, 3);
        writer.finish();
        assert_eq!(out, [0x12, 0xff, 0, 0xfe, 0x80, 0xff, 0, 0xff, 0, 0x00, 0x01, 0xff, 0, 0x1f]);
    }
}
