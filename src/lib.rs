//! `reprise` makes the derivatives of image originals anew: sharpened, cropped, tiled pyramid TIFFs.
//!
//! Data flows one way: job text → resolved job → asset records → row source → operations
//! on GPU or CPU → tiles → pyramid TIFF → catalog → job log.

pub mod catalog;
pub mod decode;
pub mod encode;
pub mod engine;
pub mod error;
pub mod external;
pub mod geometry;
pub mod gpu;
pub mod job;
pub mod jpeg;
pub mod layers;
pub mod limits;
pub mod media;
pub mod ops;
pub mod pixel;
pub mod preset;
pub mod psd;
pub mod read_at;
pub mod report;
pub mod rip;
pub mod trace;

pub use error::{Error, ErrorKind, Result, Stage};
