//! Planes and scans of a JPEG, as far as decoding them here takes (ITU-T T.81, annexes A and B).

use std::ops::Range;
use std::sync::Arc;

use super::entropy::{Lookup, Result, Surprise};
use super::header::{self, Component, Header, Process};
use crate::geometry::Size;

/// The most blocks that an MCU may have (B.2.3).
const MOST_BLOCKS: usize = 10;

/// One component.
pub(super) struct Plane {
    /// Sampling factors; 1 where there is one component only.
    pub(super) h: usize,
    pub(super) v: usize,
    /// Pixels for each sample, 1 or 2.
    pub(super) across: usize,
    pub(super) down: usize,
    /// In samples.
    pub(super) size: Size,
    /// Blocks that hold samples of the image.
    pub(super) blocks: Size,
    /// Blocks of whole MCUs.
    pub(super) padded: Size,
    /// Steps of quantisation in zigzag order.
    pub(super) quantization: [u16; 64],
}

/// A component in a scan, with its tables where it names some.
pub(super) struct Member {
    pub(super) plane: usize,
    pub(super) dc: Option<Arc<Lookup>>,
    pub(super) ac: Option<Arc<Lookup>>,
}

pub(super) struct Scan {
    pub(super) members: Vec<Member>,
    /// First and last coefficient, in zigzag order.
    pub(super) start: usize,
    pub(super) end: usize,
    /// The bit that earlier scans came down to, 0 for a first one, and the bit that this one comes down to.
    pub(super) high: u32,
    pub(super) low: u32,
    /// MCUs between restart markers; 0 is none.
    pub(super) restart_interval: u32,
    /// Position of the first coded byte in the file.
    pub(super) data: usize,
}

pub(super) struct Frame {
    pub(super) planes: Vec<Plane>,
    /// MCUs across and down.
    pub(super) mcus: Size,
    pub(super) progressive: bool,
    pub(super) scans: Vec<Scan>,
}

#[derive(Default)]
struct Tables {
    quantization: [Option<[u16; 64]>; 4],
    dc: [Option<Arc<Lookup>>; 4],
    ac: [Option<Arc<Lookup>>; 4],
    restart_interval: u32,
}

impl Frame {
    /// Reads everything but what is coded.
    pub(super) fn read(data: &[u8], header: &Header) -> Result<Frame> {
        let alone = header.components.len() == 1;
        let factors = |c: &Component| if alone { (1, 1) } else { (u32::from(c.horizontal), u32::from(c.vertical)) };
        let max_h = header.components.iter().map(|c| factors(c).0).max().ok_or(Surprise)?;
        let max_v = header.components.iter().map(|c| factors(c).1).max().ok_or(Surprise)?;
        let mcus = Size::new(header.size.width.div_ceil(8 * max_h), header.size.height.div_ceil(8 * max_v));
        let plane = |component: &Component| {
            let (h, v) = factors(component);
            let size = Size::new((header.size.width * h).div_ceil(max_h), (header.size.height * v).div_ceil(max_v));
            let regular = (max_h == h || max_h == 2 * h) && (max_v == v || max_v == 2 * v);
            if !regular {
                return Err(Surprise);
            }
            Ok(Plane {
                h: h as usize,
                v: v as usize,
                across: (max_h / h) as usize,
                down: (max_v / v) as usize,
                size,
                blocks: Size::new(size.width.div_ceil(8), size.height.div_ceil(8)),
                padded: Size::new(mcus.width * h, mcus.height * v),
                quantization: [0; 64],
            })
        };
        let mut frame = Frame {
            planes: header.components.iter().map(plane).collect::<Result<_>>()?,
            mcus,
            progressive: header.process == Process::Progressive,
            scans: Vec::new(),
        };
        frame.read_scans(data, header)?;
        Ok(frame)
    }

    fn read_scans(&mut self, data: &[u8], header: &Header) -> Result<()> {
        let mut tables = Tables::default();
        let mut quantized = vec![false; self.planes.len()];
        let mut at = 2;
        loop {
            let (marker, after) = header::next_marker(data, at).ok_or(Surprise)?;
            // What else stands between segments, and markers without a body, are for libjpeg to judge.
            if data.get(at) != Some(&0xff) || matches!(marker, 0x01 | 0xd0..=0xd8) {
                return Err(Surprise);
            }
            at = after;
            if marker == header::EOI {
                return Ok(());
            }
            let body = header::segment(data, at).map_err(|_| Surprise)?;
            at = body.end;
            tables.read(marker, &data[body.clone()])?;
            if marker != header::SOS {
                continue;
            }
            let scan = self.read_scan(data, body, header, &tables)?;
            for member in &scan.members {
                if !std::mem::replace(&mut quantized[member.plane], true) {
                    let table = header.components[member.plane].quantization;
                    let table = tables.quantization.get(usize::from(table)).ok_or(Surprise)?;
                    self.planes[member.plane].quantization = table.ok_or(Surprise)?;
                }
            }
            self.scans.push(scan);
            if !header.multiple_scans {
                return Ok(());
            }
            at = *header.scan_ends.get(self.scans.len() - 1).ok_or(Surprise)?;
        }
    }

    fn read_scan(&self, data: &[u8], body: Range<usize>, header: &Header, tables: &Tables) -> Result<Scan> {
        let (&count, rest) = data[body.clone()].split_first().ok_or(Surprise)?;
        let (selectors, spectral) = rest.split_at_checked(2 * usize::from(count)).ok_or(Surprise)?;
        let &[start, end, approximation] = spectral else { return Err(Surprise) };
        let (start, end) = (usize::from(start), usize::from(end));
        let (high, low) = (u32::from(approximation >> 4), u32::from(approximation & 15));
        let regular = if self.progressive {
            let bands = if start == 0 { end == 0 } else { start <= end && end < 64 && count == 1 };
            bands && low <= 13 && (high == 0 || high == low + 1)
        } else {
            (start, end, high, low) == (0, 63, 0, 0)
        };
        if !regular {
            return Err(Surprise);
        }
        let mut members: Vec<Member> = Vec::new();
        for selector in selectors.chunks_exact(2) {
            let plane = header.components.iter().position(|c| c.id == selector[0]).ok_or(Surprise)?;
            // In the order of the frame, as the standard asks for.
            if members.last().is_some_and(|last| last.plane >= plane) {
                return Err(Surprise);
            }
            let (dc, ac) = (usize::from(selector[1] >> 4), usize::from(selector[1] & 15));
            let needs_dc = start == 0 && high == 0;
            let needs_ac = end > 0;
            let member = Member {
                plane,
                dc: if needs_dc { tables.dc.get(dc).cloned().flatten() } else { None },
                ac: if needs_ac { tables.ac.get(ac).cloned().flatten() } else { None },
            };
            if needs_dc && member.dc.is_none() || needs_ac && member.ac.is_none() {
                return Err(Surprise);
            }
            members.push(member);
        }
        let blocks: usize =
            members.iter().map(|member| self.planes[member.plane].h * self.planes[member.plane].v).sum();
        if members.is_empty() || members.len() > 1 && blocks > MOST_BLOCKS {
            return Err(Surprise);
        }
        let restart_interval = tables.restart_interval;
        Ok(Scan { members, start, end, high, low, restart_interval, data: body.end })
    }
}

impl Tables {
    fn read(&mut self, marker: u8, mut body: &[u8]) -> Result<()> {
        match marker {
            0xdb => {
                while let [kind, rest @ ..] = body {
                    let mut values = [0; 64];
                    let size = if kind >> 4 == 0 { 1 } else { 2 };
                    let (bytes, rest) = rest.split_at_checked(64 * size).ok_or(Surprise)?;
                    for (value, bytes) in values.iter_mut().zip(bytes.chunks_exact(size)) {
                        *value = bytes.iter().fold(0, |value, byte| value << 8 | u16::from(*byte));
                    }
                    *self.quantization.get_mut(usize::from(kind & 15)).ok_or(Surprise)? = Some(values);
                    body = rest;
                }
            }
            0xc4 => {
                while let [kind, rest @ ..] = body {
                    let (bits, rest) = rest.split_first_chunk::<16>().ok_or(Surprise)?;
                    let count = bits.iter().map(|count| usize::from(*count)).sum();
                    let (values, rest) = rest.split_at_checked(count).ok_or(Surprise)?;
                    // Symbols of DC tables are categories.
                    if kind >> 4 > 1 || kind >> 4 == 0 && values.iter().any(|category| *category > 15) {
                        return Err(Surprise);
                    }
                    let lookup = Lookup::new(bits, values)?;
                    let (class, lookup) =
                        if kind >> 4 == 0 { (&mut self.dc, lookup) } else { (&mut self.ac, lookup.with_steps()) };
                    *class.get_mut(usize::from(kind & 15)).ok_or(Surprise)? = Some(Arc::new(lookup));
                    body = rest;
                }
            }
            0xdd => {
                let bytes: [u8; 2] = body.try_into().map_err(|_| Surprise)?;
                self.restart_interval = u16::from_be_bytes(bytes).into();
            }
            _ => {}
        }
        Ok(())
    }
}
