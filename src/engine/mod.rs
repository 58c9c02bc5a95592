//! The engine: assets in, derivatives out.

pub mod ingest;
