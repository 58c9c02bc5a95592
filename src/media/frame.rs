//! One frame of a video as a PNG.

use std::path::Path;

use super::{Limits, MediaInfo, command};
use crate::error::{Error, Result, Stage};
use crate::geometry::Size;

/// How far before the wanted time the last frame of a video is looked for.
const LAST_FRAME_SECONDS: f64 = 10.0;

/// A frame that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Why it is not the frame that was asked for.
    pub warning: Option<String>,
}

/// Writes a frame of the file at `path`, whose description is `info`, to `output` as PNG: as shown, in 8 or 16 bits as
/// the video has them. It is the first one at or after `time_ms`, the last one where none follows, and the first of
/// all without a time or for a time outside the video. An audio file gives its cover picture.
///
/// # Errors
/// `Unsupported` without ffmpeg and for audio without a cover, `Malformed` when no frame can be decoded, `Limit` when
/// that takes too long.
pub fn frame(path: &Path, info: &MediaInfo, time_ms: Option<i64>, output: &Path, limits: &Limits) -> Result<Frame> {
    let Some(video) = &info.video else {
        if !info.cover {
            return Err(Error::unsupported(Stage::Decode, "the file has no picture: it is audio without a cover"));
        }
        take(path, &Shot { stream: "0:v:0", filter: None, pixels: "rgb24", seek: 0.0, last: false }, output, limits)?;
        let warning = time_ms.map(|_| "thumbnailTime: audio has no frames, its cover picture is used".to_owned());
        return Ok(Frame { warning });
    };
    let Size { width, height } = video.shown;
    // Where a file does not say, HD is BT.709 and the rest BT.601, as players take it.
    let matrix = if video.matrix_known || height < 720 { "auto" } else { "bt709" };
    let filter =
        format!("scale={width}:{height}:flags=lanczos+accurate_rnd+full_chroma_int:in_color_matrix={matrix},setsar=1");
    let shot = |seek, last| Shot { stream: "0:V:0", filter: Some(&filter), pixels: pixels(&video.pixels), seek, last };
    let mut warning = None;
    if let Some(time) = time_ms {
        let seconds = time as f64 / 1e3;
        let end = video.duration.or(info.duration).map(|duration| duration.as_secs_f64());
        if time < 0 || end.is_some_and(|end| seconds >= end) {
            let end = end.map_or(String::new(), |end| format!(" of {:.0} ms", end * 1e3));
            warning = Some(format!("thumbnailTime {time} ms is outside the video{end}; its first frame is used"));
        } else if take(path, &shot(seconds, false), output, limits)?
            || take(path, &shot((seconds - LAST_FRAME_SECONDS).max(0.0), true), output, limits)?
        {
            return Ok(Frame { warning: None });
        } else {
            warning = Some(format!("thumbnailTime {time} ms: no frame can be decoded there; the first frame is used"));
        }
    }
    if take(path, &shot(0.0, false), output, limits)? {
        return Ok(Frame { warning });
    }
    Err(Error::malformed(Stage::Decode, "no frame of the video can be decoded"))
}

struct Shot<'a> {
    stream: &'a str,
    filter: Option<&'a str>,
    pixels: &'a str,
    /// Seconds.
    seek: f64,
    /// The last frame from there, not the first.
    last: bool,
}

/// Whether there was such a frame.
fn take(path: &Path, shot: &Shot<'_>, output: &Path, limits: &Limits) -> Result<bool> {
    let mut arguments = command::fence(limits);
    command::push(&mut arguments, &["-nostdin", "-y"]);
    if shot.seek > 0.0 {
        command::push(&mut arguments, &["-ss", &format!("{:.3}", shot.seek)]);
    }
    command::push(&mut arguments, &["-i"]);
    let name = command::PlainName::of(path)?;
    arguments.push(name.argument());
    command::push(&mut arguments, &["-map", shot.stream]);
    if let Some(filter) = shot.filter {
        command::push(&mut arguments, &["-vf", filter]);
    }
    if !shot.last {
        command::push(&mut arguments, &["-frames:v", "1"]);
    }
    command::push(&mut arguments, &["-pix_fmt", shot.pixels, "-c:v", "png", "-f", "image2", "-update", "1"]);
    arguments.push(command::file(output));
    std::fs::write(output, []).map_err(|e| Error::io(Stage::Decode, output, e))?;
    let mut child = command::start("ffmpeg", &arguments, limits)?;
    // It writes nothing to its pipe; the end of that is the end of the program.
    let _ = command::read_all(&mut child, u64::MAX);
    command::finish(child, "decoding a frame", limits)?;
    Ok(std::fs::metadata(output).is_ok_and(|file| file.len() > 0))
}

/// The PNG pixel format, in FFmpeg's names, that loses nothing of a video's.
fn pixels(video: &str) -> &'static str {
    let plain = video.trim_end_matches("le").trim_end_matches("be");
    let deep =
        plain.len() < video.len() && ["9", "10", "12", "14", "16", "48", "64"].iter().any(|n| plain.ends_with(n));
    let gray = ["gray", "ya", "mono"].iter().any(|name| video.starts_with(name));
    let alpha =
        ["yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "ya", "pal8"].iter().any(|name| video.starts_with(name));
    match (gray, alpha, deep) {
        (true, false, false) => "gray",
        (true, false, true) => "gray16be",
        (true, true, false) => "ya8",
        (true, true, true) => "ya16be",
        (false, false, false) => "rgb24",
        (false, false, true) => "rgb48be",
        (false, true, false) => "rgba",
        (false, true, true) => "rgba64be",
    }
}

#[cfg(test)]
mod tests {
    use super::pixels;

    #[test]
    fn pixel_formats_lose_nothing() {
        for (video, png) in [
            ("yuv420p", "rgb24"),
            ("yuvj420p", "rgb24"),
            ("nv12", "rgb24"),
            ("yuv420p10le", "rgb48be"),
            ("yuva444p12le", "rgba64be"),
            ("yuva420p", "rgba"),
            ("gbrp", "rgb24"),
            ("rgb48le", "rgb48be"),
            ("rgb565le", "rgb24"),
            ("gray", "gray"),
            ("gray10le", "gray16be"),
            ("ya8", "ya8"),
            ("", "rgb24"),
        ] {
            assert_eq!(pixels(video), png, "{video}");
        }
    }
}
