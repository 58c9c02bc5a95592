//! Text forms that are more than a word or a number: locales, times, addresses.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Two lower-case letters, a hyphen, two upper-case letters, such as `en-US`.
pub(super) fn is_locale(text: &str) -> bool {
    matches!(text.as_bytes(), [a, b, b'-', c, d]
        if a.is_ascii_lowercase() && b.is_ascii_lowercase() && c.is_ascii_uppercase() && d.is_ascii_uppercase())
}

/// An `xs:dateTime` with a four-digit year; without an offset it is UTC.
pub(super) fn date_time(text: &str) -> Option<Timestamp> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let matches = |shape: &[u8], text: &[u8]| {
        shape.len() == text.len()
            && shape.iter().zip(text).all(|(s, t)| if *s == b'0' { t.is_ascii_digit() } else { s == t })
    };
    let (date_time, rest) = text.split_at_checked(SHAPE.len())?;
    if !matches(SHAPE, date_time.as_bytes()) {
        return None;
    }
    let offset = match rest.strip_prefix('.') {
        Some(fraction) => {
            let offset = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if offset.len() == fraction.len() {
                return None;
            }
            offset
        }
        None => rest,
    };
    match offset.as_bytes() {
        [] => TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok(),
        [b'Z'] => text.parse().ok(),
        [b'+' | b'-', hours @ ..] if matches(b"00:00", hours) => text.parse().ok(),
        _ => None,
    }
}

/// Checks scheme, host and port of an `http` or `https` address; what follows is opaque, but without white space.
pub(super) fn check_http_url(text: &str) -> Result<(), &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("is not an absolute address")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err("is not http or https");
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("holds white space or control characters");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host_port = authority.rsplit_once('@').map_or(authority, |(_, host_port)| host_port);
    let (host, port) = match host_port.strip_prefix('[') {
        Some(address) => {
            let (address, after) = address.split_once(']').ok_or("has an unclosed bracket")?;
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("has a wrong IPv6 address");
            }
            (address, after.strip_prefix(':').or(after.is_empty().then_some("")))
        }
        None => match host_port.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host_port, Some("")),
        },
    };
    if host.is_empty() {
        return Err("has no host");
    }
    if !host.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '%' | ':')) {
        return Err("has a wrong host");
    }
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    match port {
        Some(port) if port.is_empty() || digits(port) && port.parse::<u16>().is_ok() => Ok(()),
        _ => Err("has a wrong port"),
    }
}
