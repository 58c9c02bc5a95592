// A tile of finished pixels, collected in workgroup memory and written as whole words, so that no two threads
// write to one word and neighbours write to neighbouring words.
//
// Constants: TILE_WIDTH, TILE_HEIGHT, pixels of one workgroup; one thread stages one pixel.
// Binding 2: dst, the rows that are written.

const TILE_THREADS: u32 = TILE_WIDTH * TILE_HEIGHT;
const TILE_SAMPLES: u32 = TILE_WIDTH * CHANNELS;
const TILE_WORDS: u32 = TILE_SAMPLES / SAMPLES_PER_WORD;

var<workgroup> tile: array<u32, TILE_SAMPLES * TILE_HEIGHT>;

@group(0) @binding(2) var<storage, read_write> dst: array<u32>;

fn stage_pixel(local: vec2<u32>, pixel: Pixel) {
    let first = local.y * TILE_SAMPLES + local.x * CHANNELS;
    tile[first] = pixel.color.x;
    if COMPONENTS >= 3u {
        tile[first + 1u] = pixel.color.y;
        tile[first + 2u] = pixel.color.z;
    }
    if COMPONENTS == 4u {
        tile[first + 3u] = pixel.color.w;
    }
    if ALPHA == 1u {
        tile[first + COMPONENTS] = pixel.alpha;
    }
}

fn packed_word(first: u32) -> u32 {
    if DEPTH == 16u {
        return tile[first] | (tile[first + 1u] << 16u);
    }
    return tile[first] | (tile[first + 1u] << 8u) | (tile[first + 2u] << 16u) | (tile[first + 3u] << 24u);
}

// Called by every thread after a barrier. Tile row 0 goes to word `first_word`; `rows` rows and `words` words
// of each are written.
fn store_tile(index: u32, first_word: u32, stride: u32, rows: u32, words: u32) {
    for (var i = index; i < TILE_WORDS * TILE_HEIGHT; i += TILE_THREADS) {
        let row = i / TILE_WORDS;
        let word = i % TILE_WORDS;
        if row < rows && word < words {
            dst[first_word + row * stride + word] = packed_word(row * TILE_SAMPLES + word * SAMPLES_PER_WORD);
        }
    }
}
