//! Automatic sets: images whose names have a part in common, grouped and put in order by presets.
//!
//! A job says which sets are made: those that an image of the job belongs to. Each of them is then made of every
//! image in the library that belongs to it, so a job over a few images, or a repeated one, never shrinks a set.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use crate::catalog::{Handle, Library, LogEntry, LogType, NewSet, SetCandidate, SetMember, SetOutcome};
use crate::error::{Error, Result, Stage};
use crate::job::Job;
use crate::preset::{self, Patterns, Preset, SetPreset, axis_position};

/// Most members of a set.
const MAX_MEMBERS: usize = 1000;
/// Most places of one image in a set.
const MAX_REPEATS: usize = 20;

/// The set presets of a job.
#[derive(Debug)]
pub struct AutoSets {
    presets: Vec<(Handle, SetPreset, Patterns)>,
}

/// A set that is going to be made.
#[derive(Debug)]
pub struct PlannedSet {
    pub set: NewSet,
    /// The set on record that gets these members.
    pub existing: Option<Handle>,
    /// Images that are left out, and why.
    pub problems: Vec<String>,
}

impl AutoSets {
    /// The presets that `job` names.
    ///
    /// # Errors
    /// `Misuse` for a handle that names no set preset, or one that is not in order.
    pub fn of(library: &Library, job: &Job) -> Result<Self> {
        let named = job.reprocess.auto_sets.iter().map(|handle| {
            let refuse = |why: String| Error::misuse(Stage::Job, format!("autoSetsArray has {handle:?}; {why}"));
            let handle = Handle::from(handle.as_str());
            let Some(record) = library.preset(&handle)? else {
                return Err(refuse("no preset has this handle; `reprise presets` lists those that exist".into()));
            };
            if record.kind != SetPreset::KIND.name() {
                let why = format!("this preset is of kind {}, not {}", record.kind, SetPreset::KIND.name());
                return Err(refuse(why));
            }
            let preset: SetPreset = preset::stored(&record.document).map_err(|e| refuse(e.message))?;
            let patterns = preset.patterns().map_err(|e| refuse(e.message))?;
            Ok((handle, preset, patterns))
        });
        Ok(AutoSets { presets: named.collect::<Result<_>>()? })
    }

    /// The sets that `images` belong to, made of these and of all other images of the library.
    ///
    /// # Errors
    /// `Catalog`.
    pub fn plan(&self, library: &Library, images: &[SetCandidate]) -> Result<Vec<PlannedSet>> {
        if self.presets.is_empty() {
            return Ok(Vec::new());
        }
        let mut candidates = library.set_candidates()?;
        let known: HashSet<Handle> = candidates.iter().map(|c| c.handle.clone()).collect();
        candidates.extend(images.iter().filter(|image| !known.contains(&image.handle)).cloned());
        candidates
            .sort_by(|a, b| natural(&a.name, &b.name).then_with(|| natural(a.handle.as_str(), b.handle.as_str())));

        let mut planned = Vec::new();
        for (handle, preset, patterns) in &self.presets {
            let touched: HashSet<&str> = images.iter().filter_map(|image| patterns.base_name(&image.name)).collect();
            let mut groups: BTreeMap<&str, Vec<&SetCandidate>> = BTreeMap::new();
            for candidate in &candidates {
                if let Some(base) = patterns.base_name(&candidate.name).filter(|base| touched.contains(base)) {
                    groups.entry(base).or_default().push(candidate);
                }
            }
            for (base, images) in groups {
                let (members, problems) = arrange(preset, patterns, &images);
                let set = NewSet {
                    preset: handle.clone(),
                    base_name: base.to_owned(),
                    name: format!("{}{base}{}", preset.prefix, preset.suffix),
                    set_type: preset.set_type.name(),
                    folder: preset.folder.clone(),
                    members,
                };
                let existing = library.set_of(handle, base)?.map(|set| set.handle);
                planned.push(PlannedSet { set, existing, problems });
            }
        }
        Ok(planned)
    }

    /// Makes the sets that the images of a job belong to. Returns what happened, for the job log.
    ///
    /// # Errors
    /// `Catalog`.
    pub fn make(&self, library: &mut Library, job: &Handle, publish: Option<bool>) -> Result<Vec<LogEntry>> {
        if self.presets.is_empty() {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        for PlannedSet { set, problems, .. } in self.plan(library, &library.images_of_job(job)?)? {
            let NewSet { name, set_type, members, .. } = &set;
            let about = |log_type, message: String| LogEntry {
                asset_name: Some(name.clone()),
                asset_type: Some((*set_type).to_owned()),
                ..LogEntry::new(log_type, message)
            };
            if members.is_empty() {
                entries
                    .push(about(LogType::UploadError, format!("the {set_type} {name} has no members and is not made")));
            } else {
                let (handle, outcome) = library.put_set(&set, publish)?;
                let word = match outcome {
                    SetOutcome::New => "made",
                    SetOutcome::Updated => "updated",
                    SetOutcome::Unchanged => "unchanged",
                };
                let message = format!("the {set_type} {name}: {word}, {} members", members.len());
                let entry = about(LogType::FileProgress, message);
                entries.push(LogEntry { asset_handle: Some(handle), ..entry });
            }
            let told = |problem| about(LogType::UploadError, format!("the {set_type} {name}: {problem}"));
            entries.extend(problems.into_iter().map(told));
        }
        Ok(entries)
    }
}

/// The members of one set in their order, and what is left out. `images` are in the order of their names.
fn arrange(preset: &SetPreset, patterns: &Patterns, images: &[&SetCandidate]) -> (Vec<SetMember>, Vec<String>) {
    let mut problems = Vec::new();
    let member = |image: &SetCandidate, position: Option<(u32, u32)>| SetMember {
        asset_handle: image.handle.clone(),
        asset_name: image.name.clone(),
        row: position.map(|(row, _)| row),
        column: position.map(|(_, column)| column),
    };
    let mut members: Vec<SetMember> = match &patterns.axes {
        Some((row, column)) => {
            let mut grid: BTreeMap<(u32, u32), &SetCandidate> = BTreeMap::new();
            for image in images {
                match (axis_position(row, &image.name), axis_position(column, &image.name)) {
                    (Some(row), Some(column)) => {
                        if let Some(other) = grid.get(&(row, column)) {
                            problems.push(format!(
                                "{} {} is left out: {} {} is at row {row}, column {column} already",
                                image.handle, image.name, other.handle, other.name
                            ));
                        } else {
                            grid.insert((row, column), image);
                        }
                    }
                    (row, _) => problems.push(format!(
                        "{} {} is left out: its {} cannot be read",
                        image.handle,
                        image.name,
                        if row.is_none() { "row" } else { "column" }
                    )),
                }
            }
            grid.into_iter().map(|(position, image)| member(image, Some(position))).collect()
        }
        None => in_sequence(preset, patterns, images, &mut problems).into_iter().map(|i| member(i, None)).collect(),
    };
    if members.len() > MAX_MEMBERS {
        problems.push(format!(
            "{} of {} members are left out; a set has at most {MAX_MEMBERS}",
            members.len() - MAX_MEMBERS,
            members.len()
        ));
        members.truncate(MAX_MEMBERS);
    }
    (members, problems)
}

fn in_sequence<'a>(
    preset: &SetPreset,
    patterns: &Patterns,
    images: &[&'a SetCandidate],
    problems: &mut Vec<String>,
) -> Vec<&'a SetCandidate> {
    let mut members = Vec::new();
    let mut places: HashMap<&Handle, usize> = HashMap::new();
    for pattern in &patterns.sequence {
        for image in images.iter().filter(|image| pattern.is_match(&image.name)) {
            let count = places.entry(&image.handle).or_default();
            if *count == 0 || preset.allow_repeats {
                *count += 1;
                if *count <= MAX_REPEATS {
                    members.push(*image);
                }
            }
        }
    }
    for image in images {
        match places.get(&image.handle) {
            None => members.push(image),
            Some(&count) if count > MAX_REPEATS => problems.push(format!(
                "{} {} stands in {count} places and is left out of {}; an image is repeated at most {MAX_REPEATS} times",
                image.handle,
                image.name,
                count - MAX_REPEATS
            )),
            Some(_) => {}
        }
    }
    members
}

/// Order of names in which numbers count by value: `shoe_2` before `shoe_10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let order = match (digits(a), digits(b)) {
            (0, _) | (_, 0) => match (a.chars().next(), b.chars().next()) {
                (Some(x), Some(y)) => {
                    (a, b) = (&a[x.len_utf8()..], &b[y.len_utf8()..]);
                    x.cmp(&y)
                }
                (x, y) => return x.cmp(&y),
            },
            (in_a, in_b) => {
                let (x, y) = (a[..in_a].trim_start_matches('0'), b[..in_b].trim_start_matches('0'));
                (a, b) = (&a[in_a..], &b[in_b..]);
                // More digits are more; as many compare as text. 07 stands before 7, so that the order is total.
                x.len().cmp(&y.len()).then_with(|| x.cmp(y)).then_with(|| in_b.cmp(&in_a))
            }
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_by_value() {
        let sorted =
            ["", "a", "a1", "a2", "a10", "a10b", "a010c1", "a10c1", "ab", "b007", "b07", "b7", "b8", "ä", "ä1"];
        for (i, x) in sorted.iter().enumerate() {
            for (j, y) in sorted.iter().enumerate() {
                // Letters decide behind equal numbers, so the pair with a zero is compared apart.
                if [x, y].iter().any(|name| name.contains("010")) {
                    continue;
                }
                assert_eq!(natural(x, y), i.cmp(&j), "{x} {y}");
            }
        }
        let long = "9".repeat(60);
        assert_eq!(natural(&format!("x{long}"), &format!("x1{long}")), Ordering::Less);
    }

    fn images(names: &[&str]) -> Vec<SetCandidate> {
        let image = |(i, name): (usize, &&str)| SetCandidate { handle: format!("a|{i}").into(), name: (*name).into() };
        names.iter().enumerate().map(image).collect()
    }

    fn arranged(preset: &str, names: &[&str]) -> (Vec<String>, Vec<String>) {
        let document = preset::read(preset).unwrap().document;
        let preset: SetPreset = preset::stored(&document).unwrap();
        let images = images(names);
        let (members, problems) = arrange(&preset, &preset.patterns().unwrap(), &images.iter().collect::<Vec<_>>());
        (members.into_iter().map(|member| member.asset_name).collect(), problems)
    }

    const SET: &str = "kind = 'AutoSet'\nname = 'x'\nmatch = '^(.+?)_'\nsetType = 'ImageSet'\n";

    #[test]
    fn a_sequence_orders_and_the_rest_comes_last() {
        let names = ["m_1", "m_2", "m_back", "m_front"];
        let (members, problems) = arranged(&format!("{SET}sequence = ['_front', '_back', 'm_']"), &names);
        assert_eq!((members, problems.len()), (["m_front", "m_back", "m_1", "m_2"].map(String::from).to_vec(), 0));
        let (members, _) = arranged(&format!("{SET}sequence = ['_back']"), &names);
        assert_eq!(members, ["m_back", "m_1", "m_2", "m_front"]);
        let (members, _) = arranged(&format!("{SET}allowRepeats = true\nsequence = ['_1', '_back', '_1']"), &names);
        assert_eq!(members, ["m_1", "m_back", "m_1", "m_2", "m_front"]);
    }

    #[test]
    fn repeats_and_members_are_bounded() {
        let patterns = vec!["'_1'"; 25].join(",");
        let (members, problems) =
            arranged(&format!("{SET}allowRepeats = true\nsequence = [{patterns}]"), &["m_1", "m_2"]);
        assert_eq!(members.len(), 21);
        assert!(problems.len() == 1 && problems[0].contains("left out of 5"), "{problems:?}");
        let names: Vec<String> = (0..1003).map(|i| format!("m_{i}")).collect();
        let (members, problems) = arranged(SET, &names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(members.len(), 1000);
        assert!(problems[0].starts_with("3 of 1003"), "{problems:?}");
    }

    #[test]
    fn positions_of_two_axes_are_read_or_the_image_is_left_out() {
        let preset = "kind = 'AutoSet'\nname = 'x'\nmatch = '^(.+?)_'\nsetType = 'MultiAxisSpinSet'\n\
                      row = 'r(\\d+)'\ncolumn = 'c(\\d+)'";
        let names = ["m_r10_c1", "m_r2_c2", "m_r2_c1", "m_r2", "m_c3", "m_r02_c01", "m_r99999999999_c1"];
        let (members, problems) = arranged(preset, &names);
        assert_eq!(members, ["m_r2_c1", "m_r2_c2", "m_r10_c1"]);
        let left_out = |name: &str, why: &str| problems.iter().any(|p| p.contains(name) && p.contains(why));
        assert!(left_out("m_r2 ", "its column") && left_out("m_c3", "its row"), "{problems:?}");
        assert!(left_out("m_r02_c01", "a|2 m_r2_c1 is at row 2, column 1") && left_out("r99999999999", "its row"));
    }
}
