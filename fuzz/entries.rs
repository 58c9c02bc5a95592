//! Where untrusted bytes enter the program. Each function takes any bytes and has to come back, with a result or an
//! error; what it asserts has to hold for all of them. The fuzzer calls them, and so does the test that runs the
//! corpora.

use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use reprise::decode::psd::MergedImage;
use reprise::decode::{self, RowSource, clipping_path, exif, photoshop_irb, sniff};
use reprise::encode::ptiff;
use reprise::error::ErrorKind;
use reprise::geometry::Rect;
use reprise::jpeg;
use reprise::layers::{self, LayerImage, Tree};
use reprise::limits::Limits;
use reprise::ops::color::Profile;
use reprise::pixel::Raster;
use reprise::psd::Document;
use reprise::psd::text::Text;
use reprise::rip::{self, dsc, indesign, inks, postscript};
use reprise::{job, preset};

/// Small, so that nothing that is allowed takes long.
fn limits() -> Limits {
    Limits {
        max_side_px: 4096,
        max_pixels: 1 << 20,
        max_decode_bytes: 32 << 20,
        max_metadata_bytes: 1 << 20,
        max_layers: 32,
    }
}

/// Job documents, XML and JSON. What was read is written as XML and reads as the same job.
pub fn job(data: &[u8]) {
    if let Ok(first) = job::parse(data) {
        let xml = job::write_xml(&first);
        let mut second = job::parse(xml.as_bytes()).expect("what is written can be read");
        // Only the first document has these.
        second.warnings.clone_from(&first.warnings);
        second.reprocess.duplicates.clone_from(&first.reprocess.duplicates);
        if first.company.is_none() {
            second.name.clone_from(&first.name);
        }
        assert_eq!(first, second);
    }
}

/// Preset files, TOML and JSON. What is kept reads as itself.
pub fn preset(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(checked) = preset::read(text)
    {
        assert_eq!(preset::read(&checked.document).expect("what is kept can be read"), checked);
    }
}

/// Images of every format that is read, to the last row, and tiles of the coefficients of those that have some.
pub fn original(data: &[u8]) {
    with_file(data, |path| {
        let limits = limits();
        let Ok(mut source) = decode::open(path, &limits) else { return };
        let size = source.info().size;
        assert!(u64::from(size.width) * u64::from(size.height) <= limits.max_pixels);
        let mut carried = source.keep_coefficients().is_ok();
        let mut band = Raster::empty(source.info().format, size.width);
        let (mut rows, mut taken) = (0, 0);
        while let Ok(read) = source.read_rows(&mut band, 64) {
            assert_eq!(read, band.height, "as many rows as were promised");
            if read == 0 {
                assert_eq!(rows, size.height, "an end before the last row is an error");
                break;
            }
            rows += read;
            band.set_rows(0);
            if carried && (rows >= taken + 64 || rows == size.height) {
                let to = if rows == size.height { rows } else { rows / 64 * 64 };
                carried = cut_tiles(&mut *source, taken..to);
                taken = to;
            }
        }
        assert!(rows <= size.height);
    });
}

/// Cuts the first tiles of each row of them out of the coefficients of these rows; `false` where those are of no use for tiles.
fn cut_tiles(source: &mut dyn decode::RowSource, rows: Range<u32>) -> bool {
    let size = source.info().size;
    match source.take_coefficients(rows.clone(), None) {
        Ok(coefficients) => {
            let columns = size.width.div_ceil(64).min(4);
            for (row, column) in
                (rows.start / 64..rows.end.div_ceil(64)).flat_map(|row| (0..columns).map(move |c| (row, c)))
            {
                let mut stream = Vec::new();
                coefficients.cut_tile(Rect::of(size), column, row, 64, &mut stream).expect("a tile of these rows");
            }
            true
        }
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
            false
        }
    }
}

/// Headers and metadata: JPEG segments, EXIF, Photoshop resources, also as comments of EPS, clipping paths, the
/// recognition of formats.
pub fn metadata(data: &[u8]) {
    let _ = sniff::sniff(data);
    let _ = jpeg::Header::parse(data);
    let _ = exif::parse(data);
    let _ = photoshop_irb::resources(data).count();
    let _ = clipping_path::find(data);
    let _ = clipping_path::parse(data);
    if let Ok(Ok(resources)) = rip::photoshop_eps::image_resources(&mut &*data) {
        let _ = clipping_path::find(&resources);
    }
}

/// Pyramid TIFFs, structure and pixels.
pub fn pyramid(data: &[u8]) {
    with_file(data, |path| {
        let Ok(description) = ptiff::read_structure(path) else { return };
        let pixels: u64 = description.levels.iter().map(|level| level.size.pixels()).sum();
        if pixels <= limits().max_pixels {
            let _ = ptiff::validate(path, true);
            let _ = ptiff::read_level(path, 0);
        }
    });
}

/// ICC profiles.
pub fn profile(data: &[u8]) {
    if let Ok(profile) = Profile::new(data) {
        let _ = profile.check_output();
    }
}

/// The pictures of pages in InDesign documents, INDD and IDML.
pub fn indesign(data: &[u8]) {
    let limits = rip::Limits { max_pages: 100, ..rip::Limits::default() };
    if let Ok(previews) = indesign::read_previews(std::io::Cursor::new(data), &limits) {
        assert!(previews.pages.keys().all(|page| (1..=100).contains(page)), "pages are bounded");
    }
}

/// Comments of PostScript, headers of DOS EPS files, and of pages that Ghostscript drew.
pub fn postscript(data: &[u8]) {
    if let Some(resolution) = dsc::image_resolution(data) {
        let sound = 1.0..=100_000.0;
        assert!(sound.contains(&resolution.x) && sound.contains(&resolution.y), "resolutions are bounded");
    }
    let (head, tail) = data.split_at(data.len() / 2);
    let _ = dsc::is_cmyk(head, tail);
    let _ = dsc::is_cmyk(data, data);
    let _ = dsc::dos_eps(data);
    let _ = postscript::raw_header(&mut &data[..]);
}

/// The walk over the colour spaces of a PDF, and the crate that reads the PDF.
pub fn inks(data: &[u8]) {
    let _ = inks::scan(data);
}

/// Photoshop documents: structure, text, the merged image, layers put together and alone.
pub fn psd(data: &[u8]) {
    let limits = Limits { max_side_px: 1000, max_pixels: 1 << 14, ..limits() };
    let Ok(document) = Document::read(Arc::new(data.to_vec()), &limits) else { return };
    let draw = |image: reprise::Result<Box<dyn RowSource>>| {
        let _ = image.and_then(|mut image| decode::read_whole(&mut *image, &limits));
    };
    draw(MergedImage::open(&document, &limits).map(|image| Box::new(image) as _));
    for text in document.layers.iter().flatten().filter_map(|layer| layer.text.as_deref()) {
        let _ = Text::read(text);
    }
    let Ok(tree) = Tree::of(&document) else { return };
    draw(LayerImage::composite(&document, &tree, &limits).map(|image| Box::new(image) as _));
    let _ = layers::identities(&document, &tree);
    let _ = layers::template::parts(&document, &tree);
    for (node, base) in tree.all() {
        let region = layers::bounds(&document, node);
        if !region.is_empty() {
            draw(LayerImage::alone(&document, node, base, region, &limits).map(|image| Box::new(image) as _));
        }
    }
}

fn with_file(data: &[u8], work: impl FnOnce(&Path)) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(data).expect("room for it");
    work(file.path());
}
