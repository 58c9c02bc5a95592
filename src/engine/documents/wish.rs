//! What a job wants of a document.

use crate::decode::Kind;
use crate::engine::color::{ColorPolicy, Conversion};
use crate::job::{DocumentColor, DocumentProcess, PdfProcess, ReprocessAssets};
use crate::ops::color::{Builtin, Profile};
use crate::pixel::Color;
use crate::rip;

/// What a job wants of one document.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// It is kept as it is.
    Keep,
    /// The first page becomes the document's own pyramid.
    Preview(Drawing),
    /// Every page becomes an asset.
    Pages(Drawing, Extras),
}

/// How pages are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawing {
    pub(super) settings: rip::Settings,
    /// As the job has it, for the record.
    colorspace: DocumentColor,
}

/// What is kept of the pages besides their images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    pub(super) catalog: bool,
    pub(super) words: bool,
    pub(super) links: bool,
}

/// What `job` wants of documents of this kind; `None` for kinds that are not ripped.
pub fn wish(job: &ReprocessAssets, kind: Kind) -> Option<Wish> {
    let drawing = |resolution_dpi, colorspace, alpha| Drawing {
        settings: rip::Settings {
            resolution_dpi,
            color: match colorspace {
                DocumentColor::Gray => Color::Gray,
                // PDFium draws no CMYK: its RGB is converted to the default CMYK profile.
                DocumentColor::Cmyk if kind == Kind::PostScript => Color::Cmyk,
                DocumentColor::Auto | DocumentColor::Rgb | DocumentColor::Cmyk => Color::Rgb,
            },
            alpha,
            own_color: colorspace == DocumentColor::Auto,
        },
        colorspace,
    };
    let plain = Extras::default();
    match kind {
        Kind::Pdf => {
            let Some(options) = &job.pdf else {
                let extras = Extras { catalog: true, ..plain };
                return Some(Wish::Pages(drawing(150.0, DocumentColor::Auto, false), extras));
            };
            let drawing = drawing(options.resolution_dpi, options.colorspace, false);
            Some(match options.process {
                PdfProcess::None => Wish::Keep,
                PdfProcess::Thumbnail => Wish::Preview(drawing),
                PdfProcess::Rasterize => Wish::Pages(
                    drawing,
                    Extras {
                        catalog: options.catalog,
                        words: options.extract_search_words,
                        links: options.extract_links,
                    },
                ),
            })
        }
        Kind::Illustrator => Some(match &job.illustrator {
            Some(options) if options.process == DocumentProcess::Rasterize => {
                Wish::Pages(drawing(options.resolution_dpi, options.colorspace, options.alpha), plain)
            }
            _ => Wish::Keep,
        }),
        Kind::PostScript => Some(match &job.post_script {
            Some(options) if options.process == DocumentProcess::Rasterize => Wish::Pages(
                drawing(options.resolution_dpi, options.colorspace, options.alpha),
                Extras { words: options.extract_search_words, ..plain },
            ),
            _ => Wish::Keep,
        }),
        Kind::InDesign => Some(match &job.in_design {
            Some(options) if options.process == DocumentProcess::Rasterize => {
                Wish::Pages(drawing(STORED_DPI, DocumentColor::Auto, false), plain)
            }
            _ => Wish::Keep,
        }),
        _ => None,
    }
}

/// What is on record of pictures that are taken as they are.
const STORED_DPI: f64 = 72.0;

impl Drawing {
    /// The run's policy for colours, for pages drawn like this. What is drawn in CMYK stays CMYK, in the default profile
    /// where no other one is assumed, unless the job converts everything.
    pub fn color_policy(&self, policy: &ColorPolicy) -> ColorPolicy {
        match self.colorspace {
            DocumentColor::Cmyk if self.settings.format().color != Color::Cmyk => self.to_cmyk(policy),
            DocumentColor::Cmyk | DocumentColor::Auto => {
                let mut policy = policy.clone();
                if matches!(policy.conversion, Conversion::UntaggedCmyk) {
                    policy.conversion = Conversion::Never;
                }
                policy.defaults.cmyk.get_or_insert_with(|| Profile::builtin(Builtin::Cmyk).clone());
                policy
            }
            DocumentColor::Rgb | DocumentColor::Gray => policy.clone(),
        }
    }

    /// The policy for pages that are drawn in RGB and become CMYK.
    pub(super) fn to_cmyk(self, policy: &ColorPolicy) -> ColorPolicy {
        let mut policy = policy.clone();
        if !matches!(policy.conversion, Conversion::All { .. }) {
            let output = policy.defaults.cmyk.clone().unwrap_or_else(|| Profile::builtin(Builtin::Cmyk).clone());
            policy.conversion = Conversion::All { source: None, output: Some(output) };
        }
        policy
    }

    /// Whether pages that a PDF has in CMYK become CMYK.
    pub(super) fn keeps_cmyk(&self) -> bool {
        self.settings.own_color && !self.settings.alpha
    }

    /// As stored with every page image.
    pub(super) fn parameters(&self) -> String {
        let color = match self.colorspace {
            DocumentColor::Auto => "Auto",
            DocumentColor::Rgb => "Rgb",
            DocumentColor::Cmyk => "Cmyk",
            DocumentColor::Gray => "Gray",
        };
        let rip::Settings { resolution_dpi, alpha, .. } = self.settings;
        serde_json::json!({ "resolution": resolution_dpi, "colorspace": color, "alpha": alpha }).to_string()
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.colorspace == DocumentColor::Gray && self.settings.alpha {
            warnings.push("colorspace Gray: pages drawn with alpha are RGB in this version".to_owned());
        }
        warnings
    }
}
