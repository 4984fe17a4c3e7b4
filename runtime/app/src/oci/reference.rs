//! `oci://REGISTRY/NAME:TAG@sha256:...`: which artefact of which registry.

use std::fmt;

/// Where an artefact is, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `HOST` or `HOST:PORT`.
    pub registry: String,
    /// The repository there.
    pub name: String,
    pub tag: Option<String>,
    /// Of the manifest. It counts more than the tag.
    pub digest: Option<String>,
    /// It is spoken to without TLS.
    pub plain: bool,
    scheme: &'static str,
    text: String,
}

/// Which manifest of a repository or a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    Tag(String),
    Digest(String),
    /// The one that is there; of a layout only.
    Only,
}

/// Said of what is none.
const WANTED: &str = "must be oci://REGISTRY/NAME:TAG, or oci://REGISTRY/NAME@sha256:DIGEST; oci+http:// \
    for a registry without TLS, oci+https:// for one on this machine with TLS";
/// What a reference may begin with, and whether that is without TLS; none where the registry's place says it.
const SCHEMES: [(&str, Option<bool>); 3] =
    [("oci", None), ("oci+http", Some(true)), ("oci+https", Some(false))];

impl Reference {
    /// Whether a text is meant to be one.
    pub fn is_meant(text: &str) -> bool {
        scheme(text).is_some()
    }

    /// Takes a text apart. `Err` goes on where the text stops.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, plain, rest) = scheme(text).ok_or(WANTED)?;
        let (registry, rest) = rest.split_once('/').ok_or(WANTED)?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (rest, None),
        };
        if tag.is_none() && digest.is_none() {
            return Err("names neither a tag nor a digest; write one, such as `:1.4.0`".to_owned());
        }
        let wrong = !is_registry(registry)
            || !is_name(name)
            || tag.is_some_and(|tag| !is_tag(tag))
            || digest.is_some_and(|digest| !is_digest(digest));
        if wrong {
            return Err(WANTED.to_owned());
        }
        Ok(Self {
            registry: registry.to_owned(),
            name: name.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
            plain: plain.unwrap_or_else(|| is_here(registry)),
            scheme,
            text: text.to_owned(),
        })
    }

    /// What is asked for.
    pub fn selector(&self) -> Selector {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Selector::Digest(digest.clone()),
            (None, Some(tag)) => Selector::Tag(tag.clone()),
            (None, None) => Selector::Only,
        }
    }

    /// The same repository, with a digest only.
    pub fn at(&self, digest: &str) -> String {
        format!("{}://{}/{}@{digest}", self.scheme, self.registry, self.name)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Its scheme, whether that is without TLS, and what follows it.
fn scheme(text: &str) -> Option<(&'static str, Option<bool>, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let (scheme, plain) = SCHEMES.into_iter().find(|(name, _)| *name == scheme)?;
    Some((scheme, plain, rest))
}

/// This machine: nobody is in between.
fn is_here(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost"
        || host == "[::1]"
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let named = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.len() <= 253 && host.bytes().all(named),
    };
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    let outer = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.iter().all(|b| inner(*b)) && outer(bytes.first()) && outer(bytes.last())
    };
    text.len() <= 255 && text.split('/').all(part)
}

/// A tag, by the words of the distribution's rules.
pub fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&text.len())
        && word(text.as_bytes()[0])
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// `sha256:` and 64 digits, in small letters.
pub fn is_digest(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_reference_is_taken_apart() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let found =
            Reference::parse(&format!("oci://r.example.com:5000/team/orders:1.4.0@{digest}")).unwrap();
        assert_eq!(found.registry, "r.example.com:5000");
        assert_eq!((found.name.as_str(), found.tag.as_deref()), ("team/orders", Some("1.4.0")));
        assert_eq!(found.selector(), Selector::Digest(digest));
        assert!(!found.plain);
        for plain in [
            "oci://localhost:5000/a:b",
            "oci://127.0.0.1/a:b",
            "oci://[::1]:1/a:b",
            "oci+http://r.example.com/a:b",
        ] {
            assert!(Reference::parse(plain).unwrap().plain, "{plain}");
        }
        let secure = Reference::parse("oci+https://localhost:5000/a:b").unwrap();
        assert!(!secure.plain && secure.at("sha256:0").starts_with("oci+https://localhost:5000/a@"));
    }

    #[test]
    fn what_is_none_is_refused() {
        let bad = [
            "oci://",
            "oci://r",
            "oci://r/",
            "oci://r/a",
            "oci://r/A:b",
            "oci://r/a:",
            "oci://r/a:b c",
            "oci://r/../a:b",
            "oci://r:x/a:b",
            "oci://r:0/a:b",
            "oci://u:p@r/a:b",
            "oci://r/a@sha256:00",
            "oci://r/a@md5:00",
            "https://r/a:b",
            "oci://r/a//b:c",
            "oci://r/a:b?x",
            "oci://r/-a:b",
            "oci://r x/a:b",
        ];
        for text in bad {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }
}
