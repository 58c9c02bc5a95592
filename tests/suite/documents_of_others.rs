//! Documents that other programs made, held against pdftoppm and Ghostscript; `tests/data/documents/README.md` says where
//! they are from.

use std::path::{Path, PathBuf};
use std::process::Command;

use reprise::catalog::{Handle, Library, MapAction};
use reprise::encode::ptiff;
use reprise::external;
use reprise::geometry::{Rect, Size};
use reprise::pixel::{Color, Raster};

use crate::documents::{decoded, library, pages_of, pyramid, run, skip, tool};
use crate::originals::save;
use crate::support::{assert_same, ssim};

macro_rules! need {
    ($found:expr, $what:expr) => {
        if $found.is_none() {
            return skip($what);
        }
    };
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/documents").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(data(name)).unwrap()
}

/// A library with these documents.
fn library_of(folder: &Path, names: &[&str]) {
    let files: Vec<_> = names.iter().map(|name| (*name, bytes(name))).collect();
    library(folder, &files);
}

fn images(folder: &Path, document: &str) -> Vec<Raster> {
    pages_of(folder, document).iter().map(|page| ptiff::read_level(&pyramid(page), 0).unwrap()).collect()
}

/// The part that two images have in common, which may differ by a row or a column at the end.
fn common(a: &Raster, b: &Raster) -> (Raster, Raster) {
    let size = Size::new(a.width.min(b.width), a.height.min(b.height));
    assert!(a.width.abs_diff(b.width) <= 1 && a.height.abs_diff(b.height) <= 1, "{:?} and {:?}", a.size(), b.size());
    let rect = Rect { x: 0, y: 0, width: size.width, height: size.height };
    (a.cropped(rect), b.cropped(rect))
}

/// What other programs made, and the least structural similarity of each page at 150 dpi to what pdftoppm draws.
/// Letters are what the two draw most unlike: PDFium makes them heavier and hints none.
const PDFS: [(&str, &[f64]); 8] = [
    ("crazyones.pdf", &[0.96]),
    ("pdflatex-outline.pdf", &[0.99, 0.92, 0.92, 0.95]),
    ("two-different-pages.pdf", &[0.99, 0.99]),
    ("r4-owner-password.pdf", &[0.99]),
    ("AutoCad_Simple.pdf", &[0.98]),
    ("inkscape-abc.pdf", &[0.99]),
    ("vector.pdf", &[0.97]),
    ("reportlab-cmyk.pdf", &[0.94, 0.97, 0.95]),
];

#[test]
fn pages_of_pdf_look_as_pdftoppm_draws_them() {
    need!(external::pdfium(), "PDFium");
    need!(tool("pdftoppm"), "pdftoppm");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let names = PDFS.map(|(name, _)| name);
    library_of(folder, &names);
    let handles: Vec<String> = (1..=names.len()).map(|n| format!("a|{n}")).collect();
    let handles: Vec<&str> = handles.iter().map(String::as_str).collect();
    run(folder, &handles, r#","pdfOptions":{"colorspace":"Rgb"}"#, &[]).good();
    let mut table = String::new();
    for ((name, least), handle) in PDFS.iter().zip(handles) {
        let drawn = Command::new("pdftoppm").args(["-r", "150", "-png", name, "page"]).current_dir(folder).status();
        assert!(drawn.unwrap().success());
        let ours = images(folder, handle);
        assert_eq!(ours.len(), least.len(), "{name}");
        let mut theirs: Vec<PathBuf> = walkdir::WalkDir::new(folder)
            .max_depth(1)
            .into_iter()
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("page-"))
            .collect();
        theirs.sort();
        for (page, ((ours, path), least)) in ours.iter().zip(&theirs).zip(*least).enumerate() {
            let (ours, theirs) = common(ours, &decoded(path));
            let similarity = ssim(&ours, &theirs);
            table.push_str(&format!("{name} page {}: SSIM {similarity:.4}\n", page + 1));
            assert!(similarity >= *least, "{name} page {}: SSIM {similarity:.4}", page + 1);
            // Two pixels aside, a page is no longer the same.
            let (w, h) = (ours.width - 2, ours.height);
            let aside = |x| Rect { x, y: 0, width: w, height: h };
            let moved = ssim(&ours.cropped(aside(2)), &theirs.cropped(aside(0)));
            assert!(moved < similarity, "{name} page {}: {moved:.4} when moved", page + 1);
            std::fs::remove_file(path).unwrap();
        }
    }
    println!("{table}");
}

#[test]
fn passwords_rotations_and_broken_tables() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library_of(
        folder,
        &["crazyones.pdf", "crazyones-encrypted-256.pdf", "AutoCad_Simple.pdf", "two-different-pages.pdf"],
    );
    // Neither the table of objects nor where it is can be used.
    let mut broken = bytes("crazyones.pdf");
    let at = broken.windows(9).rposition(|window| window == b"startxref").unwrap();
    broken[at + 10..at + 13].copy_from_slice(b"999");
    save(folder, "broken.pdf", &broken);
    // A page of 200 inches, the largest that PDF had for long, and one that is larger than all limits.
    let enlarge = |by: &[u8]| {
        let mut large = bytes("AutoCad_Simple.pdf");
        let at = large.windows(9).position(|window| window == b"/MediaBox").unwrap();
        let end = at + large[at..].iter().position(|byte| *byte == b']').unwrap() + 1;
        large.splice(at..end, by.iter().copied());
        large
    };
    save(folder, "poster.pdf", &enlarge(b"/MediaBox [0 0 14400 14400]"));
    save(folder, "wall.pdf", &enlarge(b"/MediaBox [0 0 9999999 9999999]"));
    for name in ["broken.pdf", "poster.pdf", "wall.pdf"] {
        crate::program::reprise(folder, &["ingest", "lib", name]).good();
    }
    let done = run(folder, &["a|1", "a|2", "a|3", "a|4", "a|5", "a|7"], "", &[]);
    assert_eq!(done.code, 1);
    let line = |name: &str| done.stderr.lines().find(|line| line.contains(&format!(" {name}: "))).unwrap_or_default();
    assert!(line("crazyones-encrypted-256").contains("is encrypted; save it without a password"), "{}", done.stderr);
    assert!(line("wall").contains("raise --max-page-pixels"), "{}", done.stderr);
    assert_same(&images(folder, "a|1")[0], &images(folder, "a|5")[0], "the table was made anew");
    // A4 turned by 270 degrees.
    let turned = &images(folder, "a|3")[0];
    assert_eq!((turned.width, turned.height), (1755, 1240));
    assert_eq!(images(folder, "a|4").len(), 2);
    // At 36 dpi the poster is 7200 pixels wide, which is drawn in bands.
    run(folder, &["a|6"], r#","pdfOptions":{"resolution":36,"colorspace":"Rgb"}"#, &[]).good();
    assert_eq!(images(folder, "a|6")[0].size(), Size::new(7200, 7200));
}

#[test]
fn words_and_links_of_latex_are_read() {
    need!(external::pdfium(), "PDFium");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library_of(folder, &["pdflatex-outline.pdf", "crazyones.pdf"]);
    let wish = r#","pdfOptions":{"resolution":72,"extractSearchWords":true,"extractLinks":true}"#;
    run(folder, &["a|1", "a|2"], wish, &[]).good();
    let library = Library::open(folder.join("lib")).unwrap();
    assert_eq!(library.ecatalog(&"a|1".into()).unwrap().unwrap().pages.len(), 4);
    // The table of contents leads to pages of the document.
    let contents = &pages_of(folder, "a|1")[0];
    let maps = library.image_maps(&Handle::from(contents["handle"].as_str().unwrap())).unwrap();
    let pages = maps.iter().filter(|map| matches!(map.action, MapAction::Asset(_))).count();
    assert!(pages >= 4, "{maps:?}");
    let crazy = &pages_of(folder, "a|2")[0];
    let words = library.page_words(&Handle::from(crazy["handle"].as_str().unwrap())).unwrap();
    let text: Vec<&str> = words.iter().map(|word| word.word.as_str()).collect();
    assert!(text.join(" ").contains("to the crazy ones. The misfits."), "{text:?}");
}

#[test]
fn auto_keeps_the_colours_of_the_document() {
    need!(external::pdfium(), "PDFium");
    need!(external::ghostscript(), "Ghostscript");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library_of(
        folder,
        &[
            "reportlab-cmyk.pdf",
            "vector.pdf",
            "crazyones.pdf",
            "pil_sample_cmyk.eps",
            "scatter.eps",
            "multi_font_type3.eps",
        ],
    );
    let wish = |auto: &str| {
        format!(
            r#","pdfOptions":{{"resolution":72{auto}}},"postScriptOptions":{{"process":"Rasterize","resolution":72{auto}}}"#
        )
    };
    let all = ["a|1", "a|2", "a|3", "a|4", "a|5", "a|6"];
    let colors = || all.map(|handle| images(folder, handle).iter().map(|image| image.format.color).collect::<Vec<_>>());
    run(folder, &all, &wish(""), &[]).good();
    use Color::{Cmyk, Gray, Rgb};
    // Inks and a spot colour; gray; CMYK beside RGB.
    let own = [vec![Cmyk, Gray, Rgb], vec![Rgb], vec![Gray], vec![Cmyk], vec![Rgb], vec![Gray]];
    assert_eq!(colors(), own);
    let automatic = [images(folder, "a|1"), images(folder, "a|4")];
    // Pages in CMYK are those that a job for CMYK makes.
    run(folder, &all, &wish(r#","colorspace":"Cmyk""#), &[]).good();
    assert!(colors().iter().flatten().all(|color| *color == Cmyk));
    assert_same(&automatic[0][0], &images(folder, "a|1")[0], "a page of a PDF");
    assert_same(&automatic[1][0], &images(folder, "a|4")[0], "an EPS image");
    // Gray pages of PostScript are those that a job for gray makes.
    run(folder, &all, &wish(""), &[]).good();
    let automatic = images(folder, "a|6");
    run(folder, &all, &wish(r#","colorspace":"Gray""#), &[]).good();
    assert_same(&automatic[0], &images(folder, "a|6")[0], "a page of text");
    // So is the preview of a document.
    run(folder, &["a|1"], r#","pdfOptions":{"process":"Thumbnail"}"#, &[]).good();
    let preview = &crate::documents::assets(folder)[0];
    assert_eq!(ptiff::read_level(&pyramid(preview), 0).unwrap().format.color, Cmyk);
}

#[test]
fn eps_of_other_programs_is_drawn_as_ghostscript_draws_it() {
    need!(external::ghostscript(), "Ghostscript");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    // By gnuplot, with an origin of its own; by Matplotlib, with glyphs as procedures; an image in CMYK by Pillow.
    let names = ["non_zero_bb.eps", "scatter.eps", "multi_font_type3.eps", "pil_sample_cmyk.eps"];
    library_of(folder, &names);
    let handles = ["a|1", "a|2", "a|3", "a|4"];
    run(folder, &handles, r#","postScriptOptions":{"process":"Rasterize","colorspace":"Rgb"}"#, &[]).good();
    for (name, handle) in names.iter().zip(handles) {
        let drawn = Command::new("gs")
            .args([
                "-q",
                "-dSAFER",
                "-dBATCH",
                "-dNOPAUSE",
                "-dEPSCrop",
                "-sDEVICE=png16m",
                "-r150",
                "-sstdout=%stderr",
            ])
            .args(["-dTextAlphaBits=4", "-dGraphicsAlphaBits=4", "-sOutputFile=theirs.png", name])
            .current_dir(folder)
            .status();
        assert!(drawn.unwrap().success());
        assert_same(&decoded(&folder.join("theirs.png")), &images(folder, handle)[0], name);
    }
    // The bounding box of 50 50 410 302 at 150 dpi.
    assert_eq!(images(folder, "a|1")[0].size(), Size::new(750, 525));
}
