//! Every file that a fuzzer found or starts from, through the same ways in as the fuzzer takes.

use std::fs;
use std::path::Path;

use crate::hostile_files::damaged;
use crate::support::Random;

#[path = "../../fuzz/entries.rs"]
mod entries;

/// Runs files of the corpus and of other folders, and damaged copies of each.
fn run(target: &str, more: &[&str], entry: fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = format!("fuzz/corpus/{target}");
    let mut random = Random(target.bytes().map(u64::from).sum());
    let mut count = 0;
    for folder in [corpus.as_str()].iter().chain(more) {
        let mut files: Vec<_> = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            let bytes = fs::read(&file).unwrap();
            entry(&bytes);
            count += 1;
            for _ in 0..8 {
                if !bytes.is_empty() {
                    entry(&damaged(&bytes, &mut random));
                }
            }
        }
    }
    assert!(count > 0, "{target} has no corpus");
}

#[test]
fn jobs() {
    run("job", &["samples/jobs", "tests/data/job"], entries::job);
}

#[test]
fn presets() {
    run("preset", &[], entries::preset);
}

#[test]
fn originals() {
    run("original", &["tests/data/decode", "tests/data/jpeg"], entries::original);
}

#[test]
fn metadata() {
    run("metadata", &["tests/data/jpeg"], entries::metadata);
}

#[test]
fn pyramids() {
    run("pyramid", &[], entries::pyramid);
}

#[test]
fn profiles() {
    run("profile", &["profiles"], entries::profile);
}

#[test]
fn photoshop_documents() {
    run("psd", &["tests/data/psd"], entries::psd);
}

#[test]
fn indesign_documents() {
    run("indesign", &["tests/data/documents"], entries::indesign);
}

#[test]
fn postscript_comments() {
    run("postscript", &["tests/data/documents"], entries::postscript);
}

#[test]
fn colour_spaces_of_pdf() {
    run("inks", &["tests/data/documents"], entries::inks);
}
