//! The hidden command that draws pages of one document for another process of this program.

use std::io;
use std::path::Path;

use reprise::error::{Error, Result, Stage};
use reprise::rip::{inks, worker};

use super::Verdict;
use super::output;

pub fn serve(document: &Path, inks: bool) -> Result<Verdict> {
    let served = if inks {
        inks::serve(document, output::pipe())
    } else {
        worker::serve(document, io::stdin().lock(), output::pipe())
    };
    served.map(|()| Verdict::AllGood).map_err(|e| Error::io(Stage::Decode, document, e))
}
