//! The catalog of a library: what originals there are, what was made of them, and what every job did.
//!
//! A library is a folder:
//!
//! ```text
//! LIB/library.sqlite        the catalog (SQLite, write-ahead log)
//! LIB/run.lock              held while a job runs
//! LIB/pyramids/NNNN/…       derivatives, a thousand assets to a folder
//! LIB/masks/NNNN/…          masks of clipping paths, likewise
//! LIB/reports/…             pages about jobs
//! LIB/documents/NNNN/…      what is known of the pages of documents, as JSON
//! LIB/renditions/NNNN/…     encodings of video and audio
//! ```
//!
//! Originals stay where they are; the catalog records their absolute path, size, time of change and content hash.
//! Everything that belongs together is written in one transaction, so a process that dies leaves a whole catalog.
//! Times are stored as nanoseconds since 1970 in UTC, enumerations as their names, and all SQL is in this folder.

mod asset;
mod derived;
mod finish;
mod handle;
mod joblog;
mod list;
mod names;
mod preset;
mod project;
mod publish;
mod rendition;
mod resume;
mod schedule;
mod schema;
mod set;
mod settings;
mod store;
mod template;

pub use asset::{Asset, AssetFilter, Assets, Crop, CropOrigin, Derivative, IngestOutcome, Ingested, Mask, NewOriginal};
pub use derived::{
    DerivedResult, DerivingEngine, ECatalog, ImageMap, MapAction, NewDerived, Originator, PageWord, PixelBox,
};
pub use finish::{AssetResult, CropChange, NewDerivative, NewMask};
pub use handle::{Handle, HandleKind};
pub use joblog::{
    JobLog, JobRecord, JobState, LogAux, LogEntry, LogPage, LogType, Severity, Task, TaskOutcome, TaskState,
};
pub use preset::{PresetRecord, unknown_preset};
pub use project::Project;
pub use publish::{Due, PublishedFile};
pub use rendition::{NewRendition, Rendition, RenditionFile, RenditionResult, VideoSet};
pub use resume::{FileOwner, JobRequest};
pub use schedule::{Firing, Schedule};
pub use set::{AssetSet, NewSet, SetCandidate, SetMember, SetOutcome};
pub use settings::Settings;
pub use store::{Library, RunLock, is_own_file};
pub use template::{Template, TemplateLayer, TemplateText, TextRun};
