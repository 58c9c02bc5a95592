//! Documents: pages become images that other programs draw too, and what a document breaks is that document.
//!
//! The PDFs are written here, so that every number in them is known.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reprise::catalog::{Handle, ImageMap, Library, MapAction, PixelBox};
use reprise::decode;
use reprise::encode::ptiff;
use reprise::external;
use reprise::geometry::Size;
use reprise::limits::Limits;
use reprise::pixel::{Color, Depth, PixelFormat, Raster};
use reprise::rip::postscript::{self, PageStream};
use reprise::rip::{self, Settings};
use serde_json::Value;

use crate::originals::{png, save};
use crate::program::{Finished, command, reprise};
use crate::support::{assert_same, noise};

/// Says aloud that a test cannot run here, or fails where it has to.
pub fn skip(what: &str) {
    assert!(std::env::var_os("REPRISE_REQUIRE_TOOLS").is_none_or(|v| v != "1"), "{what} is missing");
    println!("skipped: {what} is missing");
}

macro_rules! need {
    ($found:expr, $what:expr) => {
        match $found {
            Some(found) => found,
            None => return skip($what),
        }
    };
}

pub fn tool(name: &str) -> Option<()> {
    Command::new(name).arg("-v").output().ok().map(|_| ())
}

/// A PDF made of numbered objects.
#[derive(Default)]
pub struct Pdf {
    pub objects: Vec<String>,
    pub trailer: String,
}

impl Pdf {
    /// `pages` are content streams; each page is `width` × `height` points and has the annotations given with it.
    pub fn new(width: u32, height: u32, pages: &[(String, String)]) -> Self {
        let mut pdf = Pdf::default();
        let kids: String = (0..pages.len()).map(|i| format!("{} 0 R ", 4 + 2 * i)).collect();
        pdf.objects.push("<< /Type /Catalog /Pages 2 0 R >>".into());
        pdf.objects.push(format!("<< /Type /Pages /Kids [{kids}] /Count {} >>", pages.len()));
        pdf.objects.push("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".into());
        for (i, (content, annotations)) in pages.iter().enumerate() {
            pdf.objects.push(format!(
                "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] /Contents {} 0 R
                 /Resources << /Font << /F 3 0 R >> >> /Annots [{annotations}] >>",
                5 + 2 * i
            ));
            pdf.objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
        }
        pdf
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut text = String::from("%PDF-1.7\n");
        let mut offsets = Vec::new();
        for (i, object) in self.objects.iter().enumerate() {
            offsets.push(text.len());
            write!(text, "{} 0 obj\n{object}\nendobj\n", i + 1).unwrap();
        }
        let start = text.len();
        write!(text, "xref\n0 {}\n0000000000 65535 f \n", offsets.len() + 1).unwrap();
        for offset in &offsets {
            writeln!(text, "{offset:010} 00000 n ").unwrap();
        }
        let (size, more) = (offsets.len() + 1, &self.trailer);
        write!(text, "trailer << /Size {size} /Root 1 0 R {more} >>\nstartxref\n{start}\n%%EOF\n").unwrap();
        text.into_bytes()
    }
}

/// A page with shapes, curves and text.
pub fn drawing(number: usize) -> String {
    format!(
        "0.9 0.2 0.1 rg 20 20 100 60 re f
         0 0.3 0.8 RG 4 w 30 180 m 90 260 150 100 170 190 c S
         0.2 0.6 0.3 rg 150 40 m 190 40 l 170 90 l f
         0 g BT /F 18 Tf 24 130 Td (Page {number} of shoes) Tj ET"
    )
}

fn pages(count: usize) -> Vec<(String, String)> {
    (1..=count).map(|n| (drawing(n), String::new())).collect()
}

/// A document of `count` pages of 200 × 300 points.
pub fn document(count: usize) -> Vec<u8> {
    Pdf::new(200, 300, &pages(count)).bytes()
}

/// A library with `files`, `a|1` and so on.
pub fn library(folder: &Path, files: &[(&str, Vec<u8>)]) {
    reprise(folder, &["init", "lib"]).good();
    for (name, bytes) in files {
        save(folder, name, bytes);
        reprise(folder, &["ingest", "lib", name]).good();
    }
}

/// Runs a job; `more` is JSON behind the required elements, with a comma in front.
pub fn run(folder: &Path, handles: &[&str], more: &str, options: &[&str]) -> Finished {
    let handles = serde_json::to_string(handles).unwrap();
    let job = format!(
        r#"{{"companyHandle":"c|1","jobName":"j","reprocessAssetsJob":{{"assetHandleArray":{handles},
        "createMask":false,"emailSetting":"None"{more}}}}}"#
    );
    save(folder, "job.json", job.as_bytes());
    let arguments: Vec<&str> = ["run", "lib", "job.json", "--no-report"].iter().chain(options).copied().collect();
    reprise(folder, &arguments)
}

pub fn assets(folder: &Path) -> Vec<Value> {
    let printed = reprise(folder, &["assets", "lib", "--json"]).good();
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The page images of a document in order.
pub fn pages_of(folder: &Path, document: &str) -> Vec<Value> {
    let mut pages = assets(folder);
    pages.retain(|asset| asset["originator"]["handle"] == document);
    pages.sort_by_key(|asset| asset["originator"]["number"].as_u64());
    pages
}

pub fn pyramid(asset: &Value) -> PathBuf {
    asset["derivative"]["path"].as_str().unwrap_or_else(|| panic!("no pyramid: {asset}")).into()
}

fn image(asset: &Value) -> Raster {
    ptiff::read_level(&pyramid(asset), 0).unwrap()
}

/// Mean absolute difference of the samples of two images of the same shape.
pub fn mean_difference(a: &Raster, b: &Raster) -> f64 {
    assert_eq!((a.format, a.size()), (b.format, b.size()));
    let (a, b) = (a.samples.as_bytes(), b.samples.as_bytes());
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

pub fn decoded(path: &Path) -> Raster {
    let limits = Limits::default();
    decode::read_whole(&mut *decode::open(path, &limits).unwrap(), &limits).unwrap()
}

#[test]
fn pages_become_assets_that_look_as_pdftoppm_draws_them() {
    need!(external::pdfium(), "PDFium");
    need!(tool("pdftoppm"), "pdftoppm");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[("shoes.pdf", document(3))]);
    let printed = run(folder, &["a|1"], "", &[]).good();
    assert!(printed.contains("3 pages ripped"), "{printed}");
    let pages = pages_of(folder, "a|1");
    let names: Vec<_> = pages.iter().map(|page| page["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["shoes_1", "shoes_2", "shoes_3"]);

    let drawn = Command::new("pdftoppm").args(["-r", "150", "-png", "shoes.pdf", "page"]).current_dir(folder).status();
    assert!(drawn.unwrap().success());
    for (i, page) in pages.iter().enumerate() {
        assert_eq!(page["originator"]["parameters"]["resolution"], 150.0);
        let ours = image(page);
        assert_eq!((ours.width, ours.height), (417, 625), "200 × 300 points at 150 dpi, rounded up");
        let theirs = decoded(&folder.join(format!("page-{}.png", i + 1)));
        // Two renderers smooth edges and hint letters in their own ways; a shift of one pixel gives more than 2.
        let difference = mean_difference(&ours, &theirs);
        assert!(difference < 1.0, "page {}: {difference}", i + 1);
    }
    // The pages differ from each other by a digit only, which the comparison must still see.
    assert!(mean_difference(&image(&pages[0]), &image(&pages[1])) > 0.0);
}

#[test]
fn ripping_again_keeps_handles_and_bytes_and_surplus_pages() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[("shoes.pdf", document(3))]);
    run(folder, &["a|1"], "", &[]).good();
    let first = pages_of(folder, "a|1");
    let bytes: Vec<_> = first.iter().map(|page| std::fs::read(pyramid(page)).unwrap()).collect();
    run(folder, &["a|1"], "", &["--threads", "1"]).good();
    let second = pages_of(folder, "a|1");
    assert_eq!(handles(&first), handles(&second));
    let again: Vec<_> = second.iter().map(|page| std::fs::read(pyramid(page)).unwrap()).collect();
    assert!(bytes == again, "the bytes depend on the number of workers");
    assert!(reprise(folder, &["log", "lib", "j|2"]).good().contains("3 page images replace earlier ones"));

    // The document loses a page and the last image stays, and is named.
    save(folder, "shoes.pdf", &document(2));
    reprise(folder, &["ingest", "lib", "shoes.pdf"]).good();
    let done = run(folder, &["a|1"], "", &[]);
    let surplus = second[2]["handle"].as_str().unwrap();
    assert!(done.stderr.contains("are kept") && done.stderr.contains(surplus), "{}", done.stderr);
    let third = pages_of(folder, "a|1");
    assert_eq!(handles(&third), handles(&first));
    assert_eq!(third[2]["derivative"]["current"], false);

    // A page can be asked for by its own handle.
    let page = first[1]["handle"].as_str().unwrap();
    run(folder, &[page], r#","pdfOptions":{"resolution":72}"#, &[]).good();
    let pages = pages_of(folder, "a|1");
    assert_eq!(handles(&pages), handles(&first));
    let widths: Vec<_> = pages.iter().map(|page| page["derivative"]["width"].as_u64().unwrap()).collect();
    assert_eq!(widths, [417, 200, 417]);
}

pub fn handles(assets: &[Value]) -> Vec<&str> {
    assets.iter().map(|asset| asset["handle"].as_str().unwrap()).collect()
}

#[test]
fn process_resolution_and_colorspace_are_honoured() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[("shoes.pdf", document(2))]);

    let kept = run(folder, &["a|1"], r#","pdfOptions":{"process":"None"}"#, &[]).good();
    assert!(kept.contains("nothing was ripped"), "{kept}");
    assert_eq!(assets(folder).len(), 1);

    run(folder, &["a|1"], r#","pdfOptions":{"process":"Thumbnail","resolution":36}"#, &[]).good();
    let all = assets(folder);
    assert_eq!(all.len(), 1);
    let preview = image(&all[0]);
    assert_eq!((preview.width, preview.height), (100, 150));

    run(folder, &["a|1"], r#","pdfOptions":{"colorspace":"Rgb","resolution":72}"#, &[]).good();
    let color = image(&pages_of(folder, "a|1")[0]);
    run(folder, &["a|1"], r#","pdfOptions":{"colorspace":"Gray","resolution":72}"#, &[]).good();
    let gray = image(&pages_of(folder, "a|1")[0]);
    assert_eq!(gray.format.channels(), 1);
    for y in 0..gray.height {
        for x in 0..gray.width {
            let weighted = 30 * color.at(x, y, 0) + 59 * color.at(x, y, 1) + 11 * color.at(x, y, 2);
            assert_eq!(gray.at(x, y, 0), (weighted + 50) / 100);
        }
    }
}

#[test]
fn what_is_done_to_images_is_done_to_page_images() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[("shoes.pdf", document(2))]);
    run(folder, &["a|1"], r#","pdfOptions":{"resolution":72}"#, &[]).good();
    let whole = image(&pages_of(folder, "a|1")[1]);
    let crop = r#","pdfOptions":{"resolution":72},"manualCropOptions":{"left":10,"right":20,"top":30,"bottom":40}"#;
    run(folder, &["a|1"], crop, &[]).good();
    let cut = &pages_of(folder, "a|1")[1];
    assert_eq!(cut["crop"]["left"], 10);
    let rect = reprise::geometry::Rect { x: 10, y: 30, width: 170, height: 230 };
    assert!(image(cut) == whole.cropped(rect));
    // The stored crop is applied again where the job brings none.
    run(folder, &["a|1"], r#","pdfOptions":{"resolution":72}"#, &[]).good();
    assert_eq!(image(&pages_of(folder, "a|1")[0]).width, 170);
    let knockout = r#","pdfOptions":{"resolution":72},"preserveCrop":false,
        "knockoutBackground":{"corner":"UpperLeft","tolerance":0,"fillMethod":"MatchPixel"}"#;
    run(folder, &["a|1"], knockout, &[]).good();
    let knocked = image(&pages_of(folder, "a|1")[0]);
    assert_eq!((knocked.width, knocked.at(0, 0, 3), knocked.at(60, 250, 3)), (200, 0, 255));
    // Sharpened, and converted to another profile, as an image with the same pixels is.
    let sharpen = r#","pdfOptions":{"resolution":72},"preserveCrop":false,
        "unsharpMaskOptions":{"amount":2,"radius":1,"threshold":0},
        "colorManagementOptions":{"colorManagement":"Convert","outputProfileHandle":"icc|adobe-rgb"}"#;
    run(folder, &["a|1"], sharpen, &[]).good();
    save(folder, "page.png", &png(&whole));
    let convert = ["convert", "page.png", "page.tif", "--unsharp", "2,1,0,0", "--output-profile", "adobe-rgb"];
    reprise(folder, &convert).good();
    let page = pyramid(&pages_of(folder, "a|1")[1]);
    for level in 0..2 {
        let [ours, theirs] = [&page, &folder.join("page.tif")].map(|path| ptiff::read_level(path, level).unwrap());
        assert_same(&theirs, &ours, format!("level {level}"));
    }
}

#[test]
fn what_is_wrong_with_a_document_is_said_and_the_batch_goes_on() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let mut encrypted = Pdf::new(200, 300, &pages(1));
    let zeros = "0".repeat(64);
    encrypted.objects.push(format!("<< /Filter /Standard /V 2 /R 3 /Length 128 /P -44 /O <{zeros}> /U <{zeros}> >>"));
    encrypted.trailer = format!("/Encrypt {} 0 R /ID [<00> <00>]", encrypted.objects.len());
    library(
        folder,
        &[
            ("broken.pdf", b"%PDF-1.7\nthis was a document once\n%%EOF\n".to_vec()),
            ("encrypted.pdf", encrypted.bytes()),
            ("empty.pdf", Pdf::new(200, 300, &[]).bytes()),
            ("long.pdf", document(9)),
            ("huge.pdf", Pdf::new(14_400, 14_400, &pages(1)).bytes()),
            ("good.pdf", document(1)),
        ],
    );
    let options = ["--max-pages", "8", "--max-page-pixels", "5000000"];
    let done = run(folder, &["a|1", "a|2", "a|3", "a|4", "a|5", "a|6"], "", &options);
    assert_eq!(done.code, 1);
    assert!(done.stdout.contains("1 page ripped"), "{}", done.stdout);
    for (name, words) in [
        ("broken", "broken beyond repair"),
        ("encrypted", "is encrypted"),
        ("empty", "has no pages"),
        ("long", "raise --max-pages"),
        ("huge", "raise --max-page-pixels"),
    ] {
        let line = done.stderr.lines().find(|line| line.contains(&format!(" {name}: ")));
        assert!(line.is_some_and(|line| line.contains(words)), "{name}: {}", done.stderr);
    }
    assert_eq!(pages_of(folder, "a|6").len(), 1);
    assert!(reprise(folder, &["log", "lib", "j|1"]).good().contains("PdfRipError"));
}

#[test]
fn a_thousand_pages_are_ripped() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[("long.pdf", Pdf::new(40, 40, &pages(1000)).bytes())]);
    run(folder, &["a|1"], r#","pdfOptions":{"resolution":36}"#, &[]).good();
    assert_eq!(pages_of(folder, "a|1").len(), 1000);
}

#[test]
fn words_links_and_the_ecatalog_are_kept() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let uri = "<< /Type /Annot /Subtype /Link /Rect [20 20 120 80] /Border [0 0 0]
        /A << /S /URI /URI (https://example.com/shoes?a=1) >> >>";
    let page = "<< /Type /Annot /Subtype /Link /Rect [150 40 190 90] /Border [0 0 0] /Dest [6 0 R /Fit] >>";
    let pages = [(drawing(1), format!("{uri} {page}")), (drawing(2), String::new())];
    library(folder, &[("shoes.pdf", Pdf::new(200, 300, &pages).bytes())]);
    let wish = r#","pdfOptions":{"resolution":72,"extractSearchWords":true,"extractLinks":true}"#;
    run(folder, &["a|1"], wish, &[]).good();

    let library = Library::open(folder.join("lib")).unwrap();
    let (first, second) = (Handle::from("a|2"), Handle::from("a|3"));
    let words = library.page_words(&first).unwrap();
    let texts: Vec<_> = words.iter().map(|word| word.word.as_str()).collect();
    assert_eq!(texts, ["Page", "1", "of", "shoes"]);
    // The baseline is 130 points from the bottom of 300, and the letters are 18 points high.
    let b = words[0].place;
    assert!(b.left.abs_diff(24) <= 2 && b.top <= 160 && b.bottom >= 170 && b.bottom < 180, "{b:?}");
    assert!(words.windows(2).all(|pair| pair[0].place.right <= pair[1].place.left));
    let maps = library.image_maps(&first).unwrap();
    let boxed = |left, top, right, bottom| PixelBox { left, top, right, bottom };
    let expected = [
        ImageMap { place: boxed(20, 220, 120, 280), action: MapAction::Uri("https://example.com/shoes?a=1".into()) },
        ImageMap { place: boxed(150, 210, 190, 260), action: MapAction::Asset(second.clone()) },
    ];
    assert_eq!(maps, expected);
    let ecatalog = library.ecatalog(&Handle::from("a|1")).unwrap().unwrap();
    assert_eq!((ecatalog.name.as_str(), ecatalog.pages), ("shoes", vec![first.clone(), second]));
    let file = std::fs::read(folder.join("lib/documents/0000/1-shoes.json")).unwrap();
    let json: Value = serde_json::from_slice(&file).unwrap();
    assert_eq!(json["eCatalog"], true);
    assert_eq!(json["pages"][0]["words"][3]["word"], "shoes");
    let map = &json["pages"][0]["imageMaps"][0];
    assert_eq!(map["action"]["uri"], "https://example.com/shoes?a=1");
    assert_eq!((&map["shape"], &map["left"], &map["bottom"]), (&"rect".into(), &20.into(), &280.into()));
    drop(library);

    // With a crop, boxes are those of the image that is left.
    let wish = format!(r#"{wish},"manualCropOptions":{{"left":30,"right":0,"top":0,"bottom":50}}"#);
    run(folder, &["a|1"], &wish, &[]).good();
    let library = Library::open(folder.join("lib")).unwrap();
    assert_eq!(library.image_maps(&first).unwrap()[0].place, boxed(0, 220, 90, 250));
    drop(library);

    // Not asked for, they are not kept beside an image that they may no longer fit.
    run(folder, &["a|1"], r#","pdfOptions":{"resolution":100,"pdfCatalog":false}"#, &[]).good();
    let library = Library::open(folder.join("lib")).unwrap();
    assert!(library.page_words(&first).unwrap().is_empty() && library.image_maps(&first).unwrap().is_empty());
}

/// A page that keeps PDFium busy, with 60 000 fills for minutes, in few bytes to parse.
pub fn slow(fills: usize) -> Vec<u8> {
    let fills = "0 0 2000 2000 re f ".repeat(fills);
    Pdf::new(2000, 2000, &[(fills, String::new())]).bytes()
}

#[test]
fn a_page_that_takes_too_long_is_given_up() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[("slow.pdf", slow(60_000)), ("good.pdf", document(2))]);
    let done = run(folder, &["a|1", "a|2"], "", &["--page-seconds", "4"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("longer than 4 s: raise --page-seconds"), "{}", done.stderr);
    assert!(done.stdout.contains("2 pages ripped"), "{}", done.stdout);
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_that_dies_costs_its_document_only() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().canonicalize().unwrap();
    library(&folder, &[("slow.pdf", slow(60_000)), ("good.pdf", document(2))]);
    let path = folder.join("slow.pdf");
    // The worker is known by the path of its document, which nobody else has.
    let killer = std::thread::spawn(move || {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while std::time::Instant::now() < deadline {
            for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let arguments: Vec<&[u8]> = arguments.split(|b| *b == 0).collect();
                if arguments.get(1) == Some(&b"rip-worker".as_slice())
                    && arguments.get(2) == Some(&path.as_os_str().as_encoded_bytes())
                {
                    let killed = Command::new("kill").arg("-9").arg(entry.file_name()).status().unwrap();
                    assert!(killed.success());
                    return;
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("no worker was seen");
    });
    let done = run(&folder, &["a|1", "a|2"], "", &[]);
    killer.join().unwrap();
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("the worker process died") && done.stderr.contains("signal: 9"), "{}", done.stderr);
    assert!(done.stdout.contains("2 pages ripped"), "{}", done.stdout);
}

/// An EPS of 100 × 50 points whose box starts at 10, 20.
const EPS: &str = "%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 10 20 110 70
%%EndComments
1 0 0 setrgbcolor 10 20 50 25 rectfill
0 0 1 setrgbcolor 60 45 moveto 110 70 lineto 60 70 lineto fill
0 setgray /Helvetica findfont 12 scalefont setfont 64 30 moveto (shoes) show
(this is printed between the pages) print
%%EOF
";

const RASTERIZE: &str = r#","postScriptOptions":{"process":"Rasterize""#;

#[test]
fn eps_files_are_drawn_as_ghostscript_draws_them() {
    need!(external::ghostscript(), "Ghostscript");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    // The same with the binary header that carries a preview, which here is 7 bytes of rubbish.
    let (start, length) = (30u32.to_le_bytes(), (EPS.len() as u32).to_le_bytes());
    let mut dos = [&[0xc5, 0xd0, 0xd3, 0xc6][..], &start, &length, &[0; 18]].concat();
    dos.extend(EPS.as_bytes());
    dos.extend(b"preview");
    library(folder, &[("shoe.eps", EPS.into()), ("dos.eps", dos)]);

    // Without a wish the file is kept.
    assert!(run(folder, &["a|1"], "", &[]).good().contains("nothing was ripped"));
    run(folder, &["a|1", "a|2"], &format!("{RASTERIZE}}}"), &[]).good();
    let ours = image(&pages_of(folder, "a|1")[0]);
    assert!(ours == image(&pages_of(folder, "a|2")[0]), "the DOS header makes a difference");
    let drawn = Command::new("gs")
        .args(["-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-dEPSCrop", "-sDEVICE=png16m", "-r150", "-sstdout=%stderr"])
        .args(["-dTextAlphaBits=4", "-dGraphicsAlphaBits=4", "-sOutputFile=theirs.png", "shoe.eps"])
        .current_dir(folder)
        .status();
    assert!(drawn.unwrap().success());
    assert_eq!(mean_difference(&ours, &decoded(&folder.join("theirs.png"))), 0.0);

    run(folder, &["a|1"], &format!(r#"{RASTERIZE},"resolution":72,"alpha":true}}"#), &[]).good();
    let alpha = image(&pages_of(folder, "a|1")[0]);
    assert_eq!((alpha.width, alpha.height), (100, 50));
    let pixel = |image: &Raster, x, y| (0..4).map(|c| image.at(x, y, c)).collect::<Vec<_>>();
    assert_eq!((pixel(&alpha, 5, 45), alpha.at(5, 5, 3)), (vec![255, 0, 0, 255], 0));
    run(folder, &["a|1"], &format!(r#"{RASTERIZE},"resolution":72,"colorspace":"Gray"}}"#), &[]).good();
    assert_eq!(image(&pages_of(folder, "a|1")[0]).format.channels(), 1);
}

/// Pages full of words, without end.
const ENDLESS_WORDS: &str = "%!PS\n/Helvetica findfont 9 scalefont setfont
{ 0 1 900 { rand 500 mod rand 500 mod moveto 20 string cvs show } for showpage } loop\n";

#[test]
fn postscript_of_several_pages_and_its_faults() {
    need!(external::ghostscript(), "Ghostscript");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let page = "newpath 100 100 200 0 360 arc fill showpage\n";
    library(
        folder,
        &[
            ("two.ps", format!("%!PS\n{page}{page}").into_bytes()),
            ("half.ps", format!("%!PS\n{page}nonsense\n{page}").into_bytes()),
            ("none.ps", b"%!PS\n1 1 add pop\n".to_vec()),
            ("forever.ps", b"%!PS\n{} loop\n".to_vec()),
            ("outside.ps", b"%!PS\n(/etc/passwd) (r) file pop showpage\n".to_vec()),
            ("words.ps", ENDLESS_WORDS.into()),
            ("shoe.png", png(&noise(PixelFormat::new(Color::Gray, false, Depth::U8), Size::new(9, 7), 5))),
        ],
    );
    let wish = format!(r#"{RASTERIZE},"resolution":36}}"#);
    let done = run(folder, &["a|1", "a|2", "a|3", "a|5"], &wish, &[]);
    assert_eq!(done.code, 1);
    assert!(done.stdout.contains("2 pages ripped"), "{}", done.stdout);
    assert_eq!(pages_of(folder, "a|1").len(), 2);
    assert_eq!(pages_of(folder, "a|2").len(), 1, "the page before the fault is kept");
    for (name, words) in
        [("half", "/undefined in nonsense"), ("none", "draws no page"), ("outside", "/invalidfileaccess")]
    {
        let line = done.stderr.lines().find(|line| line.contains(&format!(" {name}: ")));
        assert!(line.is_some_and(|line| line.contains(words)), "{name}: {}", done.stderr);
    }
    // Alone with its limit: on a busy machine the others might need more.
    let done = run(folder, &["a|4", "a|7"], &wish, &["--page-seconds", "3"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains(" forever: ") && done.stderr.contains("raise --page-seconds"), "{}", done.stderr);
    assert!(done.stdout.contains("shoe: "), "the batch goes on: {}", done.stdout);
    // What Ghostscript put aside while it was killed is gone.
    let scratch = folder.join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let job = format!(
        r#"{{"companyHandle":"c|1","jobName":"j","reprocessAssetsJob":{{"assetHandleArray":["a|6"],"createMask":false,
        "emailSetting":"None"{RASTERIZE},"extractSearchWords":true}}}}}}"#
    );
    save(folder, "job.json", job.as_bytes());
    let arguments = ["run", "lib", "job.json", "--no-report", "--page-seconds", "1"];
    let output = command(folder, &arguments).env("TMPDIR", &scratch).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("raise --page-seconds"), "{output:?}");
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);
}

#[test]
fn what_ghostscript_takes_is_bounded() {
    need!(external::ghostscript(), "Ghostscript");
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { resolution_dpi: 72.0, color: Color::Rgb, alpha: false, own_color: false };
    let limits = rip::Limits {
        max_pages: 3,
        max_page_pixels: 1_000_000,
        child_bytes: 512 << 20,
        child_file_bytes: 1 << 20,
        // Enough on the busiest machine: it is not what ends any of them.
        page_time: Duration::from_secs(3600),
        ..rip::Limits::default()
    };
    let fault = |name: &str, document: &str| {
        let path = save(dir.path(), name, document.as_bytes());
        let mut stream = PageStream::start(&path, &settings, &limits).unwrap();
        loop {
            match stream.next_page() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{name} is drawn to its end"),
                Err(error) => return error.to_string(),
            }
        }
    };
    let says = |said: String, what: &str| assert!(said.contains(what), "{said}");
    says(fault("memory.ps", "%!PS\n{ 65535 array } loop\n"), "VMerror");
    says(fault("pages.ps", "%!PS\n{ showpage } loop\n"), "raise --max-pages");
    says(fault("side.ps", "%!PS\n<< /PageSize [2000 2000] >> setpagedevice showpage\n"), "raise --max-page-pixels");
    // The PDF that words are read from goes to the disk.
    let path = save(dir.path(), "words.ps", ENDLESS_WORDS.as_bytes());
    says(postscript::to_pdf(&path, &limits).unwrap_err().to_string(), "Ghostscript gave up");
}

#[test]
fn words_of_postscript_are_read() {
    need!(external::ghostscript(), "Ghostscript");
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[("shoe.eps", EPS.into())]);
    run(folder, &["a|1"], &format!(r#"{RASTERIZE},"resolution":72,"extractSearchWords":true}}"#), &[]).good();
    let words = Library::open(folder.join("lib")).unwrap().page_words(&Handle::from("a|2")).unwrap();
    assert_eq!(words.len(), 1);
    assert_eq!(words[0].word, "shoes");
    assert!(words[0].place.left.abs_diff(54) <= 2, "{:?}", words[0].place);
}

#[test]
fn illustrator_files_are_drawn_with_alpha() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let mut artwork = Pdf::new(200, 300, &pages(2));
    artwork.objects.push("<< /Creator (Adobe Illustrator 29.0) >>".into());
    artwork.trailer = format!("/Info {} 0 R", artwork.objects.len());
    library(folder, &[("shoe.ai", artwork.bytes())]);
    assert_eq!(assets(folder)[0]["kind"], "illustrator");
    assert!(run(folder, &["a|1"], "", &[]).good().contains("nothing was ripped"));
    let wish = r#","illustratorOptions":{"process":"Rasterize","resolution":72,"alpha":true}"#;
    run(folder, &["a|1"], wish, &[]).good();
    let artboards = pages_of(folder, "a|1");
    assert_eq!(artboards.len(), 2);
    let image = image(&artboards[1]);
    assert_eq!((image.width, image.at(0, 0, 3), image.at(60, 250, 3), image.at(60, 250, 0)), (200, 0, 255, 230));
}

#[test]
fn illustrator_files_without_pdf_are_drawn_by_ghostscript() {
    need!(external::ghostscript(), "Ghostscript");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let old = "%!PS-Adobe-3.0\n%%Creator: Adobe Illustrator(R) 8.0\n%%BoundingBox: 0 0 120 80\n%%EndComments
<< /PageSize [120 80] >> setpagedevice 1 0 0 setrgbcolor 20 20 50 40 rectfill showpage\n%%EOF\n";
    library(folder, &[("old.ai", old.into())]);
    assert_eq!(assets(folder)[0]["kind"], "illustrator");
    let wish = r#","illustratorOptions":{"process":"Rasterize","resolution":72,"alpha":true}"#;
    run(folder, &["a|1"], wish, &[]).good();
    let image = image(&pages_of(folder, "a|1")[0]);
    assert_eq!((image.width, image.height, image.at(0, 0, 3)), (120, 80, 0));
    assert_eq!([0, 1, 2, 3].map(|c| image.at(40, 40, c)), [255, 0, 0, 255]);
}
