//! Huffman decoding of scans (ITU-T T.81, annexes C, F and G), for streams without a fault.
//!
//! Whatever is odd in a stream is a [`Surprise`]: the caller then leaves the file to libjpeg, which tells oddities that
//! cost no pixel from those that do.

use super::coded::Span;
use super::huffman::{EOB, Histogram, MAX_DC_CATEGORY, Table, ZIGZAG, ZRL};

/// The stream is not as an encoder writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Surprise;

pub(super) type Result<T> = std::result::Result<T, Surprise>;

/// Bits that one look into a table covers.
const LOOK: u32 = 11;

/// A Huffman table as decoders use it.
#[derive(Clone)]
pub(super) struct Lookup {
    /// By the next [`LOOK`] bits. Upper half: the value, where code and value fit in them and it is not zero. Lower
    /// half: the symbol, and how many bits code and value take where a value is there, else how many the code takes;
    /// none where the code is longer.
    look: Box<[u32; 1 << LOOK]>,
    /// By the next [`LOOK`] bits; all are 0 until they are made.
    steps: Box<[Step; 1 << LOOK]>,
    /// For each length: the code behind the last of this length, shifted up to 16 bits.
    ends: [u32; 17],
    /// For each length: what is added to a code to find its symbol.
    offsets: [i32; 17],
    /// As written: the number of codes of each length 1 to 16, and the symbols.
    bits: [u8; 16],
    symbols: Vec<u8>,
}

impl Lookup {
    /// From the body of a DHT segment: the number of codes of each length 1 to 16, and the symbols.
    pub(super) fn new(bits: &[u8; 16], values: &[u8]) -> Result<Lookup> {
        if values.len() > 256 {
            return Err(Surprise);
        }
        let mut codes = Lookup {
            look: Box::new([0; 1 << LOOK]),
            steps: Box::new([0; 1 << LOOK]),
            ends: [0; 17],
            offsets: [0; 17],
            bits: *bits,
            symbols: values.to_vec(),
        };
        let (mut code, mut first) = (0u32, 0);
        for length in 1..=16u32 {
            let count = u32::from(bits[length as usize - 1]);
            codes.offsets[length as usize] = first as i32 - code as i32;
            for (code, symbol) in (code..code + count).zip(&values[first..]) {
                if length <= LOOK {
                    let start = (code << (LOOK - length)) as usize;
                    let places = codes.look.get_mut(start..start + (1 << (LOOK - length))).ok_or(Surprise)?;
                    for (rest, entry) in (0..).zip(places) {
                        *entry = look_entry(*symbol, length, rest);
                    }
                }
            }
            first += count as usize;
            code += count;
            // The code of only ones stays free.
            if code >= 1 << length && count > 0 || first > values.len() {
                return Err(Surprise);
            }
            codes.ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        if first != values.len() {
            return Err(Surprise);
        }
        Ok(codes)
    }

    /// For the AC coefficients of a sequential scan, which are read faster then.
    pub(super) fn with_steps(mut self) -> Self {
        for (bits, step) in (0..).zip(&mut *self.steps) {
            *step = step_at(&self.look, bits);
        }
        self
    }

    /// The best table for a histogram.
    pub(super) fn best(histogram: &Histogram) -> Lookup {
        let table = Table::optimal(histogram);
        Lookup::new(&table.bits, &table.values).expect("lengths and symbols go together")
    }

    /// The same table as encoders use it.
    pub(super) fn table(&self) -> Table {
        Table::new(self.bits, self.symbols.clone())
    }

    /// Symbol and length of the code at the start of 32 bits.
    #[inline]
    pub(super) fn symbol(&self, window: u32) -> Result<(u8, u32)> {
        let entry = self.look[(window >> (32 - LOOK)) as usize];
        match entry & 0xff {
            0 => self.long(window >> 16),
            // Without the bits of a value.
            length => {
                let symbol = (entry >> 8) as u8;
                Ok((symbol, if entry >> 16 == 0 { length } else { length - u32::from(symbol & 15) }))
            }
        }
    }

    /// Symbol and length of a code that is longer than [`LOOK`] bits; `bits` are the next 16.
    #[cold]
    fn long(&self, bits: u32) -> Result<(u8, u32)> {
        let length = (LOOK + 1..=16).find(|length| bits < self.ends[*length as usize]).ok_or(Surprise)?;
        let place = (bits >> (16 - length)) as i32 + self.offsets[length as usize];
        let symbol = usize::try_from(place).ok().and_then(|place| self.symbols.get(place)).ok_or(Surprise)?;
        Ok((*symbol, length))
    }
}

/// One or two AC coefficients, and an end of block behind them, that the next bits hold as a whole; 0 where they do not.
/// From the lowest bit: 6 bits for how many bits that is; 4 for the zeros in front of the first; 5 for how far the second
/// is behind the first, 0 where there is none; 1 for the end; 8 for the first value, 0 where there is only an end; 8 for
/// the second one, or for the first again.
type Step = u32;

const STEP_ZEROS: u32 = 6;
const STEP_BEHIND: u32 = 10;
const STEP_END: u32 = 1 << 15;
const STEP_FIRST: u32 = 16;
const STEP_SECOND: u32 = 24;

fn step_at(look: &[u32; 1 << LOOK], bits: u32) -> Step {
    // The value as a byte, the zeros in front of it, the bits.
    let coefficient = |entry: u32| match i8::try_from((entry >> 16) as i16) {
        Ok(0) | Err(_) => None,
        Ok(value) => Some((u32::from(value.cast_unsigned()), entry >> 12 & 15, entry & 0xff)),
    };
    let is_end = |entry: u32| entry >> 8 == u32::from(EOB) && entry != 0;
    let entry = look[bits as usize];
    let Some((first, zeros, length)) = coefficient(entry) else {
        return if is_end(entry) { STEP_END | entry & 0xff } else { 0 };
    };
    let one = first << STEP_FIRST | zeros << STEP_ZEROS;
    // Behind the bits that are there stand zeros, which must not be needed.
    let entry = look[(bits << length) as usize % look.len()];
    let inside = |bits: u32| length + bits <= LOOK;
    match coefficient(entry) {
        Some((second, zeros, bits)) if inside(bits) => {
            one | second << STEP_SECOND | (zeros + 1) << STEP_BEHIND | (length + bits)
        }
        None if is_end(entry) && inside(entry & 0xff) => {
            one | first << STEP_SECOND | STEP_END | (length + (entry & 0xff))
        }
        _ => one | first << STEP_SECOND | length,
    }
}

/// `rest` are the bits behind the code, of which there are `LOOK - length`.
fn look_entry(symbol: u8, length: u32, rest: u32) -> u32 {
    let category = u32::from(symbol & 15);
    let low = u32::from(symbol) << 8;
    if category == 0 || length + category > LOOK {
        return low | length;
    }
    let bits = rest >> (LOOK - length - category);
    (extend(bits, category) as u32) << 16 | low | (length + category)
}

/// The value that `category` bits stand for (F.2.2.1).
#[inline]
fn extend(bits: u32, category: u32) -> i32 {
    let negative = bits >> (category - 1) == 0;
    bits as i32 - if negative { (1 << category) - 1 } else { 0 }
}

/// Place in natural order of each coefficient in zigzag order, and of those that a run may lead to behind the last.
const PLACES: [u8; 128] = {
    let mut places = [0; 128];
    let mut k = 0;
    while k < 64 {
        places[k] = ZIGZAG[k];
        k += 1;
    }
    places
};

/// Zeros behind the bytes of a segment, so that a whole MCU can be read before its end is looked for: ten blocks of 64
/// values of at most 16 + 15 bits.
const BEHIND: usize = 10 * 64 * 31 / 8 + 16;
/// Bytes of a segment that are laid out at once.
const PIECE: usize = 32 << 10;

/// The bits of one scan, or of a restart interval of it. The file itself is handed in where it is needed.
pub(super) struct Bits {
    /// Position in the file of what is not laid out yet, where a zero stands behind each 0xff.
    next: usize,
    /// Bytes without those zeros, and [`BEHIND`] zeros.
    plain: Vec<u8>,
    /// Bytes of `plain` that belong to the segment.
    end: usize,
    /// Next byte of `plain`.
    at: usize,
    /// Bits taken out of `plain`, first on top; `count` of them are to be counted.
    window: u64,
    count: u32,
    /// All of the segment is laid out.
    whole: bool,
}

impl Bits {
    /// The segment that starts at `position` of the file.
    pub(super) fn new(position: usize) -> Self {
        let plain = Vec::with_capacity(PIECE + 2 * BEHIND);
        Bits { next: position, plain, end: 0, at: 0, window: 0, count: 0, whole: false }
    }

    /// Goes on with another segment.
    fn restart(&mut self, position: usize) {
        self.plain.clear();
        (self.next, self.end, self.at, self.window, self.count, self.whole) = (position, 0, 0, 0, 0, false);
    }

    /// Makes sure that an MCU can be read.
    #[inline]
    fn prepare(&mut self, file: &[u8]) {
        if self.at + BEHIND > self.end && !self.whole {
            self.lay_out(file);
        }
    }

    #[inline(never)]
    fn lay_out(&mut self, file: &[u8]) {
        self.plain.truncate(self.end);
        // The bytes in the window stay, so that positions can be told.
        let used = self.at.saturating_sub(8).min(self.end);
        self.plain.drain(..used);
        self.at -= used;
        let mut rest = &file[self.next..];
        let wanted = self.plain.len() + PIECE;
        while self.plain.len() < wanted {
            let piece = &rest[..rest.len().min(PIECE)];
            let (run, behind) = rest.split_at(memchr::memchr(0xff, piece).unwrap_or(piece.len()));
            self.plain.extend_from_slice(run);
            rest = behind;
            match behind {
                [0xff, 0, behind @ ..] => {
                    self.plain.push(0xff);
                    rest = behind;
                }
                // A marker, or the end of the file.
                [0xff, ..] | [] => {
                    self.whole = true;
                    break;
                }
                _ => {}
            }
        }
        self.next = file.len() - rest.len();
        self.end = self.plain.len();
        self.plain.resize(self.end + BEHIND, 0);
    }

    /// Bits of the segment that were not used.
    fn left(&self) -> i64 {
        8 * (self.end as i64 - self.at as i64) + i64::from(self.count)
    }

    /// Position of the marker behind the segment, which must be used up but for fewer than 8 bits.
    fn finish(&mut self, file: &[u8]) -> Result<usize> {
        if !self.whole {
            self.lay_out(file);
        }
        if self.whole && (0..8).contains(&self.left()) { Ok(self.next) } else { Err(Surprise) }
    }

    /// At least 56 bits are in the window then.
    #[inline(always)]
    fn fill(&mut self) {
        let next = self
            .plain
            .get(self.at..)
            .and_then(|bytes| bytes.first_chunk())
            .map_or(0, |bytes| u64::from_be_bytes(*bytes));
        self.window |= next >> self.count;
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    #[inline(always)]
    fn drop(&mut self, bits: u32) {
        self.window <<= bits;
        self.count -= bits;
    }

    /// The next bits, at most 16; there must be as many in the window.
    #[inline(always)]
    fn take(&mut self, bits: u32) -> u32 {
        // Shifting in two steps gives 0 for no bits.
        let value = (self.window >> 1 >> (63 - bits)) as u32;
        self.drop(bits);
        value
    }

    #[inline(always)]
    fn peek(&self, bits: u32) -> u32 {
        (self.window >> (64 - bits)) as u32
    }

    /// The next symbol; the window must be filled.
    #[inline]
    fn symbol(&mut self, codes: &Lookup) -> Result<u8> {
        let (symbol, length) = codes.symbol(self.peek(32))?;
        self.drop(length);
        Ok(symbol)
    }

    /// The difference of a DC value to the one before (F.2.2.1).
    #[inline(always)]
    pub(super) fn dc_difference(&mut self, codes: &Lookup) -> Result<i32> {
        self.fill();
        let category = u32::from(self.symbol(codes)?);
        if category > MAX_DC_CATEGORY {
            return Err(Surprise);
        }
        Ok(if category == 0 { 0 } else { extend(self.take(category), category) })
    }

    /// The next symbol of AC coefficients, where the table holds no value with it, and the value that its bits stand for,
    /// 0 where there are none; the window must be filled.
    #[inline(always)]
    fn symbol_and_value(&mut self, codes: &Lookup) -> Result<(u8, i32)> {
        let symbol = self.symbol(codes)?;
        let category = u32::from(symbol & 15);
        Ok((symbol, if category == 0 { 0 } else { extend(self.take(category), category) }))
    }

    /// Bits of `plain` that are used.
    #[inline]
    fn position(&self) -> usize {
        8 * self.at - self.count as usize
    }

    /// The AC coefficients of a block of a sequential scan (F.2.2.2) into `block`, which is zero and in natural order;
    /// returns whether there are any, and their bits.
    #[inline(always)]
    pub(super) fn ac_block(&mut self, codes: &Lookup, block: &mut [i16; 64]) -> Result<(bool, Span<'_>)> {
        let start = self.position();
        let mut k = 0;
        'block: while k < 63 {
            self.fill();
            // As many values as surely are in the window, so that its filling is not waited for each time.
            for _ in 0..4 {
                let step = codes.steps[self.peek(LOOK) as usize];
                let first = k + (step >> STEP_ZEROS & 15) as usize + 1;
                // Behind the last coefficient there is another block.
                if step != 0 && first < 63 {
                    self.drop(step & 63);
                    if step >> STEP_FIRST != 0 {
                        block[usize::from(PLACES[first])] = i16::from((step >> STEP_FIRST) as i8);
                        k = first + (step >> STEP_BEHIND & 31) as usize;
                        block[usize::from(PLACES[k & 127])] = i16::from((step >> STEP_SECOND) as i8);
                    }
                    if step & STEP_END != 0 || k >= 63 {
                        break 'block;
                    }
                    continue;
                }
                if self.count < 31 {
                    continue 'block;
                }
                let (symbol, value) = self.symbol_and_value(codes)?;
                match (value, symbol) {
                    (0, ZRL) => k += 16,
                    (0, EOB) => break 'block,
                    (0, _) => return Err(Surprise),
                    _ => {
                        k += usize::from(symbol >> 4) + 1;
                        block[usize::from(PLACES[k & 127])] = value as i16;
                    }
                }
                continue 'block;
            }
        }
        // Zeros at the very end are not written by way of a run.
        if k > 63 {
            return Err(Surprise);
        }
        let end = self.position();
        Ok((k > 0, Span::new(&self.plain, start, end)))
    }

    /// First pass over the coefficients `start` to `end` of a block in a progressive scan (G.1.2.2), scaled by 2 to the
    /// power of `low`. `skip` is the number of further blocks without any.
    #[inline]
    pub(super) fn ac_first(
        &mut self,
        codes: &Lookup,
        block: BlockMut<'_>,
        (start, end, low): (usize, usize, u32),
        skip: &mut u32,
    ) -> Result<()> {
        if *skip > 0 {
            *skip -= 1;
            return Ok(());
        }
        let mut k = start;
        while k <= end {
            self.fill();
            let entry = codes.look[self.peek(LOOK) as usize];
            let (symbol, value) = if entry >> 16 != 0 {
                self.drop(entry & 0xff);
                ((entry >> 8) as u8, i32::from((entry >> 16) as i16))
            } else {
                self.symbol_and_value(codes)?
            };
            let run = u32::from(symbol >> 4);
            match (value, run) {
                (0, 15) => {
                    k += 16;
                    continue;
                }
                (0, _) => {
                    *skip = (1 << run) - 1 + self.take(run);
                    return Ok(());
                }
                _ => k += run as usize,
            }
            if k > end {
                return Err(Surprise);
            }
            block.values[k & 63] = (value << low) as i16;
            *block.nonzero |= 1 << (k & 63);
            k += 1;
        }
        if k > end + 1 { Err(Surprise) } else { Ok(()) }
    }

    /// A further pass, which adds bit `low` to the coefficients `start` to `end` (G.1.2.3).
    #[inline]
    pub(super) fn ac_refine(
        &mut self,
        codes: &Lookup,
        block: BlockMut<'_>,
        (start, end, low): (usize, usize, u32),
        skip: &mut u32,
    ) -> Result<()> {
        let bit = 1i16 << low;
        let mut k = start;
        if *skip == 0 {
            'symbols: while k <= end {
                self.fill();
                let symbol = self.symbol(codes)?;
                let mut zeros = u32::from(symbol >> 4);
                let mut value = 0;
                match symbol & 15 {
                    0 if zeros < 15 => {
                        *skip = (1 << zeros) + self.take(zeros);
                        break 'symbols;
                    }
                    0 => {}
                    1 => value = if self.take(1) == 1 { bit } else { -bit },
                    _ => return Err(Surprise),
                }
                // Past `zeros` coefficients that are still zero; each that is not has a bit of its own.
                loop {
                    if k > end {
                        return Err(Surprise);
                    }
                    let place = k & 63;
                    k += 1;
                    if *block.nonzero >> place & 1 == 1 {
                        self.refine(&mut block.values[place], bit);
                    } else if zeros == 0 {
                        if value != 0 {
                            block.values[place] = value;
                            *block.nonzero |= 1 << place;
                        }
                        break;
                    } else {
                        zeros -= 1;
                    }
                }
            }
        }
        if *skip > 0 {
            // Bits `k` to `end`, if any.
            let mut left = *block.nonzero & (u64::MAX >> (63 - end)) & u64::MAX.checked_shl(k as u32).unwrap_or(0);
            while left != 0 {
                self.refine(&mut block.values[left.trailing_zeros() as usize & 63], bit);
                left &= left - 1;
            }
            *skip -= 1;
        }
        Ok(())
    }

    #[inline]
    fn refine(&mut self, coefficient: &mut i16, bit: i16) {
        self.fill();
        if self.take(1) == 1 && *coefficient & bit == 0 {
            *coefficient = coefficient.wrapping_add(if *coefficient > 0 { bit } else { -bit });
        }
    }

    /// A single bit: a further pass over a DC value (G.1.2.1).
    #[inline]
    pub(super) fn bit(&mut self) -> bool {
        self.fill();
        self.take(1) == 1
    }
}

/// The AC coefficients of a block in zigzag order; bit k of `nonzero` says that coefficient k is not zero.
pub(super) struct BlockMut<'a> {
    pub(super) values: &'a mut [i16; 64],
    pub(super) nonzero: &'a mut u64,
}

/// The MCUs of a scan, with the restarts between them.
pub(super) struct Mcus {
    pub(super) bits: Bits,
    interval: u32,
    /// MCUs before the next restart, and its number from 0 to 7.
    left: u32,
    number: u8,
}

impl Mcus {
    /// `interval` MCUs lie between restarts; 0 is no restarts.
    pub(super) fn new(position: usize, interval: u32) -> Self {
        Mcus { bits: Bits::new(position), interval, left: interval, number: 0 }
    }

    /// To be called before each MCU; says whether a restart is in front of it.
    #[inline]
    pub(super) fn next(&mut self, file: &[u8]) -> Result<bool> {
        self.check()?;
        let restarted = self.interval > 0 && self.left == 0;
        if restarted {
            self.restart(file)?;
        }
        self.left = self.left.wrapping_sub(1);
        self.bits.prepare(file);
        Ok(restarted)
    }

    /// Behind its end a segment goes on with zeros; this says whether some were used.
    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        if self.bits.left() < 0 { Err(Surprise) } else { Ok(()) }
    }

    fn restart(&mut self, file: &[u8]) -> Result<()> {
        let position = self.bits.finish(file)?;
        if file.get(position..position + 2) != Some(&[0xff, 0xd0 + self.number]) {
            return Err(Surprise);
        }
        self.bits.restart(position + 2);
        self.left = self.interval;
        self.number = (self.number + 1) % 8;
        Ok(())
    }

    /// Position of the marker behind the scan; to be called behind the last MCU.
    pub(super) fn finish(&mut self, file: &[u8]) -> Result<usize> {
        let mut position = self.bits.finish(file)?;
        while file.get(position + 1) == Some(&0xff) {
            position += 1;
        }
        match file.get(position + 1) {
            Some(0xd0..=0xd7) | None => Err(Surprise),
            Some(_) => Ok(position),
        }
    }
}
