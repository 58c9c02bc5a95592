//! `reprise presets`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use reprise::catalog::{Handle, Library, unknown_preset};
use reprise::error::{Error, Result, Stage};
use reprise::preset;

use super::Verdict;
use super::args::PresetAction;
use super::library::{json, table};
use super::output::line;

pub fn presets(dir: &Path, action: Option<&PresetAction>) -> Result<Verdict> {
    let mut library = Library::open(dir)?;
    match action {
        None => list(&library)?,
        Some(PresetAction::Add { files }) => {
            // All are read before the first is recorded.
            let presets = files.iter().map(|file| read(file)).collect::<Result<Vec<_>>>()?;
            for preset in presets {
                let handle = library.put_preset(preset.kind.name(), &preset.name, &preset.document)?;
                line(format_args!("{handle}"));
            }
        }
        Some(PresetAction::Show { preset }) => {
            if let Some(builtin) = preset::BuiltinEncoding::find(preset) {
                line(format_args!("{}", json(&builtin.preset())?));
                return Ok(Verdict::AllGood);
            }
            let handle = Handle::from(preset.as_str());
            let preset = library.preset(&handle)?.ok_or_else(|| unknown_preset(&handle))?;
            line(format_args!("{}", preset.document));
        }
        Some(PresetAction::Remove { preset }) => library.remove_preset(&Handle::from(preset.as_str()))?,
    }
    Ok(Verdict::AllGood)
}

fn list(library: &Library) -> Result<()> {
    let mut table = table(["preset", "kind", "name", "changed"]);
    for preset in library.presets()? {
        let changed = format!("{:.0}", preset.updated);
        table.add_row([preset.handle.to_string(), preset.kind, preset.name, changed]);
    }
    for builtin in &preset::ENCODINGS {
        let kind = preset::PresetKind::VideoEncoding.name();
        table.add_row([builtin.handle, kind, builtin.name, "built in"].map(String::from));
    }
    line(format_args!("{table}"));
    Ok(())
}

fn read(path: &Path) -> Result<preset::Checked> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(preset::MAX_FILE_BYTES + 1).read_to_string(&mut text))
        .map_err(|e| Error::io(Stage::Open, path, e))?;
    let checked = if text.len() as u64 > preset::MAX_FILE_BYTES {
        Err(Error::limit(Stage::Catalog, format!("a preset file has at most {} bytes", preset::MAX_FILE_BYTES)))
    } else {
        preset::read(&text)
    };
    checked.map_err(|e| e.of(path.display().to_string()))
}
