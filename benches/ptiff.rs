//! Writing whole pyramids, per compression, on one thread and on all; and reading full resolution back.
//!
//! The levels are made beforehand: what is measured is cutting, compressing, writing, flushing and checking.

use std::path::Path;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use reprise::decode::Metadata;
use reprise::encode::ptiff::{Compression, Options, Pyramid, Writer, read_level};
use reprise::geometry::Size;
use reprise::pixel::{Color, Depth, PixelFormat, Raster};

/// 240 full-resolution tiles.
const SIZE: Size = Size::new(16 * 256, 15 * 256);
const RGB: PixelFormat = PixelFormat::new(Color::Rgb, false, Depth::U8);
const COMPRESSIONS: [Compression; 5] =
    [Compression::None, Compression::Lzw, Compression::Deflate, Compression::Zstd, Compression::Jpeg];

fn main() {
    divan::main();
}

/// Slopes, waves and a little grain.
fn level(size: Size) -> Raster {
    let mut raster = Raster::zeroed(RGB, size);
    let mut state = 1u32;
    for (index, sample) in raster.samples.as_bytes_mut().iter_mut().enumerate() {
        let (pixel, channel) = (index / 3, index % 3);
        let (x, y) = ((pixel % size.width as usize) as f32, (pixel / size.width as usize) as f32);
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = (state >> 30) as f32;
        let wave = 50.0 * (x / 90.0 + channel as f32).sin() * (y / 70.0).cos();
        *sample = (120.0 + wave + 20.0 * (x * y / 40_000.0).sin() + grain) as u8;
    }
    raster
}

fn levels() -> Vec<Raster> {
    SIZE.levels(256).map(level).collect()
}

fn write(path: &Path, levels: &[Raster], compression: Compression, pool: &rayon::ThreadPool) {
    let pyramid = Pyramid {
        format: RGB,
        levels: levels.iter().map(Raster::size).collect(),
        metadata: Metadata::default(),
        came_as_jpeg: false,
    };
    let options = Options { compression, ..Options::default() };
    let mut writer = Writer::create(path, pyramid, &options, u64::MAX).expect("a writer");
    pool.install(|| {
        for (index, level) in levels.iter().enumerate() {
            writer.write_rows(index, level).expect("rows");
        }
    });
    black_box(writer.finish(pool).expect("a file"));
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool")
}

fn bench_write(bencher: Bencher, compression: Compression, threads: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.tif");
    let levels = levels();
    let pixels: u64 = levels.iter().map(|level| level.size().pixels()).sum();
    let pool = pool(threads);
    bencher.counter(ItemsCount::new(pixels)).bench_local(|| write(&path, &levels, compression, &pool));
}

#[divan::bench(args = COMPRESSIONS, sample_count = 5)]
fn write_one_thread(bencher: Bencher, compression: Compression) {
    bench_write(bencher, compression, 1);
}

#[divan::bench(args = COMPRESSIONS, sample_count = 5)]
fn write_all_threads(bencher: Bencher, compression: Compression) {
    bench_write(bencher, compression, 0);
}

#[divan::bench(args = COMPRESSIONS, sample_count = 5)]
fn read_all_threads(bencher: Bencher, compression: Compression) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.tif");
    write(&path, &levels(), compression, &pool(0));
    bencher.counter(ItemsCount::new(SIZE.pixels())).bench_local(|| read_level(&path, 0).expect("a level"));
}
