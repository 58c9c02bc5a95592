//! Memory admission: an asset starts when the bytes it will hold fit into what is left of the budget.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};

use crate::error::{Error, Result, Stage};

/// Held back for the program itself: code, catalog, GPU driver, allocator slack.
const RESERVE_BYTES: u64 = 64 << 20;
/// The least that is shared out however small the limit is: enough for a band of a large image.
const FLOOR_BYTES: u64 = 24 << 20;

/// A byte budget shared by all assets in flight. Waiting is first come, first served, so a large asset
/// is not starved by small ones.
#[derive(Debug)]
pub struct MemoryBudget {
    limit_bytes: u64,
    total_bytes: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    free_bytes: u64,
    queue: VecDeque<u64>,
    next_ticket: u64,
}

/// Bytes held until dropped.
#[derive(Debug)]
pub struct Permit<'a> {
    budget: &'a MemoryBudget,
    bytes: u64,
}

impl MemoryBudget {
    /// `limit_bytes` bounds the whole process, so a reserve for the program itself is taken off.
    pub fn new(limit_bytes: u64) -> Self {
        let total_bytes = limit_bytes.saturating_sub(RESERVE_BYTES).max(FLOOR_BYTES);
        MemoryBudget {
            limit_bytes,
            total_bytes,
            state: Mutex::new(State { free_bytes: total_bytes, queue: VecDeque::new(), next_ticket: 0 }),
            changed: Condvar::new(),
        }
    }

    /// Bytes that all assets together may hold.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Waits until `bytes` are free and takes them.
    ///
    /// # Errors
    /// `Limit` when the budget could never hold so much.
    pub fn acquire(&self, bytes: u64) -> Result<Permit<'_>> {
        if bytes > self.total_bytes {
            return Err(Error::limit(
                Stage::Open,
                format!(
                    "needs about {} MiB of memory at once; the limit of {} MiB leaves {} MiB for images: raise --max-memory",
                    bytes.div_ceil(1 << 20),
                    self.limit_bytes >> 20,
                    self.total_bytes >> 20
                ),
            ));
        }
        let mut state = self.state.lock().expect("no panic while the lock is held");
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.queue.push_back(ticket);
        while state.queue.front() != Some(&ticket) || state.free_bytes < bytes {
            state = self.changed.wait(state).expect("no panic while the lock is held");
        }
        state.queue.pop_front();
        state.free_bytes -= bytes;
        drop(state);
        self.changed.notify_all();
        Ok(Permit { budget: self, bytes })
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Ok(mut state) = self.budget.state.lock() {
            state.free_bytes += self.bytes;
        }
        self.budget.changed.notify_all();
    }
}

/// Bytes of memory that this process may use: physical memory, or the control group's limit if that is lower.
/// `None` where neither can be read.
pub fn available_bytes() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total_kib: u64 =
        meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?.split_whitespace().next()?.parse().ok()?;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|s| s.trim().parse().ok());
    Some(group.unwrap_or(u64::MAX).min(total_kib * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn more_than_the_budget_is_refused_and_names_the_option() {
        let budget = MemoryBudget::new(256 << 20);
        let error = budget.acquire(300 << 20).unwrap_err();
        assert_eq!(error.kind, crate::ErrorKind::Limit);
        assert!(error.message.contains("--max-memory"), "{error}");
    }

    #[test]
    fn permits_never_exceed_the_budget_and_all_waiters_get_their_turn() {
        let budget = MemoryBudget::new(RESERVE_BYTES + (100 << 20));
        let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for lane in 0..8u64 {
                let (budget, held, most) = (&budget, &held, &most);
                scope.spawn(move || {
                    for turn in 0..50u64 {
                        let bytes = ((lane * 7 + turn * 13) % 100 + 1) << 20;
                        let permit = budget.acquire(bytes).unwrap();
                        let now = held.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        most.fetch_max(now, Ordering::SeqCst);
                        held.fetch_sub(bytes, Ordering::SeqCst);
                        drop(permit);
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= budget.total_bytes());
    }
}
