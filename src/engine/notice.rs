//! The HTTP notice that a job is done.
//!
//! The address comes from a job document, so it is not trusted: only `http` and `https`, no redirects, no proxy from
//! the environment, and no private or loopback address unless the library allows it. Addresses are checked where the
//! connection is made, so a name that resolves to another address the second time gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::retry;
use crate::catalog::Settings;
use crate::error::{Error, ErrorKind, Result, Stage};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For one attempt as a whole.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Pauses before the second and third attempt.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(3)];

/// Posts `json` to `url`: three attempts, unless the answer says that more are no use.
///
/// # Errors
/// `Misuse` for an address that is not allowed, `Io` when the receiver cannot be reached or refuses. Messages do not
/// repeat the address, whose query may hold a secret.
pub fn post(url: &str, json: &str, settings: &Settings, stop: &AtomicBool) -> Result<()> {
    check_address(url)?;
    let roots = match roots(settings)? {
        None => RootCerts::WebPki,
        Some(roots) => RootCerts::new_with_certs(
            &roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect::<Vec<_>>(),
        ),
    };
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(TIMEOUT))
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .user_agent(concat!("reprise/", env!("CARGO_PKG_VERSION")))
        .build();
    let resolver = Guarded { inner: DefaultResolver::default(), allow_private: settings.allow_private_notices };
    let agent = Agent::with_parts(config, DefaultConnector::default(), resolver);
    let mut pauses = PAUSES.iter();
    loop {
        let (error, may_pass) = match attempt(&agent, url, json) {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        match pauses.next() {
            Some(&pause) if may_pass && retry::wait(pause, stop) => {}
            _ => return Err(error),
        }
    }
}

/// An address that was left out of what is kept of a job.
pub fn no_address() -> Result<()> {
    Err(Error::misuse(Stage::Job, "the address holds a user name or password; those are not sent"))
}

/// The roots of TLS connections in DER, if the library names some.
///
/// # Errors
/// `Misuse` when the file cannot be read or holds none.
pub(super) fn roots(settings: &Settings) -> Result<Option<Vec<Vec<u8>>>> {
    if settings.tls_roots.is_empty() {
        return Ok(None);
    }
    let refuse =
        |why: String| Error::misuse(Stage::Job, format!("the setting tlsRoots: {}: {why}", settings.tls_roots));
    let pem = std::fs::read(&settings.tls_roots).map_err(|e| refuse(e.to_string()))?;
    let mut roots = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        if let ureq::tls::PemItem::Certificate(root) = item.map_err(|e| refuse(e.to_string()))? {
            roots.push(root.der().to_vec());
        }
    }
    if roots.is_empty() { Err(refuse("it holds no certificate".into())) } else { Ok(Some(roots)) }
}

/// One attempt; its error, and whether another one may succeed.
fn attempt(agent: &Agent, url: &str, json: &str) -> std::result::Result<(), (Error, bool)> {
    let refused = |message: String| Error::new(ErrorKind::Io, Stage::Job, message);
    match agent.post(url).content_type("application/json").send(json) {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) if answer.status().is_redirection() => Err((
            refused(format!("the receiver answers with a redirect ({}), which is not followed", answer.status())),
            false,
        )),
        Ok(answer) => {
            let passing = answer.status().is_server_error() || matches!(answer.status().as_u16(), 408 | 425 | 429);
            Err((refused(format!("the receiver answers {}", answer.status())), passing))
        }
        Err(ureq::Error::Other(cause)) if cause.is::<NotPublic>() => {
            Err((Error::misuse(Stage::Job, cause.to_string()), false))
        }
        Err(error) => Err((refused(format!("the receiver cannot be reached: {error}")), true)),
    }
}

fn check_address(url: &str) -> Result<()> {
    let refused = |message: &str| Err(Error::misuse(Stage::Job, message));
    let Ok(uri) = url.parse::<Uri>() else { return refused("the address cannot be read") };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return refused("the address is not http or https");
    }
    if holds_password(url) {
        return no_address();
    }
    Ok(())
}

/// Whether an address names a user before its host.
pub fn holds_password(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| uri.authority().is_some_and(|authority| authority.as_str().contains('@')))
}

/// Resolves names and refuses addresses that are not public.
#[derive(Debug)]
struct Guarded {
    inner: DefaultResolver,
    allow_private: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("{0} is a private address; `reprise settings LIB allowPrivateNotices true` allows notices to such addresses")]
struct NotPublic(IpAddr);

impl Resolver for Guarded {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> std::result::Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        match found.iter().find(|address| !self.allow_private && !is_public(address.ip())) {
            Some(address) => Err(ureq::Error::Other(Box::new(NotPublic(address.ip())))),
            None => Ok(found),
        }
    }
}

/// Whether an address is meant for the internet at large.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => is_public_v4(address),
            None => is_public_v6(address),
        },
    }
}

/// Everything but the special-purpose blocks of RFC 6890.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || a >= 224
        || (a, b, c) == (192, 0, 0)
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (18..20).contains(&b));
    !special
}

/// Global unicast (2000::/3) without documentation and the tunnels (Teredo, 6to4) that carry any IPv4 address.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    a & 0xe000 == 0x2000 && a != 0x2002 && (a, b) != (0x2001, 0) && (a, b) != (0x2001, 0x0db8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        let public = ["8.8.8.8", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"];
        let private = [
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
        ];
        for address in public {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in private {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn addresses_that_are_not_plain_are_refused_without_a_connection() {
        let stop = AtomicBool::new(false);
        for url in ["ftp://example.com/", "file:///etc/passwd", "http://user:word@example.com/", "nonsense"] {
            let settings = Settings { allow_private_notices: true, ..Settings::default() };
            let error = post(url, "{}", &settings, &stop).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Misuse, "{url}: {error}");
            assert!(!error.to_string().contains("word@"), "{error}");
        }
        let error = post("http://127.0.0.1:9/", "{}", &Settings::default(), &stop).unwrap_err();
        assert!(error.message.contains("allowPrivateNotices"), "{error}");
    }
}
