// Unsharp mask, second pass: the Gaussian along the rows, and the sharpened pixels.
//
// One thread makes one pixel; a workgroup writes its tile as whole words.
//
// Constants: TILE_WIDTH, TILE_HEIGHT, pixels of a workgroup.
// Bindings: 0 parameters, 1 src (unsharpened rows), 2 dst (sharpened rows), 3 weights, 4 blurred (from the first
// pass). Uses shared/samples, premultiply, unsharp, tile.

@group(0) @binding(4) var<storage, read> blurred: array<u32>;

// The planes of one pixel; one plane of luma stands for every colour component.
fn blurred_at(x: u32, row: u32) -> Pixel {
    let first = blurred[blurred_index(0u, x, row)];
    var pixel = Pixel(vec4(first, 0u, 0u, 0u), 1u);
    if COLOR_PLANES >= 3u {
        pixel.color.y = blurred[blurred_index(1u, x, row)];
        pixel.color.z = blurred[blurred_index(2u, x, row)];
    } else if COMPONENTS >= 3u {
        pixel.color = vec4(first);
    }
    if COLOR_PLANES == 4u {
        pixel.color.w = blurred[blurred_index(3u, x, row)];
    }
    if ALPHA == 1u {
        pixel.alpha = blurred[blurred_index(COLOR_PLANES, x, row)];
    }
    return pixel;
}

fn blur(x: u32, row: u32) -> Pixel {
    let centre = blurred_at(x, row);
    var color = centre.color * weights[0] + 32768u;
    var alpha = centre.alpha * weights[0] + 32768u;
    for (var k = 1u; k <= parameters.halo; k++) {
        let before = blurred_at(x - min(x, k), row);
        let after = blurred_at(min(x + k, parameters.width - 1u), row);
        color += weights[k] * (before.color + after.color);
        alpha += weights[k] * (before.alpha + after.alpha);
    }
    return Pixel(color >> vec4(16u), alpha >> 16u);
}

fn sharpened(value: vec4<u32>, difference: vec4<i32>) -> vec4<u32> {
    let change = (parameters.amount * difference + 2048i) >> vec4(12u);
    return vec4<u32>(clamp(vec4<i32>(value) + change, vec4(0i), vec4(i32(FULL_SCALE))));
}

fn sharpen(x: u32, row: u32) -> Pixel {
    let y = parameters.first + row;
    let stored = load_pixel((y - parameters.src_start) * parameters.stride, x);
    let values = work_values(stored);
    let sharp = signal(values);
    let soft = blur(x, row);
    let color_difference = vec4<i32>(sharp.color) - vec4<i32>(soft.color);
    let color_passes = vec4<u32>(abs(color_difference)) > vec4(parameters.threshold);
    var color = select(values.color, sharpened(values.color, color_difference), color_passes);
    var passes = any(color_passes);
    if ALPHA == 1u {
        let difference = i32(sharp.alpha) - i32(soft.alpha);
        var alpha = values.alpha;
        if u32(abs(difference)) > parameters.threshold {
            passes = true;
            alpha = sharpened(vec4(alpha), vec4(difference)).x;
        }
        color = min(color, vec4(alpha));
        if passes {
            return unpremultiply(Pixel(color, alpha));
        }
        return stored;
    }
    if !passes {
        return stored;
    }
    return Pixel(select(color, (color + 128u) >> vec4(8u), PLAIN_8), 1u);
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
