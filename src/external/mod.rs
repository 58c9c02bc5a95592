//! Outside programs and libraries: whether they are here, and which version.

pub(crate) mod child;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use pdfium_render::prelude::{Pdfium, PdfiumLibraryBindings};

/// Environment variable that names the PDFium library or the folder that holds it.
pub const PDFIUM_VARIABLE: &str = "REPRISE_PDFIUM";

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub path: PathBuf,
    /// As the program gives it; empty where it gives none.
    pub version: String,
}

/// Ghostscript, for PostScript and EPS.
pub fn ghostscript() -> Option<Found> {
    program("gs", "--version")
}

/// FFmpeg, for video and audio.
pub fn ffmpeg() -> Option<Found> {
    program("ffmpeg", "-version")
}

/// FFmpeg's companion that reads durations and streams.
pub fn ffprobe() -> Option<Found> {
    program("ffprobe", "-version")
}

/// The PDFium library: where the variable says, beside the program, in it or in `.deps/pdfium`
/// of a folder above the program, or where the system loader finds it. Never in the current folder, which may be
/// anybody's. Found means that it could be loaded.
pub fn pdfium() -> Option<Found> {
    bind_pdfium().map(|(path, _)| Found { path, version: String::new() })
}

/// The same library, loaded into this process; for worker processes only.
pub(crate) fn load_pdfium() -> Option<Box<dyn PdfiumLibraryBindings>> {
    bind_pdfium().map(|(_, bindings)| bindings)
}

fn bind_pdfium() -> Option<(PathBuf, Box<dyn PdfiumLibraryBindings>)> {
    let bind = |path: &PathBuf| Pdfium::bind_to_library(path).ok().map(|bindings| (path.clone(), bindings));
    pdfium_candidates()
        .iter()
        .filter(|path| path.is_file())
        .find_map(bind)
        .or_else(|| Pdfium::bind_to_system_library().ok().map(|bindings| ("system library".into(), bindings)))
}

fn pdfium_candidates() -> Vec<PathBuf> {
    let name = Pdfium::pdfium_platform_library_name();
    let mut candidates = Vec::new();
    if let Some(named) = std::env::var_os(PDFIUM_VARIABLE) {
        let named = PathBuf::from(named);
        candidates.push(named.join(&name));
        candidates.push(named);
    }
    let program = std::env::current_exe().ok();
    for folder in program.iter().flat_map(|p| p.ancestors().skip(1)) {
        candidates.push(folder.join(&name));
        candidates.push(folder.join(".deps/pdfium").join(&name));
    }
    candidates
}

/// A program on the search path.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// A program on the search path, with the first line of what it says of its version.
fn program(name: &str, version_flag: &str) -> Option<Found> {
    let path = find(name)?;
    let output = Command::new(&path).arg(version_flag).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(Found { path, version: text.lines().next().unwrap_or_default().trim().to_owned() })
}
