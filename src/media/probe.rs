//! What a file holds, as ffprobe says.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::{Limits, command};
use crate::error::{Error, Result, Stage};
use crate::geometry::Size;

/// More than the description of any real file.
const MAX_DESCRIPTION_BYTES: u64 = 16 << 20;

/// What matters of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaInfo {
    /// FFmpeg's names of the container.
    pub container: String,
    /// `None` where the file does not say.
    pub duration: Option<Duration>,
    pub bits_per_second: Option<u64>,
    /// The first one that is no cover picture.
    pub video: Option<VideoStream>,
    pub audio: Option<AudioStream>,
    /// Whether it carries a cover picture.
    pub cover: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct VideoStream {
    pub codec: String,
    /// As shown: turned as the file says, pixels made square.
    pub shown: Size,
    /// FFmpeg's name of the pixel format.
    pub pixels: String,
    /// Whether the file says how YCbCr becomes RGB.
    pub matrix_known: bool,
    pub duration: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AudioStream {
    pub codec: String,
    pub channels: u32,
    pub sample_rate: u32,
    pub duration: Option<Duration>,
}

impl MediaInfo {
    /// In a few words, for people.
    pub fn summary(&self) -> String {
        let mut parts = Vec::new();
        if let Some(duration) = self.duration {
            parts.push(format!("{:.1} s", duration.as_secs_f64()));
        }
        parts.extend(self.video.as_ref().map(|video| video.codec.clone()));
        parts.extend(self.audio.as_ref().map(|audio| audio.codec.clone()));
        parts.join(", ")
    }
}

/// Looks at the file at `path`.
///
/// # Errors
/// `Unsupported` without ffprobe, `Malformed` for a file that it cannot read or that holds neither video nor audio,
/// `Limit` for one that is too long, has too large a frame or keeps ffprobe busy for too long.
pub fn probe(path: &Path, limits: &Limits) -> Result<MediaInfo> {
    let mut arguments = command::fence(limits);
    command::push(&mut arguments, &["-of", "json", "-show_format", "-show_streams", "-i"]);
    let name = command::PlainName::of(path)?;
    arguments.push(name.argument());
    let mut child = command::start("ffprobe", &arguments, limits)?;
    let text = command::read_all(&mut child, MAX_DESCRIPTION_BYTES);
    command::finish(child, "reading the file", limits)?;
    let text = text.map_err(|e| Error::io(Stage::Open, path, e))?;
    let description: Description = serde_json::from_slice(&text)
        .map_err(|e| Error::malformed(Stage::Open, format!("what ffprobe says of the file makes no sense: {e}")))?;
    let info = description.into_info();
    if info.video.is_none() && info.audio.is_none() {
        return Err(Error::malformed(Stage::Open, "the file holds neither video nor audio"));
    }
    if let Some(Size { width, height }) = info.video.as_ref().map(|video| video.shown)
        && u64::from(width) * u64::from(height) > limits.max_frame_pixels
    {
        return Err(Error::limit(
            Stage::Open,
            format!("a frame has {width} × {height} pixels; at most {} are allowed", limits.max_frame_pixels),
        ));
    }
    if let Some(duration) = info.duration.filter(|duration| *duration > limits.max_duration) {
        return Err(Error::limit(
            Stage::Open,
            format!(
                "the file lasts {} s; at most {} are encoded: raise --max-minutes",
                duration.as_secs(),
                limits.max_duration.as_secs()
            ),
        ));
    }
    Ok(info)
}

#[derive(Deserialize)]
struct Description {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default)]
struct Format {
    #[serde(default)]
    format_name: String,
    duration: Option<String>,
    bit_rate: Option<String>,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    codec_type: String,
    #[serde(default)]
    codec_name: String,
    #[serde(default)]
    width: u32,
    #[serde(default)]
    height: u32,
    #[serde(default)]
    pix_fmt: String,
    sample_aspect_ratio: Option<String>,
    color_space: Option<String>,
    #[serde(default)]
    channels: u32,
    sample_rate: Option<String>,
    duration: Option<String>,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    disposition: Disposition,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Deserialize, Default)]
struct Disposition {
    #[serde(default)]
    attached_pic: u8,
}

/// Matroska has the duration of a stream here.
#[derive(Deserialize, Default)]
struct Tags {
    #[serde(rename = "DURATION")]
    duration: Option<String>,
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

impl Description {
    fn into_info(self) -> MediaInfo {
        let is_cover = |stream: &Stream| stream.disposition.attached_pic != 0;
        let shows = |stream: &&Stream| stream.codec_type == "video" && stream.width > 0 && stream.height > 0;
        let video = self.streams.iter().filter(shows).find(|stream| !is_cover(stream));
        let audio = self.streams.iter().find(|stream| stream.codec_type == "audio");
        let longest = self.streams.iter().filter_map(Stream::duration).max();
        MediaInfo {
            duration: self.format.duration.as_deref().and_then(seconds).or(longest),
            bits_per_second: self.format.bit_rate.as_deref().and_then(|rate| rate.parse().ok()),
            video: video.map(Stream::video),
            audio: audio.map(|stream| AudioStream {
                codec: stream.codec_name.clone(),
                channels: stream.channels,
                sample_rate: stream.sample_rate.as_deref().and_then(|rate| rate.parse().ok()).unwrap_or(0),
                duration: stream.duration(),
            }),
            cover: self.streams.iter().filter(shows).any(is_cover),
            container: self.format.format_name,
        }
    }
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok().filter(|duration| !duration.is_zero())
}

/// Hours, minutes and seconds, as in `01:02:03.5`.
fn clock(text: &str) -> Option<Duration> {
    let total = text.split(':').try_fold(0.0, |total, part| Some(total * 60.0 + part.parse::<f64>().ok()?))?;
    Duration::try_from_secs_f64(total).ok().filter(|duration| !duration.is_zero())
}

impl Stream {
    fn duration(&self) -> Option<Duration> {
        self.duration.as_deref().and_then(seconds).or_else(|| self.tags.duration.as_deref().and_then(clock))
    }

    fn video(&self) -> VideoStream {
        let aspect = self.sample_aspect_ratio.as_deref().and_then(|ratio| {
            let (x, y) = ratio.split_once(':')?;
            let (x, y): (f64, f64) = (x.parse().ok()?, y.parse().ok()?);
            // What is not a number of this size is a fault of the file, which players pass over too.
            Some(x / y).filter(|ratio| (0.05..=20.0).contains(ratio))
        });
        let width = (f64::from(self.width) * aspect.unwrap_or(1.0)).round().max(1.0) as u32;
        let turned = self.side_data_list.iter().filter_map(|data| data.rotation).any(|angle| {
            let quarter = (angle / 90.0).round() as i64;
            quarter % 2 != 0
        });
        VideoStream {
            codec: self.codec_name.clone(),
            shown: if turned { Size::new(self.height, width) } else { Size::new(width, self.height) },
            pixels: self.pix_fmt.clone(),
            matrix_known: self.color_space.as_deref().is_some_and(|space| space != "unknown"),
            duration: self.duration(),
        }
    }
}
