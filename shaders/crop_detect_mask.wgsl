// Match mask: 255 where a pixel is background, else 0.
//
// One thread makes one word, which holds four pixels of a row; rows of the mask are padded to whole words.
//
// Constants: GROUP_WIDTH, GROUP_HEIGHT, threads of a workgroup.
// Bindings: 0 parameters, 1 src, 2 mask. Uses shared/samples, background.

@group(0) @binding(2) var<storage, read_write> mask: array<u32>;

@compute @workgroup_size(GROUP_WIDTH, GROUP_HEIGHT)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let words = (parameters.width + 3u) / 4u;
    if id.x >= words || id.y >= parameters.rows {
        return;
    }
    var packed = 0u;
    for (var i = 0u; i < 4u; i++) {
        let x = id.x * 4u + i;
        if x < parameters.width && is_background(x, id.y) {
            packed |= 0xffu << (i * 8u);
        }
    }
    mask[id.y * words + id.x] = packed;
}
