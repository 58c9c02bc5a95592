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

/// Downsampling or sharpening of the transposed image against the transposed result, in sample units: the value
/// between the passes is rounded, and a value near one half may fall to either side.
pub const TRANSPOSED_U8: f64 = 1.0;

/// The same for colour with alpha, compared premultiplied.
pub const TRANSPOSED_U8_PREMULTIPLIED: f64 = 1.5;

/// The same at 16 bits, where the value between the passes has no fraction.
pub const TRANSPOSED_U16: f64 = 2.5;

/// The mean over an image of several thousand samples after an operation that preserves it, in sample units.
/// Rounding errors average out, but for the mean of four, where a quarter of all results ends in exactly one half
/// and goes up: 1/8.
pub const MEAN_U8: f64 = 0.13;

/// The same at 16 bits, where the mean of two is rounded after each pass: 1/4 and 1/4.
pub const MEAN_U16: f64 = 0.53;

/// Unsharp mask of 8-bit samples against the unrounded f64 reference, in sample units: half a unit for the
/// final rounding; the rest is the blur's 16-bit weights times the amount.
pub const SHARPEN_U8: f64 = 0.5 + 0.03;

/// The same for 16-bit samples: the blur rounds to a unit after each pass, and an amount of 5 multiplies that.
pub const SHARPEN_U16: f64 = 6.0;

/// The same for 8-bit colour with alpha, compared premultiplied: colour and alpha are rounded each.
pub const SHARPEN_U8_PREMULTIPLIED: f64 = 1.0 + 0.03;

/// The same for 16-bit colour with alpha.
pub const SHARPEN_U16_PREMULTIPLIED: f64 = 7.0;

/// Unsharp mask of radius 250, amount 1, in 8-bit units: half a unit for the final rounding; the rest is
/// 1501 weights of about 104/65536, of which only the running sum is rounded.
pub const SHARPEN_RADIUS_250: f64 = 0.5 + 0.03;

/// JPEG levels at quality 95, 4:2:0, of the sample photographs against the same levels without loss, in dB.
pub const JPEG_95_PSNR_DB: f64 = 38.0;

/// Mean ΔE2000 of converted colours against the engine's float path rounded to the same depth: a fifth of what
/// the eye may just tell apart.
pub const COLOR_MEAN: f64 = 0.2;

/// The largest ΔE2000 of a converted colour beyond what rounding to 8 bits costs: what the eye may just tell apart.
pub const COLOR_LARGEST: f64 = 1.0;

/// The same for the perceptual intent from a table of few nodes in version 2, whose black the engine estimates: 1.27 is
/// reached from CMYK.
pub const COLOR_LARGEST_PERCEPTUAL: f64 = 1.3;

/// Coverage against the slow reference, in 8-bit units: half a unit for the rounding; the reference samples 256 lines
/// to a row, so each edge that begins or ends in a pixel may cost it one line; up to four do.
pub const CLIP_MASK_U8: f64 = 0.5 + 4.0;

/// The mean of those errors: most pixels are all inside or all outside, where both are exact.
pub const CLIP_MASK_MEAN_U8: f64 = 0.25;

/// A mask of a turned path against the turned mask, in 8-bit units: a value near one half may fall to either side.
pub const CLIP_MASK_TURNED_U8: u32 = 1;

/// Coverage against GIMP's selection by the same path, in 8-bit units, where an edge runs through the pixel: GIMP's
/// curves are coarser chords, and its coverage is estimated.
pub const CLIP_MASK_GIMP_EDGE_U8: u32 = 17;

/// The same where none does.
pub const CLIP_MASK_GIMP_INSIDE_U8: u32 = 2;
