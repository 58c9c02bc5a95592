//! The one table of job documents: every element with its type, range, default and meaning.
//!
//! Source: the `ReprocessAssetsJob` of the Image Production System API. Order is the order of writing.

use std::fmt::Write;

use super::model::*;
use crate::geometry::Corner;
use crate::ops::knockout::Fill;

/// A structured type.
pub(super) struct Type {
    /// Name of the element at the root of a document, or of the type where the element has several names.
    pub name: &'static str,
    pub elements: &'static [Element],
    /// Groups of elements of which at most one may be present.
    pub choices: &'static [&'static [&'static str]],
}

/// One element of a structured type.
pub(super) struct Element {
    pub name: &'static str,
    pub kind: Kind,
    pub occurs: Occurs,
    pub meaning: &'static str,
}

/// What an element holds.
pub(super) enum Kind {
    /// Any text, empty included.
    Text,
    /// Text that is not empty.
    Name,
    /// An opaque handle that starts with the given prefix.
    Handle(&'static str),
    /// `items`, each such a handle.
    Handles {
        prefix: &'static str,
        at_least: usize,
    },
    Boolean,
    /// Whole number, both ends allowed.
    Integer(i64, i64),
    /// Finite number, both ends allowed.
    Double(f64, f64),
    /// One of these, letter by letter.
    Word(&'static [&'static str]),
    Locale,
    DateTime,
    Cron,
    Url,
    Structure(&'static Type),
    /// Accepted with any content, which is not even read.
    Ignored,
}

/// Whether an element may be absent, and what holds then.
#[derive(Clone, Copy)]
pub(super) enum Occurs {
    Required,
    Optional,
    /// As if it were there with this text.
    Default(&'static str),
}

use Kind::*;
use Occurs::*;

const fn element(name: &'static str, kind: Kind, occurs: Occurs, meaning: &'static str) -> Element {
    Element { name, kind, occurs, meaning }
}

/// An element of a later schema version.
const fn ignored(name: &'static str) -> Element {
    element(name, Ignored, Optional, "Accepted, not acted on; its content is not read.")
}

const RESOLUTION: Kind = Double(1.0, 9600.0);
const TOLERANCE: Kind = Double(0.0, 1.0);
const INSET: Kind = Integer(0, i32::MAX as i64);

pub(super) static SUBMIT_JOB_PARAM: Type = Type {
    name: "submitJobParam",
    elements: &[
        element("companyHandle", Handle("c|"), Required, "The company whose library is worked on."),
        element("userHandle", Handle("u|"), Optional, "Who gets the mail; the submitter when absent."),
        element("jobName", Name, Required, "A name for people, unique in the library."),
        element("locale", Locale, Optional, "Language of log messages and mail."),
        element("execTime", DateTime, Optional, "Run once at this time; UTC when no offset is given."),
        element("execSchedule", Cron, Optional, "Run again and again by this Quartz expression."),
        element("description", Text, Optional, "Free text, kept on the job log."),
        element("reprocessAssetsJob", Structure(&REPROCESS_ASSETS_JOB), Required, "The work itself."),
    ],
    choices: &[&["execTime", "execSchedule"]],
};

pub(super) static REPROCESS_ASSETS_JOB: Type = Type {
    name: "reprocessAssetsJob",
    elements: &[
        element(
            "assetHandleArray",
            Handles { prefix: "a|", at_least: 1 },
            Required,
            "The assets to process; one that is listed twice runs once.",
        ),
        element("readyForPublish", Boolean, Optional, "The publish mark that the files get."),
        element(
            "preservePublishState",
            Boolean,
            Optional,
            "true keeps each asset's publish mark, false sets it from readyForPublish; the company decides when absent.",
        ),
        element("createMask", Boolean, Required, "Build an alpha mask from the clipping path stored in the file."),
        element(
            "preserveCrop",
            Boolean,
            Default("true"),
            "Without a new crop: true applies the asset's stored crop again, false drops it.",
        ),
        element("knockoutBackground", Structure(&KNOCKOUT), Optional, "Another name of knockoutBackgroundOptions."),
        element(
            "knockoutBackgroundOptions",
            Structure(&KNOCKOUT),
            Optional,
            "Make the background that matches a corner pixel transparent.",
        ),
        element(
            "manualCropOptions",
            Structure(&MANUAL_CROP),
            Optional,
            "Cut these pixels from each side; 0 on all sides is no new crop.",
        ),
        element(
            "autoColorCropOptions",
            Structure(&AUTO_COLOR_CROP),
            Optional,
            "Cut what has the colour of a corner pixel.",
        ),
        element("autoTransparentCropOptions", Structure(&AUTO_TRANSPARENT_CROP), Optional, "Cut what is transparent."),
        element("photoshopOptions", Structure(&PHOTOSHOP), Optional, "For PSD and PSB files."),
        element("postScriptOptions", Structure(&POST_SCRIPT), Optional, "For PS and EPS files."),
        element("pdfOptions", Structure(&PDF), Optional, "For PDF files."),
        element("illustratorOptions", Structure(&ILLUSTRATOR), Optional, "For AI files."),
        element("inDesignOptions", Structure(&IN_DESIGN), Optional, "For INDD files."),
        element("mediaOptions", Structure(&MEDIA), Optional, "For video and audio files."),
        element("colorManagementOptions", Structure(&COLOR_MANAGEMENT), Optional, "Whether colours are converted."),
        element("autoSetCreationOptions", Structure(&AUTO_SETS), Optional, "Group the results into sets."),
        element(
            "projectHandleArray",
            Handles { prefix: "p|", at_least: 0 },
            Optional,
            "Projects that the assets join.",
        ),
        element("emailSetting", Word(EmailSetting::NAMES), Required, "When mail is sent about the job."),
        element(
            "postJobOnlyIfFiles",
            Boolean,
            Default("false"),
            "Send the notice and start the publish job only if at least one file was processed.",
        ),
        element("postHttpUrl", Url, Optional, "Address that is notified when the job is done."),
        element(
            "postImageServingPublishJob",
            Structure(&IMAGE_SERVING_PUBLISH),
            Optional,
            "Publish to image serving afterwards.",
        ),
        element(
            "postImageRenderingPublishJob",
            Structure(&IMAGE_RENDERING_PUBLISH),
            Optional,
            "Publish to image rendering afterwards.",
        ),
        element("postVideoPublishJob", Structure(&VIDEO_PUBLISH), Optional, "Publish video afterwards."),
        element("unsharpMaskOptions", Structure(&UNSHARP_MASK), Optional, "Sharpen the subsampled pyramid levels."),
        ignored("synchronizationComplete"),
        ignored("overwriteAVS"),
        ignored("autoSmartCropOptionsArray"),
        ignored("cssOptions"),
        ignored("excludeMasterVideoFromAVS"),
        ignored("metadataOptions"),
        ignored("jwtToken"),
        ignored("imsOrg"),
        ignored("apikey"),
        ignored("ignoreSmartCropGeneration"),
        ignored("preserveSmartCrop"),
    ],
    choices: &[
        &["knockoutBackground", "knockoutBackgroundOptions"],
        &["manualCropOptions", "autoColorCropOptions", "autoTransparentCropOptions"],
        &["postImageServingPublishJob", "postImageRenderingPublishJob", "postVideoPublishJob"],
    ],
};

static KNOCKOUT: Type = Type {
    name: "KnockoutBackgroundOptions",
    elements: &[
        element("corner", Word(Corner::NAMES), Required, "The corner whose pixel is background."),
        element("tolerance", TOLERANCE, Default("0"), "Difference that still matches, as a part of full scale."),
        element(
            "fillMethod",
            Word(Fill::NAMES),
            Required,
            "FloodFill: matching pixels connected with the corner; MatchPixel: all matching pixels.",
        ),
    ],
    choices: &[],
};

static MANUAL_CROP: Type = Type {
    name: "ManualCropOptions",
    elements: &[
        element("left", INSET, Required, "Pixels cut from the left side."),
        element("right", INSET, Required, "Pixels cut from the right side."),
        element("top", INSET, Required, "Pixels cut from the top."),
        element("bottom", INSET, Required, "Pixels cut from the bottom."),
    ],
    choices: &[],
};

static AUTO_COLOR_CROP: Type = Type {
    name: "AutoColorCropOptions",
    elements: &[
        element("corner", Word(Corner::NAMES), Required, "The corner whose pixel is background."),
        element("tolerance", TOLERANCE, Default("0"), "Difference that still matches, as a part of full scale."),
    ],
    choices: &[],
};

static AUTO_TRANSPARENT_CROP: Type = Type {
    name: "AutoTransparentCropOptions",
    elements: &[element(
        "tolerance",
        TOLERANCE,
        Default("0"),
        "Alpha that still counts as transparent, as a part of full scale.",
    )],
    choices: &[],
};

static PHOTOSHOP: Type = Type {
    name: "PhotoshopOptions",
    elements: &[
        element(
            "process",
            Word(PhotoshopProcess::NAMES),
            Default("None"),
            "MaintainLayers makes an image of every layer.",
        ),
        element("layerOptions", Structure(&LAYERS), Default(""), "What is made of the layers."),
    ],
    choices: &[],
};

static LAYERS: Type = Type {
    name: "PhotoshopLayerOptions",
    elements: &[
        element("layerNaming", Word(LayerNaming::NAMES), Default("LayerName"), "How the images of layers are named."),
        element("anchor", Word(Anchor::NAMES), Default("Center"), "The point that a template places a layer by."),
        element("createTemplate", Boolean, Default("false"), "Make a template that puts the layers together again."),
        element("extractText", Boolean, Default("false"), "Turn text layers into template text and searchable words."),
        element("extendLayers", Boolean, Default("false"), "Give every layer image the size of the document."),
    ],
    choices: &[],
};

static POST_SCRIPT: Type = Type {
    name: "PostScriptOptions",
    elements: &[
        element("process", Word(DocumentProcess::NAMES), Default("None"), "Rasterize draws the document."),
        element("resolution", RESOLUTION, Default("150"), "Pixels per inch."),
        element("colorspace", Word(DocumentColor::NAMES), Default("Auto"), "Auto keeps the document's own."),
        element("alpha", Boolean, Default("false"), "Keep a transparent background."),
        element("extractSearchWords", Boolean, Default("false"), "Keep the words of the document for searching."),
    ],
    choices: &[],
};

static PDF: Type = Type {
    name: "PDFOptions",
    elements: &[
        element(
            "process",
            Word(PdfProcess::NAMES),
            Default("Rasterize"),
            "Rasterize draws every page, Thumbnail the first one.",
        ),
        element("resolution", RESOLUTION, Default("150"), "Pixels per inch."),
        element("colorspace", Word(DocumentColor::NAMES), Default("Auto"), "Auto keeps the document's own."),
        element("pdfCatalog", Boolean, Default("true"), "Make an eCatalog of the pages of a PDF that has several."),
        element("extractSearchWords", Boolean, Default("false"), "Keep the words of the pages for searching."),
        element("extractLinks", Boolean, Default("false"), "Turn links into image maps on the page images."),
    ],
    choices: &[],
};

static ILLUSTRATOR: Type = Type {
    name: "IllustratorOptions",
    elements: &[
        element("process", Word(DocumentProcess::NAMES), Default("None"), "Rasterize draws the document."),
        element("resolution", RESOLUTION, Default("150"), "Pixels per inch."),
        element("colorspace", Word(DocumentColor::NAMES), Default("Auto"), "Auto keeps the document's own."),
        element("alpha", Boolean, Default("false"), "Keep a transparent background."),
    ],
    choices: &[],
};

static IN_DESIGN: Type = Type {
    name: "InDesignOptions",
    elements: &[element("process", Word(DocumentProcess::NAMES), Default("None"), "Rasterize draws the document.")],
    choices: &[],
};

static MEDIA: Type = Type {
    name: "MediaOptions",
    elements: &[
        element(
            "videoEncodingPresetsArray",
            Handles { prefix: "ps|", at_least: 0 },
            Optional,
            "Presets that videos are encoded by.",
        ),
        element("generateThumbnail", Boolean, Default("false"), "Make an image of one frame."),
        element("thumbnailOptions", Structure(&THUMBNAIL), Default(""), "Which frame it is."),
    ],
    choices: &[],
};

static THUMBNAIL: Type = Type {
    name: "ThumbnailOptions",
    elements: &[element(
        "thumbnailTime",
        Integer(i64::MIN, i64::MAX),
        Optional,
        "Milliseconds from the start; the first frame when absent or outside the video.",
    )],
    choices: &[],
};

static COLOR_MANAGEMENT: Type = Type {
    name: "ColorManagementOptions",
    elements: &[
        element(
            "colorManagement",
            Word(ColorConversion::NAMES),
            Default("Default"),
            "Default converts only CMYK without a profile, MaintainOriginal nothing, Convert everything.",
        ),
        element("sourceProfileHandle", Handle(""), Optional, "ICC profile of the originals, whatever they embed."),
        element("outputProfileHandle", Handle(""), Optional, "ICC profile to convert to; sRGB when absent."),
    ],
    choices: &[],
};

static AUTO_SETS: Type = Type {
    name: "AutoSetCreationOptions",
    elements: &[element(
        "autoSetsArray",
        Handles { prefix: "ps|", at_least: 0 },
        Optional,
        "Presets that sets are made by.",
    )],
    choices: &[],
};

const PUBLISH_EMAIL: Element =
    element("emailSetting", Word(EmailSetting::NAMES), Default("None"), "When mail is sent about the publish job.");
const PUBLISH_URL: Element =
    element("httpCompletionUrl", Url, Optional, "Address that is notified when publishing is done.");
const PUBLISH_CONTEXT: Element = element("contextHandle", Handle(""), Optional, "The publish context.");

static IMAGE_SERVING_PUBLISH: Type = Type {
    name: "ImageServingPublishJob",
    elements: &[
        element("publishType", Word(PublishType::NAMES), Default("Full"), "What is sent out."),
        PUBLISH_EMAIL,
        PUBLISH_URL,
        PUBLISH_CONTEXT,
    ],
    choices: &[],
};

static IMAGE_RENDERING_PUBLISH: Type =
    Type { name: "ImageRenderingPublishJob", elements: &[PUBLISH_EMAIL, PUBLISH_URL, PUBLISH_CONTEXT], choices: &[] };

static VIDEO_PUBLISH: Type =
    Type { name: "VideoPublishJob", elements: &[PUBLISH_EMAIL, PUBLISH_URL, PUBLISH_CONTEXT], choices: &[] };

static UNSHARP_MASK: Type = Type {
    name: "UnsharpMaskOptions",
    elements: &[
        element("amount", Double(0.0, 5.0), Default("0"), "Strength; 1 is 100 %."),
        element("radius", Double(0.0, 250.0), Default("1"), "Standard deviation of the blur in pixels."),
        element("threshold", Integer(0, 255), Default("6"), "Smallest difference that is sharpened."),
        element("monochrome", Integer(0, 1), Default("0"), "1 sharpens brightness only."),
    ],
    choices: &[],
};

/// Whether an element of this name is accepted without reading its content. No other element has such a name.
pub(super) fn is_ignored(name: &str) -> bool {
    REPROCESS_ASSETS_JOB.elements.iter().any(|element| element.name == name && matches!(element.kind, Ignored))
}

/// The element that holds elements called `name`, the outermost if there are several.
pub(super) fn home_of(name: &str) -> Option<&'static str> {
    fn search(parent: &'static str, of: &'static Type, name: &str) -> Option<&'static str> {
        if of.elements.iter().any(|element| element.name == name) {
            return Some(parent);
        }
        of.elements.iter().find_map(|element| match element.kind {
            Structure(inner) => search(element.name, inner, name),
            _ => None,
        })
    }
    search(SUBMIT_JOB_PARAM.name, &SUBMIT_JOB_PARAM, name)
}

impl Kind {
    /// What is allowed, as messages and the reference say it.
    pub fn allowed(&self) -> String {
        match self {
            Text => "text".to_string(),
            Name => "text that is not empty".to_string(),
            Handle("") => "a handle".to_string(),
            Handle(prefix) => format!("a handle such as {prefix}1"),
            Handles { prefix, at_least: 0 } => format!("items, each a handle such as {prefix}1"),
            Handles { prefix, at_least } => format!("at least {at_least} items, each a handle such as {prefix}1"),
            Boolean => "true, false, 1 or 0".to_string(),
            Integer(i64::MIN, i64::MAX) => "a whole number".to_string(),
            Integer(min, max) => format!("a whole number from {min} to {max}"),
            Double(min, max) => format!("a number from {min} to {max}"),
            Word(words) => words.join(", "),
            Locale => "a language and a country such as en-US".to_string(),
            DateTime => "a date and time such as 2025-03-31T22:00:00Z".to_string(),
            Cron => "a Quartz expression of 6 or 7 fields such as 0 30 2 ? * MON-FRI".to_string(),
            Url => "an http or https address".to_string(),
            Structure(of) => format!("elements ({})", of.name),
            Ignored => "anything".to_string(),
        }
    }
}

pub(super) fn reference() -> String {
    let mut out = String::new();
    list(&mut out, SUBMIT_JOB_PARAM.name, &SUBMIT_JOB_PARAM, 0);
    out
}

fn list(out: &mut String, name: &str, of: &Type, depth: usize) {
    if depth == 0 {
        let _ = writeln!(out, "{name}");
    }
    let indent = "  ".repeat(depth + 1);
    for element in of.elements {
        let occurs = match element.occurs {
            Required => "required".to_string(),
            Optional | Default("") => "optional".to_string(),
            Default(text) => format!("default {text}"),
        };
        let _ = writeln!(out, "{indent}{}: {}; {occurs}", element.name, element.kind.allowed());
        let _ = writeln!(out, "{indent}    {}", element.meaning);
        let others = of.choices.iter().filter(|group| group.contains(&element.name)).flat_map(|group| group.iter());
        let others: Vec<&str> = others.copied().filter(|other| *other != element.name).collect();
        if !others.is_empty() {
            let _ = writeln!(out, "{indent}    Not together with {}.", others.join(" or "));
        }
        if let Structure(inner) = element.kind {
            list(out, element.name, inner, depth + 1);
        }
    }
}
