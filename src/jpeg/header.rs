//! What stands before the first scan of a JPEG (ITU-T T.81, annex B), and which scans follow.

use std::ops::Range;

use crate::error::{Error, Result, Stage};
use crate::geometry::Size;

/// More scans than any encoder writes; each costs a pass over all coefficients, so a small file could
/// otherwise ask for hours of work.
const MAX_SCANS: usize = 500;

const SOI: u8 = 0xd8;
pub(super) const EOI: u8 = 0xd9;
pub(super) const SOS: u8 = 0xda;
const DRI: u8 = 0xdd;

/// How the coefficients are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    Baseline,
    /// Sequential with more or finer tables.
    Extended,
    Progressive,
}

/// One component of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    pub id: u8,
    /// Sampling factors, 1 to 4.
    pub horizontal: u8,
    pub vertical: u8,
    /// Number of its quantisation table.
    pub quantization: u8,
}

/// Density of a JFIF marker; `unit` 0 is aspect ratio only, 1 per inch, 2 per centimetre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jfif {
    pub unit: u8,
    pub x: u16,
    pub y: u16,
}

/// Everything before the first scan, and the number of scans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub size: Size,
    pub process: Process,
    pub components: Vec<Component>,
    /// MCUs between restart markers; 0 is none.
    pub restart_interval: u16,
    pub jfif: Option<Jfif>,
    /// Colour transform of the Adobe marker: 0 none, 1 YCbCr, 2 YCCK.
    pub adobe_transform: Option<u8>,
    /// More than one scan, so that decoding holds all coefficients.
    pub multiple_scans: bool,
    /// What is odd but harmless.
    pub warnings: Vec<String>,
    /// Application segments: number 0–15 and the bytes that follow the length.
    segments: Vec<(u8, Range<usize>)>,
    /// Where there is more than one scan: the position of the first marker behind the data of each, other than those of
    /// restarts. It is missing behind a scan that is cut off.
    pub(super) scan_ends: Vec<usize>,
}

impl Header {
    /// Reads the header of `data`, and the scan headers where there is more than one scan.
    ///
    /// # Errors
    /// `Malformed` for a broken or truncated header and for scans that leave a component out;
    /// `Unsupported` for processes and depths other than 8-bit Huffman-coded DCT;
    /// `Limit` for more scans than any encoder writes.
    pub fn parse(data: &[u8]) -> Result<Header> {
        if !data.starts_with(&[0xff, SOI]) {
            return Err(malformed("it does not start with a JPEG start-of-image marker"));
        }
        let mut frame = None;
        let mut restart_interval = 0;
        let mut jfif = None;
        let mut adobe_transform = None;
        let mut segments = Vec::new();
        let mut at = 2;
        loop {
            let (marker, after) = next_marker(data, at).ok_or_else(|| malformed("it ends inside its header"))?;
            at = after;
            match marker {
                0x01 | 0xd0..=0xd7 => continue,
                SOI => return Err(malformed("a second image starts inside its header")),
                EOI => return Err(malformed("it ends before any image data")),
                _ => {}
            }
            let body = segment(data, at)?;
            let bytes = &data[body.clone()];
            at = body.end;
            match marker {
                0xc0..=0xc2 if frame.is_some() => return Err(malformed("it has two frame headers")),
                0xc0 => frame = Some((Process::Baseline, read_frame(bytes)?)),
                0xc1 => frame = Some((Process::Extended, read_frame(bytes)?)),
                0xc2 => frame = Some((Process::Progressive, read_frame(bytes)?)),
                0xc3 | 0xc5..=0xcb | 0xcd..=0xcf | 0xf7 => return Err(unsupported_frame(marker)),
                DRI => {
                    let bytes = bytes.try_into().map_err(|_| malformed("a restart interval has the wrong length"))?;
                    restart_interval = u16::from_be_bytes(bytes);
                }
                0xe0..=0xef => {
                    match (marker, bytes) {
                        (0xe0, [b'J', b'F', b'I', b'F', 0, _, _, unit, x0, x1, y0, y1, _, _, ..]) => {
                            let (x, y) = (u16::from_be_bytes([*x0, *x1]), u16::from_be_bytes([*y0, *y1]));
                            jfif = Some(Jfif { unit: *unit, x, y });
                        }
                        (0xee, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => {
                            adobe_transform = Some(*transform);
                        }
                        _ => {}
                    }
                    segments.push((marker - 0xe0, body));
                }
                SOS => {
                    let (process, (size, components)) =
                        frame.ok_or_else(|| malformed("a scan starts before the frame header"))?;
                    let multiple_scans =
                        process == Process::Progressive || bytes.first() != Some(&(components.len() as u8));
                    let mut header = Header {
                        size,
                        process,
                        components,
                        restart_interval,
                        jfif,
                        adobe_transform,
                        multiple_scans,
                        warnings: Vec::new(),
                        segments,
                        scan_ends: Vec::new(),
                    };
                    if multiple_scans {
                        header.check_scans(data, body)?;
                    }
                    return Ok(header);
                }
                _ => {}
            }
        }
    }

    pub fn is_progressive(&self) -> bool {
        self.process == Process::Progressive
    }

    /// Bodies of the application segments `number` that start with `signature`, which is cut off.
    pub(super) fn segments<'a>(
        &'a self,
        data: &'a [u8],
        number: u8,
        signature: &'static [u8],
    ) -> impl Iterator<Item = &'a [u8]> {
        self.segments
            .iter()
            .filter(move |(n, _)| *n == number)
            .filter_map(move |(_, range)| data[range.clone()].strip_prefix(signature))
    }

    fn max_sampling(&self) -> (u64, u64) {
        let max = |f: fn(&Component) -> u8| self.components.iter().map(f).max().unwrap_or(1).into();
        (max(|c| c.horizontal), max(|c| c.vertical))
    }

    /// Bytes of all coefficients, as libjpeg holds them when there is more than one scan.
    pub(super) fn coefficient_bytes(&self) -> u64 {
        let (h, v) = self.max_sampling();
        let mcus = u64::from(self.size.width).div_ceil(8 * h) * u64::from(self.size.height).div_ceil(8 * v);
        let blocks: u64 = self.components.iter().map(|c| u64::from(c.horizontal) * u64::from(c.vertical)).sum();
        mcus * blocks * 128
    }

    /// Bytes of libjpeg's row buffers: ten groups of rows per component and the upsampled rows.
    pub(super) fn row_buffer_bytes(&self) -> u64 {
        let (h, v) = self.max_sampling();
        let width = u64::from(self.size.width).next_multiple_of(8 * h);
        let rows: u64 = self.components.iter().map(|c| 10 * u64::from(c.vertical) + v).sum();
        width * rows
    }

    /// Follows the scans from the first, whose header lies at `first`, to the end of the image.
    fn check_scans(&mut self, data: &[u8], first: Range<usize>) -> Result<()> {
        // Per component and coefficient, the lowest bit decoded so far; `None` before its first scan.
        let mut lowest_bit = vec![[None::<u8>; 64]; self.components.len()];
        let mut scans = 0;
        let mut body = first;
        let mut ended = false;
        'scans: loop {
            scans += 1;
            if scans > MAX_SCANS {
                return Err(Error::limit(
                    Stage::Decode,
                    format!("it has more than {MAX_SCANS} scans, which no encoder writes"),
                ));
            }
            self.note_scan(&data[body.clone()], &mut lowest_bit)?;
            let mut at = body.end;
            loop {
                let Some((marker, after)) = next_marker(data, at) else { break 'scans };
                at = after;
                if self.scan_ends.len() < scans && !matches!(marker, 0xd0..=0xd7) {
                    self.scan_ends.push(at - 2);
                }
                match marker {
                    0x01 | 0xd0..=0xd7 => {}
                    EOI => {
                        ended = true;
                        break 'scans;
                    }
                    _ => {
                        // Cut off in the middle: no further scan can follow.
                        let Ok(range) = segment(data, at) else { break 'scans };
                        at = range.end;
                        if marker == SOS {
                            body = range;
                            continue 'scans;
                        }
                    }
                }
            }
        }
        for (index, bits) in lowest_bit.iter().enumerate() {
            if bits[0].is_none() {
                return Err(malformed(format!("no scan holds component {}", index + 1)));
            }
        }
        if lowest_bit.iter().flatten().any(|bit| *bit != Some(0)) {
            if !ended {
                return Err(malformed(format!("it ends after scan {scans}, before all detail has arrived")));
            }
            self.warnings.push("its scans leave out some detail; it was decoded without".to_string());
        }
        Ok(())
    }

    fn note_scan(&self, scan: &[u8], lowest_bit: &mut [[Option<u8>; 64]]) -> Result<()> {
        let wrong = || malformed("a scan header is broken");
        let (&count, rest) = scan.split_first().ok_or_else(wrong)?;
        let (selectors, spectral) = rest.split_at_checked(2 * usize::from(count)).ok_or_else(wrong)?;
        let &[start, end, approximation] = spectral else { return Err(wrong()) };
        let (range, bit) = match self.process {
            Process::Progressive => (usize::from(start)..usize::from(end) + 1, approximation & 15),
            Process::Baseline | Process::Extended => (0..64, 0),
        };
        for selector in selectors.chunks_exact(2) {
            let index = self.components.iter().position(|c| c.id == selector[0]).ok_or_else(wrong)?;
            lowest_bit[index].get_mut(range.clone()).ok_or_else(wrong)?.fill(Some(bit));
        }
        Ok(())
    }
}

/// The next marker at or after `at`, and the position behind it. Bytes before it are skipped, as libjpeg does.
pub(super) fn next_marker(data: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += memchr::memchr(0xff, data.get(at..)?)?;
        at += data[at..].iter().position(|&byte| byte != 0xff)?;
        let marker = data[at];
        at += 1;
        if marker != 0 {
            return Some((marker, at));
        }
    }
}

/// The range of a segment's bytes behind its length, which stands at `at`.
pub(super) fn segment(data: &[u8], at: usize) -> Result<Range<usize>> {
    let cut = || malformed("it ends inside its header");
    let length = data.get(at..at + 2).ok_or_else(cut)?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    if length < 2 {
        return Err(malformed("a segment states an impossible length"));
    }
    if at + length > data.len() {
        return Err(cut());
    }
    Ok(at + 2..at + length)
}

fn read_frame(bytes: &[u8]) -> Result<(Size, Vec<Component>)> {
    let [precision, h0, h1, w0, w1, count, components @ ..] = bytes else {
        return Err(malformed("its frame header is too short"));
    };
    if *precision != 8 {
        return Err(unsupported(format!("it has {precision} bits per sample; only 8 can be decoded")));
    }
    if components.len() != 3 * usize::from(*count) {
        return Err(malformed("its frame header has the wrong length"));
    }
    if !matches!(count, 1 | 3 | 4) {
        return Err(unsupported(format!("it has {count} components; only 1, 3 and 4 can be decoded")));
    }
    let size = Size::new(u16::from_be_bytes([*w0, *w1]).into(), u16::from_be_bytes([*h0, *h1]).into());
    if size.height == 0 && size.width > 0 {
        return Err(unsupported("its height stands behind the first scan (DNL marker)"));
    }
    let components: Vec<_> = components
        .chunks_exact(3)
        .map(|c| Component { id: c[0], horizontal: c[1] >> 4, vertical: c[1] & 15, quantization: c[2] })
        .collect();
    if components.iter().any(|c| !(1..=4).contains(&c.horizontal) || !(1..=4).contains(&c.vertical)) {
        return Err(malformed("a sampling factor is not 1 to 4"));
    }
    Ok((size, components))
}

fn unsupported_frame(marker: u8) -> Error {
    unsupported(match marker {
        0xc3 => "it is a lossless JPEG",
        0xc5..=0xc7 | 0xcd..=0xcf => "it is a hierarchical JPEG",
        0xc9..=0xcb => "it uses arithmetic coding",
        0xf7 => "it is a JPEG-LS file",
        _ => "it uses a reserved JPEG process",
    })
}

fn malformed(message: impl Into<String>) -> Error {
    Error::malformed(Stage::Decode, format!("this JPEG file is broken: {}", message.into()))
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::unsupported(Stage::Decode, format!("this JPEG file cannot be decoded: {}", message.into()))
}
