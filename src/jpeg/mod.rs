//! JPEG: a small safe interface over the libjpeg API for reading, and an encoder of tiles.
//!
//! - [`Decoder`] hands out rows at full quality.
//! - [`TileEncoder`] writes the abbreviated streams that the tiles of a TIFF hold.
//! - [`Coefficients`] cuts a JPEG into such tiles without decoding it, so that no pixel changes.
//!
//! `header`, `metadata`, `huffman`, `tokens`, `forward` and `tile_encoder` are plain Rust, with vector instructions in
//! `forward/avx2`. All calls into libjpeg stand in `session`, `decoder` and `coefficients`, under these rules:
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

mod coefficients;
mod decoder;
mod forward;
mod header;
mod huffman;
mod metadata;
mod session;
mod tile_encoder;
mod tokens;

pub use coefficients::Coefficients;
pub use decoder::Decoder;
pub use header::{Component, Header, Jfif, Process};
pub use metadata::Blocks;
pub use session::Encoding;
pub use tile_encoder::{TileEncoder, TileKind};
