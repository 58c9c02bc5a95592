//! WGSL programs: shared parts, one main part, and the constants of a variant.

use std::fmt::Write;

use crate::pixel::PixelFormat;

/// One variant of one program; its entry point is `main`.
///
/// By convention binding 0 is a uniform block of parameters, and storage buffers follow from binding 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shader {
    label: String,
    source: String,
}

impl Shader {
    /// Composes `parts` in order, behind `constants` as `const NAME: u32 = value;`.
    /// The label of name and constants identifies the variant: the same pair always goes with the same parts.
    fn new(name: &str, constants: &[(&str, u32)], parts: &[&str]) -> Self {
        let mut label = name.to_owned();
        let mut source = String::new();
        for (constant, value) in constants {
            // Writing to a string cannot fail.
            let _ = write!(label, " {constant}={value}");
            let _ = writeln!(source, "const {constant}: u32 = {value}u;");
        }
        for part in parts {
            source.push_str(part);
        }
        Shader { label, source }
    }

    /// A program over pixels of `format` in rows as [`Layout`](super::Layout) has them: as [`new`](Self::new), with
    /// the format's constants before `constants` and `shared/samples.wgsl` before `parts`.
    pub fn over_pixels(name: &str, format: PixelFormat, constants: &[(&str, u32)], parts: &[&str]) -> Self {
        let mut all_constants = vec![
            ("COMPONENTS", format.color.components() as u32),
            ("ALPHA", format.alpha.into()),
            ("DEPTH", 8 * format.depth.bytes() as u32),
        ];
        all_constants.extend(constants);
        let mut all_parts = vec![include_str!("../../shaders/shared/samples.wgsl")];
        all_parts.extend(parts);
        Self::new(name, &all_constants, &all_parts)
    }

    /// Name and constants.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The whole WGSL text.
    pub fn source(&self) -> &str {
        &self.source
    }
}
