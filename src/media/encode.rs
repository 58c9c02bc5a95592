//! Renditions, encoded by ffmpeg.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use super::{Limits, MediaInfo, command, probe};
use crate::error::{Error, Result, Stage};
use crate::preset::{Audio, AudioCodec, Container, EncodingPreset, Video, VideoCodec};

/// Threads of the video encoder. Fixed, and at work inside one frame, because bit rate control over frames in parallel
/// gives other bytes each time: the same original gives the same bytes on every machine.
const ENCODER_THREADS: &str = "4";

/// How much shorter than its source a rendition may be: half a second and one part in a hundred.
const SHORTER: (Duration, f64) = (Duration::from_millis(500), 0.01);

/// A rendition that was written.
#[derive(Debug, Clone)]
pub struct Encoding {
    /// Read back from the file.
    pub info: MediaInfo,
    pub bytes: u64,
    /// Of the file.
    pub hash: blake3::Hash,
    /// What ffmpeg did not like about the source, if anything.
    pub complaint: Option<String>,
}

/// Encodes the file at `path`, whose description is `source`, to `output`, and reads back what was written.
/// `on_progress` hears which share of the source is done, from 0 to 1, a few times a second.
///
/// # Errors
/// `Misuse` when the source has nothing that the preset wants, `Unsupported` without ffmpeg, `Malformed` when ffmpeg
/// gives up or the source ends early, `Limit` when there is no progress. What is at `output` is of no use then.
pub fn encode(
    path: &Path,
    source: &MediaInfo,
    preset: &EncodingPreset,
    output: &Path,
    limits: &Limits,
    on_progress: &mut dyn FnMut(f64),
) -> Result<Encoding> {
    let video = preset.video.as_ref().zip(source.video.as_ref());
    let audio = preset.audio.as_ref().zip(source.audio.as_ref());
    if video.is_none() && audio.is_none() {
        return Err(Error::misuse(Stage::Encode, "the file has nothing of what the preset is for"));
    }
    let mut arguments = command::fence(limits);
    command::push(&mut arguments, &["-nostdin", "-y", "-i"]);
    arguments.push(command::file(path));
    command::push(
        &mut arguments,
        &["-t", &limits.max_duration.as_secs().to_string(), "-sn", "-dn", "-map_chapters", "-1"],
    );
    if let Some((wanted, stream)) = video {
        let size = wanted.size(stream.shown);
        let filter = format!("scale={}:{}:flags=lanczos,setsar=1", size.width, size.height);
        command::push(&mut arguments, &["-map", "0:V:0", "-vf", &filter, "-pix_fmt", "yuv420p"]);
        push_video(&mut arguments, wanted);
        if wanted.codec == VideoCodec::Hevc && matches!(preset.container, Container::Mp4 | Container::Mov) {
            // The name that Apple's players look for.
            command::push(&mut arguments, &["-tag:v", "hvc1"]);
        }
    }
    if let Some((wanted, stream)) = audio {
        command::push(&mut arguments, &["-map", "0:a:0", "-ac", if stream.channels == 1 { "1" } else { "2" }]);
        push_audio(&mut arguments, wanted);
    }
    if matches!(preset.container, Container::Mp4 | Container::Mov | Container::M4a) {
        // The index in front, so that playing can begin before everything is there.
        command::push(&mut arguments, &["-movflags", "+faststart"]);
    }
    // Neither versions nor the time of day get into the file.
    command::push(&mut arguments, &["-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"]);
    command::push(&mut arguments, &["-f", preset.container.muxer(), "-progress", "pipe:1"]);
    arguments.push(command::file(output));

    let mut child = BufReader::new(command::start("ffmpeg", &arguments, limits)?);
    let mut furthest = 0;
    let mut line = String::new();
    // A pipe that breaks ends the loop; the child's end says why.
    while child.read_line(&mut line).is_ok_and(|n| n > 0) {
        // Microseconds of the result that are written.
        if let Some(time) = line.trim_end().strip_prefix("out_time_us=").and_then(|time| time.parse::<u64>().ok()) {
            if time > furthest {
                furthest = time;
                child.get_mut().allow(limits.stall_time);
            }
            if let Some(duration) = source.duration {
                on_progress((time as f64 / 1e6 / duration.as_secs_f64()).min(1.0));
            }
        }
        line.clear();
    }
    let complaint = command::finish(child.into_inner(), "encoding", limits)?;
    let info = probe(output, limits)
        .map_err(|e| Error::new(e.kind, Stage::Verify, format!("the rendition cannot be read back: {}", e.message)))?;
    if (info.video.is_some(), info.audio.is_some()) != (video.is_some(), audio.is_some()) {
        return Err(Error::malformed(Stage::Verify, "the rendition lacks video or audio of its source"));
    }
    if let (Some(expected), Some(found)) = (expected(source, video.is_some(), audio.is_some()), info.duration)
        && found + SHORTER.0 + expected.mul_f64(SHORTER.1) < expected
    {
        let (found, expected) = (found.as_secs_f64(), expected.as_secs_f64());
        let why = complaint.map_or(String::new(), |said| format!(" ({said})"));
        return Err(Error::malformed(
            Stage::Decode,
            format!("the file ends after {found:.1} s of {expected:.1} s; it is truncated or damaged{why}"),
        ));
    }
    let mut hasher = blake3::Hasher::new();
    let hashed = std::fs::File::open(output).and_then(|file| {
        let bytes = file.metadata()?.len();
        hasher.update_reader(file).map(|_| bytes)
    });
    let bytes = hashed.map_err(|e| Error::io(Stage::Verify, output, e))?;
    Ok(Encoding { info, bytes, hash: hasher.finalize(), complaint })
}

/// How long a rendition of these streams should last, where the file says so.
fn expected(source: &MediaInfo, video: bool, audio: bool) -> Option<Duration> {
    let of_video = source.video.as_ref().filter(|_| video).map(|stream| stream.duration);
    let of_audio = source.audio.as_ref().filter(|_| audio).map(|stream| stream.duration);
    let used = [of_video, of_audio].into_iter().flatten();
    let whole = video == source.video.is_some() && audio == source.audio.is_some();
    if used.clone().all(|duration| duration.is_some()) {
        used.flatten().max()
    } else {
        source.duration.filter(|_| whole)
    }
}

fn push_video(arguments: &mut Vec<std::ffi::OsString>, video: &Video) {
    let rate = u64::from(video.bits_per_second);
    // A fixed grid of key frames, so that a player can change renditions at any of them.
    let key_frames = format!("expr:gte(t,n_forced*{})", video.key_frame_seconds);
    let encoder = match video.codec {
        VideoCodec::H264 => "libx264 -preset medium -profile:v high -sc_threshold 0 -x264-params sliced-threads=1",
        VideoCodec::Hevc => "libx265 -preset medium -x265-params log-level=error:scenecut=0:frame-threads=1",
        VideoCodec::Vp9 => "libvpx-vp9 -deadline good -cpu-used 4 -row-mt 1",
    };
    command::push(arguments, &["-c:v"]);
    command::push(arguments, &encoder.split(' ').collect::<Vec<_>>());
    command::push(arguments, &["-b:v", &rate.to_string(), "-maxrate", &(rate * 3 / 2).to_string()]);
    command::push(arguments, &["-bufsize", &(rate * 2).to_string(), "-threads:v", ENCODER_THREADS]);
    command::push(arguments, &["-g", "100000", "-force_key_frames", &key_frames]);
}

fn push_audio(arguments: &mut Vec<std::ffi::OsString>, audio: &Audio) {
    let encoder = match audio.codec {
        AudioCodec::Aac => "aac",
        AudioCodec::Opus => "libopus",
        AudioCodec::Vorbis => "libvorbis",
        AudioCodec::Mp3 => "libmp3lame",
        AudioCodec::Flac => "flac",
        AudioCodec::Pcm => "pcm_s16le",
    };
    command::push(arguments, &["-c:a", encoder]);
    if let Some(rate) = audio.bits_per_second {
        command::push(arguments, &["-b:a", &rate.to_string()]);
    }
}
