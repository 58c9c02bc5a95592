//! Job documents: every element, every edge, both spellings, and what hostile ones meet.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use reprise::geometry::{Corner, Insets};
use reprise::job::*;
use reprise::ops::crop_detect::Background;
use reprise::ops::knockout::{Fill, Knockout};
use reprise::ops::unsharp::Unsharp;

use crate::support::Random;

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

#[test]
fn what_is_absent_has_its_default() {
    let job = read(&bare(""));
    let expected = ReprocessAssets {
        assets: vec!["a|1".into()],
        duplicates: vec![],
        ready_for_publish: None,
        preserve_publish_state: None,
        create_mask: false,
        preserve_crop: true,
        knockout: None,
        crop: None,
        photoshop: None,
        post_script: None,
        pdf: None,
        illustrator: None,
        in_design: None,
        media: None,
        color_management: None,
        auto_sets: vec![],
        projects: vec![],
        email: EmailSetting::None,
        post_job_only_if_files: false,
        post_http_url: None,
        publish: None,
        unsharp: None,
    };
    assert_eq!(job.reprocess, expected);
    assert_eq!((job.company, job.user, job.name.as_str()), (None, None, ""));
    assert_eq!((job.locale, job.description, job.start, job.warnings), (None, None, Start::Now, vec![]));

    let empty = resolved(
        "<photoshopOptions/><postScriptOptions/><pdfOptions/><illustratorOptions/><inDesignOptions/><mediaOptions/>\
         <colorManagementOptions/><autoSetCreationOptions/><postImageServingPublishJob/><unsharpMaskOptions/>",
    );
    let layers = LayerOptions {
        naming: LayerNaming::LayerName,
        anchor: Anchor::Center,
        create_template: false,
        extract_text: false,
        extend_layers: false,
    };
    let (process, resolution_dpi, colorspace) = (DocumentProcess::None, 150.0, DocumentColor::Auto);
    assert_eq!(empty.photoshop, Some(PhotoshopOptions { process: PhotoshopProcess::None, layers }));
    assert_eq!(
        empty.post_script,
        Some(PostScriptOptions { process, resolution_dpi, colorspace, alpha: false, extract_search_words: false })
    );
    assert_eq!(
        empty.pdf,
        Some(PdfOptions {
            process: PdfProcess::Rasterize,
            resolution_dpi,
            colorspace,
            catalog: true,
            extract_search_words: false,
            extract_links: false,
        })
    );
    assert_eq!(empty.illustrator, Some(IllustratorOptions { process, resolution_dpi, colorspace, alpha: false }));
    assert_eq!(empty.in_design, Some(InDesignOptions { process }));
    assert_eq!(
        empty.media,
        Some(MediaOptions { encoding_presets: vec![], generate_thumbnail: false, thumbnail_time_ms: None })
    );
    assert_eq!(
        empty.color_management,
        Some(ColorManagement { conversion: ColorConversion::Default, source_profile: None, output_profile: None })
    );
    assert_eq!(
        empty.publish,
        Some(PublishJob {
            target: PublishTarget::ImageServing(PublishType::Full),
            email: EmailSetting::None,
            http_completion_url: None,
            context: None,
        })
    );
    assert_eq!(empty.unsharp, Some(Unsharp { amount: 0.0, radius_px: 1.0, threshold: 6, monochrome: false }));
    let knockout = resolved(&nested("knockoutBackground", "corner=BottomLeft fillMethod=MatchPixel", "", ""));
    let expected = Knockout { corner: Corner::BottomLeft, tolerance: 0.0, fill: Fill::MatchPixel };
    assert_eq!(knockout.knockout, Some(expected));
}

/// `<outer>` with the `others` (`name=value` words) and `name` holding `value`; an empty `name` is left out.
fn nested(outer: &str, others: &str, name: &str, value: &str) -> String {
    let mut elements = String::new();
    for (name, value) in others.split_whitespace().map(|pair| pair.split_once('=').unwrap()) {
        elements.push_str(&format!("<{name}>{value}</{name}>"));
    }
    if !name.is_empty() {
        elements.push_str(&format!("\n<{name}>{value}</{name}>"));
    }
    outer.rsplit('/').fold(elements, |inner, outer| format!("<{outer}>{inner}</{outer}>"))
}

const KNOCKOUT: &str = "corner=UpperLeft fillMethod=FloodFill";
const INSETS: &str = "left=0 right=0 top=0 bottom=0";

/// Structure, its required elements, element, values just in, values just out, what the message says is allowed.
type Edge = (&'static str, &'static str, &'static str, &'static [&'static str], &'static [&'static str], &'static str);

const BOOLEANS: &[&str] = &["true", "false", "1", "0", " true\n"];
const NO_BOOLEANS: &[&str] = &["True", "yes", "2", "", "truefalse"];
const CORNERS: &[&str] = &["UpperLeft", "UpperRight", "BottomLeft", "BottomRight"];
const NO_CORNERS: &[&str] = &["upperLeft", "TopLeft", "", "UpperLeft UpperRight"];
const TOLERANCES: &[&str] = &["0", "1", "0.5", "1e-3", "+1", "-0", " 0.25 "];
const NO_TOLERANCES: &[&str] = &["-0.0001", "1.0001", "NaN", "INF", "inf", "1e999", "", "0,5", "half", "5%"];
const INSIDE: &[&str] = &["0", "1", "2147483647", "+7", "007"];
const NO_INSETS: &[&str] =
    &["-1", "2147483648", "1.0", "1e3", "", "ten", "99999999999999999999", "-99999999999999999999"];
const RESOLUTIONS: &[&str] = &["1", "150", "72.5", "9600"];
const NO_RESOLUTIONS: &[&str] = &["0", "0.999", "9600.5", "-150", "NaN", "Infinity", "", "150dpi"];
const COLORSPACES: &[&str] = &["Auto", "Rgb", "Cmyk", "Gray"];
const NO_COLORSPACES: &[&str] = &["RGB", "rgb", "sRGB", ""];
const EMAILS: &[&str] = &["All", "Error", "ErrorAndWarning", "JobCompletion", "None"];
const NO_EMAILS: &[&str] = &["all", "Errors", "", "Never"];
const URLS: &[&str] = &[
    "http://a",
    "https://example.com",
    "HTTPS://example.com:443/x?y=z#q",
    "http://127.0.0.1:65535/",
    "http://[::1]:80/done",
    "http://user@example.com/",
];
const NO_URLS: &[&str] = &[
    "",
    "example.com",
    "ftp://example.com",
    "file:///etc/passwd",
    "http://",
    "http:///path",
    "http://a b/",
    "http://example.com:65536/",
    "http://example.com:80x/",
    "http://[::1/",
    "http://[zz]/",
    "javascript:alert(1)",
];
const HANDLES: &[&str] = &["a|1", "whatever", "x|y|z"];
const NO_HANDLES: &[&str] = &["", "  "];
const DOCUMENT_PROCESSES: &[&str] = &["None", "Rasterize"];

const EDGES: &[Edge] = &[
    ("", "", "readyForPublish", BOOLEANS, NO_BOOLEANS, "true, false, 1 or 0"),
    ("", "", "preservePublishState", BOOLEANS, NO_BOOLEANS, "true, false, 1 or 0"),
    ("", "", "preserveCrop", BOOLEANS, NO_BOOLEANS, "true, false, 1 or 0"),
    ("", "", "postJobOnlyIfFiles", BOOLEANS, NO_BOOLEANS, "true, false, 1 or 0"),
    ("", "", "postHttpUrl", URLS, NO_URLS, "http or https"),
    ("knockoutBackground", "fillMethod=FloodFill", "corner", CORNERS, NO_CORNERS, "UpperLeft, UpperRight"),
    ("knockoutBackground", KNOCKOUT, "tolerance", TOLERANCES, NO_TOLERANCES, "from 0 to 1"),
    (
        "knockoutBackgroundOptions",
        "corner=UpperLeft",
        "fillMethod",
        &["FloodFill", "MatchPixel"],
        &["floodFill", "Flood", ""],
        "FloodFill, MatchPixel",
    ),
    ("knockoutBackgroundOptions", KNOCKOUT, "tolerance", TOLERANCES, NO_TOLERANCES, "from 0 to 1"),
    ("manualCropOptions", "right=0 top=0 bottom=0", "left", INSIDE, NO_INSETS, "from 0 to 2147483647"),
    ("manualCropOptions", "left=0 top=0 bottom=0", "right", INSIDE, NO_INSETS, "from 0 to 2147483647"),
    ("manualCropOptions", "left=0 right=0 bottom=0", "top", INSIDE, NO_INSETS, "from 0 to 2147483647"),
    ("manualCropOptions", "left=0 right=0 top=0", "bottom", INSIDE, NO_INSETS, "from 0 to 2147483647"),
    ("autoColorCropOptions", "", "corner", CORNERS, NO_CORNERS, "BottomLeft, BottomRight"),
    ("autoColorCropOptions", "corner=UpperLeft", "tolerance", TOLERANCES, NO_TOLERANCES, "from 0 to 1"),
    ("autoTransparentCropOptions", "", "tolerance", TOLERANCES, NO_TOLERANCES, "from 0 to 1"),
    ("photoshopOptions", "", "process", &["None", "MaintainLayers"], &["Rasterize", ""], "None, MaintainLayers"),
    (
        "photoshopOptions/layerOptions",
        "",
        "layerNaming",
        &["LayerName", "AppendNumber", "AppendName", "Folders"],
        &["Folder", "layername"],
        "LayerName, AppendNumber, AppendName, Folders",
    ),
    (
        "photoshopOptions/layerOptions",
        "",
        "anchor",
        &["Center", "North", "Northeast", "East", "Southeast", "South", "Southwest", "West", "Northwest"],
        &["NorthEast", "Middle"],
        "Center, North, Northeast, East, Southeast, South, Southwest, West, Northwest",
    ),
    ("photoshopOptions/layerOptions", "", "createTemplate", BOOLEANS, NO_BOOLEANS, "true, false"),
    ("photoshopOptions/layerOptions", "", "extractText", BOOLEANS, NO_BOOLEANS, "true, false"),
    ("photoshopOptions/layerOptions", "", "extendLayers", BOOLEANS, NO_BOOLEANS, "true, false"),
    ("postScriptOptions", "", "process", DOCUMENT_PROCESSES, &["Thumbnail"], "None, Rasterize"),
    ("postScriptOptions", "", "resolution", RESOLUTIONS, NO_RESOLUTIONS, "from 1 to 9600"),
    ("postScriptOptions", "", "colorspace", COLORSPACES, NO_COLORSPACES, "Auto, Rgb, Cmyk, Gray"),
    ("postScriptOptions", "", "alpha", BOOLEANS, NO_BOOLEANS, "true, false"),
    ("postScriptOptions", "", "extractSearchWords", BOOLEANS, NO_BOOLEANS, "true, false"),
    (
        "pdfOptions",
        "",
        "process",
        &["None", "Rasterize", "Thumbnail"],
        &["Rasterise", "rasterize"],
        "None, Rasterize, Thumbnail",
    ),
    ("pdfOptions", "", "resolution", RESOLUTIONS, NO_RESOLUTIONS, "from 1 to 9600"),
    ("pdfOptions", "", "colorspace", COLORSPACES, NO_COLORSPACES, "Auto, Rgb, Cmyk, Gray"),
    ("pdfOptions", "", "pdfCatalog", BOOLEANS, NO_BOOLEANS, "true, false"),
    ("pdfOptions", "", "extractSearchWords", BOOLEANS, NO_BOOLEANS, "true, false"),
    ("pdfOptions", "", "extractLinks", BOOLEANS, NO_BOOLEANS, "true, false"),
    ("illustratorOptions", "", "process", DOCUMENT_PROCESSES, &["Thumbnail"], "None, Rasterize"),
    ("illustratorOptions", "", "resolution", RESOLUTIONS, NO_RESOLUTIONS, "from 1 to 9600"),
    ("illustratorOptions", "", "colorspace", COLORSPACES, NO_COLORSPACES, "Auto, Rgb, Cmyk, Gray"),
    ("illustratorOptions", "", "alpha", BOOLEANS, NO_BOOLEANS, "true, false"),
    ("inDesignOptions", "", "process", DOCUMENT_PROCESSES, &["Thumbnail"], "None, Rasterize"),
    ("mediaOptions", "", "generateThumbnail", BOOLEANS, NO_BOOLEANS, "true, false"),
    (
        "mediaOptions/thumbnailOptions",
        "",
        "thumbnailTime",
        &["0", "-1", "9223372036854775807", "-9223372036854775808"],
        &["9223372036854775808", "-9223372036854775809", "1.5", "", "1s"],
        "a whole number",
    ),
    (
        "colorManagementOptions",
        "",
        "colorManagement",
        &["Default", "MaintainOriginal", "Convert"],
        &["default", "Keep", ""],
        "Default, MaintainOriginal, Convert",
    ),
    ("colorManagementOptions", "", "sourceProfileHandle", HANDLES, NO_HANDLES, "a handle"),
    ("colorManagementOptions", "", "outputProfileHandle", HANDLES, NO_HANDLES, "a handle"),
    ("autoSetCreationOptions/autoSetsArray", "", "items", HANDLES, NO_HANDLES, "a handle"),
    ("mediaOptions/videoEncodingPresetsArray", "", "items", HANDLES, NO_HANDLES, "a handle"),
    ("projectHandleArray", "", "items", HANDLES, NO_HANDLES, "a handle"),
    (
        "postImageServingPublishJob",
        "",
        "publishType",
        &["Full", "FullWithSearch", "Incremental"],
        &["full", "Delta"],
        "Full, FullWithSearch, Incremental",
    ),
    ("postImageServingPublishJob", "", "emailSetting", EMAILS, NO_EMAILS, "All, Error"),
    ("postImageServingPublishJob", "", "httpCompletionUrl", URLS, NO_URLS, "http or https"),
    ("postImageServingPublishJob", "", "contextHandle", HANDLES, NO_HANDLES, "a handle"),
    ("postImageRenderingPublishJob", "", "emailSetting", EMAILS, NO_EMAILS, "All, Error"),
    ("postImageRenderingPublishJob", "", "httpCompletionUrl", URLS, NO_URLS, "http or https"),
    ("postImageRenderingPublishJob", "", "contextHandle", HANDLES, NO_HANDLES, "a handle"),
    ("postVideoPublishJob", "", "emailSetting", EMAILS, NO_EMAILS, "All, Error"),
    ("postVideoPublishJob", "", "httpCompletionUrl", URLS, NO_URLS, "http or https"),
    ("postVideoPublishJob", "", "contextHandle", HANDLES, NO_HANDLES, "a handle"),
    (
        "unsharpMaskOptions",
        "",
        "amount",
        &["0", "5", "5.0", "4.9999"],
        &["-0.1", "5.0001", "7", "NaN", ""],
        "from 0 to 5",
    ),
    ("unsharpMaskOptions", "", "radius", &["0", "250", "249.99"], &["-1", "250.01", "INF", ""], "from 0 to 250"),
    ("unsharpMaskOptions", "", "threshold", &["0", "255"], &["-1", "256", "6.5", ""], "from 0 to 255"),
    ("unsharpMaskOptions", "", "monochrome", &["0", "1"], &["-1", "2", "true", ""], "from 0 to 1"),
];

/// Elements of later schema versions.
const LATER: [&str; 11] = [
    "synchronizationComplete",
    "overwriteAVS",
    "autoSmartCropOptionsArray",
    "cssOptions",
    "excludeMasterVideoFromAVS",
    "metadataOptions",
    "jwtToken",
    "imsOrg",
    "apikey",
    "ignoreSmartCropGeneration",
    "preserveSmartCrop",
];

#[test]
fn no_element_of_the_reference_is_left_out() {
    let reference = reference();
    let names = reference.lines().filter_map(|line| Some(line.trim_start().split_once(": ")?.0));
    let names = names.filter(|name| name.starts_with(char::is_lowercase) && !name.contains(' '));
    for name in names {
        let with_edges =
            EDGES.iter().any(|(outer, _, inner, ..)| *inner == name || outer.split('/').any(|o| o == name));
        let whole = WHOLE_XML.contains(&format!("<{name}"));
        assert!(with_edges || whole || LATER.contains(&name), "{name} is tested nowhere");
    }
}

#[test]
fn every_range_has_its_edges() {
    for (outer, others, name, inside, outside, allowed) in EDGES {
        let path = ["reprocessAssetsJob", outer, name].into_iter().filter(|part| !part.is_empty());
        let path = path.collect::<Vec<_>>().join("/");
        let document = |value: &str| match *outer {
            "" => bare(&format!("\n<{name}>{value}</{name}>")),
            outer => bare(&nested(outer, others, name, value)),
        };
        for value in *inside {
            let job = read(&document(value));
            assert_eq!(read(&write_xml(&job)).reprocess, job.reprocess, "{path} = {value:?}");
        }
        for value in *outside {
            let problem = problem(&document(value));
            assert_eq!((problem.path.as_str(), problem.line), (path.as_str(), 6), "{value:?}: {problem}");
            assert_eq!(problem.code.code(), 30001, "{problem}");
            let message = problem.to_string();
            assert!(message.contains(allowed), "{message}");
            assert!(value.trim().is_empty() || message.contains(&format!("{value:?}")), "{message}");
        }
    }
}

#[test]
fn values_arrive_where_they_belong() {
    let crop = |elements: &str| resolved(elements).crop;
    assert_eq!(
        crop(&nested("manualCropOptions", "left=1 right=2 top=3 bottom=2147483647", "", "")),
        Some(Crop::Manual(Insets { left: 1, right: 2, top: 3, bottom: 2147483647 }))
    );
    assert_eq!(crop(&nested("manualCropOptions", INSETS, "", "")), Some(Crop::Manual(Insets::default())));
    assert_eq!(
        crop(&nested("autoColorCropOptions", "corner=BottomRight tolerance=0.125", "", "")),
        Some(Crop::Auto(Background::Color { corner: Corner::BottomRight, tolerance: 0.125 }))
    );
    assert_eq!(
        crop(&nested("autoTransparentCropOptions", "tolerance=1", "", "")),
        Some(Crop::Auto(Background::Transparent { tolerance: 1.0 }))
    );
    let publish = |element: &str| resolved(&nested(element, "emailSetting=All", "", "")).publish.unwrap();
    assert_eq!(publish("postImageRenderingPublishJob").target, PublishTarget::ImageRendering);
    assert_eq!(publish("postVideoPublishJob").target, PublishTarget::Video);
    assert_eq!(publish("postVideoPublishJob").email, EmailSetting::All);
}

#[test]
fn the_envelope_has_its_edges_too() {
    for (name, inside, outside, allowed) in [
        ("userHandle", &["u|1", "anyone"][..], &[""][..], "u|1"),
        ("locale", &["en-US", "de-CH"], &["en_US", "EN-us", "en", "eng-US", "en-USA", ""], "en-US"),
        (
            "execTime",
            &[
                "2025-03-31T22:00:00Z",
                "2025-03-31T22:00:00.125+05:30",
                "2024-02-29T00:00:00",
                "2025-03-31T23:59:59-11:00",
            ],
            &[
                "2025-03-31",
                "2025-02-29T00:00:00Z",
                "2025-03-31 22:00:00Z",
                "2025-03-31T25:00:00Z",
                "tomorrow",
                "",
                "2025-03-31T22:00:00.Z",
                "2025-03-31T22:00:00+5:30",
                "2025-03-31T22:00:00Z[Europe/Berlin]",
                "ü025-03-31T22:00:00Z",
            ],
            "date and time",
        ),
        (
            "execSchedule",
            &[
                "0 0 12 * * ?",
                "0 15 10 ? * MON-FRI",
                "0 0/5 14,18 * * ? 2025-2030",
                "0 0 12 L * ?",
                "0 0 12 ? * 6L",
                "0 0 12 ? * FRI#3",
                "0 0 12 ? * L",
                "59 59 23 31 12 ? 2099",
                "0 0 22-2 ? NOV-FEB sat",
                "0 0 12 * * *",
                "*/10 * * ? * *",
            ],
            &[
                "",
                "0 0 12 * *",
                "0 0 12 * * ? 2025 1",
                "60 0 12 * * ?",
                "0 0 24 * * ?",
                "0 0 12 0 * ?",
                "0 0 12 32 * ?",
                "0 0 12 ? 13 1",
                "0 0 12 ? * 8",
                "0 0 12 ? * 0",
                "0 0 12 ? * 6#6",
                "0 0 12 ? * ?",
                "0 0 12 1 * 2",
                "L 0 12 * * ?",
                "0 0/0 12 * * ?",
                "0 0/61 12 * * ?",
                "0 0 12 * * ? 1969",
                "0 0 12 * * ? 2030-2025",
                "0 0 12 ? * 2#1,3#1",
                "? 0 12 * * ?",
                "0 -1 12 * * ?",
                "0 0 12 1,, * ?",
                "0 0 12 * FOO ?",
                "0 0 12 L,1 * ?",
                "+0 0 12 * * ?",
            ],
            "Quartz",
        ),
        ("description", &["", "any <![CDATA[<text>]]> at all"], &[], ""),
    ] {
        for value in inside {
            let job = read(&enveloped(&format!("<{name}>{value}</{name}>")));
            let warnings = if *value == "anyone" { 1 } else { 0 };
            assert_eq!(job.warnings.len(), warnings, "{:?}", job.warnings);
            assert_eq!(read(&write_xml(&job)), job, "{name} = {value:?}");
        }
        for value in outside {
            let problem = problem(&enveloped(&format!("<{name}>{value}</{name}>")));
            assert_eq!((problem.path.as_str(), problem.line, problem.code.code()), (name, 2, 30001), "{problem}");
            assert!(problem.message.contains(allowed), "{problem}");
        }
    }
    let start = |elements: &str| read(&enveloped(elements)).start;
    let time = "2025-03-31T22:00:00Z".parse().unwrap();
    assert_eq!(start("<execTime>2025-03-31T22:00:00</execTime>"), Start::At(time));
    assert_eq!(start("<execTime>2025-04-01T00:00:00+02:00</execTime>"), Start::At(time));
    assert_eq!(start("<execSchedule> 0  0 12 * * ?\n</execSchedule>"), Start::Cron("0 0 12 * * ?".into()));
    let both = "<execTime>2025-03-31T22:00:00</execTime><execSchedule>0 0 12 * * ?</execSchedule>";
    let both = problem(&enveloped(both));
    assert!(both.code.code() == 30001 && both.message.contains("execTime and execSchedule"), "{both}");
}

#[test]
fn what_excludes_each_other_is_refused() {
    let color = nested("autoColorCropOptions", "corner=UpperLeft", "", "");
    let manual = nested("manualCropOptions", INSETS, "", "");
    let (transparent, serving) = ("<autoTransparentCropOptions/>", "<postImageServingPublishJob/>");
    let (rendering, video) = ("<postImageRenderingPublishJob/>", "<postVideoPublishJob/>");
    let (one, other) =
        (nested("knockoutBackground", KNOCKOUT, "", ""), nested("knockoutBackgroundOptions", KNOCKOUT, "", ""));
    for (first, second, names) in [
        (manual.as_str(), color.as_str(), "manualCropOptions and autoColorCropOptions"),
        (&manual, transparent, "manualCropOptions and autoTransparentCropOptions"),
        (transparent, &color, "autoColorCropOptions and autoTransparentCropOptions"),
        (serving, rendering, "postImageServingPublishJob and postImageRenderingPublishJob"),
        (video, serving, "postImageServingPublishJob and postVideoPublishJob"),
        (rendering, video, "postImageRenderingPublishJob and postVideoPublishJob"),
        (&one, &other, "knockoutBackground and knockoutBackgroundOptions"),
    ] {
        let problem = problem(&bare(&format!("{first}\n{second}")));
        assert_eq!((problem.code, problem.line), (FaultCode::InvalidParameter, 6), "{problem}");
        assert_eq!((problem.code.code(), problem.path.as_str()), (30001, "reprocessAssetsJob"));
        assert!(problem.message.contains(names), "{problem}");
    }
}

#[test]
fn what_is_required_is_missed() {
    for (document, path) in [
        (
            "<reprocessAssetsJob><createMask>0</createMask><emailSetting>None</emailSetting></reprocessAssetsJob>"
                .into(),
            "reprocessAssetsJob/assetHandleArray",
        ),
        (bare("").replace("<createMask>false</createMask>", ""), "reprocessAssetsJob/createMask"),
        (bare("").replace("<emailSetting>None</emailSetting>", ""), "reprocessAssetsJob/emailSetting"),
        (enveloped("").replace("<companyHandle>c|1</companyHandle>", ""), "companyHandle"),
        (enveloped("").replace("<jobName>n</jobName>", ""), "jobName"),
        (
            "<submitJobParam><companyHandle>c|1</companyHandle><jobName>n</jobName></submitJobParam>".into(),
            "reprocessAssetsJob",
        ),
        (
            bare(&nested("knockoutBackground", "corner=UpperLeft", "", "")),
            "reprocessAssetsJob/knockoutBackground/fillMethod",
        ),
        (
            bare(&nested("knockoutBackground", "fillMethod=FloodFill", "", "")),
            "reprocessAssetsJob/knockoutBackground/corner",
        ),
        (bare("<autoColorCropOptions/>"), "reprocessAssetsJob/autoColorCropOptions/corner"),
        (
            bare(&nested("manualCropOptions", "right=0 top=0 bottom=0", "", "")),
            "reprocessAssetsJob/manualCropOptions/left",
        ),
        (
            bare(&nested("manualCropOptions", "left=0 top=0 bottom=0", "", "")),
            "reprocessAssetsJob/manualCropOptions/right",
        ),
        (
            bare(&nested("manualCropOptions", "left=0 right=0 bottom=0", "", "")),
            "reprocessAssetsJob/manualCropOptions/top",
        ),
        (
            bare(&nested("manualCropOptions", "left=0 right=0 top=0", "", "")),
            "reprocessAssetsJob/manualCropOptions/bottom",
        ),
    ] {
        let problem = problem(&document);
        assert_eq!((problem.code.code(), problem.path.as_str()), (30002, path), "{problem}");
    }
    let nil =
        enveloped("").replace("<jobName>", "<jobName xmlns:x='http://www.w3.org/2001/XMLSchema-instance' x:nil='1'>");
    assert_eq!(problem(&nil.replace(">n<", "><")).code, FaultCode::MissingParameter);
    assert!(refused(&nil).to_string().contains("xsi:nil but not empty"));
}

#[test]
fn an_array_is_never_empty_and_runs_each_asset_once() {
    let array = |items: &str| bare("").replace("<items>a|1</items>", items);
    for empty in ["", " \n ", "<!-- none -->"] {
        let problem = problem(&array(empty));
        assert_eq!((problem.code.code(), problem.path.as_str()), (30001, "reprocessAssetsJob/assetHandleArray"));
        assert!(problem.message.contains("at least 1"), "{problem}");
    }
    assert_eq!(problem(&array("<items/>")).path, "reprocessAssetsJob/assetHandleArray/items");
    assert!(refused(&array("a|1")).to_string().contains("may hold only elements"));
    assert!(problem(&array("<item>a|1</item><items>a|1</items>")).message.contains("did you mean items?"));

    let job =
        read(&array("<items>a|2</items><items>a|1</items><items> a|2 </items><items>c|3</items><items>a|2</items>"));
    assert_eq!(job.reprocess.assets, ["a|2", "a|1", "c|3"]);
    assert_eq!(job.reprocess.duplicates, ["a|2", "a|2"]);
    assert_eq!(
        job.warnings,
        [
            "reprocessAssetsJob/assetHandleArray: 1 of 5 handles do not start with a|",
            "assetHandleArray lists 2 handles again; each asset runs once"
        ]
    );
}

#[test]
fn an_unknown_element_is_named_with_its_line_and_its_neighbour() {
    for (document, line, path, name, advice) in [
        (bare("\n<readyForPublished/>"), 6, "reprocessAssetsJob", "readyForPublished", "did you mean readyForPublish?"),
        (
            bare("<unsharpMaskOption/>"),
            5,
            "reprocessAssetsJob",
            "unsharpMaskOption",
            "did you mean unsharpMaskOptions?",
        ),
        (bare("<PDFOPTIONS/>"), 5, "reprocessAssetsJob", "PDFOPTIONS", "did you mean pdfOptions?"),
        (
            bare("<unsharpMaskOptions>\n\n<ammount>1</ammount></unsharpMaskOptions>"),
            7,
            "reprocessAssetsJob/unsharpMaskOptions",
            "ammount",
            "did you mean amount?",
        ),
        (bare("<amount>1</amount>"), 5, "reprocessAssetsJob", "amount", "it belongs in unsharpMaskOptions"),
        (enveloped("<createMask>1</createMask>"), 2, "", "createMask", "it belongs in reprocessAssetsJob"),
        (bare("<zzz/>"), 5, "reprocessAssetsJob", "zzz", "the nearest known name is "),
        (enveloped("<uploadDirectoryJob/>"), 2, "", "uploadDirectoryJob", "the nearest known name is "),
    ] {
        let problem = problem(&document);
        assert_eq!((problem.code.code(), problem.line, problem.path.as_str()), (30003, line, path), "{problem}");
        assert!(problem.message.contains(&format!("unknown element \"{name}\", {advice}")), "{problem}");
    }
    let near = problem(&bare(&nested("knockoutBackground", "corner=UpperLeft", "fillMethod", "floodfill")));
    assert!(near.message.contains("did you mean FloodFill?"), "{near}");
}

#[test]
fn structure_is_held_to() {
    for (elements, says) in [
        ("<createMask>true</createMask>", "\"createMask\" is given more than once"),
        ("<pdfOptions/><pdfOptions/>", "\"pdfOptions\" is given more than once"),
        ("<pdfOptions>text</pdfOptions>", "holds the text \"text\" but may hold only elements"),
        ("<pdfOptions>a<process>None</process>b</pdfOptions>", "holds the text \"ab\""),
        ("stray", "holds the text \"stray\""),
        ("<pdfOptions kind='x'/>", "\"pdfOptions\" has no attribute \"kind\""),
        ("<preserveCrop><value>1</value></preserveCrop>", "holds elements; allowed: true, false, 1 or 0"),
    ] {
        let problem = problem(&bare(elements));
        assert!(problem.message.contains(says), "{problem}");
    }
    read(&bare("<pdfOptions xml:lang='en'><!-- c --><process>Ras<!-- c -->ter<![CDATA[ize]]></process></pdfOptions>"));
}

#[test]
fn every_namespace_of_the_api_is_read_and_no_other() {
    const BASE: &str = "http://www.scene7.com/IpsApi/xsd";
    let plain = read(&enveloped(""));
    for version in ["", "/2008-01-15", "/2014-04-03", "/2022-11-01-beta", "/2031-12-31"] {
        for (root, document) in [("submitJobParam", enveloped("")), ("reprocessAssetsJob", bare(""))] {
            let default = document.replacen(&format!("<{root}"), &format!("<{root} xmlns='{BASE}{version}'"), 1);
            let prefixed = document.replace("</", "</ns:").replace('<', "<ns:").replace("<ns:/ns:", "</ns:").replacen(
                &format!("<ns:{root}"),
                &format!("<ns:{root} xmlns:ns=\"{BASE}{version}\""),
                1,
            );
            assert_eq!(read(&default), read(&prefixed));
            assert_eq!(read(&default).reprocess, plain.reprocess);
            let unqualified =
                document.replacen(&format!("<{root}"), &format!("<n:{root} xmlns:n='{BASE}{version}'"), 1);
            let (head, _) = unqualified.rsplit_once("</").unwrap();
            assert_eq!(read(&format!("{head}</n:{root}>")).reprocess, plain.reprocess);
        }
    }
    for foreign in [
        "http://example.com/",
        "http://www.scene7.com/IpsApi/xsd/",
        "http://www.scene7.com/IpsApi/xsd2008-01-15",
        "http://www.scene7.com/IpsApi/xsd/latest",
        "http://www.scene7.com/IpsApi/xsd/2014-13-03",
        "http://www.scene7.com/IpsApi/xsd/2014-04-03/x",
        "http://www.scene7.com/IpsApi/xsd/2014-04-03-alpha",
        "https://www.scene7.com/IpsApi/xsd/2014-04-03",
    ] {
        let error =
            problem(&bare("").replacen("<reprocessAssetsJob", &format!("<reprocessAssetsJob xmlns='{foreign}'"), 1));
        assert_eq!((error.line, error.code.code()), (1, 30003));
        assert!(error.message.contains(&format!("the namespace \"{foreign}\"")), "{error}");
    }
    let inner = problem(&bare("\n<x:pdfOptions xmlns:x='urn:x'/>"));
    assert!(inner.line == 6 && inner.message.contains("\"urn:x\" of \"pdfOptions\""), "{inner}");
}

fn soap(header: &str, body: &str) -> String {
    format!(
        "<?xml version='1.0'?>\n<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'>\n{header}\n\
         <s:Body Id='x'>{body}</s:Body>\n</s:Envelope>"
    )
}

#[test]
fn a_soap_envelope_is_opened() {
    let job = enveloped("");
    assert_eq!(read(&soap("", &job)), read(&job));
    assert_eq!(read(&soap("<s:Header/>", &bare(""))), read(&bare("")));
    let header = "<s:Header><authHeader xmlns='http://www.scene7.com/IpsApi/xsd/2014-04-03'>\
                  <user>me</user><password>TOP-SECRET</password></authHeader></s:Header>";
    let with_header = read(&soap(header, &job));
    assert_eq!(with_header.warnings.len(), 1);
    assert!(with_header.warnings[0].contains("SOAP header") && !format!("{with_header:?}").contains("TOP-SECRET"));
    for (document, says) in [
        (soap("", ""), "the SOAP Body is empty"),
        (soap("", &format!("{job}{job}")), "one too many"),
        (soap("", "<getJobLogParam/>"), "\"getJobLogParam\" is not a job"),
        (soap("<s:Body/>", &job), "does not belong here"),
        (soap("<Fault/>", &job), "does not belong here"),
        (soap("", &job).replace("s:Body", "s:Torso"), "does not belong here"),
        ("<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'/>".into(), "has no Body"),
        (
            soap("", &job)
                .replace("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"),
            "SOAP 1.2",
        ),
        ("<Envelope><Body/></Envelope>".into(), "\"Envelope\" is not a job"),
        ("<job/>".into(), "is not a job"),
    ] {
        let error = refused(&document);
        assert!(error.to_string().contains(says), "{error}\n{document}");
        assert!(error.problems.iter().all(|problem| problem.code.code() == 30003), "{error}");
    }
}

#[test]
fn broken_documents_say_where() {
    for (document, line, says) in [
        ("", 1, "a job document is XML"),
        ("   \n ", 1, "a job document is XML"),
        ("hello", 1, "a job document is XML"),
        ("[]", 1, "a job document is XML"),
        ("<reprocessAssetsJob>\n<createMask>", 2, "ends before"),
        ("<reprocessAssetsJob>\n<a></b>\n</reprocessAssetsJob>", 2, "</\"a\"> expected, </\"b\"> found"),
        ("<reprocessAssetsJob>\n\n&nbsp;</reprocessAssetsJob>", 3, "unknown entity"),
        ("<reprocessAssetsJob>\n<x:a/></reprocessAssetsJob>", 2, "prefix \"x\" is not declared"),
        ("<reprocessAssetsJob>\n<a b='1' b='2'/></reprocessAssetsJob>", 2, "\"b\" is given twice"),
        ("<reprocessAssetsJob>\n<a", 2, "ends before"),
        ("<reprocessAssetsJob>\n&#0;</reprocessAssetsJob>", 2, "not well-formed XML"),
        ("<reprocessAssetsJob/>\n<reprocessAssetsJob/>", 2, "not well-formed XML"),
        ("<!-- nothing -->", 1, "no element"),
        ("{\n\"jobName\": }", 2, "not well-formed JSON"),
        ("{\n\"jobName\": \"x", 2, "a string does not end"),
        ("{\n\"jobName\": \"\\x\"}", 2, "wrong escape"),
        ("{\n\"jobName\": 'x'}", 2, "not well-formed JSON"),
        ("{\n// comment\n\"jobName\": \"x\"}", 2, "not well-formed JSON"),
        ("{\n\"jobName\": \"x\",\n}", 2, "not well-formed JSON"),
        ("{\njobName: \"x\"}", 2, "not well-formed JSON"),
        ("{\n\"amount\": NaN}", 2, "not well-formed JSON"),
        ("{\n\"amount\": 0x10}", 2, "not well-formed JSON"),
        ("{\n\"amount\": .5}", 2, "not well-formed JSON"),
        ("{\n\"amount\": +5}", 2, "not well-formed JSON"),
        ("{\n\"a\": 1 \"b\": 2}", 2, "not well-formed JSON"),
        ("{}\n{}", 2, "not well-formed JSON"),
        ("{", 1, "not well-formed JSON"),
    ] {
        let problem = problem(document);
        assert_eq!((problem.code.code(), problem.line), (30003, line), "{problem}\n{document}");
        assert!(problem.message.contains(says), "{problem}\n{document}");
    }
    let error = parse(b"<reprocessAssetsJob>\n<description>caf\xe9</description>").unwrap_err();
    assert_eq!((error.problems[0].line, error.problems[0].column), (2, 17));
    assert!(error.to_string().contains("not UTF-8"), "{error}");
    let utf16: Vec<u8> = bare("").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(parse(&[b"\xff\xfe", utf16.as_slice()].concat()).is_err());
    assert_eq!(parse(format!("\u{feff}{WHOLE_XML}").as_bytes()), Ok(whole()));
    assert_eq!(parse(format!("\u{feff}{WHOLE_JSON}").as_bytes()), Ok(whole()));
}

/// A minimal JSON job with `elements` after the required ones of the inner job.
fn json(elements: &str) -> String {
    format!(
        "{{\"companyHandle\": \"c|1\", \"jobName\": \"n\",\n\"reprocessAssetsJob\": {{\n\"assetHandleArray\": [\"a|1\"], \
         \"createMask\": false, \"emailSetting\": \"None\"{elements}}}}}"
    )
}

#[test]
fn json_is_held_to_the_same_table() {
    assert_eq!(read(&json("")), read(&enveloped("")));
    let inner = json("").split_once("Job\": ").unwrap().1.strip_suffix('}').unwrap().to_string();
    assert_eq!(read(&format!("{{\"reprocessAssetsJob\": {inner}}}")), read(&bare("")));
    assert_eq!(read(&format!("{{\"submitJobParam\": {}}}", json(""))), read(&enveloped("")));
    for (elements, code, line, path, says) in [
        (
            ",\n\"unsharpMaskOptions\":\n{\"amount\": 7}",
            30001,
            5,
            "unsharpMaskOptions/amount",
            "\"7\" is out of range; allowed: a number from 0 to 5",
        ),
        (",\n\"unsharpMaskOptions\": {\"amount\": true}", 30001, 4, "unsharpMaskOptions/amount", "not a finite number"),
        (",\n\"unsharpMaskOptions\": {\"amount\": [1]}", 30001, 4, "unsharpMaskOptions/amount", "holds elements"),
        (",\n\"unsharpMaskOptions\": {\"amount\": {}}", 30001, 4, "unsharpMaskOptions/amount", "is an object or array"),
        (
            ",\n\"unsharpMaskOptions\": {\"threshold\": 6.0}",
            30001,
            4,
            "unsharpMaskOptions/threshold",
            "not a whole number",
        ),
        (",\n\"unsharpMaskOptions\": 1", 30003, 4, "unsharpMaskOptions", "may hold only elements"),
        (",\n\"preserveCrop\": 2", 30001, 4, "preserveCrop", "\"2\" is neither"),
        (",\n\"postHttpUrl\": 5", 30001, 4, "postHttpUrl", "a number or boolean instead of a string"),
        (",\n\"projectHandleArray\": [\"p|1\",\n5]", 30001, 5, "projectHandleArray/items", "a number or boolean"),
        (",\n\"projectHandleArray\": [[\"p|1\"]]", 30001, 4, "projectHandleArray/items", "holds elements"),
        (",\n\"projectHandleArray\": \"p|1\"", 30003, 4, "projectHandleArray", "may hold only elements"),
        (",\n\"pdfOption\": {}", 30003, 4, "", "did you mean pdfOptions?"),
        (",\n\"pdfOptions\": [{}]", 30003, 4, "pdfOptions", "unknown element \"items\""),
        (
            ",\n\"autoTransparentCropOptions\": {},\n\"autoColorCropOptions\": {\"corner\": \"UpperLeft\"}",
            30001,
            5,
            "",
            "exclude each other",
        ),
        (",\n\"autoColorCropOptions\": {}", 30002, 4, "autoColorCropOptions/corner", "missing"),
        (",\n\"createMask\": true", 30003, 4, "", "\"createMask\" is given twice"),
        (",\n\"postHttpUrl\": \"http://a/\\u0001\"", 30003, 4, "", "U+0001"),
    ] {
        let error = refused(&json(elements));
        let problem = &error.problems[0];
        let full = if path.is_empty() { "reprocessAssetsJob".into() } else { format!("reprocessAssetsJob/{path}") };
        assert_eq!((problem.code.code(), problem.line), (code, line), "{error}");
        assert!(problem.path == full || problem.path.is_empty(), "{error}");
        assert!(problem.message.contains(says), "{error}");
    }
    for ok in [
        ",\"preserveCrop\": \"1\"",
        ",\"pdfOptions\": null",
        ",\"unsharpMaskOptions\": {\"amount\": \"1.5\"}",
        ",\"projectHandleArray\": []",
    ] {
        read(&json(ok));
    }
    assert!(refused(&json("").replace("[\"a|1\"]", "[]")).to_string().contains("at least 1"));
    assert!(refused(&json("").replace("[\"a|1\"]", "{\"items\": []}")).to_string().contains("at least 1"));
    assert!(refused(&json("").replace("[\"a|1\"]", "[null]")).to_string().contains("at least 1"));
}

#[test]
fn every_problem_is_reported_in_order() {
    let document = "<submitJobParam xmlns='http://www.scene7.com/IpsApi/xsd'>\n\
        <jobName>n</jobName>\n\
        <locale>english</locale>\n\
        <reprocessAssetsJob>\n\
        <assetHandleArray/>\n\
        <createMask>maybe</createMask>\n\
        <colour/>\n\
        <unsharpMaskOptions><amount>7</amount>\n<radius>-1</radius></unsharpMaskOptions>\n\
        <manualCropOptions><left>-1</left><right>0</right><top>0</top><bottom>0</bottom></manualCropOptions>\n\
        <autoTransparentCropOptions/>\n\
        </reprocessAssetsJob>\n</submitJobParam>";
    let error = refused(document);
    let found: Vec<_> =
        error.problems.iter().map(|p| (p.line, p.code.code(), p.path.rsplit('/').next().unwrap())).collect();
    assert_eq!(
        found,
        [
            (1, 30002, "companyHandle"),
            (3, 30001, "locale"),
            (4, 30002, "emailSetting"),
            (5, 30001, "assetHandleArray"),
            (6, 30001, "createMask"),
            (7, 30003, "reprocessAssetsJob"),
            (8, 30001, "amount"),
            (9, 30001, "radius"),
            (10, 30001, "left"),
            (11, 30001, "reprocessAssetsJob"),
        ]
    );
    assert_eq!(error.problems[6].column, 21);
    let text = error.to_string();
    assert!(text.starts_with("the job document has 10 problems:\n  line 1, column 1: companyHandle: "), "{text}");
    assert!(
        text.contains(
            "line 8, column 21: reprocessAssetsJob/unsharpMaskOptions/amount: \"7\" is out of range; \
             allowed: a number from 0 to 5 [30001 invalid parameter]"
        ),
        "{text}"
    );
    let error = reprise::Error::from(error);
    assert_eq!((error.stage, error.kind), (reprise::Stage::Job, reprise::ErrorKind::Malformed));
    assert!(error.to_string().contains("unsharpMaskOptions/amount"));
    let misuse = reprise::Error::from(refused(&bare("<preserveCrop/>")));
    assert_eq!(misuse.kind, reprise::ErrorKind::Misuse);
}

#[test]
fn later_elements_are_accepted_with_one_warning_each() {
    let mut xml = String::new();
    let mut members = String::new();
    for (name, content) in LATER.iter().zip(["", "text", "a<b x='1'>c</b>d", "<x:y xmlns:x='urn:y'/>"].iter().cycle()) {
        xml.push_str(&format!("<{name} z='1'>{content}</{name}>\n"));
        members.push_str(&format!(",\"{name}\": [1, {{\"x\": null}}, {content:?}]"));
    }
    let expected = LATER.map(|name| format!("{name} is accepted but not acted on"));
    assert_eq!(read(&bare(&xml)).warnings, expected);
    assert_eq!(read(&json(&members)).warnings, expected);
    let none = read(&bare(""));
    assert_eq!(read(&bare(&xml)).reprocess, none.reprocess);
    assert!(problem(&bare("<apikey/><apikey/>")).message.contains("more than once"));
}

#[test]
fn secrets_appear_nowhere() {
    const SECRET: &str = "hunter2";
    let assert_hidden = |what: &dyn Debug| {
        let debug = format!("{what:?}");
        assert!(!debug.contains(SECRET), "{debug}");
    };
    let deep = format!("<jwtToken>{}{SECRET}{}</jwtToken>", "<a>".repeat(500), "</a>".repeat(500));
    let spellings = [
        format!("<jwtToken>{SECRET}</jwtToken><apikey>{SECRET}</apikey>"),
        format!("<jwtToken a='{SECRET}'><b c='{SECRET}'>{SECRET}</b>{SECRET}</jwtToken>"),
        deep,
    ];
    for secret in &spellings {
        let job = read(&bare(secret));
        assert_hidden(&job);
        assert!(!write_xml(&job).contains(SECRET));
        for broken in
            ["<createMask/>", "<apikey>hunter2</apikey><apikey>hunter2</apikey>", "<a>", "&bad;", "<jwtTokenn/>"]
        {
            let error = refused(&bare(&format!("{secret}{broken}")));
            assert_hidden(&error);
            assert_hidden(&reprise::Error::from(error.clone()));
            assert!(!error.to_string().contains(SECRET));
        }
    }
    for misspelt in [
        "<jwttoken>hunter2</jwttoken>",
        "<apiKey>hunter2</apiKey>",
        "<jwtToken>&hunter2;</jwtToken>",
        "<apikey>hunter2</jwtToken>",
    ] {
        assert_hidden(&refused(&bare(misspelt)));
    }
    for member in [
        ",\"jwtToken\": \"hunter2\", \"apikey\": {\"x\": [\"hunter2\"]}",
        ",\"apikey\": \"hunter2\", \"apikey\": \"hunter2\"",
        ",\"apikey\": \"hunter2\\q\"",
        ",\"apikey\": \"hunter2\\ud800\"",
        ",\"apikey\": \"hunter2",
        ",\"apiKey\": \"hunter2\"",
        ",\"apikey\": hunter2",
    ] {
        match parse(json(member).as_bytes()) {
            Ok(job) => assert_hidden(&job),
            Err(error) => {
                assert_hidden(&error);
                assert!(!error.to_string().contains(SECRET));
            }
        }
    }
}

/// `f` in at most `limit`; far more than it takes, far less than an attack wants.
fn within<T>(limit: Duration, f: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = f();
    assert!(start.elapsed() < limit, "took {:?}", start.elapsed());
    result
}

#[test]
fn hostile_documents_are_refused_quickly() {
    let laughs = "<!DOCTYPE reprocessAssetsJob [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>\
                  <!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]>";
    let external = "\n<!DOCTYPE reprocessAssetsJob [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>";
    let remote = "<!DOCTYPE reprocessAssetsJob SYSTEM 'http://example.com/evil.dtd'>";
    for (doctype, line) in [(laughs, 1), (external, 2), (remote, 1)] {
        let document = format!("{doctype}{}", bare("<postHttpUrl>&c;&x;</postHttpUrl>"));
        let problem = within(Duration::from_secs(1), || problem(&document));
        assert!(problem.code.code() == 30003 && problem.line == line, "{problem}");
        assert!(problem.message.contains("document type definition is refused"), "{problem}");
    }

    let many = |text: &str| text.repeat(1_000_000 / text.len());
    let attributes: String = (0..100_000).map(|i| format!(" a{i}='>'")).collect();
    let prefixes: String = (0..400).map(|i| format!(" xmlns:a{i}='u'")).collect();
    let nested_prefixes: String = (0..50_000).map(|i| format!("<a xmlns:a{i}='u'>")).collect();
    for (document, says) in [
        (format!("<reprocessAssetsJob{attributes}/>"), "attributes"),
        (format!("<reprocessAssetsJob{prefixes}/>"), "namespace prefixes"),
        (nested_prefixes, "namespace prefixes"),
        (many("<a>"), "ends before"),
        (
            format!("{}{}", "<reprocessAssetsJob>".repeat(100_000), "</reprocessAssetsJob>".repeat(100_000)),
            "nested more than 64",
        ),
        (
            format!("<reprocessAssetsJob>{}</reprocessAssetsJob>", "<a/>".repeat(1_100_000)),
            "more than 1048576 elements",
        ),
        (bare(&many("<readyForPublished/>")), "problems"),
        (bare(&format!("<{}/>", many("x"))), "unknown element"),
        (bare(&format!("<preserveCrop>{}</preserveCrop>", many("1"))), "neither"),
        (bare(&nested("unsharpMaskOptions", "", "amount", &many("1"))), "out of range"),
        (enveloped(&format!("<execSchedule>{}</execSchedule>", many("1,"))), "fields"),
        (enveloped(&format!("<execSchedule>{} 0 12 * * ?</execSchedule>", many("1,"))), "seconds"),
        (format!("{{\"a\": {}", "[".repeat(200_000)), "nesting depth"),
        ("{\"a\":".repeat(200_000), "nesting depth"),
        (format!("{{\"a\": {}1{}}}", "[".repeat(100), "]".repeat(100)), "nested more than 64"),
        (format!("{{{}}}", (0..50_000).map(|i| format!("\"k{i}\":1")).collect::<Vec<_>>().join(",")), "and 499"),
    ] {
        let start: String = document.chars().take(60).collect();
        let error = within(Duration::from_secs(10), || refused(&document));
        assert!(error.to_string().contains(says), "{start}: {error}");
        assert!(error.to_string().len() < 60_000, "{start}");
    }
    let huge = vec![b' '; MAX_DOCUMENT_BYTES + 1];
    assert!(parse(&huge).unwrap_err().to_string().contains("at most 16777216 are read"));
    let large: String = (0..100_000).map(|i| format!("<items>a|{i}</items>")).collect();
    let job = within(Duration::from_secs(10), || read(&bare("").replace("<items>a|1</items>", &large)));
    assert_eq!(job.reprocess.assets.len(), 100_000);
}

/// Draws jobs and mutations.
struct Draw(Random);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0.next()
    }

    fn below(&mut self, end: usize) -> usize {
        self.0.below(end as u32) as usize
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.coin() { Some(make(self)) } else { None }
    }

    fn double(&mut self, min: f64, max: f64) -> f64 {
        match self.below(4) {
            0 => min,
            1 => max,
            _ => min + (max - min) * (self.next() >> 11) as f64 / (1u64 << 53) as f64,
        }
    }

    /// Text that needs escaping somewhere, not empty, without white space at its ends.
    fn text(&mut self) -> String {
        const PIECES: &[&str] =
            &["a", "<", "&", ">", "]]>", "\"", "'", " \t ", "\r", "\r\n", "é", "漢", "🦀", "&amp;", "\u{85}", "\\"];
        let middle: String = (0..self.below(8)).map(|_| self.pick(PIECES)).collect();
        format!("x{middle}y")
    }

    fn handles(&mut self, prefix: &str, at_least: usize) -> Vec<String> {
        (0..at_least + self.below(4)).map(|i| format!("{prefix}{i}{}", self.text())).collect()
    }

    fn job(&mut self) -> Job {
        let enveloped = self.coin();
        let reprocess = self.reprocess();
        Job {
            company: enveloped.then(|| format!("c|{}", self.text())),
            user: if enveloped { self.maybe(|draw| format!("u|{}", draw.text())) } else { None },
            name: if enveloped { self.text() } else { String::new() },
            locale: if enveloped { self.maybe(|draw| draw.pick(&["en-US", "fr-CA"]).to_string()) } else { None },
            description: if enveloped { self.maybe(|draw| draw.pick(&["", "d"]).to_string()) } else { None },
            start: match self.below(3) {
                1 if enveloped => {
                    let second = self.below(4_000_000_000) as i64;
                    Start::At(jiff::Timestamp::new(second, self.below(1_000_000_000) as i32).unwrap())
                }
                2 if enveloped => Start::Cron(self.pick(&["0 0 12 * * ?", "0 0/5 14 ? * 6#3 2030"]).into()),
                _ => Start::Now,
            },
            reprocess,
            warnings: vec![],
        }
    }

    fn reprocess(&mut self) -> ReprocessAssets {
        const CORNERS: &[Corner] = &[Corner::UpperLeft, Corner::UpperRight, Corner::BottomLeft, Corner::BottomRight];
        const COLORS: &[DocumentColor] =
            &[DocumentColor::Auto, DocumentColor::Rgb, DocumentColor::Cmyk, DocumentColor::Gray];
        const PROCESSES: &[DocumentProcess] = &[DocumentProcess::None, DocumentProcess::Rasterize];
        const EMAILS: &[EmailSetting] = &[
            EmailSetting::All,
            EmailSetting::Error,
            EmailSetting::ErrorAndWarning,
            EmailSetting::JobCompletion,
            EmailSetting::None,
        ];
        let mut inset = || self.pick(&[0, 1, 77, i32::MAX as u32]);
        let insets = Insets { left: inset(), right: inset(), top: inset(), bottom: inset() };
        ReprocessAssets {
            assets: self.handles("a|", 1),
            duplicates: vec![],
            ready_for_publish: self.maybe(Draw::coin),
            preserve_publish_state: self.maybe(Draw::coin),
            create_mask: self.coin(),
            preserve_crop: self.coin(),
            knockout: self.maybe(|draw| Knockout {
                corner: draw.pick(CORNERS),
                tolerance: draw.double(0.0, 1.0),
                fill: draw.pick(&[Fill::FloodFill, Fill::MatchPixel]),
            }),
            crop: match self.below(4) {
                0 => None,
                1 => Some(Crop::Manual(insets)),
                2 => {
                    Some(Crop::Auto(Background::Color { corner: self.pick(CORNERS), tolerance: self.double(0.0, 1.0) }))
                }
                _ => Some(Crop::Auto(Background::Transparent { tolerance: self.double(0.0, 1.0) })),
            },
            photoshop: self.maybe(|draw| PhotoshopOptions {
                process: draw.pick(&[PhotoshopProcess::None, PhotoshopProcess::MaintainLayers]),
                layers: LayerOptions {
                    naming: draw.pick(&[
                        LayerNaming::LayerName,
                        LayerNaming::AppendNumber,
                        LayerNaming::AppendName,
                        LayerNaming::Folders,
                    ]),
                    anchor: draw.pick(&[Anchor::Center, Anchor::North, Anchor::East, Anchor::Southwest]),
                    create_template: draw.coin(),
                    extract_text: draw.coin(),
                    extend_layers: draw.coin(),
                },
            }),
            post_script: self.maybe(|draw| PostScriptOptions {
                process: draw.pick(PROCESSES),
                resolution_dpi: draw.double(1.0, 9600.0),
                colorspace: draw.pick(COLORS),
                alpha: draw.coin(),
                extract_search_words: draw.coin(),
            }),
            pdf: self.maybe(|draw| PdfOptions {
                process: draw.pick(&[PdfProcess::None, PdfProcess::Rasterize, PdfProcess::Thumbnail]),
                resolution_dpi: draw.double(1.0, 9600.0),
                colorspace: draw.pick(COLORS),
                catalog: draw.coin(),
                extract_search_words: draw.coin(),
                extract_links: draw.coin(),
            }),
            illustrator: self.maybe(|draw| IllustratorOptions {
                process: draw.pick(PROCESSES),
                resolution_dpi: draw.double(1.0, 9600.0),
                colorspace: draw.pick(COLORS),
                alpha: draw.coin(),
            }),
            in_design: self.maybe(|draw| InDesignOptions { process: draw.pick(PROCESSES) }),
            media: self.maybe(|draw| MediaOptions {
                encoding_presets: draw.handles("ps|", 0),
                generate_thumbnail: draw.coin(),
                thumbnail_time_ms: draw.maybe(|draw| draw.next() as i64),
            }),
            color_management: self.maybe(|draw| ColorManagement {
                conversion: draw.pick(&[
                    ColorConversion::Default,
                    ColorConversion::MaintainOriginal,
                    ColorConversion::Convert,
                ]),
                source_profile: draw.maybe(|draw| format!("a|{}", draw.text())),
                output_profile: draw.maybe(|draw| format!("a|{}", draw.text())),
            }),
            auto_sets: self.handles("ps|", 0),
            projects: self.handles("p|", 0),
            email: self.pick(EMAILS),
            post_job_only_if_files: self.coin(),
            post_http_url: self.maybe(|_| "https://example.com/?a=1&b=<2>".to_string()),
            publish: self.maybe(|draw| PublishJob {
                target: match draw.below(3) {
                    0 => PublishTarget::ImageServing(draw.pick(&[
                        PublishType::Full,
                        PublishType::FullWithSearch,
                        PublishType::Incremental,
                    ])),
                    1 => PublishTarget::ImageRendering,
                    _ => PublishTarget::Video,
                },
                email: draw.pick(EMAILS),
                http_completion_url: draw.maybe(|_| "http://example.com/".to_string()),
                context: draw.maybe(Draw::text),
            }),
            unsharp: self.maybe(|draw| Unsharp {
                amount: draw.double(0.0, 5.0),
                radius_px: draw.double(0.0, 250.0),
                threshold: draw.next() as u8,
                monochrome: draw.coin(),
            }),
        }
    }
}

#[test]
fn what_is_written_is_read_again() {
    let mut draw = Draw(Random(1));
    for _ in 0..2000 {
        let job = draw.job();
        let written = write_xml(&job);
        assert_eq!(read(&written), job, "{written}");
        assert_eq!(write_xml(&read(&written)), written);
    }
}

/// The XML that [`write_xml`] wrote as JSON: arrays and objects as a test can tell them apart, all scalars strings.
fn to_json(node: roxmltree::Node<'_, '_>) -> serde_json::Value {
    let elements: Vec<_> = node.children().filter(roxmltree::Node::is_element).collect();
    if node.tag_name().name().ends_with("Array") {
        return elements.into_iter().map(to_json).collect::<Vec<_>>().into();
    }
    if elements.is_empty() {
        let text: String = node.children().filter_map(|child| child.text()).collect();
        return text.into();
    }
    let members = elements.into_iter().map(|element| (element.tag_name().name().to_string(), to_json(element)));
    serde_json::Value::Object(members.collect())
}

#[test]
fn xml_and_json_of_one_job_agree() {
    let mut draw = Draw(Random(2));
    for _ in 0..1000 {
        let job = draw.job();
        let written = write_xml(&job);
        let document = roxmltree::Document::parse(&written).unwrap();
        let root = document.root_element();
        let value = serde_json::json!({ root.tag_name().name(): to_json(root) });
        let json = serde_json::to_string_pretty(&value).unwrap();
        assert_eq!(read(&json), job, "{json}");
    }
}

#[test]
fn elements_are_written_in_the_order_of_the_reference() {
    let reference = reference();
    let mut listed = reference.lines().filter_map(|line| Some(line.trim_start().split_once(": ")?.0));
    let written = write_xml(&whole());
    let document = roxmltree::Document::parse(&written).unwrap();
    let elements = document.root_element().descendants().skip(1).filter(roxmltree::Node::is_element);
    for name in elements.map(|element| element.tag_name().name()).filter(|name| *name != "items") {
        assert!(listed.any(|listed| listed == name), "{name} is out of order");
    }
    for says in [
        "amount: a number from 0 to 5; default 0",
        "companyHandle: a handle such as c|1; required",
        "Not together with manualCropOptions or autoTransparentCropOptions.",
        "jwtToken: anything; optional",
    ] {
        assert!(reference.contains(says), "{says}\n{reference}");
    }
    assert!(reference.lines().all(|line| line.len() <= 160), "{reference}");
}

#[test]
fn mangled_documents_never_panic() {
    let mut draw = Draw(Random(3));
    let (mut read, mut refused) = (0, 0);
    for round in 0..6000 {
        let mut document = if round % 2 == 0 { WHOLE_XML } else { WHOLE_JSON }.as_bytes().to_vec();
        for _ in 0..=draw.below(3) {
            let at = draw.below(document.len());
            let other = draw.below(document.len());
            match draw.below(8) {
                0 => document[at] ^= 1 << draw.below(8),
                1 => document[at] = draw.next() as u8,
                2 => document.truncate(at.max(1)),
                3 => drop(document.drain(at.min(other)..at.max(other).min(at.min(other) + 60))),
                4 => document.insert(at, draw.pick(b"<>&\"'/{}[],:\\\0\n=-")),
                5 => {
                    let end = document.len().min(at + draw.below(200));
                    let piece = document[at..end].to_vec();
                    document.splice(other..other, piece);
                }
                6 => {
                    let digits = document[at..].iter_mut().find(|byte| byte.is_ascii_digit());
                    digits.into_iter().for_each(|digit| *digit = draw.pick(b"0123456789"));
                }
                _ => document.splice(at..at, "é漢🦀\u{feff}".bytes()).for_each(drop),
            }
            if document.is_empty() {
                document.push(b'<');
            }
        }
        match parse(&document) {
            Ok(job) => {
                assert_eq!(parse(write_xml(&job).as_bytes()).map(|job| job.reprocess.assets), Ok(job.reprocess.assets));
                read += 1;
            }
            Err(error) => {
                assert!(!error.problems.is_empty());
                assert!(error.problems.iter().all(|problem| problem.line >= 1 && problem.column >= 1));
                refused += 1;
            }
        }
    }
    assert!(read > 100 && refused > 1000, "{read} read, {refused} refused: the mutations miss one side");
}
