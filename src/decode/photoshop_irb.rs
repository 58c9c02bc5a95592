//! Photoshop image resource blocks: JPEG APP13 (joined), TIFF tag 34377, PSD section 2.

/// Resource that holds IPTC-IIM records.
pub const IPTC: u16 = 1028;
/// Resource that holds an XMP packet.
pub const XMP: u16 = 1060;

/// One image resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    pub id: u16,
    /// Mostly empty; paths are told apart by it. In the encoding of the machine that wrote it.
    pub name: &'a [u8],
    pub data: &'a [u8],
}

/// The resources in their order, up to the first broken block.
///
/// One block: 4 bytes signature, `u16` id, Pascal name padded to even, `u32` length, data padded to even;
/// numbers are big-endian.
pub fn resources(blocks: &[u8]) -> impl Iterator<Item = Resource<'_>> {
    let mut rest = blocks;
    std::iter::from_fn(move || {
        let (resource, after) = split_first(rest)?;
        rest = after;
        Some(resource)
    })
}

fn split_first(blocks: &[u8]) -> Option<(Resource<'_>, &[u8])> {
    let (signature, rest) = blocks.split_at_checked(4)?;
    if !matches!(signature, b"8BIM" | b"PHUT" | b"AgHg" | b"DCSR" | b"MeSa") {
        return None;
    }
    let (id, rest) = rest.split_first_chunk::<2>()?;
    let (name, _) = pascal_string(rest)?;
    let (length, rest) = rest.get((1 + name.len()).next_multiple_of(2)..)?.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (data, rest) = rest.split_at_checked(length)?;
    // The padding byte of the last block is sometimes left out.
    Some((Resource { id: u16::from_be_bytes(*id), name, data }, rest.get(length % 2..).unwrap_or_default()))
}

/// A string with its length in the first byte, and what follows it.
pub fn pascal_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked((*length).into())
}

/// Data of the first resource `id`, or `None` when it is absent or the blocks before it are broken.
pub fn resource(blocks: &[u8], id: u16) -> Option<&[u8]> {
    resources(blocks).find(|resource| resource.id == id).map(|resource| resource.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(id: u16, name: &[u8], data: &[u8]) -> Vec<u8> {
        let mut out = b"8BIM".to_vec();
        out.extend(id.to_be_bytes());
        out.push(name.len() as u8);
        out.extend(name);
        if name.len().is_multiple_of(2) {
            out.push(0);
        }
        out.extend((data.len() as u32).to_be_bytes());
        out.extend(data);
        if data.len() % 2 == 1 {
            out.push(0);
        }
        out
    }

    #[test]
    fn finds_the_resource_behind_odd_names_and_odd_lengths() {
        let blocks =
            [block(1005, b"", b"abc"), block(1036, b"ab", b""), block(IPTC, b"x", b"\x1c\x02records")].concat();
        assert_eq!(resource(&blocks, IPTC), Some(&b"\x1c\x02records"[..]));
        assert_eq!(resource(&blocks, 1005), Some(&b"abc"[..]));
        assert_eq!(resource(&blocks, 1036), Some(&b""[..]));
        assert_eq!(resource(&blocks, 7), None);
    }

    #[test]
    fn every_truncation_finds_the_whole_resource_or_nothing() {
        let blocks = [block(1, b"", b"abc"), block(IPTC, b"name", b"12345")].concat();
        for end in 0..blocks.len() {
            let found = resource(&blocks[..end], IPTC);
            assert!(found.is_none() || found == Some(b"12345"), "cut at {end}: {found:?}");
        }
        assert_eq!(resource(&blocks[..blocks.len() - 1], IPTC), Some(&b"12345"[..]), "padding left out");
    }
}
