//! `pelton send`.

use super::{books, find, load, table};
use crate::cli::SendArgs;
use crate::config::{Config, PipelineConfig};
use crate::exit::{Fail, Outcome};
use crate::input::lines::{Line, Lines};
use crate::input::{self, Unread};
use crate::telemetry::progress::Progress;
use crate::worker::assemble::open_fail;
use pelton_core::Header;
use pelton_core::broker::{OpenError, Outgoing, Published, Publisher, Uncarried};
use pelton_core::number::millis;
use pelton_core::shown::path as shown_path;
use pelton_core::units;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Messages and bytes that one transaction takes at most.
const BATCH: (usize, usize) = (1_000, 4 << 20);
/// What has come is sent when nothing more comes for so long.
const LINE_TIMEOUT: Duration = Duration::from_millis(50);

/// Sends one message, or one for each line.
pub fn send(file: &Path, args: &SendArgs) -> Outcome {
    let config = load(file)?;
    let pipeline = find(&config, &args.pipeline)?;
    let template = template(args);
    can_carry(&config, pipeline, &template)?;
    let mut target = Target::open(&config, pipeline)?;
    match &args.lines {
        Some(lines) => send_lines(&config, &mut target, &template, args, lines),
        None => {
            let body = body(args, config.max_message_bytes)?.into();
            for result in target.send(&[Outgoing { body: Some(body), ..template }])? {
                say!("{}", result.map_err(|unsent| Fail::refused(unsent.words))?.id);
            }
            Ok(())
        }
    }
}

/// What all messages have; each has a body besides.
fn template(args: &SendArgs) -> Outgoing<'_> {
    let header = |(name, value): &(String, String)| Header::new(name.as_str(), value.as_bytes());
    Outgoing {
        id: args.id.as_deref().map(Into::into),
        key: args.key.as_ref().map(|key| key.as_bytes().into()),
        headers: args.headers.iter().map(header).collect(),
        delay_ms: args.delay.map(millis),
        ..Outgoing::default()
    }
}

/// Refuses what the broker has no place for, before anything is sent.
fn can_carry(config: &Config, pipeline: &PipelineConfig, message: &Outgoing<'_>) -> Outcome {
    let uncarried = pipeline.source.broker().cannot_carry(&config.view(pipeline), message);
    let name = &pipeline.name;
    Err(Fail::usage(match uncarried {
        None => return Ok(()),
        Some(Uncarried::ByBroker { broker, does }) => format!("`{name}` reads {broker}, which {does}"),
        Some(Uncarried::Id(what)) => format!("--id {what}"),
        Some(Uncarried::Delay) => format!(
            "--delay is longer than the longest wait of `{name}`, {}: wait less, or raise `max_delay` in \
             [pipelines.{name}.retry]",
            units::written(Duration::from_millis(pipeline.retry.max_delay_ms))
        ),
    }))
}

/// Where messages go: what the pipeline reads.
struct Target<'c> {
    pipeline: &'c str,
    publisher: Box<dyn Publisher>,
    max: usize,
}

impl<'c> Target<'c> {
    fn open(config: &Config, pipeline: &'c PipelineConfig) -> Result<Self, Fail> {
        let unsent = |why: &str| Fail::refused(format!("nothing was sent: {why}"));
        let opened = pipeline.source.broker().publisher(&books(config, pipeline));
        let mut publisher = opened.map_err(|error| match error {
            OpenError::Refused(why) => unsent(&why),
            other => open_fail(&pipeline.name, other),
        })?;
        // Said once, and not for each of a million lines.
        publisher.check().map_err(|why| unsent(&why.words))?;
        Ok(Self { pipeline: &pipeline.name, publisher, max: config.max_message_bytes })
    }

    fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, Fail> {
        let sent = self.publisher.publish_fitting(batch, self.max);
        sent.map_err(|error| open_fail(self.pipeline, error.into()))
    }
}

/// The body of a single message.
fn body(args: &SendArgs, max: usize) -> Result<Vec<u8>, Fail> {
    if let Some(text) = &args.body {
        return Ok(text.clone().into_bytes());
    }
    if let Some(path) = &args.file {
        return input::file(path, max).map_err(|why| unread(&shown_path(path), &why));
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Fail::usage(
            "there is no body: give --body TEXT, --file FILE or --lines FILE, or pipe it in",
        ));
    }
    let body = input::standard(max).map_err(|why| unread(&"standard input", &why))?;
    // More often what should have written it has failed than an empty message is meant.
    if body.is_empty() {
        return Err(Fail::usage(
            "standard input is empty, and nothing was sent: for an empty body give --body ''",
        ));
    }
    Ok(body)
}

fn unread(what: &dyn std::fmt::Display, why: &Unread) -> Fail {
    match why {
        Unread::TooLarge { max } => Fail::refused(format!(
            "{what} has more bytes than `max_message_bytes`, which is {max}: raise it, or send a reference \
             to the data instead"
        )),
        Unread::Failed(_) => Fail::refused(format!("{what} {why}")),
    }
}

fn send_lines(
    config: &Config,
    target: &mut Target<'_>,
    template: &Outgoing<'_>,
    args: &SendArgs,
    path: &Path,
) -> Outcome {
    let input: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| unread(&shown_path(path), &Unread::Failed(error)))?)
    };
    let max = config.max_message_bytes;
    let (lines, arrived) = sync_channel(BATCH.0);
    let reader = std::thread::spawn(move || {
        let mut input = Lines::of(input, max);
        while let Some(line) = input.next().transpose() {
            let failed = line.is_err();
            if lines.send(line).is_err() || failed {
                break;
            }
        }
    });
    let bar = Progress::new();
    let mut sender = Sender { target, template, path, bar: &bar, line: 0, sent: 0, refused: 0 };
    let outcome = sender.run(&arrived);
    let (sent, refused) = (sender.sent, sender.refused);
    bar.clear();
    drop(arrived);
    if reader.join().is_err() {
        return Err(anyhow::anyhow!("the thread that reads lines has failed").into());
    }
    outcome?;
    say!("sent {} messages to {}", table::number(sent), args.pipeline);
    if refused > 0 {
        return Err(Fail::refused(format!(
            "{} lines were refused, as said above; all others were sent",
            table::number(refused)
        )));
    }
    Ok(())
}

struct Sender<'s, 'c> {
    target: &'s mut Target<'c>,
    template: &'s Outgoing<'s>,
    path: &'s Path,
    bar: &'s Progress,
    line: u64,
    sent: u64,
    refused: u64,
}

impl Sender<'_, '_> {
    /// Sends what arrives, in batches, until the input ends.
    fn run(&mut self, arrived: &Receiver<std::io::Result<Line>>) -> Outcome {
        let template = self.template;
        let (mut batch, mut numbers, mut bytes) = (Vec::new(), Vec::new(), 0);
        loop {
            let line = match arrived.recv_timeout(LINE_TIMEOUT) {
                Ok(Ok(line)) => Some(line),
                Ok(Err(error)) => {
                    // What stands before it was read, and is sent.
                    self.flush(&mut batch, &mut numbers)?;
                    let (name, sent) = (shown_path(self.path), table::number(self.sent));
                    return Err(Fail::refused(format!(
                        "{name} cannot be read beyond line {}: {error}. The {sent} messages before it were \
                         sent",
                        self.line
                    )));
                }
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let slow = line.is_none();
            self.line += u64::from(!slow);
            match line {
                Some(Line::Body(body)) if !body.is_empty() => {
                    bytes += body.len();
                    numbers.push(self.line);
                    batch.push(Outgoing { body: Some(body.into()), ..template.borrowed() });
                }
                Some(Line::TooLong(size)) => {
                    self.refuse(self.line, format!("has {size} bytes, more than `max_message_bytes`"))
                }
                Some(Line::Body(_)) | None => {}
            }
            if slow || batch.len() >= BATCH.0 || bytes >= BATCH.1 {
                self.flush(&mut batch, &mut numbers)?;
                bytes = 0;
            }
        }
        self.flush(&mut batch, &mut numbers)
    }

    fn flush(&mut self, batch: &mut Vec<Outgoing<'_>>, numbers: &mut Vec<u64>) -> Outcome {
        if batch.is_empty() {
            return Ok(());
        }
        let results = self.target.send(batch)?;
        for (result, line) in results.into_iter().zip(numbers.drain(..)) {
            match result {
                Ok(_) => self.sent += 1,
                Err(unsent) => self.refuse(line, unsent.words),
            }
        }
        batch.clear();
        self.bar.set(|| {
            let rate = self.sent as f64 / self.bar.elapsed().as_secs_f64().max(0.001);
            format!("sent {} messages, {rate:.0} a second", table::number(self.sent))
        });
        Ok(())
    }

    fn refuse(&mut self, line: u64, why: String) {
        self.refused += 1;
        note!("line {line} was refused: {why}");
    }
}
