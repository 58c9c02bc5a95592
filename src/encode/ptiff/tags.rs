//! TIFF 6.0 and BigTIFF: the tags and field types that a pyramid uses.

pub const NEW_SUBFILE_TYPE: u16 = 254;
pub const IMAGE_WIDTH: u16 = 256;
pub const IMAGE_LENGTH: u16 = 257;
pub const BITS_PER_SAMPLE: u16 = 258;
pub const COMPRESSION: u16 = 259;
pub const PHOTOMETRIC: u16 = 262;
pub const ORIENTATION: u16 = 274;
pub const SAMPLES_PER_PIXEL: u16 = 277;
pub const X_RESOLUTION: u16 = 282;
pub const Y_RESOLUTION: u16 = 283;
pub const PLANAR_CONFIG: u16 = 284;
pub const RESOLUTION_UNIT: u16 = 296;
pub const SOFTWARE: u16 = 305;
pub const PREDICTOR: u16 = 317;
pub const TILE_WIDTH: u16 = 322;
pub const TILE_LENGTH: u16 = 323;
pub const TILE_OFFSETS: u16 = 324;
pub const TILE_BYTE_COUNTS: u16 = 325;
pub const SUB_IFDS: u16 = 330;
pub const INK_SET: u16 = 332;
pub const EXTRA_SAMPLES: u16 = 338;
pub const JPEG_TABLES: u16 = 347;
pub const YCBCR_SUBSAMPLING: u16 = 530;
pub const YCBCR_POSITIONING: u16 = 531;
pub const REFERENCE_BLACK_WHITE: u16 = 532;
pub const XMP: u16 = 700;
pub const IPTC: u16 = 33723;
pub const PHOTOSHOP: u16 = 34377;
pub const EXIF_DIRECTORY: u16 = 34665;
pub const ICC: u16 = 34675;
pub const GPS_DIRECTORY: u16 = 34853;

/// The name of a tag as the TIFF specification writes it.
pub fn name(tag: u16) -> &'static str {
    match tag {
        NEW_SUBFILE_TYPE => "NewSubfileType",
        IMAGE_WIDTH => "ImageWidth",
        IMAGE_LENGTH => "ImageLength",
        BITS_PER_SAMPLE => "BitsPerSample",
        COMPRESSION => "Compression",
        PHOTOMETRIC => "PhotometricInterpretation",
        ORIENTATION => "Orientation",
        SAMPLES_PER_PIXEL => "SamplesPerPixel",
        X_RESOLUTION => "XResolution",
        Y_RESOLUTION => "YResolution",
        PLANAR_CONFIG => "PlanarConfiguration",
        RESOLUTION_UNIT => "ResolutionUnit",
        SOFTWARE => "Software",
        PREDICTOR => "Predictor",
        TILE_WIDTH => "TileWidth",
        TILE_LENGTH => "TileLength",
        TILE_OFFSETS => "TileOffsets",
        TILE_BYTE_COUNTS => "TileByteCounts",
        SUB_IFDS => "SubIFDs",
        INK_SET => "InkSet",
        EXTRA_SAMPLES => "ExtraSamples",
        JPEG_TABLES => "JPEGTables",
        YCBCR_SUBSAMPLING => "YCbCrSubSampling",
        YCBCR_POSITIONING => "YCbCrPositioning",
        REFERENCE_BLACK_WHITE => "ReferenceBlackWhite",
        XMP => "XMP",
        IPTC => "IPTC",
        PHOTOSHOP => "Photoshop",
        EXIF_DIRECTORY => "ExifIFD",
        ICC => "ICCProfile",
        GPS_DIRECTORY => "GPSInfoIFD",
        _ => "private tag",
    }
}

/// Field types.
pub const BYTE: u16 = 1;
pub const ASCII: u16 = 2;
pub const SHORT: u16 = 3;
pub const LONG: u16 = 4;
pub const RATIONAL: u16 = 5;
pub const UNDEFINED: u16 = 7;
pub const IFD: u16 = 13;
pub const LONG8: u16 = 16;
pub const IFD8: u16 = 18;

/// Bytes of one value of a field type; `None` for a type that does not exist.
pub fn type_bytes(field_type: u16) -> Option<u64> {
    Some(match field_type {
        BYTE | ASCII | 6 | UNDEFINED => 1,
        SHORT | 8 => 2,
        LONG | 9 | 11 | IFD => 4,
        RATIONAL | 10 | 12 | LONG8 | 17 | IFD8 => 8,
        _ => return None,
    })
}

pub mod compression {
    use super::super::Compression;

    pub const NONE: u16 = 1;
    pub const LZW: u16 = 5;
    pub const JPEG: u16 = 7;
    pub const DEFLATE: u16 = 8;
    pub const ZSTD: u16 = 50000;

    pub fn from_code(code: u64) -> Option<Compression> {
        [Compression::None, Compression::Lzw, Compression::Jpeg, Compression::Deflate, Compression::Zstd]
            .into_iter()
            .find(|&compression| self::code(compression).is_some_and(|known| u64::from(known) == code))
    }

    /// `None` for `Auto`, which is not a compression yet.
    pub fn code(compression: Compression) -> Option<u16> {
        Some(match compression {
            Compression::Auto => return None,
            Compression::None => NONE,
            Compression::Lzw => LZW,
            Compression::Deflate => DEFLATE,
            Compression::Jpeg => JPEG,
            Compression::Zstd => ZSTD,
        })
    }
}

pub mod photometric {
    pub const BLACK_IS_ZERO: u16 = 1;
    pub const RGB: u16 = 2;
    pub const SEPARATED: u16 = 5;
    pub const YCBCR: u16 = 6;
}
