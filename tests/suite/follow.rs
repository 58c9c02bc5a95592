//! What follows a job: publishing, mail, notices over TLS; and that nothing of it is lost.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use reprise::geometry::Size;
use reprise::pixel::{Color, Depth, PixelFormat};
use serde_json::Value;

use crate::clip_mask::{cutout_block, tiff_with};
use crate::documents::{document, skip};
use crate::originals::{png, save};
use crate::program::{Finished, command, reprise};
use crate::support::{noise, scene};

const RGB: PixelFormat = PixelFormat::new(Color::Rgb, false, Depth::U8);

/// A server of `tests/external/servers.py`; it ends with the test.
struct Server {
    child: Child,
    /// Closed last, which ends the server.
    input: Option<ChildStdin>,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    port: u64,
}

impl Server {
    /// `None`, said aloud, where Python or one of its packages is missing.
    fn start(arguments: &[&str]) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/external/servers.py");
        let python = std::env::var("REPRISE_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
        let started =
            Command::new(&python).arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let port = |child: &mut Child| {
            let mut lines = BufReader::new(child.stdout.take()?).lines();
            let port = lines.next()?.ok()?.parse().ok()?;
            Some((lines, port))
        };
        let Some((mut child, (lines, port))) = started.ok().and_then(|mut child| port(&mut child).map(|p| (child, p)))
        else {
            let required = std::env::var_os("REPRISE_REQUIRE_TOOLS").is_some_and(|v| v == "1");
            assert!(!required, "{python} cannot serve {arguments:?}");
            eprintln!("skipped: {python} cannot serve {arguments:?}");
            return None;
        };
        Some(Server { input: child.stdin.take(), child, lines, port })
    }

    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().expect("another message").unwrap()).unwrap()
    }

    /// Sends a line, and waits for the answer.
    fn ask(&mut self, line: &Path) {
        writeln!(self.input.as_mut().unwrap(), "{}", line.display()).unwrap();
        self.next();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// A library with three marked images, `a|1` to `a|3`, in which loopback is allowed.
fn library(folder: &Path) {
    for i in 1..=3 {
        save(folder, &format!("in/mug_{i}.png"), &png(&scene(RGB, Size::new(300, 200), i)));
    }
    reprise(folder, &["init", "lib"]).good();
    reprise(folder, &["ingest", "lib", "in"]).good();
    reprise(folder, &["settings", "lib", "allowPrivateNotices", "true"]).good();
}

fn run(folder: &Path, more: &str) -> Finished {
    let text = format!(
        r#"{{"companyHandle":"c|1","jobName":"follow","reprocessAssetsJob":{{"assetHandleArray":["a|1","a|2","a|3"],
        "readyForPublish":true,"createMask":false{more}}}}}"#
    );
    save(folder, "job.json", text.as_bytes());
    reprise(folder, &["run", "lib", "job.json", "--backend", "cpu", "--no-report"])
}

fn log(folder: &Path, job: &str) -> Value {
    serde_json::from_str(&reprise(folder, &["log", "lib", job, "--json"]).good()).unwrap()
}

fn add_preset(folder: &Path, text: &str) -> String {
    save(folder, "preset.toml", text.as_bytes());
    reprise(folder, &["presets", "lib", "add", "preset.toml"]).good().trim().to_owned()
}

/// Every file at a folder, by its path below it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let name = entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// Checks that a manifest tells the truth about what is there, and returns it.
#[track_caller]
fn manifest(there: &BTreeMap<String, Vec<u8>>, name: &str) -> Value {
    let manifest: Value = serde_json::from_slice(&there[name]).unwrap();
    for file in manifest["assets"].as_array().unwrap().iter().flat_map(|asset| asset["files"].as_array().unwrap()) {
        let bytes = &there[file["path"].as_str().unwrap()];
        assert_eq!(file["bytes"], bytes.len());
        assert_eq!(file["blake3"], blake3::hash(bytes).to_hex().as_str());
    }
    manifest
}

fn context(folder: &Path) -> PathBuf {
    let place = folder.join("cdn");
    add_preset(folder, &format!("kind = 'PublishContext'\nname = 'cdn'\nurl = 'file://{}'", place.display()));
    place
}

const PUBLISH: &str = r#","emailSetting":"None","postImageServingPublishJob":{"publishType":"FullWithSearch"}"#;

#[test]
fn a_job_publishes_what_is_marked_and_what_depends_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder);
    let place = context(folder);
    add_preset(folder, "kind = 'AutoSet'\nname = 'spin'\nsetType = 'SpinSet'\nmatch = '^(.+)_\\d$'");
    let done = run(folder, &format!(r#"{PUBLISH},"autoSetCreationOptions":{{"autoSetsArray":["ps|2"]}}"#));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let there = files(&place);
    let first = manifest(&there, "image-serving.json");
    assert_eq!(first["assets"].as_array().unwrap().len(), 3);
    assert_eq!((&first["sets"][0]["name"], &first["generation"]), (&"mug".into(), &1.into()));
    let search: Value = serde_json::from_slice(&there[first["search"]["path"].as_str().unwrap()]).unwrap();
    assert_eq!(search["words"]["mug"], serde_json::json!(["a|1", "a|2", "a|3"]));
    assert_eq!(there.len(), 3 + 2, "pyramids, search data and manifest");

    let log = log(folder, "j|2");
    assert_eq!((&log["jobName"], &log["jobState"]), (&"Pub_follow".into(), &"Done".into()));
    assert_eq!((&log["transferSuccessCount"], &log["fileSuccessCount"]), (&3.into(), &3.into()));
    let types: Vec<&str> =
        log["detailArray"].as_array().unwrap().iter().map(|e| e["logType"].as_str().unwrap()).collect();
    assert_eq!(types[0], "BeginImageServingPublish");
    assert_eq!(types.iter().filter(|t| **t == "ImageServingPublishSuccess").count(), 3);
    assert_eq!(types.last(), Some(&"EndImageServingPublish"));

    // Nothing changed: an incremental job sends nothing, and its manifest names the same files.
    let again = reprise(folder, &["publish", "lib"]);
    assert!(again.code == 0 && again.stderr.contains("0 files (0 B) sent, 3 there already"), "{}", again.stderr);
    let second = manifest(&files(&place), "image-serving.json");
    assert_eq!((&second["assets"], &second["search"]), (&first["assets"], &first["search"]));
    let full = reprise(folder, &["publish", "lib", "--type", "full"]);
    assert!(full.stderr.contains("3 files"), "{}", full.stderr);

    // One image changes: one file is sent, and the old one stays as long as the manifest before names it.
    let old = first["assets"][0]["files"][0]["path"].as_str().unwrap();
    save(folder, "in/mug_1.png", &png(&scene(RGB, Size::new(310, 200), 9)));
    reprise(folder, &["ingest", "lib", "in"]).good();
    run(folder, r#","emailSetting":"None""#).good();
    let changed = reprise(folder, &["publish", "lib", "--name", "by hand"]);
    assert!(changed.stderr.contains("1 files"), "{}", changed.stderr);
    let there = files(&place);
    assert!(there.contains_key(old), "readers of the manifest before still find it");
    assert_ne!(manifest(&there, "image-serving.json")["assets"][0]["files"][0]["path"], old);
    reprise(folder, &["publish", "lib"]).good();
    assert!(!files(&place).contains_key(old), "nobody can look for it any more");

    // What is not marked any more is not in the next manifest.
    let text = r#"{"companyHandle":"c|1","jobName":"unmark","reprocessAssetsJob":{"assetHandleArray":["a|3"],
        "readyForPublish":false,"createMask":false,"emailSetting":"None"}}"#;
    save(folder, "job.json", text.as_bytes());
    reprise(folder, &["run", "lib", "job.json", "--backend", "cpu", "--no-report"]).good();
    reprise(folder, &["publish", "lib"]).good();
    let left = manifest(&files(&place), "image-serving.json");
    assert_eq!(left["assets"].as_array().unwrap().len(), 3, "it is a member of a marked set");
}

#[test]
fn masks_pages_and_media_are_published() {
    if reprise::external::pdfium().is_none() {
        return skip("PDFium");
    }
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    save(folder, "in/1-cut.tif", &tiff_with(&scene(RGB, Size::new(90, 60), 1), &cutout_block(), 1));
    save(folder, "in/2-folder.pdf", &document(2));
    save(
        folder,
        "in/3-sound.wav",
        b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\0\0\0\0",
    );
    reprise(folder, &["init", "lib"]).good();
    reprise(folder, &["ingest", "lib", "in"]).good();
    let place = context(folder);
    let text = r#"{"companyHandle":"c|1","jobName":"all","reprocessAssetsJob":{"assetHandleArray":["a|1","a|2","a|3"],
        "readyForPublish":true,"createMask":true,"emailSetting":"None","pdfOptions":{"process":"Rasterize","resolution":20},
        "mediaOptions":{"generateThumbnail":false}}}"#;
    save(folder, "job.json", text.as_bytes());
    let done = reprise(folder, &["run", "lib", "job.json", "--backend", "cpu", "--no-report"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let published = reprise(folder, &["publish", "lib"]);
    assert_eq!(published.code, 0, "{}", published.stderr);
    let images = manifest(&files(&place), "image-serving.json");
    let assets = images["assets"].as_array().unwrap();
    let roles = |asset: &Value| -> Vec<String> {
        asset["files"].as_array().unwrap().iter().map(|file| file["role"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        assets.iter().map(roles).collect::<Vec<_>>(),
        [vec!["pyramid", "mask"], vec![], vec!["pyramid"], vec!["pyramid"]]
    );
    let pages = [&assets[2]["handle"], &assets[3]["handle"]];
    assert_eq!(assets[1]["eCatalog"]["pages"], serde_json::json!(pages));
    assert_eq!(assets[2]["originator"], "a|2");

    reprise(folder, &["publish", "lib", "--target", "video"]).good();
    let media = manifest(&files(&place), "video.json");
    assert_eq!(media["assets"].as_array().unwrap().iter().map(roles).collect::<Vec<_>>(), [["original"]]);
    let check = reprise(folder, &["check", "lib", "--hash"]);
    assert_eq!((check.code, check.stdout.as_str()), (0, ""), "pyramids and masks are as recorded");
    let mask = files(&folder.join("lib/masks")).into_keys().next().unwrap();
    let mask = folder.join("lib/masks").join(mask);
    let mut bytes = fs::read(&mask).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&mask, bytes).unwrap();
    let check = reprise(folder, &["check", "lib", "--hash"]);
    assert!(check.code == 1 && check.stdout.contains("the mask has other content"), "{}", check.stdout);
}

#[test]
fn a_damaged_pyramid_is_not_published_and_the_others_are() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder);
    let place = context(folder);
    run(folder, r#","emailSetting":"None""#).good();
    let pyramid = files(&folder.join("lib/pyramids")).into_keys().next().unwrap();
    let pyramid = folder.join("lib/pyramids").join(pyramid);
    let mut bytes = fs::read(&pyramid).unwrap();
    let end = bytes.len();
    bytes[end - 1] ^= 1;
    fs::write(&pyramid, bytes).unwrap();
    let check = reprise(folder, &["check", "lib", "--hash"]);
    assert!(check.code == 1 && check.stdout.contains("has other content than on record"), "{}", check.stdout);

    let published = reprise(folder, &["publish", "lib", "--target", "image-rendering"]);
    assert_eq!(published.code, 1, "{}", published.stderr);
    assert!(published.stderr.contains("other content than on record"), "{}", published.stderr);
    let there = files(&place);
    assert_eq!(manifest(&there, "image-rendering.json")["assets"].as_array().unwrap().len(), 2);
    assert_eq!(there.len(), 3, "nothing of the damaged one is there");
    let log = log(folder, "j|2");
    assert_eq!((&log["transferErrorCount"], &log["fileErrorCount"]), (&1.into(), &1.into()));
}

#[test]
fn a_context_that_is_not_there_refuses_the_job_and_one_that_fails_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder);
    let refused = run(folder, PUBLISH);
    assert!(refused.code == 2 && refused.stderr.contains("there is no publish context"), "{}", refused.stderr);
    let place = context(folder);
    let wrong = r#","emailSetting":"None","postVideoPublishJob":{"contextHandle":"ps|9"}"#;
    let refused = run(folder, wrong);
    assert!(refused.code == 2 && refused.stderr.contains("contextHandle is \"ps|9\""), "{}", refused.stderr);
    assert!(!reprise(folder, &["jobs", "lib"]).good().contains("j|1"), "nothing was begun");

    // A file in place of the folder: nothing can be written.
    fs::write(&place, b"").unwrap();
    let failed = run(folder, PUBLISH);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(failed.stderr.contains("readers see what they saw before"), "{}", failed.stderr);
    assert_eq!(log(folder, "j|1")["fileSuccessCount"], 3, "the job itself is done");
    assert_eq!(log(folder, "j|2")["fatalError"], true);
    // Once the place is right, the same job goes on.
    fs::remove_file(&place).unwrap();
    reprise(folder, &["run", "lib", "--resume"]).good();
    assert_eq!(manifest(&files(&place), "image-serving.json")["jobHandle"], "j|2");
    assert_eq!(log(folder, "j|2")["fatalError"], false);
}

#[test]
fn publishing_speaks_s3() {
    let Some(mut server) = Server::start(&["s3"]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder);
    // Large enough to be sent in parts.
    save(folder, "in/mug_3.png", &png(&noise(RGB, Size::new(1750, 1700), 3)));
    reprise(folder, &["ingest", "lib", "in"]).good();
    run(folder, r#","emailSetting":"None""#).good();
    let endpoint = format!("http://127.0.0.1:{}", server.port);
    add_preset(
        folder,
        &format!(
            "kind = 'PublishContext'\nname = 's3'\nurl = 's3://shop/images/live'\n\
             options = {{ endpoint = '{endpoint}', region = 'us-east-1', allow_http = 'true' }}"
        ),
    );
    let publish = |arguments: &[&str]| {
        let mut command = command(folder, &[&["publish", "lib"], arguments].concat());
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "sesame");
        Finished::of(&command.output().unwrap())
    };
    let done = publish(&[]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let copy = folder.join("copy");
    server.ask(&copy);
    let first = files(&copy.join("images/live"));
    assert_eq!(manifest(&first, "image-serving.json")["assets"].as_array().unwrap().len(), 3);
    assert!(first.values().any(|bytes| bytes.len() > 8 << 20), "one file was sent in parts");
    let again = publish(&[]);
    assert!(again.code == 0 && again.stderr.contains("0 files (0 B) sent"), "{}", again.stderr);
    // No key comes into the catalog, and a wrong bucket is an error that names it.
    for path in [folder.join("lib/library.sqlite"), folder.join("lib/library.sqlite-wal")] {
        let bytes = fs::read(path).unwrap_or_default();
        assert!(!bytes.windows(6).any(|window| window == b"sesame"));
    }
    add_preset(
        folder,
        &format!(
            "kind = 'PublishContext'\nname = 's3'\nurl = 's3://nowhere'\noptions = {{ endpoint = '{endpoint}', region = 'us-east-1', allow_http = 'true' }}"
        ),
    );
    let wrong = publish(&[]);
    assert!(wrong.code == 1 && wrong.stderr.contains("NoSuchBucket"), "{}", wrong.stderr);
}

#[test]
fn mail_is_sent_as_the_job_asks() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let root = folder.join("root.pem");
    for (mode, scheme) in [("plain", "smtp+plain"), ("starttls", "smtp"), ("tls", "smtps")] {
        let Some(mut server) = Server::start(&["smtp", mode, root.to_str().unwrap()]) else { return };
        let folder = &folder.join(mode);
        fs::create_dir(folder).unwrap();
        library(folder);
        let place = context(folder);
        let set = |name: &str, value: &str| drop(reprise(folder, &["settings", "lib", name, value]).good());
        set("mailServer", &format!("{scheme}://localhost:{}", server.port));
        set("mailFrom", "Reprise <reprise@example.com>");
        set("mailTo", "shop@example.com");
        if mode != "plain" {
            save(folder, "password", b"sesame\n");
            set("mailUser", "shop");
            set("mailPassword", &format!("file:{}", folder.join("password").display()));
            set("tlsRoots", root.to_str().unwrap());
        }
        // The publish job sends a mail of its own.
        let more = r#","emailSetting":"JobCompletion","postImageServingPublishJob":{"publishType":"Full","emailSetting":"All"}"#;
        let done = run(folder, more);
        assert!(done.code == 0 && !done.stderr.contains("warning"), "{mode}: {}", done.stderr);
        let mail = server.next();
        assert_eq!(mail["to"], serde_json::json!(["shop@example.com"]));
        assert_eq!((&mail["from"], &mail["subject"]), (&"reprise@example.com".into(), &"follow (j|1): done".into()));
        assert_eq!((mail["tls"].as_bool(), mail["user"] == "shop"), (Some(mode != "plain"), mode != "plain"));
        let text = mail["parts"]["text/plain"].as_str().unwrap();
        assert!(text.contains("Done:          3") && text.contains("reprise log LIB 'j|1'"), "{text}");
        assert!(mail["parts"]["text/html"].as_str().unwrap().contains("<td>follow (j|1)</td>"));
        let mail = server.next();
        assert_eq!(mail["subject"], "Pub_follow (j|2): done");
        assert!(mail["parts"]["text/plain"].as_str().unwrap().contains("files are published"), "All repeats the log");
        drop(place);

        // Errors only: a good job sends none; a bad one names what failed, and markup in names stays text.
        run(folder, r#","emailSetting":"Error""#).good();
        fs::rename(folder.join("in/mug_2.png"), folder.join("in/<b>.png")).unwrap();
        reprise(folder, &["ingest", "lib", "in"]).good();
        fs::remove_file(folder.join("in/<b>.png")).unwrap();
        assert_eq!(run(folder, r#","emailSetting":"ErrorAndWarning""#).code, 1);
        let mail = server.next();
        assert_eq!(mail["subject"], "follow_3 (j|4): 1 failed");
        let html = mail["parts"]["text/html"].as_str().unwrap();
        assert!(html.contains("&lt;b&gt;.png") && !html.contains("<b>.png"), "{html}");
    }
}

#[test]
fn mail_that_cannot_be_sent_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder);
    let set = |name: &str, value: &str| drop(reprise(folder, &["settings", "lib", name, value]).good());
    for (name, value, words) in [
        ("retainPublishState", "false", "the setting mailServer is empty"),
        ("mailServer", "smtp://localhost:9", "the setting mailFrom is empty"),
        ("mailFrom", "reprise@example.com", "nobody to write to"),
        ("mailTo", "shop@example.com", "the mail server"),
        ("mailUser", "shop", "mailPassword: it is empty"),
        ("mailServer", "smtp+plain://localhost:9", "without TLS"),
        ("mailServer", "smtp://localhost:9", "mailPassword: it is empty"),
        ("mailPassword", "env:REPRISE_NO_SUCH_VARIABLE", "no variable REPRISE_NO_SUCH_VARIABLE"),
        ("tlsRoots", "/nowhere/root.pem", "/nowhere/root.pem"),
    ] {
        set(name, value);
        let done = run(folder, r#","emailSetting":"All""#);
        assert!(done.code == 0 && done.stderr.contains(words), "{words}: {}", done.stderr);
        assert!(done.stderr.contains("emailSetting: the mail was not sent"), "{}", done.stderr);
    }
    let refused = reprise(folder, &["settings", "lib", "mailPassword", "sesame"]);
    assert!(refused.code == 2 && !refused.stderr.contains("sesame"), "{}", refused.stderr);
    assert!(reprise(folder, &["run", "lib", "--resume"]).stderr.contains("nothing to resume"), "a failure is not due");
}

#[test]
fn a_notice_goes_over_tls_to_a_server_that_the_roots_vouch_for() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let root = folder.join("root.pem");
    let Some(mut server) = Server::start(&["https", root.to_str().unwrap()]) else { return };
    library(folder);
    let more = format!(r#","emailSetting":"None","postHttpUrl":"https://localhost:{}/done""#, server.port);
    let refused = run(folder, &more);
    assert!(refused.code == 0 && refused.stderr.contains("notice was not delivered"), "{}", refused.stderr);
    reprise(folder, &["settings", "lib", "tlsRoots", root.to_str().unwrap()]).good();
    let done = run(folder, &more);
    assert!(!done.stderr.contains("notice"), "{}", done.stderr);
    let notice = server.next();
    assert_eq!(
        (&notice["path"], &notice["body"]["jobHandle"]),
        (&"/done".into(), &"j|2".into()),
        "the first never came"
    );
}

/// Kills the program while something that is due waits for its receiver; `--resume` has to deliver it.
#[test]
fn what_is_due_when_the_process_dies_is_done_by_resume() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder);
    let place = context(folder);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let text = format!(
        r#"{{"companyHandle":"c|1","jobName":"due","reprocessAssetsJob":{{"assetHandleArray":["a|1","a|2","a|3"],
        "readyForPublish":true,"createMask":false,"emailSetting":"None","postHttpUrl":"{url}job",
        "postImageServingPublishJob":{{"publishType":"Full","httpCompletionUrl":"{url}published"}}}}}}"#
    );
    save(folder, "job.json", text.as_bytes());
    let answer = |stream: std::net::TcpStream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            reader.read_line(&mut head).unwrap();
        }
        let mut stream = stream;
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        head.lines().next().unwrap().to_owned()
    };
    for (arguments, waiting_for) in [(&["job.json"][..], "/job"), (&["--resume"], "/published"), (&["--resume"], "")] {
        let all = [&["run", "lib", "--backend", "cpu", "--no-report"], arguments].concat();
        let mut child = command(folder, &all).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (stream, _) = listener.accept().unwrap();
        if waiting_for == "/job" {
            // Nobody answers, and then the process is no more.
            child.kill().unwrap();
        } else {
            let request = answer(stream);
            if waiting_for == "/published" {
                assert!(request.starts_with("POST /job"), "{request}");
                // The next call finds nobody either.
                let _unanswered = listener.accept().unwrap();
                child.kill().unwrap();
            } else {
                assert!(request.starts_with("POST /published"), "{request}");
            }
        }
        let status = child.wait().unwrap();
        assert_eq!(status.success(), waiting_for.is_empty(), "{waiting_for}");
    }
    assert_eq!(manifest(&files(&place), "image-serving.json")["assets"].as_array().unwrap().len(), 3);
    let jobs = reprise(folder, &["jobs", "lib", "--json"]).good();
    assert_eq!(jobs.lines().count(), 2, "published by one job: {jobs}");
    assert!(reprise(folder, &["run", "lib", "--resume"]).stderr.contains("nothing to resume"));
}

/// Kills the program while it sends a mail; `--resume` sends it, once.
#[test]
fn mail_that_was_being_sent_when_the_process_died_is_sent_by_resume() {
    let Some(mut server) = Server::start(&["smtp", "plain", "unused"]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder);
    let set = |name: &str, value: &str| drop(reprise(folder, &["settings", "lib", name, value]).good());
    // A server that takes sender and receiver, and falls silent when the text is to come.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    set("mailServer", &format!("smtp+plain://{}", silent.local_addr().unwrap()));
    set("mailFrom", "reprise@example.com");
    set("mailTo", "shop@example.com");
    let job = |name: &str| {
        let text = format!(
            r#"{{"companyHandle":"c|1","jobName":"{name}","reprocessAssetsJob":{{"assetHandleArray":["a|1"],
            "createMask":false,"emailSetting":"All"}}}}"#
        );
        save(folder, "job.json", text.as_bytes());
    };
    job("first");
    let mut child = command(folder, &["run", "lib", "job.json", "--backend", "cpu", "--no-report"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut stream, _) = silent.accept().unwrap();
    stream.write_all(b"220 silent\r\n").unwrap();
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        if line.unwrap() == "DATA" {
            break;
        }
        stream.write_all(b"250 go on\r\n").unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();

    set("mailServer", &format!("smtp+plain://localhost:{}", server.port));
    reprise(folder, &["run", "lib", "--resume", "--backend", "cpu", "--no-report"]).good();
    assert_eq!(server.next()["subject"], "first (j|1): done");
    assert!(reprise(folder, &["run", "lib", "--resume"]).stderr.contains("nothing to resume"));
    // The next mail is that of the next job: the first one came once.
    job("second");
    reprise(folder, &["run", "lib", "job.json", "--backend", "cpu", "--no-report"]).good();
    assert_eq!(server.next()["subject"], "second (j|2): done");
}
