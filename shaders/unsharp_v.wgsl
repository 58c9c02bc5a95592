// Unsharp mask, first pass: the Gaussian down the columns.
//
// One thread makes one pixel of every plane.
//
// Constants: TILE_WIDTH, TILE_HEIGHT, pixels of a workgroup.
// Bindings: 0 parameters, 1 src (unsharpened rows), 2 blurred (planes of sums), 3 weights.
// Uses shared/samples, premultiply, unsharp.

@group(0) @binding(2) var<storage, read_write> blurred: array<u32>;

fn signal_at(x: u32, y: u32) -> Pixel {
    return signal(work_values(load_pixel((y - parameters.src_start) * parameters.stride, x)));
}

@compute @workgroup_size(TILE_WIDTH, TILE_HEIGHT)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let x = id.x;
    let y = parameters.first + id.y;
    if x >= parameters.width || y >= parameters.end {
        return;
    }
    let centre = signal_at(x, y);
    var color = centre.color * weights[0] + 32768u;
    var alpha = centre.alpha * weights[0] + 32768u;
    for (var k = 1u; k <= parameters.halo; k++) {
        let above = signal_at(x, y - min(y, k));
        let below = signal_at(x, min(y + k, parameters.height - 1u));
        color += weights[k] * (above.color + below.color);
        alpha += weights[k] * (above.alpha + below.alpha);
    }
    blurred[blurred_index(0u, x, id.y)] = color.x >> 16u;
    if COLOR_PLANES >= 3u {
        blurred[blurred_index(1u, x, id.y)] = color.y >> 16u;
        blurred[blurred_index(2u, x, id.y)] = color.z >> 16u;
    }
    if COLOR_PLANES == 4u {
        blurred[blurred_index(3u, x, id.y)] = color.w >> 16u;
    }
    if ALPHA == 1u {
        blurred[blurred_index(COLOR_PLANES, x, id.y)] = alpha >> 16u;
    }
}
