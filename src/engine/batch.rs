//! Lanes: many assets at once, each on a thread of its own, results in the order they finish.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, mpsc};

use crate::error::{Error, ErrorKind, Result, Stage};

/// Runs `work` on every item in `lanes` threads and hands each result to `on_done` on the calling thread.
///
/// A panic inside `work` becomes that item's error; the other items go on. When `stop` says so, items in flight
/// finish and the rest is not started. Returns how many items were started.
pub fn run<T, R>(
    items: impl ExactSizeIterator<Item = T> + Send,
    lanes: usize,
    stop: impl Fn() -> bool + Sync,
    work: impl Fn(&T) -> Result<R> + Sync,
    mut on_done: impl FnMut(T, Result<R>),
) -> usize
where
    T: Send,
    R: Send,
{
    let lanes = lanes.clamp(1, items.len().max(1));
    let queue = Mutex::new(items);
    // Bounded, so that finished results never pile up behind a slow catalog.
    let (sender, receiver) = mpsc::sync_channel(2 * lanes);
    let mut started = 0;
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            let (sender, queue, stop, work) = (sender.clone(), &queue, &stop, &work);
            scope.spawn(move || {
                while !stop() {
                    let Some(item) = queue.lock().expect("the queue's iterator does not panic").next() else { break };
                    let result =
                        catch_unwind(AssertUnwindSafe(|| work(&item))).unwrap_or_else(|panic| Err(bug(&*panic)));
                    if sender.send((item, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (item, result) in receiver {
            started += 1;
            on_done(item, result);
        }
    });
    started
}

fn bug(panic: &(dyn std::any::Any + Send)) -> Error {
    let what = panic
        .downcast_ref::<&str>()
        .copied()
        .or(panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic");
    Error::new(
        ErrorKind::Internal,
        Stage::Operate,
        format!("a fault of this program, please report it with the file: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_panic_is_the_error_of_its_item_only() {
        let mut failed = vec![];
        let started = run(
            0..100,
            4,
            || false,
            |&i| if i % 10 == 3 { panic!("item {i}") } else { Ok(i) },
            |i, result| {
                if let Err(e) = result {
                    assert!(e.message.contains(&format!("item {i}")), "{e}");
                    failed.push(i);
                }
            },
        );
        failed.sort_unstable();
        assert_eq!((started, failed), (100, (0..10).map(|t| t * 10 + 3).collect()));
    }

    #[test]
    fn stop_leaves_the_rest_unstarted() {
        let stop = AtomicBool::new(false);
        let started =
            run(0..10_000, 2, || stop.load(Ordering::Relaxed), |&i| Ok(i), |_, _| stop.store(true, Ordering::Relaxed));
        assert!(started < 10_000);
    }
}
