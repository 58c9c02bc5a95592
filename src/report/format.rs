//! How texts and numbers are written into the page.

use std::fmt::{self, Display, Formatter, Write};

/// Text for an element or a quoted attribute: markup is escaped, control characters are replaced.
pub struct Text<'a>(pub &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(c)?,
                c if c.is_control() => f.write_char(char::REPLACEMENT_CHARACTER)?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Base 64 with padding (RFC 4648, section 4).
pub(super) struct Base64<'a>(pub &'a [u8]);

impl Display for Base64<'_> {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for group in self.0.chunks(3) {
            let at = |n: usize| u32::from(group.get(n).copied().unwrap_or(0));
            let bits = at(0) << 16 | at(1) << 8 | at(2);
            for n in 0..4 {
                let digit = DIGITS[(bits >> (18 - 6 * n) & 63) as usize];
                f.write_char(if n <= group.len() { char::from(digit) } else { '=' })?;
            }
        }
        Ok(())
    }
}

/// Bytes in decimal units: `812 B`, `3.4 MB`.
pub(super) struct Bytes(pub u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let mut value = self.0 as f64;
        if self.0 < 1000 {
            return write!(f, "{} B", self.0);
        }
        let mut unit = "";
        for next in ["kB", "MB", "GB", "TB"] {
            value /= 1000.0;
            unit = next;
            // 999.95 would be written as 1000.0.
            if value < 999.95 {
                break;
            }
        }
        write!(f, "{value:.1} {unit}")
    }
}

/// Seconds: `0.25 s`, `42.0 s`, `3 min 5 s`, `2 h 10 min`.
pub(super) struct Duration(pub f64);

impl Display for Duration {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let whole = self.0.round() as u64;
        match self.0 {
            s if s < 9.995 => write!(f, "{s:.2} s"),
            s if s < 59.95 => write!(f, "{s:.1} s"),
            s if s < 3599.5 => write!(f, "{} min {} s", whole / 60, whole % 60),
            _ => write!(f, "{} h {} min", whole / 3600, whole % 3600 / 60),
        }
    }
}

/// Bytes written in percent of bytes read; nothing when nothing was read.
pub(super) struct Ratio(pub u64, pub u64);

impl Display for Ratio {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        match self {
            Ratio(_, 0) => Ok(()),
            Ratio(written, read) => {
                write!(f, ", {:.0} % of what was read", 100.0 * *written as f64 / *read as f64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(Base64(bytes.as_bytes()).to_string(), text);
        }
        assert_eq!(Base64(&[0xFB, 0xFF, 0xFE]).to_string(), "+//+");
    }

    #[test]
    fn bytes_change_unit_at_a_thousand() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (3_449_000_000, "3.4 GB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn durations_at_their_edges() {
        for (seconds, text) in [
            (0.0, "0.00 s"),
            (9.99, "9.99 s"),
            (9.996, "10.0 s"),
            (59.94, "59.9 s"),
            (59.96, "1 min 0 s"),
            (185.0, "3 min 5 s"),
            (3599.6, "1 h 0 min"),
            (7800.0, "2 h 10 min"),
        ] {
            assert_eq!(Duration(seconds).to_string(), text, "{seconds}");
        }
    }
}
