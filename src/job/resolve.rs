//! Between checked records and the typed job, in both directions.

use std::collections::HashSet;

use super::check::{Checker, Record};
use super::fault::Problems;
use super::model::*;
use super::raw::{Document, Node};
use super::schema::{REPROCESS_ASSETS_JOB, SUBMIT_JOB_PARAM};
use crate::geometry::Insets;
use crate::ops::crop_detect::Background;
use crate::ops::knockout::Knockout;
use crate::ops::unsharp::Unsharp;

/// The job that `document` asks for; `None` when it is not in order, with the reasons in `problems`.
pub(super) fn job(document: Document<'_>, problems: &mut Problems) -> Option<Job> {
    let bare = document.root.name == REPROCESS_ASSETS_JOB.name;
    let (of, path) =
        if bare { (&REPROCESS_ASSETS_JOB, vec![REPROCESS_ASSETS_JOB.name]) } else { (&SUBMIT_JOB_PARAM, Vec::new()) };
    let mut checker = Checker { problems, warnings: document.warnings, path };
    let record = checker.record(&document.root, of);
    let mut warnings = checker.warnings;
    if !problems.is_empty() {
        return None;
    }
    let reprocess = reprocess_assets(if bare { &record } else { record.structure(REPROCESS_ASSETS_JOB.name) });
    if !reprocess.duplicates.is_empty() {
        warnings
            .push(format!("assetHandleArray lists {} handles again; each asset runs once", reprocess.duplicates.len()));
    }
    Some(if bare {
        Job {
            company: None,
            user: None,
            name: String::new(),
            locale: None,
            description: None,
            start: Start::Now,
            reprocess,
            warnings,
        }
    } else {
        Job {
            company: record.text("companyHandle"),
            user: record.text("userHandle"),
            name: record.text("jobName").unwrap_or_default(),
            locale: record.text("locale"),
            description: record.text("description"),
            start: match (record.time("execTime"), record.text("execSchedule")) {
                (Some(time), _) => Start::At(time),
                (None, Some(expression)) => Start::Cron(expression),
                (None, None) => Start::Now,
            },
            reprocess,
            warnings,
        }
    })
}

fn reprocess_assets(record: &Record) -> ReprocessAssets {
    let (assets, duplicates) = once_each(record.handles("assetHandleArray"));
    ReprocessAssets {
        assets,
        duplicates,
        ready_for_publish: record.optional_boolean("readyForPublish"),
        preserve_publish_state: record.optional_boolean("preservePublishState"),
        create_mask: record.boolean("createMask"),
        preserve_crop: record.boolean("preserveCrop"),
        knockout: record
            .record("knockoutBackground")
            .or_else(|| record.record("knockoutBackgroundOptions"))
            .map(knockout),
        crop: crop(record),
        photoshop: record.record("photoshopOptions").map(photoshop),
        post_script: record.record("postScriptOptions").map(|options| PostScriptOptions {
            process: options.word("process"),
            resolution_dpi: options.double("resolution"),
            colorspace: options.word("colorspace"),
            alpha: options.boolean("alpha"),
            extract_search_words: options.boolean("extractSearchWords"),
        }),
        pdf: record.record("pdfOptions").map(|options| PdfOptions {
            process: options.word("process"),
            resolution_dpi: options.double("resolution"),
            colorspace: options.word("colorspace"),
            catalog: options.boolean("pdfCatalog"),
            extract_search_words: options.boolean("extractSearchWords"),
            extract_links: options.boolean("extractLinks"),
        }),
        illustrator: record.record("illustratorOptions").map(|options| IllustratorOptions {
            process: options.word("process"),
            resolution_dpi: options.double("resolution"),
            colorspace: options.word("colorspace"),
            alpha: options.boolean("alpha"),
        }),
        in_design: record.record("inDesignOptions").map(|options| InDesignOptions { process: options.word("process") }),
        media: record.record("mediaOptions").map(|options| MediaOptions {
            encoding_presets: options.handles("videoEncodingPresetsArray"),
            generate_thumbnail: options.boolean("generateThumbnail"),
            thumbnail_time_ms: options.structure("thumbnailOptions").optional_integer("thumbnailTime"),
        }),
        color_management: record.record("colorManagementOptions").map(|options| ColorManagement {
            conversion: options.word("colorManagement"),
            source_profile: options.text("sourceProfileHandle"),
            output_profile: options.text("outputProfileHandle"),
        }),
        auto_sets: record
            .record("autoSetCreationOptions")
            .map(|options| options.handles("autoSetsArray"))
            .unwrap_or_default(),
        projects: record.handles("projectHandleArray"),
        email: record.word("emailSetting"),
        post_job_only_if_files: record.boolean("postJobOnlyIfFiles"),
        post_http_url: record.text("postHttpUrl"),
        publish: publish(record),
        unsharp: record.record("unsharpMaskOptions").map(|options| Unsharp {
            amount: options.double("amount"),
            radius_px: options.double("radius"),
            threshold: options.integer("threshold"),
            monochrome: options.integer::<u8>("monochrome") == 1,
        }),
    }
}

/// The handles in their order without repetitions, and the repetitions.
fn once_each(handles: Vec<String>) -> (Vec<String>, Vec<String>) {
    let mut seen = HashSet::with_capacity(handles.len());
    handles.into_iter().partition(|handle| seen.insert(handle.clone()))
}

fn knockout(record: &Record) -> Knockout {
    Knockout { corner: record.word("corner"), tolerance: record.double("tolerance"), fill: record.word("fillMethod") }
}

fn crop(record: &Record) -> Option<Crop> {
    if let Some(options) = record.record("manualCropOptions") {
        return Some(Crop::Manual(Insets {
            left: options.integer("left"),
            right: options.integer("right"),
            top: options.integer("top"),
            bottom: options.integer("bottom"),
        }));
    }
    if let Some(options) = record.record("autoColorCropOptions") {
        return Some(Crop::Auto(Background::Color {
            corner: options.word("corner"),
            tolerance: options.double("tolerance"),
        }));
    }
    let options = record.record("autoTransparentCropOptions")?;
    Some(Crop::Auto(Background::Transparent { tolerance: options.double("tolerance") }))
}

fn photoshop(record: &Record) -> PhotoshopOptions {
    let layers = record.structure("layerOptions");
    PhotoshopOptions {
        process: record.word("process"),
        layers: LayerOptions {
            naming: layers.word("layerNaming"),
            anchor: layers.word("anchor"),
            create_template: layers.boolean("createTemplate"),
            extract_text: layers.boolean("extractText"),
            extend_layers: layers.boolean("extendLayers"),
        },
    }
}

fn publish(record: &Record) -> Option<PublishJob> {
    let (target, options) = if let Some(options) = record.record("postImageServingPublishJob") {
        (PublishTarget::ImageServing(options.word("publishType")), options)
    } else if let Some(options) = record.record("postImageRenderingPublishJob") {
        (PublishTarget::ImageRendering, options)
    } else {
        (PublishTarget::Video, record.record("postVideoPublishJob")?)
    };
    Some(PublishJob {
        target,
        email: options.word("emailSetting"),
        http_completion_url: options.text("httpCompletionUrl"),
        context: options.text("contextHandle"),
    })
}

/// `job` as elements, in no particular order.
pub(super) fn submit_job_param<'a>(job: &'a Job, company: &'a str) -> Node<'a> {
    let mut elements = vec![
        Node::leaf("companyHandle", company),
        Node::leaf("jobName", job.name.as_str()),
        reprocess_assets_job(&job.reprocess),
    ];
    elements.extend(text("userHandle", &job.user));
    elements.extend(text("locale", &job.locale));
    elements.extend(text("description", &job.description));
    match &job.start {
        Start::Now => {}
        Start::At(time) => elements.push(Node::leaf("execTime", time.to_string())),
        Start::Cron(expression) => elements.push(Node::leaf("execSchedule", expression.as_str())),
    }
    Node::branch(SUBMIT_JOB_PARAM.name, elements)
}

/// `reprocess` as elements, in no particular order.
pub(super) fn reprocess_assets_job(reprocess: &ReprocessAssets) -> Node<'_> {
    let mut elements = vec![
        handles("assetHandleArray", &reprocess.assets),
        boolean("createMask", reprocess.create_mask),
        boolean("preserveCrop", reprocess.preserve_crop),
        word("emailSetting", reprocess.email),
        boolean("postJobOnlyIfFiles", reprocess.post_job_only_if_files),
    ];
    elements.extend(reprocess.ready_for_publish.map(|value| boolean("readyForPublish", value)));
    elements.extend(reprocess.preserve_publish_state.map(|value| boolean("preservePublishState", value)));
    elements.extend(text("postHttpUrl", &reprocess.post_http_url));
    elements.extend(reprocess.knockout.map(|options| {
        Node::branch(
            "knockoutBackgroundOptions",
            vec![
                word("corner", options.corner),
                number("tolerance", options.tolerance),
                word("fillMethod", options.fill),
            ],
        )
    }));
    elements.extend(reprocess.crop.map(crop_element));
    elements.extend(document_elements(reprocess));
    elements.extend(reprocess.media.as_ref().map(|options| {
        let mut media = vec![
            handles("videoEncodingPresetsArray", &options.encoding_presets),
            boolean("generateThumbnail", options.generate_thumbnail),
        ];
        let time = options.thumbnail_time_ms.map(|time| number("thumbnailTime", time));
        media.extend(time.map(|time| Node::branch("thumbnailOptions", vec![time])));
        Node::branch("mediaOptions", media)
    }));
    elements.extend(reprocess.color_management.as_ref().map(|options| {
        let mut color = vec![word("colorManagement", options.conversion)];
        color.extend(text("sourceProfileHandle", &options.source_profile));
        color.extend(text("outputProfileHandle", &options.output_profile));
        Node::branch("colorManagementOptions", color)
    }));
    if !reprocess.auto_sets.is_empty() {
        let presets = handles("autoSetsArray", &reprocess.auto_sets);
        elements.push(Node::branch("autoSetCreationOptions", vec![presets]));
    }
    if !reprocess.projects.is_empty() {
        elements.push(handles("projectHandleArray", &reprocess.projects));
    }
    elements.extend(reprocess.publish.as_ref().map(|job| {
        let mut publish = vec![word("emailSetting", job.email)];
        if let PublishTarget::ImageServing(publish_type) = job.target {
            publish.push(word("publishType", publish_type));
        }
        publish.extend(text("httpCompletionUrl", &job.http_completion_url));
        publish.extend(text("contextHandle", &job.context));
        Node::branch(job.target.element(), publish)
    }));
    elements.extend(reprocess.unsharp.map(|options| {
        Node::branch(
            "unsharpMaskOptions",
            vec![
                number("amount", options.amount),
                number("radius", options.radius_px),
                number("threshold", options.threshold),
                number("monochrome", u8::from(options.monochrome)),
            ],
        )
    }));
    Node::branch(REPROCESS_ASSETS_JOB.name, elements)
}

fn crop_element(crop: Crop) -> Node<'static> {
    match crop {
        Crop::Manual(insets) => Node::branch(
            "manualCropOptions",
            vec![
                number("left", insets.left),
                number("right", insets.right),
                number("top", insets.top),
                number("bottom", insets.bottom),
            ],
        ),
        Crop::Auto(Background::Color { corner, tolerance }) => {
            Node::branch("autoColorCropOptions", vec![word("corner", corner), number("tolerance", tolerance)])
        }
        Crop::Auto(Background::Transparent { tolerance }) => {
            Node::branch("autoTransparentCropOptions", vec![number("tolerance", tolerance)])
        }
    }
}

fn document_elements<'a>(reprocess: &ReprocessAssets) -> impl Iterator<Item = Node<'a>> + use<'a> {
    let photoshop = reprocess.photoshop.map(|options| {
        let layers = Node::branch(
            "layerOptions",
            vec![
                word("layerNaming", options.layers.naming),
                word("anchor", options.layers.anchor),
                boolean("createTemplate", options.layers.create_template),
                boolean("extractText", options.layers.extract_text),
                boolean("extendLayers", options.layers.extend_layers),
            ],
        );
        Node::branch("photoshopOptions", vec![word("process", options.process), layers])
    });
    let post_script = reprocess.post_script.map(|options| {
        Node::branch(
            "postScriptOptions",
            vec![
                word("process", options.process),
                number("resolution", options.resolution_dpi),
                word("colorspace", options.colorspace),
                boolean("alpha", options.alpha),
                boolean("extractSearchWords", options.extract_search_words),
            ],
        )
    });
    let pdf = reprocess.pdf.map(|options| {
        Node::branch(
            "pdfOptions",
            vec![
                word("process", options.process),
                number("resolution", options.resolution_dpi),
                word("colorspace", options.colorspace),
                boolean("pdfCatalog", options.catalog),
                boolean("extractSearchWords", options.extract_search_words),
                boolean("extractLinks", options.extract_links),
            ],
        )
    });
    let illustrator = reprocess.illustrator.map(|options| {
        Node::branch(
            "illustratorOptions",
            vec![
                word("process", options.process),
                number("resolution", options.resolution_dpi),
                word("colorspace", options.colorspace),
                boolean("alpha", options.alpha),
            ],
        )
    });
    let in_design =
        reprocess.in_design.map(|options| Node::branch("inDesignOptions", vec![word("process", options.process)]));
    [photoshop, post_script, pdf, illustrator, in_design].into_iter().flatten()
}

fn text<'a>(name: &'static str, text: &'a Option<String>) -> Option<Node<'a>> {
    text.as_deref().map(|text| Node::leaf(name, text))
}

fn handles<'a>(name: &'static str, handles: &'a [String]) -> Node<'a> {
    Node::branch(name, handles.iter().map(|handle| Node::leaf("items", handle.as_str())).collect())
}

fn boolean(name: &'static str, value: bool) -> Node<'static> {
    Node::leaf(name, if value { "true" } else { "false" })
}

fn word(name: &'static str, value: impl Words) -> Node<'static> {
    Node::leaf(name, value.word())
}

/// Rust prints numbers in the shortest form that reads back as the same value, and never with an exponent.
fn number(name: &'static str, value: impl ToString) -> Node<'static> {
    Node::leaf(name, value.to_string())
}
