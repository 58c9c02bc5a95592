//! Photoshop documents that others made: the merged image against ImageMagick, the layers put together against the
//! file's own merged image, text, metadata, and files that lie.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use reprise::decode::{self, Kind, ResolutionUnit, RowSource, read_whole};
use reprise::geometry::Size;
use reprise::layers::{self, LayerImage, Tree};
use reprise::limits::Limits;
use reprise::pixel::{Color, Depth, PixelFormat, Raster, Samples};
use reprise::psd::Document;
use reprise::psd::text::Text;
use reprise::{Error, ErrorKind};

use crate::support::{assert_same, from_fn, psnr, ssim};

pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/psd").join(name)
}

pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(data(name)).unwrap()
}

fn parse(bytes: Vec<u8>) -> Result<Document, Error> {
    Document::read(Arc::new(bytes), &Limits::default())
}

pub fn document(name: &str) -> Document {
    parse(bytes(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn merged(document: &Document) -> Result<Raster, Error> {
    let limits = Limits::default();
    read_whole(&mut decode::psd::MergedImage::open(document, &limits)?, &limits)
}

fn composite(document: &Document) -> Result<Raster, Error> {
    let limits = Limits::default();
    read_whole(&mut LayerImage::composite(document, &Tree::of(document)?, &limits)?, &limits)
}

/// The image on white, or without ink, and without alpha.
fn on_white(image: &Raster) -> Raster {
    let format = PixelFormat { alpha: false, ..image.format };
    let (max, components) = (format.depth.max(), format.channels());
    let white = if format.color == Color::Cmyk { 0 } else { max };
    from_fn(format, image.size(), |x, y, c| {
        let alpha = if image.format.alpha { image.at(x, y, components) } else { max };
        (image.at(x, y, c) * alpha + white * (max - alpha) + max / 2) / max
    })
}

/// Says aloud that a test cannot run here, or fails where it has to.
fn skip(what: &str) {
    assert!(std::env::var_os("REPRISE_REQUIRE_TOOLS").is_none_or(|v| v != "1"), "{what} is missing");
    println!("skipped: {what} is missing");
}

/// The merged image as ImageMagick reads it, 16 bits; `None` where there is no ImageMagick.
fn by_imagemagick(name: &str, format: PixelFormat, size: Size) -> Option<Raster> {
    let kind = match (format.color, format.alpha) {
        (Color::Gray, false) => "gray:-",
        (Color::Rgb, false) => "rgb:-",
        (Color::Rgb, true) => "rgba:-",
        (Color::Cmyk, false) => "cmyk:-",
        (color, alpha) => panic!("{color:?} {alpha}: not needed"),
    };
    let input = format!("{}[0]", data(name).display());
    let run = Command::new("convert").args([&input, "-depth", "16", "-endian", "LSB", kind]).output().ok()?;
    assert!(run.status.success(), "{name}: {}", String::from_utf8_lossy(&run.stderr));
    let samples = run.stdout.as_chunks::<2>().0.iter().map(|sample| u16::from_le_bytes(*sample)).collect();
    let format = PixelFormat { depth: Depth::U16, ..format };
    Some(Raster { format, width: size.width, height: size.height, samples: Samples::U16(samples) })
}

#[test]
fn merged_images_are_those_that_imagemagick_reads() {
    // ImageMagick reads neither indexed images with a transparent index nor the inks of multichannel ones, and takes
    // another white for Lab.
    for name in [
        "mode-1bit_bitmap.psd",
        "mode-8bit_grayscale.psd",
        "mode-16bit_grayscale.psd",
        "mode-32bit_grayscale.psd",
        "mode-8bit_duotone.psd",
        "mode-8bit_rgb.psd",
        "mode-16bit_rgb.psd",
        "mode-32bit_rgb.psd",
        "mode-8bit_cmyk.psd",
        "layers-16bit.psb",
        "layers-32bit.psb",
        "gimp.psb",
        "hidden-groups.psd",
        "clipping-mask5.psd",
        "blend-overlay.psd",
    ] {
        let document = document(name);
        let ours = merged(&document).unwrap();
        let Some(theirs) = by_imagemagick(name, ours.format, ours.size()) else { return skip("ImageMagick") };
        let scale = 65535 / ours.format.depth.max();
        // Both take white off what is partly transparent, and ImageMagick rounds that to 16 bits.
        let slack = if ours.format.alpha { scale / 2 + 1 } else { 0 };
        for y in 0..ours.height {
            for x in 0..ours.width {
                if ours.format.alpha && ours.at(x, y, ours.format.channels() - 1) == 0 {
                    continue;
                }
                for c in 0..ours.format.channels() {
                    let (a, b) = (ours.at(x, y, c) * scale, theirs.at(x, y, c));
                    assert!(a.abs_diff(b) <= slack, "{name} at ({x}, {y}), channel {c}: {a} against {b}");
                }
            }
        }
    }
}

#[test]
fn indexed_multichannel_and_lab_images_become_what_is_said() {
    // The same gradient from blue to red to yellow in every mode; mixed in another space, it keeps its ends.
    let rgb = merged(&document("mode-8bit_rgb.psd")).unwrap();
    let indexed = merged(&document("mode-8bit_index_color.psd")).unwrap();
    assert_eq!(indexed.format, PixelFormat::new(Color::Rgb, true, Depth::U8));
    let lab = merged(&document("mode-8bit_lab.psd")).unwrap();
    assert_eq!(lab.format, PixelFormat::new(Color::Rgb, false, Depth::U8));
    let lab16 = merged(&document("mode-16bit_lab.psd")).unwrap();
    assert_eq!(lab16.format, PixelFormat::new(Color::Rgb, false, Depth::U16));
    for c in 0..3 {
        for y in 0..4 {
            for x in 0..4 {
                assert!(indexed.at(x, y, c).abs_diff(rgb.at(x, y, c)) <= 1, "({x}, {y})");
            }
        }
        for x in [0, 2] {
            assert!(lab16.at(x, 0, c).abs_diff(257 * rgb.at(x, 0, c)) <= 257, "({x}, 0): {}", lab16.at(x, 0, c));
            // Lab of 8 bits has steps of 1 in a* and b*, which are up to 10 levels of the darkest components.
            assert!(lab.at(x, 0, c).abs_diff(rgb.at(x, 0, c)) <= 10, "({x}, 0): {}", lab.at(x, 0, c));
        }
    }
    let inks = merged(&document("mode-16bit_multichannel.psd")).unwrap();
    assert_eq!(inks.format, PixelFormat::new(Color::Cmyk, false, Depth::U16));
    // Blue has much cyan and red little; there is no black.
    assert!(inks.at(0, 0, 0) > 50_000 && inks.at(2, 0, 0) < 32_000 && inks.at(0, 0, 3) == 0, "{inks:?}");
}

#[test]
fn layers_put_together_are_the_files_own_merged_image() {
    let mut table = String::new();
    for (name, least_db) in [
        ("blend-normal.psd", 52.0),
        ("blend-multiply.psd", 52.0),
        ("blend-screen.psd", 52.0),
        ("blend-overlay.psd", 52.0),
        ("blend-darken.psd", 52.0),
        ("blend-lighten.psd", 52.0),
        ("blend-color-dodge.psd", 52.0),
        ("blend-color-burn.psd", 52.0),
        ("blend-hard-light.psd", 52.0),
        ("blend-soft-light.psd", 52.0),
        ("blend-difference.psd", 52.0),
        ("blend-exclusion.psd", 52.0),
        // Groups that pass through, groups that do not, and opacities of both.
        ("passthrough_blendmodes1.psd", 55.0),
        ("passthrough_blendmodes3.psd", 50.0),
        ("hidden-groups.psd", f64::INFINITY),
        ("artboard.psd", 60.0),
        // Clipping.
        ("clipping-mask3.psd", f64::INFINITY),
        ("clipping-mask4.psd", 55.0),
        ("clipping-mask5.psd", 60.0),
        ("clip-opacity.psd", 55.0),
        // A group that passes through and that a layer is clipped by, with a blend mode inside.
        ("passthrough_clipping_mask_blendmode.psd", 50.0),
        // Layer masks and vector masks with densities; a vector mask that only its path holds.
        ("mask-density-layervectormask.psd", 50.0),
        ("vector-mask3.psd", f64::INFINITY),
        ("semi-transparent-layers.psd", f64::INFINITY),
        ("text.psd", f64::INFINITY),
        // 16 and 32 bits, ZIP with prediction, PSB.
        ("layers-16bit.psb", f64::INFINITY),
        ("layers-32bit.psb", f64::INFINITY),
        ("gimp.psb", f64::INFINITY),
        ("mode-8bit_cmyk.psd", 50.0),
        ("mode-8bit_lab.psd", f64::INFINITY),
        ("mode-8bit_duotone.psd", 50.0),
    ] {
        let document = document(name);
        let own = on_white(&merged(&document).unwrap());
        let ours = on_white(&composite(&document).unwrap());
        let (db, similarity) = (psnr(&own, &ours), ssim(&own, &ours));
        table.push_str(&format!("{name:34} {db:6.1} dB  SSIM {similarity:.5}\n"));
        assert!(db >= least_db && similarity > 0.998, "{name}: {db:.2} dB, SSIM {similarity:.5}");
    }
    println!("{table}");
}

/// Changes one byte of what describes a layer of `blend-multiply.psd`, counted from the bottom; `at` counts from the
/// signature of its blend mode: 8 is opacity, 9 clipping, 10 flags.
fn set(bytes: &mut [u8], layer: usize, at: usize, value: u8) {
    let mut modes = (0..bytes.len() - 8).filter(|i| &bytes[*i..i + 8] == b"8BIMmul ");
    let mode = modes.nth(layer).unwrap();
    bytes[mode + at] = value;
}

/// Turns a block without effect of such a layer into another one; returns where its first byte is.
fn block(bytes: &mut [u8], layer: usize, from: &[u8; 4], to: &[u8; 4]) -> usize {
    let key = [*b"8BIM", *from].concat();
    let at = (0..bytes.len() - 8).filter(|i| bytes[*i..i + 8] == key).nth(layer).unwrap();
    bytes[at + 4..at + 8].copy_from_slice(to);
    at + 12
}

#[test]
fn clipped_layers_are_blended_by_their_base_or_by_themselves() {
    // Three ellipses, the second one opaque and the third one screened onto it.
    let mut bytes = bytes("blend-multiply.psd");
    set(&mut bytes, 1, 8, 255);
    type Change<'a> = &'a dyn Fn(&mut [u8]);
    let drawn = |changes: &[Change]| {
        let mut bytes = bytes.clone();
        changes.iter().for_each(|change| change(&mut bytes));
        let third = (0..bytes.len() - 8).filter(|i| &bytes[*i..i + 8] == b"8BIMmul ").nth(2).unwrap();
        bytes[third + 4..third + 8].copy_from_slice(b"scrn");
        composite(&parse(bytes).unwrap()).unwrap()
    };
    let clip = |bytes: &mut [u8]| set(bytes, 2, 9, 1);
    let ungroup = |bytes: &mut [u8]| {
        let at = block(bytes, 1, b"clbl", b"clbl");
        assert_eq!(bytes[at], 1);
        bytes[at] = 0;
    };
    let no_fill = |bytes: &mut [u8]| {
        let at = block(bytes, 1, b"knko", b"iOpa");
        bytes[at] = 0;
    };
    let hide = |layer| move |bytes: &mut [u8]| set(bytes, layer, 10, 2);

    let (grouped, own) = (drawn(&[&clip]), drawn(&[&clip, &ungroup]));
    let (grouped_without_fill, own_without_fill) = (drawn(&[&clip, &no_fill]), drawn(&[&clip, &ungroup, &no_fill]));
    let (unclipped, no_base, no_third) = (drawn(&[]), drawn(&[&hide(1)]), drawn(&[&hide(2)]));
    let neither = drawn(&[&hide(1), &hide(2)]);
    // Where the base is, and where it is not.
    let base = drawn(&[&hide(0), &hide(2)]);
    let pixel = |image: &Raster, x, y| [0, 1, 2, 3].map(|c| image.at(x, y, c));
    let (mut inside, mut outside, mut differs) = (0, 0, 0);
    for y in 0..64 {
        for x in 0..64 {
            let at = |image| pixel(image, x, y);
            match base.at(x, y, 3) {
                255 => {
                    assert_eq!(at(&own), at(&unclipped), "{x}, {y}");
                    assert_eq!(at(&own_without_fill), at(&no_base), "{x}, {y}");
                    assert_eq!(at(&grouped_without_fill), at(&neither), "{x}, {y}");
                    inside += 1;
                    differs += u32::from(at(&own) != at(&grouped));
                }
                0 => {
                    assert_eq!([at(&own), at(&grouped)], [at(&no_third); 2], "{x}, {y}");
                    outside += 1;
                }
                _ => {}
            }
        }
    }
    assert!(inside > 1000 && outside > 1000 && differs > 200, "{inside} {outside} {differs}");
}

#[test]
fn another_blend_mode_would_be_noticed() {
    let mut bytes = bytes("blend-multiply.psd");
    let at: Vec<usize> = (0..bytes.len() - 8).filter(|i| &bytes[*i..i + 8] == b"8BIMmul ").collect();
    assert_eq!(at.len(), 3);
    bytes[at[2] + 4..at[2] + 8].copy_from_slice(b"scrn");
    let document = parse(bytes).unwrap();
    let db = psnr(&on_white(&merged(&document).unwrap()), &on_white(&composite(&document).unwrap()));
    assert!(db < 20.0, "{db}");
}

#[test]
fn what_is_not_drawn_is_said_of_its_layer() {
    let said = |bytes: Vec<u8>| -> Vec<(String, &'static str)> {
        let layers = parse(bytes).unwrap().layers.unwrap();
        layers.iter().flat_map(|l| layers::not_drawn(l).into_iter().map(|what| (l.name.clone(), what))).collect()
    };
    let bytes = bytes("blend-normal.psd");
    assert_eq!(said(bytes.clone()), []);
    let find = |what: &[u8]| (0..bytes.len()).rev().find(|at| bytes[*at..].starts_with(what)).unwrap();
    // The ranges of the topmost layer: black of what is below it begins at 40 and 60.
    let mut ranged = bytes.clone();
    let at = find(&[0, 0, 255, 255, 0, 0, 255, 255]);
    ranged[at..at + 2].copy_from_slice(&[40, 60]);
    let [(layer, what)] = &said(ranged)[..] else { panic!("one layer is blended in part") };
    assert!(!layer.is_empty() && what.contains("Blend If"), "{layer}: {what}");
    // A length of four bytes stands between the key and the value.
    let mut knocking = bytes.clone();
    knocking[find(b"8BIMknko") + 12] = 2;
    let [(layer, what)] = &said(knocking)[..] else { panic!("one layer knocks out") };
    assert!(!layer.is_empty() && what.contains("knocks out"), "{layer}: {what}");
    assert!(said(self::bytes("clip-adjustment.psd")).iter().any(|(_, what)| what.contains("adjustment")));
    // The effect of one layer is switched off, and all effects of another.
    let effects = said(self::bytes("effects-enabled.psd"));
    let [(layer, what)] = &effects[..] else { panic!("{effects:?}") };
    assert!(layer == "Layer 1" && what.contains("effects"), "{layer}: {what}");
}

#[test]
fn a_layer_alone_has_its_masks_and_opacity_in_its_alpha() {
    let document = document("mask-density-layervectormask.psd");
    let tree = Tree::of(&document).unwrap();
    let limits = Limits::default();
    let all = tree.all();
    assert_eq!(all.iter().map(|(node, _)| node.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let (node, base) = all[1];
    let bounds = layers::bounds(&document, node);
    assert_eq!((bounds.width(), bounds.height()), (32, 8));
    let mut image = LayerImage::alone(&document, node, base, bounds, &limits).unwrap();
    let image = read_whole(&mut image, &limits).unwrap();
    // Red, which the masks hide by a gradient and by half of the layer.
    assert_eq!([0, 1, 2].map(|c| image.at(20, 4, c)), [255, 0, 0]);
    let alpha: Vec<u32> = [1, 13, 20, 30].map(|x| image.at(x, 4, 3)).to_vec();
    assert!(alpha[0] > alpha[1] && alpha[2] < alpha[3] && alpha[3] > 240, "{alpha:?}");

    // The same on the whole canvas.
    let canvas = layers::canvas(&document);
    let mut extended = LayerImage::alone(&document, node, base, canvas, &limits).unwrap();
    let extended = read_whole(&mut extended, &limits).unwrap();
    assert_eq!(extended.size(), Size::new(32, 32));
    for y in 0..8 {
        for x in 0..32 {
            assert_eq!(extended.at(x, y, 3), image.at(x, y, 3), "({x}, {y})");
        }
    }
    assert!((8..32).all(|y| extended.at(20, y, 3) == 0));
}

#[test]
fn bands_are_the_whole() {
    for name in ["blend-normal.psd", "layers-16bit.psb", "mode-1bit_bitmap.psd", "mode-8bit_lab.psd", "gimp.psb"] {
        let document = document(name);
        let whole = merged(&document).unwrap();
        let mut source = decode::psd::MergedImage::open(&document, &Limits::default()).unwrap();
        let mut rows = Raster::empty(whole.format, whole.width);
        while source.read_rows(&mut rows, 3).unwrap() > 0 {}
        assert_same(&whole, &rows, name);
    }
}

#[test]
fn text_has_font_size_place_and_color() {
    let text_of = |name: &str| {
        let layers = document(name).layers.unwrap();
        let block = layers.iter().find_map(|layer| layer.text.clone()).unwrap();
        Text::read(&block).unwrap()
    };
    let text = text_of("text.psd");
    assert_eq!(text.text, "Line 1\nLine 2\nLine 3 and text");
    let [run] = &text.runs[..] else { panic!("{text:?}") };
    assert_eq!((run.font.as_deref(), run.size_px, run.color), (Some("ArialMT"), Some(13.0), Some([0.0; 3])));
    assert_eq!(text.transform, [1.0, 0.0, 0.0, 1.0, 83.8125, 119.72265625]);
    let letter = text_of("type-layer.psd");
    assert_eq!((letter.text.as_str(), letter.runs[0].size_px), ("A", Some(30.0)));
    assert!(letter.runs[0].color.unwrap()[0] > 0.99);
}

/// The file with one more image resource.
pub fn with_resource(file: &[u8], id: u16, name: &[u8], data: &[u8]) -> Vec<u8> {
    let length = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let at = 30 + length(26);
    let mut block = [&b"8BIM"[..], &id.to_be_bytes(), &[name.len() as u8], name].concat();
    block.resize(block.len().next_multiple_of(2), 0);
    block.extend((data.len() as u32).to_be_bytes());
    block.extend(data);
    block.resize(block.len().next_multiple_of(2), 0);
    let new_length = (length(at) + block.len()) as u32;
    [&file[..at], &new_length.to_be_bytes(), &block, &file[at + 4..]].concat()
}

/// The file with a path over the upper left quarter of the canvas as its clipping path.
pub fn with_clipping_path(file: &[u8]) -> Vec<u8> {
    let knot = |x: u32, y: u32| {
        let point = [y.to_be_bytes(), x.to_be_bytes()].concat();
        [&2u16.to_be_bytes()[..], &point, &point, &point].concat()
    };
    // Half of a side in 8.24 fixed point.
    let middle = 0x0080_0000;
    let begin = [&[0u8, 0, 0, 4, 0, 1][..], &[0; 20]].concat();
    let path = [begin, knot(0, 0), knot(middle, 0), knot(middle, middle), knot(0, middle)].concat();
    let file = with_resource(file, 2000, b"shoe", &path);
    with_resource(&file, 2999, b"", b"\x04shoe\0")
}

#[test]
fn metadata_profile_and_clipping_path_are_read() {
    let document = parse(with_clipping_path(&bytes("clipping-mask5.psd"))).unwrap();
    let (info, _) = decode::psd::describe(&document, &Limits::default());
    assert_eq!((info.kind, info.size), (Kind::Photoshop, Size::new(32, 32)));
    let resolution = info.metadata.resolution.unwrap();
    assert_eq!((resolution.x, resolution.y, resolution.unit), (72.0, 72.0, ResolutionUnit::Inch));
    assert!(info.metadata.icc.unwrap().len() > 3000);
    assert!(info.metadata.xmp.unwrap().starts_with(b"<?xpacket"));
    let path = info.clipping_path.unwrap().unwrap();
    assert_eq!((path.name.as_str(), path.area.knots()), ("shoe", 4));
}

#[test]
fn truncated_files_are_errors_and_never_more() {
    for name in ["blend-normal.psd", "layers-16bit.psb", "text.psd", "mask-density-layervectormask.psd"] {
        let whole = bytes(name);
        let step = whole.len() / 37 + 1;
        for end in (0..whole.len()).step_by(step) {
            let cut = || -> Result<(), Error> {
                let document = parse(whole[..end].to_vec())?;
                composite(&document).map(drop).err();
                merged(&document).map(drop)
            };
            let error = cut().err().unwrap_or_else(|| panic!("{name} cut at {end} was read"));
            assert_eq!(error.kind, ErrorKind::Malformed, "{name} cut at {end}: {error}");
        }
    }
}

#[test]
fn too_many_layers_are_refused_and_the_merged_image_stays() {
    let limits = Limits { max_layers: 2, ..Limits::default() };
    let document = Document::read(Arc::new(bytes("blend-normal.psd")), &limits).unwrap();
    assert!(document.layers.as_ref().unwrap_err().message.contains("at most 2"));
    assert!(document.warnings[0].contains("the layers cannot be used"), "{:?}", document.warnings);
    merged(&document).unwrap();
}
