//! Writes minimal TIFFs of any shape, right or wrong, without the code under test.

/// Values of a tag.
#[derive(Clone)]
pub enum Values {
    Bytes(Vec<u8>),
    Shorts(Vec<u16>),
    Longs(Vec<u32>),
    Rationals(Vec<(u32, u32)>),
    /// Bytes under the type LONG, as Photoshop writes IPTC.
    BytesAsLongs(Vec<u8>),
}

/// One directory and its chunks.
#[derive(Clone)]
pub struct TiffMaker {
    pub big_endian: bool,
    pub big: bool,
    pub tiled: bool,
    tags: Vec<(u16, Values)>,
    chunks: Vec<Vec<u8>>,
}

impl TiffMaker {
    pub fn new(width: u32, height: u32) -> Self {
        let maker = TiffMaker { big_endian: false, big: false, tiled: false, tags: Vec::new(), chunks: Vec::new() };
        maker.tag(256, Values::Longs(vec![width])).tag(257, Values::Longs(vec![height]))
    }

    /// Sets or replaces a tag.
    pub fn tag(mut self, tag: u16, values: Values) -> Self {
        self.tags.retain(|(old, _)| *old != tag);
        self.tags.push((tag, values));
        self
    }

    pub fn short(self, tag: u16, value: u16) -> Self {
        self.tag(tag, Values::Shorts(vec![value]))
    }

    /// Bits and number of samples, and what they mean.
    pub fn samples(self, photometric: u16, bits: u16, samples: u16) -> Self {
        self.short(262, photometric).tag(258, Values::Shorts(vec![bits; samples.into()])).short(277, samples)
    }

    pub fn tiles(mut self, width: u32, height: u32) -> Self {
        self.tiled = true;
        self.tag(322, Values::Longs(vec![width])).tag(323, Values::Longs(vec![height]))
    }

    pub fn chunk(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.chunks.push(data.into());
        self
    }

    /// 16-bit samples as bytes in the file's order; set `big_endian` before.
    pub fn chunk16(self, samples: &[u16]) -> Self {
        let data: Vec<u8> = samples.iter().flat_map(|s| self.number((*s).into(), 2)).collect();
        self.chunk(data)
    }

    fn number(&self, value: u64, bytes: usize) -> Vec<u8> {
        if self.big_endian { value.to_be_bytes()[8 - bytes..].to_vec() } else { value.to_le_bytes()[..bytes].to_vec() }
    }

    pub fn bytes(mut self) -> Vec<u8> {
        let (offset_bytes, header_bytes, entry_bytes, count_bytes) =
            if self.big { (8, 16, 20, 8) } else { (4, 8, 12, 2) };
        let mut data = Vec::new();
        let mut offsets = Vec::new();
        for chunk in &self.chunks {
            offsets.push((header_bytes + data.len()) as u32);
            data.extend_from_slice(chunk);
        }
        let (offsets_tag, counts_tag) = if self.tiled { (324, 325) } else { (273, 279) };
        let set = |maker: Self, tag, values: Vec<u32>| {
            if maker.tags.iter().any(|(old, _)| *old == tag) { maker } else { maker.tag(tag, Values::Longs(values)) }
        };
        let counts = self.chunks.iter().map(|chunk| chunk.len() as u32).collect();
        self = set(self, offsets_tag, offsets);
        self = set(self, counts_tag, counts);
        self.tags.sort_by_key(|(tag, _)| *tag);

        let mut entries = Vec::new();
        for (tag, values) in &self.tags {
            let (field_type, count, raw): (u64, usize, Vec<u8>) = match values {
                Values::Bytes(b) => (1, b.len(), b.clone()),
                Values::Shorts(v) => (3, v.len(), v.iter().flat_map(|v| self.number((*v).into(), 2)).collect()),
                Values::Longs(v) => (4, v.len(), v.iter().flat_map(|v| self.number((*v).into(), 4)).collect()),
                Values::Rationals(v) => {
                    (5, v.len(), v.iter().flat_map(|v| [v.0, v.1]).flat_map(|v| self.number(v.into(), 4)).collect())
                }
                Values::BytesAsLongs(b) => (4, b.len() / 4, b.clone()),
            };
            entries.extend(self.number((*tag).into(), 2));
            entries.extend(self.number(field_type, 2));
            entries.extend(self.number(count as u64, offset_bytes));
            if raw.len() <= offset_bytes {
                entries.extend(&raw);
                entries.resize(entries.len() + offset_bytes - raw.len(), 0);
            } else {
                entries.extend(self.number((header_bytes + data.len()) as u64, offset_bytes));
                data.extend(raw);
            }
        }
        assert_eq!(entries.len(), self.tags.len() * entry_bytes);

        let directory = (header_bytes + data.len()) as u64;
        let mut file = if self.big_endian { b"MM".to_vec() } else { b"II".to_vec() };
        if self.big {
            file.extend([(43, 2), (8, 2), (0, 2), (directory, 8)].iter().flat_map(|&(v, n)| self.number(v, n)));
        } else {
            file.extend([(42, 2), (directory, 4)].iter().flat_map(|&(v, n)| self.number(v, n)));
        }
        file.extend(data);
        file.extend(self.number(self.tags.len() as u64, count_bytes));
        file.extend(entries);
        file.extend(self.number(0, offset_bytes));
        file
    }
}
