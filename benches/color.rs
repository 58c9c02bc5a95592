//! Colour conversion of 8-bit pictures of 5120 × 2880 against littleCMS's own 8-bit transform: one thread, the same
//! profiles, relative colorimetric with black-point compensation, bands of 256 rows as in the pipeline, the tables of
//! both made anew for each picture.
//!
//! `cargo bench --bench color` prints, for each pair of built-in profiles, littleCMS's time over ours, for a photograph
//! and for random pixels. Both run by turns; the ratio is that of their medians.

use std::path::Path;
use std::time::{Duration, Instant};

use lcms2::{Flags, PixelFormat as Encoding, ThreadContext, Transform};
use reprise::decode;
use reprise::geometry::Size;
use reprise::limits::Limits;
use reprise::ops::color::{self, Builtin, Plan, Profile, Rendering};
use reprise::pixel::{Color, Depth, PixelFormat, Raster, Samples};

const SIZE: Size = Size::new(5120, 2880);
const BAND_ROWS: u32 = 256;

fn main() {
    let turns = if std::env::args().any(|argument| argument == "--quick") { 3 } else { 9 };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread");
    let bowl = photograph();
    println!("| conversion | littleCMS, MP/s | reprise, MP/s | of that, tables | ratio | with random pixels |");
    println!("|---|---|---|---|---|---|");
    for from in Builtin::ALL {
        for to in Builtin::ALL.into_iter().filter(|to| *to != from) {
            let (from, to) = (Profile::builtin(from), Profile::builtin(to));
            let format = PixelFormat::new(from.color(), false, Depth::U8);
            let of_photograph = pool.install(|| compare(&bands(&in_profile(&bowl, from)), from, to, turns));
            let of_noise = pool.install(|| compare(&bands(&noise(format)), from, to, turns));
            let rate = |time: Duration| SIZE.pixels() as f64 / 1e6 / time.as_secs_f64();
            println!(
                "| {} to {} | {:.0} | {:.0} | {:.0} % | {:.1} × | {:.1} × |",
                name(from),
                name(to),
                rate(of_photograph.engine),
                rate(of_photograph.ours),
                100.0 * of_photograph.tables.as_secs_f64() / of_photograph.ours.as_secs_f64(),
                of_photograph.ratio(),
                of_noise.ratio(),
            );
        }
    }
}

/// Medians.
struct Times {
    engine: Duration,
    ours: Duration,
    /// Of ours.
    tables: Duration,
}

impl Times {
    fn ratio(&self) -> f64 {
        self.engine.as_secs_f64() / self.ours.as_secs_f64()
    }
}

fn bands(image: &Raster) -> Vec<Raster> {
    let band = |start| {
        let mut band = Raster::empty(image.format, image.width);
        band.append_rows(image, start..image.height.min(start + BAND_ROWS));
        band
    };
    (0..image.height).step_by(BAND_ROWS as usize).map(band).collect()
}

fn compare(image: &[Raster], from: &Profile, to: &Profile, turns: usize) -> Times {
    let (mut engine, mut ours, mut tables) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..turns {
        let start = Instant::now();
        through_engine(image, from, to);
        engine.push(start.elapsed());

        let start = Instant::now();
        let plan =
            Plan::new(image[0].format, from, to, Rendering::default(), false).expect("built-in profiles connect");
        tables.push(start.elapsed());
        for band in image {
            std::hint::black_box(color::cpu::convert(&plan, band, 0));
        }
        ours.push(start.elapsed());
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    Times { engine: median(engine), ours: median(ours), tables: median(tables) }
}

/// littleCMS with its default flags and black-point compensation.
fn through_engine(image: &[Raster], from: &Profile, to: &Profile) {
    let context = ThreadContext::new();
    let open = |profile: &Profile| lcms2::Profile::new_icc_context(&context, profile.bytes()).expect("a sound profile");
    let encoding = |color| match color {
        Color::Gray => Encoding::GRAY_8,
        Color::Rgb => Encoding::RGB_8,
        Color::Cmyk => Encoding::CMYK_8,
        Color::Lab => Encoding::Lab_8,
    };
    let transform: Transform<u8, u8, ThreadContext, _> = Transform::new_flags_context(
        &context,
        &open(from),
        encoding(from.color()),
        &open(to),
        encoding(to.color()),
        lcms2::Intent::RelativeColorimetric,
        Flags::BLACKPOINT_COMPENSATION,
    )
    .expect("the profiles connect");
    for band in image {
        let mut out = vec![0; band.size().pixels() as usize * to.color().components()];
        transform.transform_pixels(band.samples.as_bytes(), &mut out);
        std::hint::black_box(out);
    }
}

/// The sample of a fruit bowl, in CMYK, repeated until it fills [`SIZE`].
fn photograph() -> Raster {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/originals/05-fruit-bowl-cmyk.jpg");
    let limits = Limits::default();
    let bowl =
        decode::read_whole(&mut *decode::open(&path, &limits).expect("the sample opens"), &limits).expect("and reads");
    let mut whole = Raster::zeroed(bowl.format, SIZE);
    let (Samples::U8(from), Samples::U8(to)) = (&bowl.samples, &mut whole.samples) else { panic!("8 bits") };
    for (y, row) in to.chunks_exact_mut(4 * SIZE.width as usize).enumerate() {
        let stride = 4 * bowl.width as usize;
        let source = &from[y % bowl.height as usize * stride..][..stride];
        row.chunks_mut(stride).for_each(|part| part.copy_from_slice(&source[..part.len()]));
    }
    whole
}

fn in_profile(cmyk: &Raster, profile: &Profile) -> Raster {
    if profile.color() == Color::Cmyk {
        return cmyk.clone();
    }
    let from = Profile::builtin(Builtin::Cmyk);
    let plan = Plan::new(cmyk.format, from, profile, Rendering::default(), false).expect("built-in profiles connect");
    color::cpu::convert(&plan, cmyk, 0)
}

fn noise(format: PixelFormat) -> Raster {
    let mut image = Raster::zeroed(format, SIZE);
    let Samples::U8(samples) = &mut image.samples else { panic!("8 bits") };
    let mut state = 1u64;
    for sample in samples {
        // The multiplier of Knuth's MMIX generator.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *sample = (state >> 56) as u8;
    }
    image
}

fn name(profile: &Profile) -> &'static str {
    let known = Builtin::ALL.into_iter().find(|builtin| Profile::builtin(*builtin) == profile);
    known.map_or("other", Builtin::name)
}
