//! Jobs on Photoshop documents: layers become assets, templates say how to put them together, text is found.

use std::path::Path;

use reprise::catalog::{Handle, Library};
use reprise::encode::ptiff;
use reprise::pixel::Raster;
use serde_json::Value;

use crate::originals::save;
use crate::program::{Finished, reprise};
use crate::psd::{bytes, document, with_clipping_path};

/// A library with `files` out of the test data, `a|1` and so on.
fn library(folder: &Path, files: &[(&str, &str)]) {
    reprise(folder, &["init", "lib"]).good();
    for (name, data) in files {
        save(folder, name, &bytes(data));
        reprise(folder, &["ingest", "lib", name]).good();
    }
}

/// Runs a job; `more` is JSON behind the required elements, with a comma in front.
fn run(folder: &Path, handles: &[&str], more: &str) -> Finished {
    let handles = serde_json::to_string(handles).unwrap();
    let job = format!(
        r#"{{"companyHandle":"c|1","jobName":"j","reprocessAssetsJob":{{"assetHandleArray":{handles},
        "createMask":false,"emailSetting":"None"{more}}}}}"#
    );
    save(folder, "job.json", job.as_bytes());
    reprise(folder, &["run", "lib", "job.json", "--no-report"])
}

fn maintain(options: &str) -> String {
    format!(r#","photoshopOptions":{{"process":"MaintainLayers","layerOptions":{{{options}}}}}"#)
}

fn assets(folder: &Path) -> Vec<Value> {
    let printed = reprise(folder, &["assets", "lib", "--json"]).good();
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The layers of a document from the bottom.
fn layers_of(folder: &Path, document: &str) -> Vec<Value> {
    let mut layers = assets(folder);
    layers.retain(|asset| asset["originator"]["handle"] == document);
    layers.sort_by_key(|asset| asset["originator"]["parameters"]["layerNumber"].as_u64());
    layers
}

fn names(assets: &[Value]) -> Vec<&str> {
    assets.iter().map(|asset| asset["name"].as_str().unwrap()).collect()
}

fn handles(assets: &[Value]) -> Vec<&str> {
    assets.iter().map(|asset| asset["handle"].as_str().unwrap()).collect()
}

fn image(asset: &Value) -> Raster {
    let path = asset["derivative"]["path"].as_str().unwrap_or_else(|| panic!("no pyramid: {asset}"));
    ptiff::read_level(Path::new(path), 0).unwrap()
}

/// What a template's images give when they are laid over each other by the normal mode, on white.
fn put_together(folder: &Path, document: &str) -> Vec<f64> {
    let library = Library::open(folder.join("lib")).unwrap();
    let template = library.template(&Handle::from(document)).unwrap().unwrap();
    let (width, height) = (template.width as usize, template.height as usize);
    let mut canvas = vec![255.0; width * height * 3];
    for layer in template.layers.iter().filter(|layer| layer.visible) {
        assert_eq!(layer.blend, "normal", "this helper knows no other");
        let asset = library.asset(&layer.asset).unwrap().unwrap();
        let image = ptiff::read_level(&library.derivative_path(&asset), 0).unwrap();
        for y in 0..image.height {
            for x in 0..image.width {
                let (cx, cy) = (layer.left + i64::from(x), layer.top + i64::from(y));
                if !(0..width as i64).contains(&cx) || !(0..height as i64).contains(&cy) {
                    continue;
                }
                let alpha = f64::from(image.at(x, y, 3)) / 255.0;
                let at = (cy as usize * width + cx as usize) * 3;
                for c in 0..3 {
                    canvas[at + c] += alpha * (f64::from(image.at(x, y, c)) - canvas[at + c]);
                }
            }
        }
    }
    canvas
}

#[test]
fn layers_become_assets_named_as_asked() {
    for (naming, expected) in [
        ("LayerName", ["1", "Shape", "3", "Shape_4", "5"]),
        ("AppendNumber", ["shoe_1", "shoe_2", "shoe_3", "shoe_4", "shoe_5"]),
        ("AppendName", ["shoe_1", "shoe_Shape", "shoe_3", "shoe_Shape_4", "shoe_5"]),
        ("Folders", ["shoe/1", "shoe/Shape", "shoe/3", "shoe/Shape_4", "shoe/5"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        library(folder, &[("shoe.psd", "mask-density-layervectormask.psd")]);
        // Two layers with the same name of their own; the others have Photoshop's.
        rename_layers(&folder.join("shoe.psd"), &["Layer 1", "Layer 1 copy 2"], "Shape");
        reprise(folder, &["ingest", "lib", "shoe.psd"]).good();
        let printed = run(folder, &["a|1"], &maintain(&format!(r#""layerNaming":"{naming}""#))).good();
        assert!(printed.contains("; 5 layers"), "{printed}");
        let layers = layers_of(folder, "a|1");
        assert_eq!(names(&layers), expected, "{naming}");
        assert!(layers.iter().all(|layer| layer["originator"]["engine"] == "PhotoshopLayers"));
    }
}

/// Writes another name over the names of layers, in both places where each stands; lengths stay.
fn rename_layers(path: &Path, layers: &[&str], new: &str) {
    let mut file = std::fs::read(path).unwrap();
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    for name in layers {
        let length = name.len() as u32;
        let old = [&b"8BIMluni"[..], &(4 + 2 * length).next_multiple_of(4).to_be_bytes(), &length.to_be_bytes()];
        let old = [&old.concat()[..], &utf16(name)].concat();
        let at: Vec<usize> = (0..file.len() - old.len()).filter(|i| file[*i..].starts_with(&old)).collect();
        assert_eq!(at.len(), 1, "{name}");
        let padded = format!("{new:\0<width$}", width = name.len());
        file[at[0] + 16..at[0] + old.len()].copy_from_slice(&utf16(&padded));
    }
    std::fs::write(path, file).unwrap();
}

#[test]
fn without_the_option_only_the_merged_image_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[("shoe.psd", "clipping-mask5.psd")]);
    for more in ["", r#","photoshopOptions":{"process":"None"}"#] {
        run(folder, &["a|1"], more).good();
        let all = assets(folder);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0]["derivative"]["width"].as_u64(), all[0]["kind"].as_str()), (Some(32), Some("photoshop")));
    }
    assert_eq!(image(&assets(folder)[0]).format.channels(), 4);
    for (options, words) in [
        (
            r#","photoshopOptions":{"process":"None","layerOptions":{"createTemplate":true}}"#.to_owned(),
            "process is None",
        ),
        (maintain(r#""anchor":"South""#), "anchor does nothing"),
    ] {
        let done = run(folder, &["a|1"], &options);
        assert!(done.code == 0 && done.stderr.contains(words), "{}", done.stderr);
    }
}

#[test]
fn reprocessing_keeps_handles_and_surplus_layers_are_kept_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[("shoe.psd", "blend-normal.psd")]);
    run(folder, &["a|1"], &maintain("")).good();
    let first = layers_of(folder, "a|1");
    assert_eq!(names(&first), ["Ellipse 1", "Ellipse 2", "Ellipse 3"]);
    assert_eq!(image(&first[0]).size(), reprise::geometry::Size::new(50, 50));
    let done = run(folder, &["a|1"], &maintain(r#""extendLayers":true,"layerNaming":"AppendNumber""#));
    assert!(done.stderr.contains(r#"keeps its name "Ellipse 1""#), "{}", done.stderr);
    let second = layers_of(folder, "a|1");
    assert_eq!(handles(&first), handles(&second));
    assert_eq!(image(&second[0]).size(), reprise::geometry::Size::new(64, 64));
    assert!(reprise(folder, &["log", "lib", "j|2"]).good().contains("3 layer images replace earlier ones"));

    // Another document in its place: other numbers of layers.
    save(folder, "shoe.psd", &bytes("type-layer.psd"));
    reprise(folder, &["ingest", "lib", "shoe.psd"]).good();
    let done = run(folder, &["a|1"], &maintain(""));
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("layers that are gone are kept"), "{}", done.stderr);
    assert!(layers_of(folder, "a|1").len() >= 3);
}

#[test]
fn a_layer_is_reprocessed_by_its_own_handle_with_its_own_crop() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[("shoe.psd", "blend-normal.psd")]);
    run(folder, &["a|1"], &maintain(r#""extendLayers":true"#)).good();
    let layers = layers_of(folder, "a|1");
    let whole = image(&layers[1]);
    let crop = r#","manualCropOptions":{"left":10,"right":4,"top":2,"bottom":20}"#;
    run(folder, &[handles(&layers)[1]], crop).good();
    let layers = layers_of(folder, "a|1");
    let rect = reprise::geometry::Rect { x: 10, y: 2, width: 50, height: 42 };
    assert!(image(&layers[1]) == whole.cropped(rect), "still as large as the canvas before the crop");
    assert_eq!(image(&layers[0]).width, 64);
    // Its place in a template takes the crop into account.
    run(folder, &["a|1"], &maintain(r#""extendLayers":true,"createTemplate":true,"anchor":"Northwest""#)).good();
    let library = Library::open(folder.join("lib")).unwrap();
    let template = library.template(&Handle::from("a|1")).unwrap().unwrap();
    let layer = &template.layers[1];
    assert_eq!((layer.left, layer.top, layer.width, layer.height), (10, 2, 50, 42));
    assert!(template.modifier.contains("src=Ellipse%202&origin=0,0&pos=10,2"), "{}", template.modifier);
}

#[test]
fn template_images_give_the_merged_image_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[("shoe.psd", "blend-normal.psd"), ("hidden.psd", "hidden-groups.psd")]);
    run(folder, &["a|1", "a|2"], &maintain(r#""createTemplate":true"#)).good();
    for (handle, name) in [("a|1", "shoe"), ("a|2", "hidden")] {
        let merged = image(assets(folder).iter().find(|asset| asset["handle"] == handle).unwrap());
        let ours = put_together(folder, handle);
        let alpha = |x, y| if merged.format.alpha { f64::from(merged.at(x, y, 3)) / 255.0 } else { 1.0 };
        for y in 0..merged.height {
            for x in 0..merged.width {
                for c in 0..3 {
                    let own = 255.0 + alpha(x, y) * (f64::from(merged.at(x, y, c)) - 255.0);
                    let at = (y * merged.width + x) as usize * 3 + c;
                    assert!((ours[at] - own).abs() <= 2.5, "{name} ({x}, {y}): {} for {own}", ours[at]);
                }
            }
        }
        let library = Library::open(folder.join("lib")).unwrap();
        let template = library.template(&Handle::from(handle)).unwrap().unwrap();
        let start = format!("layer=0&size={},{}&color=255,255,255,0&origin=0,0&layer=1", merged.width, merged.height);
        assert!(template.modifier.starts_with(&start), "{}", template.modifier);
        assert_eq!(template.layers.iter().any(|layer| !layer.visible), template.modifier.contains("&hide=1"));
    }
    // The center of the layer that reaches from −1 to 49.
    let library = Library::open(folder.join("lib")).unwrap();
    let template = library.template(&Handle::from("a|1")).unwrap().unwrap();
    let layer = &template.layers[0];
    assert_eq!((layer.left, layer.width, layer.anchor_x, template.anchor.as_str()), (-1, 50, 24, "Center"));
    assert!((layer.opacity - 50.2).abs() < 0.1);
    // The same beside the catalog, as JSON.
    let document = library.asset(&Handle::from("a|1")).unwrap().unwrap();
    let file: Value = serde_json::from_slice(&std::fs::read(library.document_path(&document)).unwrap()).unwrap();
    assert_eq!(file["template"]["modifier"], template.modifier);
    assert_eq!(file["layers"].as_array().unwrap().len(), 3);
}

#[test]
fn text_goes_into_template_and_words() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[("shoe.psd", "text.psd")]);
    run(folder, &["a|1"], &maintain(r#""createTemplate":true,"extractText":true"#)).good();
    let layers = layers_of(folder, "a|1");
    let library = Library::open(folder.join("lib")).unwrap();
    let words = library.page_words(&Handle::from(handles(&layers)[1])).unwrap();
    let found: Vec<_> = words.iter().map(|word| word.word.as_str()).collect();
    assert_eq!(found, ["Line", "1", "Line", "2", "Line", "3", "and", "text"]);
    let template = library.template(&Handle::from("a|1")).unwrap().unwrap();
    let text = template.layers[1].text.as_ref().unwrap();
    assert_eq!((text.x, text.runs[0].size_px, text.runs[0].font.as_deref()), (83.8125, Some(13.0), Some("ArialMT")));
    assert!(template.modifier.contains("&text=%7B%5Crtf1"), "{}", template.modifier);
    // Without the option it is an image like the others, and the words are gone.
    run(folder, &["a|1"], &maintain(r#""createTemplate":true"#)).good();
    assert!(library.page_words(&Handle::from(handles(&layers)[1])).unwrap().is_empty());
    let template = library.template(&Handle::from("a|1")).unwrap().unwrap();
    assert!(template.layers[1].text.is_none() && !template.modifier.contains("&text="));
}

#[test]
fn layers_without_pixels_and_effects_are_said() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[("gradient.psd", "mode-8bit_rgb.psd"), ("deep.psb", "layers-16bit.psb")]);
    let done = run(folder, &["a|1", "a|2"], &maintain(""));
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("no image is made of it"), "{}", done.stderr);
    assert_eq!(image(&layers_of(folder, "a|2")[0]).format.depth, reprise::pixel::Depth::U16);
}

#[test]
fn the_clipping_path_of_a_document_cuts_its_merged_image() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[]);
    save(folder, "shoe.psd", &with_clipping_path(&bytes("clipping-mask5.psd")));
    reprise(folder, &["ingest", "lib", "shoe.psd"]).good();
    let whole = reprise(folder, &["convert", "shoe.psd", "whole.tif"]);
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    reprise(folder, &["convert", "shoe.psd", "cut.tif", "--clip-path"]).good();
    let cut = ptiff::read_level(&folder.join("cut.tif"), 0).unwrap();
    let whole = ptiff::read_level(&folder.join("whole.tif"), 0).unwrap();
    assert_eq!((cut.at(8, 8, 3), cut.at(20, 8, 3), cut.at(8, 20, 3)), (whole.at(8, 8, 3), 0, 0));
    assert!(whole.at(8, 8, 3) > 0);
    let checked = reprise(folder, &["validate", "--pixels", "shoe.psd"]).good();
    assert!(checked.contains("Photoshop 32 × 32 px, 8-bit RGB with alpha"), "{checked}");
}

#[test]
fn a_document_without_merged_image_is_put_together() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    // Resource 1057: version, then whether there is a merged image.
    let mut file = bytes("blend-normal.psd");
    let at = (0..file.len()).find(|i| file[*i..].starts_with(b"8BIM\x04\x21\0\0")).unwrap();
    assert_eq!(file[at + 16], 1);
    file[at + 16] = 0;
    // What stands in its place is blank.
    let size = document("blend-normal.psd").header.size;
    let blank = 2 + 4 * size.height as usize * 2;
    let start = file.len() - merged_bytes(&file);
    file.truncate(start);
    file.extend([0, 1]);
    file.extend((0..4 * size.height).flat_map(|_| [0, 2]));
    file.extend((0..4 * size.height).flat_map(|_| [0xc1, 0]));
    assert!(file.len() > start + blank);
    save(folder, "blank.psd", &file);
    save(folder, "shoe.psd", &bytes("blend-normal.psd"));
    let done = reprise(folder, &["convert", "blank.psd", "blank.tif"]);
    assert!(done.code == 0 && done.stderr.contains("put together from the layers"), "{}", done.stderr);
    reprise(folder, &["convert", "shoe.psd", "shoe.tif"]).good();
    let [blank, shoe] = ["blank.tif", "shoe.tif"].map(|name| ptiff::read_level(&folder.join(name), 0).unwrap());
    for (x, y) in [(10, 20), (30, 20), (50, 30), (30, 60)] {
        for c in 0..4 {
            assert!(blank.at(x, y, c).abs_diff(shoe.at(x, y, c)) <= 2, "({x}, {y})");
        }
    }
}

/// Length of the last section.
fn merged_bytes(file: &[u8]) -> usize {
    let length = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let resources = 30 + length(26);
    let layers = resources + 4 + length(resources);
    file.len() - (layers + 4 + length(layers))
}

#[test]
fn a_broken_layer_fails_and_the_others_and_the_merged_image_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let mut file = bytes("blend-normal.psd");
    let layers = document("blend-normal.psd").layers.unwrap();
    // A compression that does not exist.
    let at = layers[1].channels[0].data.start as usize;
    file[at..at + 2].copy_from_slice(&[0, 9]);
    library(folder, &[]);
    save(folder, "shoe.psd", &file);
    reprise(folder, &["ingest", "lib", "shoe.psd"]).good();
    let done = run(folder, &["a|1"], &maintain(r#""createTemplate":true"#));
    assert_eq!(done.code, 1);
    let log = reprise(folder, &["log", "lib", "j|1"]).good();
    assert!(log.contains("merged image: 64 × 64 px") && !log.contains("ReoptimizeSuccess"), "{log}");
    let says = ["2 of 3 layers were done", "Ellipse 2", "compression 9", "no template is made"];
    assert!(says.iter().all(|words| done.stderr.contains(words)), "{}", done.stderr);
    let made = assets(folder).iter().filter(|asset| asset["derivative"].is_object()).count();
    assert_eq!(made, 3);
}
