// 2:1 downsampling: eight taps down the columns, then along the rows.
//
// A workgroup makes a tile of output pixels. Its threads first filter the columns that the tile reads into workgroup
// memory, then each thread filters along the rows for one output pixel.
//
// Bindings: 0 parameters, 1 src (the level above), 2 dst (this level). Follows shared/samples, premultiply, tile.

struct Parameters {
    taps: array<vec4<i32>, 2>, // Q14
    src_width: u32,
    src_height: u32, // of the whole level
    src_start: u32, // number of the first row in src
    src_stride: u32, // words
    dst_start: u32, // number of the first row to make
    dst_end: u32, // number after the last row to make
    dst_stride: u32, // words
    dst_word: u32, // where row dst_start goes
}

@group(0) @binding(0) var<uniform> parameters: Parameters;

const TILE_WIDTH: u32 = 32u;
const TILE_HEIGHT: u32 = 8u;
// Input columns of a tile: two for each output column, three before and three after.
const COLUMNS: u32 = 2u * TILE_WIDTH + 6u;

// 8 bits keep six fractional bits between the passes; everything else has sixteen significant bits without them.
const PLAIN_8: bool = DEPTH == 8u && ALPHA == 0u;
const COLUMN_SHIFT: u32 = select(14u, 8u, PLAIN_8);
const ROW_SHIFT: u32 = select(14u, 20u, PLAIN_8);

// Channel by channel, so that neighbouring threads read neighbouring words.
var<workgroup> filtered: array<i32, CHANNELS * TILE_HEIGHT * COLUMNS>;

fn tap(k: u32) -> i32 {
    return parameters.taps[k / 4u][k % 4u];
}

fn filter_columns(first: vec2<u32>, index: u32) {
    for (var i = index; i < COLUMNS * TILE_HEIGHT; i += TILE_WIDTH * TILE_HEIGHT) {
        let column = i % COLUMNS;
        let row = i / COLUMNS;
        let x = clamp(i32(2u * first.x + column) - 3, 0, i32(parameters.src_width) - 1);
        // Rows of the tile below the last one repeat it: they are not stored, and nothing outside src is read.
        let y = min(first.y + row, parameters.dst_end - 1u);
        var sums: array<i32, CHANNELS>;
        for (var k = 0u; k < 8u; k++) {
            let source = clamp(i32(2u * y + k) - 3, 0, i32(parameters.src_height) - 1);
            var values = premultiply(load_pixel((u32(source) - parameters.src_start) * parameters.src_stride, u32(x)));
            for (var c = 0u; c < CHANNELS; c++) {
                sums[c] += tap(k) * i32(values[c]);
            }
        }
        for (var c = 0u; c < CHANNELS; c++) {
            filtered[(c * TILE_HEIGHT + row) * COLUMNS + column] =
                (sums[c] + (1i << (COLUMN_SHIFT - 1u))) >> COLUMN_SHIFT;
        }
    }
}

fn filter_rows(local: vec2<u32>) -> Pixel {
    var results: array<i32, CHANNELS>;
    for (var c = 0u; c < CHANNELS; c++) {
        var sum = 0i;
        for (var k = 0u; k < 8u; k++) {
            sum += tap(k) * filtered[(c * TILE_HEIGHT + local.y) * COLUMNS + 2u * local.x + k];
        }
        results[c] = (sum + (1i << (ROW_SHIFT - 1u))) >> ROW_SHIFT;
    }
    var pixel: Pixel;
    if ALPHA == 0u {
        for (var c = 0u; c < CHANNELS; c++) {
            pixel[c] = u32(clamp(results[c], 0, i32(SAMPLE_MAX)));
        }
        return pixel;
    }
    let alpha = clamp(results[CHANNELS - 1u], 0, i32(FULL_PREMULTIPLIED));
    for (var c = 0u; c < COMPONENTS; c++) {
        pixel[c] = u32(clamp(results[c], 0, alpha));
    }
    pixel[CHANNELS - 1u] = u32(alpha);
    return unpremultiply(pixel);
}

@compute @workgroup_size(TILE_WIDTH, TILE_HEIGHT)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let column = group.x * TILE_WIDTH;
    let row = group.y * TILE_HEIGHT;
    filter_columns(vec2(column, parameters.dst_start + row), index);
    workgroupBarrier();
    stage_pixel(local.xy, filter_rows(local.xy));
    workgroupBarrier();
    let first_word = group.x * TILE_WORDS;
    store_tile(
        index,
        parameters.dst_word + row * parameters.dst_stride + first_word,
        parameters.dst_stride,
        parameters.dst_end - parameters.dst_start - row,
        parameters.dst_stride - first_word,
    );
}
