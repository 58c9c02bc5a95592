// Colour conversion: input tables, then a matrix with output tables, or a grid cut into simplices.
//
// One thread makes four pixels of a row, which fill whole words whatever the target format; rows are padded to whole
// words.
//
// Constants: TARGET_COMPONENTS, TARGET_DEPTH, of the pixels made; MATRIX, CURVED (grid with
// output tables), DITHER, 0 or 1; GROUP_WIDTH, GROUP_HEIGHT, threads of a workgroup.
// Bindings: 0 parameters, 1 src, 2 dst, 3 input (tables), 4 table (nodes, four values in two words; output tables,
// two values in a word). Uses shared/samples.

struct Parameters {
    width: u32,
    rows: u32,
    first_row: u32, // number in the output of the first row
    src_stride: u32, // words
    dst_stride: u32, // words
    input_stride: u32, // entries
    output_stride: u32, // values
    output_start: u32, // values
    // The rows of the matrix, Q12; or in the first the strides of the grid.
    stage: array<vec4<i32>, 3>,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(2) var<storage, read_write> dst: array<u32>;
@group(0) @binding(3) var<storage, read> input: array<u32>;
@group(0) @binding(4) var<storage, read> table: array<u32>;

const TARGET_CHANNELS: u32 = TARGET_COMPONENTS + ALPHA;
const TARGET_PER_WORD: u32 = 32u / TARGET_DEPTH;
const PIXELS: u32 = 4u;
const WORDS: u32 = PIXELS * TARGET_CHANNELS / TARGET_PER_WORD;

fn entries_of(color: vec4<u32>) -> vec4<u32> {
    var entries = vec4(input[color.x], 0u, 0u, 0u);
    if COMPONENTS >= 3u {
        entries.y = input[parameters.input_stride + color.y];
        entries.z = input[2u * parameters.input_stride + color.z];
    }
    if COMPONENTS == 4u {
        entries.w = input[3u * parameters.input_stride + color.w];
    }
    return entries;
}

fn output(component: u32, value: u32) -> u32 {
    let index = parameters.output_start + component * parameters.output_stride + value;
    return (table[index / 2u] >> (index % 2u * 16u)) & 0xffffu;
}

fn through_row(row: vec4<i32>, light: vec4<u32>, component: u32) -> u32 {
    let sum = dot(row.xyz, vec3<i32>(light.xyz));
    return output(component, u32(clamp((sum + 2048i) >> 12u, 0i, 65535i)));
}

fn through_matrix(light: vec4<u32>) -> vec4<u32> {
    var wide = vec4(through_row(parameters.stage[0], light, 0u), 0u, 0u, 0u);
    if TARGET_COMPONENTS >= 3u {
        wide.y = through_row(parameters.stage[1], light, 1u);
        wide.z = through_row(parameters.stage[2], light, 2u);
    }
    return wide;
}

fn node(index: u32) -> vec4<u32> {
    let low = table[2u * index];
    let high = table[2u * index + 1u];
    return vec4(low & 0xffffu, low >> 16u, high & 0xffffu, high >> 16u);
}

// Position along the axis above, step along it below, so that one comparison sorts both.
fn sorted(axes: vec3<u32>) -> vec3<u32> {
    let first = vec3(max(axes.x, axes.y), min(axes.x, axes.y), axes.z);
    let second = vec3(first.x, max(first.y, first.z), min(first.y, first.z));
    return vec3(max(second.x, second.y), min(second.x, second.y), second.z);
}

// From the lowest corner of a cell along three axes; those that the source lacks have position 0.
fn tetrahedral(lowest: u32, axes: vec3<u32>) -> vec4<u32> {
    let positions = axes >> vec3(16u);
    let steps = axes & vec3(0xffffu);
    var corner = lowest;
    var sums = vec4(8192u) + (16384u - positions.x) * node(corner);
    corner += steps.x;
    sums += (positions.x - positions.y) * node(corner);
    if COMPONENTS >= 3u {
        corner += steps.y;
        sums += (positions.y - positions.z) * node(corner);
        corner += steps.z;
        sums += positions.z * node(corner);
    }
    return sums >> vec4(14u);
}

fn through_grid(entries: vec4<u32>) -> vec4<u32> {
    let strides = vec4<u32>(parameters.stage[0]);
    let corner = dot(entries >> vec4(16u), strides);
    let axes = (entries << vec4(16u)) | strides;
    if COMPONENTS < 4u {
        return tetrahedral(corner, sorted(axes.xyz));
    }
    let others = sorted(axes.yzw);
    let position = axes.x >> 16u;
    let low = tetrahedral(corner, others);
    let high = tetrahedral(corner + strides.x, others);
    return ((16384u - position) * low + position * high + vec4(8192u)) >> vec4(14u);
}

fn dither_offset(x: u32, y: u32) -> u32 {
    let a = x ^ y;
    let bayer = ((a & 1u) << 5u) | ((y & 1u) << 4u) | ((a & 2u) << 2u) | ((y & 2u) << 1u) | ((a & 4u) >> 1u)
        | ((y & 4u) >> 2u);
    return 4u * bayer + 2u;
}

// The pixel at column x of row `row` of src, in the target format.
fn converted(x: u32, row: u32) -> Pixel {
    let pixel = load_pixel(row * parameters.src_stride, x);
    let entries = entries_of(pixel.color);
    var wide: vec4<u32>;
    if MATRIX == 1u {
        wide = through_matrix(entries);
    } else {
        wide = through_grid(entries);
        if CURVED == 1u {
            wide = vec4(output(0u, wide.x), output(1u, wide.y), output(2u, wide.z), 0u);
        }
    }
    if TARGET_DEPTH == 16u {
        return Pixel(wide, pixel.alpha);
    }
    var offset = 128u;
    if DITHER == 1u {
        offset = dither_offset(x, parameters.first_row + row);
    }
    var alpha = pixel.alpha;
    if DEPTH == 16u {
        alpha = (alpha + 128u) / 257u;
    }
    return Pixel((wide + vec4(offset)) / vec4(257u), alpha);
}

@compute @workgroup_size(GROUP_WIDTH, GROUP_HEIGHT)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let first = id.x * PIXELS;
    if first >= parameters.width || id.y >= parameters.rows {
        return;
    }
    var words: array<u32, WORDS>;
    var sample = 0u;
    for (var i = 0u; i < PIXELS; i++) {
        // Pixels behind the row repeat its last; they fall into the padding or are not stored.
        let pixel = converted(min(first + i, parameters.width - 1u), id.y);
        for (var c = 0u; c < TARGET_CHANNELS; c++) {
            let value = select(pixel.alpha, pixel.color[min(c, 3u)], c < TARGET_COMPONENTS);
            words[sample / TARGET_PER_WORD] |= value << (sample % TARGET_PER_WORD * TARGET_DEPTH);
            sample++;
        }
    }
    for (var w = 0u; w < WORDS; w++) {
        let word = id.x * WORDS + w;
        if word < parameters.dst_stride {
            dst[id.y * parameters.dst_stride + word] = words[w];
        }
    }
}
