//! Layer records (section 4) and the blocks of additional layer information that matter for pixels and text.

use super::cursor::Cursor;
use super::{Extent, Header, descriptor};
use crate::error::{Error, Result, Stage};
use crate::limits::Limits;

/// A rectangle on the document's canvas, which it may exceed; right and bottom are outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    pub left: i32,
    pub top: i32,
    pub right: i32,
    pub bottom: i32,
}

impl Bounds {
    pub fn width(self) -> u32 {
        u32::try_from(i64::from(self.right) - i64::from(self.left)).unwrap_or(0)
    }

    pub fn height(self) -> u32 {
        u32::try_from(i64::from(self.bottom) - i64::from(self.top)).unwrap_or(0)
    }

    pub fn is_empty(self) -> bool {
        self.width() == 0 || self.height() == 0
    }

    /// The smallest rectangle around both; empty ones count for nothing.
    #[must_use]
    pub fn union(self, other: Bounds) -> Bounds {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            _ => Bounds {
                left: self.left.min(other.left),
                top: self.top.min(other.top),
                right: self.right.max(other.right),
                bottom: self.bottom.max(other.bottom),
            },
        }
    }

    fn read(cursor: &mut Cursor) -> Result<Self> {
        let (top, left, bottom, right) = (cursor.i32()?, cursor.i32()?, cursor.i32()?, cursor.i32()?);
        Ok(Bounds { left, top, right, bottom })
    }
}

/// What a channel of a layer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelId {
    /// A colour component, from 0.
    Color(u16),
    Transparency,
    /// The layer mask; where the layer has a vector mask too, what both make together.
    Mask,
    /// The layer mask without the vector mask, where there are both.
    RealMask,
    /// Anything else.
    Unknown,
}

/// A channel of a layer: two bytes that say how it is compressed, then its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    pub id: ChannelId,
    pub data: Extent,
}

/// A pixel mask of a layer or group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerMask {
    pub bounds: Bounds,
    /// Mask value outside of the bounds, 0 or 255.
    pub outside: u8,
    pub disabled: bool,
    /// Photoshop made its pixels of the vector mask.
    pub rendered: bool,
    /// How much the mask hides, 0–255.
    pub density: u8,
    /// Standard deviation of the blur that Photoshop shows the mask with, in pixels.
    pub feather: f64,
}

/// A vector mask: path records as in image resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorMask {
    pub inverted: bool,
    pub disabled: bool,
    /// Records of 26 bytes.
    pub path: Vec<u8>,
}

/// The part that a layer record has in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The upper end; the group's own properties stand here.
    Group,
    /// The lower end.
    GroupEnd,
}

/// One layer record.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    pub name: String,
    /// Stays the layer's own when others come and go.
    pub id: Option<u32>,
    pub bounds: Bounds,
    pub channels: Vec<Channel>,
    pub blend: BlendMode,
    /// 0–255.
    pub opacity: u8,
    /// Opacity of the pixels without the effects, 0–255.
    pub fill: u8,
    /// Shown only where the first layer below without this mark is.
    pub clipped: bool,
    pub visible: bool,
    /// Its blend mode and fill opacity are also those of the layers that it clips ("Blend Clipped Layers as Group").
    pub blends_clipped: bool,
    pub mask: Option<LayerMask>,
    /// As `mask`, of [`ChannelId::RealMask`].
    pub real_mask: Option<LayerMask>,
    pub vector_mask: Option<VectorMask>,
    /// How much the vector mask hides, 0–255.
    pub vector_density: u8,
    /// As [`LayerMask::feather`].
    pub vector_feather: f64,
    pub section: Option<Section>,
    /// The type tool object (`TySh`) of a text layer; see [`super::text`].
    pub text: Option<Vec<u8>>,
    /// The descriptor of a layer that is one colour everywhere (`SoCo`).
    pub solid_color: Option<Vec<u8>>,
    /// Of a group: the artboard that it is.
    pub artboard: Option<Artboard>,
    /// It is filled with a colour, gradient or pattern. Its pixels, if it has any, have the edges of its vector mask.
    pub filled: bool,
    /// It changes the colours of the layers below instead of having some.
    pub adjustment: bool,
    /// Shadows, glows, strokes and the like are defined and shown.
    pub effects: bool,
    /// It is shown only over some colours, or only some of its colours are ("Blend If").
    pub blend_if: bool,
    /// It cuts a hole into the layers below ("Knockout", shallow or deep).
    pub knockout: bool,
}

impl Layer {
    pub fn channel(&self, id: ChannelId) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.id == id)
    }
}

/// All layers, and what is known of the merged image.
pub(super) struct Found {
    pub(super) layers: Vec<Layer>,
    pub(super) merged_transparency: bool,
}

/// Reads the section of layers and masks.
pub(super) fn read(mut section: Cursor, header: &Header, limits: &Limits) -> Result<Found> {
    let mut found = Found { layers: Vec::new(), merged_transparency: false };
    if section.remaining() == 0 {
        return Ok(found);
    }
    let length = length(&mut section, header.psb)?;
    let mut info = section.section(length, "the layer records")?;
    if length > 0 {
        found = read_layers(&mut info, header, limits)?;
    }
    // The global layer mask: the colour that masks are shown in.
    if section.remaining() >= 4 {
        let length = section.u32()?.into();
        section.skip(length)?;
    }
    blocks(&mut section, header.psb, 4, |key, block| {
        match key {
            // Layers of 16 and 32 bits stand here.
            b"Lr16" | b"Lr32" | b"Layr" if found.layers.is_empty() && block.remaining() > 0 => {
                let transparent = found.merged_transparency;
                found = read_layers(block, header, limits)?;
                found.merged_transparency |= transparent;
            }
            b"Mtrn" | b"Mt16" | b"Mt32" => found.merged_transparency = true,
            _ => {}
        }
        Ok(())
    })?;
    Ok(found)
}

fn length(cursor: &mut Cursor, long: bool) -> Result<u64> {
    if long { cursor.u64() } else { cursor.u32().map(u64::from) }
}

fn read_layers(info: &mut Cursor, header: &Header, limits: &Limits) -> Result<Found> {
    let count = info.i16()?;
    let number = u32::from(count.unsigned_abs());
    if number > limits.max_layers {
        return Err(Error::limit(
            Stage::Open,
            format!("the document has {number} layers; at most {} are read", limits.max_layers),
        ));
    }
    let mut layers = Vec::new();
    for index in 0..number {
        let layer = read_record(info, header, limits).map_err(|mut error| {
            error.message = format!("layer {} of {number} from below: {}", index + 1, error.message);
            error
        })?;
        layers.push(layer);
    }
    for layer in &mut layers {
        for channel in &mut layer.channels {
            channel.data.start = info.position();
            info.skip(channel.data.bytes)?;
        }
    }
    Ok(Found { layers, merged_transparency: count < 0 })
}

fn read_record(info: &mut Cursor, header: &Header, limits: &Limits) -> Result<Layer> {
    let bounds = Bounds::read(info)?;
    if !bounds.is_empty() {
        limits.check_size(bounds.width().into(), bounds.height().into())?;
    }
    let mut channels = Vec::new();
    for _ in 0..info.u16()? {
        let id = match info.i16()? {
            -1 => ChannelId::Transparency,
            -2 => ChannelId::Mask,
            -3 => ChannelId::RealMask,
            other => u16::try_from(other).map_or(ChannelId::Unknown, ChannelId::Color),
        };
        channels.push(Channel { id, data: Extent { start: 0, bytes: length(info, header.psb)? } });
    }
    if info.array()? != *b"8BIM" {
        return Err(info.malformed("a layer record has no blend mode where it should"));
    }
    let blend = BlendMode::from_key(&info.array()?);
    let (opacity, clipping, flags, _) = (info.u8()?, info.u8()?, info.u8()?, info.u8()?);
    let mut layer = Layer {
        name: String::new(),
        id: None,
        bounds,
        channels,
        blend,
        opacity,
        fill: 255,
        clipped: clipping != 0,
        visible: flags & 2 == 0,
        blends_clipped: true,
        mask: None,
        real_mask: None,
        vector_mask: None,
        vector_density: 255,
        vector_feather: 0.0,
        section: None,
        text: None,
        solid_color: None,
        artboard: None,
        filled: false,
        adjustment: false,
        effects: false,
        blend_if: false,
        knockout: false,
    };
    let bytes = info.u32()?.into();
    let mut extra = info.section(bytes, "the extra data of a layer")?;
    let bytes = extra.u32()?.into();
    let mut masks = extra.section(bytes, "the mask of a layer")?;
    if bytes > 0 {
        read_masks(&mut masks, &mut layer)?;
    }
    let ranges = extra.u32()?.into();
    layer.blend_if = blend_if(&extra.bytes(ranges)?);
    let bytes = u64::from(extra.u8()?);
    layer.name = latin(&extra.bytes(bytes)?);
    // With its length, it fills words of four bytes.
    extra.skip(((bytes + 1).next_multiple_of(4) - (bytes + 1)).min(extra.remaining()))?;
    blocks(&mut extra, header.psb, 2, |key, block| read_block(key, block, &mut layer))?;
    Ok(layer)
}

/// The name of a layer in the encoding of the machine that wrote it; only what all have in common is known here.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| if byte.is_ascii() { char::from(byte) } else { '\u{fffd}' }).collect()
}

/// Whether blending ranges leave anything out: each is two numbers where black begins, and two where white does.
fn blend_if(ranges: &[u8]) -> bool {
    ranges.as_chunks::<4>().0.iter().any(|range| *range != [0, 0, 255, 255])
}

fn read_masks(masks: &mut Cursor, layer: &mut Layer) -> Result<()> {
    let whole = masks.remaining();
    let bounds = Bounds::read(masks)?;
    let (outside, flags) = (masks.u8()?, masks.u8()?);
    let mask = |bounds, outside, flags: u8| LayerMask {
        bounds,
        outside,
        disabled: flags & 2 != 0,
        rendered: flags & 8 != 0,
        density: 255,
        feather: 0.0,
    };
    let mut first = mask(bounds, outside, flags);
    // The order of what follows is that of the files, which the specification has the other way round.
    if whole >= 36 {
        let (flags, outside) = (masks.u8()?, masks.u8()?);
        layer.real_mask = Some(mask(Bounds::read(masks)?, outside, flags));
    }
    if flags & 0x10 != 0 && masks.remaining() > 0 {
        let present = masks.u8()?;
        if present & 1 != 0 {
            first.density = masks.u8()?;
        }
        if present & 2 != 0 {
            first.feather = f64::from_be_bytes(masks.array()?);
        }
        if present & 4 != 0 {
            layer.vector_density = masks.u8()?;
        }
        if present & 8 != 0 {
            layer.vector_feather = f64::from_be_bytes(masks.array()?);
        }
    }
    layer.mask = Some(first);
    Ok(())
}

/// Keys whose blocks have 8 bytes of length in a PSB.
const LONG_BLOCKS: [&[u8; 4]; 14] = [
    b"LMsk", b"Lr16", b"Lr32", b"Layr", b"Mt16", b"Mt32", b"Mtrn", b"Alph", b"FMsk", b"lnk2", b"FEid", b"FXid",
    b"PxSD", b"cinf",
];

/// Calls `each` with every block of additional layer information, up to what is no block.
fn blocks(
    cursor: &mut Cursor,
    psb: bool,
    alignment: u64,
    mut each: impl FnMut(&[u8; 4], &mut Cursor) -> Result<()>,
) -> Result<()> {
    while cursor.remaining() >= 12 {
        let signature: [u8; 4] = cursor.array()?;
        if !matches!(&signature, b"8BIM" | b"8B64") {
            // What follows is padding, or from a program that counts in another way.
            break;
        }
        let key: [u8; 4] = cursor.array()?;
        let bytes = length(cursor, psb && (signature == *b"8B64" || LONG_BLOCKS.contains(&&key)))?;
        let mut block = cursor.section(bytes, "a block of additional layer information")?;
        each(&key, &mut block)?;
        cursor.skip((bytes.next_multiple_of(alignment) - bytes).min(cursor.remaining()))?;
    }
    Ok(())
}

fn read_block(key: &[u8; 4], block: &mut Cursor, layer: &mut Layer) -> Result<()> {
    let whole = block.remaining();
    match key {
        b"luni" => {
            let units = u64::from(block.u32()?).min(block.remaining() / 2);
            let bytes = block.bytes(2 * units)?;
            let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_be_bytes(*unit));
            let name: String = char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect();
            layer.name = name.trim_end_matches('\0').to_owned();
        }
        b"lyid" => layer.id = Some(block.u32()?),
        b"iOpa" => layer.fill = block.u8()?,
        b"clbl" => layer.blends_clipped = block.u8()? != 0,
        b"knko" => layer.knockout = block.u8()? != 0,
        b"lsct" | b"lsdk" => {
            layer.section = match block.u32()? {
                1 | 2 => Some(Section::Group),
                3 => Some(Section::GroupEnd),
                _ => None,
            };
            if whole >= 12 && layer.section == Some(Section::Group) {
                block.skip(4)?;
                layer.blend = BlendMode::from_key(&block.array()?);
            }
        }
        b"vmsk" | b"vsms" => {
            block.skip(4)?;
            let flags = block.u32()?;
            let path = block.bytes(block.remaining())?;
            layer.vector_mask = Some(VectorMask { inverted: flags & 1 != 0, disabled: flags & 4 != 0, path });
        }
        b"TySh" => layer.text = Some(block.bytes(whole)?),
        b"SoCo" => {
            layer.solid_color = Some(block.bytes(whole)?);
            layer.filled = true;
        }
        b"artb" | b"artd" => layer.artboard = artboard(&block.bytes(whole)?),
        b"GdFl" | b"PtFl" | b"vscg" => layer.filled = true,
        b"lfx2" | b"lfxs" | b"lmfx" => layer.effects |= effects_shown(&block.bytes(whole)?),
        b"levl" | b"curv" | b"brit" | b"blnc" | b"hue " | b"hue2" | b"selc" | b"mixr" | b"grdm" | b"phfl" | b"expA"
        | b"blwh" | b"vibA" | b"clrL" | b"nvrt" | b"post" | b"thrs" => layer.adjustment = true,
        _ => {}
    }
    Ok(())
}

/// A group that cuts its layers to a rectangle, on a background of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Artboard {
    pub bounds: Bounds,
    pub background: ArtboardBackground,
}

/// What stands behind the layers of an artboard.
#[derive(Debug, Clone, PartialEq)]
pub enum ArtboardBackground {
    White,
    Black,
    Transparent,
    /// A colour, as in a fill layer.
    Color(descriptor::Object),
}

/// `None` for blocks that say nothing of a rectangle.
fn artboard(block: &[u8]) -> Option<Artboard> {
    // A version stands before the descriptor.
    let object = descriptor::read(block.get(4..)?).ok()?;
    let rect = object.object("artboardRect")?;
    let side = |key: &str| rect.number(key).map(|value| value.round() as i32);
    let bounds = Bounds { left: side("Left")?, top: side("Top")?, right: side("Rght")?, bottom: side("Btom")? };
    let background = match object.number("artboardBackgroundType") {
        Some(1.0) => ArtboardBackground::White,
        Some(2.0) => ArtboardBackground::Black,
        Some(4.0) => object.object("Clr").cloned().map_or(ArtboardBackground::Transparent, ArtboardBackground::Color),
        _ => ArtboardBackground::Transparent,
    };
    Some(Artboard { bounds, background })
}

/// Whether the effects are switched on as a whole, and one of them is.
fn effects_shown(block: &[u8]) -> bool {
    // Object effects version, descriptor version, descriptor.
    let Some(object) = block.get(8..).and_then(|rest| descriptor::read(rest).ok()) else { return true };
    object.boolean("masterFXSwitch") != Some(false) && object.items.iter().any(|(_, value)| value.has_true("enab"))
}

macro_rules! blend_modes {
    ($($(#[$doc:meta])* $name:ident $key:literal $words:literal,)*) => {
        /// How a layer's colours are mixed with those below.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum BlendMode { $($(#[$doc])* $name,)* }

        impl BlendMode {
            pub const ALL: &'static [BlendMode] = &[$(BlendMode::$name,)*];

            /// Unknown keys are [`BlendMode::Normal`].
            pub fn from_key(key: &[u8; 4]) -> Self {
                match key {
                    $($key => BlendMode::$name,)*
                    _ => BlendMode::Normal,
                }
            }

            /// Photoshop's name, in small letters.
            pub const fn name(self) -> &'static str {
                match self { $(BlendMode::$name => $words,)* }
            }
        }
    };
}

blend_modes! {
    Normal b"norm" "normal",
    /// Of groups: their layers are mixed with those below the group, one by one.
    PassThrough b"pass" "pass through",
    Dissolve b"diss" "dissolve",
    Darken b"dark" "darken",
    Multiply b"mul " "multiply",
    ColorBurn b"idiv" "color burn",
    LinearBurn b"lbrn" "linear burn",
    DarkerColor b"dkCl" "darker color",
    Lighten b"lite" "lighten",
    Screen b"scrn" "screen",
    ColorDodge b"div " "color dodge",
    LinearDodge b"lddg" "linear dodge",
    LighterColor b"lgCl" "lighter color",
    Overlay b"over" "overlay",
    SoftLight b"sLit" "soft light",
    HardLight b"hLit" "hard light",
    VividLight b"vLit" "vivid light",
    LinearLight b"lLit" "linear light",
    PinLight b"pLit" "pin light",
    HardMix b"hMix" "hard mix",
    Difference b"diff" "difference",
    Exclusion b"smud" "exclusion",
    Subtract b"fsub" "subtract",
    Divide b"fdiv" "divide",
    Hue b"hue " "hue",
    Saturation b"sat " "saturation",
    Color b"colr" "color",
    Luminosity b"lum " "luminosity",
}
