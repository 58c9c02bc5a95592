//! Throughput of whole batches: decode, operations, compression and file, in megapixels of originals per second.
//!
//! `cargo bench --bench batch`; the GPU entries need an adapter, a software one will do.

use std::path::{Path, PathBuf};

use divan::counter::ItemsCount;
use reprise::engine::{Backend, BackendChoice, Context, Recipe, batch, pipeline};
use reprise::ops::unsharp::Unsharp;

fn main() {
    divan::main();
}

/// The sample originals, each several times.
fn originals() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/originals");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the samples are there").map(|e| e.unwrap().path()).collect();
    files.sort();
    files.iter().cycle().take(4 * files.len()).cloned().collect()
}

fn bench_on(bencher: divan::Bencher<'_, '_>, choice: BackendChoice, recipe: Recipe) {
    let Ok(backend) = Backend::open(choice) else {
        println!("skipped: no adapter");
        return;
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let context = Context::new(backend, 2 << 30, threads).expect("threads start");
    let files = originals();
    let out = tempfile::tempdir().expect("a temporary folder");
    let run = || {
        let mut pixels = 0u64;
        batch::run(
            files.iter().enumerate(),
            context.lanes(),
            || false,
            |(i, path)| pipeline::convert(path, &out.path().join(format!("{i}.tif")), &recipe, &context),
            |_, result| pixels += result.expect("samples convert").original.pixels(),
        );
        pixels
    };
    // Items are pixels: divan prints them per second.
    let pixels = run();
    bencher.counter(ItemsCount::new(pixels)).bench_local(run);
}

fn sharpened() -> Recipe {
    let unsharp = Unsharp { amount: 0.8, radius_px: 1.0, threshold: 2, monochrome: false };
    Recipe { unsharp: Some(unsharp), ..Recipe::default() }
}

#[divan::bench(sample_count = 5)]
fn samples_cpu(bencher: divan::Bencher) {
    bench_on(bencher, BackendChoice::Cpu, Recipe::default());
}

#[divan::bench(sample_count = 5)]
fn samples_sharpened_cpu(bencher: divan::Bencher) {
    bench_on(bencher, BackendChoice::Cpu, sharpened());
}

#[divan::bench(sample_count = 3)]
fn samples_sharpened_gpu(bencher: divan::Bencher) {
    bench_on(bencher, BackendChoice::Gpu, sharpened());
}
