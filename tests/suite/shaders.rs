//! Every variant of every shader passes naga's validation and stays within what WebGPU guarantees everywhere.
//! Needs no adapter.

use std::collections::BTreeSet;

use reprise::gpu::Shader;
use reprise::ops::color::{self, gpu::Through};
use reprise::ops::{crop_detect, resample, unsharp};
use reprise::pixel::{Color, Depth, PixelFormat};
use wgpu::naga;

fn all_variants() -> Vec<Shader> {
    PixelFormat::all()
        .flat_map(|format| {
            let mut shaders = vec![resample::gpu::shader(format)];
            for flag in [false, true] {
                shaders.extend(unsharp::gpu::shaders(format, flag));
                // There is no background by transparency without alpha.
                if format.alpha || !flag {
                    shaders.extend(crop_detect::gpu::shaders(format, flag));
                }
            }
            shaders.extend(color_variants(format));
            shaders
        })
        .collect()
}

/// Every target of a source format.
fn color_variants(source: PixelFormat) -> Vec<Shader> {
    let mut shaders = Vec::new();
    for target in [Color::Gray, Color::Rgb, Color::Cmyk] {
        for dither in [false, true] {
            let depth = if dither { Depth::U8 } else { source.depth };
            let target = PixelFormat { color: target, depth, ..source };
            for through in [Through::Grid, Through::CurvedGrid, Through::Matrix] {
                let exists = match through {
                    Through::Grid => true,
                    Through::CurvedGrid => source.color != Color::Gray && target.color == Color::Rgb,
                    Through::Matrix => source.color == Color::Rgb && target.color != Color::Cmyk,
                };
                if exists {
                    shaders.push(color::gpu::shader(source, target, through, dither));
                }
            }
        }
    }
    shaders
}

fn validated(shader: &Shader) -> naga::Module {
    let module = naga::front::wgsl::parse_str(shader.source())
        .unwrap_or_else(|e| panic!("{}: {}", shader.label(), e.emit_to_string(shader.source())));
    naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty())
        .validate(&module)
        .unwrap_or_else(|e| panic!("{}: {}", shader.label(), e.emit_to_string(shader.source())));
    module
}

#[test]
fn every_variant_is_valid() {
    for shader in all_variants() {
        validated(&shader);
    }
}

#[test]
fn labels_tell_variants_apart() {
    let shaders = all_variants();
    let labels: BTreeSet<_> = shaders.iter().map(Shader::label).collect();
    assert_eq!(labels.len(), shaders.len());
}

/// The limits that every WebGPU adapter has: 256 threads and 16 KiB of workgroup memory.
#[test]
fn every_variant_fits_the_least_adapter() {
    for shader in all_variants() {
        let module = validated(&shader);
        let [entry] = module.entry_points.as_slice() else { panic!("{}: one entry point", shader.label()) };
        assert_eq!(entry.name, "main");
        let threads: u32 = entry.workgroup_size.iter().product();
        assert!((64..=256).contains(&threads), "{}: {threads} threads", shader.label());

        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).expect("types have layouts");
        let shared: u32 = module
            .global_variables
            .iter()
            .filter(|(_, variable)| variable.space == naga::AddressSpace::WorkGroup)
            .map(|(_, variable)| layouter[variable.ty].size)
            .sum();
        assert!(shared <= 16384, "{}: {shared} bytes of workgroup memory", shader.label());
    }
}

#[test]
fn every_shader_opens_with_its_purpose_and_its_bindings() {
    for shader in all_variants() {
        let stem = shader.label().split(' ').next().expect("a label has a name");
        let path = format!("{}/shaders/{stem}.wgsl", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let head: String = text.lines().take_while(|line| line.starts_with("//")).collect();
        assert!(head.contains("Bindings:") && head.contains("thread"), "{path}");
        assert!(shader.source().contains(&text), "{path} is the main part of {}", shader.label());
    }
}
