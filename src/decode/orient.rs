//! EXIF orientation applied to a whole raster.
