//! Photoshop documents: the merged image, and with `process` MaintainLayers every layer and group as an asset of its own.
//!
//! | rule | |
//! |---|---|
//! | which | every layer and group that has pixels, hidden ones too; the template says which are hidden |
//! | identity | Photoshop's own number of the layer: its asset stays the same when layers come, go or move |
//! | number | the place from the bottom, from 1; a group counts after its layers |
//! | clipped layers | are cut to the shape that they are clipped by |
//! | crops | each layer image has a stored crop of its own; a template puts cropped images in their places |
//! | clipping path | belongs to the merged image and cuts no layer |

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::derived::{self, End, Origin, OwnPyramid, Part, PartImage, PartRecipe};
use super::pipeline::{self, Context, Converted};
use super::{record, template};
use crate::catalog::{
    Asset, AssetResult, DerivingEngine, Handle, Library, LogEntry, LogType, NewDerived, Originator, PageWord, PixelBox,
    Template, TemplateText,
};
use crate::decode::{self, Kind, RowSource};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::job::{Anchor, LayerNaming, LayerOptions, PhotoshopOptions, PhotoshopProcess, ReprocessAssets};
use crate::layers::{self, LayerImage, Node, Tree};
use crate::limits::Limits;
use crate::psd::text::Text;
use crate::psd::{Bounds, Document, Layer};

/// One document whose layers become assets.
#[derive(Debug)]
pub struct Order {
    /// `only` is the identity of a layer.
    pub origin: Origin,
    pub layers: LayerOptions,
    /// The merged image, where it is wanted.
    pub merged: Option<OwnPyramid>,
    pub parts: PartRecipe,
}

/// What became of a document.
#[derive(Debug, Clone)]
pub struct Extracted {
    pub merged: Option<Converted>,
    /// Layers that were wanted and have pixels.
    pub wanted: usize,
    /// Those that were done, from the bottom.
    pub done: Vec<LayerDone>,
    /// Those that were not: name and reason.
    pub failed: Vec<(String, Error)>,
    pub template: Option<Template>,
    pub warnings: Vec<String>,
    pub elapsed: Duration,
}

/// One layer that was done.
#[derive(Debug, Clone)]
pub struct LayerDone {
    /// As in the document.
    pub name: String,
    pub image: PartImage,
    /// Its image before the crop, on the canvas.
    pub region: Bounds,
    pub text: Option<TemplateText>,
}

impl Extracted {
    /// The merged image and those of the layers.
    pub fn images(&self) -> impl Iterator<Item = &Converted> {
        self.merged.iter().chain(self.done.iter().map(|layer| &layer.image.converted))
    }

    /// Pixels of all images, before crops.
    pub fn pixels(&self) -> u64 {
        self.images().map(|converted| converted.original.pixels()).sum()
    }

    /// Why the document counts as failed.
    pub fn error(&self) -> Option<Error> {
        let (name, first) = self.failed.first()?;
        let mut error = first.clone();
        error.message =
            format!("{} of {} layers were done; layer {name:?}: {}", self.done.len(), self.wanted, first.message);
        Some(error)
    }
}

/// One line for people and logs.
impl std::fmt::Display for Extracted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(merged) = &self.merged {
            write!(f, "{merged}; ")?;
        }
        write!(f, "{} layer{}", self.done.len(), if self.done.len() == 1 { "" } else { "s" })?;
        if self.template.is_some() {
            f.write_str(", template")?;
        }
        write!(f, ", {:.1} megapixels, {:.2} s", self.pixels() as f64 / 1e6, self.elapsed.as_secs_f64())
    }
}

/// What `job` wants of the layers of `asset`, or of the layer that it is; `None` when only the merged image is wanted.
pub fn wish(job: &ReprocessAssets, asset: &Asset) -> Option<LayerOptions> {
    let wanted = job.photoshop.filter(|options| options.process == PhotoshopProcess::MaintainLayers);
    let wanted = wanted.map(|options| options.layers);
    wanted.or_else(|| asset.originator.as_ref().map(stored_options))
}

/// What of the options does nothing.
pub fn without_effect(options: &PhotoshopOptions) -> Option<String> {
    let LayerOptions { naming: _, anchor, create_template, extract_text, extend_layers } = options.layers;
    let text = if options.process == PhotoshopProcess::None {
        let wanted = create_template || extract_text || extend_layers || anchor != Anchor::Center;
        wanted.then_some("layerOptions do nothing while process is None")
    } else {
        (anchor != Anchor::Center && !create_template).then_some("anchor does nothing without createTemplate")
    };
    text.map(|text| format!("photoshopOptions: {text}"))
}

/// The options that a layer was made with before.
fn stored_options(layer: &Originator) -> LayerOptions {
    let stored: serde_json::Value = serde_json::from_str(&layer.parameters).unwrap_or_default();
    let flag = |key: &str| stored[key].as_bool().unwrap_or(false);
    LayerOptions {
        naming: LayerNaming::LayerName,
        anchor: Anchor::Center,
        create_template: false,
        extract_text: flag("extractText"),
        extend_layers: flag("extendLayers"),
    }
}

/// Opens an original as [`decode::open`] does; a Photoshop document that was saved without a merged image is put
/// together from its layers.
///
/// # Errors
/// As [`decode::open`].
pub fn open(path: &Path, limits: &Limits) -> Result<Box<dyn RowSource>> {
    let source = decode::open(path, limits)?;
    if source.info().kind != Kind::Photoshop {
        return Ok(source);
    }
    let document = read(path, limits)?;
    if decode::psd::has_merged_image(&document) || document.layers.as_ref().is_ok_and(Vec::is_empty) {
        return Ok(source);
    }
    let put_together = || -> Result<LayerImage> {
        let tree = Tree::of(&document)?;
        let mut image = LayerImage::composite(&document, &tree, limits)?;
        image.warn("was saved without a merged image; it is put together from the layers".into());
        let layers = document.layers.as_deref().unwrap_or_default();
        for layer in layers.iter().filter(|layer| layer.visible) {
            for what in layers::not_drawn(layer) {
                image.warn(format!("layer {:?} {what}", layer.name));
            }
        }
        Ok(image)
    };
    Ok(Box::new(put_together().map_err(|e| e.of(path.display().to_string()))?))
}

fn read(path: &Path, limits: &Limits) -> Result<Document> {
    let file = File::open(path).map_err(|e| Error::io(Stage::Open, path, e))?;
    Document::read(Arc::new(file), limits).map_err(|e| e.of(path.display().to_string()))
}

/// Converts the merged image, then every layer that the order wants.
///
/// A layer that fails does not stop the others.
///
/// # Errors
/// When the merged image or the layers as a whole cannot be read, and when the catalog or the disk fails.
pub fn extract(order: &Order, context: &Context, stop: &AtomicBool) -> Result<Extracted> {
    let start = Instant::now();
    let path = &order.origin.asset.path;
    let merged = match &order.merged {
        None => None,
        Some(OwnPyramid { recipe, output, .. }) => {
            for file in [Some(output), recipe.mask.as_ref()].into_iter().flatten() {
                derived::make_folder(file)?;
            }
            Some(derived::retrying(stop, || pipeline::convert(path, output, recipe, context))?)
        }
    };
    let named = |error: Error| error.of(path.display().to_string());
    let document = read(path, &context.limits)?;
    let tree = Tree::of(&document).map_err(named)?;
    let work = Work {
        order,
        context,
        stop,
        document: &document,
        library: Mutex::new(Library::open(&order.origin.library)?),
        warnings: Mutex::new(Vec::new()),
    };
    let targets = work.targets(&tree)?;
    if let Some(only) = order.origin.only
        && targets.is_empty()
    {
        let what = format!("the document has no layer {only} with pixels any more");
        return Err(named(Error::misuse(Stage::Open, what)));
    }
    let results = work.run(&targets);
    let mut extracted = Extracted {
        merged,
        wanted: targets.len(),
        done: Vec::new(),
        failed: Vec::new(),
        template: None,
        warnings: Vec::new(),
        elapsed: Duration::ZERO,
    };
    for (target, result) in targets.iter().zip(results) {
        match result {
            Ok(layer) => extracted.done.push(layer),
            Err(error) if error.kind == ErrorKind::Catalog => return Err(error),
            Err(error) => extracted.failed.push((target.layer.name.clone(), error)),
        }
    }
    work.finish(&tree, &targets, &mut extracted)?;
    extracted.elapsed = start.elapsed();
    Ok(extracted)
}

/// A layer that is going to be an image.
struct Target<'a> {
    node: &'a Node,
    base: Option<&'a Node>,
    layer: &'a Layer,
    identity: u32,
    region: Bounds,
    asset: Asset,
}

struct Work<'a> {
    order: &'a Order,
    context: &'a Context,
    stop: &'a AtomicBool,
    document: &'a Document,
    library: Mutex<Library>,
    warnings: Mutex<Vec<String>>,
}

impl Work<'_> {
    /// The layers that are wanted and have pixels; the others are warned of.
    fn targets<'t>(&'t self, tree: &'t Tree) -> Result<Vec<Target<'t>>> {
        let Order { origin: Origin { asset, only, .. }, layers: options, .. } = self.order;
        let layers = self.document.layers.as_deref().unwrap_or_default();
        let identities = layers::identities(self.document, tree);
        let mut names = Names::new(options.naming, &asset.name);
        let mut targets = Vec::new();
        for ((node, base), identity) in tree.all().into_iter().zip(identities) {
            let layer = &layers[node.index];
            let name = names.of(layer, node.number);
            if only.is_some_and(|only| only != identity) {
                continue;
            }
            let bounds = layers::bounds(self.document, node);
            if bounds.is_empty() {
                let why = layers::not_drawn(layer).first().copied().unwrap_or("has no pixels");
                self.warn(format!("layer {} {:?} {why}; no image is made of it", node.number, layer.name));
                continue;
            }
            let region = if options.extend_layers { layers::canvas(self.document) } else { bounds };
            // One after the other, so that handles do not depend on the threads.
            let asset = self.derive(layer, node.number, identity, name)?;
            targets.push(Target { node, base, layer, identity, region, asset });
        }
        Ok(targets)
    }

    /// Makes the images, on as many threads as are free.
    fn run(&self, targets: &[Target]) -> Vec<Result<LayerDone>> {
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<Option<Result<LayerDone>>>> = Mutex::new(targets.iter().map(|_| None).collect());
        let work = || {
            while let Some((index, target)) = {
                let index = next.fetch_add(1, Ordering::Relaxed);
                targets.get(index).map(|target| (index, target))
            } {
                let result = self.layer(target);
                results.lock().expect("no panic while the lock is held")[index] = Some(result);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..targets.len().min(self.context.lanes()) {
                // Threads are counted as child processes are: both keep a core busy.
                let Some(slot) = self.context.workers.free_slot() else { break };
                scope.spawn(move || {
                    let _slot = slot;
                    work();
                });
            }
            work();
        });
        let results = results.into_inner().expect("no panic while the lock was held");
        results.into_iter().map(|result| result.expect("every target was taken")).collect()
    }

    /// The asset of a layer: the one it has had, or a new one.
    fn derive(&self, layer: &Layer, number: u32, identity: u32, name: String) -> Result<Asset> {
        let Order { origin: Origin { asset: document, only, .. }, layers: options, .. } = self.order;
        let new = NewDerived {
            engine: DerivingEngine::PhotoshopLayers,
            number: identity,
            name,
            parameters: serde_json::json!({
                "layer": layer.name,
                "layerNumber": number,
                "layerNaming": format!("{:?}", options.naming),
                "extendLayers": options.extend_layers,
                "extractText": options.extract_text,
            })
            .to_string(),
        };
        let asset = derived::derive(&mut self.library(), &document.handle, &new)?;
        if asset.name != new.name && only.is_none() {
            self.warn(format!("layer {:?}: {} keeps its name {:?}", layer.name, asset.handle, asset.name));
        }
        Ok(asset)
    }

    fn layer(&self, target: &Target) -> Result<LayerDone> {
        let Order { origin, layers: options, parts, .. } = self.order;
        let output = self.library().derivative_path(&target.asset);
        let limits = &self.context.limits;
        let open = || {
            let image = LayerImage::alone(self.document, target.node, target.base, target.region, limits)?;
            Ok(Box::new(image) as Box<dyn RowSource>)
        };
        let part = Part { number: target.node.number, asset: target.asset.clone(), output, mask: None };
        let mut image = parts.apply(part, &origin.asset.path, &open, self.context, self.stop)?;
        let converted = &mut image.converted;
        let left_out = layers::not_drawn(target.layer).into_iter();
        converted.warnings.extend(left_out.map(|what| format!("this layer {what}")));
        let text = match target.layer.text.as_deref().filter(|_| options.extract_text).map(Text::read) {
            None => None,
            Some(Ok(text)) => Some(template::text(&text)),
            Some(Err(error)) => {
                converted.warnings.push(error.message);
                None
            }
        };
        let place = PixelBox { left: 0, top: 0, right: converted.size.width, bottom: converted.size.height };
        // Where each word stands is not in the file; the layer as a whole is.
        let words = text.iter().flat_map(|text| text.text.split_whitespace());
        image.words = words.map(|word| PageWord { word: word.to_owned(), place }).collect();
        Ok(LayerDone { name: target.layer.name.clone(), image, region: target.region, text })
    }

    /// Template, surplus assets and the file beside the catalog.
    fn finish(&self, tree: &Tree, targets: &[Target], extracted: &mut Extracted) -> Result<()> {
        let Order { origin: Origin { asset, only, .. }, layers: options, .. } = self.order;
        if only.is_none() {
            let identities: Vec<u32> = targets.iter().map(|target| target.identity).collect();
            let surplus: Vec<String> = self
                .library()
                .derived(&asset.handle, DerivingEngine::PhotoshopLayers)?
                .into_iter()
                .filter(|asset| asset.originator.as_ref().is_some_and(|o| !identities.contains(&o.number)))
                .map(|asset| asset.handle.to_string())
                .collect();
            if !surplus.is_empty() {
                self.warn(format!("the images of layers that are gone are kept: {}", surplus.join(", ")));
            }
            if extracted.failed.is_empty() {
                if options.create_template {
                    let made = template::make(self.document, tree, &asset.name, options, &extracted.done);
                    made.1.into_iter().for_each(|warning| self.warn(warning));
                    extracted.template = Some(made.0);
                }
                self.write_file(extracted)?;
            } else if options.create_template {
                self.warn("createTemplate: no template is made, because layers failed".into());
            }
        }
        extracted.warnings = std::mem::take(&mut *self.warnings.lock().expect("no panic while the lock is held"));
        Ok(())
    }

    fn write_file(&self, extracted: &Extracted) -> Result<()> {
        let document = &self.order.origin.asset;
        let layers = extracted.done.iter().map(|LayerDone { name, image, .. }| LayerEntry {
            asset_handle: &image.asset.handle,
            name: &image.asset.name,
            layer: name,
            number: image.number,
            width: image.converted.size.width,
            height: image.converted.size.height,
            words: &image.words,
        });
        let file = DocumentFile {
            asset_handle: &document.handle,
            name: &document.name,
            layers: layers.collect(),
            template: extracted.template.as_ref(),
        };
        let path = self.library().document_path(document);
        derived::write_json(&path, &file)
    }

    fn warn(&self, warning: String) {
        self.warnings.lock().expect("no panic while the lock is held").push(warning);
    }

    fn library(&self) -> MutexGuard<'_, Library> {
        self.library.lock().expect("no panic while the lock is held")
    }
}

/// What is recorded about a document.
pub(super) fn result(extracted: &Extracted, order: &Order, begin: LogEntry, end: LogEntry) -> AssetResult {
    let asset = &order.origin.asset;
    let mut entries = vec![begin];
    if let Some(converted) = &extracted.merged {
        let text = format!("merged image: {converted}");
        entries.extend(record::own_entries(LogType::FileProgress, text, converted, asset));
    }
    let layers = extracted.done.iter();
    entries
        .extend(layers.map(|LayerDone { name, image, .. }| image.entry(&format!("layer {} {name:?}", image.number))));
    for (name, error) in &extracted.failed {
        entries.push(LogEntry::new(LogType::UploadError, format!("layer {name:?}: {error}")));
    }
    let outcome = End {
        error: extracted.error(),
        stopped: false,
        summary: extracted.to_string(),
        warnings: &extracted.warnings,
        replaced: extracted.done.iter().filter(|layer| layer.image.asset.derivative.is_some()).count(),
        called: "layer images",
    }
    .write(&mut entries);
    entries.push(end);
    let own = match (&extracted.merged, &order.merged) {
        (Some(converted), Some(merged)) => record::own_result(converted, asset, merged.crop, outcome, entries),
        _ => AssetResult::without_change(outcome, entries),
    };
    AssetResult {
        publish: order.origin.publish_after(outcome),
        derived: extracted.done.iter().map(|layer| layer.image.result(&order.origin)).collect(),
        template: extracted.template.clone(),
        ..own
    }
}

/// What is written beside the catalog about a document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DocumentFile<'a> {
    asset_handle: &'a Handle,
    name: &'a str,
    layers: Vec<LayerEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<&'a Template>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LayerEntry<'a> {
    asset_handle: &'a Handle,
    name: &'a str,
    layer: &'a str,
    number: u32,
    width: u32,
    height: u32,
    words: &'a [PageWord],
}

/// Names of layer images, no two the same in a document.
struct Names {
    naming: LayerNaming,
    stem: String,
    taken: Vec<String>,
}

/// Longest name that is taken over from a layer.
const MAX_NAME_CHARS: usize = 200;

impl Names {
    fn new(naming: LayerNaming, stem: &str) -> Self {
        Names { naming, stem: stem.to_owned(), taken: Vec::new() }
    }

    fn of(&mut self, layer: &Layer, number: u32) -> String {
        let own = || {
            let clean = |c: char| if c.is_control() || matches!(c, '/' | '\\') { '_' } else { c };
            let name: String = layer.name.trim().chars().take(MAX_NAME_CHARS).map(clean).collect();
            if is_default(&name) { number.to_string() } else { name }
        };
        let stem = &self.stem;
        let mut name = match self.naming {
            LayerNaming::LayerName => own(),
            LayerNaming::AppendNumber => format!("{stem}_{number}"),
            LayerNaming::AppendName => format!("{stem}_{}", own()),
            LayerNaming::Folders => format!("{stem}/{}", own()),
        };
        if self.taken.contains(&name) {
            name = format!("{name}_{number}");
        }
        self.taken.push(name.clone());
        name
    }
}

/// Names that Photoshop gives: Background, Layer 1, Group 2, Shape 3, each also with `copy` and `copy 4` behind it.
fn is_default(name: &str) -> bool {
    let is_number = |word: Option<&str>| word.is_some_and(|word| word.parse::<u32>().is_ok());
    let mut words = name.split(' ').peekable();
    match words.next() {
        None | Some("") => return true,
        Some("Background") => {}
        Some("Layer" | "Group" | "Shape") if is_number(words.next()) => {}
        _ => return false,
    }
    match (words.next(), words.next(), words.next()) {
        (None, ..) | (Some("copy"), None, _) => true,
        (Some("copy"), number, None) => is_number(number),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_default;

    #[test]
    fn default_names_are_those_that_photoshop_gives() {
        for name in ["", "Background", "Layer 1", "Layer 12 copy", "Layer 3 copy 2", "Group 1", "Background copy"] {
            assert!(is_default(name), "{name}");
        }
        for name in ["Shoe", "Layer", "Layer one", "Layer 1 shadow", "Background copy two", "Group"] {
            assert!(!is_default(name), "{name}");
        }
    }
}
