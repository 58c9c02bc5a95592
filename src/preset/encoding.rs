//! Presets that say what a rendition of video or audio is.

use serde::{Deserialize, Serialize};

use super::{Preset, PresetKind, misuse};
use crate::error::Result;
use crate::geometry::Size;

/// Names the built-in presets for adaptive delivery together; see [`adaptive_ladder`].
pub const ADAPTIVE_ENCODINGS: &str = "ps|adaptive";

/// What one rendition is made like. At least one of `video` and `audio` is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EncodingPreset {
    pub kind: PresetKind,
    pub name: String,
    pub container: Container,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<Video>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<Audio>,
    /// What the rendition's name has behind that of the original.
    pub suffix: String,
    /// Whether the rendition belongs to the adaptive set.
    #[serde(default)]
    pub adaptive: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Video {
    pub codec: VideoCodec,
    /// Bounds in pixels: the frame is made to fit, keeps its aspect ratio and is never enlarged. `None`: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// On average.
    pub bits_per_second: u32,
    /// Between key frames, at the most.
    #[serde(default = "two_seconds")]
    pub key_frame_seconds: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Audio {
    pub codec: AudioCodec,
    /// On average; not for `flac` and `pcm`, which lose nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits_per_second: Option<u32>,
}

fn two_seconds() -> f64 {
    2.0
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $(#[serde(rename = $word)] $variant),+ }

        impl $name {
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

words! {
    /// A container, by the ending of its files.
    Container { Mp4 = "mp4", Mov = "mov", WebM = "webm", Mkv = "mkv", M4a = "m4a", Mp3 = "mp3", Ogg = "ogg", Flac = "flac", Wav = "wav" }
}

words! {
    VideoCodec { H264 = "h264", Hevc = "hevc", Vp9 = "vp9" }
}

words! {
    AudioCodec { Aac = "aac", Opus = "opus", Vorbis = "vorbis", Mp3 = "mp3", Flac = "flac", Pcm = "pcm" }
}

impl Container {
    /// FFmpeg's name of what writes it.
    pub const fn muxer(self) -> &'static str {
        match self {
            Container::Mkv => "matroska",
            Container::M4a => "ipod",
            other => other.name(),
        }
    }

    const fn holds_video(self, codec: VideoCodec) -> bool {
        match self {
            Container::Mkv => true,
            Container::Mp4 | Container::Mov => matches!(codec, VideoCodec::H264 | VideoCodec::Hevc),
            Container::WebM => matches!(codec, VideoCodec::Vp9),
            Container::M4a | Container::Mp3 | Container::Ogg | Container::Flac | Container::Wav => false,
        }
    }

    const fn holds_audio(self, codec: AudioCodec) -> bool {
        use AudioCodec as A;
        match self {
            Container::Mkv => true,
            Container::Mp4 => matches!(codec, A::Aac | A::Mp3 | A::Opus),
            Container::Mov => matches!(codec, A::Aac | A::Mp3 | A::Pcm),
            Container::WebM => matches!(codec, A::Opus | A::Vorbis),
            Container::M4a => matches!(codec, A::Aac),
            Container::Mp3 => matches!(codec, A::Mp3),
            Container::Ogg => matches!(codec, A::Opus | A::Vorbis | A::Flac),
            Container::Flac => matches!(codec, A::Flac),
            Container::Wav => matches!(codec, A::Pcm),
        }
    }
}

impl AudioCodec {
    const fn is_lossless(self) -> bool {
        matches!(self, AudioCodec::Flac | AudioCodec::Pcm)
    }
}

impl Preset for EncodingPreset {
    const KIND: PresetKind = PresetKind::VideoEncoding;

    fn check(&self) -> Result<()> {
        let refuse = |why: String| Err(misuse(why));
        let container = self.container.name();
        if self.video.is_none() && self.audio.is_none() {
            return refuse("it has neither video nor audio".into());
        }
        if self.suffix.is_empty() || self.suffix.len() > 40 || self.suffix.chars().any(|c| c == '/' || c.is_control()) {
            return refuse(format!("suffix is {:?}; it has 1 to 40 bytes and no slash", self.suffix));
        }
        if let Some(video) = &self.video {
            if !self.container.holds_video(video.codec) {
                return refuse(format!("{container} files do not hold {} video", video.codec.name()));
            }
            for (name, side) in [("width", video.width), ("height", video.height)] {
                if side.is_some_and(|side| !(16..=16_384).contains(&side)) {
                    return refuse(format!("video.{name} is {}; it is 16 to 16384 pixels", side.unwrap_or_default()));
                }
            }
            check_rate("video", video.bits_per_second, 10_000, 500_000_000)?;
            if !(0.1..=60.0).contains(&video.key_frame_seconds) {
                return refuse(format!("video.keyFrameSeconds is {}; it is 0.1 to 60", video.key_frame_seconds));
            }
        }
        if let Some(audio) = &self.audio {
            if !self.container.holds_audio(audio.codec) {
                return refuse(format!("{container} files do not hold {} audio", audio.codec.name()));
            }
            match audio.bits_per_second {
                Some(rate) if !audio.codec.is_lossless() => check_rate("audio", rate, 8_000, 512_000)?,
                None if audio.codec.is_lossless() => {}
                Some(_) => return refuse(format!("{} audio has no audio.bitsPerSecond", audio.codec.name())),
                None => return refuse("audio.bitsPerSecond is missing".into()),
            }
        }
        if self.adaptive && self.video.is_none() {
            return refuse("adaptive is true; only video goes into an adaptive set".into());
        }
        Ok(())
    }
}

fn check_rate(what: &str, rate: u32, least: u32, most: u32) -> Result<()> {
    if (least..=most).contains(&rate) {
        return Ok(());
    }
    Err(misuse(format!("{what}.bitsPerSecond is {rate}; it is {least} to {most} bits per second")))
}

impl Video {
    /// The size of a rendition of a video that is shown at `source`: inside the bounds, of even sides, as the codecs
    /// want them, and not larger than the source.
    pub fn size(&self, source: Size) -> Size {
        let ratio = |bound: Option<u32>, side: u32| bound.map_or(1.0, |bound| f64::from(bound) / f64::from(side));
        let scale = ratio(self.width, source.width).min(ratio(self.height, source.height)).min(1.0);
        let even = |side: u32| ((f64::from(side) * scale / 2.0).round() as u32 * 2).max(2);
        Size::new(even(source.width), even(source.height))
    }
}

/// A preset that comes with the program.
#[derive(Debug, Clone, Copy)]
pub struct BuiltinEncoding {
    pub handle: &'static str,
    pub name: &'static str,
    container: Container,
    video: Option<(VideoCodec, u32, u32)>,
    audio: (AudioCodec, u32),
    suffix: &'static str,
    adaptive: bool,
}

const fn mp4(
    handle: &'static str,
    name: &'static str,
    suffix: &'static str,
    video: (u32, u32),
    audio: u32,
) -> BuiltinEncoding {
    BuiltinEncoding {
        handle,
        name,
        container: Container::Mp4,
        video: Some((VideoCodec::H264, video.0, video.1)),
        audio: (AudioCodec::Aac, audio),
        suffix,
        adaptive: true,
    }
}

/// The built-in presets; their handles never change.
pub static ENCODINGS: [BuiltinEncoding; 9] = [
    mp4("ps|mp4-240p", "MP4 240p, 0.4 Mbit/s", "_240p", (240, 400_000), 64_000),
    mp4("ps|mp4-360p", "MP4 360p, 0.8 Mbit/s", "_360p", (360, 800_000), 96_000),
    mp4("ps|mp4-480p", "MP4 480p, 1.4 Mbit/s", "_480p", (480, 1_400_000), 128_000),
    mp4("ps|mp4-720p", "MP4 720p, 2.8 Mbit/s", "_720p", (720, 2_800_000), 128_000),
    mp4("ps|mp4-1080p", "MP4 1080p, 5 Mbit/s", "_1080p", (1080, 5_000_000), 192_000),
    mp4("ps|mp4-2160p", "MP4 2160p, 14 Mbit/s", "_2160p", (2160, 14_000_000), 192_000),
    BuiltinEncoding {
        handle: "ps|webm-720p",
        name: "WebM 720p, 2 Mbit/s",
        container: Container::WebM,
        video: Some((VideoCodec::Vp9, 720, 2_000_000)),
        audio: (AudioCodec::Opus, 96_000),
        suffix: "_720p_webm",
        adaptive: false,
    },
    BuiltinEncoding {
        handle: "ps|m4a-128k",
        name: "M4A 128 kbit/s",
        container: Container::M4a,
        video: None,
        audio: (AudioCodec::Aac, 128_000),
        suffix: "_128k",
        adaptive: false,
    },
    BuiltinEncoding {
        handle: "ps|mp3-192k",
        name: "MP3 192 kbit/s",
        container: Container::Mp3,
        video: None,
        audio: (AudioCodec::Mp3, 192_000),
        suffix: "_192k",
        adaptive: false,
    },
];

impl BuiltinEncoding {
    pub fn find(handle: &str) -> Option<&'static BuiltinEncoding> {
        ENCODINGS.iter().find(|preset| preset.handle == handle)
    }

    pub fn preset(&self) -> EncodingPreset {
        let (codec, rate) = self.audio;
        EncodingPreset {
            kind: PresetKind::VideoEncoding,
            name: self.name.into(),
            container: self.container,
            video: self.video.map(|(codec, height, bits_per_second)| Video {
                codec,
                width: None,
                height: Some(height),
                bits_per_second,
                key_frame_seconds: two_seconds(),
            }),
            audio: Some(Audio { codec, bits_per_second: Some(rate) }),
            suffix: self.suffix.into(),
            adaptive: self.adaptive,
        }
    }
}

/// The built-in adaptive presets that fit a video of this height: those that make it smaller, the first one that does
/// not, and none above.
pub fn adaptive_ladder(height: u32) -> impl Iterator<Item = &'static BuiltinEncoding> {
    let side = |preset: &BuiltinEncoding| preset.video.map_or(0, |(_, side, _)| side);
    let mut whole = false;
    ENCODINGS
        .iter()
        .filter(|preset| preset.adaptive)
        .take_while(move |preset| !std::mem::replace(&mut whole, side(preset) >= height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_presets_are_sound() {
        for builtin in &ENCODINGS {
            let preset = builtin.preset();
            let read = super::super::read(&serde_json::to_string(&preset).unwrap()).unwrap();
            assert_eq!(super::super::stored::<EncodingPreset>(&read.document).unwrap(), preset, "{}", builtin.handle);
        }
    }

    #[test]
    fn the_ladder_ends_with_the_source() {
        let handles = |height| adaptive_ladder(height).map(|preset| preset.handle).collect::<Vec<_>>();
        assert_eq!(handles(100), ["ps|mp4-240p"]);
        assert_eq!(handles(360), ["ps|mp4-240p", "ps|mp4-360p"]);
        assert_eq!(handles(400), ["ps|mp4-240p", "ps|mp4-360p", "ps|mp4-480p"]);
        assert_eq!(handles(1080).last(), Some(&"ps|mp4-1080p"));
        assert_eq!(handles(9000).len(), 6);
    }

    #[test]
    fn sizes_fit_and_are_even() {
        let video = |width, height| Video {
            codec: VideoCodec::H264,
            width,
            height,
            bits_per_second: 1_000_000,
            key_frame_seconds: 2.0,
        };
        assert_eq!(video(None, Some(360)).size(Size::new(1920, 1080)), Size::new(640, 360));
        assert_eq!(video(None, Some(720)).size(Size::new(641, 359)), Size::new(642, 360));
        assert_eq!(video(Some(100), Some(360)).size(Size::new(1920, 1080)), Size::new(100, 56));
        assert_eq!(video(None, None).size(Size::new(3, 1)), Size::new(4, 2));
        assert_eq!(video(Some(16), None).size(Size::new(10_000, 2)), Size::new(16, 2));
    }

    #[test]
    fn what_is_wrong_with_a_preset_is_named() {
        for (text, words) in [
            ("{}", "container"),
            (r#"{"container":"mp4","suffix":"_x"}"#, "neither video nor audio"),
            (r#"{"container":"mp4","suffix":"_x","audio":{"codec":"vorbis","bitsPerSecond":64000}}"#, "do not hold"),
            (r#"{"container":"mp3","suffix":"_x","audio":{"codec":"mp3"}}"#, "bitsPerSecond is missing"),
            (r#"{"container":"mp3","suffix":"_x","audio":{"codec":"mp3","bitsPerSecond":1}}"#, "8000 to 512000"),
            (r#"{"container":"mp3","suffix":"a/b","audio":{"codec":"mp3","bitsPerSecond":64000}}"#, "no slash"),
            (r#"{"container":"mp3","suffix":"_x","audio":{"codec":"mp3","bitrate":64000}}"#, "unknown field"),
            (
                r#"{"container":"mp3","suffix":"_x","adaptive":true,"audio":{"codec":"mp3","bitsPerSecond":64000}}"#,
                "adaptive",
            ),
            (
                r#"{"container":"webm","suffix":"_x","video":{"codec":"h264","bitsPerSecond":100000}}"#,
                "webm files do not hold h264",
            ),
            (
                r#"{"container":"mp4","suffix":"_x","video":{"codec":"h264","height":9,"bitsPerSecond":100000}}"#,
                "16 to 16384",
            ),
        ] {
            let text = text.replacen('{', r#"{"kind":"VideoEncoding","name":"x","#, 1).replace(",}", "}");
            let error = super::super::read(&text).unwrap_err();
            assert!(error.message.contains(words), "{text}: {error}");
        }
    }
}
