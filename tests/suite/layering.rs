//! Imports run downward only. Reads the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// A layer and the layers it may import. Order does not matter; what is not listed is forbidden.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("limits", &["error"]),
    ("geometry", &[]),
    ("pixel", &["geometry"]),
    ("trace", &["error"]),
    ("gpu", &["error", "pixel", "geometry", "trace"]),
    ("ops", &["gpu", "pixel", "geometry", "error", "trace"]),
    ("jpeg", &["error", "limits", "pixel", "geometry"]),
    ("read_at", &[]),
    ("psd", &["read_at", "pixel", "geometry", "limits", "error"]),
    ("decode", &["jpeg", "psd", "read_at", "pixel", "geometry", "limits", "error"]),
    ("encode", &["jpeg", "decode", "read_at", "pixel", "geometry", "limits", "error", "trace"]),
    ("layers", &["psd", "decode", "ops", "pixel", "geometry", "limits", "error"]),
    ("job", &["ops", "geometry", "error"]),
    ("catalog", &["decode", "geometry", "error"]),
    ("external", &["error"]),
    ("rip", &["external", "decode", "pixel", "geometry", "limits", "error"]),
    ("media", &["external", "preset", "geometry", "error"]),
    ("preset", &["geometry", "error"]),
    ("report", &["pixel", "geometry", "error"]),
    (
        "engine",
        &[
            "job", "catalog", "decode", "encode", "ops", "gpu", "jpeg", "rip", "media", "layers", "psd", "preset",
            "report", "pixel", "geometry", "limits", "error", "trace",
        ],
    ),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Lines of code with their numbers: comments and everything from `mod tests` on left out.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("mod tests"))
        .map(|(i, line)| (i + 1, line.split("//").next().unwrap_or_default().to_owned()))
        .filter(|(_, line)| !line.trim().is_empty())
        .collect()
}

/// The top-level module that a source file belongs to.
fn layer(path: &Path) -> String {
    let below = path.strip_prefix(root()).unwrap();
    below.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// Modules of this crate that a line names by `crate::` or, in the program, by `reprise::`.
fn imports(line: &str) -> Vec<String> {
    line.match_indices("crate::")
        .map(|(at, found)| {
            let rest = &line[at + found.len()..];
            rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        })
        .collect()
}

#[test]
fn imports_run_downward() {
    let mut wrong = Vec::new();
    for path in sources(&root()) {
        let layer = layer(&path);
        if ["lib", "main", "cli", "allocator"].contains(&layer.as_str()) {
            continue;
        }
        let (_, allowed) = MAY_IMPORT
            .iter()
            .find(|(name, _)| *name == layer)
            .unwrap_or_else(|| panic!("{} belongs to no known layer", path.display()));
        for (number, line) in code(&path) {
            for import in imports(&line) {
                // Types re-exported at the root are those of `error`.
                let module = if ["Error", "ErrorKind", "Result", "Stage"].contains(&import.as_str()) {
                    "error"
                } else {
                    &import
                };
                if module != layer && !allowed.contains(&module) {
                    wrong.push(format!("{}:{number}: {layer} imports {module}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A word that only some places may use.
fn only_in(word: &str, places: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for path in sources(&root()) {
        let below = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        if places
            .iter()
            .any(|place| below.starts_with(place) || (place.starts_with('/') && below.ends_with(&place[1..])))
        {
            continue;
        }
        for (number, line) in code(&path) {
            if line.contains(word) {
                wrong.push(format!("{}:{number}: {}", path.display(), line.trim()));
            }
        }
    }
    wrong
}

#[test]
fn each_outside_interface_has_one_place() {
    let rules: &[(&str, &[&str])] = &[
        ("wgpu::", &["gpu/"]),
        ("rusqlite", &["catalog/"]),
        ("roxmltree", &["job/", "rip/indesign.rs"]),
        ("jsonc_parser", &["job/"]),
        ("mozjpeg_sys", &["jpeg/"]),
        ("lcms2", &["ops/color/"]),
        (
            "unsafe ",
            &[
                "jpeg/",
                "ops/color/avx2.rs",
                "ops/resample/avx2.rs",
                "ops/unsharp/avx2.rs",
                "encode/ptiff/ahead.rs",
                "allocator.rs",
                "main.rs",
            ],
        ),
        ("libc::", &["allocator.rs", "encode/ptiff/ahead.rs"]),
        ("println!", &[]),
        ("eprintln!", &[]),
        ("std::io::stdout", &["cli/output.rs"]),
        ("std::io::stderr", &["cli/output.rs"]),
        ("clap::", &["cli/"]),
        ("toml::", &["preset/"]),
        ("regex::", &["preset/"]),
        ("signal_hook", &["cli/signals.rs"]),
        ("ureq::", &["engine/notice.rs"]),
        ("lettre::", &["engine/mail.rs"]),
        ("object_store::", &["engine/publish/store.rs"]),
        ("tokio::", &["engine/publish/store.rs"]),
    ];
    let wrong: Vec<String> = rules.iter().flat_map(|(word, places)| only_in(word, places)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_forbidden_import_would_be_seen() {
    assert_eq!(imports("use crate::engine::{Backend, Context};"), ["engine"]);
    assert_eq!(imports("    let x = crate::catalog::Library::open(p)?;"), ["catalog"]);
    assert!(!only_in("pub mod catalog", &[]).is_empty(), "the search finds what is there");
}
