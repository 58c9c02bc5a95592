//! Work for the device, collected first and then run as one submission.

use std::ops::Range;
use std::sync::mpsc;
use std::time::Duration;

use super::device::Gpu;
use super::pool::Buffer;
use super::rows::Rows;
use super::shader::Shader;
use crate::error::{Error, Result};
use crate::pixel::Raster;
use crate::trace;

/// Distance of parameter blocks; a multiple of every adapter's alignment for uniform offsets.
const PARAMETER_STRIDE: u64 = 256;

/// Part of a buffer.
#[derive(Debug, Clone, Copy)]
pub struct Slice<'a> {
    pub buffer: &'a Buffer,
    /// In bytes, a multiple of 4.
    pub offset: u64,
    /// Length in bytes, a multiple of 4.
    pub bytes: u64,
}

/// Uploads, dispatches, copies and downloads in order. Every dispatch sees what the one before wrote.
pub struct Recording<'a> {
    gpu: &'a Gpu,
    commands: Vec<Command<'a>>,
    /// One block of [`PARAMETER_STRIDE`] bytes per dispatch.
    parameters: Vec<u8>,
    downloads: Vec<Slice<'a>>,
}

enum Command<'a> {
    Dispatch { pipeline: wgpu::ComputePipeline, bindings: Vec<&'a Buffer>, parameters: u64, groups: [u32; 2] },
    Copy { from: Slice<'a>, to: &'a Buffer, offset: u64 },
}

impl Gpu {
    /// A buffer that holds `words` for every recording run from now on.
    ///
    /// # Errors
    /// `Device` when memory is exhausted or the device is lost.
    pub fn storage_of(&self, words: &[u32]) -> Result<Buffer> {
        let buffer = self.storage(words.len() as u64 * 4)?;
        self.guarded(|| {
            self.staging(&buffer, 0, buffer.bytes())?.copy_from_slice(bytemuck::cast_slice(words));
            Ok(())
        })?;
        Ok(buffer)
    }

    fn staging(&self, to: &Buffer, offset: u64, bytes: u64) -> Result<wgpu::QueueWriteBufferView> {
        self.count_upload();
        wgpu::BufferSize::new(bytes)
            .and_then(|bytes| self.queue().write_buffer_with(to.raw(), offset, bytes))
            .ok_or_else(|| Error::device(format!("no staging memory for an upload of {bytes} bytes")))
    }
}

impl<'a> Recording<'a> {
    pub fn new(gpu: &'a Gpu) -> Self {
        Recording { gpu, commands: Vec::new(), parameters: Vec::new(), downloads: Vec::new() }
    }

    /// Puts `rows` of `raster` into `to`, from row number `first` on, before everything else in the recording.
    ///
    /// # Errors
    /// `Device` when memory is exhausted or the device is lost.
    pub fn upload(&mut self, raster: &Raster, rows: Range<u32>, to: Rows<'a>, first: u32) -> Result<()> {
        let layout = to.layout;
        let _span = trace::span("upload").bytes(layout.bytes(rows.end - rows.start));
        self.gpu.guarded(|| {
            let mut view = self.gpu.staging(to.buffer, to.offset(first), layout.bytes(rows.end - rows.start))?;
            layout.pack(raster, rows, |at, bytes| {
                view.slice(at..at + bytes.len()).copy_from_slice(bytes);
            });
            Ok(())
        })
    }

    /// Runs `groups` workgroups of `shader`. `parameters` become binding 0, `bindings` follow from binding 1.
    ///
    /// # Errors
    /// `Device` when the shader does not compile, the adapter allows fewer workgroups or smaller bindings,
    /// or the device is lost.
    pub fn dispatch(
        &mut self,
        shader: &Shader,
        parameters: &[u32],
        bindings: Vec<&'a Buffer>,
        groups: [u32; 2],
    ) -> Result<()> {
        let adapter = self.gpu.adapter();
        if let Some(buffer) = bindings.iter().find(|b| b.bytes() > adapter.max_binding_bytes) {
            return Err(Error::device(format!(
                "a shader needs {} bytes in one buffer; the adapter allows {}",
                buffer.bytes(),
                adapter.max_binding_bytes
            )));
        }
        if groups.into_iter().any(|n| n > adapter.max_workgroups) {
            return Err(Error::device(format!(
                "{} × {} workgroups are needed; the adapter allows {} a side",
                groups[0], groups[1], adapter.max_workgroups
            )));
        }
        let bytes: &[u8] = bytemuck::cast_slice(parameters);
        assert!(bytes.len() as u64 <= PARAMETER_STRIDE, "a parameter block holds {PARAMETER_STRIDE} bytes");
        let pipeline = self.gpu.pipeline(shader)?;
        let offset = self.parameters.len() as u64;
        self.parameters.extend_from_slice(bytes);
        self.parameters.resize((offset + PARAMETER_STRIDE) as usize, 0);
        self.commands.push(Command::Dispatch { pipeline, bindings, parameters: offset, groups });
        Ok(())
    }

    /// Copies `from` to `offset` bytes into `to`, another buffer.
    pub fn copy(&mut self, from: Slice<'a>, to: &'a Buffer, offset: u64) {
        if from.bytes > 0 {
            self.commands.push(Command::Copy { from, to, offset });
        }
    }

    /// Reads `from` back at the end; parts follow each other in the result in the order of the calls.
    pub fn download(&mut self, from: Slice<'a>) {
        if from.bytes > 0 {
            self.downloads.push(from);
        }
    }

    /// Runs everything as one submission, waits for it, and gives the downloaded bytes to `read`
    /// (none when nothing was asked for).
    ///
    /// # Errors
    /// `Device` when the device refuses, runs out of memory, hangs or is lost; and what `read` returns.
    pub fn run<T>(self, read: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
        let gpu = self.gpu;
        let total: u64 = self.downloads.iter().map(|d| d.bytes).sum();
        let readback = if total > 0 { Some(gpu.readback(total)?) } else { None };
        let parameters = gpu.parameters(self.parameters.len().max(1) as u64)?;
        let (sender, receiver) = mpsc::channel();

        let span = trace::span("submission");
        let submission = gpu.guarded(|| {
            if !self.parameters.is_empty() {
                gpu.queue().write_buffer(parameters.raw(), 0, &self.parameters);
            }
            let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            self.encode(&mut encoder, &parameters);
            if let Some(readback) = &readback {
                let mut offset = 0;
                for from in &self.downloads {
                    encoder.copy_buffer_to_buffer(from.buffer.raw(), from.offset, readback.raw(), offset, from.bytes);
                    offset += from.bytes;
                }
            }
            let submission = gpu.queue().submit([encoder.finish()]);
            gpu.count_submission();
            let finished = move |ok: bool| {
                // The receiver is gone only when the wait for this submission was given up.
                let _ = sender.send(ok);
            };
            match &readback {
                Some(readback) => {
                    readback.raw().map_async(wgpu::MapMode::Read, 0..total, move |mapped| finished(mapped.is_ok()));
                }
                None => gpu.queue().on_submitted_work_done(move || finished(true)),
            }
            Ok(submission)
        })?;

        let mut outcome = None;
        gpu.wait(&submission, || {
            // Another thread may be the one that is about to deliver, so this one gives it a moment.
            outcome = outcome.or_else(|| receiver.recv_timeout(Duration::from_millis(1)).ok());
            outcome.is_some()
        })?;
        drop(span);
        gpu.check()?;
        if outcome != Some(true) {
            return Err(Error::device("the result of the GPU cannot be read"));
        }
        let Some(readback) = readback else { return read(&[]) };
        gpu.count_download();
        let _span = trace::span("download").bytes(total);
        let result = readback
            .raw()
            .get_mapped_range(0..total)
            .map_err(|e| Error::device(format!("the result of the GPU cannot be read: {e}")))
            .and_then(|view| read(&view));
        readback.raw().unmap();
        result
    }

    fn encode(&self, encoder: &mut wgpu::CommandEncoder, parameters: &Buffer) {
        let device = self.gpu.device();
        // Consecutive dispatches share a pass; a copy ends it.
        let mut commands = self.commands.iter().peekable();
        while let Some(command) = commands.peek() {
            if let Command::Copy { from, to, offset } = command {
                encoder.copy_buffer_to_buffer(from.buffer.raw(), from.offset, to.raw(), *offset, from.bytes);
                commands.next();
                continue;
            }
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            while let Some(Command::Dispatch { pipeline, bindings, parameters: offset, groups }) =
                commands.next_if(|c| matches!(c, Command::Dispatch { .. }))
            {
                let block = wgpu::BufferBinding {
                    buffer: parameters.raw(),
                    offset: *offset,
                    size: wgpu::BufferSize::new(PARAMETER_STRIDE),
                };
                let mut entries =
                    vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(block) }];
                entries.extend(bindings.iter().zip(1..).map(|(buffer, binding)| wgpu::BindGroupEntry {
                    binding,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: buffer.raw(),
                        offset: 0,
                        size: wgpu::BufferSize::new(buffer.bytes()),
                    }),
                }));
                let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: None,
                    layout: &pipeline.get_bind_group_layout(0),
                    entries: &entries,
                });
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, &group, &[]);
                pass.dispatch_workgroups(groups[0], groups[1], 1);
            }
        }
    }
}
