//! `reprise check`, `settings` and `projects`.

use std::path::Path;

use reprise::catalog::{Library, Settings};
use reprise::engine::check::{self, CheckOptions, Weight};
use reprise::engine::profiles;
use reprise::error::Result;

use super::Verdict;
use super::library::table;
use super::output::{complain, line};

pub fn check(dir: &Path, options: CheckOptions) -> Result<Verdict> {
    let mut library = Library::open(dir)?;
    let checked = check::check(&mut library, options, &mut |finding| {
        let word = match finding.weight {
            Weight::Problem => "problem",
            Weight::Repaired => "repaired",
            Weight::Note => "note",
        };
        line(format_args!("{word:<8}  {}: {}", finding.subject, finding.message));
    })?;
    complain(format_args!(
        "{} assets with {} pyramids: {} problems, {} repaired",
        checked.assets, checked.derivatives, checked.problems, checked.repaired
    ));
    Ok(if checked.problems == 0 { Verdict::AllGood } else { Verdict::SomeFailed })
}

/// Shows all settings or one, or changes one.
pub fn settings(dir: &Path, name: Option<&str>, value: Option<&str>) -> Result<Verdict> {
    let mut library = Library::open(dir)?;
    let mut settings = library.settings()?;
    match (name, value) {
        (None, _) => {
            for name in Settings::NAMES {
                line(format_args!("{name} {}", settings.get(name)?));
            }
        }
        (Some(name), None) => line(format_args!("{}", settings.get(name)?)),
        (Some(name), Some(value)) => {
            settings.set(name, value)?;
            profiles::defaults(&library, &settings)?;
            library.set_settings(&settings)?;
        }
    }
    Ok(Verdict::AllGood)
}

pub fn list_projects(dir: &Path) -> Result<Verdict> {
    let mut table = table(["project", "name", "assets"]);
    for project in Library::open(dir)?.projects()? {
        table.add_row([project.handle.to_string(), project.name, project.asset_count.to_string()]);
    }
    line(format_args!("{table}"));
    Ok(Verdict::AllGood)
}

pub fn add_project(dir: &Path, name: &str) -> Result<Verdict> {
    let handle = Library::open(dir)?.add_project(name)?;
    line(format_args!("{handle}"));
    Ok(Verdict::AllGood)
}
