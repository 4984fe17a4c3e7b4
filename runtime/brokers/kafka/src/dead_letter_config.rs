//! The topics of a pipeline's dead letters, as they are configured.

use crate::config::{KafkaConfig, is_topic};
use crate::letter_reader::{self, KafkaLetterReader};
use crate::{HeaderStyle, KafkaLetters, LetterOptions, LetterTopic, diagnose};
use pelton_core::broker::{
    Books, Broker, DeadLetterPlace, Diagnosis, LetterReader, Listener, OpenError, PipelineView, Settings,
    SharedBooks,
};
use pelton_core::ports::DeadLetters;
use std::sync::Arc;

/// Topics for dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterTopics {
    /// One for each topic that is read.
    pub topics: Vec<LetterTopic>,
    /// Whose names the headers of a letter have.
    pub style: HeaderStyle,
    /// Whether a topic that is not there is made.
    pub create: bool,
}

impl DeadLetterPlace for LetterTopics {
    fn is_same(&self, other: &dyn DeadLetterPlace) -> bool {
        other.of::<Self>() == Some(self)
    }

    fn open(
        &self,
        source: &dyn Broker,
        pipeline: &PipelineView,
        books: &dyn Books,
    ) -> Result<Arc<dyn DeadLetters>, OpenError> {
        let Some(kafka) = source.of::<KafkaConfig>() else { return Ok(books.kept()) };
        kafka.has_files()?;
        let options = LetterOptions {
            pipeline: pipeline.name.clone(),
            bootstrap_servers: kafka.bootstrap_servers.clone(),
            librdkafka: kafka.librdkafka.clone(),
            group_id: kafka.group_id.clone(),
            topics: self.topics.clone(),
            style: self.style,
            create: self.create,
        };
        let letters = KafkaLetters::open(options, books.noted(), books.kept());
        Ok(Arc::new(letters.map_err(OpenError::Settings)?))
    }

    fn reader<'a>(
        &'a self,
        source: &'a dyn Broker,
        _: &'a str,
        books: Arc<dyn SharedBooks>,
        listener: &'a dyn Listener,
    ) -> Result<Box<dyn LetterReader + 'a>, OpenError> {
        let kafka = source.of::<KafkaConfig>().ok_or_else(no_kafka)?;
        Ok(Box::new(KafkaLetterReader::new(kafka, self, books, listener)))
    }

    fn count(
        &self,
        source: &dyn Broker,
        books: &dyn SharedBooks,
        listener: &dyn Listener,
    ) -> Result<u64, OpenError> {
        source.of::<KafkaConfig>().map_or(Ok(0), |kafka| letter_reader::count(kafka, self, books, listener))
    }

    fn probe(&self, source: &dyn Broker) -> Vec<String> {
        // What is wrong with its files is said of the source.
        let kafka = source.of::<KafkaConfig>().filter(|kafka| kafka.has_files().is_ok());
        kafka.and_then(|kafka| kafka.producer().err()).map(|error| error.to_string()).into_iter().collect()
    }

    fn diagnose(&self, source: &dyn Broker, pipeline: &PipelineView) -> Diagnosis {
        source.of().map_or_else(Diagnosis::default, |kafka| diagnose::of_letters(self, kafka, pipeline))
    }

    fn rights(&self, source: &dyn Broker) -> Diagnosis {
        source.of().map_or_else(Diagnosis::default, |kafka| diagnose::of_writing(self, kafka))
    }

    fn is_diagnosed_at_start(&self) -> bool {
        false
    }

    fn is_of_source(&self) -> bool {
        false
    }
}

/// The configuration gives topics for letters to pipelines that read Kafka only.
fn no_kafka() -> OpenError {
    OpenError::Settings("topics for dead letters are of a pipeline that reads Kafka".to_owned())
}

/// Takes the table of dead letters apart, of a pipeline that reads `source`; none when they do not go to
/// topics.
pub fn configure_letters(settings: &dyn Settings, source: &dyn Broker) -> Option<LetterTopics> {
    let kafka = source.of::<KafkaConfig>().filter(|_| !settings.has("queue"))?;
    Some(letter_topics(settings, &kafka.topics))
}

fn letter_topics(settings: &dyn Settings, read: &[String]) -> LetterTopics {
    let styles = [
        ("pelton", HeaderStyle::Pelton),
        ("spring", HeaderStyle::Spring),
        ("connect", HeaderStyle::Connect),
        ("none", HeaderStyle::None),
    ];
    let given = settings.text("topic");
    if let Some(topic) = &given {
        if read.contains(topic) {
            settings.problem(
                "topic",
                "is a topic that the pipeline reads: its dead letters would come \
                back for ever; name another, or leave it out"
                    .to_owned(),
            );
        } else if !is_topic(topic) {
            settings.problem("topic", "must be 1 to 249 of a-z, A-Z, 0-9, `.`, `-` and `_`".to_owned());
        }
    }
    let topic = |origin: &String| LetterTopic {
        name: given.clone().unwrap_or_else(|| format!("{origin}-dlt")),
        origin: origin.clone(),
    };
    let topics: Vec<LetterTopic> = read.iter().map(topic).collect();
    if given.is_none()
        && let Some(both) = topics.iter().find(|t| read.contains(&t.name))
    {
        let what = format!(
            "is left out, and `{}` would take the letters of `{}` while the pipeline reads it: name \
             another topic",
            both.name, both.origin
        );
        settings.problem("topic", what);
    }
    LetterTopics {
        topics,
        style: settings.one_of("header_style", styles),
        create: settings.flag("create", true),
    }
}
