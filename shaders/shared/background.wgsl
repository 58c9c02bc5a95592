// Whether a pixel is background, for the bounds and for the mask.
//
// Constant of the variant: TRANSPARENT (1: by alpha, 0: by likeness to a reference colour).
// Binding 0: parameters. Uses shared/samples.

struct Parameters {
    color: vec4<u32>, // reference, premultiplied when there is alpha
    alpha: u32, // reference
    color_limit: u32,
    alpha_limit: u32,
    width: u32,
    rows: u32, // in src
    stride: u32, // words of a row of src
}

@group(0) @binding(0) var<uniform> parameters: Parameters;

fn is_background(x: u32, row: u32) -> bool {
    let pixel = load_pixel(row * parameters.stride, x);
    if TRANSPARENT == 1u {
        return pixel.alpha <= parameters.alpha_limit;
    }
    // Components that the format lacks are 0 in both.
    let color = pixel.color * pixel.alpha;
    let color_distance = max(color, parameters.color) - min(color, parameters.color);
    let alpha_distance = max(pixel.alpha, parameters.alpha) - min(pixel.alpha, parameters.alpha);
    return all(color_distance <= vec4(parameters.color_limit))
        && (ALPHA == 0u || alpha_distance <= parameters.alpha_limit);
}
