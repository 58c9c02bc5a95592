//! Encoders: levels of rows to files.

pub mod ptiff;
