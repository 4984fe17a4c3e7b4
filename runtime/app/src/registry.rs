//! The brokers and databases of this build, and what their parts of the configuration are called.

use crate::events;
use crate::settings::Section;
use pelton_core::Cause;
use pelton_core::broker::{Broker, DeadLetterPlace, OutboxTarget};
use pelton_core::database::{DatabaseConfig, Password};
use pelton_decode::Form;
use pelton_store::EmbeddedConfig;
use std::fmt;
use std::sync::Arc;

/// The broker and what is read there.
#[derive(Debug, Clone)]
pub struct SourceConfig(Arc<dyn Broker>);

impl SourceConfig {
    /// What is asked of every broker.
    pub fn broker(&self) -> &dyn Broker {
        &*self.0
    }

    /// The embedded queue, if it is one.
    pub fn queue(&self) -> Option<&str> {
        self.broker().of().map(|embedded: &EmbeddedConfig| embedded.queue.as_str())
    }

    /// What it reads, for people.
    pub fn describe(&self) -> String {
        self.broker().describe()
    }
}

impl PartialEq for SourceConfig {
    fn eq(&self, other: &Self) -> bool {
        self.broker().is_same(other.broker())
    }
}

/// The words of `source.type`, as errors name them.
const TYPES: &str = "\"embedded\", \"kafka\", \"redis-stream\", \"redis-list\" and \"sqs\"";
const ANY_TYPE: &str = "\"embedded\", \"kafka\", \"redis-stream\", \"redis-list\" or \"sqs\"";

/// The source of the pipeline `name`: its embedded queue when nothing is said.
pub fn source(pipeline: &Section<'_>, name: &str) -> SourceConfig {
    let section = pipeline.section("source");
    let word = section.text("type");
    let source: Arc<dyn Broker> = match word.as_deref() {
        #[cfg(feature = "kafka")]
        Some("kafka") => Arc::new(pelton_kafka::configure(&section)),
        #[cfg(feature = "redis")]
        Some("redis-stream") => Arc::new(pelton_redis::configure_stream(&section)),
        #[cfg(feature = "redis")]
        Some("redis-list") => Arc::new(pelton_redis::configure_list(&section)),
        #[cfg(feature = "sqs")]
        Some("sqs") => Arc::new(pelton_sqs::configure(&section)),
        Some("embedded") => Arc::new(pelton_store::configure(&section, name)),
        None => {
            if pipeline.has("source") {
                section.problem("type", format!("is missing; write type = {ANY_TYPE}"));
            }
            Arc::new(pelton_store::configure(&section, name))
        }
        // Which keys such a source has is not known here.
        Some(other) => {
            section.problem("type", not_here(other));
            return SourceConfig(Arc::new(EmbeddedConfig { queue: name.to_owned() }));
        }
    };
    section.finish();
    SourceConfig(source)
}

/// What to say of a type that this build has not.
fn not_here(word: &str) -> String {
    let feature = match word {
        "kafka" | "sqs" => word,
        "redis-stream" | "redis-list" => "redis",
        _ => return format!("is `{word}`, which this version has not; those it has are {TYPES}"),
    };
    format!("is `{feature}`, which this build leaves out; build with `--features {feature}`")
}

#[cfg(not(all(feature = "postgres", feature = "dynamodb")))]
fn left_out(feature: &str) -> String {
    format!("is of a kind that this build leaves out; build with `--features {feature}`")
}

/// Where goes what a handler sends under one name.
#[derive(Clone)]
pub enum TargetConfig {
    /// Into an embedded queue, by its name.
    Queue(String),
    /// To a place at a broker: nobody's in a build without any.
    #[cfg_attr(not(any(feature = "kafka", feature = "redis", feature = "sqs")), allow(dead_code))]
    At(Arc<dyn OutboxTarget>),
}

impl TargetConfig {
    /// The embedded queue, if it is one.
    pub fn queue(&self) -> Option<&str> {
        match self {
            Self::Queue(name) => Some(name),
            Self::At(_) => None,
        }
    }

    /// The place at a broker, if it is one.
    pub fn place(&self) -> Option<&Arc<dyn OutboxTarget>> {
        match self {
            Self::Queue(_) => None,
            Self::At(place) => Some(place),
        }
    }

    #[cfg(any(feature = "kafka", feature = "redis", feature = "sqs"))]
    fn at(place: impl OutboxTarget) -> Self {
        Self::At(Arc::new(place))
    }

    /// For people. Without a login.
    pub fn describe(&self) -> String {
        match self {
            Self::Queue(name) => format!("queue {name}"),
            Self::At(place) => place.describe(),
        }
    }
}

/// Its table may have a login.
impl fmt::Debug for TargetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl PartialEq for TargetConfig {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Queue(one), Self::Queue(other)) => one == other,
            (Self::At(one), Self::At(other)) => one.is_same(&**other),
            _ => false,
        }
    }
}

/// Reads the table of a target of the outbox, which the handlers of `pipeline` call `name`; none when it has
/// no type that is known.
pub fn target(section: Section<'_>, pipeline: &str, name: &str) -> Option<TargetConfig> {
    let word = section.text("type");
    let target = match word.as_deref() {
        #[cfg(feature = "kafka")]
        Some("kafka") => TargetConfig::at(pelton_kafka::configure_target(&section)),
        #[cfg(feature = "redis")]
        Some("redis-stream") => TargetConfig::at(pelton_redis::configure_stream_target(&section)),
        #[cfg(feature = "redis")]
        Some("redis-list") => TargetConfig::at(pelton_redis::configure_list_target(&section)),
        #[cfg(feature = "sqs")]
        Some("sqs") => TargetConfig::at(pelton_sqs::configure_target(&section)),
        Some("embedded") => TargetConfig::Queue(pelton_store::configure(&section, name).queue),
        None => {
            if !section.has("type") {
                section.problem("type", format!("is missing; write type = {ANY_TYPE}"));
            }
            return None;
        }
        Some(other) => {
            section.problem("type", not_here(other));
            return None;
        }
    };
    // Records have headers enough for the attributes of an event; elsewhere they are in its body.
    let form = if word.as_deref() == Some("kafka") { Form::Binary } else { Form::Structured };
    let target = match target {
        TargetConfig::At(place) => TargetConfig::At(events::target(&section, place, form, pipeline)),
        queue @ TargetConfig::Queue(_) => {
            events::none(&section, "embedded queues");
            queue
        }
    };
    section.finish();
    Some(target)
}

/// Where a pipeline's dead letters go.
#[derive(Debug, Clone)]
pub enum LettersConfig {
    /// The data directory's own table.
    DataDir,
    /// An embedded queue, by its name.
    Queue(String),
    /// A place at a broker.
    At(Arc<dyn DeadLetterPlace>),
    /// The database that the ledger is in, as the file names it.
    Database(String),
}

impl LettersConfig {
    /// The embedded queue, if it is one.
    pub fn queue(&self) -> Option<&str> {
        match self {
            Self::Queue(name) => Some(name),
            Self::DataDir | Self::At(_) | Self::Database(_) => None,
        }
    }

    /// The database, by its name in the file, if it is one.
    pub fn database(&self) -> Option<&str> {
        match self {
            Self::Database(name) => Some(name),
            Self::DataDir | Self::Queue(_) | Self::At(_) => None,
        }
    }

    /// What is asked of every place at a broker; none when they are elsewhere.
    pub fn place(&self) -> Option<&dyn DeadLetterPlace> {
        match self {
            Self::DataDir | Self::Queue(_) | Self::Database(_) => None,
            Self::At(place) => Some(&**place),
        }
    }

    /// Whether they are in the data directory: in its table, or an embedded queue.
    pub fn is_here(&self) -> bool {
        matches!(self, Self::DataDir | Self::Queue(_))
    }

    /// Whether they are left to the broker that is read.
    pub fn is_redrive(&self) -> bool {
        self.place().is_some_and(DeadLetterPlace::is_of_source)
    }
}

impl PartialEq for LettersConfig {
    fn eq(&self, other: &Self) -> bool {
        match (self.place(), other.place()) {
            (Some(place), Some(other)) => place.is_same(other),
            (None, None) => self.queue() == other.queue() && self.database() == other.database(),
            _ => false,
        }
    }
}

/// Places for letters of some causes, in the order of the file.
pub type LettersByCause = Vec<(Cause, LettersConfig)>;

/// Reads the section `dead_letter` of a pipeline: where its letters go, and where else those of some causes.
pub fn dead_letters(pipeline: &Section<'_>, source: &SourceConfig) -> (LettersConfig, LettersByCause) {
    let section = pipeline.section("dead_letter");
    let mut by_cause = LettersByCause::new();
    for (word, place) in section.sections("by_cause") {
        match Cause::parse(&word) {
            Some(Cause::Outbox) => {
                let what = "are kept with the outbox, in whose place they go back there; leave it out";
                place.problems.note(&place.path, what);
            }
            Some(cause) => by_cause.push((cause, one_by_cause(place, source))),
            None => {
                let words: Vec<_> =
                    Cause::WORDS.iter().filter(|word| **word != "outbox").copied().collect();
                place
                    .problems
                    .note(&place.path, format!("is no cause; the causes are {}", words.join(", ")));
            }
        }
    }
    let usual = place_of_letters(section, source);
    if usual.is_redrive() && !by_cause.is_empty() {
        let what = "is given beside `redrive`, which leaves letters to the policy of the queue, and that \
                    knows no causes; leave one of them out";
        pipeline.problem("dead_letter.by_cause", what);
    }
    (usual, by_cause)
}

fn one_by_cause(section: Section<'_>, source: &SourceConfig) -> LettersConfig {
    if section.has("redrive") {
        let what = "is for all causes: the policy of a queue knows none; name a place, or leave it out";
        section.problem("redrive", what);
        return LettersConfig::DataDir;
    }
    place_of_letters(section, source)
}

fn place_of_letters(section: Section<'_>, source: &SourceConfig) -> LettersConfig {
    if let Some(name) = section.text("database") {
        const OTHERS: [&str; 7] = ["queue", "topic", "queue_url", "redrive", "stream", "list", "envelope"];
        for key in OTHERS.into_iter().filter(|key| section.has(key)) {
            section.problem(key, "is given beside `database`; leave one of them out");
        }
        section.finish();
        return LettersConfig::Database(name);
    }
    let place = PLACES.iter().find_map(|(form, place)| Some((*form, place(&section, source.broker())?)));
    let target = match place {
        Some((form, place)) => LettersConfig::At(events::letters(&section, place, form)),
        None => {
            let queue = pelton_store::configure_letters(&section, source.broker());
            events::none(&section, "letters in `data_dir`");
            queue.map_or(LettersConfig::DataDir, LettersConfig::Queue)
        }
    };
    section.finish();
    target
}

/// Takes the section `dead_letter` apart, of a pipeline that reads this; none when no place at the broker is
/// meant.
type PlaceOf = fn(&Section<'_>, &dyn Broker) -> Option<Arc<dyn DeadLetterPlace>>;

/// Those of the brokers, in the order in which they are asked, and the form of events there.
const PLACES: &[(Form, PlaceOf)] = &[
    #[cfg(feature = "sqs")]
    (Form::Structured, |section, source| Some(Arc::new(pelton_sqs::configure_letters(section, source)?))),
    #[cfg(feature = "kafka")]
    (Form::Binary, |section, source| Some(Arc::new(pelton_kafka::configure_letters(section, source)?))),
    #[cfg(feature = "redis")]
    (Form::Structured, |section, source| Some(Arc::new(pelton_redis::configure_letters(section, source)?))),
];

/// Reads the table of a database, by what its address begins with; none when this build has none of the kind.
pub fn database(section: Section<'_>, password: Option<Password>) -> Option<Arc<dyn DatabaseConfig>> {
    const EXAMPLE: &str = "url = \"postgres://pelton@db.example/shop\"";
    let url = section.text("url");
    let Some(url) = url else {
        if !section.has("url") {
            section.problem("url", format!("is missing; write {EXAMPLE}"));
        }
        return None;
    };
    // No more of it is shown: it may have a login.
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    match scheme {
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            let database: Arc<dyn DatabaseConfig> =
                Arc::new(pelton_postgres::configure(&section, password));
            section.finish();
            Some(database)
        }
        #[cfg(not(feature = "postgres"))]
        "postgres" | "postgresql" => {
            drop(password);
            section.problem("url", left_out("postgres"));
            None
        }
        _ => {
            let what =
                format!("does not begin with postgres://, and there is no other kind; write {EXAMPLE}");
            section.problem("url", what);
            None
        }
    }
}

/// Reads the table of a ledger in DynamoDB, which stands with its pipeline.
#[cfg(feature = "dynamodb")]
pub fn dynamodb(section: Section<'_>) -> Option<Arc<dyn DatabaseConfig>> {
    let database = Arc::new(pelton_dynamodb::configure(&section));
    section.finish();
    Some(database)
}

/// The same of a build without it.
#[cfg(not(feature = "dynamodb"))]
pub fn dynamodb(section: Section<'_>) -> Option<Arc<dyn DatabaseConfig>> {
    section.problems.note(&section.path, left_out("dynamodb"));
    None
}
