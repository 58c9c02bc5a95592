//! Video and audio: renditions that ffprobe reads, sets that are updated, thumbnails of the right frame.
//!
//! Originals are made by FFmpeg's own sources, so that every frame is known.

use std::path::{Path, PathBuf};
use std::process::Command;

use reprise::catalog::{Handle, Library};
use reprise::encode::ptiff;
use reprise::external;
use reprise::pixel::Raster;
use serde_json::Value;

use crate::documents::{assets, handles, library, pyramid, run, skip};
use crate::originals::save;
use crate::program::reprise;

/// A folder with an empty library; `None`, said aloud, without FFmpeg.
fn shop() -> Option<tempfile::TempDir> {
    if external::ffmpeg().is_none() || external::ffprobe().is_none() {
        skip("FFmpeg");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    library(dir.path(), &[]);
    Some(dir)
}

/// Runs ffmpeg in `folder`.
fn ffmpeg(folder: &Path, arguments: &str) {
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A second each of red, green and blue with a tone, 320 × 180, 10 frames a second.
const COLORS: &str = "-f lavfi -i color=red:s=320x180:r=10:d=1[a];color=lime:s=320x180:r=10:d=1[b];\
    color=blue:s=320x180:r=10:d=1[c];[a][b][c]concat=n=3 -f lavfi -i sine=d=3";
const FAST: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -shortest";

fn colors(folder: &Path, name: &str) {
    ffmpeg(folder, &format!("{COLORS} {FAST} {name}"));
}

/// What ffprobe says of a file.
fn probe(path: &Path, what: &[&str]) -> Value {
    let output = Command::new("ffprobe").args(["-v", "error", "-of", "json"]).args(what).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn streams(path: &Path) -> Vec<Value> {
    probe(path, &["-show_streams"])["streams"].as_array().unwrap().clone()
}

fn ingest(folder: &Path, name: &str) {
    reprise(folder, &["ingest", "lib", name]).good();
}

/// The video of colours as `a|1`.
fn shoe(folder: &Path) {
    colors(folder, "shoe.mp4");
    ingest(folder, "shoe.mp4");
}

fn renditions_of(folder: &Path, original: &str) -> Vec<Value> {
    let mut found = assets(folder);
    found.retain(|asset| asset["originator"]["handle"] == original);
    found
}

fn file(rendition: &Value) -> PathBuf {
    rendition["rendition"]["path"].as_str().unwrap_or_else(|| panic!("no file: {rendition}")).into()
}

fn encode(presets: &str) -> String {
    format!(r#","mediaOptions":{{"videoEncodingPresetsArray":{presets}}}"#)
}

fn thumbnail(time: &str) -> String {
    let option =
        if time.is_empty() { String::new() } else { format!(r#","thumbnailOptions":{{"thumbnailTime":{time}}}"#) };
    format!(r#","mediaOptions":{{"generateThumbnail":true{option}}}"#)
}

#[test]
fn an_adaptive_set_is_made_and_made_again() {
    let Some(dir) = shop() else { return };
    let folder = dir.path();
    ffmpeg(folder, &format!("-f lavfi -i testsrc2=s=480x400:r=12:d=3 -f lavfi -i sine=d=3 {FAST} shoe.mp4"));
    ingest(folder, "shoe.mp4");
    let wish = encode(r#"["ps|adaptive"]"#);
    let printed = run(folder, &["a|1"], &wish, &[]).good();
    assert!(printed.contains("3 renditions, adaptive set of 3"), "{printed}");

    let first = renditions_of(folder, "a|1");
    let names: Vec<_> = first.iter().map(|asset| asset["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["shoe_240p", "shoe_360p", "shoe_480p"]);
    for (asset, size) in first.iter().zip([(288, 240), (432, 360), (480, 400)]) {
        let streams = streams(&file(asset));
        let codecs: Vec<_> = streams.iter().map(|stream| stream["codec_name"].as_str().unwrap()).collect();
        assert_eq!(codecs, ["h264", "aac"]);
        let found = (streams[0]["width"].as_u64().unwrap(), streams[0]["height"].as_u64().unwrap());
        assert_eq!((found, streams[0]["pix_fmt"].as_str().unwrap()), (size, "yuv420p"));
        assert_eq!((asset["rendition"]["width"].as_u64().unwrap(), asset["kind"].as_str().unwrap()), (size.0, "video"));
        // Key frames stand on a grid of two seconds in every rendition.
        let frames =
            probe(&file(asset), &["-select_streams", "v", "-skip_frame", "nokey", "-show_entries", "frame=pts_time"]);
        let keys: Vec<f64> = frames["frames"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["pts_time"].as_str().unwrap().parse().unwrap())
            .collect();
        assert_eq!(keys, [0.0, 2.0]);
    }
    let library = Library::open(folder.join("lib")).unwrap();
    let set = library.video_set(&Handle::from("a|1")).unwrap().unwrap();
    let members: Vec<_> = set.members.iter().map(Handle::as_str).collect();
    assert_eq!((set.name.as_str(), &members), ("shoe-AVS", &handles(&first)));
    drop(library);

    // The same again: the same assets, the same bytes, the same set.
    let bytes = |assets: &[Value]| assets.iter().map(|asset| std::fs::read(file(asset)).unwrap()).collect::<Vec<_>>();
    let before = bytes(&first);
    run(folder, &["a|1"], &wish, &["--threads", "1"]).good();
    let second = renditions_of(folder, "a|1");
    assert_eq!(handles(&first), handles(&second));
    assert!(before == bytes(&second), "encoding twice gives different bytes");
    assert!(reprise(folder, &["log", "lib", "j|2"]).good().contains("3 renditions replace earlier ones"));

    // Another preset: its rendition joins, and what is not named is kept, in the set too, and reported.
    let third = run(folder, &["a|1"], &encode(r#"["ps|webm-720p","ps|mp3-192k"]"#), &[]);
    assert!(third.stderr.contains(&format!("are kept: {}", handles(&first).join(", "))), "{}", third.stderr);
    let all = renditions_of(folder, "a|1");
    let found: Vec<_> = streams(&file(&all[3])).iter().map(|stream| stream["codec_name"].clone()).collect();
    assert_eq!((all.len(), found), (5, vec![Value::from("vp9"), Value::from("opus")]));
    assert_eq!((all[4]["kind"].as_str(), streams(&file(&all[4])).len()), (Some("audio"), 1));
    let library = Library::open(folder.join("lib")).unwrap();
    assert_eq!(library.video_set(&Handle::from("a|1")).unwrap().unwrap(), set);
    drop(library);

    // A rendition can be asked for by its own handle.
    let handle = first[1]["handle"].as_str().unwrap();
    let one = run(folder, &[handle], "", &[]);
    assert!(one.stdout.contains("1 rendition,") && !one.stderr.contains("are kept"), "{}{}", one.stdout, one.stderr);
    assert_eq!(handles(&renditions_of(folder, "a|1")), handles(&all));
    assert!(reprise(folder, &["check", "lib", "--pixels", "--hash"]).good().is_empty());

    // What is in a file is on record.
    let (first_file, recorded) = (file(&all[0]), all[0]["rendition"]["hash"].as_str().unwrap());
    let content = std::fs::read(&first_file).unwrap();
    assert_eq!(recorded, blake3::hash(&content).to_string());
    std::fs::write(&first_file, vec![0; content.len()]).unwrap();
    assert!(reprise(folder, &["check", "lib"]).good().is_empty());
    let found = reprise(folder, &["check", "lib", "--hash"]);
    assert!(found.code == 1 && found.stdout.contains("the rendition has other content"), "{}", found.stdout);

    // Lost files are named, taken off the record, and made anew.
    std::fs::remove_file(file(&all[0])).unwrap();
    std::fs::write(file(&all[1]), "cut").unwrap();
    let found = reprise(folder, &["check", "lib"]);
    assert_eq!(found.code, 1);
    reprise(folder, &["check", "lib", "--repair"]).good();
    run(folder, &["a|1"], &wish, &[]).good();
    assert!(before == bytes(&renditions_of(folder, "a|1")[..3]));
}

fn image(asset: &Value) -> Raster {
    ptiff::read_level(&pyramid(asset), 0).unwrap()
}

#[test]
fn thumbnails_show_the_frame_that_was_asked_for() {
    let Some(dir) = shop() else { return };
    let folder = dir.path();
    shoe(folder);
    let (red, green, blue) = ([255, 0, 0], [0, 255, 0], [0, 0, 255]);
    for (time, color, warns) in [
        ("", red, false),
        ("0", red, false),
        ("950", green, false),
        ("1500", green, false),
        ("2000", blue, false),
        // Behind the start of the last frame none follows, but it is what is shown then.
        ("2950", blue, false),
        ("3100", red, true),
        ("-1", red, true),
    ] {
        let done = run(folder, &["a|1"], &thumbnail(time), &[]);
        assert_eq!((done.code, done.stderr.contains("first frame is used")), (0, warns), "{time}: {}", done.stderr);
        let found = image(&assets(folder)[0]);
        assert_eq!((found.width, found.height), (320, 180));
        for (channel, wanted) in color.into_iter().enumerate() {
            assert!(found.at(160, 90, channel).abs_diff(wanted) < 4, "{time}: channel {channel}");
        }
    }
    // It goes the way of every image.
    let wish = format!(r#"{},"manualCropOptions":{{"left":10,"right":20,"top":30,"bottom":40}}"#, thumbnail("1500"));
    run(folder, &["a|1"], &wish, &[]).good();
    let asset = &assets(folder)[0];
    assert_eq!((image(asset).width, image(asset).height, asset["crop"]["left"].as_u64()), (290, 110, Some(10)));
    assert_eq!(assets(folder).len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_shows_how_far_an_encoding_is() {
    let Some(dir) = shop() else { return };
    let folder = dir.path();
    if Command::new("script").arg("--version").output().is_err() {
        return skip("script, of util-linux");
    }
    ffmpeg(folder, &format!("-f lavfi -i testsrc2=s=640x360:r=25:d=40 {FAST} -an long.mp4"));
    ingest(folder, "long.mp4");
    let wish = encode(r#"["ps|mp4-360p"]"#);
    let job = format!(
        r#"{{"companyHandle":"c|1","jobName":"j","reprocessAssetsJob":{{"assetHandleArray":["a|1"],
        "createMask":false,"emailSetting":"None"{wish}}}}}"#
    );
    save(folder, "job.json", job.as_bytes());
    // A terminal of its own, wide enough for the whole line.
    let shown = format!("stty cols 200; '{}' run lib job.json --no-report", env!("CARGO_BIN_EXE_reprise"));
    let output = Command::new("script").args(["-qec", &shown, "/dev/null"]).current_dir(folder).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    let percent = shown.split("long ps|mp4-360p ").skip(1).filter_map(|rest| rest.split_once(" %")?.0.parse().ok());
    let percent: Vec<u32> = percent.collect();
    assert!(percent.iter().any(|share| (1..100).contains(share)), "{shown}");
    assert!(percent.is_sorted(), "{percent:?}");
}

#[test]
fn frames_are_turned_and_stretched_as_players_do() {
    let Some(dir) = shop() else { return };
    let folder = dir.path();
    colors(folder, "flat.mp4");
    ffmpeg(folder, "-i flat.mp4 -c copy -metadata:s:v:0 rotate=90 turned.mp4");
    ffmpeg(folder, "-i flat.mp4 -an -vf setsar=2 -c:v libx264 -preset ultrafast wide.mp4");
    ffmpeg(folder, "-f lavfi -i color=red:s=64x48:d=1,format=yuv422p10le -c:v ffv1 deep.mkv");
    for name in ["turned.mp4", "wide.mp4", "deep.mkv"] {
        ingest(folder, name);
    }
    let wish = r#","mediaOptions":{"generateThumbnail":true,"videoEncodingPresetsArray":["ps|mp4-240p"]}"#;
    run(folder, &["a|1", "a|2", "a|3"], wish, &[]).good();
    let all = assets(folder);
    let sizes: Vec<_> = all[..3].iter().map(image).map(|image| (image.width, image.height)).collect();
    assert_eq!(sizes, [(180, 320), (640, 180), (64, 48)]);
    assert_eq!(image(&all[2]).format.depth.max(), 65_535);
    for (handle, size) in [("a|1", (136, 240)), ("a|2", (640, 180))] {
        let video = &streams(&file(&renditions_of(folder, handle)[0]))[0];
        assert_eq!((video["width"].as_u64().unwrap(), video["height"].as_u64().unwrap()), size);
    }
}

#[test]
fn audio_files_are_encoded() {
    let Some(dir) = shop() else { return };
    let folder = dir.path();
    ffmpeg(folder, "-f lavfi -i sine=d=2 -ac 1 song.wav");
    ffmpeg(
        folder,
        "-f lavfi -i sine=d=1 -f lavfi -i color=blue:s=40x30:d=1 -frames:v 1 -map 0 -map 1 -c:v png \
        -disposition:v attached_pic covered.mp3",
    );
    ingest(folder, "song.wav");
    ingest(folder, "covered.mp3");
    let presets = r#"["ps|mp3-192k","ps|m4a-128k","ps|mp4-240p","ps|adaptive"]"#;
    let done = run(folder, &["a|1"], &encode(presets), &[]);
    assert!(done.stdout.contains("2 renditions"), "{}{}", done.stdout, done.stderr);
    assert!(done.stderr.contains("ps|mp4-240p is for video"), "{}", done.stderr);
    let found = renditions_of(folder, "a|1");
    let codecs: Vec<_> =
        found.iter().map(|asset| streams(&file(asset))[0]["codec_name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(codecs, ["mp3", "aac"]);
    assert_eq!(Library::open(folder.join("lib")).unwrap().video_set(&Handle::from("a|1")).unwrap(), None);

    // Only the file with a cover has a picture.
    let done = run(folder, &["a|1", "a|2"], &thumbnail(""), &[]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("audio without a cover"), "{}", done.stderr);
    let cover = image(&assets(folder)[1]);
    assert_eq!((cover.width, cover.height, cover.at(20, 15, 2)), (40, 30, 254));
}

#[test]
fn containers_are_known_by_content() {
    let Some(dir) = shop() else { return };
    let folder = dir.path();
    let both = "-f lavfi -i testsrc=s=64x48:r=10:d=0.3 -f lavfi -i sine=d=0.3";
    let sound = "-f lavfi -i sine=d=0.3";
    for (kind, format, arguments) in [
        ("video", "mp4", format!("{both} {FAST}")),
        ("video", "mov", format!("{both} {FAST}")),
        ("video", "matroska", format!("{both} {FAST}")),
        ("video", "webm", format!("{both} -c:v libvpx -c:a libvorbis")),
        ("video", "avi", format!("{both} -c:v mpeg4 -c:a mp2")),
        ("video", "mpeg", format!("{both} -r 25 -c:v mpeg1video -c:a mp2")),
        ("video", "ogg", format!("{both} -c:v libtheora -c:a libvorbis")),
        ("video", "mpegts", format!("{both} {FAST}")),
        ("audio", "mp3", sound.to_owned()),
        ("audio", "wav", sound.to_owned()),
        ("audio", "flac", sound.to_owned()),
        ("audio", "ogg", sound.to_owned()),
        ("audio", "ipod", sound.to_owned()),
        ("audio", "adts", sound.to_owned()),
    ] {
        ffmpeg(folder, &format!("{arguments} -f {format} file.jpg"));
        ingest(folder, "file.jpg");
        assert_eq!(assets(folder)[0]["kind"], kind, "{format}");
        let wish = if kind == "video" { thumbnail("") } else { encode(r#"["ps|mp3-192k"]"#) };
        let done = run(folder, &["a|1"], &wish, &[]);
        assert_eq!(done.code, 0, "{format}: {}", done.stderr);
    }
}

#[test]
fn what_is_wrong_with_a_video_is_said_and_nothing_is_lost() {
    let Some(dir) = shop() else { return };
    let folder = dir.path();
    colors(folder, "shoe.mkv");
    colors(folder, "index.mp4");
    let whole = std::fs::read(folder.join("shoe.mkv")).unwrap();
    ingest(folder, "shoe.mkv");
    run(folder, &["a|1"], &encode(r#"["ps|mp4-240p"]"#), &[]).good();
    let made = file(&renditions_of(folder, "a|1")[0]);
    let before = std::fs::read(&made).unwrap();

    let half = whole[..whole.len() / 2].to_vec();
    let index = std::fs::read(folder.join("index.mp4")).unwrap();
    save(folder, "shoe.mkv", &half);
    save(folder, "index.mp4", &index[..index.len() - 600]);
    let mut garbage = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41".to_vec();
    garbage.extend((0..5000u32).map(|i| (i * 7919 % 251) as u8));
    save(folder, "garbage.mp4", &garbage);
    ffmpeg(folder, "-f lavfi -i color=red:s=320x180:d=1 -c:v libx264 -preset ultrafast good.mp4");
    for name in ["shoe.mkv", "index.mp4", "garbage.mp4", "good.mp4"] {
        ingest(folder, name);
    }
    let done = run(folder, &["a|1", "a|3", "a|4", "a|5"], &encode(r#"["ps|mp4-240p"]"#), &[]);
    assert_eq!(done.code, 1);
    for (name, words) in [
        ("shoe", "it is truncated or damaged"),
        ("index", "FFmpeg gave up reading the file"),
        ("garbage", "moov atom not found"),
    ] {
        let line = done.stderr.lines().find(|line| line.contains(&format!(" {name}: ")));
        assert!(line.is_some_and(|line| line.contains(words)), "{name}: {}", done.stderr);
    }
    assert!(done.stdout.contains("good: "), "{}", done.stdout);
    assert!(before == std::fs::read(&made).unwrap(), "the rendition of the whole original is gone");
    assert_eq!(renditions_of(folder, "a|1")[0]["rendition"]["current"], false);

    // Bounds can be set.
    save(folder, "shoe.mkv", &whole);
    ingest(folder, "shoe.mkv");
    let long = "-f lavfi -i color=red:s=32x32:r=1:d=70 -c:v libx264 -preset ultrafast long.mp4";
    ffmpeg(folder, long);
    ingest(folder, "long.mp4");
    let handle = assets(folder).last().unwrap()["handle"].as_str().unwrap().to_owned();
    let done = run(folder, &[&handle], &encode(r#"["ps|mp4-240p"]"#), &["--max-minutes", "1"]);
    assert!(done.stderr.contains("raise --max-minutes"), "{}", done.stderr);
}

#[test]
fn a_video_leads_to_no_other_file() {
    let Some(dir) = shop() else { return };
    let folder = dir.path();
    colors(folder, "secret.mp4");
    // A playlist that begins like an Ogg file is still no playlist to be followed.
    let list =
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{}/secret.mp4\n#EXT-X-ENDLIST\n", folder.display());
    save(folder, "list.m3u8", list.as_bytes());
    assert_ne!(reprise(folder, &["ingest", "lib", "list.m3u8"]).code, 0);
    for prefix in ["ID3", "OggS", "fLaC"] {
        save(folder, "list.mp3", format!("{prefix}\n{list}").as_bytes());
        ingest(folder, "list.mp3");
        let done = run(folder, &["a|1"], &encode(r#"["ps|mp3-192k"]"#), &[]);
        assert_eq!(done.code, 1, "{prefix}: {}", done.stdout);
    }
    assert!(assets(folder).iter().all(|asset| asset["rendition"].is_null()));
}

#[test]
fn a_preset_of_ones_own_is_used_and_may_change() {
    let Some(dir) = shop() else { return };
    let folder = dir.path();
    shoe(folder);
    let preset = |container: &str, width: u32| {
        let text = format!(
            "kind = \"VideoEncoding\"\nname = \"small\"\ncontainer = \"{container}\"\nsuffix = \"_small\"\n
             [video]\ncodec = \"hevc\"\nwidth = {width}\nbitsPerSecond = 100000\n"
        );
        save(folder, "preset.toml", text.as_bytes());
        reprise(folder, &["presets", "lib", "add", "preset.toml"]).good().trim().to_owned()
    };
    let handle = preset("mp4", 256);
    let wish = encode(&format!(r#"["{handle}"]"#));
    run(folder, &["a|1"], &wish, &[]).good();
    let video = |index: usize| streams(&file(&renditions_of(folder, "a|1")[index]));
    assert_eq!(
        (video(0).len(), &video(0)[0]["codec_tag_string"], &video(0)[0]["width"]),
        (1, &"hvc1".into(), &256.into())
    );
    // The same preset changed: the same rendition. In another container it is another file, and the old one is kept.
    assert_eq!(preset("mp4", 192), handle);
    run(folder, &["a|1"], &wish, &[]).good();
    assert_eq!((renditions_of(folder, "a|1").len(), &video(0)[0]["width"]), (1, &192.into()));
    preset("mkv", 224);
    let done = run(folder, &["a|1"], &wish, &[]);
    assert!(done.code == 0 && done.stderr.contains("are kept: a|2"), "{}", done.stderr);
    assert_eq!((&video(0)[0]["width"], &video(1)[0]["width"]), (&192.into(), &224.into()));
    let listed = reprise(folder, &["presets", "lib"]).good();
    assert!(listed.contains("small") && listed.contains("ps|mp4-720p"), "{listed}");
    assert!(reprise(folder, &["presets", "lib", "show", "ps|mp4-720p"]).good().contains("h264"));
    assert_ne!(reprise(folder, &["presets", "lib", "add", "job.json"]).code, 0);
}

#[test]
fn presets_are_checked_before_anything_runs() {
    let Some(dir) = shop() else { return };
    let folder = dir.path();
    shoe(folder);
    let done = run(folder, &["a|1"], &encode(r#"["ps|mp4-240p","ps|77"]"#), &[]);
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("ps|77"), "{}", done.stderr);
    assert!(assets(folder).len() == 1);
    let done = run(folder, &["a|1"], "", &[]).good();
    assert!(done.contains("kept as it is"), "{done}");
    let rehearsed = run(folder, &["a|1"], &encode(r#"["ps|mp4-240p","ps|adaptive"]"#), &["--dry-run"]).good();
    assert!(rehearsed.contains("ps|mp4-240p; the adaptive presets that fit"), "{rehearsed}");
    assert_eq!(assets(folder).len(), 1);
}
