//! What a job does with each of its assets, from its kind, its options and what the catalog has of it.

use std::path::{Path, PathBuf};

use super::derived::{Origin, OwnPyramid, PartRecipe};
use super::documents::{self, Drawing, Wish};
use super::original::check_unchanged;
use super::pipeline::{self, Recipe};
use super::reprocess::RunOptions;
use super::{media, photoshop};
use crate::catalog::{Asset, CropOrigin, Handle, Library, Originator, Settings};
use crate::decode::Kind;
use crate::error::{Error, Result, Stage};
use crate::job::{self, Job, ReprocessAssets};

/// What is going to be done with one asset.
#[derive(Debug)]
pub struct Planned {
    pub handle: Handle,
    /// `None` when the handle names no asset.
    pub asset: Option<Asset>,
    pub action: Action,
}

impl Planned {
    /// The file that is going to be written, if one is.
    pub fn output(&self) -> Option<&Path> {
        match &self.action {
            Action::Convert { output, .. } => Some(output),
            Action::Layers(order) => order.merged.as_ref().map(|merged| merged.output.as_path()),
            Action::Rip(_) | Action::Encode(_) | Action::Keep { .. } | Action::Leave(_) | Action::Fail(_) => None,
        }
    }
}

#[derive(Debug)]
pub enum Action {
    Convert {
        recipe: Box<Recipe>,
        output: PathBuf,
        /// What the stored crop becomes once the asset is done.
        crop: CropRule,
        /// The publish mark once the asset is done; `None` leaves it.
        publish: Option<bool>,
        /// The original is a document, and this is how its first page is drawn; `None` for images.
        page: Option<Drawing>,
    },
    /// Pages of a document become assets.
    Rip(Box<documents::Order>),
    /// Renditions and a thumbnail of video or audio.
    Encode(Box<media::Order>),
    /// Layers of a Photoshop document become assets.
    Layers(Box<photoshop::Order>),
    /// The job asks for nothing to be made of it; the reason.
    Keep { reason: String, publish: Option<bool> },
    /// The asset stays as it is; the reason.
    Leave(String),
    /// The asset cannot be worked on.
    Fail(Error),
}

/// What a job says about crops; what comes of it depends on the crop stored for each asset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CropPlan {
    crop: Option<job::Crop>,
    preserve: bool,
}

impl CropPlan {
    /// The crop for `asset`, and what its stored one becomes.
    pub fn of(&self, asset: &Asset) -> (Option<pipeline::Crop>, CropRule) {
        match self.crop {
            Some(job::Crop::Manual(insets)) if !insets.is_zero() => {
                (Some(pipeline::Crop::Insets(insets)), CropRule::Replace(CropOrigin::Manual))
            }
            Some(job::Crop::Auto(background)) => {
                (Some(pipeline::Crop::Auto(background)), CropRule::Replace(CropOrigin::Automatic))
            }
            _ if self.preserve => (asset.crop.map(|crop| pipeline::Crop::Insets(crop.insets)), CropRule::Keep),
            _ => (None, CropRule::Drop),
        }
    }
}

/// What the stored crop becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CropRule {
    /// It was applied and stays, or there is none.
    Keep,
    /// The job's own crop replaces it.
    Replace(CropOrigin),
    /// It is dropped.
    Drop,
}

/// What would be done with every asset of `job`, in its order. Reads headers, writes nothing.
///
/// # Errors
/// `Catalog` when the catalog cannot be read, `Misuse` when a profile of the job is none; what is wrong with one
/// asset is that asset's [`Action::Fail`].
pub fn plan<'a>(
    library: &'a Library,
    job: &'a Job,
    options: &RunOptions,
) -> Result<impl ExactSizeIterator<Item = Result<Planned>> + 'a> {
    let settings = library.settings()?;
    let options = options.for_job(library, &settings, job)?;
    Ok(job.reprocess.assets.iter().map(move |handle| plan_asset(library, &job.reprocess, &settings, &options, handle)))
}

pub(super) fn plan_asset(
    library: &Library,
    job: &ReprocessAssets,
    settings: &Settings,
    options: &RunOptions,
    handle: &str,
) -> Result<Planned> {
    let handle = Handle::from(handle);
    let Some(asset) = library.asset(&handle)? else {
        let error = Error::misuse(Stage::Catalog, "no asset has this handle; `reprise assets` lists those that exist");
        return Ok(Planned { action: Action::Fail(error.of(handle.as_str())), handle, asset: None });
    };
    let action = match documents::wish(job, asset.kind) {
        Some(wish) => document_action(library, job, settings, options, &asset, wish)?,
        None if asset.kind == Kind::Photoshop => photoshop_action(library, job, settings, options, &asset)?,
        None if asset.kind.is_raster() => convert_action(library, job, settings, options, &asset),
        None if matches!(asset.kind, Kind::Video | Kind::Audio) => {
            media_action(library, job, settings, options, &asset)?
        }
        None => Action::Leave(format!(
            "{} files cannot be reprocessed by this version; the asset is left as it is",
            asset.kind.name()
        )),
    };
    Ok(Planned { handle, asset: Some(asset), action })
}

fn document_action(
    library: &Library,
    job: &ReprocessAssets,
    settings: &Settings,
    options: &RunOptions,
    asset: &Asset,
    wish: Wish,
) -> Result<Action> {
    if let Err(error) = check_unchanged(asset) {
        return Ok(Action::Fail(error));
    }
    let publish = publish_mark(job, settings);
    let recipe = |drawing: &documents::Drawing| Recipe {
        clip_path: job.create_mask,
        knockout: job.knockout,
        unsharp: job.unsharp,
        color: drawing.color_policy(&options.recipe.color),
        ..options.recipe.clone()
    };
    let crop = CropPlan { crop: job.crop, preserve: job.preserve_crop };
    let (drawing, extras) = match wish {
        Wish::Keep => {
            let reason = format!("process is None for {} files: kept as it is, nothing was ripped", asset.kind);
            return Ok(Action::Keep { reason, publish });
        }
        // The preview of a page is the page.
        Wish::Preview(drawing) if asset.originator.is_none() => {
            let (crop, rule) = crop.of(asset);
            return Ok(Action::Convert {
                recipe: Box::new(Recipe { crop, ..recipe(&drawing) }),
                output: library.derivative_path(asset),
                crop: rule,
                publish,
                page: Some(drawing),
            });
        }
        Wish::Preview(drawing) => (drawing, documents::Extras::default()),
        Wish::Pages(drawing, extras) => (drawing, extras),
    };
    let origin = match origin_of(library, asset, publish)? {
        Ok((origin, _)) => origin,
        Err(gone) => return Ok(Action::Fail(gone)),
    };
    Ok(Action::Rip(Box::new(documents::Order {
        origin,
        parts: PartRecipe { recipe: recipe(&drawing), crop },
        drawing,
        extras,
        limits: options.documents.clone(),
    })))
}

fn media_action(
    library: &Library,
    job: &ReprocessAssets,
    settings: &Settings,
    options: &RunOptions,
    asset: &Asset,
) -> Result<Action> {
    let publish = publish_mark(job, settings);
    let (origin, rendition) = match origin_of(library, asset, publish)? {
        Ok(found) => found,
        Err(gone) => return Ok(Action::Fail(gone)),
    };
    let choices = match rendition {
        None => options.encodings.clone(),
        // A rendition is made anew by its own preset.
        Some(rendition) => match media::stored_choice(library, rendition) {
            Ok(choice) => vec![choice],
            Err(error) => return Ok(Action::Fail(error)),
        },
    };
    let whole = origin.only.is_none();
    let wanted = job.media.as_ref().filter(|options| whole && options.generate_thumbnail);
    if choices.is_empty() && wanted.is_none() {
        let reason = "mediaOptions name neither presets nor a thumbnail: kept as it is".to_owned();
        return Ok(Action::Keep { reason, publish });
    }
    let thumbnail = match (wanted, convert_action(library, job, settings, options, &origin.asset)) {
        (_, Action::Fail(error)) => return Ok(Action::Fail(error)),
        (Some(wanted), Action::Convert { recipe, output, crop, .. }) => {
            Some(media::Thumbnail { time_ms: wanted.thumbnail_time_ms, own: OwnPyramid { recipe, output, crop } })
        }
        _ => None,
    };
    Ok(Action::Encode(Box::new(media::Order { origin, choices, thumbnail, limits: options.media.clone() })))
}

/// What an asset is made of: itself, or, if it is derived, its originator, of which only this asset is made anew; and what
/// the catalog has of the derivation. An error of the asset when its originator is gone.
fn origin_of<'a>(
    library: &Library,
    asset: &'a Asset,
    publish: Option<bool>,
) -> Result<std::result::Result<(Origin, Option<&'a Originator>), Error>> {
    let originator = asset.originator.as_ref();
    let original = match originator {
        None => asset.clone(),
        Some(originator) => match library.asset(&originator.handle)? {
            Some(original) => original,
            None => {
                let what = format!("the original of {} is gone", asset.handle);
                return Ok(Err(Error::misuse(Stage::Catalog, what)));
            }
        },
    };
    let only = originator.map(|originator| originator.number);
    Ok(Ok((Origin { asset: original, only, publish, library: library.dir().to_owned() }, originator)))
}

/// The merged image, its layers, or one of them.
fn photoshop_action(
    library: &Library,
    job: &ReprocessAssets,
    settings: &Settings,
    options: &RunOptions,
    asset: &Asset,
) -> Result<Action> {
    let action = convert_action(library, job, settings, options, asset);
    let (Some(layers), Action::Convert { recipe, output, crop, publish, .. }) = (photoshop::wish(job, asset), &action)
    else {
        return Ok(action);
    };
    let origin = match origin_of(library, asset, *publish)? {
        Ok((origin, _)) => origin,
        Err(gone) => return Ok(Action::Fail(gone)),
    };
    let merged =
        origin.only.is_none().then(|| OwnPyramid { recipe: recipe.clone(), output: output.clone(), crop: *crop });
    // The path cuts the merged image out.
    let recipe = Recipe { clip_path: false, mask: None, crop: None, ..(**recipe).clone() };
    let parts = PartRecipe { recipe, crop: CropPlan { crop: job.crop, preserve: job.preserve_crop } };
    Ok(Action::Layers(Box::new(photoshop::Order { origin, layers, merged, parts })))
}

fn convert_action(
    library: &Library,
    job: &ReprocessAssets,
    settings: &Settings,
    options: &RunOptions,
    asset: &Asset,
) -> Action {
    if let Err(error) = check_unchanged(asset) {
        return Action::Fail(error);
    }
    let (crop, rule) = CropPlan { crop: job.crop, preserve: job.preserve_crop }.of(asset);
    let recipe = Recipe {
        clip_path: job.create_mask,
        mask: job.create_mask.then(|| library.mask_path(asset)),
        knockout: job.knockout,
        crop,
        unsharp: job.unsharp,
        ..options.recipe.clone()
    };
    Action::Convert {
        recipe: Box::new(recipe),
        output: library.derivative_path(asset),
        crop: rule,
        publish: publish_mark(job, settings),
        page: None,
    }
}

/// The publish mark once an asset is done; `None` leaves it.
pub(super) fn publish_mark(job: &ReprocessAssets, settings: &Settings) -> Option<bool> {
    let preserve = job.preserve_publish_state.unwrap_or(settings.retain_publish_state);
    if preserve { None } else { job.ready_for_publish }
}

/// Checks what can be checked of a planned conversion without decoding pixels: the header and the crop.
///
/// # Errors
/// As the conversion would give them.
pub fn rehearse(planned: &Planned) -> Result<()> {
    match (&planned.asset, &planned.action) {
        (Some(asset), Action::Convert { recipe, page: None, .. }) => pipeline::rehearse(&asset.path, recipe),
        (Some(asset), Action::Layers(order)) => match &order.merged {
            Some(merged) => pipeline::rehearse(&asset.path, &merged.recipe),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}
