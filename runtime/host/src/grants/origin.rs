//! Scheme, host and port, in their one plain form: what is granted and what is asked for are compared in it,
//! so that no spelling is let in that a resolver reads as something else.

use super::http::HttpTarget;
use crate::guest::text::clean;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a whole name, and of a part of it.
const NAME_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    pub(crate) host: Host,
    pub(crate) port: u16,
}

/// A name in lower case without a last dot, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    Name(String),
    Address(IpAddr),
}

/// Why there is no origin. Goes on where the address stops: `it` *has a user name*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoOrigin {
    #[error("has a user name or a password; credentials go into `headers` of the grant")]
    User,
    #[error("has a port that is no number from 1 to 65535")]
    Port,
    #[error("has no host")]
    NoHost,
    #[error(
        "has a host that is neither a name nor an address: letters, digits, `-`, `_` and `.`, an IPv4 \
         address of four decimal numbers, or an IPv6 address in brackets; names in other scripts are \
         written in their ASCII form (`xn--...`)"
    )]
    Host,
}

impl Origin {
    /// Of a scheme and what stands between `//` and the path.
    pub(crate) fn new(tls: bool, authority: &str) -> Result<Self, NoOrigin> {
        if authority.contains('@') {
            return Err(NoOrigin::User);
        }
        let (host, port) = split(authority)?;
        let port = match port {
            Some(port) => number(port).ok_or(NoOrigin::Port)?,
            None if tls => 443,
            None => 80,
        };
        Ok(Self { tls, host: Host::parse(host)?, port })
    }

    /// The host as it stands in an address.
    pub(crate) fn host_text(&self) -> String {
        match &self.host {
            Host::Name(name) => name.clone(),
            Host::Address(IpAddr::V4(address)) => address.to_string(),
            Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
        }
    }

    /// Host and port, the port only where it is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        let host = self.host_text();
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    pub(crate) fn write(&self, f: &mut fmt::Formatter<'_>, before: &str) -> fmt::Result {
        write!(f, "{}://{before}{}", self.scheme(), self.authority())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "")
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, NoOrigin> {
        if let Some(inside) = text.strip_prefix('[') {
            let inside = inside.strip_suffix(']').ok_or(NoOrigin::Host)?;
            // Without a zone: that would name an interface of this machine.
            let address: Ipv6Addr = inside.parse().map_err(|_| NoOrigin::Host)?;
            return Ok(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(NoOrigin::NoHost);
        }
        let is_label = |label: &str| {
            let is_ours = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            !label.is_empty() && label.len() <= LABEL_BYTES && label.bytes().all(is_ours)
        };
        if name.len() > NAME_BYTES || !name.split('.').all(is_label) {
            return Err(NoOrigin::Host);
        }
        if !ends_in_a_number(name) {
            return Ok(Self::Name(name.to_ascii_lowercase()));
        }
        // `127.1`, `0x7f000001`, `2130706433`, `0177.0.0.1`: resolvers read them as addresses, each its way.
        let address: Ipv4Addr = name.parse().map_err(|_| NoOrigin::Host)?;
        Ok(Self::Address(IpAddr::V4(address)))
    }
}

impl HttpTarget {
    /// Whether a request to this place is one to the target.
    pub(crate) fn covers(&self, origin: &Origin) -> bool {
        if !self.below {
            return self.origin == *origin;
        }
        let same = self.origin.tls == origin.tls && self.origin.port == origin.port;
        match (&self.origin.host, &origin.host) {
            (Host::Name(above), Host::Name(name)) => {
                let rest = name.strip_suffix(above.as_str()).and_then(|rest| rest.strip_suffix('.'));
                same && rest.is_some_and(|rest| !rest.is_empty())
            }
            _ => false,
        }
    }
}

/// Reads the place of a grant.
pub(super) fn target(text: &str) -> Result<HttpTarget, String> {
    const WRITTEN: &str = "write a scheme, a host and perhaps a port, as in `https://api.example.com` or \
                           `http://*.internal.example:8080`";
    // What stands before an `@` may be a password.
    let shown = clean(text.rsplit('@').next().unwrap_or_default(), 256);
    let wrong = |what: &str| format!("`{shown}` {what}; {WRITTEN}");
    let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("has no scheme"))?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return Err(wrong("has a scheme that is neither `https` nor `http`")),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err(wrong("has a path, and grants have none: a handler may reach every path of a host"));
    }
    let (below, authority) = match rest.strip_prefix("*.") {
        Some(host) => (true, host),
        None => (false, rest),
    };
    if authority.contains('*') {
        return Err(wrong("has a `*` that is not the first part of the host"));
    }
    let origin = Origin::new(tls, authority).map_err(|error| wrong(&error.to_string()))?;
    if below && matches!(origin.host, Host::Address(_)) {
        return Err(wrong("has a `*` before an address"));
    }
    if below && !matches!(&origin.host, Host::Name(name) if name.contains('.')) {
        return Err(wrong("would grant every name of a whole top-level domain"));
    }
    Ok(HttpTarget { origin, below })
}

/// Host and port of an authority.
fn split(authority: &str) -> Result<(&str, Option<&str>), NoOrigin> {
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or(NoOrigin::Host)?;
        let (host, rest) = authority.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(NoOrigin::Host),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

fn number(port: &str) -> Option<u16> {
    let is_plain = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    is_plain.then(|| port.parse().ok()).flatten().filter(|port| *port > 0)
}

/// Whether a resolver may read the name as an address: its last part is a number, in any notation.
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    last.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn origin(text: &str) -> Result<String, NoOrigin> {
        let (scheme, authority) = text.split_once("://").unwrap();
        Origin::new(scheme == "https", authority).map(|origin| origin.to_string())
    }

    #[test]
    fn a_place_has_one_plain_form() {
        for (text, plain) in [
            ("https://API.Example.com", "https://api.example.com"),
            ("https://api.example.com.", "https://api.example.com"),
            ("https://api.example.com:443", "https://api.example.com"),
            ("http://api.example.com:443", "http://api.example.com:443"),
            ("http://[::FFFF:127.0.0.1]:80", "http://127.0.0.1"),
            ("http://[2001:DB8::1]:81", "http://[2001:db8::1]:81"),
            ("http://xn--bcher-kva.example", "http://xn--bcher-kva.example"),
            ("http://a_b.example", "http://a_b.example"),
        ] {
            assert_eq!(origin(text).as_deref(), Ok(plain), "{text}");
        }
    }

    #[test]
    fn what_resolvers_read_in_their_own_way_is_no_place() {
        for text in [
            "http://2130706433",
            "http://0x7f000001",
            "http://0X7F.0.0.1",
            "http://127.1",
            "http://0177.0.0.1",
            "http://127.0.0.1.",
            "http://127.0.0.01",
            "http://1.2.3.4.5",
            "http://0x",
            "http://256.1.1.1",
            "http://[::1%25lo]",
            "http://[::1",
            "http://::1",
            "http://a..b",
            "http://a b",
            "http://b\u{fc}cher.de",
            "http://%31%32%37.0.0.1",
            "http://\u{ff11}27.0.0.1",
            "http://-\0",
            "http://127.0.0.1:0x50",
        ] {
            let found = origin(text);
            // The last dot of an address is no part of it.
            if text.ends_with("1.") {
                assert_eq!(found.as_deref(), Ok("http://127.0.0.1"));
                continue;
            }
            assert!(found.is_err(), "{text}: {found:?}");
        }
        assert_eq!(origin("http://a@b"), Err(NoOrigin::User));
        assert_eq!(origin("http://"), Err(NoOrigin::NoHost));
        assert_eq!(origin("http://a:+80"), Err(NoOrigin::Port));
        assert_eq!(origin("http://a:"), Err(NoOrigin::Port));
        assert_eq!(origin("http://a:65536"), Err(NoOrigin::Port));
    }

    #[test]
    fn a_target_covers_its_host_or_what_is_below_it() {
        let covers = |target: &str, authority: &str| {
            HttpTarget::parse(target).unwrap().covers(&Origin::new(true, authority).unwrap())
        };
        assert!(covers("https://api.example.com", "API.example.com.:443"));
        assert!(covers("https://*.example.com", "a.b.example.com"));
        for (target, authority) in [
            ("https://*.example.com", "example.com"),
            ("https://*.example.com", "badexample.com"),
            ("https://api.example.com", "api.example.com:8443"),
            ("https://api.example.com", "x.api.example.com"),
            ("http://api.example.com", "api.example.com"),
        ] {
            assert!(!covers(target, authority), "{target} {authority}");
        }
    }

    #[test]
    fn a_target_that_is_none_says_what_is_wrong() {
        for (text, words) in [
            ("api.example.com", "has no scheme"),
            ("ftp://a.example", "neither `https` nor `http`"),
            ("https://a.example/v1", "has a path"),
            ("https://*.com", "top-level domain"),
            ("https://a.*.example.com", "not the first part"),
            ("https://*.127.0.0.1", "before an address"),
            ("https://u:p@a.example", "user name or a password"),
            ("https://2130706433", "neither a name nor an address"),
        ] {
            let said = HttpTarget::parse(text).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
        assert_eq!(HttpTarget::parse("HTTPS://A.example:443/").unwrap().to_string(), "https://a.example");
        assert_eq!(HttpTarget::parse("https://*.a.example").unwrap().to_string(), "https://*.a.example");
    }
}
