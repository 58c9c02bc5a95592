// Bounds of all pixels that are not background.
//
// A thread looks at ROWS_OF_THREAD pixels of one column. A workgroup joins what its threads find in workgroup memory,
// and then joins the global bounds once.
//
// Constants: GROUP_WIDTH, GROUP_HEIGHT, threads of a workgroup; ROWS_OF_THREAD.
// Bindings: 0 parameters, 1 src, 2 bounds (least x, least y, greatest x, greatest y; starts empty: all ones, then
// zeros). Uses shared/samples, background.

@group(0) @binding(2) var<storage, read_write> bounds: array<atomic<u32>, 4>;

var<workgroup> least: array<atomic<u32>, 2>;
var<workgroup> greatest: array<atomic<u32>, 2>;

@compute @workgroup_size(GROUP_WIDTH, GROUP_HEIGHT)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    if index < 2u {
        atomicStore(&least[index], 0xffffffffu);
        atomicStore(&greatest[index], 0u);
    }
    workgroupBarrier();

    var top = 0xffffffffu;
    var bottom = 0u;
    if id.x < parameters.width {
        let first = id.y * ROWS_OF_THREAD;
        for (var row = first; row < min(first + ROWS_OF_THREAD, parameters.rows); row++) {
            if !is_background(id.x, row) {
                top = min(top, row);
                bottom = row;
            }
        }
    }
    let found = top != 0xffffffffu;
    if found {
        atomicMin(&least[0], id.x);
        atomicMin(&least[1], top);
        atomicMax(&greatest[0], id.x);
        atomicMax(&greatest[1], bottom);
    }
    workgroupBarrier();

    if index < 2u && atomicLoad(&least[index]) != 0xffffffffu {
        atomicMin(&bounds[index], atomicLoad(&least[index]));
        atomicMax(&bounds[index + 2u], atomicLoad(&greatest[index]));
    }
}
