//! Video and audio: what a file holds, renditions of it, and single frames.
//!
//! FFmpeg reads files that come from anywhere, so it never runs inside this process: `probe` asks ffprobe, `encode` and
//! `frame` run ffmpeg, each as a child with a bound on memory, on time without progress and on what it may open
//! (this file and pipes, no network, no playlists). Presets say what a rendition is.

mod command;
mod encode;
mod frame;
mod probe;

use std::time::Duration;

pub use encode::{Encoding, encode};
pub use frame::{Frame, frame};
pub use probe::{AudioStream, MediaInfo, VideoStream, probe};

/// Bounds on what a file may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a child may go without progress, and how long a look at a file may take.
    pub stall_time: Duration,
    /// Longest file.
    pub max_duration: Duration,
    /// Most pixels of a frame.
    pub max_frame_pixels: u64,
    /// Address space of a child process.
    pub child_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            stall_time: Duration::from_secs(120),
            max_duration: Duration::from_secs(12 * 3600),
            // 8K video with room to spare.
            max_frame_pixels: 64_000_000,
            child_bytes: 8 << 30,
        }
    }
}
