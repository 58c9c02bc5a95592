//! The typed job: what a document asks for, with every default filled in.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::geometry::{Corner, Insets};
use crate::ops::crop_detect::Background;
use crate::ops::knockout::{Fill, Knockout};
use crate::ops::unsharp::Unsharp;

/// An enumeration that a document spells by name.
pub(super) trait Words: Copy + PartialEq + 'static {
    const NAMES: &'static [&'static str];
    const VALUES: &'static [Self];

    fn from_word(word: &str) -> Option<Self> {
        let index = Self::NAMES.iter().position(|name| *name == word)?;
        Self::VALUES.get(index).copied()
    }

    fn word(self) -> &'static str {
        let index = Self::VALUES.iter().position(|value| *value == self);
        index.and_then(|index| Self::NAMES.get(index)).expect("the macro lists every variant")
    }
}

/// Spells the variants of an enumeration by their own names; with a body it declares the enumeration too.
macro_rules! words {
    ($type:ident: $($variant:ident)*) => {
        impl Words for $type {
            const NAMES: &'static [&'static str] = &[$(stringify!($variant)),*];
            const VALUES: &'static [Self] = &[$($type::$variant),*];
        }
    };
    ($(#[$meta:meta])* $type:ident { $($(#[$variant_meta:meta])* $variant:ident,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $type {
            $($(#[$variant_meta])* $variant,)*
        }
        words!($type: $($variant)*);
    };
}

words!(Corner: UpperLeft UpperRight BottomLeft BottomRight);
words!(Fill: FloodFill MatchPixel);

words! {
    /// Who is written to, and when.
    EmailSetting {
        /// Every message.
        All,
        /// Only when something failed.
        Error,
        /// When something failed or was warned of.
        ErrorAndWarning,
        /// Once, when the job is done.
        JobCompletion,
        /// Never.
        None,
    }
}

words! {
    /// What happens to the layers of a Photoshop document.
    PhotoshopProcess {
        /// Only the merged image is used.
        None,
        /// Each layer becomes an image of its own.
        MaintainLayers,
    }
}

words! {
    /// How the image of a layer is named.
    LayerNaming {
        /// By the layer's own name, or its number where the name is a default one.
        LayerName,
        /// `<stem>_<number>`.
        AppendNumber,
        /// `<stem>_<layer name or number>`.
        AppendName,
        /// By the layer's name, in a folder named after the document.
        Folders,
    }
}

words! {
    /// The point of a layer that a template places it by.
    Anchor { Center, North, Northeast, East, Southeast, South, Southwest, West, Northwest, }
}

words! {
    /// Whether a vector document is turned into pixels.
    DocumentProcess {
        /// The document is kept as it is.
        None,
        /// It is drawn at the resolution asked for.
        Rasterize,
    }
}

words! {
    /// What is made of a PDF.
    PdfProcess {
        /// The document is kept as it is.
        None,
        /// Every page is drawn.
        Rasterize,
        /// Only the first page is drawn, as a preview.
        Thumbnail,
    }
}

words! {
    /// The colour space that a document is drawn in.
    DocumentColor {
        /// The document's own.
        Auto,
        Rgb,
        Cmyk,
        Gray,
    }
}

words! {
    /// Whether and when colours are converted.
    ColorConversion {
        /// Embedded profiles are kept; CMYK without a profile is converted to sRGB.
        Default,
        /// Never.
        MaintainOriginal,
        /// From the source profile to the output profile.
        Convert,
    }
}

words! {
    /// What an image-serving publish job sends out.
    PublishType {
        /// Everything that is marked.
        Full,
        /// The same, and the search index.
        FullWithSearch,
        /// What has changed since the last one.
        Incremental,
    }
}

/// A job as submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Company handle; `None` when the document was a bare `reprocessAssetsJob`, which has no envelope.
    pub company: Option<String>,
    /// Who gets the mail; `None`: the submitter.
    pub user: Option<String>,
    /// Name for people; empty when the document was a bare `reprocessAssetsJob`.
    pub name: String,
    /// Language of log messages and mail, in the form `en-US`.
    pub locale: Option<String>,
    /// Free text, kept on the job log.
    pub description: Option<String>,
    pub start: Start,
    pub reprocess: ReprocessAssets,
    /// What the document asks for that is not acted on or looks wrong, one sentence each, for the job log.
    pub warnings: Vec<String>,
}

/// When a job is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    Now,
    At(Timestamp),
    /// A valid Quartz expression of 6 or 7 fields, one space between them.
    Cron(String),
}

/// The work itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ReprocessAssets {
    /// Asset handles, at least one, none twice, in document order.
    pub assets: Vec<String>,
    /// Handles that were listed again, one entry for each repetition; they run once.
    pub duplicates: Vec<String>,
    /// The publish mark that the files get.
    pub ready_for_publish: Option<bool>,
    /// Keep each asset's present publish mark; `None`: the company setting decides.
    pub preserve_publish_state: Option<bool>,
    /// Build an alpha mask from the clipping path stored in the file.
    pub create_mask: bool,
    /// Without a new crop: re-apply the crop stored for the asset (`true`) or drop it (`false`).
    pub preserve_crop: bool,
    pub knockout: Option<Knockout>,
    pub crop: Option<Crop>,
    pub photoshop: Option<PhotoshopOptions>,
    pub post_script: Option<PostScriptOptions>,
    pub pdf: Option<PdfOptions>,
    pub illustrator: Option<IllustratorOptions>,
    pub in_design: Option<InDesignOptions>,
    pub media: Option<MediaOptions>,
    pub color_management: Option<ColorManagement>,
    /// Handles of set-creation presets.
    pub auto_sets: Vec<String>,
    /// Handles of the projects that the assets join.
    pub projects: Vec<String>,
    pub email: EmailSetting,
    /// Run the follow-on (HTTP notice, publish job) only if a file was really processed.
    pub post_job_only_if_files: bool,
    /// An `http` or `https` address that is notified when the job is done.
    pub post_http_url: Option<String>,
    pub publish: Option<PublishJob>,
    /// Sharpening of the subsampled pyramid levels.
    pub unsharp: Option<Unsharp>,
}

/// A new crop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Crop {
    /// Pixels cut from each side, each at most `i32::MAX`; all zero means that the job brings no new crop.
    Manual(Insets),
    Auto(Background),
}

/// Photoshop documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhotoshopOptions {
    pub process: PhotoshopProcess,
    pub layers: LayerOptions,
}

/// What is made of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerOptions {
    pub naming: LayerNaming,
    pub anchor: Anchor,
    /// Make a template that puts the layers together again.
    pub create_template: bool,
    /// Turn text layers into text of the template and into searchable words.
    pub extract_text: bool,
    /// Give every layer image the size of the document.
    pub extend_layers: bool,
}

/// PostScript and EPS files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PostScriptOptions {
    pub process: DocumentProcess,
    /// Pixels per inch, 1–9600.
    pub resolution_dpi: f64,
    pub colorspace: DocumentColor,
    /// Keep a transparent background.
    pub alpha: bool,
    pub extract_search_words: bool,
}

/// PDF files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PdfOptions {
    pub process: PdfProcess,
    /// Pixels per inch, 1–9600.
    pub resolution_dpi: f64,
    pub colorspace: DocumentColor,
    /// Put the pages of a PDF with several into an eCatalog named after it.
    pub catalog: bool,
    pub extract_search_words: bool,
    /// Turn links into image maps on the page images.
    pub extract_links: bool,
}

/// Illustrator files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IllustratorOptions {
    pub process: DocumentProcess,
    /// Pixels per inch, 1–9600.
    pub resolution_dpi: f64,
    pub colorspace: DocumentColor,
    /// Keep a transparent background.
    pub alpha: bool,
}

/// InDesign files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InDesignOptions {
    pub process: DocumentProcess,
}

/// Video and audio files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaOptions {
    /// Handles of encoding presets.
    pub encoding_presets: Vec<String>,
    pub generate_thumbnail: bool,
    /// Milliseconds from the start; outside the video: its first frame. `None`: the first frame.
    pub thumbnail_time_ms: Option<i64>,
}

/// Colour conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColorManagement {
    pub conversion: ColorConversion,
    /// Handle of an ICC profile asset or a built-in profile; overrides embedded profiles.
    pub source_profile: Option<String>,
    /// Handle of an ICC profile asset or a built-in profile; `None`: sRGB.
    pub output_profile: Option<String>,
}

/// A publish job that follows, named `Pub_` and the name of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishJob {
    pub target: PublishTarget,
    pub email: EmailSetting,
    /// An `http` or `https` address that is notified when publishing is done.
    pub http_completion_url: Option<String>,
    /// Handle of the publish context.
    pub context: Option<String>,
}

/// What a publish job publishes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublishTarget {
    ImageServing(PublishType),
    ImageRendering,
    Video,
}

impl PublishTarget {
    /// The element that names this kind of publish job.
    pub(super) const fn element(self) -> &'static str {
        match self {
            PublishTarget::ImageServing(_) => "postImageServingPublishJob",
            PublishTarget::ImageRendering => "postImageRenderingPublishJob",
            PublishTarget::Video => "postVideoPublishJob",
        }
    }
}
