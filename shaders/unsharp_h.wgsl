// Unsharp mask, second pass: the Gaussian along the rows, and the sharpened pixels.
//
// One thread makes one pixel; a workgroup writes its tile as whole words.
//
// Bindings: 0 parameters, 1 src (unsharpened rows), 2 dst (sharpened rows), 3 weights, 4 blurred (from the first
// pass). Follows shared/samples, premultiply, unsharp, tile.

@group(0) @binding(4) var<storage, read> blurred: array<u32>;

const TILE_WIDTH: u32 = 64u;
const TILE_HEIGHT: u32 = 4u;

fn blur(x: u32, row: u32) -> Planes {
    var sums: Planes;
    for (var p = 0u; p < PLANES; p++) {
        var sum = blurred[blurred_index(p, x, row)] * weights[0] + 32768u;
        for (var k = 1u; k <= parameters.halo; k++) {
            let before = blurred[blurred_index(p, x - min(x, k), row)];
            let after = blurred[blurred_index(p, min(x + k, parameters.width - 1u), row)];
            sum += weights[k] * (before + after);
        }
        sums[p] = sum >> 16u;
    }
    return sums;
}

fn sharpen(x: u32, row: u32) -> Pixel {
    let y = parameters.first + row;
    let stored = load_pixel((y - parameters.src_start) * parameters.stride, x);
    var values = work_values(stored);
    var sharp = planes_of(values);
    var soft = blur(x, row);
    var passes = false;
    for (var c = 0u; c < CHANNELS; c++) {
        // Alpha has the last plane; with MONOCHROME every colour component shares the first.
        var plane = min(c, COLOR_PLANES - 1u);
        if c == COMPONENTS {
            plane = PLANES - 1u;
        }
        let difference = i32(sharp[plane]) - i32(soft[plane]);
        if u32(abs(difference)) > parameters.threshold {
            passes = true;
            let change = (parameters.amount * difference + 2048) >> 12u;
            values[c] = u32(clamp(i32(values[c]) + change, 0, i32(FULL_SCALE)));
        }
    }
    if !passes {
        return stored;
    }
    if ALPHA == 1u {
        for (var c = 0u; c < COMPONENTS; c++) {
            values[c] = min(values[c], values[CHANNELS - 1u]);
        }
        return unpremultiply(values);
    }
    if DEPTH == 8u {
        for (var c = 0u; c < CHANNELS; c++) {
            values[c] = (values[c] + 128u) >> 8u;
        }
    }
    return values;
}

@compute @workgroup_size(TILE_WIDTH, TILE_HEIGHT)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let rows = parameters.end - parameters.first;
    let first_row = group.y * TILE_HEIGHT;
    // Pixels beyond the edges repeat the last one; they only fill the padding of a row.
    let x = min(group.x * TILE_WIDTH + local.x, parameters.width - 1u);
    stage_pixel(local.xy, sharpen(x, min(first_row + local.y, rows - 1u)));
    workgroupBarrier();
    let first_word = group.x * TILE_WORDS;
    store_tile(
        index,
        parameters.dst_word + first_row * parameters.stride + first_word,
        parameters.stride,
        rows - first_row,
        parameters.stride - first_word,
    );
}
