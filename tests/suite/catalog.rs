//! The catalog: libraries, ingest, results, job log, and what goes wrong with each.

use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use reprise::catalog::{
    Asset, AssetFilter, AssetResult, Crop, CropChange, CropOrigin, Handle, HandleKind, IngestOutcome, JobRecord,
    JobState, Library, LogEntry, LogPage, LogType, NewDerivative, NewMask, NewOriginal, Settings, TaskOutcome,
    TaskState,
};
use reprise::decode::Kind;
use reprise::engine::ingest::ingest;
use reprise::geometry::Insets;
use reprise::limits::Limits;
use reprise::{Error, ErrorKind};
use serde_json::{Value, json};

/// A new library in a temporary folder, which lives as long as the first part.
fn new_library() -> (tempfile::TempDir, Library) {
    let dir = tempfile::tempdir().unwrap();
    let library = Library::create(dir.path().join("library")).unwrap();
    (dir, library)
}

fn original(path: impl Into<PathBuf>, content: &[u8]) -> NewOriginal {
    NewOriginal {
        path: path.into(),
        kind: Kind::Jpeg,
        size_bytes: content.len() as u64,
        modified: "2024-05-06T07:08:09.123456789Z".parse().unwrap(),
        hash: blake3::hash(content),
        width: Some(640),
        height: Some(480),
        format: Some("8-bit RGB".into()),
    }
}

fn take_in(library: &mut Library, name: &str) -> Asset {
    let ingested = library.ingest(&original(format!("/originals/{name}.jpg"), name.as_bytes())).unwrap();
    assert_eq!(ingested.outcome, IngestOutcome::New);
    library.asset(&ingested.handle).unwrap().unwrap()
}

fn derivative(asset: &Asset) -> NewDerivative {
    NewDerivative {
        bytes: 12_345,
        width: 640,
        height: 480,
        levels: 3,
        compression: "deflate".into(),
        hash: Some(blake3::hash(b"derivative")),
        source_hash: asset.hash,
    }
}

fn success(asset: &Asset) -> AssetResult {
    AssetResult {
        derivative: Some(derivative(asset)),
        ..AssetResult::without_change(
            TaskOutcome::Success,
            vec![LogEntry::new(LogType::ReoptimizeSuccess, "processed")],
        )
    }
}

fn failure(message: &str) -> AssetResult {
    AssetResult::without_change(TaskOutcome::Failure, vec![LogEntry::new(LogType::ReoptimizeFailure, message)])
}

#[track_caller]
fn assert_error<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind, words: &str) {
    let error = result.expect_err("it should fail");
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.to_string().contains(words), "{error:?} does not say {words:?}");
}

/// Runs SQL on a library's database, as another program would.
fn tamper(library: &Path, sql: &str) {
    rusqlite::Connection::open(library.join("library.sqlite")).unwrap().execute_batch(sql).unwrap();
}

mod library {
    use super::*;

    #[test]
    fn is_made_once_with_the_folders_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/library");
        assert_eq!(Library::create(&path).unwrap().dir(), fs::canonicalize(&path).unwrap());
        assert_error(Library::create(&path), ErrorKind::Misuse, "is a library already");
        assert_eq!(Library::open(&path).unwrap().asset_count().unwrap(), 0);
    }

    #[test]
    fn is_told_from_other_folders() {
        let dir = tempfile::tempdir().unwrap();
        assert_error(Library::open(dir.path()), ErrorKind::Misuse, "reprise init");
        assert_error(Library::open(dir.path().join("nowhere")), ErrorKind::Misuse, "not a library");
        tamper(dir.path(), "CREATE TABLE cookies (id INTEGER)");
        assert_error(Library::open(dir.path()), ErrorKind::Misuse, "another program");
        // And the other program's database is as it was.
        let header = fs::read(dir.path().join("library.sqlite")).unwrap();
        assert_eq!(header[18..20], [1, 1], "not switched to WAL");
    }

    #[test]
    fn cut_short_while_it_was_made_is_completed() {
        let dir = tempfile::tempdir().unwrap();
        File::create(dir.path().join("library.sqlite")).unwrap();
        let mut library = Library::open(dir.path()).unwrap();
        take_in(&mut library, "first");
        assert_eq!(library.asset_count().unwrap(), 1);
    }

    /// The catalog of a released version, with data in it, must open for ever.
    #[test]
    fn of_version_1_opens_with_its_data() {
        let dir = tempfile::tempdir().unwrap();
        tamper(dir.path(), include_str!("catalog/version_1.sql"));
        let library = Library::open(dir.path()).unwrap();
        let assets: Vec<Asset> = library.assets(AssetFilter::default()).collect::<Result<_, _>>().unwrap();
        assert_eq!(assets.len(), 2);
        assert_eq!(assets[0].name, "shoe");
        assert_eq!(assets[0].kind, Kind::Tiff);
        assert!(assets[0].ready_for_publish);
        let insets = Insets { left: 1, right: 2, top: 3, bottom: 4 };
        assert_eq!(assets[0].crop, Some(Crop { insets, origin: CropOrigin::Manual }));
        let derivative = assets[0].derivative.as_ref().unwrap();
        assert_eq!(derivative.path, library.dir().join("pyramids/0000/1-shoe.tif"));
        assert!(derivative.current);
        assert!(assets[1].derivative.is_none());
        let log = library.job_log(&Handle::from("j|1")).unwrap();
        assert_eq!((log.file_success_count, log.file_error_count, log.total_file_count), (1, 1, 2));
        assert_eq!(log.detail_array.len(), 2);
        assert_eq!(log.detail_array[1].aux[0].message, "row 17");
        assert!(library.settings().unwrap().retain_publish_state);
    }

    #[test]
    fn of_a_newer_program_is_refused_and_left_alone() {
        let (dir, library) = new_library();
        let path = library.dir().to_owned();
        drop(library);
        tamper(&path, "PRAGMA user_version = 4711");
        assert_error(Library::open(&path), ErrorKind::Catalog, "version 4711, made by a newer program");
        drop(dir);
    }

    #[test]
    fn that_is_damaged_gives_a_clear_error() {
        let (_dir, mut library) = new_library();
        let path = library.dir().to_owned();
        for number in 0..500 {
            take_in(&mut library, &format!("asset {number}"));
        }
        drop(library);
        let file = path.join("library.sqlite");
        let whole = fs::read(&file).unwrap();

        fs::write(&file, b"this was a database once, and now it is a text of some length".repeat(100)).unwrap();
        assert_error(Library::open(&path), ErrorKind::Catalog, "damaged");

        // Only the header is left whole.
        let mut holes = whole.clone();
        holes[4096..].fill(0xa5);
        fs::write(&file, holes).unwrap();
        let read = Library::open(&path).and_then(|l| l.assets(AssetFilter::default()).collect::<Result<Vec<_>, _>>());
        assert_error(read, ErrorKind::Catalog, "damaged");

        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        let read = Library::open(&path).and_then(|l| l.assets(AssetFilter::default()).collect::<Result<Vec<_>, _>>());
        assert_error(read, ErrorKind::Catalog, "damaged");
    }

    #[test]
    fn with_values_from_elsewhere_gives_a_clear_error() {
        let (_dir, mut library) = new_library();
        let asset = take_in(&mut library, "shoe");
        tamper(library.dir(), "UPDATE assets SET kind = 'hologram'");
        assert_error(library.asset(&asset.handle), ErrorKind::Catalog, "hologram");
        tamper(library.dir(), "UPDATE assets SET kind = 'jpeg'");
        let job = library.begin_job(&JobRecord::reprocess("job", vec![asset.handle.clone()])).unwrap();
        library.finish_asset(&job, &asset.handle, &success(&asset)).unwrap();
        tamper(library.dir(), "UPDATE derivatives SET path = '../../etc/passwd'");
        assert_error(library.asset(&asset.handle), ErrorKind::Catalog, "leads out of the library");
    }

    #[test]
    fn can_go_to_another_thread() {
        fn is_send<T: Send>() {}
        is_send::<Library>();
    }

    #[test]
    fn can_be_open_twice() {
        let (_dir, mut first) = new_library();
        let mut second = Library::open(first.dir()).unwrap();
        let a = take_in(&mut first, "a");
        let b = take_in(&mut second, "b");
        assert_ne!(a.handle, b.handle);
        assert_eq!(second.asset(&a.handle).unwrap().unwrap().name, "a");
        assert_eq!(first.asset(&b.handle).unwrap().unwrap().name, "b");
    }

    #[test]
    fn takes_writes_from_many_connections_at_once() {
        let (_dir, library) = new_library();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let mut library = Library::open(library.dir()).unwrap();
                scope.spawn(move || {
                    for number in 0..50 {
                        take_in(&mut library, &format!("{thread}-{number}"));
                    }
                });
            }
        });
        assert_eq!(library.asset_count().unwrap(), 200);
    }

    #[test]
    fn is_locked_for_one_run_at_a_time() {
        let (_dir, mut library) = new_library();
        let other = Library::open(library.dir()).unwrap();
        let lock = library.lock_for_run().unwrap();
        assert_error(other.lock_for_run(), ErrorKind::Catalog, "another run is using this library");
        // The lock is for runs: looking and taking in go on.
        take_in(&mut library, "meanwhile");
        assert_eq!(other.asset_count().unwrap(), 1);
        drop(lock);
        drop(other.lock_for_run().unwrap());
    }

    #[test]
    fn remembers_settings() {
        let (_dir, mut library) = new_library();
        assert_eq!(library.settings().unwrap(), Settings::default());
        library.set_settings(&Settings { retain_publish_state: true, ..Settings::default() }).unwrap();
        library.set_settings(&Settings { retain_publish_state: true, ..Settings::default() }).unwrap();
        assert!(Library::open(library.dir()).unwrap().settings().unwrap().retain_publish_state);
        tamper(library.dir(), "UPDATE settings SET value = 'perhaps'");
        assert_error(library.settings(), ErrorKind::Catalog, "perhaps");
    }
}

mod assets {
    use super::*;

    #[test]
    fn keep_what_was_recorded() {
        let (_dir, mut library) = new_library();
        let new = original("/originals/shoe.left.jpg", b"shoe");
        let handle = library.ingest(&new).unwrap().handle;
        assert_eq!(handle.as_str(), "a|1");
        let asset = library.asset(&handle).unwrap().unwrap();
        assert_eq!(asset.name, "shoe.left");
        assert_eq!(asset.path, new.path);
        assert_eq!((asset.kind, asset.size_bytes), (Kind::Jpeg, 4));
        assert_eq!((asset.modified, asset.hash), (new.modified, new.hash));
        assert_eq!((asset.width, asset.height, asset.format.as_deref()), (Some(640), Some(480), Some("8-bit RGB")));
        assert_eq!((asset.crop, asset.ready_for_publish, asset.derivative.is_none()), (None, false, true));
        assert_eq!(library.derivative_path(&asset), library.dir().join("pyramids/0000/1-shoe.left.tif"));
    }

    #[test]
    fn taken_in_again_do_not_change() {
        let (_dir, mut library) = new_library();
        let new = original("/originals/shoe.jpg", b"shoe");
        let first = library.ingest(&new).unwrap();
        let before = library.asset(&first.handle).unwrap();
        let second = library.ingest(&new).unwrap();
        assert_eq!((second.handle.clone(), second.outcome), (first.handle.clone(), IngestOutcome::Unchanged));
        assert_eq!(library.asset(&first.handle).unwrap(), before);
        assert_eq!(library.asset_count().unwrap(), 1);
    }

    #[test]
    fn follow_the_content_of_their_file() {
        let (_dir, mut library) = new_library();
        let asset = take_in(&mut library, "shoe");
        let job = library.begin_job(&JobRecord::reprocess("job", vec![asset.handle.clone()])).unwrap();
        let crop = Crop { insets: Insets { left: 1, ..Insets::default() }, origin: CropOrigin::Automatic };
        let result = AssetResult { crop: CropChange::Set(crop), publish: Some(true), ..success(&asset) };
        library.finish_asset(&job, &asset.handle, &result).unwrap();
        assert!(library.asset(&asset.handle).unwrap().unwrap().derivative.unwrap().current);

        let mut changed = original(&asset.path, b"another shoe");
        changed.kind = Kind::Png;
        let again = library.ingest(&changed).unwrap();
        assert_eq!((&again.handle, again.outcome), (&asset.handle, IngestOutcome::Updated));
        let after = library.asset(&asset.handle).unwrap().unwrap();
        assert_eq!((after.kind, after.hash, after.size_bytes), (Kind::Png, changed.hash, 12));
        assert_eq!((after.crop, after.ready_for_publish), (Some(crop), true));
        assert!(!after.derivative.unwrap().current, "the derivative is of the old content");
    }

    #[test]
    fn are_one_for_copies_and_follow_moved_files() {
        let (dir, mut library) = new_library();
        let (here, there) = (dir.path().join("here.jpg"), dir.path().join("there.jpg"));
        fs::write(&here, b"shoe").unwrap();
        let first = library.ingest(&original(&here, b"shoe")).unwrap();
        let copy = library.ingest(&original(&there, b"shoe")).unwrap();
        assert_eq!((&copy.handle, copy.outcome), (&first.handle, IngestOutcome::Duplicate));
        assert_eq!(library.asset(&first.handle).unwrap().unwrap().path, here);

        fs::rename(&here, &there).unwrap();
        let moved = library.ingest(&original(&there, b"shoe")).unwrap();
        assert_eq!((&moved.handle, moved.outcome), (&first.handle, IngestOutcome::Moved));
        let asset = library.asset(&first.handle).unwrap().unwrap();
        assert_eq!((asset.path, asset.name.as_str()), (there, "here"));
        assert_eq!(library.asset_count().unwrap(), 1);
    }

    #[test]
    fn that_become_copies_stay_apart() {
        let (_dir, mut library) = new_library();
        let (a, b) = (take_in(&mut library, "a"), take_in(&mut library, "b"));
        let again = library.ingest(&original(&b.path, b"a")).unwrap();
        assert_eq!((&again.handle, again.outcome), (&b.handle, IngestOutcome::Updated));
        assert_eq!(library.asset(&a.handle).unwrap().unwrap().path, a.path);
    }

    #[test]
    fn are_found_unchanged_by_path_size_and_time() {
        let (_dir, mut library) = new_library();
        let asset = take_in(&mut library, "shoe");
        let (path, size, time) = (&asset.path, asset.size_bytes, asset.modified);
        assert_eq!(library.unchanged(path, size, time).unwrap(), Some(asset.handle.clone()));
        assert_eq!(library.unchanged(path, size + 1, time).unwrap(), None);
        assert_eq!(library.unchanged(path, size, "2024-05-06T07:08:09.123456788Z".parse().unwrap()).unwrap(), None);
        assert_eq!(library.unchanged(Path::new("/originals/other.jpg"), size, time).unwrap(), None);
        // A touched file with the same content: its new time is remembered.
        let touched: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
        let again = library.ingest(&NewOriginal { modified: touched, ..original(path, b"shoe") }).unwrap();
        assert_eq!(again.outcome, IngestOutcome::Unchanged);
        assert_eq!(library.unchanged(path, size, touched).unwrap(), Some(asset.handle));
    }

    #[test]
    fn keep_strange_names_and_put_them_in_tame_files() {
        let (_dir, mut library) = new_library();
        let names: Vec<Vec<u8>> = vec![
            "größe 写真 🥿".into(),
            b"new\nline".to_vec(),
            b"tab\tquote\"'; DROP TABLE assets; --".to_vec(),
            vec![b'x'; 300],
            "ß".repeat(150).into(),
            b"..".to_vec(),
            b"latin \xe4\xff".to_vec(),
            b"-rf".to_vec(),
        ];
        let new: Vec<NewOriginal> = names
            .iter()
            .map(|name| {
                let mut file = name.clone();
                file.extend(b".jpg");
                original(Path::new("/originals").join(std::ffi::OsString::from_vec(file)), name)
            })
            .collect();
        let ingested = library.ingest_all(&new).unwrap();
        for (ingested, new) in ingested.iter().zip(&new) {
            let asset = library.asset(&ingested.handle).unwrap().unwrap();
            assert_eq!(asset.path, new.path, "to the byte");
            assert_eq!(library.unchanged(&new.path, new.size_bytes, new.modified).unwrap(), Some(asset.handle.clone()));
            let path = library.derivative_path(&asset);
            let inside = path.strip_prefix(library.dir().join("pyramids/0000")).unwrap();
            assert_eq!(inside.components().count(), 1);
            // The file system takes the name.
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            File::create_new(&path).unwrap();
            serde_json::to_string(&asset).unwrap();
        }
        assert_eq!(library.asset_count().unwrap(), names.len() as u64);
    }

    #[test]
    fn need_an_absolute_path() {
        let (_dir, mut library) = new_library();
        for path in ["shoe.jpg", "../shoe.jpg", "/originals/../shoe.jpg"] {
            assert_error(library.ingest(&original(path, b"shoe")), ErrorKind::Misuse, "absolute");
        }
        // All or none.
        let batch = [original("/originals/good.jpg", b"good"), original("bad.jpg", b"bad")];
        assert_error(library.ingest_all(&batch), ErrorKind::Misuse, "bad.jpg");
        assert_eq!(library.asset_count().unwrap(), 0);
    }

    #[test]
    fn are_listed_in_order_with_filters_and_pages() {
        let (_dir, mut library) = new_library();
        let new: Vec<NewOriginal> = (0..1203)
            .map(|n| NewOriginal {
                kind: if n % 3 == 0 { Kind::Png } else { Kind::Jpeg },
                ..original(
                    format!("/originals/{}-{n}.jpg", if n % 2 == 0 { "even" } else { "odd" }),
                    &[n as u8, (n >> 8) as u8],
                )
            })
            .collect();
        library.ingest_all(&new).unwrap();
        let ids = |filter: AssetFilter| -> Vec<i64> { library.assets(filter).map(|asset| asset.unwrap().id).collect() };
        let all: Vec<i64> = (1..=1203).collect();
        assert_eq!(ids(AssetFilter::default()), all);
        let pngs = AssetFilter { kind: Some(Kind::Png), ..AssetFilter::default() };
        assert_eq!(ids(pngs.clone()), all.iter().copied().filter(|id| (id - 1) % 3 == 0).collect::<Vec<_>>());
        let odd = AssetFilter { name_contains: Some("odd-".into()), ..pngs };
        assert_eq!(ids(odd).len(), 200);
        let page = AssetFilter { after: Some("a|700".into()), limit: Some(501), ..AssetFilter::default() };
        assert_eq!(ids(page), all[700..1201]);
        assert!(ids(AssetFilter { limit: Some(0), ..AssetFilter::default() }).is_empty());
        assert!(ids(AssetFilter { ready_for_publish: Some(true), ..AssetFilter::default() }).is_empty());
        let unknown = AssetFilter { after: Some("j|1".into()), ..AssetFilter::default() };
        let mut unknown = library.assets(unknown);
        assert_error(unknown.next().unwrap(), ErrorKind::Misuse, "no asset has this handle");
        assert!(unknown.next().is_none());
    }

    #[test]
    fn that_nobody_knows_are_not_there() {
        let (_dir, mut library) = new_library();
        take_in(&mut library, "shoe");
        for handle in ["a|2", "a|01", "a|", "j|1", "1", "", "a|1|1", "a|1'--", "a|18446744073709551617"] {
            assert_eq!(library.asset(&handle.into()).unwrap(), None, "{handle}");
        }
        assert_eq!(Handle::company().as_str(), "c|1");
        assert_eq!(Handle::company().kind(), Some(HandleKind::Company));
    }

    #[test]
    fn are_written_as_json() {
        let (_dir, mut library) = new_library();
        let asset = take_in(&mut library, "shoe");
        let job = library.begin_job(&JobRecord::reprocess("job", vec![asset.handle.clone()])).unwrap();
        let crop = Crop { insets: Insets { left: 1, right: 2, top: 3, bottom: 4 }, origin: CropOrigin::Manual };
        let mask =
            NewMask { bytes: 99, width: 640, height: 480, hash: Some(blake3::hash(b"mask")), source_hash: asset.hash };
        let result = AssetResult { crop: CropChange::Set(crop), mask: Some(mask), ..success(&asset) };
        library.finish_asset(&job, &asset.handle, &result).unwrap();
        let asset = library.asset(&asset.handle).unwrap().unwrap();
        assert_eq!(library.mask_path(&asset), asset.mask.as_ref().unwrap().path);
        let json = serde_json::to_value(&asset).unwrap();
        let expected = json!({
            "handle": "a|1",
            "id": 1,
            "name": "shoe",
            "kind": "jpeg",
            "path": "/originals/shoe.jpg",
            "sizeBytes": 4,
            "modified": "2024-05-06T07:08:09.123456789Z",
            "hash": blake3::hash(b"shoe").to_hex().as_str(),
            "width": 640,
            "height": 480,
            "format": "8-bit RGB",
            "created": asset.created.to_string(),
            "updated": asset.updated.to_string(),
            "readyForPublish": false,
            "crop": { "left": 1, "right": 2, "top": 3, "bottom": 4, "origin": "Manual" },
            "derivative": {
                "path": library.dir().join("pyramids/0000/1-shoe.tif").to_str(),
                "bytes": 12_345,
                "width": 640,
                "height": 480,
                "levels": 3,
                "compression": "deflate",
                "hash": blake3::hash(b"derivative").to_hex().as_str(),
                "current": true,
                "updated": asset.derivative.as_ref().unwrap().updated.to_string(),
            },
            "mask": {
                "path": library.dir().join("masks/0000/1-shoe.tif").to_str(),
                "bytes": 99,
                "width": 640,
                "height": 480,
                "hash": blake3::hash(b"mask").to_hex().as_str(),
                "current": true,
                "updated": asset.mask.as_ref().unwrap().updated.to_string(),
            },
            "originator": null,
        });
        assert_eq!(json, expected);
    }
}

mod results {
    use super::*;

    #[test]
    fn change_the_asset_and_the_log_together() {
        let (_dir, mut library) = new_library();
        let asset = take_in(&mut library, "shoe");
        let job = library.begin_job(&JobRecord::reprocess("job", vec![asset.handle.clone()])).unwrap();
        let result = AssetResult {
            publish: Some(true),
            entries: vec![
                LogEntry::new(LogType::UploadWarning, "no clipping path").with(LogType::FileProgress, "looked in 8BIM"),
                LogEntry::new(LogType::ReoptimizeSuccess, "processed"),
            ],
            ..success(&asset)
        };
        library.finish_asset(&job, &asset.handle, &result).unwrap();

        let after = library.asset(&asset.handle).unwrap().unwrap();
        let derivative = after.derivative.clone().unwrap();
        assert_eq!(derivative.path, library.derivative_path(&asset), "recorded where it was planned");
        assert_eq!(library.derivative_path(&after), derivative.path);
        assert_eq!((derivative.bytes, derivative.levels, derivative.current), (12_345, 3, true));
        assert!(after.ready_for_publish);

        let log = library.job_log(&job).unwrap();
        assert_eq!((log.file_success_count, log.file_error_count, log.file_warning_count), (1, 0, 1));
        assert_eq!((log.file_update_count, log.total_file_count, log.detail_total_rows), (0, 1, 2));
        let first = &log.detail_array[0];
        assert_eq!(first.message, "no clipping path");
        assert_eq!(first.asset_handle.as_ref(), Some(&asset.handle));
        assert_eq!((first.asset_name.as_deref(), first.asset_type.as_deref()), (Some("shoe"), Some("MasterImage")));
        assert_eq!(first.aux.len(), 1);
        assert_eq!((first.aux[0].log_type, first.aux[0].message.as_str()), (LogType::FileProgress, "looked in 8BIM"));
    }

    #[test]
    fn that_fail_leave_nothing() {
        let (_dir, mut library) = new_library();
        let (a, b) = (take_in(&mut library, "a"), take_in(&mut library, "b"));
        let handles = vec![a.handle.clone(), b.handle.clone(), "a|99".into()];
        let job = library.begin_job(&JobRecord::reprocess("job", handles)).unwrap();
        let (asset_before, log_before, tasks_before) =
            (library.asset(&a.handle).unwrap(), library.job_log(&job).unwrap(), library.tasks(&job).unwrap());
        let crop = Crop { insets: Insets { top: 5, ..Insets::default() }, origin: CropOrigin::Manual };
        let good = AssetResult { crop: CropChange::Set(crop), publish: Some(true), ..success(&a) };

        let mut impossible = success(&b);
        impossible.derivative.as_mut().unwrap().levels = 0;
        let broken_batches: [(ErrorKind, &str, Handle, AssetResult); 3] = [
            (ErrorKind::Catalog, "CHECK", b.handle.clone(), impossible),
            (ErrorKind::Misuse, "a|99", "a|99".into(), success(&b)),
            (ErrorKind::Misuse, "among its assets", "a|77".into(), failure("not in the job")),
        ];
        for (kind, words, handle, result) in broken_batches {
            let batch = [(a.handle.clone(), good.clone()), (handle, result)];
            assert_error(library.finish_assets(&job, &batch), kind, words);
            assert_eq!(library.asset(&a.handle).unwrap(), asset_before);
            assert_eq!(library.job_log(&job).unwrap(), log_before);
            assert_eq!(library.tasks(&job).unwrap(), tasks_before);
        }
        assert_error(
            library.finish_asset(&"j|9".into(), &a.handle, &good),
            ErrorKind::Misuse,
            "no job has this handle",
        );
        assert_eq!(library.asset(&a.handle).unwrap(), asset_before);

        library.finish_asset(&job, &a.handle, &good).unwrap();
        assert_eq!(library.job_log(&job).unwrap().file_success_count, 1);
    }

    #[test]
    fn store_replace_keep_and_clear_the_crop() {
        let (_dir, mut library) = new_library();
        let asset = take_in(&mut library, "shoe");
        let job = library.begin_job(&JobRecord::reprocess("job", vec![asset.handle.clone()])).unwrap();
        let manual = Crop { insets: Insets { left: 1, right: 2, top: 3, bottom: 4 }, origin: CropOrigin::Manual };
        let automatic = Crop { insets: Insets { left: u32::MAX, ..Insets::default() }, origin: CropOrigin::Automatic };
        for (change, expected) in [
            (CropChange::Keep, None),
            (CropChange::Clear, None),
            (CropChange::Set(manual), Some(manual)),
            (CropChange::Keep, Some(manual)),
            (CropChange::Set(automatic), Some(automatic)),
            (CropChange::Clear, None),
        ] {
            let result = AssetResult { crop: change, ..success(&asset) };
            library.finish_asset(&job, &asset.handle, &result).unwrap();
            assert_eq!(library.asset(&asset.handle).unwrap().unwrap().crop, expected, "after {change:?}");
        }
    }

    #[test]
    fn set_keep_and_take_away_the_publish_mark() {
        let (_dir, mut library) = new_library();
        let asset = take_in(&mut library, "shoe");
        let job = library.begin_job(&JobRecord::reprocess("job", vec![asset.handle.clone()])).unwrap();
        for (change, expected) in [(None, false), (Some(true), true), (None, true), (Some(false), false)] {
            let result = AssetResult { publish: change, ..success(&asset) };
            library.finish_asset(&job, &asset.handle, &result).unwrap();
            assert_eq!(library.asset(&asset.handle).unwrap().unwrap().ready_for_publish, expected, "after {change:?}");
        }
    }

    #[test]
    fn of_unknown_handles_are_counted_and_logged() {
        let (_dir, mut library) = new_library();
        let handle = Handle::from("a|732|1|535");
        let job = library.begin_job(&JobRecord::reprocess("job", vec![handle.clone()])).unwrap();
        library.finish_asset(&job, &handle, &failure("no asset has this handle")).unwrap();
        let log = library.job_log(&job).unwrap();
        assert_eq!((log.file_error_count, log.total_file_count), (1, 1));
        assert_eq!(log.detail_array[0].asset_handle.as_ref(), Some(&handle));
        assert_eq!(log.detail_array[0].asset_name, None);
    }

    #[test]
    fn given_again_replace_the_earlier_ones_in_the_counts() {
        let (_dir, mut library) = new_library();
        let asset = take_in(&mut library, "shoe");
        let job = library.begin_job(&JobRecord::reprocess("job", vec![asset.handle.clone()])).unwrap();
        let counts = |library: &Library| {
            let log = library.job_log(&job).unwrap();
            (log.file_success_count, log.file_error_count, log.file_warning_count, log.file_update_count)
        };
        let mut warned = failure("broken");
        warned.entries[0] = warned.entries[0].clone().with(LogType::UploadWarning, "and odd");
        library.finish_asset(&job, &asset.handle, &warned).unwrap();
        assert_eq!(counts(&library), (0, 1, 1, 0));
        library.finish_asset(&job, &asset.handle, &success(&asset)).unwrap();
        assert_eq!(counts(&library), (1, 0, 0, 0));
        library.finish_asset(&job, &asset.handle, &success(&asset)).unwrap();
        assert_eq!(counts(&library), (1, 0, 0, 1), "the derivative replaced another one");
        let cancelled = AssetResult::without_change(TaskOutcome::Cancelled, Vec::new());
        library.finish_asset(&job, &asset.handle, &cancelled).unwrap();
        assert_eq!(counts(&library), (0, 0, 0, 0));
    }
}

mod jobs {
    use super::*;

    #[test]
    fn go_from_begin_to_end() {
        let (_dir, mut library) = new_library();
        let (a, b) = (take_in(&mut library, "a").handle, take_in(&mut library, "b").handle);
        let record = JobRecord {
            submit_user_email: "someone@example.com".into(),
            description: "the spring collection".into(),
            ..JobRecord::reprocess("Spring", vec![a.clone(), b.clone(), a.clone()])
        };
        let job = library.begin_job(&record).unwrap();
        assert_eq!(job.as_str(), "j|1");
        let log = library.job_log(&job).unwrap();
        assert_eq!((log.total_file_count, log.file_duplicate_count), (2, 1));
        assert_eq!((log.job_state, log.end_date, log.fatal_error), (JobState::Running, None, false));

        library.log(&job, &[LogEntry::new(LogType::BeginReoptimize, "begun")]).unwrap();
        library.start_assets(&job, std::slice::from_ref(&a)).unwrap();
        let asset = library.asset(&a).unwrap().unwrap();
        let state = |library: &Library, handle: &Handle| {
            let tasks = library.tasks(&job).unwrap();
            let task = tasks.iter().find(|task| task.asset_handle == *handle).unwrap();
            (task.state, task.outcome)
        };
        assert_eq!(state(&library, &a), (TaskState::Processing, None));
        library.finish_asset(&job, &a, &success(&asset)).unwrap();
        assert_eq!(state(&library, &a), (TaskState::Done, Some(TaskOutcome::Success)));
        assert_eq!(state(&library, &b), (TaskState::New, None));

        library.set_job_state(&job, JobState::Stopping).unwrap();
        assert_eq!(library.jobs().unwrap()[0].job_state, JobState::Stopping);
        library.finish_job(&job, true, &[LogEntry::new(LogType::FatalError, "the disk is full")]).unwrap();
        let log = library.job_log(&job).unwrap();
        assert_eq!((log.job_state, log.fatal_error), (JobState::Done, true));
        assert!(log.end_date.unwrap() >= log.start_date);
        let types: Vec<LogType> = log.detail_array.iter().map(|entry| entry.log_type).collect();
        assert_eq!(types, [LogType::BeginReoptimize, LogType::ReoptimizeSuccess, LogType::FatalError]);

        library.resume_job(&job).unwrap();
        let log = library.job_log(&job).unwrap();
        assert_eq!((log.job_state, log.fatal_error, log.end_date), (JobState::Running, false, None));
        assert_eq!(log.file_success_count, 1);
    }

    #[test]
    fn with_one_name_get_numbers() {
        let (_dir, mut library) = new_library();
        let names: Vec<String> = ["Spring", "Spring_2", "Spring", "Spring", "Autumn", "Spring"]
            .iter()
            .map(|&name| {
                let job = library.begin_job(&JobRecord::reprocess(name, Vec::new())).unwrap();
                let log = library.job_log(&job).unwrap();
                assert_eq!(log.original_job_name, name);
                log.job_name
            })
            .collect();
        assert_eq!(names, ["Spring", "Spring_2", "Spring_3", "Spring_4", "Autumn", "Spring_5"]);
        let listed: Vec<String> = library.jobs().unwrap().into_iter().map(|job| job.job_name).collect();
        assert_eq!(listed, names);
    }

    #[test]
    fn hand_out_their_log_in_pages() {
        let (_dir, mut library) = new_library();
        let jobs: Vec<Handle> =
            (0..2).map(|n| library.begin_job(&JobRecord::reprocess(format!("job {n}"), Vec::new())).unwrap()).collect();
        for number in 0..10 {
            let entry = LogEntry::new(LogType::FileProgress, number.to_string()).with(LogType::FileProgress, "more");
            library.log(&jobs[number % 2], &[entry]).unwrap();
        }
        let page = library.job_log_page(&jobs[1], LogPage { offset: 1, limit: 2 }).unwrap();
        let messages: Vec<&str> = page.detail_array.iter().map(|entry| entry.message.as_str()).collect();
        assert_eq!(messages, ["3", "5"]);
        assert_eq!(page.detail_total_rows, 5);
        assert_eq!(library.job_log(&jobs[0]).unwrap().detail_array.len(), 5);
        assert_eq!(library.jobs().unwrap()[1].detail_total_rows, 5);
    }

    #[test]
    fn that_nobody_knows_are_an_error() {
        let (_dir, mut library) = new_library();
        let job = Handle::from("j|1");
        let unknown = "no job has this handle";
        assert_error(library.job_log(&job), ErrorKind::Misuse, unknown);
        assert_error(library.tasks(&job), ErrorKind::Misuse, unknown);
        assert_error(library.log(&job, &[]), ErrorKind::Misuse, unknown);
        assert_error(library.finish_job(&job, false, &[]), ErrorKind::Misuse, unknown);
        assert_error(library.resume_job(&job), ErrorKind::Misuse, unknown);
        assert_error(library.set_job_state(&job, JobState::Done), ErrorKind::Misuse, unknown);
        assert_error(library.start_assets(&job, &[]), ErrorKind::Misuse, unknown);
    }

    #[test]
    fn write_their_log_as_json() {
        let (_dir, mut library) = new_library();
        let asset = take_in(&mut library, "shoe");
        let job = library.begin_job(&JobRecord::reprocess("Spring", vec![asset.handle.clone()])).unwrap();
        let mut result = success(&asset);
        result.entries[0] = result.entries[0].clone().with(LogType::UploadWarning, "odd");
        library.log(&job, &[LogEntry::new(LogType::BeginReoptimize, "begun")]).unwrap();
        library.finish_asset(&job, &asset.handle, &result).unwrap();
        library.finish_job(&job, false, &[]).unwrap();
        let log = library.job_log(&job).unwrap();
        let mut json = serde_json::to_value(&log).unwrap();
        assert_eq!(json["startDate"], json!(log.start_date.to_string()));
        assert_eq!(json["endDate"], json!(log.end_date.unwrap().to_string()));
        for date in ["startDate", "endDate"] {
            json[date].take();
        }
        for detail in json["detailArray"].as_array_mut().unwrap() {
            assert!(detail["dateCreated"].take().as_str().unwrap().parse::<Timestamp>().is_ok());
            for aux in detail["auxArray"].as_array_mut().unwrap() {
                assert!(aux["dateCreated"].take().as_str().unwrap().parse::<Timestamp>().is_ok());
            }
        }
        let expected = json!({
            "companyHandle": "c|1", "jobHandle": "j|1", "jobName": "Spring", "originalJobName": "Spring",
            "submitUserEmail": "", "logType": "BeginReoptimize", "jobSubType": "", "jobState": "Done",
            "startDate": Value::Null, "endDate": Value::Null, "description": "",
            "fileSuccessCount": 1, "fileErrorCount": 0, "fileWarningCount": 1, "fileDuplicateCount": 0,
            "fileUpdateCount": 0, "totalFileCount": 1,
            "transferSuccessCount": 0, "transferErrorCount": 0, "transferWarningCount": 0,
            "fatalError": false, "detailTotalRows": 2,
            "detailArray": [
                { "logMessage": "begun", "logType": "BeginReoptimize", "dateCreated": Value::Null, "auxArray": [] },
                {
                    "logMessage": "processed", "logType": "ReoptimizeSuccess", "dateCreated": Value::Null,
                    "assetName": "shoe", "assetType": "MasterImage", "assetHandle": "a|1",
                    "auxArray": [{ "logMessage": "odd", "logType": "UploadWarning", "dateCreated": Value::Null }],
                },
            ],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn of_ten_thousand_assets_add_up() {
        const ASSETS: usize = 10_000;
        let (_dir, mut library) = new_library();
        let new: Vec<NewOriginal> =
            (0..ASSETS).map(|n| original(format!("/originals/{n}.jpg"), &n.to_le_bytes())).collect();
        let mut handles = Vec::with_capacity(ASSETS);
        for batch in new.chunks(1000) {
            handles.extend(library.ingest_all(batch).unwrap().into_iter().map(|ingested| ingested.handle));
        }
        let job = library.begin_job(&JobRecord::reprocess("all", handles.clone())).unwrap();
        // Half in batches, half one by one.
        let assets: Vec<Asset> = library.assets(AssetFilter::default()).collect::<Result<_, _>>().unwrap();
        let result = |asset: &Asset| if asset.id % 10 == 0 { failure("broken") } else { success(asset) };
        let (batched, single) = assets.split_at(ASSETS / 2);
        for batch in batched.chunks(100) {
            let results: Vec<(Handle, AssetResult)> =
                batch.iter().map(|asset| (asset.handle.clone(), result(asset))).collect();
            library.finish_assets(&job, &results).unwrap();
        }
        for asset in single {
            library.finish_asset(&job, &asset.handle, &result(asset)).unwrap();
        }
        library.finish_job(&job, false, &[]).unwrap();
        let log = library.job_log_page(&job, LogPage { offset: 0, limit: 0 }).unwrap();
        assert_eq!((log.file_success_count, log.file_error_count), (9_000, 1_000));
        assert_eq!((log.total_file_count, log.detail_total_rows), (10_000, 10_000));
        let last = library.asset(handles.last().unwrap()).unwrap().unwrap();
        assert!(library.derivative_path(&last).starts_with(library.dir().join("pyramids/0010")));
    }
}

mod ingest_from_disk {
    use super::*;

    /// What `ingest` reported: paths relative to `dir` with the outcome or the error.
    fn run(library: &mut Library, dir: &Path, paths: &[&Path]) -> Vec<(String, Result<IngestOutcome, String>)> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
        let mut reports = Vec::new();
        ingest(library, &paths, &Limits::default(), &mut |path, result| {
            let path = path.strip_prefix(dir).unwrap_or(path).to_string_lossy().into_owned();
            reports.push((path, result.map(|ingested| ingested.outcome).map_err(|error| error.to_string())));
        })
        .unwrap();
        reports
    }

    fn names(reports: &[(String, Result<IngestOutcome, String>)]) -> Vec<&str> {
        reports.iter().map(|(path, _)| path.as_str()).collect()
    }

    fn png(width: u32, height: u32, level: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Grayscale);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&vec![level; (width * height) as usize]).unwrap();
        writer.finish().unwrap();
        bytes
    }

    fn pdf(text: &str) -> String {
        format!("%PDF-1.4\n% {text}\n%%EOF\n")
    }

    #[test]
    fn walks_folders_in_order_and_passes_over_what_is_hidden() {
        let (dir, mut library) = new_library();
        let root = dir.path().join("originals");
        fs::create_dir_all(root.join("b/c")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        for (path, level) in
            [("z.png", 1), ("a.png", 2), ("b/x.png", 3), ("b/c/y.png", 4), (".hidden.png", 5), (".git/g.png", 6)]
        {
            fs::write(root.join(path), png(3, 2, level)).unwrap();
        }
        let reports = run(&mut library, &root, &[&root]);
        assert_eq!(names(&reports), ["a.png", "b/c/y.png", "b/x.png", "z.png"]);
        assert!(reports.iter().all(|(_, result)| *result == Ok(IngestOutcome::New)), "{reports:?}");
        let asset = library.asset(&"a|1".into()).unwrap().unwrap();
        assert_eq!(asset.path, fs::canonicalize(root.join("a.png")).unwrap());
        assert_eq!((asset.kind, asset.width, asset.height), (Kind::Png, Some(3), Some(2)));
        assert_eq!(asset.format.as_deref(), Some("8-bit gray"));
        assert_eq!(asset.hash, blake3::hash(&png(3, 2, 2)));
        // A hidden file that is named is wanted.
        let hidden = run(&mut library, &root, &[&root.join(".hidden.png")]);
        assert_eq!(hidden, [(".hidden.png".to_owned(), Ok(IngestOutcome::New))]);
    }

    #[test]
    fn again_reads_nothing_that_has_not_changed() {
        let (dir, mut library) = new_library();
        let root = dir.path().join("originals");
        fs::create_dir(&root).unwrap();
        let file = root.join("a.png");
        fs::write(&file, png(3, 2, 1)).unwrap();
        let time = File::open(&file).unwrap().metadata().unwrap().modified().unwrap();
        assert_eq!(run(&mut library, &root, &[&root])[0].1, Ok(IngestOutcome::New));
        assert_eq!(run(&mut library, &root, &[&root, &file])[1].1, Ok(IngestOutcome::Unchanged));

        // Other content of the same size with the old time: not noticed, so it was not read.
        fs::write(&file, png(3, 2, 9)).unwrap();
        File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().len(), png(3, 2, 1).len() as u64);
        assert_eq!(run(&mut library, &root, &[&root])[0].1, Ok(IngestOutcome::Unchanged));

        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(time + std::time::Duration::from_nanos(1))
            .unwrap();
        assert_eq!(run(&mut library, &root, &[&root])[0].1, Ok(IngestOutcome::Updated));
        assert_eq!(library.asset_count().unwrap(), 1);
    }

    #[test]
    fn refuses_broken_files_and_goes_on() {
        let (dir, mut library) = new_library();
        let root = dir.path().join("originals");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("1 empty.png"), b"").unwrap();
        fs::write(root.join("2 text.jpg"), b"hello, this is text").unwrap();
        fs::write(root.join("3 cut.png"), &png(3, 2, 1)[..20]).unwrap();
        fs::write(root.join("4 good.gif"), png(3, 2, 1)).unwrap();
        fs::write(root.join("5 document.pdf"), pdf("one")).unwrap();
        std::os::unix::fs::symlink("/nowhere", root.join("6 dangling.png")).unwrap();
        let missing = dir.path().join("missing.png");
        let reports = run(&mut library, &root, &[&missing, &root]);
        assert_eq!(reports.len(), 7);
        for (path, result) in &reports {
            match &path[..1] {
                "4" | "5" => assert_eq!(*result, Ok(IngestOutcome::New), "{path}"),
                _ => {
                    let message = result.as_ref().expect_err(path);
                    let file = Path::new(path).file_name().unwrap().to_str().unwrap();
                    assert!(message.contains(file), "{message:?} does not name {file}");
                }
            }
        }
        let kinds: Vec<(Kind, Option<u32>)> = library
            .assets(AssetFilter::default())
            .map(|asset| asset.map(|asset| (asset.kind, asset.width)).unwrap())
            .collect();
        assert_eq!(kinds, [(Kind::Png, Some(3)), (Kind::Pdf, None)], "by content, whatever the name says");
    }

    #[test]
    fn survives_loops_of_links_and_enters_no_folder_twice() {
        let (dir, mut library) = new_library();
        let root = dir.path().join("originals");
        fs::create_dir_all(root.join("a/deep")).unwrap();
        fs::create_dir_all(root.join("b")).unwrap();
        fs::write(root.join("a/deep/one.pdf"), pdf("one")).unwrap();
        fs::write(root.join("b/two.pdf"), pdf("two")).unwrap();
        std::os::unix::fs::symlink(&root, root.join("a/deep/up")).unwrap();
        std::os::unix::fs::symlink("../a", root.join("b/across")).unwrap();
        std::os::unix::fs::symlink("two.pdf", root.join("b/z-link.pdf")).unwrap();
        let reports = run(&mut library, &root, &[&root]);
        assert_eq!(names(&reports), ["a/deep/one.pdf", "b/two.pdf", "b/z-link.pdf"]);
        let outcomes: Vec<_> = reports.into_iter().map(|(_, result)| result.unwrap()).collect();
        assert_eq!(outcomes, [IngestOutcome::New, IngestOutcome::New, IngestOutcome::Unchanged]);
        assert_eq!(library.asset_count().unwrap(), 2);
    }

    #[test]
    fn never_takes_in_the_library_itself() {
        let (dir, mut library) = new_library();
        let pyramids = library.dir().join("pyramids/0000");
        fs::create_dir_all(&pyramids).unwrap();
        fs::write(pyramids.join("1-x.png"), png(3, 2, 1)).unwrap();
        fs::create_dir(library.dir().join("originals")).unwrap();
        fs::write(library.dir().join("originals/mine.pdf"), pdf("mine")).unwrap();
        let reports = run(&mut library, dir.path(), &[dir.path()]);
        assert_eq!(names(&reports), ["library/originals/mine.pdf"]);
        let reports = run(&mut library, dir.path(), &[&pyramids.join("1-x.png")]);
        assert!(reports[0].1.as_ref().unwrap_err().contains("belongs to the library itself"), "{reports:?}");
    }

    #[test]
    fn takes_more_than_one_batch_with_copies() {
        let (dir, mut library) = new_library();
        let root = dir.path().join("originals");
        fs::create_dir(&root).unwrap();
        for number in 0..300 {
            fs::write(root.join(format!("{number:03}.pdf")), pdf(&(number / 2).to_string())).unwrap();
        }
        let reports = run(&mut library, &root, &[&root]);
        assert_eq!(reports.len(), 300);
        for (index, (_, result)) in reports.iter().enumerate() {
            let expected = if index % 2 == 0 { IngestOutcome::New } else { IngestOutcome::Duplicate };
            assert_eq!(*result, Ok(expected), "file {index}");
        }
        assert_eq!(library.asset_count().unwrap(), 150);
    }
}
