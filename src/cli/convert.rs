//! `reprise convert`: images to pyramid TIFFs without a library.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use reprise::engine::{Backend, Context, batch, pipeline};
use reprise::error::{Error, ErrorKind, Result, Stage};
use walkdir::WalkDir;

use super::Verdict;
use super::args::{ConvertArgs, MachineArgs};
use super::output::{self, Progress};
use super::signals;

pub fn convert(args: &ConvertArgs) -> Result<Verdict> {
    let Some((out, inputs)) = args.paths.split_last() else { return Ok(Verdict::AllGood) };
    let pairs = plan_outputs(inputs, out)?;
    let recipe = args.recipe();
    let context = context(&args.machine)?;
    let stop = signals::stop_flag()?;
    let halt = AtomicBool::new(false);
    let progress = Progress::new(pairs.len() as u64, "images");
    let start = Instant::now();
    let total = pairs.len();
    let (mut done, mut skipped, mut failed, mut pixels) = (0u64, 0u64, 0u64, 0u64);
    batch::run(
        pairs.into_iter(),
        context.lanes(),
        || halt.load(Ordering::Relaxed) || stop.load(Ordering::Relaxed),
        |pair| {
            let done = pair
                .check(args.overwrite)
                .and_then(|()| pipeline::convert(&pair.input, &pair.output, &recipe, &context));
            // Set by the lane itself, before it takes its next image.
            halt.fetch_or(args.failures.fail_fast && done.as_ref().is_err_and(|e| !pair.skips(e)), Ordering::Relaxed);
            done
        },
        |pair, result| {
            match result {
                Ok(converted) => {
                    done += 1;
                    pixels += converted.original.pixels();
                    for warning in &converted.warnings {
                        progress.complain(format_args!("warning: {}: {warning}", pair.input.display()));
                    }
                    progress.line(format_args!("{} → {}  {converted}", pair.input.display(), pair.output.display()));
                }
                Err(error) if pair.skips(&error) => {
                    skipped += 1;
                    progress.complain(format_args!("skipped: {}", error.of(pair.input.display().to_string())));
                }
                Err(error) => {
                    failed += 1;
                    progress.complain(format_args!("error: {}", error.of(pair.input.display().to_string())));
                }
            }
            progress.step();
        },
    );
    drop(progress);
    let seconds = start.elapsed().as_secs_f64();
    let left = total as u64 - done - skipped - failed;
    output::complain(format_args!(
        "{done} of {total} converted, {failed} failed{}{}; {:.1} megapixels in {seconds:.1} s ({:.1} per second)",
        if skipped > 0 { format!(", {skipped} skipped") } else { String::new() },
        if left > 0 { format!(", {left} not started") } else { String::new() },
        pixels as f64 / 1e6,
        pixels as f64 / 1e6 / seconds.max(1e-9),
    ));
    if left > 0 && stop.load(Ordering::Relaxed) {
        return Ok(Verdict::Stopped);
    }
    Ok(if failed == 0 { Verdict::AllGood } else { Verdict::SomeFailed })
}

/// Opens the backend and says why the CPU is used, if a GPU was not found.
pub fn context(machine: &MachineArgs) -> Result<Context> {
    Context::new(Backend::open(machine.backend())?, machine.max_memory, machine.threads())
}

/// One image to convert.
#[derive(Debug, PartialEq)]
struct Pair {
    input: PathBuf,
    output: PathBuf,
    /// Given by the user, not found in a folder.
    named: bool,
}

impl Pair {
    /// Whether the error only says that a folder holds something else as well.
    fn skips(&self, error: &Error) -> bool {
        !self.named && is_no_original(&self.input, error)
    }

    /// Refuses to replace anything that the user did not say may be replaced.
    fn check(&self, overwrite: bool) -> Result<()> {
        if self.output.exists() && !overwrite {
            return Err(Error::misuse(
                Stage::Open,
                format!("{} exists already; --overwrite replaces it", self.output.display()),
            ));
        }
        if let Some(folder) = self.output.parent() {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(Stage::Open, folder, e))?;
        }
        Ok(())
    }
}

/// Which file goes where. Files found in folders keep their place below OUT; two inputs that would meet in one
/// output keep their whole file name there.
fn plan_outputs(inputs: &[PathBuf], out: &Path) -> Result<Vec<Pair>> {
    if let [input] = inputs
        && !input.is_dir()
        && !out.is_dir()
        && out.extension().is_some_and(|e| e.eq_ignore_ascii_case("tif") || e.eq_ignore_ascii_case("tiff"))
    {
        let pair = Pair { input: input.clone(), output: out.to_path_buf(), named: true };
        return refuse_overlap(vec![pair]);
    }
    if out.is_file() {
        return Err(Error::misuse(Stage::Open, "is a file; OUT must be a folder when there is more than one input")
            .of(out.display().to_string()));
    }
    let mut found: Vec<(PathBuf, PathBuf, bool)> = Vec::new();
    for input in inputs {
        if input.is_dir() {
            for path in files_below(input)? {
                let below = path.strip_prefix(input).unwrap_or(&path).to_path_buf();
                found.push((path, below, false));
            }
        } else {
            let name = input
                .file_name()
                .ok_or_else(|| Error::misuse(Stage::Open, "has no file name").of(input.display().to_string()))?;
            found.push((input.clone(), name.into(), true));
        }
    }
    if found.is_empty() {
        return Err(Error::misuse(Stage::Open, "no file to convert was found in the given folders"));
    }
    let mut wanted: HashMap<PathBuf, usize> = HashMap::new();
    for (_, below, _) in &found {
        *wanted.entry(below.with_extension("tif")).or_default() += 1;
    }
    let mut pairs = Vec::with_capacity(found.len());
    for (input, below, named) in found {
        let mut name = below.with_extension("tif");
        if wanted[&name] > 1 {
            name = below;
            name.as_mut_os_string().push(".tif");
        }
        pairs.push(Pair { input, output: out.join(name), named });
    }
    refuse_overlap(pairs)
}

/// An output must never be one of the originals, nor the output of another.
fn refuse_overlap(pairs: Vec<Pair>) -> Result<Vec<Pair>> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let originals: std::collections::HashSet<PathBuf> = pairs.iter().map(|p| real(&p.input)).collect();
    let mut outputs = std::collections::HashSet::new();
    for pair in &pairs {
        if originals.contains(&real(&pair.output)) {
            return Err(Error::misuse(Stage::Open, "the output would replace an original; choose another OUT")
                .of(pair.output.display().to_string()));
        }
        if !outputs.insert(&pair.output) {
            return Err(Error::misuse(
                Stage::Open,
                "two inputs would write this file; convert them to different folders",
            )
            .of(pair.output.display().to_string()));
        }
    }
    Ok(pairs)
}

/// Whether a file found in a folder is simply something else than an original: not a format we know, and not named
/// like one. A text file called `photo.jpg` is a broken original.
pub fn is_no_original(path: &Path, error: &Error) -> bool {
    const NAMES: [&str; 20] = [
        "jpg", "jpeg", "jpe", "jfif", "png", "tif", "tiff", "gif", "bmp", "webp", "psd", "psb", "pdf", "eps", "ps",
        "ai", "indd", "mp4", "mov", "icc",
    ];
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    error.kind == ErrorKind::Unsupported && !NAMES.contains(&extension.as_str())
}

/// Files in a folder and below it, hidden ones left out, in the order of their names. Links are followed, but for those
/// to a folder around them. What cannot be read is among the files, so that it is an error of its own.
///
/// # Errors
/// `Io` when the folder itself cannot be read.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
    let entries = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    let mut files = Vec::new();
    for entry in entries.filter_entry(|e| e.depth() == 0 || !hidden(e.file_name())) {
        match entry {
            Ok(entry) if entry.file_type().is_file() => files.push(entry.into_path()),
            Ok(_) => {}
            Err(error) if error.loop_ancestor().is_some() => {}
            Err(error) => match error.path() {
                Some(path) if error.depth() > 0 => files.push(path.to_path_buf()),
                _ => return Err(Error::io(Stage::Open, folder, error.into())),
            },
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }

    #[test]
    fn folders_keep_their_structure_and_equal_stems_keep_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let (input, out) = (dir.path().join("in"), dir.path().join("out"));
        for name in ["a.jpg", "a.png", "sub/b.tif", ".hidden.jpg", ".git/c.jpg"] {
            touch(&input.join(name));
        }
        let outputs: Vec<_> = plan_outputs(&[input], &out)
            .unwrap()
            .into_iter()
            .map(|p| p.output.strip_prefix(&out).unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(outputs, ["a.jpg.tif", "a.png.tif", "sub/b.tif"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_once_and_broken_ones_are_kept_to_be_reported() {
        let dir = tempfile::tempdir().unwrap();
        touch(&dir.path().join("elsewhere/b.jpg"));
        touch(&dir.path().join("in/a.jpg"));
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, dir.path().join("in").join(name)).unwrap();
        link("../elsewhere/b.jpg", "file.jpg");
        link("../elsewhere", "folder");
        link(".", "loop");
        link("/nowhere", "nothing.jpg");
        let files = files_below(&dir.path().join("in")).unwrap();
        let names: Vec<_> =
            files.iter().map(|file| file.strip_prefix(dir.path().join("in")).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.jpg", "file.jpg", "folder/b.jpg", "nothing.jpg"]);
        assert!(files_below(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn an_original_is_never_the_output() {
        let dir = tempfile::tempdir().unwrap();
        touch(&dir.path().join("a.tif"));
        let error = plan_outputs(&[dir.path().join("a.tif")], dir.path()).unwrap_err();
        assert!(error.message.contains("original"), "{error}");
    }

    #[test]
    fn two_inputs_never_share_an_output() {
        let dir = tempfile::tempdir().unwrap();
        touch(&dir.path().join("x/a.jpg"));
        touch(&dir.path().join("y/a.jpg"));
        let inputs = [dir.path().join("x/a.jpg"), dir.path().join("y/a.jpg")];
        assert!(plan_outputs(&inputs, &dir.path().join("out")).is_err());
    }
}
