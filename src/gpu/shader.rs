//! WGSL programs: shared parts, one main part, and the constants of a variant.

use std::fmt::Write;

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
    /// Name and constants identify the variant: the same pair always goes with the same parts.
    pub fn new(name: &str, constants: &[(&str, u32)], parts: &[&str]) -> Self {
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

    /// Name and constants.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The whole WGSL text.
    pub fn source(&self) -> &str {
        &self.source
    }
}
