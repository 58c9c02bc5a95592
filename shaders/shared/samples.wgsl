// Pixels in packed rows: interleaved samples, little-endian in words, every row padded to whole words.
//
// Constants of the variant: COMPONENTS (colour samples of a pixel), ALPHA (0 or 1), DEPTH (bits of a sample).
// Binding 1: src, the rows that are read.

const CHANNELS: u32 = COMPONENTS + ALPHA;
const SAMPLES_PER_WORD: u32 = 32u / DEPTH;
const SAMPLE_MAX: u32 = (1u << DEPTH) - 1u;

// Components that the format lacks are 0, missing alpha is 1; nothing computed from them is stored. Vectors rather
// than arrays of CHANNELS, so that no loop over channels has to be unrolled.
struct Pixel {
    color: vec4<u32>,
    alpha: u32,
}

@group(0) @binding(1) var<storage, read> src: array<u32>;

fn load_sample(row_word: u32, index: u32) -> u32 {
    return (src[row_word + index / SAMPLES_PER_WORD] >> (index % SAMPLES_PER_WORD * DEPTH)) & SAMPLE_MAX;
}

// Pixel `x` of the row that starts at `row_word`.
fn load_pixel(row_word: u32, x: u32) -> Pixel {
    let first = x * CHANNELS;
    var pixel = Pixel(vec4(load_sample(row_word, first), 0u, 0u, 0u), 1u);
    if COMPONENTS >= 3u {
        pixel.color.y = load_sample(row_word, first + 1u);
        pixel.color.z = load_sample(row_word, first + 2u);
    }
    if COMPONENTS == 4u {
        pixel.color.w = load_sample(row_word, first + 3u);
    }
    if ALPHA == 1u {
        pixel.alpha = load_sample(row_word, first + COMPONENTS);
    }
    return pixel;
}
