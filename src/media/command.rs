//! How FFmpeg's programs are called: the arguments that fence them in, and what their end means.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Limits;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::external;
use crate::external::child::{End, GuardedChild};

/// Containers that are read. Playlists and the like, which lead to other files, are not among them.
const DEMUXERS: &str =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,asf,mp3,aac,wav,flac,ogg,aiff";

/// Child of one of FFmpeg's programs.
pub(super) fn start(program: &str, arguments: &[OsString], limits: &Limits) -> Result<GuardedChild> {
    let path: PathBuf = external::find(program).ok_or_else(|| {
        Error::unsupported(Stage::Open, format!("{program} was not found; install the package ffmpeg"))
    })?;
    let mut child =
        GuardedChild::spawn(path.as_os_str(), arguments.iter().map(OsString::as_os_str), limits.child_bytes, None)
            .map_err(|e| Error::io(Stage::Open, &path, e))?;
    child.allow(limits.stall_time);
    Ok(child)
}

/// Arguments in front of the one that names the input, without its `-i`.
pub(super) fn fence(limits: &Limits) -> Vec<OsString> {
    let pixels = limits.max_frame_pixels.to_string();
    ["-hide_banner", "-v", "error", "-protocol_whitelist", "file,pipe", "-format_whitelist", DEMUXERS, "-max_pixels"]
        .into_iter()
        .map(OsString::from)
        .chain([pixels.into()])
        .collect()
}

/// An original under a name without an ending. FFmpeg goes by the ending too when it guesses what a file is, and here
/// only content counts.
pub(super) struct PlainName {
    argument: OsString,
    /// Holds the link that has the name.
    _folder: Option<TempDir>,
}

impl PlainName {
    pub(super) fn of(path: &Path) -> Result<Self> {
        link(path)
            .map(|(name, folder)| PlainName { argument: file(&name), _folder: folder })
            .map_err(|e| Error::io(Stage::Open, path, e))
    }

    pub(super) fn argument(&self) -> OsString {
        self.argument.clone()
    }
}

#[cfg(unix)]
fn link(path: &Path) -> io::Result<(PathBuf, Option<TempDir>)> {
    let folder = tempfile::tempdir()?;
    let name = folder.path().join("original");
    std::os::unix::fs::symlink(std::path::absolute(path)?, &name)?;
    Ok((name, Some(folder)))
}

/// Elsewhere making links takes rights that few have.
#[cfg(not(unix))]
fn link(path: &Path) -> io::Result<(PathBuf, Option<TempDir>)> {
    Ok((path.to_owned(), None))
}

/// A file name that can be nothing but that.
pub(super) fn file(path: &Path) -> OsString {
    let mut name = OsString::from("file:");
    name.push(path);
    name
}

pub(super) fn push(arguments: &mut Vec<OsString>, more: &[&str]) {
    arguments.extend(more.iter().map(OsStr::new).map(OsStr::to_owned));
}

/// What a child's end means: nothing when it is content, together with its first complaint.
///
/// # Errors
/// `Limit` when it took too long, `Malformed` with its own words when it gave up.
pub(super) fn finish(mut child: GuardedChild, what: &str, limits: &Limits) -> Result<Option<String>> {
    match child.end() {
        Ok(End::Exited(status)) => {
            let said = complaint(&child.complaint());
            if status.success() {
                return Ok(said);
            }
            let said = said.unwrap_or_else(|| format!("it gives no reason ({status})"));
            Err(Error::malformed(Stage::Decode, format!("FFmpeg gave up {what}: {said}")))
        }
        Ok(End::TimedOut) => Err(Error::limit(
            Stage::Decode,
            format!("FFmpeg made no progress {what} for {} s: raise --page-seconds", limits.stall_time.as_secs()),
        )),
        Err(error) => {
            Err(Error::new(ErrorKind::Io, Stage::Decode, format!("FFmpeg cannot be ended: {error}")).caused_by(error))
        }
    }
}

/// The first line that says something, without the address of the object that says it and without the file's name.
fn complaint(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let said = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((_, said)) => said,
        None => line,
    };
    Some(match (said.strip_prefix("file:"), said.rsplit_once(": ")) {
        (Some(_), Some((_, reason))) => reason.to_owned(),
        _ => said.to_owned(),
    })
}

/// Reads all that a child writes, at most `max_bytes`.
pub(super) fn read_all(child: &mut GuardedChild, max_bytes: u64) -> io::Result<Vec<u8>> {
    use io::Read;
    let mut bytes = Vec::new();
    child.take(max_bytes).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn complaints_are_short() {
        assert_eq!(complaint("\n[mov,mp4 @ 0x55d] moov atom not found\nmore"), Some("moov atom not found".into()));
        assert_eq!(
            complaint("file:/a: b.mp4: Invalid data found when processing input"),
            Some("Invalid data found when processing input".into())
        );
        assert_eq!(complaint("Conversion failed!"), Some("Conversion failed!".into()));
        assert_eq!(complaint(" \n"), None);
    }
}
