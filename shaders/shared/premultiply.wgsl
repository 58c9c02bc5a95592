// Premultiplied values of pixels with alpha, and back, as the contract of resample has them.
//
// 8-bit: colour c·a, alpha a·255, full scale 65025. 16-bit: colour c·a / 65535 rounded, alpha a, full scale 65535.
// Pixels without alpha pass unchanged.

const FULL_PREMULTIPLIED: u32 = select(65535u, 65025u, DEPTH == 8u);

fn premultiply(stored: Pixel) -> Pixel {
    var pixel = stored;
    if ALPHA == 0u {
        return pixel;
    }
    let alpha = pixel[CHANNELS - 1u];
    for (var c = 0u; c < COMPONENTS; c++) {
        let product = pixel[c] * alpha;
        pixel[c] = select((product + 32767u) / 65535u, product, DEPTH == 8u);
    }
    pixel[CHANNELS - 1u] = select(alpha, alpha * 255u, DEPTH == 8u);
    return pixel;
}

// Alpha is at most full scale and every colour value at most alpha.
fn unpremultiply(values: Pixel) -> Pixel {
    var pixel = values;
    let alpha = pixel[CHANNELS - 1u];
    if alpha == 0u {
        return Pixel();
    }
    for (var c = 0u; c < COMPONENTS; c++) {
        pixel[c] = (pixel[c] * SAMPLE_MAX + alpha / 2u) / alpha;
    }
    pixel[CHANNELS - 1u] = select(alpha, (alpha + 127u) / 255u, DEPTH == 8u);
    return pixel;
}
