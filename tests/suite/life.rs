//! The life of a job: signals, sudden death, full disks, files that change, notices, projects.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use reprise::geometry::Size;
use reprise::pixel::{Color, Depth, PixelFormat};
use serde_json::Value;

use crate::originals::{png, save};
use crate::program::{Finished, command, reprise};
use crate::support::{Random, scene};

const RGB: PixelFormat = PixelFormat::new(Color::Rgb, false, Depth::U8);

/// Sharpening that makes an image of some megapixels take seconds.
const SLOW: &str = r#""unsharpMaskOptions":{"amount":1,"radius":250}"#;

/// A library with one RGB original of each size, `a|1` on.
fn library(folder: &Path, sizes: &[(u32, u32)]) {
    for (i, &(width, height)) in sizes.iter().enumerate() {
        save(folder, &format!("in/{:02}.png", i + 1), &png(&scene(RGB, Size::new(width, height), i as u64)));
    }
    reprise(folder, &["init", "lib"]).good();
    reprise(folder, &["ingest", "lib", "in"]).good();
}

/// A job document over `a|1` … `a|count`, with `more` elements.
fn job(folder: &Path, file: &str, count: usize, more: &str) {
    let handles: Vec<String> = (1..=count).map(|i| format!("a|{i}")).collect();
    let comma = if more.is_empty() { "" } else { "," };
    let text = format!(
        r#"{{"companyHandle":"c|1","jobName":"life","reprocessAssetsJob":{{"assetHandleArray":{},
        "createMask":false,"emailSetting":"None"{comma}{more}}}}}"#,
        serde_json::to_string(&handles).unwrap()
    );
    save(folder, file, text.as_bytes());
}

/// Starts a run on the CPU without a report, with whatever else is asked for.
fn run_command(folder: &Path, arguments: &[&str]) -> Command {
    let mut all = vec!["run", "lib", "--backend", "cpu", "--no-report"];
    all.extend(arguments);
    command(folder, &all)
}

fn run(folder: &Path, arguments: &[&str]) -> Finished {
    Finished::of(&run_command(folder, arguments).output().unwrap())
}

/// A run in the background whose standard output is read line by line.
struct Background {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Background {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = run_command(folder, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Background { child, lines }
    }

    fn wait_for_line(&mut self, start: &str) {
        let found = self.lines.by_ref().map_while(Result::ok).any(|line| line.starts_with(start));
        assert!(found, "no line starts with {start:?}");
    }

    /// Until the program has opened a file of this ending.
    fn wait_until_it_reads(&self, ending: &str) {
        let folder = format!("/proc/{}/fd", self.child.id());
        let reads = || {
            let files = fs::read_dir(&folder).unwrap().filter_map(|file| fs::read_link(file.ok()?.path()).ok());
            files.into_iter().any(|path| path.to_string_lossy().ends_with(ending))
        };
        let start = std::time::Instant::now();
        while !reads() {
            assert!(start.elapsed() < Duration::from_secs(60), "no {ending} is open");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status().unwrap();
        assert!(sent.success());
    }

    /// Exit code and standard error.
    fn end(mut self) -> (Option<i32>, String) {
        for _ in self.lines.by_ref() {}
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap().code(), stderr)
    }
}

fn jobs(folder: &Path) -> Vec<Value> {
    let printed = reprise(folder, &["jobs", "lib", "--json"]).good();
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn log(folder: &Path, job: &str) -> Value {
    serde_json::from_str(&reprise(folder, &["log", "lib", job, "--json"]).good()).unwrap()
}

/// How often each asset was done in a job.
fn successes(folder: &Path, job: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for entry in log(folder, job)["detailArray"].as_array().unwrap() {
        if entry["logType"] == "ReoptimizeSuccess" {
            *counts.entry(entry["assetHandle"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    counts
}

/// Every file below the folder of pyramids, temporary ones included.
fn pyramids(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files)
            } else {
                drop(files.insert(path.clone(), fs::read(&path).unwrap()))
            }
        }
    }
    let mut files = BTreeMap::new();
    collect(&folder.join("lib/pyramids"), &mut files);
    files
}

#[track_caller]
fn assert_clean(folder: &Path) {
    let check = reprise(folder, &["check", "lib", "--pixels", "--hash"]);
    assert_eq!((check.code, check.stdout.as_str()), (0, ""), "{}", check.stderr);
}

#[test]
fn one_signal_finishes_what_is_in_flight_and_the_job_can_be_resumed() {
    for signal in ["INT", "TERM"] {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        library(folder, &[(700, 700); 12]);
        job(folder, "job.json", 12, "");
        let mut background = Background::start(folder, &["job.json", "--threads", "1", "--compression", "zstd"]);
        background.wait_for_line("ok");
        background.signal(signal);
        let (code, stderr) = background.end();
        assert_eq!(code, Some(130), "{stderr}");
        assert!(stderr.contains("--resume 'j|1'"), "{stderr}");

        let stopped = &jobs(folder)[0];
        let done = successes(folder, "j|1").len();
        assert!((1..12).contains(&done), "{done}");
        assert_eq!(stopped["jobState"], "WaitingClient");
        assert_eq!(stopped["fileSuccessCount"], done);
        assert_eq!(pyramids(folder).len(), done, "what was in flight is recorded, and nothing half-written is left");

        run(folder, &["--resume", "j|1"]).good();
        assert_eq!(successes(folder, "j|1"), (1..=12).map(|i| (format!("a|{i}"), 1)).collect(), "each once");
        assert_eq!(jobs(folder)[0]["jobState"], "Done");
        assert_clean(folder);
        // The options of the first command hold.
        assert!(log(folder, "j|1").to_string().matches("zstd").count() == 12);
        assert!(run(folder, &["--resume"]).stderr.contains("nothing to resume"));
        assert_eq!(run(folder, &["--resume", "--quality", "3"]).code, 2);
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[(2000, 2000)]);
    job(folder, "job.json", 1, SLOW);
    let mut background = Background::start(folder, &["job.json", "--threads", "1"]);
    background.wait_for_line("job j|1");
    // A signal before the asset starts would end the run in order.
    background.wait_until_it_reads(".png");
    background.signal("INT");
    std::thread::sleep(Duration::from_millis(100));
    background.signal("INT");
    assert_eq!(background.end().0, Some(130));
    assert!(reprise(folder, &["jobs", "lib"]).good().contains("Died"));
    let check = reprise(folder, &["check", "lib"]);
    assert!(check.code == 1 && check.stdout.contains("its process died"), "{}", check.stdout);
    run(folder, &["--resume"]).good();
    assert_clean(folder);
}

#[test]
fn convert_stops_after_what_is_in_flight() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    for i in 0..12 {
        save(folder, &format!("in/{i}.png"), &png(&scene(RGB, Size::new(700, 700), i)));
    }
    let mut child = command(folder, &["convert", "in", "out", "--threads", "1", "--backend", "cpu"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut background = Background { child, lines };
    background.wait_for_line("in/");
    background.signal("TERM");
    let (code, stderr) = background.end();
    assert_eq!(code, Some(130), "{stderr}");
    let made = fs::read_dir(folder.join("out")).unwrap().count();
    assert!((1..12).contains(&made) && stderr.contains(&format!("{made} of 12 converted")), "{made}: {stderr}");
}

/// Kills runs at random moments, resumes them, and compares with runs that nobody disturbed.
#[test]
fn nothing_is_lost_when_a_run_is_killed() {
    let kills: u32 = std::env::var("REPRISE_KILLS").map_or(40, |count| count.parse().unwrap());
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let mut random = Random(seed);
    let sizes = [(300, 200), (257, 300), (400, 400), (64, 64), (512, 100), (301, 299), (350, 350), (128, 500)];
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &sizes);
    // Two jobs with different results, so that a pyramid that was not made anew shows.
    let documents = ["plain.json", "sharp.json"];
    job(folder, documents[0], sizes.len(), "");
    job(folder, documents[1], sizes.len(), r#""unsharpMaskOptions":{"amount":2,"radius":1.5}"#);
    let mut expected = Vec::new();
    let mut longest = Duration::ZERO;
    for document in documents {
        let start = Instant::now();
        run(folder, &[document]).good();
        longest = longest.max(start.elapsed());
        expected.push(pyramids(folder));
    }
    assert_ne!(expected[0], expected[1]);

    let mut killed_at_work = 0;
    for kill in 0..kills {
        let which = kill as usize % 2;
        let before = jobs(folder).len();
        let mut command = run_command(folder, &[documents[which], "--threads", "2"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let [first, second] = [(); 2].map(|()| longest.mul_f64(f64::from(random.below(1000)) / 1000.0));
        std::thread::sleep(first);
        child.kill().unwrap();
        child.wait().unwrap();
        if jobs(folder).len() == before {
            // It died before it had taken note of the job; the same command again is all there is to do.
            run(folder, &[documents[which]]).good();
        } else {
            let alive = jobs(folder)[before]["jobState"] == "Running";
            killed_at_work += u32::from(alive);
            if kill % 3 == 0 {
                let mut resumed = run_command(folder, &["--resume"]);
                let mut child = resumed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                std::thread::sleep(second);
                child.kill().unwrap();
                child.wait().unwrap();
            }
            run(folder, &["--resume"]).good();
        }
        assert_clean(folder);
        assert!(pyramids(folder) == expected[which], "seed {seed}, kill {kill}: the pyramids differ");
        let job = format!("j|{}", jobs(folder).len());
        assert_eq!(successes(folder, &job).len(), sizes.len());
        assert!(successes(folder, &job).values().all(|times| *times == 1), "seed {seed}, kill {kill}: done twice");
    }
    assert!(killed_at_work >= kills / 8, "only {killed_at_work} of {kills} kills met a job at work");
}

#[test]
fn check_finds_what_does_not_agree_and_repairs_what_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[(300, 300); 6]);
    job(folder, "job.json", 6, "");
    run(folder, &["job.json"]).good();
    assert_clean(folder);
    let files: Vec<PathBuf> = pyramids(folder).into_keys().collect();
    let with = |path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    };
    fs::remove_file(&files[0]).unwrap();
    with(&files[1], &|bytes| bytes.truncate(bytes.len() / 2));
    // The last tile lies before the end of the file, the directories at its start.
    with(&files[2], &|bytes| {
        let end = bytes.len();
        bytes[end - 2000..end - 1900].fill(0x55);
    });
    let stray = save(folder, "lib/pyramids/0000/.reprise-Ab12Cd.tmp", b"half");
    let stranger = save(folder, "lib/pyramids/0000/holiday.tif", b"somebody's");
    fs::remove_file(folder.join("in/04.png")).unwrap();
    with(&folder.join("in/05.png"), &|bytes| bytes.push(0));
    let original = fs::File::options().write(true).open(folder.join("in/06.png")).unwrap();
    original.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();

    let check = reprise(folder, &["check", "lib", "--pixels"]);
    assert_eq!(check.code, 1);
    for words in [
        "a|1 ",
        "is not there",
        "a|2 ",
        "on record are",
        "a|3 ",
        "is damaged",
        ".reprise-Ab12Cd.tmp",
        "half-written",
        "holiday.tif",
        "does not know",
        "a|4 ",
        "a|5 ",
        "had",
        "a|6 ",
        "was written to",
    ] {
        assert!(check.stdout.contains(words), "{words}: {}", check.stdout);
    }
    assert_eq!(check.stdout.lines().count(), 8, "{}", check.stdout);
    assert!(stray.exists(), "a check without --repair changes nothing");
    assert!(!reprise(folder, &["check", "lib", "--hash"]).stdout.contains("a|6"), "the content is the same");

    let repair = reprise(folder, &["check", "lib", "--pixels", "--repair"]);
    assert_eq!(repair.code, 1, "originals and strangers are not repaired: {}", repair.stdout);
    assert_eq!(repair.stdout.lines().filter(|line| line.starts_with("repaired")).count(), 5, "{}", repair.stdout);
    assert!(!stray.exists() && stranger.exists() && !files[1].exists());
    assert!(files[3].exists() && folder.join("in/05.png").exists());

    fs::remove_file(&stranger).unwrap();
    save(folder, "in/04.png", &png(&scene(RGB, Size::new(300, 300), 3)));
    reprise(folder, &["ingest", "lib", "in"]).good();
    run(folder, &["job.json"]).good();
    assert_clean(folder);
}

#[test]
fn only_the_failed_assets_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[(200, 200); 4]);
    job(folder, "job.json", 5, "");
    let original = folder.join("in/02.png");
    fs::rename(&original, folder.join("elsewhere")).unwrap();
    let first = run(folder, &["job.json", "--compression", "lzw"]);
    assert!(first.code == 1 && first.stderr.contains("02.png") && first.stderr.contains("a|5"), "{}", first.stderr);
    fs::rename(folder.join("elsewhere"), &original).unwrap();

    let again = run(folder, &["--retry-failed", "j|1"]);
    assert_eq!(again.code, 1, "a|5 exists no more than before");
    assert!(again.stdout.contains("job j|2: 2 assets") && again.stdout.contains("lzw"), "{}", again.stdout);
    assert_eq!(successes(folder, "j|2").into_keys().collect::<Vec<_>>(), ["a|2"]);
    assert_eq!(jobs(folder)[1]["jobName"], "life_2");
    let none = run(folder, &["--retry-failed", "j|9"]);
    assert!(none.code == 2 && none.stderr.contains("no job has this handle"), "{}", none.stderr);
}

#[test]
fn an_original_that_changes_while_it_is_read_is_not_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[(2000, 2000)]);
    job(folder, "job.json", 1, "");
    run(folder, &["job.json"]).good();
    let before = pyramids(folder);
    job(folder, "slow.json", 1, SLOW);
    let mut background = Background::start(folder, &["slow.json", "--threads", "1"]);
    background.wait_for_line("job j|2");
    background.wait_until_it_reads(".png");
    std::thread::sleep(Duration::from_millis(50));
    let original = fs::File::options().write(true).open(folder.join("in/01.png")).unwrap();
    original.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
    let (code, stderr) = background.end();
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("changed while it was being read") || stderr.contains("was written to"), "{stderr}");
    assert!(pyramids(folder) == before, "the old pyramid is kept");

    let next = run(folder, &["slow.json"]);
    assert!(next.code == 1 && next.stderr.contains("reprise ingest"), "{}", next.stderr);
    reprise(folder, &["ingest", "lib", "in"]).good();
    run(folder, &["job.json"]).good();
    assert_clean(folder);
}

#[test]
fn a_folder_that_cannot_be_written_fails_assets_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[(200, 200), (300, 300)]);
    job(folder, "job.json", 2, "");
    save(folder, "lib/pyramids", b"a file in place of the folder");
    let failed = run(folder, &["job.json"]);
    assert!(failed.code == 1 && failed.stderr.contains("pyramids"), "{}", failed.stderr);
    fs::remove_file(folder.join("lib/pyramids")).unwrap();
    run(folder, &["--retry-failed", "j|1"]).good();
    assert_clean(folder);
}

/// Whether an external tool is there; says so aloud where it is not.
fn have(tool: &str, arguments: &[&str]) -> bool {
    let works = Command::new(tool).args(arguments).output().is_ok_and(|output| output.status.success());
    if !works {
        assert!(std::env::var_os("REPRISE_REQUIRE_TOOLS").is_none_or(|v| v != "1"), "{tool} is missing");
        eprintln!("skipped: {tool} {} does not work here", arguments.join(" "));
    }
    works
}

#[test]
fn a_file_over_the_size_limit_leaves_no_half_file_and_the_old_one_intact() {
    if !have("prlimit", &["--version"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[(1500, 1500), (100, 100)]);
    job(folder, "job.json", 2, "");
    run(folder, &["job.json"]).good();
    let before = pyramids(folder);
    let run = run_command(folder, &["job.json", "--compression", "none"]);
    let mut limited = Command::new("prlimit");
    limited.arg("--fsize=2000000").arg(run.get_program()).args(run.get_args()).current_dir(folder);
    let limited = Finished::of(&limited.output().unwrap());
    assert_eq!(limited.code, 1, "{}", limited.stderr);
    assert!(limited.stderr.contains("File too large"), "{}", limited.stderr);
    let after = pyramids(folder);
    assert_eq!(after.len(), 2, "no half file is left");
    let large = before.keys().next().unwrap();
    assert!(before[large] == after[large], "the old pyramid is kept");
    assert_clean(folder);
}

/// Unmounts when the test ends, however it ends.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_leaves_no_half_file_and_the_old_one_intact() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let disk = folder.join("lib/pyramids");
    fs::create_dir_all(&disk).unwrap();
    if !have("mount", &["-t", "tmpfs", "-o", "size=16m", "tmpfs", disk.to_str().unwrap()]) {
        return;
    }
    let _mount = Mount(disk);
    library(folder, &[(1200, 1200), (100, 100)]);
    job(folder, "job.json", 2, "");
    run(folder, &["job.json"]).good();
    let before = pyramids(folder);
    save(folder, "lib/pyramids/0000/filler", &vec![0; 8 << 20]);
    let full = run(folder, &["job.json", "--compression", "none"]);
    assert_eq!(full.code, 1, "{}", full.stderr);
    assert!(full.stderr.contains("No space left") || full.stderr.contains("disk is full"), "{}", full.stderr);
    fs::remove_file(folder.join("lib/pyramids/0000/filler")).unwrap();
    let after = pyramids(folder);
    let large = before.keys().next().unwrap();
    assert!(after.len() == 2 && before[large] == after[large]);
    assert_clean(folder);
}

#[test]
fn two_runs_never_share_a_library_and_a_log_can_be_followed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[(1500, 1500)]);
    job(folder, "job.json", 1, SLOW);
    let mut background = Background::start(folder, &["job.json"]);
    background.wait_for_line("job j|1");
    let follower = command(folder, &["log", "lib", "j|1", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    for arguments in [&["job.json"][..], &["--resume"]] {
        let second = run(folder, arguments);
        assert!(second.code == 3 && second.stderr.contains("another run"), "{}", second.stderr);
    }
    assert_eq!(reprise(folder, &["check", "lib"]).code, 3);
    assert!(reprise(folder, &["jobs", "lib"]).good().contains("Running"));
    assert_eq!(background.end().0, Some(0));
    let followed = Finished::of(&follower.wait_with_output().unwrap()).good();
    for entry in ["BeginReoptimize", "ReoptimizeSuccess", "EndReoptimize"] {
        assert_eq!(followed.matches(entry).count(), 1, "{followed}");
    }
    assert_clean(folder);
}

/// A receiver of notices that gives `answers`, one to a request, and returns what it was sent.
fn receiver(answers: &'static [&'static str]) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/done?job=1", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut request, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                request.push_str(&line);
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            request.push_str(std::str::from_utf8(&body).unwrap());
            requests.push(request);
            write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        }
        requests
    });
    (url, server)
}

#[test]
fn a_notice_is_posted_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[(100, 100), (120, 120)]);
    reprise(folder, &["settings", "lib", "allowPrivateNotices", "true"]).good();
    let (url, server) = receiver(&["503 Service Unavailable", "204 No Content"]);
    job(folder, "job.json", 3, &format!(r#""postHttpUrl":"{url}""#));
    let done = run(folder, &["job.json"]);
    assert!(done.code == 1 && !done.stderr.contains("notice"), "{}", done.stderr);
    let requests = server.join().unwrap();
    for request in &requests {
        assert!(request.starts_with("POST /done?job=1 HTTP/1.1\r\n"), "{request}");
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["jobHandle"], &body["jobState"]), (&"j|1".into(), &"Done".into()));
        assert_eq!((&body["fileSuccessCount"], &body["fileErrorCount"]), (&2.into(), &1.into()));
    }
}

#[test]
fn a_notice_that_cannot_be_delivered_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[(100, 100)]);
    // Loopback is not allowed from the start, and nobody is called.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
    job(folder, "job.json", 1, &format!(r#""postHttpUrl":"{url}""#));
    let refused = run(folder, &["job.json"]);
    assert!(refused.code == 0 && refused.stderr.contains("allowPrivateNotices"), "{}", refused.stderr);
    assert!(listener.accept().is_err(), "a connection was made");
    assert!(log(folder, "j|1").to_string().contains("the notice was not delivered"));

    reprise(folder, &["settings", "lib", "allowPrivateNotices", "true"]).good();
    let (url, server) = receiver(&["302 Found\r\nLocation: http://127.0.0.1:1/"]);
    job(folder, "job.json", 1, &format!(r#""postHttpUrl":"{url}""#));
    let redirected = run(folder, &["job.json"]);
    assert!(redirected.code == 0 && redirected.stderr.contains("redirect"), "{}", redirected.stderr);
    assert_eq!(server.join().unwrap().len(), 1);

    // Nothing was processed, so nobody is told: the receiver would be there.
    job(folder, "job.json", 1, &format!(r#""postHttpUrl":"{url}","postJobOnlyIfFiles":true"#));
    fs::remove_file(folder.join("in/01.png")).unwrap();
    let nothing = run(folder, &["job.json"]);
    assert!(nothing.code == 1 && !nothing.stderr.contains("notice"), "{}", nothing.stderr);
}

#[test]
fn settings_are_shown_and_changed_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    reprise(folder, &["init", "lib"]).good();
    let all = reprise(folder, &["settings", "lib"]).good();
    assert!(all.contains("retainPublishState false") && all.contains("allowPrivateNotices false"), "{all}");
    reprise(folder, &["settings", "lib", "retainPublishState", "true"]).good();
    assert_eq!(reprise(folder, &["settings", "lib", "retainPublishState"]).good(), "true\n");
    for wrong in [&["settings", "lib", "colour", "red"][..], &["settings", "lib", "retainPublishState", "perhaps"]] {
        assert_eq!(reprise(folder, wrong).code, 2);
    }
    assert_eq!(reprise(folder, &["settings", "lib", "retainPublishState"]).good(), "true\n");
}

#[test]
fn assets_join_the_projects_of_a_job() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[(100, 100), (120, 120)]);
    assert_eq!(reprise(folder, &["projects", "lib", "add", "Spring"]).good(), "p|1\n");
    assert_eq!(reprise(folder, &["projects", "lib", "add", "Spring"]).code, 2, "the name is taken");
    // a|3 does not exist, so it joins nothing.
    job(folder, "job.json", 3, r#""projectHandleArray":["p|1","p|7"]"#);
    for _ in 0..2 {
        let done = run(folder, &["job.json"]);
        assert!(done.stderr.contains("no project has the handle p|7"), "{}", done.stderr);
        let list = reprise(folder, &["projects", "lib"]).good();
        let row: Vec<&str> = list.lines().find(|line| line.contains("Spring")).unwrap().split_whitespace().collect();
        assert_eq!(row, ["p|1", "Spring", "2"]);
    }
}

#[test]
fn exec_time_is_waited_for_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[(100, 100)]);
    let at = |seconds: i64| {
        let time = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        let text = format!(
            r#"{{"companyHandle":"c|1","jobName":"later","execTime":"{time}","reprocessAssetsJob":
            {{"assetHandleArray":["a|1"],"createMask":false,"emailSetting":"None"}}}}"#
        );
        save(folder, "job.json", text.as_bytes());
        time
    };
    let time = at(2);
    let waited = run(folder, &["job.json", "--wait"]);
    assert!(jiff::Timestamp::now() >= time);
    assert!(waited.code == 0 && waited.stderr.contains("waiting until"), "{}", waited.stderr);
    assert!(!waited.stderr.contains("warning"), "{}", waited.stderr);

    // A time that has passed is now, and the log says so.
    at(-5);
    let now = run(folder, &["job.json"]);
    assert!(now.code == 0 && now.stderr.contains("has passed, the job runs now"), "{}", now.stderr);
    at(3600);
    let background = Background::start(folder, &["job.json", "--wait"]);
    std::thread::sleep(Duration::from_millis(1500));
    background.signal("INT");
    assert_eq!(background.end().0, Some(130));
    assert_eq!(jobs(folder).len(), 2, "a job that has not begun leaves nothing");
}

#[test]
fn a_bare_document_runs_again_and_no_password_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[(100, 100)]);
    let text = r#"<reprocessAssetsJob xmlns="http://www.scene7.com/IpsApi/xsd"><assetHandleArray><items>a|1</items>
        <items>a|2</items></assetHandleArray><createMask>false</createMask><emailSetting>None</emailSetting>
        <postHttpUrl>http://me:sesame@example.com/done</postHttpUrl></reprocessAssetsJob>"#;
    save(folder, "job.xml", text.as_bytes());
    let first = run(folder, &["job.xml"]);
    assert!(first.code == 1 && first.stderr.contains("user name or password"), "{}", first.stderr);
    let again = run(folder, &["--retry-failed", "j|1"]);
    assert!(again.code == 1 && again.stdout.contains("j|2: 1 assets"), "{}{}", again.stdout, again.stderr);
    assert_eq!(jobs(folder)[1]["jobName"], "Reprocess_2");
    for entry in fs::read_dir(folder.join("lib")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"sesame"), "{}", path.display());
        }
    }
}

/// A scheduler in the background; what it says comes on standard error.
fn scheduler(folder: &Path) -> (Child, std::io::Lines<BufReader<std::process::ChildStderr>>) {
    let arguments = ["scheduler", "lib", "--backend", "cpu", "--no-report", "--metrics", "127.0.0.1:0"];
    let mut child = command(folder, &arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    (child, lines)
}

/// A document over `a|1` with a start.
fn starting(folder: &Path, name: &str, start: &str) {
    let text = format!(
        r#"{{"companyHandle":"c|1","jobName":"{name}",{start},"reprocessAssetsJob":
        {{"assetHandleArray":["a|1"],"createMask":false,"emailSetting":"None"}}}}"#
    );
    save(folder, "job.json", text.as_bytes());
}

fn get(address: &str, target: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_scheduler_runs_jobs_at_their_times_and_tells_prometheus() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[(100, 100)]);
    let time = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    starting(folder, "once", &format!(r#""execTime":"{time}""#));
    let kept = run(folder, &["job.json"]);
    assert!(kept.code == 0 && kept.stderr.contains("once is scheduled for"), "{}", kept.stderr);
    starting(folder, "often", r#""execSchedule":"*/2 * * * * ?""#);
    run(folder, &["job.json"]).good();
    starting(folder, "never again", r#""execSchedule":"0 0 0 1 1 ? 2020""#);
    let refused = run(folder, &["job.json"]);
    assert!(refused.code == 2 && refused.stderr.contains("names no time to come"), "{}", refused.stderr);
    assert!(jobs(folder).is_empty(), "nothing has begun");
    let listed = reprise(folder, &["schedules", "lib"]).good();
    assert!(listed.contains("once") && listed.contains("*/2 * * * * ?"), "{listed}");

    let (child, mut lines) = scheduler(folder);
    let first = lines.next().unwrap().unwrap();
    let address = first.strip_prefix("metrics: http://").and_then(|rest| rest.strip_suffix("/metrics")).expect(&first);
    let done = |name: &str| {
        let finished = |job: &&Value| job["originalJobName"] == name && job["jobState"] == "Done";
        jobs(folder).iter().filter(finished).count()
    };
    let started = Instant::now();
    while done("once") < 1 || done("often") < 2 {
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", jobs(folder));
        std::thread::sleep(Duration::from_millis(200));
    }
    let figures = get(address, "/metrics");
    assert!(figures.starts_with("HTTP/1.1 200 OK"), "{figures}");
    let figure = |name: &str| -> f64 {
        let line = figures.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect(name);
        line.parse().unwrap()
    };
    assert!(figure("reprise_assets_total{outcome=\"success\"}") >= 3.0);
    assert!(figure("reprise_jobs_total") >= 3.0 && figure("reprise_asset_seconds_count") >= 3.0);
    assert!(figure("reprise_pixels_total") >= 30_000.0);
    for line in figures.lines().skip_while(|line| !line.is_empty()).skip(1).filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("reprise_") && line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(), "{line}");
    }
    assert!(get(address, "/other").starts_with("HTTP/1.1 404"));

    let signal = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
    assert!(signal.success());
    let mut child = child;
    // Whether a job was under way decides between 0 and 130.
    assert!(matches!(child.wait().unwrap().code(), Some(0 | 130)));
    assert_eq!(done("once"), 1, "and not again");
    reprise(folder, &["schedules", "lib", "remove", "often"]).good();
    assert!(!reprise(folder, &["schedules", "lib"]).good().contains("often"));
    assert_eq!(reprise(folder, &["schedules", "lib", "remove", "often"]).code, 2);
}

#[test]
fn a_scheduler_finishes_what_the_one_before_did_not() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[(700, 700); 8]);
    job(folder, "job.json", 8, "");
    let mut background = Background::start(folder, &["job.json", "--threads", "1"]);
    background.wait_for_line("ok");
    background.child.kill().unwrap();
    background.end();
    let (mut child, mut lines) = scheduler(folder);
    let said = lines.by_ref().map_while(Result::ok).any(|line| line.contains("j|1 was cut short and goes on"));
    assert!(said);
    assert!(lines.any(|line| line.unwrap().contains("nothing is scheduled")));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(successes(folder, "j|1").len(), 8);
    assert_clean(folder);
}

#[test]
fn the_report_of_a_resumed_job_covers_all_its_runs() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    // More than lanes: some assets are not begun when the signal comes.
    library(folder, &[(700, 700); 16]);
    job(folder, "job.json", 16, "");
    let mut background = Background::start(folder, &["job.json", "--threads", "1"]);
    background.wait_for_line("ok");
    background.signal("INT");
    assert_eq!(background.end().0, Some(130));
    reprise(folder, &["run", "lib", "--resume", "--backend", "cpu"]).good();
    let page = fs::read_to_string(folder.join("lib/reports/j-1.html")).unwrap();
    assert_eq!(page.matches("<article").count(), 16);
    assert!(page.contains("<dt>Assets done</dt><dd>16<small>of 16"), "all of them are counted");
    assert!(
        ["decode", "compress tile", "flush file"].iter().all(|stage| page.contains(stage)),
        "stages have their time"
    );
}

#[test]
fn a_catalog_that_cannot_be_written_is_said_before_anything_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    library(folder, &[(100, 100)]);
    job(folder, "job.json", 1, "");
    run(folder, &["job.json"]).good();
    let before = pyramids(folder);
    let library = folder.join("lib");
    let (from, to) = (library.to_str().unwrap(), folder.join("ro"));
    fs::create_dir(&to).unwrap();
    // Permissions do not hold root back; a mount that is read-only does.
    if !have("mount", &["--bind", from, to.to_str().unwrap()]) {
        return;
    }
    let _mount = Mount(to.clone());
    if !have("mount", &["-o", "remount,ro,bind", to.to_str().unwrap()]) {
        return;
    }
    let failed = reprise(folder, &["run", "ro", "job.json", "--backend", "cpu", "--no-report"]);
    assert_eq!(failed.code, 3, "{}", failed.stderr);
    assert!(failed.stderr.contains("read-only") || failed.stderr.contains("permissions"), "{}", failed.stderr);
    assert!(pyramids(folder) == before);
    assert_eq!(jobs(folder).len(), 1);
}
