//! What guests print.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_host::{HandlerSpec, LogLevel};
use std::time::{Duration, Instant};

/// How long it takes is not what is asked: other tests may have the processor.
fn patient() -> HandlerSpec {
    HandlerSpec { timeout: Duration::from_secs(600), ..spec() }
}

#[test]
fn lines_carry_pipeline_and_message_and_nothing_that_a_terminal_obeys() {
    let (host, lines) = listening();
    let handler = load(&host, chaos(), &spec());
    assert_eq!(one(&handler, "e"), Outcome::Ok(None));
    let lines = lines.take();
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["plain line", "\\x1b[2Jhidden \\xff", "unfinished"]);
    for line in &lines {
        let found = (line.pipeline.as_str(), line.message.as_str(), line.level, line.stream);
        assert_eq!(found, ("orders", "id-e", LogLevel::Info, "stdout"));
    }
}

#[test]
fn a_flood_is_cut_for_each_message_and_what_is_dropped_is_said() {
    let (host, lines) = listening();
    let handler = load(&host, chaos(), &patient());
    assert_eq!([one(&handler, "f"), one(&handler, "f1")], [Outcome::Ok(None), Outcome::Ok(None)]);
    assert_eq!(handler.output_dropped(), 2 * ((1 << 20) - (64 << 10)));
    let lines = lines.take();
    for id in ["id-f", "id-f1"] {
        let printed: usize = lines
            .iter()
            .filter(|l| l.message == id && l.stream == "stdout")
            .map(|l| l.text.len() + 1)
            .sum();
        assert_eq!(printed, 64 << 10, "{id}");
    }
    let said: Vec<_> = lines.iter().filter(|line| line.stream == "host").collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].level, LogLevel::Warn);
    let dropped = (1 << 20) - (64 << 10);
    assert!(said[0].text.starts_with(&format!("{dropped} bytes of output dropped")), "{}", said[0].text);
}

#[test]
fn a_pipeline_has_a_rate() {
    let (host, lines) = listening();
    let spec = HandlerSpec { log_bytes_per_second: 4096, ..patient() };
    let handler = load(&host, chaos(), &spec);
    let began = Instant::now();
    assert_eq!([one(&handler, "f"), one(&handler, "f1")], [Outcome::Ok(None), Outcome::Ok(None)]);
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    let printed: usize =
        lines.take().iter().filter(|l| l.stream == "stdout").map(|l| l.text.len() + 1).sum();
    // A second's worth, and what the time of running has added.
    let most = 4096 * (2 + seconds);
    assert!((4096..most).contains(&printed), "{printed} in {seconds} s");
}

#[test]
fn what_a_trapping_message_printed_is_kept() {
    let (host, lines) = listening();
    let handler = load(&host, chaos(), &HandlerSpec { memory: 8 << 20, ..spec() });
    assert_eq!(one(&handler, "g"), Outcome::Ok(None));
    fault(&one(&handler, "u"), FaultKind::Trap);
    let lines = lines.take();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].text, "orders: from the log");
    assert_eq!((lines[0].level, lines[0].stream), (LogLevel::Warn, "log"));
}

#[test]
fn a_record_of_millions_of_lines_is_cut_at_once() {
    let (host, lines) = listening();
    let patient = HandlerSpec { timeout: Duration::from_secs(60), ..spec() };
    for (rate, most) in [(10 << 20, 64 << 10), (1 << 10, 2 << 10)] {
        let handler = load(&host, chaos(), &HandlerSpec { log_bytes_per_second: rate, ..patient.clone() });
        for body in ["E", "L"] {
            let before = handler.output_dropped();
            let begun = Instant::now();
            assert_eq!(one(&handler, body), Outcome::Ok(None));
            assert!(begun.elapsed() < Duration::from_secs(5), "{body}: {:?}", begun.elapsed());
            let printed: usize = lines.take().iter().map(|line| line.text.len() + 1).sum();
            assert!(printed <= most, "{body}: {printed} bytes");
            // Of empty lines there is nothing to count but the ends.
            let dropped = handler.output_dropped() - before;
            assert!((2_900_000..3_100_000).contains(&dropped), "{body}: {dropped}");
        }
    }
}
