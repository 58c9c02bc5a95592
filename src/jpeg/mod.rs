//! JPEG: a decoder, and an encoder of tiles.
//!
//! - [`Decoder`] hands out rows at full quality.
//! - [`TileEncoder`] writes the abbreviated streams that the tiles of a TIFF hold.
//! - [`Coefficients`] cuts a JPEG into such tiles without decoding it, so that no pixel changes.
//!
//! Streams without a fault, gray or YCbCr, are decoded in Rust by `native` and what it uses; all others by libjpeg, which
//! knows what to make of faults. Rows are the same bits. All calls into libjpeg stand in `session` and `decoder`, under
//! these rules:
//!
//! - Errors leave libjpeg by unwinding (its C code is built with unwind tables) and are caught at every call.
//! - Data that libjpeg would only warn about, and fill with gray, is an error here. Warnings that cost no
//!   pixel are kept as text. Nothing is printed.
//! - The header is read in Rust first, so what this engine refuses never reaches libjpeg, and what libjpeg
//!   will allocate is known and checked before it starts.
//! - There is no global state; every object may move between threads.

#[cfg(panic = "abort")]
compile_error!(
    "a damaged JPEG would end the process: libjpeg reports errors by unwinding, so build with panic = \"unwind\""
);

mod coded;
mod coefficients;
mod decoder;
mod entropy;
mod forward;
mod frame;
mod header;
mod huffman;
mod idct;
mod metadata;
mod native;
#[cfg(test)]
mod sample_files;
mod samples;
mod session;
mod stored;
mod tile_encoder;

pub use coefficients::Coefficients;
pub use decoder::Decoder;
pub use header::{Component, Header, Jfif, Process};
pub use metadata::Blocks;
pub use session::Encoding;
pub use tile_encoder::{TileEncoder, TileKind};
