//! Video and audio: renditions in place of the ones there were, the adaptive set that they make up, and a thumbnail.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::derived::{self, End, Origin, OwnPyramid};
use super::pipeline::{self, Context, Converted};
use super::reprocess::Running;
use super::{record, retry};
use crate::catalog::{
    Asset, AssetResult, DerivingEngine, Handle, Library, LogEntry, LogType, NewRendition, Originator, RenditionFile,
    RenditionResult, VideoSet,
};
use crate::decode::{self, Kind};
use crate::encode::ptiff;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::job::ReprocessAssets;
use crate::media::{self, MediaInfo};
use crate::preset::{self, EncodingPreset, PresetKind};

/// How often the job log hears how far an encoding is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// What a job names to be encoded by.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    Named(Handle, EncodingPreset),
    /// The built-in presets for adaptive delivery that fit the video.
    Adaptive,
}

/// One file that is going to be encoded, or have a thumbnail.
#[derive(Debug)]
pub struct Order {
    pub origin: Origin,
    pub choices: Vec<Choice>,
    pub thumbnail: Option<Thumbnail>,
    pub limits: media::Limits,
}

/// A frame that becomes the file's own pyramid.
#[derive(Debug)]
pub struct Thumbnail {
    pub time_ms: Option<i64>,
    pub own: OwnPyramid,
}

/// What became of a file.
#[derive(Debug, Clone)]
pub struct Encoded {
    pub source: MediaInfo,
    pub done: Vec<Done>,
    /// What was not made, with the reason.
    pub failed: Vec<(String, Error)>,
    pub thumbnail: Option<Converted>,
    pub set: Option<VideoSet>,
    pub warnings: Vec<String>,
    /// Asked to stop before all was done.
    pub stopped: bool,
    pub elapsed: Duration,
}

/// One rendition that was made.
#[derive(Debug, Clone)]
pub struct Done {
    pub asset: Asset,
    pub preset: Handle,
    pub output: PathBuf,
    pub result: RenditionResult,
    pub elapsed: Duration,
}

impl Encoded {
    /// Why the file counts as failed.
    pub fn error(&self) -> Option<Error> {
        let (what, first) = self.failed.first()?;
        let mut error = first.clone();
        error.message = format!("{what}: {}", first.message);
        Some(error)
    }
}

/// One line for people and logs.
impl std::fmt::Display for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = if self.done.len() == 1 { "" } else { "s" };
        write!(f, "{}: {} rendition{s}", self.source.summary(), self.done.len())?;
        if let Some(set) = &self.set {
            write!(f, ", adaptive set of {}", set.members.len())?;
        }
        if let Some(thumbnail) = &self.thumbnail {
            write!(f, ", thumbnail {} × {} px", thumbnail.size.width, thumbnail.size.height)?;
        }
        write!(f, ", {:.2} s", self.elapsed.as_secs_f64())
    }
}

/// One line for people and logs.
impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let file = &self.result.file;
        write!(f, "{}: ", self.preset)?;
        if let (Some(width), Some(height)) = (file.width, file.height) {
            write!(f, "{width} × {height} px, ")?;
        }
        for codec in [&file.video_codec, &file.audio_codec].into_iter().flatten() {
            write!(f, "{codec}, ")?;
        }
        if let Some(rate) = file.bits_per_second {
            write!(f, "{} kbit/s, ", rate / 1000)?;
        }
        write!(f, "{} bytes, {:.2} s", file.bytes, self.elapsed.as_secs_f64())
    }
}

/// What the job names to encode by.
///
/// # Errors
/// `Misuse` for a handle that names no encoding preset.
pub fn choices(library: &Library, job: &ReprocessAssets) -> Result<Vec<Choice>> {
    let handles = job.media.iter().flat_map(|options| &options.encoding_presets);
    let mut seen = HashSet::new();
    handles.filter(|handle| seen.insert(handle.as_str())).map(|handle| choice(library, handle)).collect()
}

/// What a handle names to encode by.
///
/// # Errors
/// As [`choices`].
pub fn choice(library: &Library, handle: &str) -> Result<Choice> {
    if handle == preset::ADAPTIVE_ENCODINGS {
        return Ok(Choice::Adaptive);
    }
    if let Some(builtin) = preset::BuiltinEncoding::find(handle) {
        return Ok(Choice::Named(handle.into(), builtin.preset()));
    }
    let refuse = |why: &str| {
        let message =
            format!("videoEncodingPresetsArray has {handle:?}, {why}; `reprise presets` lists those that exist");
        Error::misuse(Stage::Job, message)
    };
    let record = library.preset(&handle.into())?.ok_or_else(|| refuse("which no preset has"))?;
    if record.kind != PresetKind::VideoEncoding.name() {
        return Err(refuse("which is no encoding preset"));
    }
    Ok(Choice::Named(record.handle, preset::stored(&record.document)?))
}

/// What the rendition was made by before.
///
/// # Errors
/// `Misuse` when that is no encoding preset any more.
pub fn stored_choice(library: &Library, rendition: &Originator) -> Result<Choice> {
    let preset = preset_of(&rendition.parameters)
        .ok_or_else(|| Error::misuse(Stage::Catalog, "the preset of this rendition is not on record"))?;
    choice(library, &preset)
}

/// Encodes a file and makes its thumbnail, as far as the order asks for either. What fails does not stop the rest.
///
/// # Errors
/// When the file cannot be read at all, and when the catalog fails.
pub fn encode(order: &Order, context: &Context, running: &Running<'_>) -> Result<Encoded> {
    let start = Instant::now();
    let _slot = context.workers.slot();
    let path = &order.origin.asset.path;
    let source = media::probe(path, &order.limits).map_err(|e| e.of(path.display().to_string()))?;
    let mut work = Work {
        order,
        library: Library::open(&order.origin.library)?,
        encoded: Encoded {
            source,
            done: Vec::new(),
            failed: Vec::new(),
            thumbnail: None,
            set: None,
            warnings: Vec::new(),
            stopped: false,
            elapsed: Duration::ZERO,
        },
    };
    if let Some(thumbnail) = &order.thumbnail {
        work.thumbnail(thumbnail, context)?;
    }
    let presets = work.fitting();
    for (handle, preset) in &presets {
        if running.stops() {
            work.encoded.stopped = true;
            break;
        }
        let (result, overcome) =
            retry::with_retries(&retry::PAUSES, running.stop, || work.rendition(handle, preset, running));
        work.encoded.warnings.extend(overcome.iter().map(|error| format!("tried again after: {error}")));
        match result {
            Ok(done) => work.encoded.done.push(done),
            Err(error) if error.kind == ErrorKind::Catalog => return Err(error),
            Err(error) => work.encoded.failed.push((handle.to_string(), error)),
        }
    }
    work.settle(&presets)?;
    let mut encoded = work.encoded;
    let nothing = encoded.done.is_empty() && encoded.thumbnail.is_none() && encoded.failed.is_empty();
    if nothing && !encoded.stopped {
        let why = format!("nothing can be made of the file: {}", encoded.warnings.join("; "));
        return Err(Error::misuse(Stage::Encode, why).of(path.display().to_string()));
    }
    encoded.elapsed = start.elapsed();
    Ok(encoded)
}

/// A file while it is encoded.
struct Work<'a> {
    order: &'a Order,
    library: Library,
    encoded: Encoded,
}

impl Work<'_> {
    /// The presets that can be applied to the file; a warning for each that cannot.
    fn fitting(&mut self) -> Vec<(Handle, EncodingPreset)> {
        let Encoded { source, warnings, .. } = &mut self.encoded;
        let mut presets = Vec::new();
        let mut add = |handle: &Handle, preset: &EncodingPreset| {
            let lacks = match (&preset.video, &preset.audio) {
                (Some(_), _) if source.video.is_none() => "video",
                (None, Some(_)) if source.audio.is_none() => "audio",
                _ if presets.iter().any(|(known, _)| known == handle) => return,
                _ => return presets.push((handle.clone(), preset.clone())),
            };
            warnings.push(format!("{handle} is for {lacks}, which the file has none of; it is not encoded by that"));
        };
        for choice in &self.order.choices {
            match choice {
                Choice::Named(handle, preset) => add(handle, preset),
                Choice::Adaptive => {
                    let height = source.video.as_ref().map_or(0, |video| video.shown.height);
                    for builtin in preset::adaptive_ladder(height) {
                        add(&builtin.handle.into(), &builtin.preset());
                    }
                }
            }
        }
        presets
    }

    fn thumbnail(&mut self, thumbnail: &Thumbnail, context: &Context) -> Result<()> {
        let path = &self.order.origin.asset.path;
        if self.encoded.source.video.is_none() && !self.encoded.source.cover {
            self.encoded.warnings.push("generateThumbnail: the file is audio without a cover picture".into());
            return Ok(());
        }
        let limits = &self.order.limits;
        let make = || -> Result<(Converted, Option<String>)> {
            let picture =
                tempfile::NamedTempFile::new().map_err(|e| Error::io(Stage::Decode, std::env::temp_dir(), e))?;
            let frame = media::frame(path, &self.encoded.source, thumbnail.time_ms, picture.path(), limits)
                .map_err(|e| e.of(path.display().to_string()))?;
            let OwnPyramid { recipe, output, .. } = &thumbnail.own;
            derived::make_folder(output)?;
            let open = || decode::open(picture.path(), &context.limits);
            let converted = pipeline::convert_rows(path, &open, output, recipe, context)?;
            Ok((converted, frame.warning))
        };
        match make() {
            Ok((converted, warning)) => {
                self.encoded.warnings.extend(warning);
                self.encoded.warnings.extend(converted.warnings.iter().cloned());
                self.encoded.thumbnail = Some(converted);
            }
            Err(error) => self.encoded.failed.push(("thumbnail".into(), error)),
        }
        Ok(())
    }

    /// Encodes by one preset, beside the place where the rendition belongs, and puts it there when it is whole.
    fn rendition(&mut self, handle: &Handle, preset: &EncodingPreset, running: &Running<'_>) -> Result<Done> {
        let start = Instant::now();
        let original = &self.order.origin.asset;
        let asset = self.derive(handle, preset)?;
        let output = self.library.rendition_path(&asset, preset.container.name());
        let folder = output.parent().unwrap_or(&self.order.origin.library);
        fs::create_dir_all(folder).map_err(|e| Error::io(Stage::Encode, folder, e))?;
        let unfinished = ptiff::temporary_beside(&output).map_err(|e| Error::io(Stage::Encode, folder, e))?;
        let (library, mut last) = (&mut self.library, Instant::now());
        let piece = running.activity.begin(format!("{} {handle}", original.name));
        let mut on_progress = |share: f64| {
            piece.say(format!("{:.0} %", share * 100.0));
            if last.elapsed() >= PROGRESS_INTERVAL {
                last = Instant::now();
                let text = format!("{handle}: {:.0} % encoded", share * 100.0);
                let entry = LogEntry::new(LogType::FileProgress, text).about(&asset);
                // A log that cannot be written to for once must not cost the encoding.
                let _ = library.log(running.job, &[entry]);
            }
        };
        let encoding = media::encode(
            &original.path,
            &self.encoded.source,
            preset,
            unfinished.path(),
            &self.order.limits,
            &mut on_progress,
        )
        .map_err(|e| e.of(original.path.display().to_string()))?;
        let io = |e| Error::io(Stage::Encode, &output, e);
        unfinished.as_file().sync_all().map_err(io)?;
        unfinished.persist(&output).map_err(|e| io(e.error))?;
        if let Some(said) = encoding.complaint {
            self.encoded.warnings.push(format!("{handle}: FFmpeg says of the original: {said}"));
        }
        let info = encoding.info;
        let file = RenditionFile {
            bytes: encoding.bytes,
            width: info.video.as_ref().map(|video| video.shown.width),
            height: info.video.as_ref().map(|video| video.shown.height),
            adaptive: preset.adaptive,
            hash: Some(encoding.hash),
            duration_ms: info.duration.map(|duration| duration.as_millis() as u64),
            bits_per_second: info.bits_per_second,
            video_codec: info.video.map(|video| video.codec),
            audio_codec: info.audio.map(|audio| audio.codec),
        };
        let result = RenditionResult {
            handle: asset.handle.clone(),
            kind: if file.video_codec.is_some() { Kind::Video } else { Kind::Audio },
            file,
            publish: self.order.origin.publish,
            source_hash: original.hash,
        };
        Ok(Done { asset, preset: handle.clone(), output, result, elapsed: start.elapsed() })
    }

    /// The asset of a rendition: the one it has had, or a new one.
    fn derive(&mut self, handle: &Handle, preset: &EncodingPreset) -> Result<Asset> {
        let new = NewRendition {
            preset: handle.clone(),
            container: preset.container.name(),
            name: format!("{}{}", self.order.origin.asset.name, preset.suffix),
            parameters: format!(
                r#"{{"preset":{},"settings":{}}}"#,
                serde_json::json!(handle),
                serde_json::json!(preset)
            ),
        };
        let handle = self.library.derive_rendition(&self.order.origin.asset.handle, &new)?;
        derived::known(&self.library, &handle)
    }

    /// The adaptive set: what was made now and what is on record of the same original, from the lowest bit rate on.
    fn settle(&mut self, presets: &[(Handle, EncodingPreset)]) -> Result<()> {
        if presets.is_empty() {
            return Ok(());
        }
        let made: HashSet<&Handle> = self.encoded.done.iter().map(|done| &done.result.handle).collect();
        let mut members: Vec<(Option<u64>, Handle)> = self
            .encoded
            .done
            .iter()
            .filter(|done| done.result.file.adaptive)
            .map(|done| (done.result.file.bits_per_second, done.result.handle.clone()))
            .collect();
        let mut surplus = Vec::new();
        for asset in self.library.derived(&self.order.origin.asset.handle, DerivingEngine::VideoEncode)? {
            let Some(rendition) = asset.rendition.filter(|_| !made.contains(&asset.handle)) else { continue };
            if rendition.current && rendition.file.adaptive {
                members.push((rendition.file.bits_per_second, asset.handle.clone()));
            }
            let failed = |(what, _): &(String, Error)| {
                asset.originator.as_ref().is_some_and(|origin| preset_of(&origin.parameters).as_ref() == Some(what))
            };
            if !self.encoded.failed.iter().any(failed) {
                surplus.push(asset.handle.to_string());
            }
        }
        if self.order.origin.only.is_none() && !surplus.is_empty() && !self.encoded.stopped {
            let surplus = surplus.join(", ");
            self.encoded
                .warnings
                .push(format!("earlier renditions by presets that this job does not name are kept: {surplus}"));
        }
        members.sort_by_key(|(rate, handle)| (*rate, handle.as_str().len(), handle.clone()));
        self.encoded.set = (!members.is_empty()).then(|| VideoSet {
            name: format!("{}-AVS", self.order.origin.asset.name),
            members: members.into_iter().map(|(_, handle)| handle).collect(),
        });
        Ok(())
    }
}

/// The preset's handle in the parameters of a rendition.
fn preset_of(parameters: &str) -> Option<String> {
    let parameters: serde_json::Value = serde_json::from_str(parameters).ok()?;
    Some(parameters.get("preset")?.as_str()?.to_owned())
}

/// What is recorded of a file.
pub(super) fn result(encoded: &Encoded, order: &Order, begin: LogEntry, end: LogEntry) -> AssetResult {
    let mut entries = vec![begin];
    for done in &encoded.done {
        entries.push(LogEntry::new(LogType::FileProgress, done.to_string()).about(&done.asset));
    }
    for (what, error) in &encoded.failed {
        entries.push(LogEntry::new(LogType::UploadError, format!("{what}: {error}")));
    }
    let outcome = End {
        error: encoded.error(),
        stopped: encoded.stopped,
        summary: encoded.to_string(),
        warnings: &encoded.warnings,
        replaced: encoded.done.iter().filter(|done| done.asset.rendition.is_some()).count(),
        called: "renditions",
    }
    .write(&mut entries);
    entries.push(end);
    let own = match (&encoded.thumbnail, &order.thumbnail) {
        (Some(converted), Some(Thumbnail { own, .. })) => {
            record::own_result(converted, &order.origin.asset, own.crop, outcome, entries)
        }
        _ => AssetResult::without_change(outcome, entries),
    };
    AssetResult {
        publish: order.origin.publish_after(outcome),
        renditions: encoded.done.iter().map(|done| done.result.clone()).collect(),
        video_set: encoded.set.clone(),
        unfinished: encoded.stopped,
        ..own
    }
}
