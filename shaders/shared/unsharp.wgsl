// What both passes of unsharp share: parameters, work values and the planes that are blurred.
//
// Constant of the variant: MONOCHROME (0 or 1).
// Bindings: 0 parameters, 3 weights. Uses shared/samples and premultiply.

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

const PLAIN_8: bool = DEPTH == 8u && ALPHA == 0u;
const FULL_SCALE: u32 = select(FULL_PREMULTIPLIED, 65280u, PLAIN_8);

fn work_values(stored: Pixel) -> Pixel {
    let values = premultiply(stored);
    return Pixel(values.color * select(1u, 256u, PLAIN_8), values.alpha);
}

// What is blurred and compared: the values themselves, or luma in the place of every colour component.
fn signal(values: Pixel) -> Pixel {
    if MONOCHROME == 0u || COMPONENTS == 1u {
        return values;
    }
    let color = values.color;
    // Rec. 601.
    var luma = (9798u * color.x + 19235u * color.y + 3735u * color.z + 16384u) >> 15u;
    if COMPONENTS == 4u {
        luma = (luma + color.w + 1u) >> 1u;
    }
    return Pixel(vec4(luma), values.alpha);
}

// Where `plane` of (`x`, `row`) lies in the blurred columns: plane by plane, rows counted from `first`.
fn blurred_index(plane: u32, x: u32, row: u32) -> u32 {
    return (plane * (parameters.end - parameters.first) + row) * parameters.width + x;
}
