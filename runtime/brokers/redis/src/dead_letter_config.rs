//! The place of a pipeline's dead letters, as it is configured.

use crate::letter_reader::RedisLetterReader;
use crate::{Client, LetterPlace, RedisConfig, RedisLetters, diagnose, rights};
use pelton_core::broker::{
    Books, Broker, DeadLetterPlace, Diagnosis, LetterReader, Listener, OpenError, PipelineView, Settings,
    SharedBooks,
};
use pelton_core::ports::DeadLetters;
use std::sync::Arc;

impl DeadLetterPlace for LetterPlace {
    fn is_same(&self, other: &dyn DeadLetterPlace) -> bool {
        other.of::<Self>() == Some(self)
    }

    fn open(
        &self,
        source: &dyn Broker,
        pipeline: &PipelineView,
        books: &dyn Books,
    ) -> Result<Arc<dyn DeadLetters>, OpenError> {
        let Some(redis) = source.of::<RedisConfig>() else { return Ok(books.kept()) };
        let server = redis.server(self.key()).map_err(OpenError::Settings)?;
        let (noted, kept) = (books.noted(), books.kept());
        Ok(Arc::new(RedisLetters::new(&pipeline.name, server, self.clone(), noted, kept)))
    }

    fn probe(&self, source: &dyn Broker) -> Vec<String> {
        let server = source.of().map(|redis: &RedisConfig| redis.server(self.key()));
        server.and_then(Result::err).into_iter().collect()
    }

    fn diagnose(&self, source: &dyn Broker, _: &PipelineView) -> Diagnosis {
        source.of().map_or_else(Diagnosis::default, |redis| diagnose::of_letters(self, redis))
    }

    fn rights(&self, source: &dyn Broker) -> Diagnosis {
        source.of().map_or_else(Diagnosis::default, |redis| rights::of_letters(self, redis))
    }

    fn reader<'a>(
        &'a self,
        source: &'a dyn Broker,
        _: &'a str,
        _: Arc<dyn SharedBooks>,
        _: &'a dyn Listener,
    ) -> Result<Box<dyn LetterReader + 'a>, OpenError> {
        let redis = source.of::<RedisConfig>().ok_or_else(no_redis)?;
        Ok(Box::new(RedisLetterReader::open(redis, self).map_err(OpenError::Refused)?))
    }

    fn count(&self, source: &dyn Broker, _: &dyn SharedBooks, _: &dyn Listener) -> Result<u64, OpenError> {
        let redis = source.of::<RedisConfig>().ok_or_else(no_redis)?;
        let client = redis.server(self.key()).and_then(Client::open);
        client.and_then(|client| client.count_letters(self)).map_err(OpenError::Refused)
    }

    fn is_diagnosed_at_start(&self) -> bool {
        false
    }

    fn is_of_source(&self) -> bool {
        false
    }
}

/// The configuration gives keys for letters to pipelines that read Redis only.
fn no_redis() -> OpenError {
    OpenError::Settings("keys for dead letters are of a pipeline that reads Redis".to_owned())
}

/// Takes the table of dead letters apart, of a pipeline that reads `source`; none when it names no key of
/// Redis.
pub fn configure_letters(settings: &dyn Settings, source: &dyn Broker) -> Option<LetterPlace> {
    let source: &RedisConfig = source.of()?;
    if !settings.has("stream") && !settings.has("list") {
        return None;
    }
    let (stream, list) = (settings.text("stream"), settings.text("list"));
    if stream.is_some() && list.is_some() {
        settings.problem("list", "is given beside `stream`; leave one of them out".to_owned());
    }
    if settings.has("queue") {
        settings.problem("queue", "is given beside a key of Redis; leave one of them out".to_owned());
    }
    let name = if stream.is_some() { "stream" } else { "list" };
    let place = match (stream, list) {
        (Some(stream), _) => LetterPlace::Stream(stream),
        (None, list) => LetterPlace::List(list.unwrap_or_default()),
    };
    if place.key().is_empty() {
        settings.problem(name, "is empty; write a key, or leave it out".to_owned());
    } else if place.key() == source.key {
        settings.problem(
            name,
            "is the key that the pipeline reads: its dead letters would come back for \
            ever; name another, or leave it out"
                .to_owned(),
        );
    }
    Some(place)
}
