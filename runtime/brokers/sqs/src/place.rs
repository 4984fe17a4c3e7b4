//! What the address of a queue says of the way to it: the host is the service's own in a region, one of its
//! other doors there, or somebody else's.

/// Where a queue is, by its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueAddress {
    /// The region that requests are signed for, where the host names it.
    pub region: Option<String>,
    pub door: Door,
}

/// How its host is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// The SDK knows this host by its region. What the environment asks for (FIPS, both protocols of the
    /// internet, an address of its own) counts.
    Usual,
    /// It knows this host by its region too, when it is told so much more.
    Special { fips: bool, dual_stack: bool },
    /// It has to be told the address; `fips` when that is an endpoint of that kind by its name.
    Address { origin: String, fips: bool },
}

/// What hosts of the service end with, by the partitions; and those that speak both protocols.
const DOMAINS: [&str; 7] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
];
const DUAL_STACK: [&str; 3] = ["api.aws", "api.amazonwebservices.com.cn", "api.amazonwebservices.eu"];
/// The region of the oldest host, which names none.
const FIRST_REGION: &str = "us-east-1";

impl QueueAddress {
    /// Reads the address of a queue.
    pub fn of(queue_url: &str) -> Self {
        let (origin, authority) = origin(queue_url);
        let authority = authority.to_ascii_lowercase();
        // Said or not, it is the same door.
        let host = authority.strip_suffix(":443").unwrap_or(&authority);
        let own = |region: Option<&str>, fips| Self {
            region: region.map(str::to_owned),
            door: Door::Address { origin: origin.to_owned(), fips },
        };
        let bare = host.split(':').next().unwrap_or(host).trim_end_matches('.');
        let labels: Vec<&str> = bare.split('.').collect();
        if let Some(at) = labels.iter().position(|label| matches!(*label, "sqs" | "sqs-fips")) {
            let (fips, region) =
                (labels[at] == "sqs-fips", labels.get(at + 1).copied().filter(|r| is_region(r)));
            let domain = labels.get(at + 2..).unwrap_or_default().join(".");
            return match (region, at == 0 && host == bare) {
                (Some(region), true) if DOMAINS.contains(&&*domain) => Self::known(region, fips, false),
                (Some(region), true) if DUAL_STACK.contains(&&*domain) => Self::known(region, fips, true),
                _ => own(region, fips),
            };
        }
        let of_service = |rest: &[&str]| DOMAINS.contains(&&*rest.join("."));
        match labels.as_slice() {
            ["queue", rest @ ..] if of_service(rest) => own(Some(FIRST_REGION), false),
            [region, "queue", ..] if is_region(region) => own(Some(region), false),
            _ => own(None, false),
        }
    }

    /// Whether the host is a FIPS endpoint.
    pub fn is_fips(&self) -> bool {
        match self.door {
            Door::Usual => false,
            Door::Special { fips, .. } | Door::Address { fips, .. } => fips,
        }
    }

    fn known(region: &str, fips: bool, dual_stack: bool) -> Self {
        let door = if fips || dual_stack { Door::Special { fips, dual_stack } } else { Door::Usual };
        Self { region: Some(region.to_owned()), door }
    }
}

/// `eu-central-1`, `us-gov-west-1`: words of letters, and a number.
fn is_region(label: &str) -> bool {
    let parts: Vec<&str> = label.split('-').collect();
    let is = |part: &str, what: fn(&u8) -> bool| !part.is_empty() && part.as_bytes().iter().all(what);
    match parts.split_last() {
        Some((number, words)) => {
            words.len() >= 2
                && is(number, u8::is_ascii_digit)
                && words.iter().all(|w| is(w, u8::is_ascii_lowercase))
        }
        None => false,
    }
}

/// Scheme, host and port of an address; and host and port.
fn origin(url: &str) -> (&str, &str) {
    let from = url.find("://").map_or(0, |at| at + 3);
    let to = url[from..].find('/').map_or(url.len(), |at| from + at);
    (&url[..to], &url[from..to])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str) -> QueueAddress {
        QueueAddress::of(&format!("https://{host}/123456789012/orders"))
    }

    #[test]
    fn hosts_that_the_sdk_makes_of_a_region_are_left_to_it() {
        for (host, region) in [
            ("sqs.eu-central-1.amazonaws.com", "eu-central-1"),
            ("sqs.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("sqs.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
            ("SQS.EU-Central-1.AmazonAWS.com:443", "eu-central-1"),
        ] {
            assert_eq!(
                place(host),
                QueueAddress { region: Some(region.into()), door: Door::Usual },
                "{host}"
            );
        }
        for (host, fips, dual_stack) in [
            ("sqs-fips.us-east-2.amazonaws.com", true, false),
            ("sqs.us-east-2.api.aws", false, true),
            ("sqs-fips.us-east-2.api.aws", true, true),
        ] {
            let door = Door::Special { fips, dual_stack };
            assert_eq!(place(host), QueueAddress { region: Some("us-east-2".into()), door }, "{host}");
        }
        let china = place("sqs.cn-north-1.api.amazonwebservices.com.cn");
        assert_eq!(china.door, Door::Special { fips: false, dual_stack: true });
    }

    #[test]
    fn other_hosts_are_asked_as_they_are_named_and_for_the_region_in_their_names() {
        for (host, region, fips) in [
            ("vpce-0a-1b.sqs.eu-west-3.vpce.amazonaws.com", Some("eu-west-3"), false),
            ("vpce-0a-1b-eu-west-3c.sqs.eu-west-3.vpce.amazonaws.com", Some("eu-west-3"), false),
            ("vpce-0a-1b.sqs-fips.us-east-1.vpce.amazonaws.com", Some("us-east-1"), true),
            ("vpce-0a.sqs.cn-north-1.vpce.amazonaws.com.cn", Some("cn-north-1"), false),
            ("eu-west-1.queue.amazonaws.com", Some("eu-west-1"), false),
            ("cn-north-1.queue.amazonaws.com.cn", Some("cn-north-1"), false),
            ("queue.amazonaws.com", Some("us-east-1"), false),
            ("sqs.eu-west-1.localhost.localstack.cloud:4566", Some("eu-west-1"), false),
            ("eu-west-1.queue.localhost.localstack.cloud:4566", Some("eu-west-1"), false),
            ("sqs.eu-west-1.amazonaws.com:8443", Some("eu-west-1"), false),
            ("sqs.eu-west-1.amazonaws.com.", Some("eu-west-1"), false),
            ("sqs.internal.example", None, false),
            ("queue.example", None, false),
            ("localhost:9324", None, false),
            ("[::1]:9324", None, false),
            ("evil-amazonaws.com", None, false),
        ] {
            let door = Door::Address { origin: format!("https://{host}"), fips };
            assert_eq!(place(host), QueueAddress { region: region.map(str::to_owned), door }, "{host}");
        }
    }
}
