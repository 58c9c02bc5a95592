//! What readers of a publish context find: the manifest, which names every file, and the search data.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::{Asset, AssetSet, ECatalog, Handle, ImageMap, Library};
use crate::error::{Error, ErrorKind, Result, Stage};

/// Version of both formats.
const FORMAT: u32 = 1;

/// A file at the context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ManifestFile {
    /// `pyramid`, `mask`, `original` or `search`.
    pub role: &'static str,
    /// Relative to the manifest.
    pub path: String,
    pub bytes: u64,
    pub blake3: String,
}

/// Everything that is published at a context by one kind of job.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    format: u32,
    /// Counts the manifests of this context and kind.
    pub generation: u64,
    job_handle: Handle,
    job_name: String,
    published: String,
    pub assets: Vec<ManifestAsset>,
    sets: Vec<AssetSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<ManifestFile>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestAsset {
    pub handle: Handle,
    name: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    /// What it was made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    originator: Option<Handle>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    image_maps: Vec<ImageMap>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e_catalog: Option<ECatalog>,
    pub files: Vec<ManifestFile>,
}

impl Manifest {
    /// A manifest of `assets` and of the marked sets all of whose members are among them.
    pub fn new(library: &Library, generation: u64, job: (Handle, String), assets: Vec<ManifestAsset>) -> Result<Self> {
        let listed: HashSet<&Handle> = assets.iter().map(|asset| &asset.handle).collect();
        let mut sets = library.sets()?;
        let whole = |set: &AssetSet| set.members.iter().all(|member| listed.contains(&member.asset_handle));
        sets.retain(|set| set.ready_for_publish && whole(set));
        let published = Timestamp::now().to_string();
        Ok(Manifest {
            format: FORMAT,
            generation,
            job_handle: job.0,
            job_name: job.1,
            published,
            assets,
            sets,
            search: None,
        })
    }

    pub fn to_json(&self) -> Result<Vec<u8>> {
        json(self)
    }
}

impl ManifestAsset {
    pub fn new(library: &Library, asset: &Asset, files: Vec<ManifestFile>) -> Result<Self> {
        let size = asset.derivative.as_ref().map(|derivative| (derivative.width, derivative.height));
        Ok(ManifestAsset {
            handle: asset.handle.clone(),
            name: asset.name.clone(),
            kind: asset.kind.id(),
            width: size.map(|(width, _)| width),
            height: size.map(|(_, height)| height),
            originator: asset.originator.as_ref().map(|originator| originator.handle.clone()),
            image_maps: library.image_maps(&asset.handle)?,
            e_catalog: library.ecatalog(&asset.handle)?,
            files,
        })
    }
}

/// Search data: for every word in lower case the assets that have it, in their name or on their pages.
///
/// # Errors
/// `Catalog`.
pub fn search_data(library: &Library, assets: &[ManifestAsset]) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    struct SearchData<'a> {
        format: u32,
        words: BTreeMap<String, Vec<&'a str>>,
    }
    let mut words: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for asset in assets {
        let handle = asset.handle.as_str();
        let mut add = |text: &str| {
            for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
                let handles = words.entry(word.to_lowercase()).or_default();
                if handles.last() != Some(&handle) {
                    handles.push(handle);
                }
            }
        };
        add(&asset.name);
        library.page_words(&asset.handle)?.iter().for_each(|word| add(&word.word));
    }
    json(&SearchData { format: FORMAT, words })
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|e| Error::new(ErrorKind::Internal, Stage::Job, format!("cannot be written as JSON: {e}")))
}
