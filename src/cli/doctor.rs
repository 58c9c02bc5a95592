//! `reprise doctor`: what this machine offers and what each missing thing costs.

use reprise::engine::memory;
use reprise::error::Result;
use reprise::external::{self, Found};
use reprise::gpu::{self, AdapterKind};

use super::Verdict;
use super::output::{bytes, line};

pub fn doctor() -> Result<Verdict> {
    line(format_args!("reprise {}", env!("CARGO_PKG_VERSION")));
    line(format_args!(""));
    processors();
    graphics();
    line(format_args!(""));
    outside(
        "PDFium",
        external::pdfium(),
        &format!(
            "PDF and Illustrator files cannot be ripped; put libpdfium.so beside the program or name it in {}",
            external::PDFIUM_VARIABLE
        ),
    );
    outside(
        "Ghostscript",
        external::ghostscript(),
        "PostScript and EPS files cannot be ripped; install the package ghostscript",
    );
    outside(
        "FFmpeg",
        external::ffmpeg(),
        "video and audio get no renditions or thumbnails; install the package ffmpeg",
    );
    outside("ffprobe", external::ffprobe(), "as FFmpeg; it comes with the same package");
    Ok(Verdict::AllGood)
}

fn processors() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    line(format_args!("ok       {cores} processor cores"));
    match memory::available_bytes() {
        Some(n) => line(format_args!(
            "ok       {} of memory; --max-memory takes 25%, {}, unless told otherwise",
            bytes(n),
            bytes(n / 4)
        )),
        None => line(format_args!("missing  size of memory unknown: give --max-memory as a size, not as a percentage")),
    }
}

fn graphics() {
    let adapters = gpu::adapters();
    if adapters.is_empty() {
        line(format_args!("missing  no Vulkan adapter: everything runs on the CPU, with the same results"));
    }
    for adapter in &adapters {
        let use_of = if adapter.kind == AdapterKind::Software {
            "only with --backend gpu, for tests"
        } else {
            "used by default"
        };
        line(format_args!("ok       {adapter}: {use_of}"));
        line(format_args!(
            "         limits: binding {}, buffer {}, workgroup memory {}, {} workgroups a side",
            bytes(adapter.max_binding_bytes),
            bytes(adapter.max_buffer_bytes),
            bytes(adapter.workgroup_memory_bytes.into()),
            adapter.max_workgroups,
        ));
    }
    if !adapters.is_empty() && adapters.iter().all(|a| a.kind == AdapterKind::Software) {
        line(format_args!("note     no hardware GPU: --backend auto runs on the CPU, with the same results"));
    }
}

fn outside(name: &str, found: Option<Found>, cost: &str) {
    match found {
        Some(found) if found.version.is_empty() => line(format_args!("ok       {name}: {}", found.path.display())),
        Some(found) => line(format_args!("ok       {name}: {} ({})", found.path.display(), found.version)),
        None => line(format_args!("missing  {name}: {cost}")),
    }
}
