//! Documents in runs: drawn in bands or whole, in the document's colours, stopped and taken up again.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reprise::catalog::Library;
use reprise::decode::{self, RowSource};
use reprise::encode::ptiff;
use reprise::external;
use reprise::limits::Limits;
use reprise::pixel::{Color, PixelFormat, Raster};
use reprise::rip::{self, Settings, Workers, pdf};

use crate::documents::{Pdf, assets, document, drawing, library, pages_of, pyramid, run, skip, slow};
use crate::originals::{png, save};
use crate::program::{command, reprise};
use crate::support::assert_same;

macro_rules! need {
    ($found:expr, $what:expr) => {
        if $found.is_none() {
            return skip($what);
        }
    };
}

fn page_image(folder: &Path, document: &str, index: usize) -> Raster {
    ptiff::read_level(&pyramid(&pages_of(folder, document)[index]), 0).unwrap()
}

/// Samples as they show: what is transparent has no colour.
fn shown(image: &Raster) -> Vec<u8> {
    let samples = image.samples.as_bytes();
    if !image.format.alpha {
        return samples.to_vec();
    }
    samples
        .chunks_exact(4)
        .flat_map(|pixel| {
            let premultiplied = |channel: u8| (u16::from(channel) * u16::from(pixel[3]) / 255) as u8;
            [premultiplied(pixel[0]), premultiplied(pixel[1]), premultiplied(pixel[2]), pixel[3]]
        })
        .collect()
}

#[test]
fn a_page_drawn_in_bands_is_the_page_drawn_whole_but_for_the_rounding_of_edges() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    // Curves, text and a slanted line cross every border between bands.
    let content = format!("{} 0.5 w 0 0 m 200 300 l S BT /F 60 Tf 10 200 Td (Shoes) Tj ET", drawing(1));
    let path = save(dir.path(), "shoes.pdf", &Pdf::new(200, 300, &[(content, String::new())]).bytes());
    let workers = Workers::new(env!("CARGO_BIN_EXE_reprise").into(), NonZeroUsize::MIN);
    let draw = |settings: &Settings, band_bytes: u64| {
        let limits = rip::Limits { band_bytes, ..rip::Limits::default() };
        let session = pdf::Session::open(&workers, &path, &limits).unwrap();
        let mut page = session.page(1, settings).unwrap();
        decode::read_whole(&mut page, &Limits::default()).unwrap()
    };
    for (color, alpha) in [(Color::Rgb, false), (Color::Gray, false), (Color::Rgb, true)] {
        let settings = Settings { resolution_dpi: 130.0, color, alpha, own_color: false };
        let whole = draw(&settings, u64::MAX);
        for rows in [1, 37, 256] {
            let bands = draw(&settings, rows * u64::from(whole.width) * if alpha { 4 } else { 3 });
            assert_eq!((whole.size(), whole.format), (bands.size(), bands.format));
            let (left, right) = (shown(&whole), shown(&bands));
            let differences: Vec<u8> =
                left.iter().zip(&right).map(|(a, b)| a.abs_diff(*b)).filter(|d| *d > 0).collect();
            // PDFium computes edges in `f32`, which rounds a little otherwise when a band moves the origin.
            let (most, count) = (differences.iter().copied().max().unwrap_or(0), differences.len());
            let what =
                format!("{color:?}, alpha {alpha}, {rows} rows to a band: {count} samples differ, by up to {most}");
            assert!(most <= 2 && count <= left.len() / 50, "{what}");
        }
    }
}

#[test]
fn a_page_that_memory_does_not_hold_is_drawn_in_bands() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    // 300 MB of pixels.
    let path = save(dir.path(), "wall.pdf", &Pdf::new(10_000, 10_000, &[(drawing(1), String::new())]).bytes());
    let workers = Workers::new(env!("CARGO_BIN_EXE_reprise").into(), NonZeroUsize::MIN);
    let rows = |band_bytes: u64| {
        let limits = rip::Limits { band_bytes, child_bytes: 300_000_000, ..rip::Limits::default() };
        let settings = Settings { resolution_dpi: 72.0, color: Color::Rgb, alpha: false, own_color: false };
        let session = pdf::Session::open(&workers, &path, &limits)?;
        let mut page = session.page(1, &settings)?;
        let mut band = Raster::empty(page.info().format, page.info().size.width);
        let mut rows = 0;
        loop {
            band.set_rows(0);
            match page.read_rows(&mut band, 256)? {
                0 => return Ok(rows),
                read => rows += read,
            }
        }
    };
    assert_eq!(rows(rip::Limits::default().band_bytes).unwrap(), 10_000);
    let whole: reprise::Error = rows(u64::MAX).unwrap_err();
    assert!(whole.message.contains("the worker process died"), "{whole}");
}

#[test]
fn colours_are_the_documents_own_or_those_of_the_job() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let gray = "0.4 g 20 20 100 60 re f 0 G 30 180 m 90 260 150 100 170 190 c S BT /F 18 Tf 24 130 Td (gray) Tj ET";
    // One thin line of a pale colour is a colour.
    let tinted = format!("{gray} 1 1 0.6 RG 0.3 w 20 290 m 180 290 l S");
    let pages = [gray.to_owned(), tinted].map(|content| (content, String::new()));
    library(folder, &[("shoes.pdf", Pdf::new(200, 300, &pages).bytes())]);
    let color = |name: &str| format!(r#","pdfOptions":{{"resolution":72,"colorspace":"{name}"}}"#);
    let formats = |folder: &Path| [0, 1].map(|page| page_image(folder, "a|1", page).format.channels());
    run(folder, &["a|1"], &color("Auto"), &[]).good();
    assert_eq!(formats(folder), [1, 3]);
    let automatic = page_image(folder, "a|1", 0);
    run(folder, &["a|1"], &color("Gray"), &[]).good();
    assert_same(&automatic, &page_image(folder, "a|1", 0), "a page without colour is drawn gray");
    run(folder, &["a|1"], &color("Rgb"), &[]).good();
    assert_eq!(formats(folder), [3, 3]);

    // CMYK is what the colour engine makes of RGB in the default profile.
    save(folder, "page.png", &png(&page_image(folder, "a|1", 1)));
    reprise(folder, &["convert", "page.png", "page.tif", "--output-profile", "cmyk"]).good();
    run(folder, &["a|1"], &color("Cmyk"), &[]).good();
    let cmyk = page_image(folder, "a|1", 1);
    assert_eq!((cmyk.format.color, cmyk.at(190, 5, 0), cmyk.at(190, 5, 3)), (Color::Cmyk, 0, 0));
    assert_same(&ptiff::read_level(&folder.join("page.tif"), 0).unwrap(), &cmyk, "CMYK");
}

const NO_CMYK: &str = "pages in colour are RGB, because CMYK could not be looked for";

#[test]
fn a_document_whose_pages_are_counted_otherwise_has_none_in_cmyk() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let ink = "0 0 1 0 k 20 20 100 60 re f".to_owned();
    let whole = Pdf::new(200, 300, &[(ink.clone(), String::new()), (ink, String::new())]).bytes();
    // A page that does not say that it is one counts for PDFium, but not for the search for colours.
    let mut broken = whole.clone();
    let at = broken.windows(12).position(|window| window == b"/Type /Page ").unwrap();
    broken[at + 10] = b'x';
    library(folder, &[("whole.pdf", whole), ("broken.pdf", broken)]);
    let done = run(folder, &["a|1", "a|2"], r#","pdfOptions":{"resolution":72}"#, &[]);
    assert!(done.stderr.contains(NO_CMYK) && done.stderr.contains("1 of 2 pages were found"), "{}", done.stderr);
    let color = |document: &str| page_image(folder, document, pages_of(folder, document).len() - 1).format.color;
    assert_eq!((color("a|1"), color("a|2")), (Color::Cmyk, Color::Rgb));
}

#[cfg(target_os = "linux")]
#[test]
fn pages_are_drawn_when_the_search_for_cmyk_dies() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().canonicalize().unwrap();
    // Keeps the search busy for seconds, and PDFium hardly at all.
    let content = format!("0 0 1 0 k 20 20 100 60 re f {}", "n ".repeat(4_000_000));
    library(&folder, &[("shoe.pdf", Pdf::new(200, 300, &[(content, String::new())]).bytes())]);
    let path = folder.join("shoe.pdf");
    let killer = std::thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let arguments: Vec<&[u8]> = arguments.split(|b| *b == 0).collect();
                if arguments.get(2) == Some(&path.as_os_str().as_encoded_bytes())
                    && arguments.get(3) == Some(&b"--inks".as_slice())
                {
                    return Command::new("kill").arg("-9").arg(entry.file_name()).status().unwrap().success();
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    });
    let done = run(&folder, &["a|1"], r#","pdfOptions":{"resolution":72}"#, &[]);
    assert!(killer.join().unwrap(), "no search was seen");
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains(NO_CMYK) && done.stderr.contains("signal: 9"), "{}", done.stderr);
    assert_eq!(page_image(&folder, "a|1", 0).format.color, Color::Rgb);
}

/// Runs a job, sends it a signal when there are `files` pyramids, and returns how it ended; `more` are further options of
/// PDF.
fn interrupt(
    folder: &Path,
    handles: &str,
    more: &str,
    (signal, files): (&str, usize),
    options: &[&str],
) -> (Option<i32>, String) {
    let job = format!(
        r#"{{"companyHandle":"c|1","jobName":"j","reprocessAssetsJob":{{"assetHandleArray":{handles},
        "createMask":false,"emailSetting":"None","pdfOptions":{{"resolution":200{more}}}}}}}"#
    );
    save(folder, "job.json", job.as_bytes());
    let arguments = [&["run", "lib", "job.json", "--no-report", "--threads", "1"], options].concat();
    let child = command(folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let written = || {
        walkdir::WalkDir::new(folder.join("lib/pyramids"))
            .into_iter()
            .flatten()
            .filter(|e| e.file_name().to_string_lossy().ends_with(".tif"))
            .count()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while written() < files && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[cfg(unix)]
#[test]
fn a_signal_stops_between_pages_and_the_job_goes_on_with_its_bounds() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[("long.pdf", document(60)), ("longer.pdf", document(61)), ("another.pdf", document(59))]);
    let (code, stderr) = interrupt(folder, r#"["a|1","a|3","a|2"]"#, "", ("INT", 3), &["--max-pages", "60"]);
    assert_eq!(code, Some(130), "{stderr}");
    // Two documents may have been begun, never the last one.
    let pages = [pages_of(folder, "a|1"), pages_of(folder, "a|3")].concat();
    let done = pages.iter().filter(|page| !page["derivative"].is_null()).count();
    assert!((3..119).contains(&done), "{done} of 119 pages were done");
    let checked = reprise(folder, &["check", "lib"]);
    assert!(checked.stdout.lines().all(|line| line.contains("was cut short")), "{}", checked.stdout);

    let request = Library::open(folder.join("lib")).unwrap().job_request(&"j|1".into()).unwrap().unwrap();
    assert!(request.options.contains("\"maxPages\":60"), "{}", request.options);
    let resumed = reprise(folder, &["run", "lib", "--resume", "--no-report"]);
    assert!(resumed.stdout.contains("60 pages ripped"), "{}", resumed.stdout);
    // The last one may have been begun, and refused, before the signal or after it.
    let said = format!("{stderr}{}", resumed.stderr);
    assert!(said.contains("at most 60 are ripped"), "the bound was forgotten: {said}");
    assert_eq!(pages_of(folder, "a|1").len(), 60);
    let again = reprise(folder, &["run", "lib", "--retry-failed", "j|1", "--max-pages", "61", "--no-report"]).good();
    assert!(again.contains("61 pages ripped"), "{again}");
}

#[cfg(unix)]
#[test]
fn pages_that_were_done_are_kept_when_a_job_goes_on() {
    need!(external::pdfium(), "PDFium");
    for signal in ["INT", "KILL"] {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        // The first page leads to the last one, which is not there when the job is cut short.
        let link = "<< /Type /Annot /Subtype /Link /Rect [20 20 120 80] /Border [0 0 0] /Dest [82 0 R /Fit] >>";
        let mut pages: Vec<_> = (1..=40).map(|n| (drawing(n), String::new())).collect();
        pages[0].1 = link.to_owned();
        library(folder, &[("long.pdf", Pdf::new(200, 300, &pages).bytes())]);
        let wish = r#","extractLinks":true,"extractSearchWords":true"#;
        let (code, stderr) = interrupt(folder, r#"["a|1"]"#, wish, (signal, 5), &[]);
        assert!(code != Some(0), "{signal}: it was too late: {stderr}");
        let written = |folder: &Path| -> Vec<_> {
            let recorded = pages_of(folder, "a|1").into_iter().filter(|page| !page["derivative"].is_null());
            let paths = recorded.map(|page| pyramid(&page));
            paths.map(|path| (path.clone(), std::fs::metadata(path).unwrap().modified().unwrap())).collect()
        };
        let before = written(folder);
        assert!((3..40).contains(&before.len()), "{signal}: {} pages", before.len());

        let resumed = reprise(folder, &["run", "lib", "--resume", "--no-report"]).good();
        let kept = format!("40 pages ripped, {} of them before the job was cut short", before.len());
        assert!(resumed.contains(&kept), "{signal}: {resumed}");
        let after = written(folder);
        assert_eq!((after.len(), &after[..before.len()]), (40, &before[..]), "{signal}");
        assert!(!reprise(folder, &["log", "lib", "j|1"]).good().contains("replace earlier ones"));
        let library = Library::open(folder.join("lib")).unwrap();
        assert_eq!(library.ecatalog(&"a|1".into()).unwrap().unwrap().pages.len(), 40);
        let all = pages_of(folder, "a|1");
        let handle = |page: usize| reprise::catalog::Handle::from(all[page]["handle"].as_str().unwrap());
        let maps = library.image_maps(&handle(0)).unwrap();
        assert_eq!(maps.len(), 1);
        assert_eq!(maps[0].action, reprise::catalog::MapAction::Asset(handle(39)));
        assert_eq!(library.page_words(&handle(0)).unwrap().len(), 4);
        drop(library);
        assert!(reprise(folder, &["check", "lib", "--pixels", "--hash"]).good().is_empty());

        // Another job does every page.
        run(folder, &["a|1"], r#","pdfOptions":{"resolution":72}"#, &[]).good();
        assert!(written(folder).iter().zip(&after).all(|(new, old)| new.1 != old.1), "{signal}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_page_that_was_held_up_is_drawn_at_the_second_try() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().canonicalize().unwrap();
    library(&folder, &[("slow.pdf", slow(60))]);
    let path = folder.join("slow.pdf");
    // Holds the first worker up once it has worked for a while, which is when it draws.
    let holder = std::thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                if arguments.split(|b| *b == 0).nth(2) != Some(path.as_os_str().as_encoded_bytes()) {
                    continue;
                }
                let status = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
                let ticks: u64 = status.split_whitespace().nth(13).and_then(|n| n.parse().ok()).unwrap_or(0);
                if ticks >= 20 {
                    return Command::new("kill").arg("-STOP").arg(entry.file_name()).status().unwrap().success();
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    });
    let done = run(&folder, &["a|1"], r#","pdfOptions":{"colorspace":"Rgb"}"#, &["--page-seconds", "6"]);
    assert!(holder.join().unwrap(), "no worker was held up");
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("drawn at the second try"), "{}", done.stderr);
}

#[test]
fn an_image_that_photoshop_saved_as_eps_keeps_its_pixels() {
    need!(external::ghostscript(), "Ghostscript");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let format = PixelFormat::new(Color::Rgb, false, reprise::pixel::Depth::U8);
    let image = crate::support::noise(format, reprise::geometry::Size::new(40, 30), 5);
    let hex: String = image.samples.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let eps = format!(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%Creator: Adobe Photoshop Version 21.0\n%%BoundingBox: 0 0 100 75\n%%EndComments
%ImageData: 40 30 8 3 0 120 3 \"beginimage\"
100 75 scale 40 30 8 [40 0 0 -30 0 30] {{ currentfile 120 string readhexstring pop }} false 3 colorimage\n{hex}\nshowpage\n%%EOF\n"
    );
    library(folder, &[("shoe.eps", eps.into_bytes())]);
    let done = run(folder, &["a|1"], r#","postScriptOptions":{"process":"Rasterize","resolution":300}"#, &[]);
    assert!(done.code == 0 && done.stderr.contains("its own pixels are kept"), "{}", done.stderr);
    assert_same(&image, &page_image(folder, "a|1", 0), "the pixels in the file");
}

#[test]
fn process_none_keeps_every_kind_of_document() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let mut artwork = Pdf::new(200, 300, &[(drawing(1), String::new())]);
    artwork.objects.push("<< /Creator (Adobe Illustrator 29.0) >>".into());
    artwork.trailer = format!("/Info {} 0 R", artwork.objects.len());
    let indd = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/documents/four-pages.indd");
    library(
        folder,
        &[
            ("a.pdf", document(1)),
            ("a.ps", b"%!PS\nshowpage\n".to_vec()),
            ("a.ai", artwork.bytes()),
            ("a.indd", std::fs::read(indd).unwrap()),
        ],
    );
    let before = assets(folder);
    let wish = ["pdf", "postScript", "illustrator", "inDesign"]
        .map(|kind| format!(r#","{kind}Options":{{"process":"None"}}"#))
        .concat();
    let printed = run(folder, &["a|1", "a|2", "a|3", "a|4"], &wish, &[]).good();
    assert_eq!(printed.matches("kept as it is, nothing was ripped").count(), 4, "{printed}");
    assert_eq!(assets(folder), before);
    assert!(!folder.join("lib/pyramids").exists());
}
