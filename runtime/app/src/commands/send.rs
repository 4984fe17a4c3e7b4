//! `pelton send`.

use super::brokers::target::{self, Target};
use super::{find, load, table};
use crate::cli::SendArgs;
use crate::config::Config;
use crate::exit::{Fail, Outcome};
use crate::telemetry::progress;
use indicatif::ProgressBar;
use pelton_core::Header;
use pelton_store::NewMessage;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read};
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
                println!("{}", result.map_err(Fail::refused)?);
            }
            Ok(())
        }
    }
}

fn message(args: &SendArgs, body: Vec<u8>) -> NewMessage {
    let header =
        |(name, value): &(String, String)| Header { name: name.clone(), value: value.clone().into_bytes() };
    NewMessage {
        id: args.id.clone(),
        key: args.key.as_ref().map(|k| k.clone().into_bytes()),
        headers: args.headers.iter().map(header).collect(),
        body,
        delay_ms: args.delay.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// The body of a single message; a little more than the limit is read at most, for the error's sake.
fn body(args: &SendArgs, max: usize) -> Result<Vec<u8>, Fail> {
    if let Some(text) = &args.body {
        return Ok(text.clone().into_bytes());
    }
    if let Some(path) = &args.file {
        let size = std::fs::metadata(path).map_err(|e| cannot_read(path, &e))?.len();
        if size > max as u64 {
            return Err(Fail::refused(format!(
                "{} has {size} bytes, and `max_message_bytes` is {max}: raise it, or send a reference to the data instead",
                path.display()
            )));
        }
        return std::fs::read(path).map_err(|e| cannot_read(path, &e));
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Fail::usage(
            "there is no body: give --body TEXT, --file FILE or --lines FILE, or pipe it in",
        ));
    }
    let mut body = Vec::new();
    stdin.lock().take(max as u64 + 1).read_to_end(&mut body)?;
    Ok(body)
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Fail {
    Fail::refused(format!("{} cannot be read: {error}", path.display()))
}

fn send_lines(config: &Config, target: &dyn Target, args: &SendArgs, path: &Path) -> Outcome {
    let input: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).map_err(|e| cannot_read(path, &e))?)
    };
    let max = config.max_message_bytes;
    let (lines, arrived) = sync_channel(BATCH.0);
    let reader = std::thread::spawn(move || {
        let mut input = BufReader::with_capacity(1 << 16, input);
        while let Some(line) = read_line(&mut input, max).transpose() {
            let failed = line.is_err();
            if lines.send(line).is_err() || failed {
                break;
            }
        }
    });
    let bar = progress::spinner();
    let mut sender = Sender { target, args, bar: &bar, line: 0, sent: 0, refused: 0 };
    let outcome = sender.run(&arrived);
    let (sent, refused) = (sender.sent, sender.refused);
    bar.finish_and_clear();
    drop(arrived);
    if reader.join().is_err() {
        return Err(anyhow::anyhow!("the thread that reads lines has failed").into());
    }
    outcome?;
    println!("sent {} messages to {}", table::number(sent), args.pipeline);
    if refused > 0 {
        return Err(Fail::refused(format!(
            "{} lines were refused, as said above; all others were sent",
            table::number(refused)
        )));
    }
    Ok(())
}

/// A line: its bytes, or how long it was when it was too long to be kept.
enum Line {
    Body(Vec<u8>),
    TooLong(usize),
}

/// Reads a line without ever holding more than `max` bytes of it. None at the end.
fn read_line(input: &mut impl BufRead, max: usize) -> std::io::Result<Option<Line>> {
    let (mut body, mut size, mut begun) = (Vec::new(), 0, false);
    loop {
        let some = match input.fill_buf() {
            Ok(some) => some,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if some.is_empty() && !begun {
            return Ok(None);
        }
        begun = true;
        let end = some.iter().position(|b| *b == b'\n');
        let part = &some[..end.unwrap_or(some.len())];
        size += part.len();
        if size <= max {
            body.extend_from_slice(part);
        }
        let ended = end.is_some() || some.is_empty();
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if ended {
            return Ok(Some(if size <= max { Line::Body(body) } else { Line::TooLong(size) }));
        }
    }
}

struct Sender<'s> {
    target: &'s dyn Target,
    args: &'s SendArgs,
    bar: &'s ProgressBar,
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
                Ok(line) => Some(line?),
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
        let rate = self.sent as f64 / self.bar.elapsed().as_secs_f64().max(0.001);
        let (sent, rate) = (table::number(self.sent), table::number(rate as u64));
        self.bar.set_message(format!("sent {sent} messages, {rate} a second"));
        Ok(())
    }

    fn refuse(&mut self, line: u64, why: String) {
        self.refused += 1;
        self.bar.suspend(|| eprintln!("line {line} was refused: {why}"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn lines(text: &str, max: usize) -> Vec<Result<String, usize>> {
        let mut input = BufReader::with_capacity(3, text.as_bytes());
        let mut all = Vec::new();
        while let Some(line) = read_line(&mut input, max).unwrap() {
            all.push(match line {
                Line::Body(body) => Ok(String::from_utf8(body).unwrap()),
                Line::TooLong(size) => Err(size),
            });
        }
        all
    }

    #[test]
    fn lines_are_bounded_and_the_last_needs_no_end() {
        assert_eq!(
            lines("ab\n\nabcdef\ncd", 4),
            [Ok("ab".into()), Ok(String::new()), Err(6), Ok("cd".into())]
        );
        assert_eq!(lines("", 4), []);
        assert_eq!(lines("a\n", 4), [Ok("a".into())]);
    }
}
