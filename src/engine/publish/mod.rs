//! Publish jobs: marked assets and what depends on them, sent to a publish context.
//!
//! Files are named by their content, so a file at the context never changes and an earlier manifest stays true while
//! a new one is prepared. The manifest is written last and replaces the earlier one at once; files that neither it nor
//! the one before lists are then removed. Interrupted at any moment, the context is what it was.

mod manifest;
mod store;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::manifest::{Manifest, ManifestAsset, ManifestFile, search_data};
use self::store::{Fault, Sent, Store, Upload};
use super::follow::{self, FollowOn};
use super::{check, notice, resume};
use crate::catalog::{
    Asset, AssetResult, Handle, JobRecord, JobRequest, Library, LogEntry, LogPage, LogType, PublishedFile, RunLock,
    TaskOutcome,
};
use crate::decode::Kind;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::job::{Job, PublishJob, PublishTarget, PublishType};
use crate::preset::{self, Preset, PublishContext};

/// What a publish job is to do, as kept with the job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    pub job: PublishJob,
    /// The context, found.
    context: String,
}

/// Told to whoever watches.
#[derive(Debug)]
pub enum Event<'a> {
    Begun { job: &'a Handle, name: &'a str, assets: usize, context: &'a str },
    Done { asset: &'a Asset, files: usize, error: Option<&'a str> },
}

/// How a publish job ended.
#[derive(Debug, Clone)]
pub struct Published {
    pub job: Handle,
    pub assets: usize,
    /// Assets that are not published for a fault of theirs.
    pub failed: usize,
    pub files_sent: u64,
    pub bytes_sent: u64,
    /// Files that were there already.
    pub files_kept: u64,
    /// Why the job ended early; the context is as it was.
    pub error: Option<String>,
    /// Whether a signal ended it; it can be resumed.
    pub stopped: bool,
    pub warnings: Vec<String>,
    pub elapsed: Duration,
}

impl Published {
    fn new(job: Handle, assets: usize) -> Self {
        Published {
            job,
            assets,
            failed: 0,
            files_sent: 0,
            bytes_sent: 0,
            files_kept: 0,
            error: None,
            stopped: false,
            warnings: Vec::new(),
            elapsed: Duration::ZERO,
        }
    }
}

/// The job log's types for one kind of publish job, and its name in the catalog.
struct Words {
    name: &'static str,
    begin: LogType,
    end: LogType,
    success: LogType,
    error: LogType,
    warning: LogType,
}

const fn words(target: PublishTarget) -> Words {
    match target {
        PublishTarget::ImageServing(_) => Words {
            name: "image-serving",
            begin: LogType::BeginImageServingPublish,
            end: LogType::EndImageServingPublish,
            success: LogType::ImageServingPublishSuccess,
            error: LogType::ImageServingPublishError,
            warning: LogType::ImageServingPublishWarning,
        },
        PublishTarget::ImageRendering => Words {
            name: "image-rendering",
            begin: LogType::BeginImageRenderingPublish,
            end: LogType::EndImageRenderingPublish,
            success: LogType::ImageRenderingPublishSuccess,
            error: LogType::ImageRenderingPublishError,
            warning: LogType::ImageRenderingPublishWarning,
        },
        PublishTarget::Video => Words {
            name: "video",
            begin: LogType::BeginVideoPublish,
            end: LogType::EndVideoPublish,
            success: LogType::VideoPublishSuccess,
            error: LogType::VideoPublishError,
            warning: LogType::VideoPublishWarning,
        },
    }
}

/// Whether a job of this type is a publish job.
pub fn is_publish(log_type: LogType) -> bool {
    matches!(
        log_type,
        LogType::BeginImageServingPublish | LogType::BeginImageRenderingPublish | LogType::BeginVideoPublish
    )
}

impl Order {
    /// Finds the context of a publish job: the one that it names, or the only one there is.
    ///
    /// # Errors
    /// `Misuse` when it names none of the library's, or names none and there are none or several.
    pub fn of(library: &Library, job: &PublishJob) -> Result<Self> {
        let refuse = |why: String| Error::misuse(Stage::Job, why);
        let kind = PublishContext::KIND.name();
        let contexts: Vec<_> = library.presets()?.into_iter().filter(|preset| preset.kind == kind).collect();
        let found = match &job.context {
            Some(handle) => contexts.iter().find(|context| context.handle.as_str() == handle).ok_or_else(|| {
                refuse(format!("contextHandle is {handle:?}; no preset of kind {kind} has it, see `reprise presets`"))
            })?,
            None => match contexts.as_slice() {
                [only] => only,
                [] => return Err(refuse(format!("there is no publish context; `reprise presets LIB add` a {kind}"))),
                several => {
                    let handles: Vec<&str> = several.iter().map(|context| context.handle.as_str()).collect();
                    return Err(refuse(format!("contextHandle is missing; there are {}", handles.join(", "))));
                }
            },
        };
        let mut job = job.clone();
        // The address would be refused anyway, and the catalog keeps no secrets.
        job.http_completion_url = job.http_completion_url.filter(|url| !notice::holds_password(url));
        Ok(Order { context: found.handle.to_string(), job })
    }

    /// The order of a publish job on record.
    ///
    /// # Errors
    /// `Catalog` when it is not there.
    pub fn stored(library: &Library, job: &Handle) -> Result<Self> {
        let lost = || Error::new(ErrorKind::Catalog, Stage::Catalog, "what this job was to publish is not on record");
        let request = library.job_request(job)?.ok_or_else(lost)?;
        serde_json::from_str(&request.options).map_err(|e| lost().caused_by(e))
    }

    fn record(&self, name: &str, follows: Option<&Handle>, assets: Vec<Handle>, mail_to: String) -> Result<JobRecord> {
        let options = serde_json::to_string(self)
            .map_err(|e| Error::new(ErrorKind::Internal, Stage::Job, format!("cannot be written as JSON: {e}")))?;
        let sub_type = match self.job.target {
            PublishTarget::ImageServing(publish_type) => format!("{publish_type:?}"),
            PublishTarget::ImageRendering | PublishTarget::Video => String::new(),
        };
        Ok(JobRecord {
            log_type: words(self.job.target).begin,
            sub_type,
            submit_user_email: mail_to,
            request: Some(JobRequest { document: String::new(), options }),
            follows: follows.cloned(),
            ..JobRecord::reprocess(name, assets)
        })
    }
}

/// Where a publish job comes from.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// Someone asked for it by this name.
    ByHand(&'a str),
    /// It follows the job with this handle.
    Follows(&'a Handle, &'a Job),
    /// It was cut short.
    Resumed(&'a Handle),
}

/// What is sent of one asset.
struct Parcel {
    asset: Asset,
    files: Vec<(&'static str, Upload)>,
    warnings: Vec<String>,
    error: Option<String>,
    /// Files that are on their way.
    open: usize,
    sent: Vec<ManifestFile>,
}

/// Publishes with the library for itself; see [`run_locked`].
///
/// # Errors
/// As [`run_locked`]; `Catalog` when another run has the library.
pub fn run(
    library: &mut Library,
    order: &Order,
    origin: Origin<'_>,
    stop: &AtomicBool,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Published> {
    let lock = library.lock_for_run()?;
    resume::clean_up(library, &lock)?;
    run_locked(library, &lock, order, origin, stop, on_event)
}

/// Publishes, and then does what is due for the publish job itself: notice and mail.
///
/// # Errors
/// `Catalog`; `Misuse` when the context is no longer there. What goes wrong with the store is in
/// [`Published::error`] and in the log.
pub(super) fn run_locked(
    library: &mut Library,
    _lock: &RunLock,
    order: &Order,
    origin: Origin<'_>,
    stop: &AtomicBool,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Published> {
    let start = Instant::now();
    let words = words(order.job.target);
    let context_handle = Handle::from(order.context.as_str());
    let Some(record) = library.preset(&context_handle)? else {
        return Err(Error::misuse(Stage::Job, "the publish context is no longer there").of(&order.context));
    };
    let context: PublishContext = preset::stored(&record.document)?;
    let mut parcels = Vec::new();
    for asset in library.publishable()? {
        parcels.extend(parcel(library, asset, order.job.target)?);
    }

    let follow = FollowOn::of_publish(&order.job);
    let job = match origin {
        Origin::Resumed(job) if library.job_log_page(job, LogPage { offset: 0, limit: 0 })?.is_done() => {
            let warnings = follow::settle(library, job, &follow, stop)?;
            let stopped = stop.load(Ordering::Relaxed);
            return Ok(Published { warnings, stopped, ..Published::new(job.clone(), 0) });
        }
        Origin::Resumed(job) => {
            library.resume_job(job)?;
            library
                .add_job_assets(job, &parcels.iter().map(|parcel| parcel.asset.handle.clone()).collect::<Vec<_>>())?;
            job.clone()
        }
        Origin::ByHand(name) => begin(library, order, name, None, &parcels)?,
        Origin::Follows(parent, job) => {
            let name = if job.name.is_empty() { "Reprocess" } else { &job.name };
            begin(library, order, &format!("Pub_{name}"), Some(parent), &parcels)?
        }
    };
    let name = library.job_log_page(&job, LogPage { offset: 0, limit: 0 })?.job_name;
    on_event(Event::Begun { job: &job, name: &name, assets: parcels.len(), context: &context.name });
    let message = format!("publishing {} assets to {} ({})", parcels.len(), context.name, context.url);
    library.log(&job, &[LogEntry::new(words.begin, message)])?;

    let mut published = Published::new(job.clone(), parcels.len());
    let mut work = Work { library, order, words: &words, address: &context.address(), job: &job, stop, on_event };
    let sent = Store::open(&context).and_then(|store| {
        work.send(&store, &mut parcels, &mut published)?;
        if published.stopped {
            return Ok(());
        }
        work.write_manifest(&store, &name, &parcels, &mut published)
    });
    published.elapsed = start.elapsed();
    match sent {
        Err(error) if error.kind == ErrorKind::Catalog => {
            let _ = library.finish_job(&job, true, &[LogEntry::new(LogType::FatalError, error.to_string())]);
            return Err(error);
        }
        Err(error) => {
            published.error = Some(error.to_string());
            let message = format!("{error}; what readers see is as it was before");
            library.log(&job, &[LogEntry::new(words.error, message)])?;
        }
        Ok(()) => {}
    }
    if published.stopped {
        let message = format!("stopped by a signal; `reprise run … --resume '{job}'` finishes the job");
        library.suspend_job(&job, &[LogEntry::new(LogType::FileCancel, message)])?;
        return Ok(published);
    }
    let message = format!(
        "{} of {} assets published, {} files sent, {} there already",
        published.assets - published.failed,
        published.assets,
        published.files_sent,
        published.files_kept
    );
    let due = follow.due(library, &job, published.error.is_some())?;
    library.finish_job_with_due(&job, published.error.is_some(), &[LogEntry::new(words.end, message)], &due)?;
    published.warnings.extend(follow::settle(library, &job, &follow, stop)?);
    Ok(published)
}

fn begin(
    library: &mut Library,
    order: &Order,
    name: &str,
    follows: Option<&Handle>,
    parcels: &[Parcel],
) -> Result<Handle> {
    let assets = parcels.iter().map(|parcel| parcel.asset.handle.clone()).collect();
    let mail_to = library.settings()?.address_of(None);
    library.begin_job(&order.record(name, follows, assets, mail_to)?)
}

/// What a kind of publish job sends of an asset; `None` when it is not for that kind.
///
/// # Errors
/// `Catalog`.
fn parcel(library: &Library, asset: Asset, target: PublishTarget) -> Result<Option<Parcel>> {
    let mut files = Vec::new();
    let mut warnings = Vec::new();
    let mut error = None;
    let relative = |path: &Path| path.strip_prefix(library.dir()).ok().and_then(Path::to_str).map(str::to_owned);
    let mut made = |role, path: &Path, hash: Option<blake3::Hash>, current: bool| {
        let Some(remote) = relative(path) else { return };
        if !current {
            warnings.push(format!("its {role} was made of an earlier original"));
        }
        match hash {
            Some(hash) => {
                let upload = Upload { local: path.to_owned(), remote: by_content(&remote, &hash), hash: Some(hash) };
                files.push((role, upload));
            }
            None => {
                error =
                    Some(format!("its {role} was made by an earlier version, without a hash; run a job on it again"));
            }
        }
    };
    match target {
        PublishTarget::Video => match &asset.rendition {
            Some(rendition) => match rendition.file.hash.map_or_else(|| check::hash(&rendition.path), Ok) {
                Ok(hash) => made("rendition", &rendition.path, Some(hash), rendition.current),
                Err(why) => error = Some(why.to_string()),
            },
            None if matches!(asset.kind, Kind::Video | Kind::Audio) && asset.originator.is_none() => {
                let plain = |ending: &&str| ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
                let ending = asset.path.extension().and_then(|ending| ending.to_str()).filter(plain).unwrap_or("bin");
                let remote =
                    by_content(&format!("originals/{:04}/{}.{ending}", asset.id / 1000, asset.id), &asset.hash);
                files.push(("original", Upload { local: asset.path.clone(), remote, hash: Some(asset.hash) }));
            }
            None => return Ok(None),
        },
        PublishTarget::ImageServing(_) | PublishTarget::ImageRendering => {
            let Some(derivative) = &asset.derivative else {
                // Documents, videos and profiles have no picture of their own; an eCatalog is made of its pages.
                let made_of_others = !asset.kind.is_raster() && asset.originator.is_none();
                if made_of_others && library.ecatalog(&asset.handle)?.is_none() || asset.rendition.is_some() {
                    return Ok(None);
                }
                let error = (!made_of_others).then(|| String::from("it is marked and has no pyramid; run a job on it"));
                return Ok(Some(Parcel { asset, files, warnings, error, open: 0, sent: Vec::new() }));
            };
            made("pyramid", &derivative.path, derivative.hash, derivative.current);
            if let Some(mask) = &asset.mask {
                made("mask", &mask.path, mask.hash, mask.current);
            }
        }
    }
    Ok(Some(Parcel { asset, files, warnings, error, open: 0, sent: Vec::new() }))
}

/// `pyramids/0000/7-mug.tif` → `pyramids/0000/7-mug.0123456789abcdef.tif`.
fn by_content(path: &str, hash: &blake3::Hash) -> String {
    let hash = &hash.to_hex()[..16];
    match path.rsplit_once('.') {
        Some((stem, ending)) => format!("{stem}.{hash}.{ending}"),
        None => format!("{path}.{hash}"),
    }
}

/// A publish job at work.
struct Work<'a> {
    library: &'a mut Library,
    order: &'a Order,
    words: &'a Words,
    /// Of the context.
    address: &'a str,
    job: &'a Handle,
    stop: &'a AtomicBool,
    on_event: &'a mut dyn FnMut(Event<'_>),
}

impl Work<'_> {
    /// Sends what has to be sent and records each asset when its last file is there.
    fn send(&mut self, store: &Store, parcels: &mut [Parcel], published: &mut Published) -> Result<()> {
        let there: HashMap<String, PublishedFile> = self
            .library
            .published(self.address, self.words.name)?
            .into_iter()
            .map(|file| (file.path.clone(), file))
            .collect();
        // Full jobs send everything anew, but a resumed one not what its first part has sent.
        let incremental = matches!(self.order.job.target, PublishTarget::ImageServing(PublishType::Incremental));
        let mut uploads = Vec::new();
        let mut owners = Vec::new();
        for (index, parcel) in parcels.iter_mut().enumerate() {
            if parcel.error.is_some() {
                continue;
            }
            for (role, upload) in &parcel.files {
                let known = there.get(&upload.remote).filter(|file| Some(file.hash) == upload.hash);
                match known.filter(|file| incremental || file.generation.is_none()) {
                    Some(file) => {
                        published.files_kept += 1;
                        parcel.sent.push(manifest_file(role, &file.path, Sent { hash: file.hash, bytes: file.bytes }));
                    }
                    None => {
                        parcel.open += 1;
                        owners.push((index, *role));
                        uploads.push(upload.clone());
                    }
                }
            }
        }
        for parcel in parcels.iter_mut().filter(|parcel| parcel.open == 0) {
            self.record(parcel, published)?;
        }
        let mut unreachable = None;
        let stop = self.stop;
        let begun = store.send_all(
            &uploads,
            || stop.load(Ordering::Relaxed),
            |index, result| {
                let (owner, role) = owners[index];
                let parcel = &mut parcels[owner];
                parcel.open -= 1;
                match result {
                    Ok(sent) => {
                        published.files_sent += 1;
                        published.bytes_sent += sent.bytes;
                        let file = manifest_file(role, &uploads[index].remote, sent);
                        let record = PublishedFile {
                            path: file.path.clone(),
                            hash: sent.hash,
                            bytes: sent.bytes,
                            generation: None,
                        };
                        self.library.record_published(self.address, self.words.name, &[record])?;
                        self.library.add_transfers(self.job, 1, 0)?;
                        parcel.sent.push(file);
                    }
                    Err(fault) => {
                        self.library.add_transfers(self.job, 0, 1)?;
                        let (Fault::Local(error) | Fault::Store(error)) = &fault;
                        parcel.error.get_or_insert_with(|| error.to_string());
                        if let Fault::Store(error) = fault {
                            unreachable.get_or_insert(error);
                        }
                    }
                }
                if parcel.open == 0 { self.record(parcel, published) } else { Ok(()) }
            },
        )?;
        match unreachable {
            Some(error) => Err(error),
            None => {
                published.stopped = begun < uploads.len();
                Ok(())
            }
        }
    }

    /// Records what became of an asset.
    fn record(&mut self, parcel: &mut Parcel, published: &mut Published) -> Result<()> {
        // They arrive in any order.
        let files = &parcel.files;
        parcel.sent.sort_by_key(|sent| files.iter().position(|(_, upload)| upload.remote == sent.path));
        let (log_type, outcome, text) = match &parcel.error {
            None => (self.words.success, TaskOutcome::Success, format!("{} files are published", parcel.sent.len())),
            Some(error) => (self.words.error, TaskOutcome::Failure, error.clone()),
        };
        published.failed += usize::from(parcel.error.is_some());
        let mut entry = LogEntry::new(log_type, text);
        for file in &parcel.sent {
            entry = entry.with(LogType::FileProgress, format!("{}, {} bytes", file.path, file.bytes));
        }
        for warning in &parcel.warnings {
            entry = entry.with(self.words.warning, warning.clone());
        }
        let result = AssetResult::without_change(outcome, vec![entry]);
        self.library.finish_asset(self.job, &parcel.asset.handle, &result)?;
        let error = parcel.error.as_deref();
        (self.on_event)(Event::Done { asset: &parcel.asset, files: parcel.sent.len(), error });
        Ok(())
    }

    /// Writes search data and manifest, and removes what nobody can look for any more.
    fn write_manifest(
        &mut self,
        store: &Store,
        name: &str,
        parcels: &[Parcel],
        published: &mut Published,
    ) -> Result<()> {
        let target = self.words.name;
        let before = self.library.published(self.address, target)?;
        let generation = 1 + before.iter().filter_map(|file| file.generation).max().unwrap_or(0);
        let whole = parcels.iter().filter(|parcel| parcel.error.is_none());
        let assets = whole
            .map(|parcel| ManifestAsset::new(self.library, &parcel.asset, parcel.sent.clone()))
            .collect::<Result<Vec<_>>>()?;
        let mut manifest = Manifest::new(self.library, generation, (self.job.clone(), name.to_owned()), assets)?;
        manifest.search = match self.order.job.target {
            PublishTarget::ImageServing(PublishType::FullWithSearch) => {
                let data = search_data(self.library, &manifest.assets)?;
                let path = by_content(&format!("{target}-search.json"), &blake3::hash(&data));
                Some(manifest_file("search", &path, store.put(&path, data)?))
            }
            // The search data that readers have stays until it is made anew.
            _ => before
                .iter()
                .filter(|file| file.path.starts_with(&format!("{target}-search.")))
                .max_by_key(|file| file.generation)
                .map(|file| manifest_file("search", &file.path, Sent { hash: file.hash, bytes: file.bytes })),
        };
        store.put(&format!("{target}.json"), manifest.to_json()?)?;

        let files = manifest.assets.iter().flat_map(|asset| &asset.files).chain(&manifest.search);
        let listed: Vec<PublishedFile> = files
            .map(|file| PublishedFile {
                path: file.path.clone(),
                hash: blake3::Hash::from_hex(&file.blake3).expect("as written"),
                bytes: file.bytes,
                generation: Some(generation),
            })
            .collect();
        self.library.record_published(self.address, target, &listed)?;
        let listed: HashSet<&str> = listed.iter().map(|file| file.path.as_str()).collect();
        let mut gone = Vec::new();
        for file in &before {
            let readable = file.generation.is_some_and(|last| last + 1 >= generation);
            if readable || listed.contains(file.path.as_str()) {
                continue;
            }
            match store.remove(&file.path) {
                Ok(()) => gone.push(file.path.clone()),
                // It is tried again the next time.
                Err(error) => published.warnings.push(format!("an old file could not be removed: {error}")),
            }
        }
        self.library.forget_published(self.address, target, &gone)?;
        let entries: Vec<LogEntry> =
            published.warnings.iter().map(|warning| LogEntry::new(self.words.warning, warning.clone())).collect();
        self.library.log(self.job, &entries)
    }
}

fn manifest_file(role: &'static str, path: &str, sent: Sent) -> ManifestFile {
    ManifestFile { role, path: path.to_owned(), bytes: sent.bytes, blake3: sent.hash.to_hex().to_string() }
}
