//! All coefficients of a JPEG with more than one scan (ITU-T T.81, annexes F and G).

use multiversion::multiversion;
use rayon::prelude::*;

use super::coded::{Block, Zigzag};
use super::entropy::{Bits, BlockMut, Mcus, Result, Surprise};
use super::frame::{Frame, Plane, Scan};
use super::huffman::{self, Histogram};

/// The coefficients of one plane, for the blocks of whole MCUs in rows from the top.
pub(super) struct Stored {
    dc: Vec<i16>,
    /// In zigzag order; the first of each block is not used.
    ac: Vec<Block>,
    /// Bit k of a block says that coefficient k is not zero. Blocks without any are never touched, nor their memory.
    nonzero: Vec<u64>,
    across: usize,
}

impl Stored {
    fn new(plane: &Plane) -> Self {
        let count = plane.padded.pixels() as usize;
        Stored {
            dc: vec![0; count],
            ac: vec![[0; 64]; count],
            nonzero: vec![0; count],
            across: plane.padded.width as usize,
        }
    }

    /// Bytes for all planes.
    pub(super) fn bytes(planes: &[Plane]) -> u64 {
        planes
            .iter()
            .map(|plane| plane.padded.pixels() * (size_of::<Block>() + size_of::<i16>() + size_of::<u64>()) as u64)
            .sum()
    }

    /// The block at (`x`, `y`).
    #[inline]
    pub(super) fn block(&self, x: usize, y: usize) -> Zigzag<'_> {
        let at = y * self.across + x;
        Zigzag { dc: self.dc[at], ac: &self.ac[at], nonzero: self.nonzero[at] }
    }

    /// Symbols that a sequential stream of the blocks inside the image holds: of DC values, and of AC coefficients.
    pub(super) fn histograms(&self, plane: &Plane) -> [Histogram; 2] {
        let (mut dc, mut ac) = (Histogram::default(), Histogram::default());
        // Tiles put any two blocks next to each other, so every category needs a code.
        (0..=huffman::MAX_DC_CATEGORY).for_each(|category| dc.count(category as u8));
        for y in 0..plane.blocks.height as usize {
            let mut prediction = i32::from(self.block(0, y).dc);
            for x in 0..plane.blocks.width as usize {
                let block = self.block(x, y);
                let value = i32::from(block.dc);
                // Values that no baseline stream holds are refused later.
                dc.count(huffman::category(value - prediction).min(huffman::MAX_DC_CATEGORY) as u8);
                prediction = value;
                block.count(&mut ac);
            }
        }
        [dc, ac]
    }

    /// Decodes all scans, those that do not depend on each other in `pool`.
    pub(super) fn read(file: &[u8], frame: &Frame, pool: Option<&rayon::ThreadPool>) -> Result<Vec<Stored>> {
        let mut stored: Vec<Stored> = frame.planes.iter().map(Stored::new).collect();
        if !frame.progressive {
            frame.scans.iter().try_for_each(|scan| sequential(file, scan, frame, &mut stored))?;
            return Ok(stored);
        }
        let (mut dc, mut chains) = (Vec::new(), Vec::new());
        for (index, (Stored { dc: values, ac, nonzero, .. }, plane)) in stored.iter_mut().zip(&frame.planes).enumerate()
        {
            dc.push(&mut values[..]);
            let is_of = |scan: &&Scan| scan.end > 0 && scan.members[0].plane == index;
            chains.push(Chain::Ac(ac, nonzero, plane, frame.scans.iter().filter(is_of).collect()));
        }
        chains.push(Chain::Dc(dc, frame.scans.iter().filter(|scan| scan.end == 0).collect()));
        match pool {
            Some(pool) => {
                pool.install(|| chains.into_par_iter().with_max_len(1).try_for_each(|chain| chain.read(file, frame)))?
            }
            None => chains.into_iter().try_for_each(|chain| chain.read(file, frame))?,
        }
        Ok(stored)
    }
}

/// Scans of a progressive file that build on each other.
enum Chain<'a> {
    /// Of the DC values of all planes.
    Dc(Vec<&'a mut [i16]>, Vec<&'a Scan>),
    /// Of the AC coefficients of one plane.
    Ac(&'a mut [Block], &'a mut [u64], &'a Plane, Vec<&'a Scan>),
}

impl Chain<'_> {
    fn read(self, file: &[u8], frame: &Frame) -> Result<()> {
        match self {
            Chain::Dc(mut planes, scans) => {
                scans.into_iter().try_for_each(|scan| progressive_dc(file, scan, frame, &mut planes))
            }
            Chain::Ac(blocks, nonzero, plane, scans) => {
                scans.into_iter().try_for_each(|scan| progressive_ac(file, scan, plane, blocks, nonzero))
            }
        }
    }
}

/// Calls `read` with a member's index and the place of the block for each block of a scan, and with the DC value of the
/// member's block before, which is 0 at restarts.
fn blocks(
    file: &[u8],
    scan: &Scan,
    frame: &Frame,
    mut read: impl FnMut(&mut Bits, usize, usize, &mut i32) -> Result<()>,
) -> Result<()> {
    let mut mcus = Mcus::new(scan.data, scan.restart_interval);
    let mut predictions = [0; 4];
    if let [member] = &scan.members[..] {
        // One component alone has no MCUs of several blocks, and no blocks beyond the image.
        let plane = &frame.planes[member.plane];
        for y in 0..plane.blocks.height as usize {
            for x in 0..plane.blocks.width as usize {
                if mcus.next(file)? {
                    predictions = [0; 4];
                }
                read(&mut mcus.bits, 0, y * plane.padded.width as usize + x, &mut predictions[0])?;
            }
        }
    } else {
        for y in 0..frame.mcus.height as usize {
            for x in 0..frame.mcus.width as usize {
                if mcus.next(file)? {
                    predictions = [0; 4];
                }
                for (index, member) in scan.members.iter().enumerate() {
                    let plane = &frame.planes[member.plane];
                    for v in 0..plane.v {
                        for h in 0..plane.h {
                            let at = (y * plane.v + v) * plane.padded.width as usize + x * plane.h + h;
                            read(&mut mcus.bits, index, at, &mut predictions[index])?;
                        }
                    }
                }
            }
        }
    }
    mcus.finish(file).map(drop)
}

fn progressive_dc(file: &[u8], scan: &Scan, frame: &Frame, planes: &mut [&mut [i16]]) -> Result<()> {
    blocks(file, scan, frame, |bits, index, at, prediction| {
        let member = &scan.members[index];
        let value = &mut planes[member.plane][at];
        match &member.dc {
            Some(codes) => {
                *prediction = prediction.wrapping_add(bits.dc_difference(codes)?);
                *value = (*prediction << scan.low) as i16;
            }
            None => *value |= i16::from(bits.bit()) << scan.low,
        }
        Ok(())
    })
}

/// All blocks of a scan of AC coefficients. Copies for machines with other instructions, as for sequential scans.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt"))]
fn progressive_ac(file: &[u8], scan: &Scan, plane: &Plane, blocks: &mut [Block], nonzero: &mut [u64]) -> Result<()> {
    let codes = scan.members[0].ac.as_ref().expect("a scan of AC coefficients has their table");
    let band = (scan.start, scan.end, scan.low);
    let mut skip = 0;
    let mut mcus = Mcus::new(scan.data, scan.restart_interval);
    let (across, wide) = (plane.padded.width as usize, plane.blocks.width as usize);
    let rows = blocks.chunks_exact_mut(across).zip(nonzero.chunks_exact_mut(across));
    for (row, nonzero) in rows.take(plane.blocks.height as usize) {
        for (values, nonzero) in row[..wide].iter_mut().zip(nonzero) {
            let block = BlockMut { values, nonzero };
            if mcus.next(file)? {
                skip = 0;
            }
            if scan.high == 0 {
                mcus.bits.ac_first(codes, block, band, &mut skip)?;
            } else {
                mcus.bits.ac_refine(codes, block, band, &mut skip)?;
            }
        }
    }
    mcus.finish(file).map(drop)
}

fn sequential(file: &[u8], scan: &Scan, frame: &Frame, stored: &mut [Stored]) -> Result<()> {
    blocks(file, scan, frame, |bits, index, at, prediction| {
        let member = &scan.members[index];
        let (Some(dc), Some(ac)) = (&member.dc, &member.ac) else { unreachable!("a sequential scan has both tables") };
        let plane = &mut stored[member.plane];
        *prediction = prediction.wrapping_add(bits.dc_difference(dc)?);
        plane.dc[at] = *prediction as i16;
        let mut skip = 0;
        let block = BlockMut { values: &mut plane.ac[at], nonzero: &mut plane.nonzero[at] };
        bits.ac_first(ac, block, (1, 63, 0), &mut skip)?;
        // Only progressive scans end several blocks at once.
        if skip > 0 { Err(Surprise) } else { Ok(()) }
    })
}
