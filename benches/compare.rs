//! reprise against libvips on the same originals, tile size, compression and quality: `scripts/bench.sh`.
//!
//! Every piece of work is a process, ours and theirs by turns, pinned to two cores. reprise counts from the start of
//! its process to the end, which includes flushing the file to the disk. libvips counts from when Python has loaded
//! it, so the ratio does not profit from Python; the ratio of whole processes stands beside it.
//!
//! The floor of a row is the larger of serial decoding and half of all decoding and encoding, measured in this process
//! with the libraries that reprise uses. It leaves out all else: starting, computing, writing and flushing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use reprise::decode::{self, Metadata};
use reprise::encode::ptiff;
use reprise::geometry::{Rect, Size};
use reprise::limits::Limits;
use reprise::ops::pyramid::{self, Executor};
use reprise::ops::{resample, unsharp};
use reprise::pixel::Raster;
use serde::Serialize;
use tiff::encoder::{TiffEncoder, colortype::RGB8};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const CORES: usize = 2;
const TILE: u32 = 256;
/// The middle one counts.
const FLOOR_RUNS: usize = 3;
/// Of rows that take a second or two: files and free memory are then as they are while a library is worked on, and not to
/// be provided by the disk and the hypervisor first.
const WARM_UPS: usize = 2;
const PHOTOGRAPHS: &str = "/usr/share/wallpapers";
/// Amount, radius, threshold, monochrome.
const UNSHARP: &str = "1,1.5,0,0";

/// How much of everything.
struct Extent {
    repetitions: usize,
    batch_files: usize,
    batch_repetitions: usize,
    giant_px: u32,
    giant_repetitions: usize,
}

const FULL: Extent =
    Extent { repetitions: 15, batch_files: 1000, batch_repetitions: 3, giant_px: 30_000, giant_repetitions: 2 };
const QUICK: Extent =
    Extent { repetitions: 5, batch_files: 100, batch_repetitions: 3, giant_px: 10_000, giant_repetitions: 1 };

/// One row of the table.
struct Work {
    id: &'static str,
    title: String,
    /// Ratio to reach.
    target: f64,
    input: PathBuf,
    ours: Vec<&'static str>,
    /// Mode of `libvips.py` and what follows input and output.
    theirs: (&'static str, Vec<&'static str>),
    /// Runs that do not count, before those that do.
    warm_ups: usize,
    repetitions: usize,
    floor: Option<Encoding>,
}

/// What the floor encodes.
#[derive(Clone, Copy, PartialEq)]
enum Encoding {
    Tiles(ptiff::Compression),
    /// JPEG tiles below full resolution, whose coefficients are carried over.
    Carried,
}

#[derive(Serialize)]
struct Report {
    date: String,
    commit: String,
    quick: bool,
    machine: Machine,
    versions: serde_json::Map<String, serde_json::Value>,
    rows: Vec<Row>,
    quality: Vec<Quality>,
}

#[derive(Serialize)]
struct Machine {
    cpu: String,
    cores: usize,
    cores_used: usize,
    load_before: String,
}

#[derive(Serialize)]
struct Row {
    id: &'static str,
    title: String,
    target: f64,
    /// libvips' work over reprise's process.
    ratio: f64,
    /// libvips' process over reprise's process.
    ratio_of_processes: f64,
    reprise: Side,
    libvips: Side,
    floor: Option<Floor>,
}

#[derive(Serialize, Default)]
struct Side {
    median_s: f64,
    runs_s: Vec<f64>,
    process_median_s: f64,
    /// User and system time of the process, least of all runs: a loaded machine disturbs it less.
    cpu_s: f64,
    peak_mib: f64,
    file_mib: f64,
}

#[derive(Serialize)]
struct Floor {
    seconds: f64,
    decode_s: f64,
    encode_s: f64,
    reprise_over_floor: f64,
}

#[derive(Serialize)]
struct Quality {
    compression: &'static str,
    level: usize,
    reprise_db: f64,
    libvips_db: f64,
}

/// One process that has ended.
struct Ended {
    seconds: f64,
    cpu_s: f64,
    peak_kib: f64,
    stdout: String,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let quick = arguments.iter().any(|a| a == "--quick");
    let only = arguments.iter().position(|a| a == "--only").and_then(|at| arguments.get(at + 1));
    let extent = if quick { QUICK } else { FULL };
    let bench = Bench::open()?;
    on_two_cores()?;
    let versions = bench.versions()?;
    let mut report = Report {
        date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
        commit: commit(),
        quick,
        machine: machine()?,
        versions,
        rows: Vec::new(),
        quality: Vec::new(),
    };
    for work in bench.works(&extent, only.map(String::as_str))? {
        eprint!("{}: ", work.id);
        let row = bench.run(work)?;
        eprintln!("{:.2} ×", row.ratio);
        report.rows.push(row);
    }
    if only.is_none() {
        report.quality = bench.quality()?;
    }
    let table = render(&report);
    println!("{table}");
    if only.is_none() {
        let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results");
        fs::create_dir_all(&results)?;
        fs::write(results.join("latest.json"), serde_json::to_string_pretty(&report)? + "\n")?;
        fs::write(results.join("latest.md"), table)?;
    }
    Ok(())
}

/// Keeps this process, and with it all that it starts, on two cores.
fn on_two_cores() -> Outcome<()> {
    let pinned = Command::new("/usr/bin/taskset").args(["-cp", "0,1", &std::process::id().to_string()]).output()?;
    if !pinned.status.success() {
        return Err(format!("taskset failed: {}", String::from_utf8_lossy(&pinned.stderr)).into());
    }
    Ok(())
}

struct Bench {
    python: PathBuf,
    script: PathBuf,
    scratch: PathBuf,
}

impl Bench {
    fn open() -> Outcome<Bench> {
        let python = std::env::var_os("BENCH_PYTHON").ok_or("BENCH_PYTHON is not set; run scripts/bench.sh")?.into();
        for needed in ["/usr/bin/time", "/usr/bin/taskset", PHOTOGRAPHS] {
            if !Path::new(needed).exists() {
                return Err(format!("{needed} is missing; run scripts/bench.sh, which installs it").into());
            }
        }
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compare");
        fs::create_dir_all(&scratch)?;
        Ok(Bench { python, script: Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/libvips.py"), scratch })
    }

    fn photograph(&self, name: &str) -> Outcome<PathBuf> {
        let path = Path::new(PHOTOGRAPHS).join(name);
        if path.exists() { Ok(path) } else { Err(format!("{} is missing", path.display()).into()) }
    }

    fn works(&self, extent: &Extent, only: Option<&str>) -> Outcome<Vec<Work>> {
        let wanted = |id: &str| only.is_none_or(|only| id.contains(only));
        // Without its alpha channel, which JPEG has no room for.
        let png = self.scratch.join("photograph.png");
        if !png.exists() {
            let photograph = self.photograph("Patak/contents/images/5120x2880.png")?;
            self.libvips_setup(&["flatten", text(&photograph), text(&png)])?;
        }
        let baseline = self.photograph("SafeLanding/contents/images/5120x2880.jpg")?;
        let progressive = self.photograph("Flow/contents/images/5120x2880.jpg")?;
        let jpeg = ["--compression", "jpeg", "--quality", "95", "--chroma", "444"];
        let reencode = [&jpeg[..], &["--reencode"]].concat();
        let deflate = vec!["--compression", "deflate"];
        let sharpened = |options: &[&'static str]| [options, &["--unsharp", UNSHARP]].concat();
        let plain = |compression| ("pyramid", vec![compression, "95"]);
        let unsharp = |compression| ("unsharp", vec![compression, "95", "1", "1.5"]);
        let tiles = |compression| Some(Encoding::Tiles(compression));
        let single = |id, title: &str, target, input: &Path, ours: &[&'static str], theirs, floor| Work {
            id,
            title: title.to_string(),
            target,
            input: input.to_path_buf(),
            ours: ours.to_vec(),
            theirs,
            warm_ups: WARM_UPS,
            repetitions: extent.repetitions,
            floor,
        };
        let (as_jpeg, as_deflate) = (tiles(ptiff::Compression::Jpeg), tiles(ptiff::Compression::Deflate));
        let mut works = vec![
            single(
                "jpeg-reencoded",
                "baseline JPEG → JPEG, encoded anew",
                1.7,
                &baseline,
                &reencode,
                plain("jpeg"),
                as_jpeg,
            ),
            single(
                "jpeg-carried",
                "baseline JPEG → JPEG, carried over",
                2.2,
                &baseline,
                &jpeg,
                plain("jpeg"),
                Some(Encoding::Carried),
            ),
            single(
                "progressive-reencoded",
                "progressive 4:4:4 JPEG → JPEG, encoded anew",
                1.3,
                &progressive,
                &reencode,
                plain("jpeg"),
                as_jpeg,
            ),
            single(
                "progressive-carried",
                "progressive 4:4:4 JPEG → JPEG, carried over",
                1.3,
                &progressive,
                &jpeg,
                plain("jpeg"),
                Some(Encoding::Carried),
            ),
            single("png-deflate", "PNG → deflate", 4.0, &png, &deflate, plain("deflate"), as_deflate),
            single("png-jpeg", "PNG → JPEG", 1.3, &png, &jpeg, plain("jpeg"), as_jpeg),
            single(
                "jpeg-reencoded-unsharp",
                "baseline JPEG → JPEG, encoded anew, unsharp mask",
                3.0,
                &baseline,
                &sharpened(&reencode),
                unsharp("jpeg"),
                as_jpeg,
            ),
            single(
                "jpeg-carried-unsharp",
                "baseline JPEG → JPEG, carried over, unsharp mask",
                3.0,
                &baseline,
                &sharpened(&jpeg),
                unsharp("jpeg"),
                Some(Encoding::Carried),
            ),
            single(
                "png-deflate-unsharp",
                "PNG → deflate, unsharp mask",
                3.0,
                &png,
                &sharpened(&deflate),
                unsharp("deflate"),
                as_deflate,
            ),
        ];
        works.retain(|work| wanted(work.id));
        let batches: Vec<_> = [
            ("batch-reencoded", "encoded anew", 1.5, &reencode[..], as_jpeg),
            ("batch-carried", "carried over", 2.0, &jpeg, Some(Encoding::Carried)),
        ]
        .into_iter()
        .filter(|(id, ..)| wanted(id))
        .collect();
        if !batches.is_empty() {
            let folder = self.scratch.join(format!("batch-{}", extent.batch_files));
            if !folder.is_dir() {
                let photographs = ["Altai/contents/images/5120x2880.png", "SafeLanding/contents/images/5120x2880.jpg"];
                let [first, second] = photographs.map(|name| self.photograph(name));
                let (first, second) = (first?, second?);
                let count = extent.batch_files.to_string();
                self.libvips_setup(&["originals", text(&folder), &count, text(&first), text(&second)])?;
            }
            for (id, what, target, ours, encoding) in batches {
                let title = format!("{} baseline JPEGs of 1–2 MP in one run, {what}", extent.batch_files);
                let theirs = ("batch", vec!["jpeg", "95", "2"]);
                let repetitions = extent.batch_repetitions;
                works.push(Work {
                    warm_ups: 0,
                    repetitions,
                    ..single(id, &title, target, &folder, ours, theirs, encoding)
                });
            }
        }
        if wanted("giant") {
            let giant = self.scratch.join(format!("giant-{}.tif", extent.giant_px));
            if !giant.exists() {
                write_giant(&png, &giant, extent.giant_px)?;
            }
            let title = format!("{0} × {0} px TIFF in strips → JPEG", extent.giant_px);
            let repetitions = extent.giant_repetitions;
            // Compressed tiles would wait in memory otherwise, where there is plenty.
            let lean = [&jpeg[..], &["--max-memory", "256M"]].concat();
            works.push(Work {
                warm_ups: 0,
                repetitions,
                ..single("giant", &title, 1.5, &giant, &lean, plain("jpeg"), as_jpeg)
            });
        }
        Ok(works)
    }

    /// Runs one row, ours and theirs by turns.
    fn run(&self, work: Work) -> Outcome<Row> {
        let (mut ours, mut theirs) = (Side::default(), Side::default());
        let mut their_processes = Vec::new();
        let out = self.scratch.join("out");
        for run in 0..work.warm_ups + work.repetitions {
            if run == work.warm_ups {
                (ours, theirs, their_processes) = (Side::default(), Side::default(), Vec::new());
            }
            let is_batch = work.input.is_dir();
            let target = if is_batch { out.join("batch") } else { out.join("a.tif") };
            let fresh = || -> Outcome<()> {
                if out.exists() {
                    fs::remove_dir_all(&out)?;
                }
                fs::create_dir_all(&out)?;
                // What earlier runs left to the disk is not for this one to wait for.
                Command::new("sync").status()?;
                Ok(())
            };

            fresh()?;
            let options = ["convert", "--backend", "cpu", "--threads", "2", "--keep-going"];
            let paths = [text(&work.input), text(&target)];
            let program = Path::new(env!("CARGO_BIN_EXE_reprise"));
            let ended = self.process(program, &[&options[..], &work.ours, &paths].concat(), 2)?;
            ours.take(ended.seconds, ended.cpu_s, ended.peak_kib, &out)?;

            fresh()?;
            let (mode, more) = &work.theirs;
            let threads = if is_batch { 1 } else { 2 };
            let arguments = [&[text(&self.script), mode][..], &paths, more].concat();
            let ended = self.process(&self.python, &arguments, threads)?;
            let said: serde_json::Value = serde_json::from_str(&ended.stdout)?;
            let number = |key: &str| said[key].as_f64().ok_or(format!("libvips.py printed no {key}"));
            // The pool counts its processes itself.
            let peak_kib = if is_batch { number("peak_kib")? } else { ended.peak_kib };
            theirs.take(number("seconds")?, ended.cpu_s, peak_kib, &out)?;
            their_processes.push(ended.seconds);
            eprint!(".");
        }
        ours.median_s = median(&ours.runs_s);
        ours.process_median_s = ours.median_s;
        theirs.median_s = median(&theirs.runs_s);
        theirs.process_median_s = median(&their_processes);
        let floor = work.floor.map(|encoding| self.floor(&work, encoding, ours.median_s)).transpose()?;
        Ok(Row {
            id: work.id,
            title: work.title,
            target: work.target,
            ratio: theirs.median_s / ours.median_s,
            ratio_of_processes: theirs.process_median_s / ours.median_s,
            reprise: ours,
            libvips: theirs,
            floor,
        })
    }

    /// A process on two cores, with its peak memory as the system counts it.
    fn process(&self, program: &Path, arguments: &[&str], vips_threads: u32) -> Outcome<Ended> {
        let measured = self.scratch.join("time");
        let mut command = Command::new("/usr/bin/time");
        command.args(["-f", "%M %U %S", "-o", text(&measured)]).arg(program).args(arguments);
        command.env("VIPS_CONCURRENCY", vips_threads.to_string());
        let start = Instant::now();
        let output = command.output()?;
        let seconds = start.elapsed().as_secs_f64();
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{} {arguments:?} failed: {stderr}", program.display()).into());
        }
        let counted = fs::read_to_string(&measured)?;
        let counted = counted.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
        let [peak_kib, user_s, system_s] = counted[..] else { return Err("time printed no three numbers".into()) };
        Ok(Ended { seconds, cpu_s: user_s + system_s, peak_kib, stdout: String::from_utf8(output.stdout)? })
    }

    fn libvips_setup(&self, arguments: &[&str]) -> Outcome<()> {
        self.process(&self.python, &[&[text(&self.script)], arguments].concat(), 2).map(drop)
    }

    fn versions(&self) -> Outcome<serde_json::Map<String, serde_json::Value>> {
        let ended = self.process(&self.python, &[text(&self.script), "version"], 2)?;
        let mut versions: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&ended.stdout)?;
        versions.retain(|key, _| !["seconds", "peak_kib"].contains(&key.as_str()));
        versions.insert("reprise".into(), env!("CARGO_PKG_VERSION").into());
        Ok(versions)
    }

    /// What decoding and encoding alone take.
    fn floor(&self, work: &Work, encoding: Encoding, reprise_s: f64) -> Outcome<Floor> {
        let (mut decode_s, mut encode_s) = (0.0, 0.0);
        let is_batch = work.input.is_dir();
        if is_batch {
            for entry in fs::read_dir(&work.input)? {
                let codecs = self.codecs(&entry?.path(), encoding, work)?;
                decode_s += codecs.0;
                encode_s += codecs.1;
            }
        } else {
            let mut runs = (0..FLOOR_RUNS)
                .map(|_| self.codecs(&work.input, encoding, work))
                .collect::<Outcome<Vec<(f64, f64)>>>()?;
            runs.sort_by(|a, b| (a.0 + a.1).total_cmp(&(b.0 + b.1)));
            (decode_s, encode_s) = runs[FLOOR_RUNS / 2];
        }
        let shared = (decode_s + encode_s) / CORES as f64;
        // The images of a batch are decoded beside each other.
        let seconds = if is_batch { shared } else { shared.max(decode_s) };
        Ok(Floor { seconds, decode_s, encode_s, reprise_over_floor: reprise_s / seconds })
    }

    /// Seconds of decoding an original and of encoding its pyramid, on one core.
    fn codecs(&self, input: &Path, encoding: Encoding, work: &Work) -> Outcome<(f64, f64)> {
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        let limits = Limits { max_decode_bytes: u64::MAX, ..Limits::default() };
        let (mut decode_s, mut encode_s) = (0.0, 0.0);
        let mut source = decode::open(input, &limits)?;
        if encoding == Encoding::Carried {
            source.keep_coefficients()?;
        }
        let info = source.info().clone();
        let levels: Vec<Size> = info.size.levels(TILE).collect();
        let compression = match encoding {
            Encoding::Tiles(compression) => compression,
            Encoding::Carried => ptiff::Compression::Jpeg,
        };
        let options = ptiff::Options {
            compression,
            quality: 95,
            chroma: ptiff::Chroma::Full,
            tile: TILE,
            ..ptiff::Options::default()
        };
        let target = ptiff::Pyramid {
            format: info.format,
            levels: levels.clone(),
            metadata: Metadata::default(),
            came_as_jpeg: false,
        };
        let out = self.scratch.join("floor.tif");
        let mut writer = ptiff::Writer::create(&out, target, &options, u64::MAX)?;
        let plan = pyramid::Plan {
            format: info.format,
            levels,
            resample: resample::Plan::new(resample::Filter::default()),
            unsharp: work.ours.contains(&"--unsharp").then(unsharp_plan).flatten(),
        };
        let mut executor = pyramid::cpu::CpuExecutor::new(plan.into());
        let mut band = Raster::empty(info.format, info.size.width);
        let mut rows = 0;
        while rows < info.size.height {
            band.set_rows(0);
            let start = Instant::now();
            let read = source.read_rows(&mut band, TILE)?;
            decode_s += start.elapsed().as_secs_f64();
            rows += read;
            one.install(|| -> Outcome<()> {
                let mut write = |level: usize, rows: &Raster| {
                    let start = Instant::now();
                    let written = writer.write_rows(level, rows);
                    encode_s += start.elapsed().as_secs_f64();
                    written
                };
                if encoding != Encoding::Carried {
                    write(0, &band)?;
                }
                Ok(executor.push(&band, &mut |level, _, rows| write(level, rows))?)
            })?;
        }
        if encoding == Encoding::Carried {
            let start = Instant::now();
            one.install(|| -> Outcome<()> {
                let coefficients = source.take_coefficients(0..info.size.height, Some(&one))?;
                let mut stream = Vec::new();
                for (row, column) in tiles(info.size) {
                    stream.clear();
                    coefficients.cut_tile(Rect::of(info.size), column, row, TILE, &mut stream)?;
                }
                Ok(())
            })?;
            encode_s += start.elapsed().as_secs_f64();
        }
        Ok((decode_s, encode_s))
    }

    /// PSNR of each level against a pyramid in f64 whose levels are never rounded, on a piece of a photograph.
    fn quality(&self) -> Outcome<Vec<Quality>> {
        let photograph = self.photograph("SafeLanding/contents/images/5120x2880.jpg")?;
        let piece = self.scratch.join("piece.png");
        self.libvips_setup(&["crop", text(&photograph), text(&piece), "1536", "416", "2048", "2048"])?;
        let mut reference = Reference::of(&read(&piece)?);
        let mut references = Vec::new();
        for _ in 0..4 {
            let halved = reference.halved();
            references.push(std::mem::replace(&mut reference, halved));
        }
        let mut quality = Vec::new();
        let ours = self.scratch.join("ours.tif");
        let theirs = self.scratch.join("theirs.tif");
        for (compression, name, chroma) in [
            ("deflate", "deflate", "444"),
            ("jpeg", "JPEG 95, every chroma sample", "444"),
            ("jpeg", "JPEG 95, chroma halved", "420"),
        ] {
            let options = ["--compression", compression, "--quality", "95", "--chroma", chroma, "--overwrite"];
            let arguments = [&["convert", "--backend", "cpu"][..], &options, &[text(&piece), text(&ours)]].concat();
            self.process(Path::new(env!("CARGO_BIN_EXE_reprise")), &arguments, 2)?;
            self.libvips_setup(&["pyramid", text(&piece), text(&theirs), compression, "95"])?;
            for (level, reference) in references.iter().enumerate() {
                let psnr = |file: &Path, side: &str| -> Outcome<f64> {
                    let prefix = self.scratch.join(side);
                    if level == 0 {
                        self.libvips_setup(&["levels", text(file), text(&prefix)])?;
                    }
                    Ok(reference.psnr(&read(&self.scratch.join(format!("{side}{level}.png")))?))
                };
                let (reprise_db, libvips_db) = (psnr(&ours, "ours-")?, psnr(&theirs, "theirs-")?);
                quality.push(Quality { compression: name, level, reprise_db, libvips_db });
            }
        }
        Ok(quality)
    }
}

impl Side {
    fn take(&mut self, seconds: f64, cpu_s: f64, peak_kib: f64, out: &Path) -> Outcome<()> {
        self.cpu_s = if self.runs_s.is_empty() { cpu_s } else { cpu_s.min(self.cpu_s) };
        self.runs_s.push(seconds);
        self.peak_mib = self.peak_mib.max(peak_kib / 1024.0);
        self.file_mib = bytes_below(out)? as f64 / f64::from(1 << 20);
        Ok(())
    }
}

/// Rows and columns of tiles.
fn tiles(size: Size) -> impl Iterator<Item = (u32, u32)> {
    let across = size.width.div_ceil(TILE);
    (0..size.height.div_ceil(TILE)).flat_map(move |row| (0..across).map(move |column| (row, column)))
}

fn unsharp_plan() -> Option<unsharp::Plan> {
    unsharp::Plan::new(&unsharp::Unsharp { amount: 1.0, radius_px: 1.5, threshold: 0, monochrome: false })
}

fn read(path: &Path) -> Outcome<Raster> {
    let limits = Limits::default();
    Ok(decode::read_whole(&mut *decode::open(path, &limits)?, &limits)?)
}

/// RGB in f64.
struct Reference {
    width: usize,
    samples: Vec<f64>,
}

impl Reference {
    fn of(image: &Raster) -> Reference {
        let samples = image.samples.as_bytes().iter().map(|s| f64::from(*s)).collect();
        Reference { width: image.width as usize, samples }
    }

    /// Half of a square of even side, by the three-lobed Lanczos window; the edge is repeated.
    fn halved(&self) -> Reference {
        let sinc = |x: f64| (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x);
        let taps: Vec<f64> = (0..12).map(|k| f64::from(k) - 5.5).map(|x| sinc(x / 2.0) * sinc(x / 6.0)).collect();
        let sum: f64 = taps.iter().sum();
        let (side, half) = (self.width, self.width / 2);
        let filtered = |at: usize, sample: &dyn Fn(usize) -> f64| -> f64 {
            let place = |k: usize| (2 * at + k).saturating_sub(5).min(side - 1);
            taps.iter().enumerate().map(|(k, tap)| tap * sample(place(k))).sum::<f64>() / sum
        };
        let mut rows = Vec::with_capacity(half * side * 3);
        for y in 0..half {
            for x in 0..side * 3 {
                rows.push(filtered(y, &|row| self.samples[row * side * 3 + x]));
            }
        }
        let mut samples = Vec::with_capacity(half * half * 3);
        for row in rows.chunks_exact(side * 3) {
            for x in 0..half * 3 {
                samples.push(filtered(x / 3, &|column| row[column * 3 + x % 3]));
            }
        }
        Reference { width: half, samples }
    }

    fn psnr(&self, image: &Raster) -> f64 {
        assert_eq!(image.width as usize, self.width, "a level of another size");
        let square = |(a, b): (&f64, &u8)| (a.clamp(0.0, 255.0) - f64::from(*b)).powi(2);
        let squares: f64 = self.samples.iter().zip(image.samples.as_bytes()).map(square).sum();
        10.0 * (255.0f64.powi(2) * self.samples.len() as f64 / squares).log10()
    }
}

/// A square of `side` pixels that repeats a photograph, mirrored each time, uncompressed in strips of 16 rows.
fn write_giant(photograph: &Path, out: &Path, side: u32) -> Outcome<()> {
    const ROWS: u32 = 16;
    let image = read(photograph)?;
    let source = image.samples.as_bytes();
    let mirrored =
        |at: u32, length: u32| if (at / length).is_multiple_of(2) { at % length } else { length - 1 - at % length };
    let columns: Vec<usize> = (0..side).map(|x| mirrored(x, image.width) as usize * 3).collect();
    let mut file = TiffEncoder::new(std::io::BufWriter::new(fs::File::create(out)?))?;
    let mut giant = file.new_image::<RGB8>(side, side)?;
    giant.rows_per_strip(ROWS)?;
    let mut strip = Vec::new();
    for top in (0..side).step_by(ROWS as usize) {
        strip.clear();
        for y in top..side.min(top + ROWS) {
            let row = &source[mirrored(y, image.height) as usize * image.row_bytes()..][..image.row_bytes()];
            columns.iter().for_each(|&x| strip.extend_from_slice(&row[x..x + 3]));
        }
        giant.write_strip(&strip)?;
    }
    Ok(giant.finish()?)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of the bench are UTF-8")
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn bytes_below(folder: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { bytes_below(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let changed = git(&["status", "--porcelain", "--", "src", "Cargo.toml"]).is_some_and(|s| !s.is_empty());
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".into());
    if changed { commit + " and changes" } else { commit }
}

fn machine() -> Outcome<Machine> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let load = fs::read_to_string("/proc/loadavg")?;
    Ok(Machine {
        cpu: model.trim_start_matches(['\t', ' ', ':']).to_string(),
        cores: std::thread::available_parallelism()?.get(),
        cores_used: CORES,
        load_before: load.split(' ').next().unwrap_or_default().to_string(),
    })
}

fn render(report: &Report) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let versions: Vec<String> =
        report.versions.iter().map(|(k, v)| format!("{k} {}", v.as_str().unwrap_or_default())).collect();
    let Machine { cpu, cores, cores_used, load_before } = &report.machine;
    let _ = writeln!(
        out,
        "{}, commit {}{}: {}; {cpu}, {cores_used} of {cores} cores, load before {load_before}.\n",
        report.date,
        report.commit,
        if report.quick { ", quick run" } else { "" },
        versions.join(", ")
    );
    let _ = writeln!(
        out,
        "| work | reprise | libvips | ratio (target) | of processes | CPU s, reprise / libvips | over its floor | peak MiB, reprise / libvips | file MiB |"
    );
    let _ = writeln!(out, "|---|---|---|---|---|---|---|---|---|");
    for row in &report.rows {
        let floor = row.floor.as_ref().map_or("–".into(), |floor| format!("{:.2} ×", floor.reprise_over_floor));
        let _ = writeln!(
            out,
            "| {} | {:.3} s | {:.3} s | {:.2} × (≥ {}) | {:.2} × | {:.2} / {:.2} | {floor} | {:.0} / {:.0} | {:.1} / {:.1} |",
            row.title,
            row.reprise.median_s,
            row.libvips.median_s,
            row.ratio,
            row.target,
            row.ratio_of_processes,
            row.reprise.cpu_s,
            row.libvips.cpu_s,
            row.reprise.peak_mib,
            row.libvips.peak_mib,
            row.reprise.file_mib,
            row.libvips.file_mib,
        );
    }
    if !report.quality.is_empty() {
        let _ = writeln!(out, "\n| PSNR against f64 | level | reprise | libvips |\n|---|---|---|---|");
        for Quality { compression, level, reprise_db, libvips_db } in &report.quality {
            let db = |value: &f64| if value.is_finite() { format!("{value:.2} dB") } else { "exact".into() };
            let _ = writeln!(out, "| {compression} | {level} | {} | {} |", db(reprise_db), db(libvips_db));
        }
    }
    out
}
