//! Photoshop image resource blocks: JPEG APP13 (joined), TIFF tag 34377, PSD section 2.

/// Resource that holds IPTC-IIM records.
pub const IPTC: u16 = 1028;

/// Data of the first resource `id`, or `None` when it is absent or the blocks before it are broken.
///
/// One block: 4 bytes signature, `u16` id, Pascal name padded to even, `u32` length, data padded to even;
/// numbers are big-endian.
pub fn resource(blocks: &[u8], id: u16) -> Option<&[u8]> {
    let mut rest = blocks;
    loop {
        let (signature, after) = rest.split_at_checked(4)?;
        if !matches!(signature, b"8BIM" | b"PHUT" | b"AgHg" | b"DCSR" | b"MeSa") {
            return None;
        }
        let (found, after) = after.split_first_chunk::<2>()?;
        let name = (1 + usize::from(*after.first()?)).next_multiple_of(2);
        let (length, after) = after.get(name..)?.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (data, after) = after.split_at_checked(length)?;
        if u16::from_be_bytes(*found) == id {
            return Some(data);
        }
        // The padding byte of the last block is sometimes left out.
        rest = after.get(length % 2..).unwrap_or_default();
    }
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
