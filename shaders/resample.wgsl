// 2:1 downsampling: eight taps down the columns, then along the rows.
//
// A workgroup makes a tile of output pixels. Its threads first filter the columns that the tile reads into workgroup
// memory, then each thread filters along the rows for one output pixel.
//
// Constants: TILE_WIDTH, TILE_HEIGHT, output pixels of a workgroup.
// Bindings: 0 parameters, 1 src (the level above), 2 dst (this level). Uses shared/samples, premultiply, tile.

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

// Input columns of a tile: two for each output column, three before and three after.
const COLUMNS: u32 = 2u * TILE_WIDTH + 6u;

// 8 bits keep six fractional bits between the passes; everything else has sixteen significant bits without them.
const PLAIN_8: bool = DEPTH == 8u && ALPHA == 0u;
const COLUMN_SHIFT: u32 = select(14u, 8u, PLAIN_8);
const ROW_SHIFT: u32 = select(14u, 20u, PLAIN_8);

// Channel by channel, so that neighbouring threads read neighbouring words.
const PLANE: u32 = TILE_HEIGHT * COLUMNS;
var<workgroup> filtered: array<i32, CHANNELS * PLANE>;

struct Sums {
    color: vec4<i32>,
    alpha: i32,
}

// `sums` and one more tap: input row 2y − 3 + k at column `x`.
fn add_tap(sums: Sums, x: u32, y: u32, k: u32) -> Sums {
    let row = u32(clamp(i32(2u * y + k) - 3, 0, i32(parameters.src_height) - 1));
    let values = premultiply(load_pixel((row - parameters.src_start) * parameters.src_stride, x));
    let weight = parameters.taps[k / 4u][k % 4u];
    return Sums(sums.color + weight * vec4<i32>(values.color), sums.alpha + weight * i32(values.alpha));
}

fn filter_columns(first: vec2<u32>, index: u32) {
    for (var slot = index; slot < PLANE; slot += TILE_WIDTH * TILE_HEIGHT) {
        let x = u32(clamp(i32(2u * first.x + slot % COLUMNS) - 3, 0, i32(parameters.src_width) - 1));
        // Rows of the tile below the last one repeat it: they are not stored, and nothing outside src is read.
        let y = min(first.y + slot / COLUMNS, parameters.dst_end - 1u);
        let half = 1i << (COLUMN_SHIFT - 1u);
        var sums = Sums(vec4(half), half);
        sums = add_tap(sums, x, y, 0u);
        sums = add_tap(sums, x, y, 1u);
        sums = add_tap(sums, x, y, 2u);
        sums = add_tap(sums, x, y, 3u);
        sums = add_tap(sums, x, y, 4u);
        sums = add_tap(sums, x, y, 5u);
        sums = add_tap(sums, x, y, 6u);
        sums = add_tap(sums, x, y, 7u);
        filtered[slot] = sums.color.x >> COLUMN_SHIFT;
        if COMPONENTS >= 3u {
            filtered[PLANE + slot] = sums.color.y >> COLUMN_SHIFT;
            filtered[2u * PLANE + slot] = sums.color.z >> COLUMN_SHIFT;
        }
        if COMPONENTS == 4u {
            filtered[3u * PLANE + slot] = sums.color.w >> COLUMN_SHIFT;
        }
        if ALPHA == 1u {
            filtered[COMPONENTS * PLANE + slot] = sums.alpha >> COLUMN_SHIFT;
        }
    }
}

fn filter_row(channel: u32, local: vec2<u32>) -> i32 {
    let i = channel * PLANE + local.y * COLUMNS + 2u * local.x;
    let before = vec4(filtered[i], filtered[i + 1u], filtered[i + 2u], filtered[i + 3u]);
    let after = vec4(filtered[i + 4u], filtered[i + 5u], filtered[i + 6u], filtered[i + 7u]);
    let sum = dot(parameters.taps[0], before) + dot(parameters.taps[1], after);
    return (sum + (1i << (ROW_SHIFT - 1u))) >> ROW_SHIFT;
}

fn filter_rows(local: vec2<u32>) -> Pixel {
    var color = vec4(filter_row(0u, local), 0i, 0i, 0i);
    if COMPONENTS >= 3u {
        color.y = filter_row(1u, local);
        color.z = filter_row(2u, local);
    }
    if COMPONENTS == 4u {
        color.w = filter_row(3u, local);
    }
    if ALPHA == 0u {
        return Pixel(vec4<u32>(clamp(color, vec4(0i), vec4(i32(SAMPLE_MAX)))), 1u);
    }
    let alpha = clamp(filter_row(COMPONENTS, local), 0, i32(FULL_PREMULTIPLIED));
    return unpremultiply(Pixel(vec4<u32>(clamp(color, vec4(0i), vec4(alpha))), u32(alpha)));
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
