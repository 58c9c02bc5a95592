//! What the lanes of a run are at: work that takes long says how far it is, for whoever shows it.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// Pieces of work that are going on.
#[derive(Debug, Default)]
pub struct Activity {
    pieces: Mutex<Pieces>,
}

#[derive(Debug, Default)]
struct Pieces {
    /// How many there have been.
    count: u64,
    /// Name and progress of those that are not over, by their numbers.
    open: BTreeMap<u64, (String, String)>,
}

/// One piece of work; it is over when this is dropped.
#[derive(Debug)]
pub struct Piece<'a> {
    activity: &'a Activity,
    number: u64,
}

impl Activity {
    /// Begins a piece of work that is named `what`.
    pub fn begin(&self, what: String) -> Piece<'_> {
        let mut pieces = self.pieces.lock().expect("no panic while the lock is held");
        pieces.count += 1;
        let number = pieces.count;
        pieces.open.insert(number, (what, String::new()));
        Piece { activity: self, number }
    }

    /// All pieces of work in one line, the oldest first; empty when there are none.
    pub fn line(&self) -> String {
        let pieces = self.pieces.lock().expect("no panic while the lock is held");
        let pieces: Vec<String> = pieces.open.values().map(|(what, how_far)| format!("{what} {how_far}")).collect();
        pieces.join(", ").trim_end().to_owned()
    }
}

impl Piece<'_> {
    /// How far the work is.
    pub fn say(&self, how_far: String) {
        let mut pieces = self.activity.pieces.lock().expect("no panic while the lock is held");
        if let Some((_, said)) = pieces.open.get_mut(&self.number) {
            *said = how_far;
        }
    }
}

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        if let Ok(mut pieces) = self.activity.pieces.lock() {
            pieces.open.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_told_until_they_are_over() {
        let activity = Activity::default();
        let first = activity.begin("shoe ps|mp4-240p".into());
        first.say("12 %".into());
        {
            let second = activity.begin("catalog".into());
            assert_eq!(activity.line(), "shoe ps|mp4-240p 12 %, catalog");
            second.say("page 3".into());
            assert_eq!(activity.line(), "shoe ps|mp4-240p 12 %, catalog page 3");
        }
        assert_eq!(activity.line(), "shoe ps|mp4-240p 12 %");
        drop(first);
        assert_eq!(activity.line(), "");
    }
}
