//! Buffers under a byte budget, in size classes, kept for reuse.
//!
//! Two bounds work together. A [`Reservation`] admits work: it blocks until what all admitted works hold at once
//! fits the budget, and since works are admitted whole and finish by themselves, nobody waits for ever.
//! Idle buffers fill only what the buffers in use leave of the budget; the longest idle go first.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::device::Gpu;
use super::recording::Slice;
use crate::error::{Error, Result};

/// Smallest size class in bytes.
const SMALLEST: u64 = 4096;

/// What a buffer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Read and written by shaders and copies.
    Storage,
    /// Parameters of dispatches.
    Parameters,
    /// Read by the CPU.
    Readback,
}

impl Use {
    const fn usages(self) -> wgpu::BufferUsages {
        use wgpu::BufferUsages as U;
        match self {
            Use::Storage => U::STORAGE.union(U::COPY_SRC).union(U::COPY_DST),
            Use::Parameters => U::UNIFORM.union(U::COPY_DST),
            Use::Readback => U::MAP_READ.union(U::COPY_DST),
        }
    }
}

/// A buffer lent by the pool; goes back when dropped.
#[derive(Debug)]
pub struct Buffer {
    raw: wgpu::Buffer,
    purpose: Use,
    bytes: u64,
    pool: Arc<Pool>,
}

impl Buffer {
    pub(super) fn raw(&self) -> &wgpu::Buffer {
        &self.raw
    }

    /// Bytes asked for; the buffer may be larger.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All bytes asked for.
    pub fn whole(&self) -> Slice<'_> {
        Slice { buffer: self, offset: 0, bytes: self.bytes }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        let size = self.raw.size();
        state.used -= size;
        state.idle += size;
        state.free.push_back((self.purpose, self.raw.clone()));
        state.shrink_to(self.pool.budget);
    }
}

/// Room in the budget; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    bytes: u64,
    pool: Arc<Pool>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.pool.lock().reserved -= self.bytes;
        self.pool.freed.notify_all();
    }
}

#[derive(Debug)]
pub(super) struct Pool {
    budget: u64,
    max_buffer: u64,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of admitted works.
    reserved: u64,
    /// Bytes of buffers lent.
    used: u64,
    /// Bytes of buffers in `free`.
    idle: u64,
    /// Longest idle first.
    free: VecDeque<(Use, wgpu::Buffer)>,
}

impl State {
    fn shrink_to(&mut self, budget: u64) {
        while self.used + self.idle > budget {
            let Some((_, raw)) = self.free.pop_front() else { break };
            self.idle -= raw.size();
        }
    }
}

/// `bytes` rounded up to a class: four classes for each power of two, so at most a fourth is wasted.
fn size_class(bytes: u64) -> u64 {
    let bytes = bytes.max(SMALLEST);
    let step = (1 << bytes.ilog2()) / 4;
    bytes.div_ceil(step) * step
}

impl Pool {
    pub(super) fn new(budget: u64, max_buffer: u64) -> Arc<Self> {
        // Copies and bindings need whole words.
        let max_buffer = max_buffer / 4 * 4;
        Arc::new(Pool { budget, max_buffer, state: Mutex::default(), freed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets waiting threads look again whether the device is lost.
    pub(super) fn wake(&self) {
        let _state = self.lock();
        self.freed.notify_all();
    }
}

impl Gpu {
    /// Bytes that all works at once may take.
    pub fn pool_bytes(&self) -> u64 {
        self.pool().budget
    }

    /// Bytes of all buffers that now exist, lent and idle.
    pub fn pooled_bytes(&self) -> u64 {
        let state = self.pool().lock();
        state.used + state.idle
    }

    /// Bytes that a buffer for `bytes` really takes.
    pub fn buffer_size(&self, bytes: u64) -> u64 {
        size_class(bytes).min(self.pool().max_buffer)
    }

    /// Waits for `bytes` of the budget.
    ///
    /// # Errors
    /// `Device` when the budget is smaller than `bytes`, or when the device is lost meanwhile.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation> {
        let pool = self.pool();
        if bytes > pool.budget {
            return Err(Error::device(format!(
                "{bytes} bytes of GPU memory are needed at once; the budget is {}",
                pool.budget
            )));
        }
        let mut state = pool.lock();
        loop {
            self.check()?;
            if state.reserved + bytes <= pool.budget {
                state.reserved += bytes;
                return Ok(Reservation { bytes, pool: Arc::clone(pool) });
            }
            state = pool.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A buffer of at least `bytes` for shaders and copies. Its content is undefined.
    ///
    /// # Errors
    /// `Device` when it is larger than the adapter allows, memory is exhausted or the device is lost.
    pub fn storage(&self, bytes: u64) -> Result<Buffer> {
        self.acquire(Use::Storage, bytes)
    }

    pub(super) fn parameters(&self, bytes: u64) -> Result<Buffer> {
        self.acquire(Use::Parameters, bytes)
    }

    pub(super) fn readback(&self, bytes: u64) -> Result<Buffer> {
        self.acquire(Use::Readback, bytes)
    }

    fn acquire(&self, purpose: Use, bytes: u64) -> Result<Buffer> {
        self.check()?;
        let pool = self.pool();
        if bytes > pool.max_buffer {
            return Err(Error::device(format!(
                "a buffer of {bytes} bytes is needed; the adapter allows {}",
                pool.max_buffer
            )));
        }
        let size = self.buffer_size(bytes);
        let lend = |raw| Buffer { raw, purpose, bytes, pool: Arc::clone(pool) };

        let mut state = pool.lock();
        if let Some(i) = state.free.iter().position(|(p, raw)| *p == purpose && raw.size() == size)
            && let Some((_, raw)) = state.free.remove(i)
        {
            state.idle -= size;
            state.used += size;
            return Ok(lend(raw));
        }
        state.used += size;
        state.shrink_to(pool.budget);
        drop(state);

        let created = self.guarded(|| {
            Ok(self.device().create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage: purpose.usages(),
                mapped_at_creation: false,
            }))
        });
        created.map(lend).inspect_err(|_| pool.lock().used -= size)
    }
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn size_classes_waste_at_most_a_fourth() {
        for bytes in (1..3_000_000u64).step_by(997) {
            let class = size_class(bytes);
            assert!(class >= bytes && class.is_multiple_of(4), "{bytes} → {class}");
            assert!(bytes < 4096 || class * 4 <= bytes * 5, "{bytes} → {class}");
            assert_eq!(size_class(class), class);
        }
    }
}
