//! Read-only tables that stay on the device between recordings.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use super::device::Gpu;
use super::pool::Buffer;
use crate::error::Result;

/// Which tables; no two are the same in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableId(u64);

impl TableId {
    #[allow(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        TableId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Tables kept, longest unused first.
pub(super) type Residents = VecDeque<(TableId, Arc<Buffer>)>;

/// Part of the pool's budget that tables may take beside it.
const SHARE_OF_POOL: u64 = 16;

impl Gpu {
    /// A buffer that holds the words of `table`, which are always the same for one `id`: uploaded on first use, then
    /// kept as long as there is room. Nothing may write to it.
    ///
    /// # Errors
    /// `Device` when memory is exhausted or the device is lost.
    pub fn resident(&self, id: TableId, table: impl FnOnce() -> Vec<u32>) -> Result<Arc<Buffer>> {
        // Held during the upload: several images that need the same tables wait for them.
        let mut residents = self.residents().lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = residents.iter().position(|(known, _)| *known == id) {
            let found = residents.remove(at).expect("just found");
            residents.push_back(found.clone());
            return Ok(found.1);
        }
        let buffer = Arc::new(self.storage_of(&table())?);
        residents.push_back((id, Arc::clone(&buffer)));
        let bytes = |residents: &Residents| residents.iter().map(|(_, buffer)| buffer.bytes()).sum::<u64>();
        while bytes(&residents) > self.pool_bytes() / SHARE_OF_POOL {
            residents.pop_front();
        }
        Ok(buffer)
    }
}
