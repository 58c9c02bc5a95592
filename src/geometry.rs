//! Sizes, rectangles, corners, insets, the eight EXIF orientations and Bézier paths.

use serde::{Deserialize, Serialize};

/// Size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

impl Size {
    pub const fn new(width: u32, height: u32) -> Self {
        Size { width, height }
    }

    pub const fn pixels(self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// The next pyramid level: half, rounded up.
    pub const fn halved(self) -> Self {
        Size { width: self.width.div_ceil(2), height: self.height.div_ceil(2) }
    }

    /// Sizes of all pyramid levels, full resolution first; ends with the first that fits one tile of `tile_px`.
    pub fn levels(self, tile_px: u32) -> impl Iterator<Item = Size> {
        std::iter::successors(Some(self), move |last| {
            (last.width > tile_px || last.height > tile_px).then(|| last.halved())
        })
    }
}

/// Rectangle in pixels; `x`, `y` is its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

impl Rect {
    pub const fn of(size: Size) -> Self {
        Rect { x: 0, y: 0, width: size.width, height: size.height }
    }

    pub const fn size(self) -> Size {
        Size { width: self.width, height: self.height }
    }
}

/// A corner of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Corner {
    UpperLeft,
    UpperRight,
    BottomLeft,
    BottomRight,
}

impl Corner {
    /// Coordinates of the corner pixel of an image of `size`.
    pub const fn pixel(self, size: Size) -> (u32, u32) {
        let (right, bottom) = (size.width - 1, size.height - 1);
        match self {
            Corner::UpperLeft => (0, 0),
            Corner::UpperRight => (right, 0),
            Corner::BottomLeft => (0, bottom),
            Corner::BottomRight => (right, bottom),
        }
    }
}

/// Pixels cut from each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Insets {
    pub left: u32,
    pub right: u32,
    pub top: u32,
    pub bottom: u32,
}

impl Insets {
    pub const fn is_zero(self) -> bool {
        self.left == 0 && self.right == 0 && self.top == 0 && self.bottom == 0
    }

    /// What is left of an image of `size`; `None` when nothing is.
    pub fn apply(self, size: Size) -> Option<Rect> {
        let width = size.width.checked_sub(self.left)?.checked_sub(self.right)?;
        let height = size.height.checked_sub(self.top)?.checked_sub(self.bottom)?;
        (width > 0 && height > 0).then_some(Rect { x: self.left, y: self.top, width, height })
    }

    /// The insets that leave `rect` of an image of `size`.
    pub fn leaving(rect: Rect, size: Size) -> Self {
        Insets {
            left: rect.x,
            right: size.width - rect.x - rect.width,
            top: rect.y,
            bottom: size.height - rect.y - rect.height,
        }
    }
}

/// EXIF orientation (EXIF 2.32, tag 274): how stored rows and columns map to what a viewer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Orientation {
    #[default]
    Upright = 1,
    MirrorHorizontal = 2,
    Rotate180 = 3,
    MirrorVertical = 4,
    /// Mirror at the main diagonal.
    Transpose = 5,
    /// Turn clockwise to show upright.
    Rotate90 = 6,
    /// Mirror at the other diagonal.
    Transverse = 7,
    /// Turn counter-clockwise to show upright.
    Rotate270 = 8,
}

impl Orientation {
    /// From the tag's value; anything outside 1–8 is `None`.
    pub const fn from_tag(value: u32) -> Option<Self> {
        Some(match value {
            1 => Orientation::Upright,
            2 => Orientation::MirrorHorizontal,
            3 => Orientation::Rotate180,
            4 => Orientation::MirrorVertical,
            5 => Orientation::Transpose,
            6 => Orientation::Rotate90,
            7 => Orientation::Transverse,
            8 => Orientation::Rotate270,
            _ => return None,
        })
    }

    pub const fn swaps_sides(self) -> bool {
        self as u8 >= 5
    }

    /// Size as shown of an image stored with `size`.
    pub const fn oriented(self, size: Size) -> Size {
        if self.swaps_sides() { Size::new(size.height, size.width) } else { size }
    }

    /// Stored coordinates of the pixel shown at (`x`, `y`); `stored` is the stored size.
    pub const fn stored_pixel(self, x: u32, y: u32, stored: Size) -> (u32, u32) {
        let (right, bottom) = (stored.width - 1, stored.height - 1);
        match self {
            Orientation::Upright => (x, y),
            Orientation::MirrorHorizontal => (right - x, y),
            Orientation::Rotate180 => (right - x, bottom - y),
            Orientation::MirrorVertical => (x, bottom - y),
            Orientation::Transpose => (y, x),
            Orientation::Rotate90 => (y, bottom - x),
            Orientation::Transverse => (right - y, bottom - x),
            Orientation::Rotate270 => (right - y, x),
        }
    }

    /// Where a point of the stored image is shown; both in parts of width and height.
    pub fn shown_point(self, Point { x, y }: Point) -> Point {
        let (x, y) = match self {
            Orientation::Upright => (x, y),
            Orientation::MirrorHorizontal => (1.0 - x, y),
            Orientation::Rotate180 => (1.0 - x, 1.0 - y),
            Orientation::MirrorVertical => (x, 1.0 - y),
            Orientation::Transpose => (y, x),
            Orientation::Rotate90 => (1.0 - y, x),
            Orientation::Transverse => (1.0 - y, 1.0 - x),
            Orientation::Rotate270 => (y, 1.0 - x),
        };
        Point { x, y }
    }
}

/// A point; whoever uses it says in what unit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

/// A point of a Bézier outline, and the control points before and after it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Knot {
    pub before: Point,
    pub anchor: Point,
    pub after: Point,
}

/// How a shape is put together with those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Combine {
    /// What lies in one of both, not in both.
    Exclude,
    /// What lies in one of both or in both.
    Unite,
    /// What does not lie in the new shape.
    Subtract,
    /// What lies in both.
    Intersect,
}

/// Closed outlines that are filled together by the non-zero rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    pub combine: Combine,
    /// Each closed by a cubic from its last knot to its first.
    pub outlines: Vec<Vec<Knot>>,
}

/// An area of an image bounded by cubic Bézier curves: (0, 0) is the image's upper left corner, (1, 1) its lower right.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BezierPath {
    /// The shapes are put together with the whole plane instead of with nothing.
    pub starts_full: bool,
    pub shapes: Vec<Shape>,
}

impl BezierPath {
    /// All knots, outline after outline.
    pub fn outlines(&self) -> impl Iterator<Item = &[Knot]> {
        self.shapes.iter().flat_map(|shape| shape.outlines.iter().map(Vec::as_slice))
    }

    pub fn knots(&self) -> usize {
        self.outlines().map(<[Knot]>::len).sum()
    }

    /// The path on the image as it is shown, of a path on the image as it is stored.
    #[must_use]
    pub fn oriented(&self, orientation: Orientation) -> Self {
        let turned = |knot: &Knot| Knot {
            before: orientation.shown_point(knot.before),
            anchor: orientation.shown_point(knot.anchor),
            after: orientation.shown_point(knot.after),
        };
        let shapes = self.shapes.iter().map(|shape| Shape {
            combine: shape.combine,
            outlines: shape.outlines.iter().map(|outline| outline.iter().map(turned).collect()).collect(),
        });
        BezierPath { starts_full: self.starts_full, shapes: shapes.collect() }
    }
}
