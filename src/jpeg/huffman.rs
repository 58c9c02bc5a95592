//! Baseline Huffman coding of quantised blocks (ITU-T T.81, annexes C, F and K).

use super::coded::Span;
use super::entropy::Lookup;

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

impl Default for Histogram {
    fn default() -> Self {
        Histogram([0; 256])
    }
}

impl Histogram {
    pub(super) fn count(&mut self, symbol: u8) {
        self.0[usize::from(symbol)] += 1;
    }

    pub(super) fn add(&mut self, other: &Histogram) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, count)| *sum += count);
    }
}

/// Code, shifted up by 8, and length of a symbol together with the bits of the value behind it; 0 is none.
type Entry = u32;

/// One Huffman table: as written (`bits`, `values`) and as used.
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
        for length in 1..=16u8 {
            for symbol in (0..256).filter(|symbol| lengths[*symbol] == length) {
                bits[usize::from(length) - 1] += 1;
                values.push(symbol as u8);
            }
        }
        Table::new(bits, values)
    }

    /// The table with these counts of codes per length and these symbols (annex C).
    pub(super) fn new(bits: [u8; 16], values: Vec<u8>) -> Table {
        let mut codes = [(0, 0); 256];
        let mut symbols = values.iter();
        let mut code = 0u32;
        for (length, count) in (1..).zip(bits) {
            for symbol in symbols.by_ref().take(count.into()) {
                codes[usize::from(*symbol)] = (code as u16, length);
                code += 1;
            }
            code <<= 1;
        }
        Table { bits, values, codes }
    }

    /// Whether they have the same codes.
    pub(super) fn same(&self, other: &Table) -> bool {
        (self.bits, &self.values) == (other.bits, &other.values)
    }

    /// Whether there is a code for `symbol`.
    pub(super) fn has(&self, symbol: u8) -> bool {
        self.codes[usize::from(symbol)].1 > 0
    }

    /// A symbol and the bits of `value`, whose category the symbol ends with: at most 27 (F.1.2.1 and F.1.2.2).
    #[inline(always)]
    pub(super) fn coded(&self, symbol: u8, value: i32) -> (u32, u32) {
        let (code, length) = self.code(symbol);
        let category = u32::from(symbol & 15);
        (code << category | value_bits(value, category), length + category)
    }

    fn code(&self, symbol: u8) -> (u32, u32) {
        let (code, length) = self.codes[usize::from(symbol)];
        (code.into(), length.into())
    }
}

/// The bits of a value behind its symbol: negative values less one (F.1.2.1).
#[inline(always)]
fn value_bits(value: i32, category: u32) -> u32 {
    (value + (value >> 31)) as u32 & ((1 << category) - 1)
}

/// The tables of a component.
pub(super) struct Codes {
    pub(super) dc: Table,
    pub(super) ac: Table,
    /// What a run of zeros and an AC coefficient behind it are written as, at 256 · run + value as an unsigned byte. The
    /// most and the least value are left out, so that they may stand for larger ones.
    entries: Box<[Entry; 16 * 256]>,
}

impl Codes {
    pub(super) fn new(dc: Table, ac: Table) -> Self {
        let mut entries = Box::new([0; 16 * 256]);
        for (run, entries) in entries.as_chunks_mut::<256>().0.iter_mut().enumerate() {
            for value in (-127..=126i32).filter(|value| *value != 0) {
                let category = category(value);
                let (code, length) = ac.codes[run << 4 | category as usize];
                if length > 0 {
                    let code = u32::from(code) << category | value_bits(value, category);
                    entries[usize::from(value as u8)] = (code << 8) | (u32::from(length) + category);
                }
            }
        }
        Codes { dc, ac, entries }
    }

    /// The entry of a run of zeros and a value behind it; 0 where it is written in another way.
    #[inline(always)]
    fn entry(&self, zeros: u32, value: i8) -> Entry {
        let at = zeros << 8 | u32::from(value.cast_unsigned());
        self.entries.get(at as usize).copied().unwrap_or(0)
    }
}

/// A stream of tables only (B.5): quantisation tables in zigzag order, numbered from 0, and Huffman tables with their
/// class, 0 for DC or 1 for AC, in the upper half of a byte and their number in the lower.
pub(super) fn tables_stream<'a>(
    quantization: &[[u16; 64]],
    huffman: impl IntoIterator<Item = (u8, &'a Table)>,
) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    for (index, values) in (0..).zip(quantization) {
        if values.iter().any(|value| *value > 255) {
            out.extend_from_slice(&[0xff, 0xdb, 0, 131, 0x10 | index]);
            out.extend(values.iter().flat_map(|value| value.to_be_bytes()));
        } else {
            out.extend_from_slice(&[0xff, 0xdb, 0, 67, index]);
            out.extend(values.iter().map(|value| *value as u8));
        }
    }
    for (kind, table) in huffman {
        let length = (2 + 1 + 16 + table.values.len()) as u16;
        out.extend_from_slice(&[0xff, 0xc4]);
        out.extend_from_slice(&length.to_be_bytes());
        out.push(kind);
        out.extend_from_slice(&table.bits);
        out.extend_from_slice(&table.values);
    }
    out.extend_from_slice(&[0xff, 0xd9]);
    out
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

/// Bytes that are gathered before they are appended; a power of two.
const GATHERED: usize = 4096;
type Gathered = [u8; GATHERED + 8];
/// The most that one block takes before bytes are stuffed: 64 values of at most 16 + 11 bits, three runs of 16 zeros,
/// and what was left over.
const BLOCK_BYTES: usize = (64 * 27 + 3 * 16) / 8 + 8;

/// Appends bits, most significant first, with a zero byte stuffed behind every 0xff.
///
/// Bytes are written without asking how many are full, eight at a time, of which the rest is overwritten by what
/// follows; zeros are stuffed when many have been gathered.
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    gathered: Gathered,
    state: State,
}

#[derive(Clone, Copy)]
struct State {
    /// Bytes gathered.
    filled: usize,
    /// The low `count` bits are not written yet; at most 7 between calls.
    bits: u64,
    count: u32,
}

impl State {
    /// Appends the low `length` bits of `value`, which has no others. There is room for 64 bits until [`State::write`],
    /// which leaves up to 7 of them.
    #[inline(always)]
    fn put(&mut self, value: u32, length: u32) {
        self.bits = self.bits << length | u64::from(value);
        self.count += length;
    }

    #[inline(always)]
    fn put_entry(&mut self, entry: Entry) {
        self.put(entry >> 8, entry & 0xff);
    }

    /// A value that has no entry, or more than 15 zeros in front.
    #[cold]
    fn put_rare(mut self, gathered: &mut Gathered, ac: &Table, mut zeros: u32, value: i32) -> Self {
        while zeros >= 16 {
            let (code, length) = ac.code(ZRL);
            self.put(code, length);
            self.write(gathered);
            zeros -= 16;
        }
        self.put_value(ac, zeros, value);
        self
    }

    /// Writes the whole bytes. There must be room.
    #[inline(always)]
    fn write(&mut self, gathered: &mut Gathered) {
        // The mask spares a comparison: the place is always inside.
        let to = &mut gathered[self.filled % GATHERED..][..8];
        to.copy_from_slice(&(self.bits << (self.count.wrapping_neg() & 63)).to_be_bytes());
        self.filled += self.count as usize / 8;
        self.count %= 8;
    }

    /// Symbol `high` << 4 | category of `value`, then the bits of `value` (F.1.2.1 and F.1.2.2).
    #[inline(always)]
    fn put_value(&mut self, table: &Table, high: u32, value: i32) {
        let (bits, length) = table.coded((high << 4 | category(value)) as u8, value);
        self.put(bits, length);
    }
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        BitWriter { out, gathered: [0; GATHERED + 8], state: State { filled: 0, bits: 0, count: 0 } }
    }

    /// Makes room for `bytes` more.
    #[inline(always)]
    fn reserve(&mut self, bytes: usize) {
        if self.state.filled + bytes > GATHERED {
            self.append();
        }
    }

    /// Appends what was gathered.
    #[inline(never)]
    fn append(&mut self) {
        // Each byte may become two, and the last word is written with its tail.
        let mut stuffed = [0; 2 * GATHERED + 64];
        let length = stuff(&self.gathered[..self.state.filled], &mut stuffed);
        self.out.extend_from_slice(&stuffed[..length]);
        self.state.filled = 0;
    }

    /// Fills the last byte with ones.
    pub(super) fn finish(mut self) {
        self.reserve(8);
        let fill = (8 - self.state.count % 8) % 8;
        self.state.put((1 << fill) - 1, fill);
        self.state.write(&mut self.gathered);
        self.append();
    }

    /// Appends one block: the difference of its DC value to the one before, then its AC coefficients as they are coded.
    #[inline(always)]
    pub(super) fn put_block(&mut self, dc: &Table, difference: i32, mut coded: Span<'_>) {
        self.reserve(BLOCK_BYTES);
        let mut state = self.state;
        state.put_value(dc, 0, difference);
        state.write(&mut self.gathered);
        while let Some((bits, length)) = coded.next() {
            state.put(bits, length);
            state.write(&mut self.gathered);
        }
        self.state = state;
    }

    /// The same, where the AC coefficients count with the other sign whose bits of `negated` are set; `lookup` reads what
    /// they are coded with.
    pub(super) fn put_negated(
        &mut self,
        dc: &Table,
        difference: i32,
        (mut coded, lookup): (Span<'_>, &Lookup),
        negated: u64,
    ) {
        self.reserve(BLOCK_BYTES);
        self.state.put_value(dc, 0, difference);
        self.state.write(&mut self.gathered);
        let mut k = 0;
        while k < 63 {
            let window = coded.peek();
            // The bits have been decoded or made with this table.
            let Ok((symbol, length)) = lookup.symbol(window) else { break };
            let category = u32::from(symbol & 15);
            k += u32::from(symbol >> 4) + 1;
            // The bits of a value and of its negative are each other's opposite.
            let all = length + category;
            let flipped = if negated >> (k & 63) & 1 == 1 { (1 << category) - 1 } else { 0 };
            self.state.put((window >> (32 - all)) ^ flipped, all);
            self.state.write(&mut self.gathered);
            coded.skip(all);
            if symbol == EOB {
                break;
            }
        }
    }

    /// Appends a block without AC coefficients.
    pub(super) fn put_flat(&mut self, codes: (&Table, &Table), difference: i32) {
        self.reserve(BLOCK_BYTES);
        self.state.put_value(codes.0, 0, difference);
        self.state.write(&mut self.gathered);
        let (code, length) = codes.1.code(EOB);
        self.state.put(code, length);
        self.state.write(&mut self.gathered);
    }

    /// Appends one block: the difference of its DC value to the one before, then its AC coefficients. `clamped` are they
    /// in zigzag order, clamped to 8 bits; bit k of `nonzero` says whether coefficient k is not zero, where bit 0 says
    /// nothing; `value` gives the coefficient at a position in natural order.
    #[inline(always)]
    pub(super) fn put_quantised(
        &mut self,
        codes: &Codes,
        dc_difference: i32,
        (clamped, nonzero): (&[i8; 64], u64),
        value: impl Fn(usize) -> i16,
    ) {
        self.reserve(BLOCK_BYTES);
        let mut state = self.state;
        state.put_value(&codes.dc, 0, dc_difference);
        let mut left = nonzero & !1;
        let mut next = 1;
        let mut put_next = |state: &mut State, gathered: &mut Gathered| {
            let k = left.trailing_zeros();
            left &= left - 1;
            let zeros = k - next;
            next = k + 1;
            match codes.entry(zeros, clamped[k as usize]) {
                0 => {
                    let position = ZIGZAG[k as usize].into();
                    *state = state.put_rare(gathered, &codes.ac, zeros, value(position).into());
                }
                entry => state.put_entry(entry),
            }
            left != 0
        };
        if nonzero & !1 != 0 {
            // As in `put_block`.
            loop {
                let more = put_next(&mut state, &mut self.gathered);
                state.write(&mut self.gathered);
                if !more || !put_next(&mut state, &mut self.gathered) {
                    break;
                }
            }
        }
        if next < 64 {
            let (code, length) = codes.ac.code(EOB);
            state.put(code, length);
        }
        state.write(&mut self.gathered);
        self.state = state;
    }
}

/// Copies bytes, with a zero behind every 0xff; gives the number written. `to` has room for twice the bytes and 64 more,
/// of which what lies behind may be overwritten.
fn stuff(from: &[u8], to: &mut [u8]) -> usize {
    #[cfg(target_arch = "x86_64")]
    let (taken, mut at) = vbmi2::stuff(from, to);
    #[cfg(not(target_arch = "x86_64"))]
    let (taken, mut at) = (0, 0);
    let one_by_one = |to: &mut [u8], at: usize, bytes: &[u8]| {
        bytes.iter().fold(at, |at, byte| {
            to[at..][..2].copy_from_slice(&[*byte, 0]);
            at + 1 + usize::from(*byte == 0xff)
        })
    };
    let (words, rest) = from[taken..].as_chunks::<8>();
    for word in words {
        let value = u64::from_le_bytes(*word);
        // A byte of `!value` is zero where a byte of `value` is 0xff. The lowest bit found is right.
        let found = (!value).wrapping_sub(0x0101_0101_0101_0101) & value & 0x8080_8080_8080_8080;
        if found & found.wrapping_sub(1) != 0 {
            at = one_by_one(to, at, word);
            continue;
        }
        // None or one, without asking which: the word, and behind the 0xff a zero and what followed.
        let index = found.trailing_zeros() / 8;
        let behind = value.wrapping_shr(8 * index) & !0xff;
        to[at..][..8].copy_from_slice(word);
        to[at + index as usize + 1..][..8].copy_from_slice(&behind.to_le_bytes());
        at += 8 + usize::from(found != 0);
    }
    one_by_one(to, at, rest)
}

#[cfg(target_arch = "x86_64")]
mod vbmi2 {
    use std::arch::x86_64::*;

    /// Does what [`super::stuff`] does as far as pieces of 32 bytes go, where the machine can; returns how many bytes were
    /// taken, and how many written.
    pub(super) fn stuff(from: &[u8], to: &mut [u8]) -> (usize, usize) {
        let available = is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("bmi2");
        if !available {
            return (0, 0);
        }
        // SAFETY: the machine has what the function is compiled for, as just asked.
        unsafe { pieces(from, to) }
    }

    #[target_feature(enable = "avx512bw,avx512vbmi2,bmi2")]
    fn pieces(from: &[u8], to: &mut [u8]) -> (usize, usize) {
        /// For each byte two bits: the byte itself, and the zero behind it.
        const BYTES: u64 = 0x5555_5555_5555_5555;
        let (pieces, _) = from.as_chunks::<32>();
        let mut at = 0;
        for piece in pieces {
            let bytes: __m256i = bytemuck::cast(*piece);
            let bytes = _mm512_zextsi256_si512(bytes);
            let full = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(-1));
            let there = BYTES | _pdep_u64(full, !BYTES);
            let spread = _mm512_maskz_expand_epi8(_pext_u64(BYTES, there), bytes);
            let halves = [_mm512_castsi512_si256(spread), _mm512_extracti64x4_epi64::<1>(spread)];
            let halves: [u8; 64] = bytemuck::cast(halves);
            to[at..][..64].copy_from_slice(&halves);
            at += 32 + full.count_ones() as usize;
        }
        (32 * pieces.len(), at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(counts: impl IntoIterator<Item = (u8, u64)>) -> Table {
        let mut histogram = Histogram::default();
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
            writer.state.put(byte >> 4, 4);
            writer.state.put(byte & 15, 4);
            writer.state.write(&mut writer.gathered);
        }
        writer.state.put(0, 3);
        writer.finish();
        assert_eq!(out, [0x12, 0xff, 0, 0xfe, 0x80, 0xff, 0, 0xff, 0, 0x00, 0x01, 0xff, 0, 0x1f]);
    }

    #[test]
    fn stuffing_is_right_wherever_and_however_often() {
        let mut state = 1u32;
        for round in 0..3000 {
            let mut random = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state >> 16
            };
            let bytes: Vec<u8> = (0..random() % 150)
                .map(|_| match random() % (1 + round % 40) {
                    0 => 0xff,
                    1 => 0xfe,
                    _ => random() as u8,
                })
                .collect();
            let expected: Vec<u8> =
                bytes.iter().flat_map(|byte| [*byte, 0].into_iter().take(1 + usize::from(*byte == 0xff))).collect();
            let mut found = vec![0x55; 2 * bytes.len() + 64];
            let written = stuff(&bytes, &mut found);
            assert_eq!(found[..written], expected, "{bytes:02x?}");
        }
    }
}
