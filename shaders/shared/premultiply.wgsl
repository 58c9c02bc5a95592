// Premultiplied values of pixels with alpha, and back, as the contract of resample has them.
//
// 8-bit: colour c·a, alpha a·255, full scale 65025. 16-bit: colour c·a / 65535 rounded, alpha a, full scale 65535.
// Pixels without alpha pass unchanged.

const FULL_PREMULTIPLIED: u32 = select(65535u, 65025u, DEPTH == 8u);

fn premultiply(pixel: Pixel) -> Pixel {
    if ALPHA == 0u {
        return pixel;
    }
    let product = pixel.color * pixel.alpha;
    if DEPTH == 8u {
        return Pixel(product, pixel.alpha * 255u);
    }
    return Pixel((product + 32767u) / 65535u, pixel.alpha);
}

// Alpha is at most full scale and every colour value at most alpha.
fn unpremultiply(values: Pixel) -> Pixel {
    if values.alpha == 0u {
        return Pixel();
    }
    let color = (values.color * SAMPLE_MAX + values.alpha / 2u) / values.alpha;
    return Pixel(color, select(values.alpha, (values.alpha + 127u) / 255u, DEPTH == 8u));
}
