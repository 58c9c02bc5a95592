// Pixels in packed rows: interleaved samples, little-endian in words, every row padded to whole words.
//
// Constants of the variant: COMPONENTS (colour samples of a pixel), ALPHA (0 or 1), DEPTH (bits of a sample).
// Binding 1: src, the rows that are read.

const CHANNELS: u32 = COMPONENTS + ALPHA;
const SAMPLES_PER_WORD: u32 = 32u / DEPTH;
const SAMPLE_MAX: u32 = (1u << DEPTH) - 1u;

alias Pixel = array<u32, CHANNELS>;

@group(0) @binding(1) var<storage, read> src: array<u32>;

// Pixel `x` of the row that starts at `row_word`.
fn load_pixel(row_word: u32, x: u32) -> Pixel {
    var pixel: Pixel;
    for (var c = 0u; c < CHANNELS; c++) {
        let i = x * CHANNELS + c;
        pixel[c] = (src[row_word + i / SAMPLES_PER_WORD] >> (i % SAMPLES_PER_WORD * DEPTH)) & SAMPLE_MAX;
    }
    return pixel;
}
