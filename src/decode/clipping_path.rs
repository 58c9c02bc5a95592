//! The clipping path among Photoshop's image resources (Adobe Photoshop File Formats Specification, "Path resource
//! format"), whichever file format carries them.
//!
//! Resources 2000–2997 are the saved paths, each under its name; resource 2999 names the one that clips. A path is a
//! row of records of 26 bytes that begin with a selector:
//!
//! | selector | record |
//! |---|---|
//! | 0, 3 | a closed or open subpath begins: number of knots, then how it is combined with those before it |
//! | 1, 2, 4, 5 | a knot: three points (y, x), of which the second is the anchor; linked or not does not matter here |
//! | 6, 7 | fill rule and clipboard: nothing to fill by |
//! | 8 | initial fill: whether everything is filled to begin with |
//!
//! Coordinates are parts of the stored image's height and width in signed 8.24 fixed point, so they need no size.
//! An open subpath is closed by a straight line, as filling it does in Photoshop.
//!
//! A subpath combines by 0 (exclude), 1 (unite), 2 (subtract), 3 (intersect) or −1, which adds its outline to the shape
//! before it. Programs that know only 0 leave zeros there, so their overlapping subpaths make holes, as they should.

use super::photoshop_irb;
use crate::error::{Error, Result, Stage};
use crate::geometry::{BezierPath, Combine, Knot, Orientation, Point, Shape};

/// Resources that hold saved paths.
const PATHS: std::ops::RangeInclusive<u16> = 2000..=2997;
/// Resource that holds the name of the clipping path.
const CLIPPING_PATH_NAME: u16 = 2999;

const RECORD_BYTES: usize = 26;

/// Largest number of knots in a path; a careful cut-out by hand has a few hundred.
pub const MAX_KNOTS: usize = 1 << 17;

/// The path that cuts an image out.
#[derive(Debug, Clone, PartialEq)]
pub struct ClippingPath {
    /// For people.
    pub name: String,
    /// On the image as it is stored.
    pub area: BezierPath,
}

impl ClippingPath {
    /// On the image as it is shown.
    #[must_use]
    pub fn oriented(self, orientation: Orientation) -> Self {
        if orientation == Orientation::Upright { self } else { Self { area: self.area.oriented(orientation), ..self } }
    }
}

/// The clipping path in a block of image resources: the path that resource 2999 names, else the only path there is.
/// `None` when there is neither, or it has no subpath.
///
/// # Errors
/// `Malformed` when the path is broken, `Limit` when it has too many knots.
pub fn find(blocks: &[u8]) -> Result<Option<ClippingPath>> {
    let named = photoshop_irb::resource(blocks, CLIPPING_PATH_NAME)
        .and_then(photoshop_irb::pascal_string)
        .map(|(name, _)| name)
        .filter(|name| !name.is_empty());
    let paths = || photoshop_irb::resources(blocks).filter(|resource| PATHS.contains(&resource.id));
    let mut all = paths();
    let chosen = match paths().find(|path| Some(path.name) == named) {
        Some(path) => Some(path),
        None => all.next().filter(|_| all.next().is_none()),
    };
    let Some(path) = chosen else { return Ok(None) };
    let name = String::from_utf8_lossy(path.name).into_owned();
    let area = parse(path.data).map_err(|mut error| {
        error.message = format!("the clipping path {name:?} {}", error.message);
        error
    })?;
    Ok((!area.shapes.is_empty()).then_some(ClippingPath { name, area }))
}

/// Reads the records of one path.
///
/// # Errors
/// `Malformed` for records that no path has, `Limit` for more than [`MAX_KNOTS`] knots.
pub fn parse(data: &[u8]) -> Result<BezierPath> {
    let mut path = BezierPath::default();
    let mut missing = 0;
    let mut closed = true;
    let mut knots = 0;
    let broken = |record: usize, what: &str| Err(malformed(format!("is broken: record {record} {what}")));
    let records = data.as_chunks::<RECORD_BYTES>().0;
    for (number, record) in records.iter().enumerate() {
        let half = |at: usize| u16::from_be_bytes([record[at], record[at + 1]]);
        let selector = half(0);
        match selector {
            0 | 3 if missing > 0 => return broken(number, "begins a subpath inside another one"),
            0 | 3 => {
                missing = half(2);
                closed = selector == 0;
                if missing > 0 {
                    begin_outline(&mut path, half(4));
                }
            }
            1 | 2 | 4 | 5 if missing == 0 => return broken(number, "is a knot outside of a subpath"),
            1 | 2 | 4 | 5 => {
                knots += 1;
                if knots > MAX_KNOTS {
                    return Err(Error::limit(Stage::Decode, format!("has more than {MAX_KNOTS} knots")));
                }
                missing -= 1;
                let outline = path.shapes.last_mut().and_then(|shape| shape.outlines.last_mut());
                let outline = outline.expect("begun by the record that set `missing`");
                outline.push(knot(record));
                if missing == 0 && !closed {
                    close_straight(outline);
                }
            }
            6 | 7 => {}
            8 => path.starts_full = half(2) != 0,
            _ => return broken(number, &format!("has type {selector}, which does not exist")),
        }
    }
    if missing > 0 {
        return Err(malformed(format!("is cut off: {missing} knots are missing")));
    }
    // Taking away from nothing, or keeping what nothing shares with it, would leave nothing; adding to everything would
    // leave everything.
    match path.shapes.first().map(|shape| shape.combine) {
        Some(Combine::Subtract | Combine::Intersect) => path.starts_full = true,
        Some(Combine::Unite) => path.starts_full = false,
        Some(Combine::Exclude) | None => {}
    }
    Ok(path)
}

fn malformed(message: String) -> Error {
    Error::malformed(Stage::Decode, message)
}

fn begin_outline(path: &mut BezierPath, operation: u16) {
    let combine = match operation {
        1 => Combine::Unite,
        2 => Combine::Subtract,
        3 => Combine::Intersect,
        // −1
        0xffff if !path.shapes.is_empty() => {
            path.shapes.last_mut().expect("not empty").outlines.push(Vec::new());
            return;
        }
        _ => Combine::Exclude,
    };
    path.shapes.push(Shape { combine, outlines: vec![Vec::new()] });
}

fn knot(record: &[u8; RECORD_BYTES]) -> Knot {
    let number = |at: usize| {
        let bytes = [record[at], record[at + 1], record[at + 2], record[at + 3]];
        f64::from(i32::from_be_bytes(bytes)) / f64::from(1 << 24)
    };
    let point = |at| Point { x: number(at + 4), y: number(at) };
    Knot { before: point(2), anchor: point(10), after: point(18) }
}

fn close_straight(outline: &mut [Knot]) {
    if let Some(last) = outline.last_mut() {
        last.after = last.anchor;
    }
    if let Some(first) = outline.first_mut() {
        first.before = first.anchor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(selector: u16, words: &[u16]) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        for (i, word) in [selector].iter().chain(words).enumerate() {
            bytes[2 * i..2 * i + 2].copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    fn knot_at(selector: u16, x: f64, y: f64) -> [u8; RECORD_BYTES] {
        let mut bytes = record(selector, &[]);
        for (i, value) in [y - 0.125, x - 0.125, y, x, y + 0.125, x + 0.125].iter().enumerate() {
            let fixed = (value * f64::from(1 << 24)) as i32;
            bytes[2 + 4 * i..6 + 4 * i].copy_from_slice(&fixed.to_be_bytes());
        }
        bytes
    }

    #[test]
    fn knots_are_read_as_y_before_x_and_may_lie_outside() {
        let path = parse(&[record(6, &[]), record(0, &[1, 1]), knot_at(2, -3.5, 1.25)].concat()).unwrap();
        let [Shape { combine: Combine::Unite, outlines }] = &path.shapes[..] else { panic!("{path:?}") };
        let point = |x, y| Point { x, y };
        assert_eq!(
            outlines[0],
            [Knot { before: point(-3.625, 1.125), anchor: point(-3.5, 1.25), after: point(-3.375, 1.375) }]
        );
    }

    #[test]
    fn open_subpaths_are_closed_by_a_straight_line() {
        let path = parse(&[record(3, &[2]), knot_at(4, 0.5, 0.5), knot_at(5, 0.75, 0.5)].concat()).unwrap();
        let outline = &path.shapes[0].outlines[0];
        assert_eq!(outline[0].before, outline[0].anchor);
        assert_eq!(outline[1].after, outline[1].anchor);
        assert_ne!(outline[0].after, outline[0].anchor);
    }

    #[test]
    fn operations_combine_or_join() {
        let subpath = |operation| [record(0, &[1, operation]), knot_at(1, 0.5, 0.5)].concat();
        let path = parse(&[subpath(0xffff), subpath(0xffff), subpath(1), subpath(3), subpath(77)].concat()).unwrap();
        let shapes: Vec<_> = path.shapes.iter().map(|s| (s.combine, s.outlines.len())).collect();
        assert_eq!(
            shapes,
            [(Combine::Exclude, 2), (Combine::Unite, 1), (Combine::Intersect, 1), (Combine::Exclude, 1)]
        );
        assert!(!path.starts_full);
        assert!(parse(&subpath(2)).unwrap().starts_full);
        assert!(parse(&[record(8, &[1]).to_vec(), subpath(0)].concat()).unwrap().starts_full);
        assert!(!parse(&[record(8, &[1]).to_vec(), subpath(1)].concat()).unwrap().starts_full);
    }

    #[test]
    fn records_in_no_order_are_refused() {
        for (records, word) in [
            (vec![knot_at(1, 0.0, 0.0)], "outside of a subpath"),
            (vec![record(0, &[2]), knot_at(1, 0.0, 0.0)], "cut off: 1"),
            (vec![record(0, &[2]), record(0, &[1])], "inside another"),
            (vec![record(9, &[])], "type 9"),
        ] {
            let error = parse(&records.concat()).unwrap_err();
            assert!(error.message.contains(word), "{error}");
        }
    }
}
