//! The program's allocator: the system's, told to keep what is freed, and huge pages for large buffers.
//!
//! Memory that is touched for the first time costs a page fault, about 2 µs for each 4 KiB: a tenth of the time of a
//! conversion. Buffers of up to [`LARGE`] bytes are therefore kept for the next image when they are freed, and larger ones
//! ask for pages of 2 MiB, which take a fifth of the time for the same bytes, and are kept, too, up to a bound. Systems
//! without huge pages give small ones.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The size of a huge page.
const HUGE: usize = 2 << 20;
/// Blocks from this size on are mappings of their own, of whole huge pages: one takes no longer than small pages for half
/// of it.
const LARGE: usize = HUGE / 2;
/// The largest block that libraries in C get from an arena of the system's allocator, which is the most it can do; how
/// many free bytes may stay at the end of each arena; and how many bytes of freed mappings are kept.
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

fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= HUGE
}

// SAFETY: a block is a mapping of its own or one of the system's allocator, which follows from its size and alignment;
// those are the same when it is freed. A mapping is at least as large as was asked for, and starts at a multiple of `HUGE`.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            return kept().take(layout.size()).unwrap_or_else(|| map(layout.size()));
        }
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_large(layout) {
            // SAFETY: the caller's promises are the same.
            return unsafe { System.alloc_zeroed(layout) };
        }
        match kept().take(layout.size()) {
            Some(block) => {
                // SAFETY: the block has this size at least, and nobody else uses it.
                unsafe { block.write_bytes(0, layout.size()) };
                block
            }
            None => map(layout.size()),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !is_large(layout) {
            // SAFETY: the block is one of the system's allocator, with this layout.
            unsafe { System.dealloc(block, layout) };
        } else if !kept().keep(block, layout.size()) {
            // SAFETY: the block is a mapping of this length, which nobody uses any more.
            unsafe { libc::munmap(block.cast(), layout.size().next_multiple_of(HUGE)) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that size and alignment make a layout.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (is_large(layout), is_large(wanted)) {
            // SAFETY: the caller's promises are the same.
            (false, false) => return unsafe { System.realloc(block, layout, size) },
            (true, true) if layout.size().div_ceil(HUGE) == size.div_ceil(HUGE) => return block,
            _ => {}
        }
        // SAFETY: the block has the layout given. The new block is another one, and both hold the bytes that are copied.
        unsafe {
            let new = self.alloc(wanted);
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, size.min(layout.size()));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

/// Freed mappings, by address and huge pages.
struct Kept {
    blocks: [(usize, usize); 32],
    pages: usize,
}

static FREED: Mutex<Kept> = Mutex::new(Kept { blocks: [(0, 0); 32], pages: 0 });

fn kept() -> MutexGuard<'static, Kept> {
    FREED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    /// A block for `size` bytes, which are what they were when it was freed.
    fn take(&mut self, size: usize) -> Option<*mut u8> {
        let pages = size.div_ceil(HUGE);
        let block = self.blocks.iter_mut().find(|block| block.1 == pages)?;
        let (address, _) = std::mem::take(block);
        self.pages -= pages;
        Some(ptr::with_exposed_provenance_mut(address))
    }

    /// Keeps a block of `size` bytes; `false` where that is one too many.
    fn keep(&mut self, block: *mut u8, size: usize) -> bool {
        let pages = size.div_ceil(HUGE);
        let free = self.blocks.iter_mut().find(|block| block.1 == 0);
        match free {
            Some(free) if self.pages + pages <= KEPT as usize / HUGE => {
                *free = (block.expose_provenance(), pages);
                self.pages += pages;
                true
            }
            _ => false,
        }
    }
}

/// A mapping of at least `size` bytes, all zero, at a multiple of [`HUGE`]; null where there is no room.
fn map(size: usize) -> *mut u8 {
    let Some(length) = size.checked_next_multiple_of(HUGE) else { return ptr::null_mut() };
    let Some(wider) = length.checked_add(HUGE) else { return ptr::null_mut() };
    // SAFETY: a new mapping touches no other memory. What is given back or advised of lies inside it.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let mapped = libc::mmap(ptr::null_mut(), wider, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if mapped == libc::MAP_FAILED {
            return ptr::null_mut();
        }
        let before = mapped.align_offset(HUGE);
        let start = mapped.byte_add(before);
        if before > 0 {
            libc::munmap(mapped, before);
        }
        if before < HUGE {
            libc::munmap(start.byte_add(length), HUGE - before);
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
        for size in [LARGE, LARGE + 1, HUGE, 3 * HUGE - 1, 5 * HUGE + 12_345] {
            let layout = Layout::from_size_align(size, 8).unwrap();
            // SAFETY: no size is zero, each block is used within its size and freed once, with its layout.
            unsafe {
                let block = Allocator.alloc_zeroed(layout);
                assert!(!block.is_null() && block.addr().is_multiple_of(HUGE));
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
    fn what_was_used_before_is_zero_where_that_is_asked_for() {
        let layout = Layout::from_size_align(HUGE + 5, 8).unwrap();
        for _ in 0..100 {
            // SAFETY: as above.
            unsafe {
                let block = Allocator.alloc_zeroed(layout);
                assert!(std::slice::from_raw_parts(block, layout.size()).iter().all(|byte| *byte == 0));
                block.write_bytes(0xff, layout.size());
                Allocator.dealloc(block, layout);
            }
        }
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut kept = Kept { blocks: [(0, 0); 32], pages: 0 };
        let block = |number: usize| ptr::without_provenance_mut::<u8>(number * HUGE);
        assert!(kept.keep(block(1), 1 << 20) && kept.keep(block(2), 3 * HUGE) && !kept.keep(block(3), 13 * HUGE));
        assert!(kept.keep(block(4), 12 * HUGE) && !kept.keep(block(5), 1));
        assert_eq!(kept.take(2 * HUGE), None);
        assert_eq!(kept.take(3 * HUGE - 1).map(|block| block.addr()), Some(2 * HUGE));
        assert_eq!(kept.take(3 * HUGE), None);
        assert!(kept.keep(block(5), 3 * HUGE));
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let layout = Layout::from_size_align(isize::MAX as usize - 7, 8).unwrap();
        // SAFETY: the size is not zero.
        assert!(unsafe { Allocator.alloc(layout) }.is_null());
    }
}
