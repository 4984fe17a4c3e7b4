//! Which addresses a request may go to. A name's owner says what it resolves to, so every address is looked
//! at, in the form that it really has.

use crate::grants::http::PrivateAddresses;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits))
}

const fn v6(head: [u16; 4], tail: [u16; 4], bits: u8) -> IpNet {
    let [a, b, c, d] = head;
    let [e, f, g, h] = tail;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), bits))
}

const NONE: [u16; 4] = [0; 4];

/// Networks of an organisation: RFC 1918, RFC 6598, RFC 4193.
const PRIVATE: [IpNet; 5] = [
    v4(10, 0, 0, 0, 8),
    v4(172, 16, 0, 0, 12),
    v4(192, 168, 0, 0, 16),
    v4(100, 64, 0, 0, 10),
    v6([0xfc00, 0, 0, 0], NONE, 7),
];

/// Services of clouds that give their credentials to whoever asks, at addresses that are not link-local.
const METADATA: [IpNet; 5] = [
    // Alibaba, Azure.
    v4(100, 100, 100, 200, 32),
    v4(168, 63, 129, 16, 32),
    // AWS, Google, Oracle.
    v6([0xfd00, 0xec2, 0, 0], NONE, 32),
    v6([0xfd20, 0xce, 0, 0], NONE, 32),
    v6([0xfd00, 0xc1, 0, 0], NONE, 32),
];

/// What is not the public internet either: the IANA registries of special purpose addresses, and forms of
/// IPv6 that carry an IPv4 address, which a gateway would take out.
const SPECIAL: [IpNet; 26] = [
    v4(0, 0, 0, 0, 8),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
    // Unspecified, loopback, IPv4-compatible.
    v6(NONE, NONE, 96),
    // IPv4-mapped, should it still have that form; IPv4-translated.
    v6(NONE, [0, 0xffff, 0, 0], 96),
    v6(NONE, [0xffff, 0, 0, 0], 96),
    // NAT64, discard.
    v6([0x64, 0xff9b, 0, 0], NONE, 96),
    v6([0x64, 0xff9b, 1, 0], NONE, 48),
    v6([0x100, 0, 0, 0], NONE, 64),
    // Teredo and other protocols, documentation, 6to4, documentation, segment routing.
    v6([0x2001, 0, 0, 0], NONE, 23),
    v6([0x2001, 0xdb8, 0, 0], NONE, 32),
    v6([0x2002, 0, 0, 0], NONE, 16),
    v6([0x3fff, 0, 0, 0], NONE, 20),
    v6([0x5f00, 0, 0, 0], NONE, 16),
    // Link-local, site-local, multicast.
    v6([0xfe80, 0, 0, 0], NONE, 10),
    v6([0xfec0, 0, 0, 0], NONE, 10),
    v6([0xff00, 0, 0, 0], NONE, 8),
    // Reserved for loopback by the IETF.
    v6([0x100, 0, 0, 1], NONE, 64),
];

/// Whether a grant lets a request go to this address.
pub(crate) fn is_allowed(address: IpAddr, private: &PrivateAddresses) -> bool {
    let address = address.to_canonical();
    let is_in = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
    if let PrivateAddresses::Only(nets) = private
        && is_in(nets)
    {
        return true;
    }
    if is_in(&METADATA) || is_in(&SPECIAL) {
        return false;
    }
    !is_in(&PRIVATE) || *private == PrivateAddresses::Allowed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn allowed(text: &str, private: &PrivateAddresses) -> bool {
        is_allowed(text.parse().unwrap(), private)
    }

    #[test]
    fn only_public_addresses_are_reached_without_a_word() {
        for text in ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00::1"] {
            assert!(allowed(text, &PrivateAddresses::Refused), "{text}");
        }
        for text in [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "169.254.170.2",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "168.63.129.16",
            "192.88.99.1",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "3fff::1",
            "5f00::1",
        ] {
            assert!(!allowed(text, &PrivateAddresses::Refused), "{text}");
        }
    }

    #[test]
    fn private_is_no_word_for_loopback_and_link_local_ones() {
        let private = PrivateAddresses::Allowed;
        for text in ["10.1.2.3", "192.168.0.1", "100.64.0.1", "fc00::1", "::ffff:10.0.0.1", "8.8.8.8"] {
            assert!(allowed(text, &private), "{text}");
        }
        for text in [
            "127.0.0.1",
            "::1",
            "169.254.169.254",
            "fe80::1",
            "100.100.100.200",
            "fd00:ec2::254",
            "0.0.0.0",
            "168.63.129.16",
            "fd00:c1::a9fe:a9fe",
        ] {
            assert!(!allowed(text, &private), "{text}");
        }
        let listed =
            PrivateAddresses::Only(vec!["127.0.0.1/32".parse().unwrap(), "10.0.0.0/24".parse().unwrap()]);
        for (text, may) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("127.0.0.2", false),
            ("10.0.0.9", true),
            ("10.0.1.9", false),
            ("8.8.8.8", true),
        ] {
            assert_eq!(allowed(text, &listed), may, "{text}");
        }
    }
}
