//! Every metric, once: its name, what it is, and what tells its series apart. Documentation, dashboards and
//! alerts are held against this table.

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations, by how long they were.
    Histogram,
}

/// What tells series apart, as OpenTelemetry writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label(pub &'static str);

impl Label {
    pub const PIPELINE: Self = Self("pipeline");
    pub const SYSTEM: Self = Self("messaging.system");
    pub const DESTINATION: Self = Self("messaging.destination.name");
    pub const GROUP: Self = Self("messaging.consumer.group.name");
    pub const OPERATION: Self = Self("messaging.operation.name");
    pub const ERROR: Self = Self("error.type");
    pub const LEDGER_OPERATION: Self = Self("operation");
    pub const CAUSE: Self = Self("cause");
    pub const TARGET: Self = Self("target");
    pub const PARTITION: Self = Self("partition");
    pub const API: Self = Self("api");
    pub const LIMIT: Self = Self("limit");
    pub const RESULT: Self = Self("result");
    pub const DIGEST: Self = Self("digest");
    pub const STATE: Self = Self("state");
    pub const VERSION: Self = Self("version");
    pub const WHAT: Self = Self("what");
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// As OpenTelemetry writes it, without its unit.
    pub name: &'static str,
    pub kind: Kind,
    /// Of OpenTelemetry: `s`, `By`, or what is counted in braces.
    pub unit: &'static str,
    pub help: &'static str,
    /// What may tell its series apart.
    pub labels: &'static [Label],
}

impl Metric {
    /// As Prometheus writes it, without the ending of counters.
    pub fn stem(&self) -> String {
        let unit = match self.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            _ => "",
        };
        format!("{}{unit}", self.name.replace('.', "_"))
    }
}

macro_rules! metrics {
    ($($variant:ident = $kind:ident, $name:literal, $unit:literal, [$($label:ident),*], $help:literal;)*) => {
        /// A metric, by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Name {
            $(#[doc = $help] $variant,)*
        }

        impl Name {
            /// All of them, in the order in which they are written.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// What it is.
            pub const fn metric(self) -> &'static Metric {
                match self {
                    $(Self::$variant => &Metric {
                        name: $name,
                        kind: Kind::$kind,
                        unit: $unit,
                        help: $help,
                        labels: &[$(Label::$label),*],
                    },)*
                }
            }
        }
    };
}

metrics! {
    ProcessDuration = Histogram, "messaging.process.duration", "s",
        [PIPELINE, SYSTEM, DESTINATION, GROUP, OPERATION, ERROR],
        "How long handlers took for messages. Short ones share the time of what was reported with them.";
    ConsumedMessages = Counter, "messaging.client.consumed.messages", "{message}",
        [PIPELINE, SYSTEM, DESTINATION, GROUP, OPERATION],
        "Messages received, redeliveries and duplicates included.";
    SentMessages = Counter, "messaging.client.sent.messages", "{message}", [PIPELINE, OPERATION, TARGET],
        "Messages sent: those of the outbox, and dead letters.";
    OperationDuration = Histogram, "messaging.client.operation.duration", "s",
        [PIPELINE, SYSTEM, DESTINATION, GROUP, OPERATION, ERROR],
        "How long the broker took for a request. A receive waits until there are messages.";
    LedgerDuration = Histogram, "pelton.ledger.operation.duration", "s", [PIPELINE, LEDGER_OPERATION, ERROR],
        "How long the ledger took for a batch.";
    DecodeDuration = Histogram, "pelton.decode.duration", "s", [PIPELINE],
        "How long a batch took to be decoded, waits for registries and stores included.";
    Handled = Counter, "pelton.handled", "{message}", [PIPELINE], "Messages completed.";
    Duplicates = Counter, "pelton.duplicates", "{message}", [PIPELINE],
        "Deliveries acknowledged unhandled, because their key was completed before.";
    Retries = Counter, "pelton.retries", "{attempt}", [PIPELINE], "Failed attempts that are tried again.";
    DeadLetters = Counter, "pelton.dead_letters", "{message}", [PIPELINE, CAUSE], "Dead letters written.";
    WaitsCut = Counter, "pelton.waits_cut", "{wait}", [PIPELINE],
        "Waits that handlers asked for, and that were cut down to the longest there is.";
    Conflicts = Counter, "pelton.conflicts", "{message}", [PIPELINE],
        "Messages run again: others had changed what they read, or were in their way.";
    Elsewhere = Counter, "pelton.elsewhere", "{message}", [PIPELINE],
        "Messages that were not started, since another worker had them.";
    OutboxSent = Counter, "pelton.outbox.sent", "{message}", [PIPELINE, TARGET],
        "Messages of the outbox that their target has.";
    OutboxRefused = Counter, "pelton.outbox.refused", "{message}", [PIPELINE, TARGET],
        "Messages of the outbox that their target refused.";
    OutboxBacklog = Gauge, "pelton.outbox.backlog", "{message}", [PIPELINE, TARGET],
        "Messages of the outbox that wait for their target.";
    OutboxOldestAge = Gauge, "pelton.outbox.oldest.age", "s", [PIPELINE, TARGET],
        "How long the oldest message of the outbox has waited for its target.";
    InFlight = Gauge, "pelton.in_flight", "{message}", [PIPELINE], "Deliveries held.";
    Waiting = Gauge, "pelton.waiting", "{message}", [PIPELINE],
        "Those of the deliveries held that wait for others of their key, for a retry or for their turn.";
    HeldBack = Gauge, "pelton.held_back", "", [PIPELINE],
        "1 while nothing is received, since what waits takes all the room there is.";
    Backlog = Gauge, "pelton.backlog", "{message}", [PIPELINE],
        "Messages of the source that are not settled, those in flight included, when last sampled.";
    OldestAge = Gauge, "pelton.oldest.age", "s", [PIPELINE],
        "Since when the oldest unsettled message was published, as far as is known, when last sampled.";
    Letters = Gauge, "pelton.letters", "{message}", [PIPELINE],
        "Dead letters that are kept in the data directory, when last sampled.";
    PartitionBehind = Gauge, "pelton.partition.behind", "{message}", [PIPELINE, PARTITION],
        "Records of a partition that were received, and may not be committed yet.";
    Ready = Gauge, "pelton.ready", "", [PIPELINE], "1 while nothing stands against the work of the pipeline.";
    Paused = Gauge, "pelton.paused", "", [PIPELINE], "1 while an operator has paused it.";
    PausedPartitions = Gauge, "pelton.paused.partitions", "{partition}", [PIPELINE],
        "Partitions that an operator has paused.";
    RateLimit = Gauge, "pelton.rate.limit", "{message}/s", [PIPELINE],
        "Starts a second that are allowed now, where they are limited.";
    RateRamping = Gauge, "pelton.rate.ramping", "", [PIPELINE],
        "1 while the rate grows after an outage.";
    LimiterWait = Counter, "pelton.limiter.wait", "s", [PIPELINE],
        "For how long a message was ready, a worker free, and the rate used up.";
    LimiterKeys = Gauge, "pelton.limiter.keys", "{message}", [PIPELINE],
        "Messages that wait for the rate of their key.";
    BreakerState = Gauge, "pelton.breaker.state", "", [PIPELINE],
        "Where the breaker is: 0 closed, 1 half-open, 2 open.";
    BreakerOpened = Counter, "pelton.breaker.opened", "{opening}", [PIPELINE],
        "How often the breaker opened.";
    BreakerExcused = Counter, "pelton.breaker.excused", "{attempt}", [PIPELINE],
        "Failed starts that were not counted as attempts, since the breaker was open.";
    LeasesExtended = Counter, "pelton.leases.extended", "{lease}", [PIPELINE], "Leases renewed.";
    LeasesLost = Counter, "pelton.leases.lost", "{lease}", [PIPELINE],
        "Leases that ended before their message was settled.";
    LostUpstream = Counter, "pelton.lost_upstream", "{message}", [PIPELINE],
        "Messages that the broker had, and has no more, though nobody has handled them.";
    TakenOver = Counter, "pelton.taken_over", "{message}", [PIPELINE],
        "Messages taken over from another consumer.";
    Requests = Counter, "pelton.requests", "{request}", [PIPELINE, API],
        "Requests to a broker that are paid for.";
    Decoded = Counter, "pelton.decoded", "{message}", [PIPELINE, RESULT],
        "Messages that a decoder has told apart: invalid ones, skipped ones, raw ones.";
    HttpRequests = Counter, "pelton.http.requests", "{request}", [PIPELINE],
        "HTTP requests that handlers made, those that were denied included.";
    HttpFailures = Counter, "pelton.http.failures", "{request}", [PIPELINE, RESULT],
        "Those of them without an answer, or without a whole one.";
    HttpRunning = Gauge, "pelton.http.running", "{request}", [PIPELINE], "HTTP requests that are under way.";
    HttpWaiting = Gauge, "pelton.http.waiting", "{request}", [PIPELINE],
        "Those of them that wait for their turn.";
    LimitsMet = Counter, "pelton.limits.met", "{time}", [PIPELINE, LIMIT],
        "How often a limit of the sandbox was met, or something was refused to a handler.";
    Counted = Counter, "pelton.counted", "1", [PIPELINE, WHAT], "What else was counted, by name.";
    VersionInfo = Gauge, "pelton.handler.version.info", "", [PIPELINE, DIGEST, STATE],
        "1 for each version of a handler that is in memory.";
    VersionHandled = Counter, "pelton.handler.version.handled", "{message}", [PIPELINE, DIGEST],
        "Messages that a version has handled, while one is tried out.";
    VersionFailed = Counter, "pelton.handler.version.failed", "{attempt}", [PIPELINE, DIGEST, ERROR],
        "Attempts that failed with a version, while one is tried out.";
    BuildInfo = Gauge, "pelton.build.info", "", [VERSION], "1, with the version of this program.";
    Instances = Gauge, "pelton.instances", "{instance}", [],
        "Instances of handlers that there may be at once.";
    LogDropped = Counter, "pelton.log.dropped", "{line}", [], "Lines of the log that were dropped.";
    Telemetry = Counter, "pelton.telemetry", "1", [RESULT],
        "What became of the spans and metrics that were to be sent.";
    SeriesDropped = Counter, "pelton.series.dropped", "{series}", [],
        "Series that were left out, since a metric may have no more of them.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_is_well_formed_and_there_once() {
        let names: BTreeSet<String> = Name::ALL.iter().map(|name| written(name.metric())).collect();
        assert_eq!(names.len(), Name::ALL.len());
        for metric in Name::ALL.map(Name::metric) {
            let is_plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
            assert!(written(metric).bytes().all(is_plain), "{}", written(metric));
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            assert!(metric.kind != Kind::Histogram || metric.unit == "s", "{}", metric.name);
        }
    }

    /// As Prometheus writes it.
    fn written(metric: &Metric) -> String {
        let total = if metric.kind == Kind::Counter { "_total" } else { "" };
        format!("{}{total}", metric.stem())
    }

    /// The rows of the documentation, in the order of the table.
    fn rows() -> String {
        let row = |metric: &Metric| {
            let labels: Vec<String> =
                metric.labels.iter().map(|label| format!("`{}`", label.0.replace('.', "_"))).collect();
            let kind = format!("{:?}", metric.kind).to_lowercase();
            format!(
                "| `{}` | `{}` | {kind} | {} | {} |\n",
                written(metric),
                metric.name,
                labels.join(" "),
                metric.help
            )
        };
        Name::ALL.map(|name| row(name.metric())).concat()
    }

    #[test]
    fn the_documentation_has_this_table() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operate/metrics.md");
        let text = std::fs::read_to_string(page).unwrap_or_default();
        let head = "|---|---|---|---|---|\n";
        let (before, behind) = text.split_once(head).unwrap_or_default();
        let (now, after) = behind.split_once("\n\n").unwrap_or_default();
        let now = format!("{now}\n");
        if std::env::var_os("PELTON_BLESS").is_some() {
            let all = format!("{before}{head}{}\n{after}", rows());
            assert!(std::fs::write(page, all).is_ok());
            return;
        }
        assert!(
            now == rows(),
            "PELTON_BLESS=1 cargo test -p pelton --bin pelton table writes the rows:\n{}",
            rows()
        );
    }
}
