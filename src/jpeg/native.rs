//! The decoder for streams without a fault: gray and YCbCr, sequential and progressive, chroma halved or not.

use std::ops::Range;
use std::sync::Arc;

use multiversion::multiversion;
use rayon::prelude::*;

use super::coded::RowBuilder;
use super::coefficients::{Coefficients, Collector, Shared};
use super::entropy::{Lookup, Mcus, Result, Surprise};
use super::frame::{Frame, Member, Scan};
use super::header::{EOI, Header};
use super::huffman::{Histogram, Table, ZIGZAG};
use super::samples::{self, Pairs, Rows, Scratch};
use super::session::Encoding;
use super::stored::Stored;
use crate::geometry::Size;

pub(super) struct Native {
    frame: Frame,
    /// Steps of quantisation of each plane, in natural order.
    quantization: Vec<[i16; 64]>,
    rows: Vec<Rows>,
    scratch: [Scratch; 2],
    source: Source,
    /// For each plane, rows of blocks within a row of MCUs.
    builders: Vec<Vec<RowBuilder>>,
    kept: Kept,
    size: Size,
    /// Rows of MCUs that are decoded, and rows of pixels that were handed out.
    mcu_rows: u32,
    next_row: u32,
    failed: bool,
}

/// Coefficients that are kept beside the rows.
enum Kept {
    Nothing,
    /// Of the only scan.
    Rows(Collector),
    /// Those that are stored anyway; what their tiles have in common is known from the first time they are asked for.
    Stored(Option<Arc<Shared>>),
}

/// Where rows of blocks come from.
enum Source {
    /// The only scan.
    Scan {
        mcus: Mcus,
        predictions: [i32; 3],
    },
    /// Several scans, not read yet.
    Scans,
    Stored(Vec<Stored>),
}

impl Native {
    /// For the file with this header, where it is one of those that are decoded here.
    pub(super) fn new(file: &[u8], header: &Header, encoding: Encoding) -> Result<Native> {
        let known = matches!((encoding, header.components.len()), (Encoding::Gray, 1) | (Encoding::YCbCr, 3));
        // Detail that scans leave out is made up for by libjpeg.
        if !known || !header.warnings.is_empty() {
            return Err(Surprise);
        }
        let frame = Frame::read(file, header)?;
        if frame.planes[0].across * frame.planes[0].down != 1 {
            return Err(Surprise);
        }
        let source = match &frame.scans[..] {
            [Scan { members, data, restart_interval, .. }]
                if !header.multiple_scans && members.len() == frame.planes.len() =>
            {
                Source::Scan { mcus: Mcus::new(*data, *restart_interval), predictions: [0; 3] }
            }
            _ => Source::Scans,
        };
        let natural = |zigzag: &[u16; 64]| {
            let mut natural = [0; 64];
            ZIGZAG.iter().zip(zigzag).for_each(|(place, step)| natural[usize::from(*place)] = *step as i16);
            natural
        };
        Ok(Native {
            quantization: frame.planes.iter().map(|plane| natural(&plane.quantization)).collect(),
            rows: frame.planes.iter().map(Rows::new).collect(),
            scratch: Default::default(),
            source,
            builders: frame.planes.iter().map(|plane| (0..plane.v).map(|_| RowBuilder::default()).collect()).collect(),
            kept: Kept::Nothing,
            size: header.size,
            mcu_rows: 0,
            next_row: 0,
            failed: false,
            frame,
        })
    }

    /// Bytes held beside the file.
    pub(super) fn working_bytes(&self) -> u64 {
        let stored = if matches!(self.source, Source::Scan { .. }) { 0 } else { Stored::bytes(&self.frame.planes) };
        Rows::bytes(&self.frame.planes) + stored
    }

    /// Keeps the coefficients of all rows that follow.
    ///
    /// # Errors
    /// `Unsupported` when tiles cannot hold them.
    pub(super) fn keep(&mut self) -> crate::error::Result<()> {
        self.kept = match self.source {
            Source::Scan { .. } => {
                let tables = |member: &Member| match (&member.dc, &member.ac) {
                    (Some(dc), Some(ac)) => (dc.table(), Arc::clone(ac)),
                    _ => unreachable!("a sequential scan has both tables"),
                };
                let tables = self.frame.scans[0].members.iter().map(tables).collect();
                Kept::Rows(Collector::new(Shared::new(self.size, &self.frame, tables)?))
            }
            _ => Kept::Stored(None),
        };
        Ok(())
    }

    /// The coefficients of these rows of pixels, if they were decoded and not taken before; made in `pool`, where that is
    /// work.
    pub(super) fn take(
        &mut self,
        rows: Range<u32>,
        pool: Option<&rayon::ThreadPool>,
    ) -> Option<crate::error::Result<Coefficients>> {
        let mcu_px = 8 * self.frame.planes[0].v as u32;
        if rows.is_empty() || rows.end > self.size.height.min(self.mcu_rows * mcu_px) {
            return None;
        }
        match (&mut self.kept, &self.source) {
            (Kept::Rows(collector), _) => collector.take(rows),
            (Kept::Stored(shared), Source::Stored(stored)) => {
                let (frame, size) = (&self.frame, self.size);
                let made = || {
                    let shared = match shared {
                        Some(shared) => Arc::clone(shared),
                        None => Arc::clone(shared.insert(best(stored, frame, size)?.into())),
                    };
                    code(stored, frame, shared, rows)
                };
                Some(match pool {
                    Some(pool) => pool.install(made),
                    None => made(),
                })
            }
            _ => None,
        }
    }

    /// Reads all scans where there are several, those that do not depend on each other in `pool`.
    pub(super) fn read_scans(&mut self, file: &[u8], pool: Option<&rayon::ThreadPool>) -> Result<()> {
        if let Source::Scans = self.source {
            self.source = Source::Stored(Stored::read(file, &self.frame, pool)?);
        }
        Ok(())
    }

    /// Decodes rows into `out`, rows of `row_bytes` bytes of which the image has as many left; returns how many.
    pub(super) fn read(&mut self, file: &[u8], out: &mut [u8], row_bytes: usize) -> Result<usize> {
        let mut count = 0;
        for row in out.chunks_exact_mut(row_bytes) {
            while self.next_row >= self.rows_ready() {
                self.failed = self.failed || self.decode(file).is_err();
                if self.failed {
                    // What came before is good.
                    return if count > 0 { Ok(count) } else { Err(Surprise) };
                }
            }
            samples::row(&self.rows, self.next_row as usize, &mut self.scratch, row);
            self.next_row += 1;
            count += 1;
        }
        Ok(count)
    }

    /// Rows of pixels for which all samples are there: chroma between rows needs that of the next.
    fn rows_ready(&self) -> u32 {
        if self.mcu_rows == self.frame.mcus.height {
            return self.size.height;
        }
        let between = self.frame.planes.iter().any(|plane| plane.down > 1);
        let rows = self.mcu_rows * 8 * self.frame.planes[0].v as u32;
        rows.saturating_sub(between.into())
    }

    /// Decodes the next row of MCUs.
    fn decode(&mut self, file: &[u8]) -> Result<()> {
        self.read_scans(file, None)?;
        match self.source {
            Source::Scan { .. } => self.decode_scan(file)?,
            _ => self.decode_stored(),
        }
        if let Source::Scan { mcus, .. } = &mut self.source
            && self.mcu_rows + 1 == self.frame.mcus.height
        {
            let marker = mcus.finish(file)?;
            if file[marker + 1] != EOI {
                return Err(Surprise);
            }
        }
        self.mcu_rows += 1;
        Ok(())
    }

    fn decode_scan(&mut self, file: &[u8]) -> Result<()> {
        let Source::Scan { mcus, predictions } = &mut self.source else { unreachable!("the caller looked") };
        let kept = if let Kept::Rows(collector) = &mut self.kept { Some(collector) } else { None };
        let builders = kept.is_some().then_some(&mut self.builders[..]);
        let at = (mcus, &mut *predictions);
        decode_mcus(file, at, self.mcu_rows as usize, &self.frame, &self.quantization, &mut self.rows, builders)?;
        if let Some(collector) = kept {
            for (plane, builders) in self.builders.iter_mut().enumerate() {
                let first = self.mcu_rows * builders.len() as u32;
                let rows = self.frame.planes[plane].blocks.height.saturating_sub(first) as usize;
                builders.iter_mut().take(rows).for_each(|builder| collector.put(plane, builder));
            }
        }
        Ok(())
    }

    fn decode_stored(&mut self) {
        let Source::Stored(stored) = &self.source else { unreachable!("the scans are read") };
        let mut pairs = Pairs::new(&mut self.rows, &self.quantization);
        for (index, plane) in self.frame.planes.iter().enumerate() {
            for v in 0..plane.v {
                let y = self.mcu_rows as usize * plane.v + v;
                if y >= plane.blocks.height as usize {
                    continue;
                }
                for x in 0..plane.blocks.width as usize {
                    let zigzag = stored[index].block(x, y);
                    let block = pairs.block();
                    block[0] = zigzag.dc;
                    let mut left = zigzag.nonzero;
                    while left != 0 {
                        let k = left.trailing_zeros() as usize;
                        left &= left - 1;
                        block[usize::from(ZIGZAG[k] & 63)] = zigzag.ac[k];
                    }
                    pairs.put(index, (x, y), zigzag.nonzero == 0);
                }
            }
        }
        pairs.finish();
    }
}

/// What tiles have in common, with the best tables for the first plane and for the two of chroma.
fn best(stored: &[Stored], frame: &Frame, size: Size) -> crate::error::Result<Shared> {
    let planes: Vec<_> = stored.iter().zip(&frame.planes).collect();
    let mut histograms: Vec<[Histogram; 2]> =
        planes.par_iter().with_max_len(1).map(|(stored, plane)| stored.histograms(plane)).collect();
    if let [_, cb, cr] = &mut histograms[..] {
        cb.iter_mut().zip(&*cr).for_each(|(sum, counts)| sum.add(counts));
        *cr = cb.clone();
    }
    let tables = histograms.iter().map(|[dc, ac]| (Table::optimal(dc), Arc::new(Lookup::best(ac))));
    Shared::new(size, frame, tables.collect())
}

/// Rows of stored blocks, coded.
fn code(stored: &[Stored], frame: &Frame, shared: Arc<Shared>, rows: Range<u32>) -> crate::error::Result<Coefficients> {
    let mcu_rows = shared.mcu_rows(rows);
    let planes = stored.iter().zip(&frame.planes).enumerate().map(|(index, (stored, plane))| {
        let table = shared.ac(index);
        let row = |builder: &mut RowBuilder, y| {
            (0..plane.blocks.width as usize).for_each(|x| builder.code(stored.block(x, y as usize), table));
            builder.finish()
        };
        shared.block_rows(index, mcu_rows.clone()).into_par_iter().map_init(RowBuilder::default, row).collect()
    });
    let planes = planes.collect();
    Coefficients::new(shared, mcu_rows.start, planes)
}

/// Decodes a row of MCUs of the only scan; with `builders`, one for each row of blocks of each plane, the blocks are
/// kept. Copies for machines with other instructions shift by variable amounts in one step.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt"))]
fn decode_mcus(
    file: &[u8],
    (mcus, predictions): (&mut Mcus, &mut [i32; 3]),
    mcu_row: usize,
    frame: &Frame,
    quantization: &[[i16; 64]],
    rows: &mut [Rows],
    mut builders: Option<&mut [Vec<RowBuilder>]>,
) -> Result<()> {
    let mut pairs = Pairs::new(rows, quantization);
    for x in 0..frame.mcus.width as usize {
        if mcus.next(file)? {
            *predictions = [0; 3];
        }
        for (index, plane) in frame.planes.iter().enumerate() {
            let member = &frame.scans[0].members[index];
            let (Some(dc), Some(ac)) = (&member.dc, &member.ac) else {
                unreachable!("a sequential scan has both tables")
            };
            let prediction = &mut predictions[index];
            for v in 0..plane.v {
                let y = mcu_row * plane.v + v;
                for x in x * plane.h..(x + 1) * plane.h {
                    let block = pairs.block();
                    *prediction = prediction.wrapping_add(mcus.bits.dc_difference(dc)?);
                    block[0] = *prediction as i16;
                    let (any, coded) = mcus.bits.ac_block(ac, block)?;
                    // Blocks that fill up MCUs are read over.
                    if x < plane.blocks.width as usize && y < plane.blocks.height as usize {
                        if let Some(builders) = &mut builders {
                            builders[index][v].copy(block[0], coded);
                        }
                        pairs.put(index, (x, y), !any);
                    }
                }
            }
        }
    }
    pairs.finish();
    // Nothing is made of a row before it is known that its bits were there.
    mcus.check()
}

#[cfg(test)]
mod tests {
    use crate::error::Result;
    use crate::geometry::Size;
    use crate::jpeg::Decoder;
    use crate::jpeg::sample_files::{Options, encode, picture};
    use crate::limits::Limits;

    /// Rows of a file until the end or an error, what it warns of, and whether libjpeg took no part.
    fn decode(file: &[u8], with_libjpeg: bool) -> (Vec<u8>, Option<String>, Vec<String>, bool) {
        let mut decoder = match Decoder::new(file.to_vec(), &Limits::default()) {
            Ok(decoder) => decoder,
            Err(error) => return (Vec::new(), Some(error.message), Vec::new(), false),
        };
        if with_libjpeg {
            decoder.use_libjpeg();
        }
        let row_bytes = decoder.header().size.width as usize * decoder.format().channels();
        let mut pixels = Vec::new();
        let mut rows = vec![0; 7 * row_bytes];
        let mut read = || -> Result<usize> {
            let count = decoder.read_scanlines(&mut rows)?;
            pixels.extend_from_slice(&rows[..count * row_bytes]);
            Ok(count)
        };
        let error = loop {
            match read() {
                Ok(0) => break None,
                Ok(_) => {}
                Err(error) => break Some(error.message),
            }
        };
        (pixels, error, decoder.warnings(), decoder.native.is_some())
    }

    #[test]
    fn rows_are_those_of_libjpeg() {
        let sizes = [(1, 1), (2, 3), (3, 2), (5, 17), (8, 8), (16, 16), (17, 33), (31, 9), (64, 48), (211, 131)];
        let mut count = 0;
        for (sampling, gray) in
            [((1, 1), true), ((2, 2), true), ((1, 1), false), ((2, 1), false), ((1, 2), false), ((2, 2), false)]
        {
            for (width, height) in sizes {
                for (progressive, restart_interval, quality) in
                    [(false, 0, 95), (false, 3, 60), (false, 1, 100), (true, 0, 95), (true, 2, 30)]
                {
                    let size = Size::new(width, height);
                    let options = Options { sampling, gray, progressive, restart_interval, quality };
                    let file = encode(&picture(size, gray), size, options);
                    let (pixels, error, warnings, native) = decode(&file, false);
                    assert!(native, "{size:?} {options:?}");
                    let reference = decode(&file, true);
                    assert_eq!((error, warnings), (reference.1, reference.2), "{size:?} {options:?}");
                    assert!(pixels == reference.0, "{size:?} {options:?}: other pixels");
                    count += 1;
                }
            }
        }
        assert_eq!(count, 300);
    }

    #[test]
    fn broken_streams_end_as_with_libjpeg() {
        let size = Size::new(97, 83);
        let mut state = 5u32;
        let mut random = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        for (progressive, restart_interval) in [(false, 0), (false, 4), (true, 0), (true, 5)] {
            let options = Options { sampling: (2, 2), gray: false, progressive, restart_interval, quality: 80 };
            let file = encode(&picture(size, false), size, options);
            for round in 0..500 {
                let mut broken = file.clone();
                match round % 4 {
                    // In front of the tables: a marker without a body.
                    3 if round < 8 => {
                        let tables = file.windows(2).position(|pair| pair == [0xff, 0xc4]).expect("tables");
                        broken[tables + 1] = 0x01;
                    }
                    0 => broken.truncate(random(file.len())),
                    1 => broken[random(file.len())] ^= 1 << random(8),
                    _ => {
                        let at = random(file.len());
                        broken.drain(at..(at + 1 + random(20)).min(file.len()));
                    }
                }
                let (found, reference) = (decode(&broken, false), decode(&broken, true));
                // Where libjpeg sees no fault, pixels and warnings are its own; where it does, rows before that are, of
                // which there may be a few more or less.
                let fault = |error: &Option<String>| {
                    let words = error.as_deref().unwrap_or_default().split(' ');
                    words.filter(|word| word.parse::<u32>().is_err()).collect::<Vec<_>>().join(" ")
                };
                assert_eq!(fault(&found.1), fault(&reference.1), "round {round} of {options:?}");
                assert_eq!(found.2, reference.2, "round {round} of {options:?}");
                let both = found.0.len().min(reference.0.len());
                assert!(found.0[..both] == reference.0[..both], "round {round} of {options:?}: other pixels");
            }
        }
    }
}
