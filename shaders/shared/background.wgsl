// Whether a pixel is background, for the bounds and for the mask.
//
// Constant of the variant: TRANSPARENT (1: by alpha, 0: by likeness to a reference colour).
// Binding 0: parameters. Follows shared/samples.

struct Parameters {
    reference: array<vec4<u32>, 2>, // colour (premultiplied when there is alpha), then alpha
    color_limit: u32,
    alpha_limit: u32,
    width: u32,
    rows: u32, // in src
    stride: u32, // words of a row of src
}

@group(0) @binding(0) var<uniform> parameters: Parameters;

fn distance_to_reference(value: u32, channel: u32) -> u32 {
    let reference = parameters.reference[channel / 4u][channel % 4u];
    return max(value, reference) - min(value, reference);
}

fn is_background(x: u32, row: u32) -> bool {
    var pixel = load_pixel(row * parameters.stride, x);
    let last = pixel[CHANNELS - 1u];
    if TRANSPARENT == 1u {
        return last <= parameters.alpha_limit;
    }
    let alpha = select(1u, last, ALPHA == 1u);
    var background = ALPHA == 0u || distance_to_reference(alpha, COMPONENTS) <= parameters.alpha_limit;
    for (var c = 0u; c < COMPONENTS; c++) {
        background = background && distance_to_reference(pixel[c] * alpha, c) <= parameters.color_limit;
    }
    return background;
}
