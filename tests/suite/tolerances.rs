//! Every tolerance of the suite, with its unit and its reason. They only shrink.

/// Downsampling of 8-bit samples against the unrounded f64 reference, in sample units: half a unit for the
/// final rounding; the rest is the 14-bit weights and Q6 in between.
pub const DOWNSAMPLE_U8: f64 = 0.5 + 0.03;

/// The same for 16-bit samples: the 14-bit weights count 257 times as much, and both passes round to a unit.
pub const DOWNSAMPLE_U16: f64 = 8.0;

/// Downsampling of 8-bit colour with alpha, compared premultiplied, in sample units: the colour and the alpha that
/// it is multiplied with are rounded each.
pub const DOWNSAMPLE_U8_PREMULTIPLIED: f64 = 1.0 + 0.03;

/// The same for 16-bit samples, whose premultiplied values are rounded going in as well.
pub const DOWNSAMPLE_U16_PREMULTIPLIED: f64 = 8.5;
