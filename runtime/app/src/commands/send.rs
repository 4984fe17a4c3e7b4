//! `pelton send`.

use super::brokers::target::{self, Target};
use super::{find, load, table};
use crate::cli::SendArgs;
use crate::config::Config;
use crate::exit::{Fail, Outcome};
use crate::input::lines::{Line, Lines};
use crate::input::{self, Unread};
use crate::telemetry::progress::Progress;
use pelton_core::Header;
use pelton_core::number::millis;
use pelton_core::shown::path as shown_path;
use pelton_store::NewMessage;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Messages and bytes that one transaction takes at most.
const BATCH: (usize, usize) = (1_000, 4 << 20);
/// What has come is sent when nothing more comes for so long.
const PATIENCE: Duration = Duration::from_millis(50);

/// Sends one message, or one for each line.
pub fn send(file: &Path, args: &SendArgs) -> Outcome {
    let config = load(file)?;
    let pipeline = find(&config, &args.pipeline)?;
    let target = target::open(&config, pipeline, args)?;
    match &args.lines {
        Some(lines) => send_lines(&config, &*target, args, lines),
        None => {
            let body = body(args, config.max_message_bytes)?;
            for result in target.send(&[message(args, body)])? {
                say!("{}", result.map_err(Fail::refused)?);
            }
            Ok(())
        }
    }
}

fn message(args: &SendArgs, body: Vec<u8>) -> NewMessage {
    let header = |(name, value): &(String, String)| Header::new(name.as_str(), value.as_bytes());
    NewMessage {
        id: args.id.clone(),
        key: args.key.as_ref().map(|k| k.clone().into_bytes()),
        headers: args.headers.iter().map(header).collect(),
        body,
        delay_ms: args.delay.map_or(0, millis),
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

fn send_lines(config: &Config, target: &dyn Target, args: &SendArgs, path: &Path) -> Outcome {
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
    let mut sender = Sender { target, args, bar: &bar, line: 0, sent: 0, refused: 0 };
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

struct Sender<'s> {
    target: &'s dyn Target,
    args: &'s SendArgs,
    bar: &'s Progress,
    line: u64,
    sent: u64,
    refused: u64,
}

impl Sender<'_> {
    /// Sends what arrives, in batches, until the input ends.
    fn run(&mut self, arrived: &Receiver<std::io::Result<Line>>) -> Outcome {
        let (mut batch, mut numbers, mut bytes) = (Vec::new(), Vec::new(), 0);
        loop {
            let line = match arrived.recv_timeout(PATIENCE) {
                Ok(Ok(line)) => Some(line),
                Ok(Err(error)) => {
                    // What stands before it was read, and is sent.
                    self.flush(&mut batch, &mut numbers)?;
                    let name = self.args.lines.as_deref().unwrap_or(Path::new("-"));
                    let (name, sent) = (shown_path(name), table::number(self.sent));
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
                    batch.push(message(self.args, body));
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

    fn flush(&mut self, batch: &mut Vec<NewMessage>, numbers: &mut Vec<u64>) -> Outcome {
        if batch.is_empty() {
            return Ok(());
        }
        let results = self.target.send(batch)?;
        for (result, line) in results.into_iter().zip(numbers.drain(..)) {
            match result {
                Ok(_) => self.sent += 1,
                Err(why) => self.refuse(line, why),
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
