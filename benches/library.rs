//! What a library costs: a job over very many small originals, beside the same originals converted without a library.
//!
//! `cargo bench --bench library` takes 20 000 originals; `-- --assets 100000` as many as are named. Prints how much time
//! an asset costs beyond its conversion (catalog, scheduling, job log, stamps), and whether memory stays flat.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reprise::jpeg::{TileEncoder, TileKind};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const SIDE: u32 = 96;
const PER_FOLDER: usize = 1000;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let named = arguments.iter().position(|a| a == "--assets").and_then(|at| arguments.get(at + 1));
    let assets = named.map_or(Ok(20_000), |text| text.parse())?;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let at = folder.path();
    write_originals(&at.join("originals"), assets)?;
    let job = serde_json::json!({
        "companyHandle": "c|1",
        "jobName": "Everything",
        "reprocessAssetsJob": {
            "assetHandleArray": (1..=assets).map(|n| format!("a|{n}")).collect::<Vec<_>>(),
            "createMask": false,
            "emailSetting": "None",
        }
    });
    fs::write(at.join("job.json"), job.to_string())?;

    println!("{assets} JPEGs of {SIDE} × {SIDE}, two threads, CPU");
    let convert = ["convert", "--backend", "cpu", "--threads", "2", "originals", "converted/"];
    let alone = measure(at, &convert)?;
    println!("converted without a library  {}", alone.rates(assets));
    measure(at, &["init", "library"])?;
    let ingest = measure(at, &["ingest", "library", "originals"])?;
    println!("taken in                     {}", ingest.rates(assets));
    let run = measure(at, &["run", "library", "job.json", "--backend", "cpu", "--threads", "2"])?;
    println!("the job                      {}", run.rates(assets));
    let beyond = |run: f64, alone: f64| (run - alone) * 1e3 / assets as f64;
    println!(
        "an asset beyond its conversion: {:.3} ms, of which {:.3} ms of CPU",
        beyond(run.seconds, alone.seconds),
        beyond(run.cpu_s, alone.cpu_s)
    );
    let early = run.resident_mib(0.1..0.2);
    let late = run.resident_mib(0.8..0.9);
    println!(
        "memory of the job: {early:.0} MiB after a tenth, {late:.0} MiB at nine tenths, ratio {:.2}",
        late / early
    );
    Ok(())
}

struct Measured {
    seconds: f64,
    cpu_s: f64,
    /// Seconds from the start, MiB.
    resident: Vec<(f64, f64)>,
}

impl Measured {
    fn rates(&self, assets: usize) -> String {
        let ms = self.seconds * 1e3 / assets as f64;
        format!("{:8.1} s, {:6.0} a second, {ms:.3} ms each", self.seconds, assets as f64 / self.seconds)
    }

    /// Mean between two parts of the time.
    fn resident_mib(&self, part: std::ops::Range<f64>) -> f64 {
        let within: Vec<f64> =
            self.resident.iter().filter(|(at, _)| part.contains(&(at / self.seconds))).map(|(_, mib)| *mib).collect();
        within.iter().sum::<f64>() / within.len().max(1) as f64
    }
}

fn measure(folder: &Path, arguments: &[&str]) -> Outcome<Measured> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_reprise"))
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join("messages.txt"))?)
        .spawn()?;
    let start = Instant::now();
    let (mut resident, mut cpu_s) = (Vec::new(), 0.0);
    loop {
        let status = child.try_wait()?;
        let seconds = start.elapsed().as_secs_f64();
        if let Some(status) = status {
            if !status.success() {
                return Err(
                    format!("{arguments:?}: {status}\n{}", fs::read_to_string(folder.join("messages.txt"))?).into()
                );
            }
            return Ok(Measured { seconds, cpu_s, resident });
        }
        if let Some((mib, cpu)) = usage(&child) {
            resident.push((seconds, mib));
            cpu_s = cpu;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Resident memory in MiB and CPU seconds of a process that lives.
fn usage(child: &Child) -> Option<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let kib: f64 = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()?;
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
    // Fields behind the name in brackets; utime and stime in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some((kib / 1024.0, ticks / 100.0))
}

/// Small JPEGs, no two alike.
fn write_originals(folder: &Path, count: usize) -> Outcome<()> {
    let kind = TileKind::Rgb { half_chroma: true };
    let encoder = TileEncoder::new(kind, SIDE, 85)?;
    let tables = encoder.tables().to_vec();
    let row_bytes = SIDE as usize * kind.channels();
    for number in 0..count {
        let inside = folder.join(format!("{:04}", number / PER_FOLDER));
        if number % PER_FOLDER == 0 {
            fs::create_dir_all(&inside)?;
        }
        let pixels: Vec<u8> = (0..row_bytes * SIDE as usize)
            .map(|at| ((at % row_bytes * (1 + number % 7) + at / row_bytes * (1 + number % 5) + number) / 9) as u8)
            .collect();
        let mut file = tables[..tables.len() - 2].to_vec();
        // The number itself, as a comment, makes each file different.
        file.extend_from_slice(&[0xff, 0xfe, 0, 10]);
        file.extend_from_slice(&(number as u64).to_be_bytes());
        let mut stream = Vec::new();
        encoder.encode(&pixels, row_bytes, &mut stream)?;
        file.extend_from_slice(&stream[2..]);
        fs::write(inside.join(format!("{number:06}.jpg")), file)?;
    }
    Ok(())
}
