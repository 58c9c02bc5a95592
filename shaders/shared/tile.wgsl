// A tile of finished pixels, collected in workgroup memory and written as whole words, so that no two threads
// write to one word and neighbours write to neighbouring words.
//
// Constants of the shader: TILE_WIDTH, TILE_HEIGHT, pixels of one workgroup; one thread stages one pixel.
// Binding 2: dst, the rows that are written.

const TILE_THREADS: u32 = TILE_WIDTH * TILE_HEIGHT;
const TILE_SAMPLES: u32 = TILE_WIDTH * CHANNELS;
const TILE_WORDS: u32 = TILE_SAMPLES / SAMPLES_PER_WORD;

var<workgroup> tile: array<u32, TILE_SAMPLES * TILE_HEIGHT>;

@group(0) @binding(2) var<storage, read_write> dst: array<u32>;

fn stage_pixel(local: vec2<u32>, finished: Pixel) {
    var pixel = finished;
    for (var c = 0u; c < CHANNELS; c++) {
        tile[local.y * TILE_SAMPLES + local.x * CHANNELS + c] = pixel[c];
    }
}

// Called by every thread after a barrier. Tile row 0 goes to word `first_word`; `rows` rows and `words` words
// of each are written.
fn store_tile(index: u32, first_word: u32, stride: u32, rows: u32, words: u32) {
    for (var i = index; i < TILE_WORDS * TILE_HEIGHT; i += TILE_THREADS) {
        let row = i / TILE_WORDS;
        let word = i % TILE_WORDS;
        if row < rows && word < words {
            var packed = 0u;
            for (var s = 0u; s < SAMPLES_PER_WORD; s++) {
                packed |= tile[row * TILE_SAMPLES + word * SAMPLES_PER_WORD + s] << (s * DEPTH);
            }
            dst[first_word + row * stride + word] = packed;
        }
    }
}
