// What both passes of unsharp share: parameters, work values and the planes that are blurred.
//
// Constant of the variant: MONOCHROME (0 or 1).
// Bindings: 0 parameters, 3 weights. Follows shared/samples and premultiply.

struct Parameters {
    width: u32,
    height: u32, // of the whole level
    src_start: u32, // number of the first row in src
    first: u32, // number of the first row to make
    end: u32, // number after the last row to make
    stride: u32, // words of a row, in and out
    dst_word: u32, // where row `first` goes
    halo: u32, // weights beside the centre
    amount: i32, // Q12
    threshold: u32, // in work units
}

@group(0) @binding(0) var<uniform> parameters: Parameters;

// Q16: centre first, then one for each distance.
@group(0) @binding(3) var<storage, read> weights: array<u32>;

// Planes that are blurred: luma or every colour component, then alpha.
const COLOR_PLANES: u32 = select(COMPONENTS, 1u, MONOCHROME == 1u);
const PLANES: u32 = COLOR_PLANES + ALPHA;

alias Planes = array<u32, PLANES>;

const FULL_SCALE: u32 = select(FULL_PREMULTIPLIED, 65280u, DEPTH == 8u && ALPHA == 0u);

fn work_values(stored: Pixel) -> Pixel {
    var pixel = premultiply(stored);
    if DEPTH == 8u && ALPHA == 0u {
        for (var c = 0u; c < CHANNELS; c++) {
            pixel[c] *= 256u;
        }
    }
    return pixel;
}

// Rec. 601 luma of the first three values, which a gray pixel does not have.
fn rgb_luma(values: Pixel) -> u32 {
    var v = values;
    return (9798u * v[0] + 19235u * v[min(1u, CHANNELS - 1u)] + 3735u * v[min(2u, CHANNELS - 1u)] + 16384u) >> 15u;
}

fn planes_of(values: Pixel) -> Planes {
    var v = values;
    var planes: Planes;
    if MONOCHROME == 1u && COMPONENTS == 3u {
        planes[0] = rgb_luma(values);
    } else if MONOCHROME == 1u && COMPONENTS == 4u {
        planes[0] = (rgb_luma(values) + v[min(3u, CHANNELS - 1u)] + 1u) >> 1u;
    } else {
        for (var p = 0u; p < COLOR_PLANES; p++) {
            planes[p] = v[p];
        }
    }
    if ALPHA == 1u {
        planes[PLANES - 1u] = v[CHANNELS - 1u];
    }
    return planes;
}

// Where `plane` of (`x`, `row`) lies in the blurred columns: plane by plane, rows counted from `first`.
fn blurred_index(plane: u32, x: u32, row: u32) -> u32 {
    return (plane * (parameters.end - parameters.first) + row) * parameters.width + x;
}
