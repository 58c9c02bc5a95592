//! Job documents: every element, every edge, both spellings, and what hostile ones meet.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use reprise::geometry::{Corner, Insets};
use reprise::job::*;
use reprise::ops::crop_detect::Background;
use reprise::ops::knockout::{Fill, Knockout};
use reprise::ops::unsharp::Unsharp;

const WHOLE_XML: &str = include_str!("../data/job/whole.xml");
const WHOLE_JSON: &str = include_str!("../data/job/whole.json");

fn read(document: &str) -> Job {
    parse(document.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{document}"))
}

fn refused(document: &str) -> JobError {
    match parse(document.as_bytes()) {
        Ok(job) => panic!("read as {job:?}\n{document}"),
        Err(error) => error,
    }
}

/// The one problem of `document`.
fn problem(document: &str) -> Problem {
    let error = refused(document);
    assert_eq!(error.problems.len(), 1, "{error}\n{document}");
    error.problems.into_iter().next().unwrap()
}

/// The smallest bare job around `elements`.
fn bare(elements: &str) -> String {
    format!(
        "<reprocessAssetsJob>\n<assetHandleArray><items>a|1</items></assetHandleArray>\n\
         <createMask>false</createMask>\n<emailSetting>None</emailSetting>\n{elements}\n</reprocessAssetsJob>"
    )
}

/// The smallest enveloped job with `elements` in the envelope.
fn enveloped(elements: &str) -> String {
    format!(
        "<submitJobParam><companyHandle>c|1</companyHandle><jobName>n</jobName>\n{elements}\n{}</submitJobParam>",
        bare("")
    )
}

fn resolved(elements: &str) -> ReprocessAssets {
    read(&bare(elements)).reprocess
}

fn whole() -> Job {
    Job {
        company: Some("c|1".into()),
        user: Some("u|7".into()),
        name: "Spring & summer".into(),
        locale: Some("en-US".into()),
        description: Some("All shoes, <again>".into()),
        start: Start::At("2025-03-31T20:00:00Z".parse().unwrap()),
        reprocess: ReprocessAssets {
            assets: vec!["a|1".into(), "a|2".into(), "a|3".into()],
            duplicates: vec![],
            ready_for_publish: Some(true),
            preserve_publish_state: Some(false),
            create_mask: true,
            preserve_crop: false,
            knockout: Some(Knockout { corner: Corner::UpperLeft, tolerance: 0.05, fill: Fill::FloodFill }),
            crop: Some(Crop::Manual(Insets { left: 1, right: 2, top: 3, bottom: 4 })),
            photoshop: Some(PhotoshopOptions {
                process: PhotoshopProcess::MaintainLayers,
                layers: LayerOptions {
                    naming: LayerNaming::AppendName,
                    anchor: Anchor::Northwest,
                    create_template: true,
                    extract_text: true,
                    extend_layers: true,
                },
            }),
            post_script: Some(PostScriptOptions {
                process: DocumentProcess::Rasterize,
                resolution_dpi: 300.0,
                colorspace: DocumentColor::Rgb,
                alpha: true,
                extract_search_words: true,
            }),
            pdf: Some(PdfOptions {
                process: PdfProcess::Thumbnail,
                resolution_dpi: 72.5,
                colorspace: DocumentColor::Cmyk,
                catalog: false,
                extract_search_words: true,
                extract_links: true,
            }),
            illustrator: Some(IllustratorOptions {
                process: DocumentProcess::Rasterize,
                resolution_dpi: 200.0,
                colorspace: DocumentColor::Gray,
                alpha: true,
            }),
            in_design: Some(InDesignOptions { process: DocumentProcess::Rasterize }),
            media: Some(MediaOptions {
                encoding_presets: vec!["ps|10".into(), "ps|11".into()],
                generate_thumbnail: true,
                thumbnail_time_ms: Some(2500),
            }),
            color_management: Some(ColorManagement {
                conversion: ColorConversion::Convert,
                source_profile: Some("a|90".into()),
                output_profile: Some("a|91".into()),
            }),
            auto_sets: vec!["ps|20".into()],
            projects: vec!["p|30".into()],
            email: EmailSetting::ErrorAndWarning,
            post_job_only_if_files: true,
            post_http_url: Some("https://example.com/done?job=1".into()),
            publish: Some(PublishJob {
                target: PublishTarget::ImageServing(PublishType::Incremental),
                email: EmailSetting::JobCompletion,
                http_completion_url: Some("http://example.com:8080/published".into()),
                context: Some("pc|5".into()),
            }),
            unsharp: Some(Unsharp { amount: 1.75, radius_px: 0.8, threshold: 4, monochrome: true }),
        },
        warnings: ["overwriteAVS", "metadataOptions", "jwtToken", "apikey"]
            .map(|name| format!("{name} is accepted but not acted on"))
            .to_vec(),
    }
}

#[test]
fn every_element_is_read_from_xml() {
    assert_eq!(read(WHOLE_XML), whole());
}

#[test]
fn every_element_is_read_from_json() {
    assert_eq!(read(WHOLE_JSON), whole());
}
