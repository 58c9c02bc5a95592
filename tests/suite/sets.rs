//! Presets, and the sets that are made by them.

use std::fs;
use std::path::Path;

use reprise::geometry::Size;
use reprise::pixel::{Color, Depth, PixelFormat};
use serde_json::Value;

use crate::originals::{png, save};
use crate::program::{Finished, reprise};
use crate::support::scene;

const GRAY: PixelFormat = PixelFormat::new(Color::Gray, false, Depth::U8);

const SPIN: &str = "kind = 'AutoSet'\nname = 'spins'\nsetType = 'SpinSet'\nmatch = '^(.+)_\\d+$'\n";

#[test]
fn presets_are_added_shown_replaced_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    reprise(folder, &["init", "lib"]).good();
    save(folder, "spin.toml", SPIN.as_bytes());
    save(
        folder,
        "cdn.json",
        br#"{"kind":"PublishContext","name":"cdn","url":"s3://shop/images","options":{"region":"eu-west-1"}}"#,
    );
    assert_eq!(reprise(folder, &["presets", "lib", "add", "spin.toml", "cdn.json"]).good(), "ps|1\nps|2\n");
    let list = reprise(folder, &["presets", "lib"]).good();
    assert!(list.contains("AutoSet") && list.contains("cdn"), "{list}");
    let shown: Value = serde_json::from_str(&reprise(folder, &["presets", "lib", "show", "ps|1"]).good()).unwrap();
    assert_eq!((&shown["match"], &shown["folder"]), (&r"^(.+)_\d+$".into(), &"".into()));

    save(folder, "spin.toml", format!("{SPIN}folder = 'spins'\n").as_bytes());
    assert_eq!(reprise(folder, &["presets", "lib", "add", "spin.toml"]).good(), "ps|1\n", "the handle is kept");
    assert!(reprise(folder, &["presets", "lib", "show", "ps|1"]).good().contains(r#""folder":"spins""#));
    reprise(folder, &["presets", "lib", "remove", "ps|1"]).good();
    for gone in [&["presets", "lib", "show", "ps|1"], &["presets", "lib", "remove", "ps|1"]] {
        let answer = reprise(folder, gone);
        assert!(answer.code == 2 && answer.stderr.contains("no preset has this handle"), "{}", answer.stderr);
    }
}

/// Adds a file that has to be refused; nothing of it may be on record afterwards.
fn refused(folder: &Path, text: &str) -> String {
    fs::write(folder.join("bad.toml"), text).unwrap();
    let answer = reprise(folder, &["presets", "lib", "add", "bad.toml"]);
    assert_eq!(answer.code, 2, "{text}: {}", answer.stderr);
    assert!(answer.stderr.contains("bad.toml"), "{}", answer.stderr);
    answer.stderr
}

#[test]
fn presets_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    reprise(folder, &["init", "lib"]).good();
    let set = |more: &str| format!("kind = 'AutoSet'\nname = 'x'\n{more}");
    let context = |more: &str| format!("kind = 'PublishContext'\nname = 'x'\n{more}");
    for (text, words) in [
        (set("setType = 'SpinSet'\nmatch = '(a'"), "match is \"(a\", which is no regular expression: unclosed group"),
        (set("setType = 'SpinSet'\nmatch = 'a'"), "has no group"),
        (set("setType = 'SpinSet'\nmatch = '(a)'\nrow = '(\\d)'"), "for MultiAxisSpinSet"),
        (set("setType = 'MultiAxisSpinSet'\nmatch = '(a)'\nrow = '(\\d)'"), "needs row and column"),
        (set("setType = 'MultiAxisSpinSet'\nmatch = '(a)'\nrow = '(\\d)'\ncolumn = '\\d'"), "exactly one group"),
        (set("setType = 'ImageSet'\nmatch = '(a)'\nfolder = '../x'"), "it is relative"),
        (set("setType = 'ImageSet'\nmatch = '(a)'\nprefix = 'a/b'"), "prefix"),
        (set("setType = 'ImageSet'\nmatch = '(a)'\nallowRepeats = true"), "needs a sequence"),
        (set("setType = 'ImageSet'\nmatch = '(\\w{1000}){1000}'"), "match"),
        (set("setType = 'ImageSet'\nmatch = '(a)'\nsequence = ['ok', '[']"), "sequence[1]"),
        (context("url = 'ftp://x/y'"), "begins with none of"),
        (context("url = 's3://'"), "a bucket"),
        (context("url = 'file://folder'"), "absolute"),
        (
            context("url = 's3://b'\noptions = { secret_access_key = 'sesame' }"),
            "credentials come from the environment",
        ),
    ] {
        let error = refused(folder, &text);
        assert!(error.contains(words) && !error.contains("sesame"), "{words}: {error}");
    }
    let error = refused(folder, &context("url = 's3://me:sesame@b/x'"));
    assert!(error.contains("credentials") && !error.contains("sesame"), "{error}");
    let kept = reprise(folder, &["presets", "lib"]).good();
    assert!(!kept.contains("AutoSet") && !kept.contains("PublishContext"), "{kept}");
}

/// A library with small gray PNGs of these names, `a|1` on in the order of the names.
fn library(folder: &Path, names: &[&str]) {
    for (seed, name) in (0..).zip(names) {
        save(folder, &format!("in/{name}.png"), &png(&scene(GRAY, Size::new(20, 10), seed)));
    }
    reprise(folder, &["init", "lib"]).good();
    reprise(folder, &["ingest", "lib", "in"]).good();
}

fn job(folder: &Path, assets: &[&str], more: &str) {
    let text = format!(
        r#"{{"companyHandle":"c|1","jobName":"sets","reprocessAssetsJob":{{"assetHandleArray":{},
        "createMask":false,"emailSetting":"None",{more}}}}}"#,
        serde_json::to_string(assets).unwrap()
    );
    save(folder, "job.json", text.as_bytes());
}

fn run(folder: &Path, more: &[&str]) -> Finished {
    let mut arguments = vec!["run", "lib", "job.json", "--backend", "cpu", "--no-report"];
    arguments.extend(more);
    reprise(folder, &arguments)
}

fn sets(folder: &Path) -> Vec<Value> {
    let printed = reprise(folder, &["sets", "lib", "--json"]).good();
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn members(set: &Value) -> Vec<&str> {
    set["members"].as_array().unwrap().iter().map(|member| member["assetName"].as_str().unwrap()).collect()
}

#[test]
fn a_job_makes_sets_and_makes_the_same_ones_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &["cap_1", "mug_1", "mug_10", "mug_2", "other"]);
    save(folder, "spin.toml", format!("{SPIN}prefix = 'spin-'\nfolder = 'shop/spins'\n").as_bytes());
    reprise(folder, &["presets", "lib", "add", "spin.toml"]).good();
    let sets_by = r#""readyForPublish":true,"autoSetCreationOptions":{"autoSetsArray":["ps|1"]}"#;
    job(folder, &["a|1", "a|2", "a|3", "a|4", "a|5"], sets_by);

    let rehearsal = run(folder, &["--dry-run"]).good();
    assert!(rehearsal.contains("set      new  spin-mug: SpinSet of mug_1, mug_2, mug_10"), "{rehearsal}");
    assert!(sets(folder).is_empty(), "a dry run makes nothing");

    run(folder, &[]).good();
    let made = sets(folder);
    assert_eq!(made.len(), 2);
    assert_eq!((members(&made[0]), members(&made[1])), (vec!["cap_1"], vec!["mug_1", "mug_2", "mug_10"]));
    assert_eq!((&made[1]["name"], &made[1]["folder"]), (&"spin-mug".into(), &"shop/spins".into()));
    assert_eq!((&made[1]["setType"], &made[1]["readyForPublish"]), (&"SpinSet".into(), &true.into()));
    let log = reprise(folder, &["log", "lib", "j|1"]).good();
    assert!(log.contains("the SpinSet spin-mug: made, 3 members"), "{log}");
    assert!(reprise(folder, &["sets", "lib"]).good().contains("3: mug_1, mug_2, mug_10"));

    // A job over one image makes its set of all of them, and changes nothing.
    job(folder, &["a|2"], sets_by);
    run(folder, &[]).good();
    assert_eq!(sets(folder), made);
    assert!(reprise(folder, &["log", "lib", "j|2"]).good().contains("spin-mug: unchanged"));

    // A new image joins; the set keeps its handle. Sets are no assets that can be reprocessed.
    save(folder, "in/mug_3.png", &png(&scene(GRAY, Size::new(20, 10), 99)));
    reprise(folder, &["ingest", "lib", "in"]).good();
    job(folder, &["a|8", made[1]["handle"].as_str().unwrap()], sets_by);
    let again = run(folder, &[]);
    assert!(again.code == 1 && again.stderr.contains("no asset has this handle"), "{}", again.stderr);
    let grown = sets(folder);
    assert_eq!((grown.len(), members(&grown[1])), (2, vec!["mug_1", "mug_2", "mug_3", "mug_10"]));
    assert_eq!(grown[1]["handle"], made[1]["handle"]);
    assert!(reprise(folder, &["assets", "lib"]).good().contains("mug_3"));
}

#[test]
fn what_cannot_be_placed_is_an_error_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &["m_r1_c1", "m_r1_c2", "m_rx_c1"]);
    save(
        folder,
        "grid.json",
        br#"{"kind":"AutoSet","name":"grid","setType":"MultiAxisSpinSet","match":"^(.+?)_r","row":"_r(\\d+)","column":"_c(\\d+)"}"#,
    );
    reprise(folder, &["presets", "lib", "add", "grid.json"]).good();
    job(folder, &["a|1", "a|2", "a|3"], r#""autoSetCreationOptions":{"autoSetsArray":["ps|1"]}"#);
    let done = run(folder, &[]);
    assert!(done.stderr.contains("m_rx_c1 is left out: its row cannot be read"), "{}", done.stderr);
    let log: Value = serde_json::from_str(&reprise(folder, &["log", "lib", "j|1", "--json"]).good()).unwrap();
    let errors = log["detailArray"].as_array().unwrap().iter().filter(|entry| entry["logType"] == "UploadError");
    assert_eq!(errors.count(), 1);
    let made = sets(folder);
    assert_eq!(members(&made[0]), ["m_r1_c1", "m_r1_c2"]);
    assert_eq!((&made[0]["members"][1]["row"], &made[0]["members"][1]["column"]), (&1.into(), &2.into()));
}

#[test]
fn a_job_that_names_no_set_preset_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &["m_1"]);
    save(folder, "cdn.toml", b"kind = 'PublishContext'\nname = 'cdn'\nurl = 'file:///tmp/x'");
    reprise(folder, &["presets", "lib", "add", "cdn.toml"]).good();
    for (handle, words) in [("ps|7", "no preset has this handle"), ("ps|1", "of kind PublishContext")] {
        job(folder, &["a|1"], &format!(r#""autoSetCreationOptions":{{"autoSetsArray":["{handle}"]}}"#));
        for more in [&[][..], &["--dry-run"]] {
            let answer = run(folder, more);
            assert!(
                answer.code == 2 && answer.stderr.contains("autoSetsArray") && answer.stderr.contains(words),
                "{}",
                answer.stderr
            );
        }
    }
    assert!(!reprise(folder, &["jobs", "lib"]).good().contains("j|1"), "nothing was begun");
}
