// Unsharp mask, first pass: the Gaussian down the columns.
//
// One thread makes one pixel of every plane.
//
// Bindings: 0 parameters, 1 src (unsharpened rows), 2 blurred (planes of sums), 3 weights.
// Follows shared/samples, premultiply, unsharp.

@group(0) @binding(2) var<storage, read_write> blurred: array<u32>;

fn planes_at(x: u32, y: u32) -> Planes {
    return planes_of(work_values(load_pixel((y - parameters.src_start) * parameters.stride, x)));
}

@compute @workgroup_size(64, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let x = id.x;
    let y = parameters.first + id.y;
    if x >= parameters.width || y >= parameters.end {
        return;
    }
    var sums = planes_at(x, y);
    for (var p = 0u; p < PLANES; p++) {
        sums[p] = sums[p] * weights[0] + 32768u;
    }
    for (var k = 1u; k <= parameters.halo; k++) {
        let weight = weights[k];
        var above = planes_at(x, y - min(y, k));
        var below = planes_at(x, min(y + k, parameters.height - 1u));
        for (var p = 0u; p < PLANES; p++) {
            sums[p] += weight * (above[p] + below[p]);
        }
    }
    for (var p = 0u; p < PLANES; p++) {
        blurred[blurred_index(p, x, id.y)] = sums[p] >> 16u;
    }
}
