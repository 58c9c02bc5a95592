//! The program's allocator: the system's, told to keep what is freed, and huge pages for large buffers.
//!
//! Memory that is touched for the first time costs a page fault, about 2 µs for each 4 KiB: a tenth of the time of a
//! conversion. Buffers of up to [`LARGE`] bytes are therefore kept for the next image when they are freed, and larger ones
//! ask for pages of 2 MiB, which take a sixth of the time for the same bytes. Systems without huge pages give small ones.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;

/// Blocks from this size on are mappings of their own; the size of a huge page.
const LARGE: usize = 2 << 20;
/// A multiple of the size of a page on every machine.
const PAGE: usize = 64 << 10;
/// The largest block that libraries in C get from an arena of the system's allocator, which is the most it can do; and how
/// many free bytes may stay at the end of each arena.
const KEPT: libc::c_int = 32 << 20;

pub struct Allocator;

/// Tells the system's allocator to keep what is freed. By itself it returns buffers of the size of bands and tiles to the
/// system after each image. To be called before much is allocated.
pub fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: these calls set two numbers of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}

fn is_large(size: usize, align: usize) -> bool {
    size >= LARGE && align <= LARGE
}

// SAFETY: a block is a mapping of its own or one of the system's allocator, which follows from its size and alignment;
// those are the same when it is freed. A mapping is as large as was asked for, zero, and starts at a multiple of `LARGE`.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout.size(), layout.align()) {
            return map(layout.size());
        }
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_large(layout.size(), layout.align()) {
            return map(layout.size());
        }
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_large(layout.size(), layout.align()) {
            // SAFETY: the block is a mapping of this length, which nobody uses any more.
            unsafe { libc::munmap(block.cast(), layout.size().next_multiple_of(PAGE)) };
        } else {
            // SAFETY: the block is one of the system's allocator, with this layout.
            unsafe { System.dealloc(block, layout) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !is_large(layout.size(), layout.align()) && !is_large(size, layout.align()) {
            // SAFETY: the caller's promises are the same.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: the caller promises that size and alignment make a layout, and that the block has the one given. The new
        // block is another one, and both hold the bytes that are copied.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, size.min(layout.size()));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

/// A mapping of at least `size` bytes, all zero, at a multiple of [`LARGE`]; null where there is no room.
fn map(size: usize) -> *mut u8 {
    let Some(length) = size.checked_next_multiple_of(PAGE) else { return ptr::null_mut() };
    let Some(wider) = length.checked_add(LARGE) else { return ptr::null_mut() };
    // SAFETY: a new mapping touches no other memory. What is given back or advised of lies inside it.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let mapped = libc::mmap(ptr::null_mut(), wider, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if mapped == libc::MAP_FAILED {
            return ptr::null_mut();
        }
        let before = mapped.align_offset(LARGE);
        let start = mapped.byte_add(before);
        if before > 0 {
            libc::munmap(mapped, before);
        }
        if before < LARGE {
            libc::munmap(start.byte_add(length), LARGE - before);
        }
        // No more than advice: without huge pages the mapping is as good.
        libc::madvise(start, length, libc::MADV_HUGEPAGE);
        start.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_blocks_are_aligned_zero_and_keep_their_bytes_when_they_grow_or_shrink() {
        for size in [LARGE, LARGE + 1, 3 * LARGE - 1, 5 * LARGE + 12_345] {
            let layout = Layout::from_size_align(size, 8).unwrap();
            // SAFETY: no size is zero, each block is used within its size and freed once, with its layout.
            unsafe {
                let block = Allocator.alloc_zeroed(layout);
                assert!(!block.is_null() && block.addr().is_multiple_of(LARGE));
                assert!(std::slice::from_raw_parts(block, size).iter().all(|byte| *byte == 0));
                for at in (0..size).step_by(4093) {
                    block.add(at).write(at as u8 | 1);
                }
                let kept = |block: *mut u8, size: usize| {
                    (0..size).step_by(4093).all(|at| block.add(at).read() == at as u8 | 1)
                };
                let larger = Allocator.realloc(block, layout, 2 * size);
                assert!(kept(larger, size));
                let small = Allocator.realloc(larger, Layout::from_size_align(2 * size, 8).unwrap(), 100_000);
                assert!(kept(small, 100_000));
                let large = Allocator.realloc(small, Layout::from_size_align(100_000, 8).unwrap(), size);
                assert!(kept(large, 100_000));
                Allocator.dealloc(large, layout);
            }
        }
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let layout = Layout::from_size_align(isize::MAX as usize - 7, 8).unwrap();
        // SAFETY: the size is not zero.
        assert!(unsafe { Allocator.alloc(layout) }.is_null());
    }
}
