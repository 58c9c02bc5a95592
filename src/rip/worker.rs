//! What runs in a worker process: PDFium with one document, asked through a pipe. Never called in the main process.

use std::io::{self, BufRead, Write};
use std::path::Path;

use pdfium_render::prelude::*;

use super::protocol::{
    self, Answer, Channels, Failure, FailureKind, Link, LinkTarget, Measured, Opened, PageContent, Place, Request, Word,
};
use crate::external;

/// More links than this on one page are not read.
const MAX_LINKS: usize = 10_000;

/// Opens the document at `path`, says how many pages it has, and then answers requests until there are no more.
///
/// # Errors
/// `Io` when the pipe breaks or a request makes no sense: the main process is gone or is not ours. What is wrong with
/// the document is an answer.
pub fn serve(path: &Path, requests: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    let Some(bindings) = external::load_pdfium() else {
        let message = format!(
            "the PDFium library was not found; put it beside the program or name it in {}",
            external::PDFIUM_VARIABLE
        );
        return refuse(&mut answers, Failure { kind: FailureKind::Unsupported, message });
    };
    let pdfium = Pdfium::new(bindings);
    let document = match pdfium.load_pdf_from_file(path, None) {
        Ok(document) => document,
        Err(error) => return refuse(&mut answers, failure(&error, "the document")),
    };
    let pages = u32::try_from(document.pages().len()).unwrap_or(0);
    protocol::send(&mut answers, &Answer::Ok(Opened { pages }))?;
    let mut current: Option<(u32, PdfPage<'_>)> = None;
    for line in requests.lines() {
        match serde_json::from_str(&line?)? {
            Request::Measure { page, resolution_dpi } => {
                let answer = turn_to(&document, &mut current, page).map(|page| Measured {
                    width: pixels(page.width(), resolution_dpi),
                    height: pixels(page.height(), resolution_dpi),
                });
                protocol::send(&mut answers, &answer)?;
            }
            Request::IsGray { page } => {
                let answer = turn_to(&document, &mut current, page).and_then(|page| {
                    is_gray(page).map_err(|e| Failure { kind: FailureKind::Malformed, message: e.to_string() })
                });
                protocol::send(&mut answers, &answer)?;
            }
            Request::Render { width, height, channels, band_rows } => {
                let Some((_, page)) = &current else { return Err(io::Error::other("no page was measured")) };
                render(page, width, height, channels, band_rows, &mut answers).map_err(io::Error::other)?;
                answers.flush()?;
            }
            Request::Read { page, width, height, words, links } => {
                let answer = turn_to(&document, &mut current, page).map(|page| {
                    let frame = Frame::new(page, width, height);
                    PageContent {
                        words: if words { read_words(&frame) } else { Vec::new() },
                        links: if links { read_links(&frame) } else { Vec::new() },
                    }
                });
                protocol::send(&mut answers, &answer)?;
            }
        }
    }
    Ok(())
}

fn refuse(answers: &mut impl Write, failure: Failure) -> io::Result<()> {
    protocol::send(answers, &Answer::<Opened>::Err(failure))
}

/// Loads a page unless it is the one that is loaded.
fn turn_to<'a, 'd>(
    document: &'d PdfDocument<'_>,
    current: &'a mut Option<(u32, PdfPage<'d>)>,
    number: u32,
) -> Answer<&'a PdfPage<'d>> {
    if current.as_ref().is_none_or(|(loaded, _)| *loaded != number) {
        // The one before is let go first: it may hold large images.
        *current = None;
        let index = PdfPageIndex::try_from(number).unwrap_or(PdfPageIndex::MAX);
        let page = document.pages().get(index).map_err(|e| failure(&e, &format!("page {}", u64::from(number) + 1)))?;
        *current = Some((number, page));
    }
    match current {
        Some((_, page)) => Ok(page),
        None => Err(Failure { kind: FailureKind::Malformed, message: "the page cannot be loaded".into() }),
    }
}

/// Sides are rounded up, so that nothing of a page is cut off; less than a thousandth of a pixel is noise of `f32`.
fn pixels(side: PdfPoints, resolution_dpi: f64) -> u64 {
    (f64::from(side.value) * resolution_dpi / 72.0 - 1e-3).ceil().max(1.0) as u64
}

fn failure(error: &PdfiumError, what: &str) -> Failure {
    let (kind, message) = match error {
        PdfiumError::PdfiumLibraryInternalError(PdfiumInternalError::PasswordError) => {
            (FailureKind::Unsupported, format!("{what} is encrypted; save it without a password and take it in again"))
        }
        PdfiumError::PdfiumLibraryInternalError(PdfiumInternalError::SecurityError) => {
            (FailureKind::Unsupported, format!("{what} is encrypted in a way that PDFium does not know"))
        }
        PdfiumError::PdfiumLibraryInternalError(PdfiumInternalError::FormatError) => {
            (FailureKind::Malformed, format!("{what} is broken beyond repair"))
        }
        PdfiumError::IoError(error) => (FailureKind::Io, format!("{what} cannot be read: {error}")),
        _ => (FailureKind::Malformed, format!("{what} cannot be read by PDFium")),
    };
    Failure { kind, message }
}

/// Resolution at which colour is looked for. Whatever is drawn tints the pixels that it touches, so little is enough.
const GRAY_DPI: f64 = 48.0;
/// Longest side of a page that colour is looked for on, in pixels.
const GRAY_SIDE_PX: u64 = 2000;

/// Whether a page has no colour, going by a small drawing of it.
fn is_gray(page: &PdfPage<'_>) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let (width, height) = (pixels(page.width(), GRAY_DPI), pixels(page.height(), GRAY_DPI));
    let longest = width.max(height);
    let fit = |side: u64| (side * GRAY_SIDE_PX.min(longest) / longest).max(1) as u32;
    let (width, height) = (fit(width), fit(height));
    let mut drawn = Vec::new();
    render(page, width, height, Channels::Rgb, height, &mut drawn)?;
    Ok(drawn.chunks_exact(3).all(|rgb| rgb[0] == rgb[1] && rgb[1] == rgb[2]))
}

/// Draws the page in bands of `band_rows` rows and sends the pixels.
fn render(
    page: &PdfPage<'_>,
    width: u32,
    height: u32,
    channels: Channels,
    band_rows: u32,
    answers: &mut impl Write,
) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (format, bytes_per_pixel, background) = match channels {
        Channels::Rgba => (PdfBitmapFormat::BGRA, 4, PdfColor::new(255, 255, 255, 0)),
        Channels::Rgb | Channels::Gray => (PdfBitmapFormat::BGR, 3, PdfColor::WHITE),
    };
    let row_bytes = width as usize * bytes_per_pixel;
    // PDFium's rows are padded to four bytes.
    let stride = row_bytes.next_multiple_of(4);
    let (across, down) = (Pixels::try_from(width)?, Pixels::try_from(height)?);
    let band_rows = band_rows.clamp(1, height);
    let mut buffer = vec![0; stride * band_rows as usize];
    let mut gray = Vec::new();
    let mut top = 0;
    while top < height {
        let rows = band_rows.min(height - top);
        let band = &mut buffer[..stride * rows as usize];
        {
            let mut bitmap = PdfBitmap::from_bytes(across, Pixels::try_from(rows)?, format, band)?;
            // PDFium writes RGB here: this configuration reverses its byte order from the start.
            let config = PdfRenderConfig::new()
                .set_fixed_size(across, down)
                .set_format(format)
                .set_clear_color(background)
                .set_origin(0, -Pixels::try_from(top)?);
            page.render_into_bitmap_with_config(&mut bitmap, &config)?;
        }
        for row in band.chunks_exact(stride).map(|row| &row[..row_bytes]) {
            if channels == Channels::Gray {
                gray.clear();
                gray.extend(row.chunks_exact(3).map(luma));
                answers.write_all(&gray)?;
            } else {
                answers.write_all(row)?;
            }
        }
        top += rows;
    }
    Ok(())
}

/// PDF's own conversion from DeviceRGB to DeviceGray (ISO 32000-1, 10.3.2), rounded to nearest.
fn luma(rgb: &[u8]) -> u8 {
    let weighted = 30 * u32::from(rgb[0]) + 59 * u32::from(rgb[1]) + 11 * u32::from(rgb[2]);
    ((weighted + 50) / 100) as u8
}

/// From page coordinates to pixels of the page image.
struct Frame<'a, 'd> {
    page: &'a PdfPage<'d>,
    config: PdfRenderConfig,
    width: u32,
    height: u32,
}

impl<'a, 'd> Frame<'a, 'd> {
    fn new(page: &'a PdfPage<'d>, width: u32, height: u32) -> Self {
        let side = |n| Pixels::try_from(n).unwrap_or(Pixels::MAX);
        Frame { page, config: PdfRenderConfig::new().set_fixed_size(side(width), side(height)), width, height }
    }

    /// The part of a rectangle that lies on the page image; `None` where nothing does.
    fn place(&self, rect: &PdfRect) -> Option<Place> {
        let corner = |x, y| self.page.points_to_pixels(x, y, &self.config).ok();
        let (x0, y0) = corner(rect.left(), rect.top())?;
        let (x1, y1) = corner(rect.right(), rect.bottom())?;
        let within = |value: Pixels, most: u32| u32::try_from(value.max(0)).unwrap_or(0).min(most);
        let place = Place {
            left: within(x0.min(x1), self.width),
            top: within(y0.min(y1), self.height),
            right: within(x0.max(x1), self.width),
            bottom: within(y0.max(y1), self.height),
        };
        (place.left < place.right && place.top < place.bottom).then_some(place)
    }
}

/// Runs of characters without white space between them, with the box around their glyphs.
fn read_words(frame: &Frame<'_, '_>) -> Vec<Word> {
    let Ok(text) = frame.page.text() else { return Vec::new() };
    let mut words = Vec::new();
    let mut word = String::new();
    let mut around: Option<Place> = None;
    for char in text.chars().iter() {
        match char.unicode_char() {
            Some(c) if !c.is_whitespace() && !c.is_control() => {
                word.push(c);
                if let Some(place) = char.loose_bounds().ok().and_then(|rect| frame.place(&rect)) {
                    around = Some(around.map_or(place, |before| union(before, place)));
                }
            }
            _ => finish_word(&mut word, &mut around, &mut words),
        }
    }
    finish_word(&mut word, &mut around, &mut words);
    words
}

/// A word that is nowhere on the page image is not kept.
fn finish_word(word: &mut String, around: &mut Option<Place>, words: &mut Vec<Word>) {
    let text = std::mem::take(word);
    if let Some(place) = around.take() {
        words.push(Word { text, place });
    }
}

fn union(a: Place, b: Place) -> Place {
    Place {
        left: a.left.min(b.left),
        top: a.top.min(b.top),
        right: a.right.max(b.right),
        bottom: a.bottom.max(b.bottom),
    }
}

fn read_links(frame: &Frame<'_, '_>) -> Vec<Link> {
    let links = frame.page.links();
    let mut found = Vec::new();
    for index in 0..MAX_LINKS {
        let Ok(link) = links.get(index) else { break };
        let Some(place) = link.rect().ok().and_then(|rect| frame.place(&rect)) else { continue };
        if let Some(target) = target(&link) {
            found.push(Link { place, target });
        }
    }
    found
}

/// Where a link leads, if it stays in the document or is a URI. Links to other files are left out.
fn target(link: &PdfLink<'_>) -> Option<LinkTarget> {
    let page = |index: PdfPageIndex| u32::try_from(index).ok()?.checked_add(1).map(LinkTarget::Page);
    if let Some(action) = link.action() {
        if let Some(uri) = action.as_uri_action() {
            return uri.uri().ok().filter(|uri| !uri.is_empty()).map(LinkTarget::Uri);
        }
        if let Some(action) = action.as_local_destination_action() {
            return page(action.destination().ok()?.page_index().ok()?);
        }
    }
    page(link.destination()?.page_index().ok()?)
}
