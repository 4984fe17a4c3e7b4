//! An SQS source, as it is configured.

use super::checked::PipelineConfig;
use super::section::{Problems, Section};
use super::source::SourceConfig;
use pelton_sqs::{Connection, queue_name};
use std::time::Duration;

/// An SQS source.
#[derive(Debug, Clone)]
pub struct SqsConfig {
    pub queue: QueueConfig,
    pub wait: Duration,
    pub visibility: Duration,
}

/// A queue of SQS, and how it is reached where the SDK's usual chain does not say.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    pub url: String,
    pub endpoint_url: Option<String>,
    pub region: Option<String>,
}

impl QueueConfig {
    /// The way to it.
    pub fn connection(&self) -> Connection {
        Connection::usual(&self.url, self.endpoint_url.as_deref(), self.region.as_deref())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        queue_name(&self.url)
    }
}

/// The service's own bounds.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
const LONGEST_HOLD: Duration = Duration::from_secs(12 * 3_600);
/// Bytes of a queue's name.
const MAX_NAME: usize = 80;
const DEFAULT_VISIBILITY: Duration = Duration::from_secs(60);

/// Takes the section apart.
pub fn sqs(section: Section<'_>) -> SqsConfig {
    if !section.has("queue_url") {
        let example = "\"https://sqs.eu-central-1.amazonaws.com/123456789012/orders\"";
        section.problem("queue_url", format!("is missing; write queue_url = {example}"));
    }
    let queue = queue(&section);
    let wait = section.duration("wait_time", LONGEST_WAIT);
    if wait > LONGEST_WAIT {
        section.problem("wait_time", "must be from 0s to 20s, which is the longest that SQS waits");
    }
    let visibility = section.duration("visibility_timeout", DEFAULT_VISIBILITY);
    if visibility < Duration::from_secs(1) || visibility > LONGEST_HOLD {
        section.problem("visibility_timeout", "must be from 1s to 12h");
    }
    section.finish();
    SqsConfig { queue, wait, visibility }
}

/// A queue, by the keys that say where it is. None of them must be there.
pub fn queue(section: &Section<'_>) -> QueueConfig {
    let url = section.text("queue_url").unwrap_or_default();
    if section.has("queue_url") && !is_queue_url(&url) {
        section.problem("queue_url", NO_QUEUE_URL);
    }
    let endpoint_url = section.text("endpoint_url");
    if endpoint_url.as_deref().is_some_and(|url| !is_http(url)) {
        section.problem(
            "endpoint_url",
            "must begin with http:// or https://; leave it out for the service itself",
        );
    }
    let region = section.text("region");
    if region.as_deref() == Some("") {
        section.problem("region", "is empty; write one such as \"eu-central-1\", or leave it out");
    }
    QueueConfig { url, endpoint_url, region }
}

/// What to say of a text that is no address of a queue.
const NO_QUEUE_URL: &str = "is no address of a queue: it begins with http:// or https:// and ends with the account and the queue's name, as the console shows it";

/// Whether a text may be the address of a queue.
fn is_queue_url(url: &str) -> bool {
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    is_http(url) && path.is_some_and(|(host, path)| is_host(host) && is_queue_name(queue_name(path)))
}

/// Host and port, without a login.
fn is_host(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').filter(|_| !text.ends_with(']')).unwrap_or((text, "80"));
    !host.is_empty()
        && port.parse::<u16>().is_ok()
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'@')
}

/// What the service lets a name be.
fn is_queue_name(name: &str) -> bool {
    let base = name.strip_suffix(".fifo").unwrap_or(name);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    !base.is_empty() && name.len() <= MAX_NAME && base.bytes().all(allowed)
}

fn is_http(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// Rules that a source alone cannot break.
pub fn together(pipelines: &[PipelineConfig], problems: &Problems) {
    let mut known: Vec<(&str, &str)> = Vec::new();
    for pipeline in pipelines {
        let SourceConfig::Sqs(sqs) = &pipeline.source else { continue };
        let path = format!("pipelines.{}", pipeline.name);
        if let Some((first, _)) = known.iter().find(|(_, url)| *url == sqs.queue.url && !url.is_empty()) {
            let what = format!(
                "is the queue that the pipeline `{first}` reads already, and each would get a part of it; give each a queue of its own"
            );
            problems.note(&format!("{path}.source.queue_url"), what);
        }
        let timeout = pipeline.handler.spec.timeout;
        if timeout > LONGEST_HOLD {
            let what = format!(
                "is {timeout:?}, and SQS lets nobody hold a message for more than 12h; make it shorter"
            );
            problems.note(&format!("{path}.handler.timeout"), what);
        }
        known.push((&pipeline.name, &sqs.queue.url));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_queues_are_told_from_others() {
        let good = [
            "https://sqs.eu-central-1.amazonaws.com/123456789012/orders",
            "http://localhost:9324/000000000000/orders_1-x.fifo",
            "http://[::1]:9324/queue/orders",
            "http://[::1]/queue/orders",
            "http://elasticmq/orders",
        ];
        assert_eq!(good.map(is_queue_url), [true; 5]);
        let bad = [
            "",
            "orders",
            "arn:aws:sqs:us-east-1:123456789012:orders",
            "sqs://localhost/0/orders",
            "http://localhost",
            "http://localhost/",
            "http://localhost/0/orders/",
            "http:///0/orders",
            "http://:9324/0/orders",
            "http://localhost:99999/0/orders",
            "http://me:secret@localhost/0/orders",
            "http://local host/0/orders",
            "http://localhost/0/the orders",
            "http://localhost/0/orders?x=y",
            "http://localhost/0/orders.old",
            "http://localhost/0/.fifo",
        ];
        bad.into_iter().for_each(|url| assert!(!is_queue_url(url), "{url}"));
    }
}
