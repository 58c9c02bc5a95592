//! What all engines that make derived assets share: the asset of each, and the JSON file beside the catalog.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::catalog::{Asset, Handle, Library, NewDerived};
use crate::error::{Error, ErrorKind, Result, Stage};

/// The asset that something derived has had, or a new one.
pub(super) fn derive(library: &mut Library, originator: &Handle, new: &NewDerived) -> Result<Asset> {
    let handle = library.derive(originator, new)?;
    library.asset(&handle)?.ok_or_else(|| {
        let message = "a derived asset is gone; is another run using the library?";
        Error::new(ErrorKind::Catalog, Stage::Catalog, message)
    })
}

/// Makes the folder of a file that is about to be written.
pub(super) fn make_folder(file: &Path) -> Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|e| Error::io(Stage::Encode, folder, e))
}

/// Writes `content` to `path`, whole or not at all.
pub(super) fn write_json(path: &Path, content: &impl Serialize) -> Result<()> {
    make_folder(path)?;
    let write = || -> std::io::Result<()> {
        // Only one run at a time writes here, so the name of the unfinished file is free.
        let unfinished = path.with_extension("json.new");
        fs::write(&unfinished, serde_json::to_vec_pretty(content)?)?;
        fs::rename(&unfinished, path)
    };
    write().map_err(|e| Error::io(Stage::Encode, path, e))
}
