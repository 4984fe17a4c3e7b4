//! Ten minutes away at 200 messages a second, and a downstream that fails what is more than 300 a second:
//! with a rate and a ramp it recovers without one failure, and without them it does not.

use super::{Flow, flow, limited, retry};
use crate::flow::{FlowRules, RampUp};
use crate::outcome::Outcome;
use crate::pipeline::Input;
use std::collections::{BTreeMap, VecDeque};

/// Messages that come in a second.
const COMING: u64 = 200;
/// What the downstream bears in a second.
const BEARS: usize = 300;
/// How long nobody was there, in seconds.
const AWAY: u64 = 600;
/// Between two looks at what has come, in milliseconds.
const STEP_MS: usize = 100;

/// A downstream, and what it has seen.
#[derive(Default)]
struct Downstream {
    /// When requests came within the last second.
    last: VecDeque<u64>,
    handled: u64,
    failed: u64,
}

impl Downstream {
    /// A request comes.
    fn answers(&mut self, now: u64) -> Outcome {
        self.last.push_back(now);
        while self.last.front().is_some_and(|at| at + 1_000 <= now) {
            self.last.pop_front();
        }
        if self.last.len() <= BEARS {
            self.handled += 1;
            return Outcome::Ok(None);
        }
        self.failed += 1;
        retry()
    }
}

/// Time passes, and what is started is done at once.
fn goes_on(flow: &mut Flow, downstream: &mut Downstream, until: u64) {
    while let Some(wake) = flow.pipeline.next_wake().filter(|at| at.0 <= until) {
        flow.now = flow.now.max(wake.0);
        flow.flush();
        end(flow, downstream);
    }
    flow.now = until;
    flow.flush();
    end(flow, downstream);
}

/// What runs is done, and what is started then.
fn end(flow: &mut Flow, downstream: &mut Downstream) {
    while !flow.running.is_empty() {
        let mut chunks: BTreeMap<u64, BTreeMap<usize, Outcome>> = BTreeMap::new();
        for (chunk, place) in std::mem::take(&mut flow.running).into_values() {
            chunks.entry(chunk).or_default().insert(place, downstream.answers(flow.now));
        }
        for (chunk, outcomes) in chunks {
            let outcomes = outcomes.into_iter().collect();
            flow.input(Input::Handled { chunk, handler: "sha256:0".into(), outcomes });
            flow.input(Input::Finished { chunk, micros: 10 });
        }
    }
}

/// A consumer that comes back. After how many seconds nothing waits any more, if so soon.
fn comes_back(rules: FlowRules, within: u64) -> (Downstream, Option<u64>) {
    let (mut flow, mut downstream, mut received) = (flow(rules), Downstream::default(), 0);
    for now in (0..within * 1_000).step_by(STEP_MS) {
        let sent = COMING * (AWAY * 1_000 + now) / 1_000;
        goes_on(&mut flow, &mut downstream, now);
        while let Some(most) = flow.asked.filter(|_| received < sent) {
            let count = u64::try_from(most).unwrap().min(sent - received);
            flow.come(received, count);
            received += count;
            end(&mut flow, &mut downstream);
        }
        flow.started.clear();
        if downstream.handled == sent {
            return (downstream, Some(now / 1_000));
        }
    }
    (downstream, None)
}

#[test]
fn after_ten_minutes_away_it_recovers_without_one_failure() {
    let ramp_up = Some(RampUp { over_ms: 60_000, from: 0.1, outage_after_ms: 120_000 });
    let rules = FlowRules { ramp_up, origin_ms: 600_000, ..limited(280.0, 20.0) };
    let (downstream, recovered) = comes_back(rules, 1_800);
    assert_eq!(downstream.failed, 0);
    // 120,000 wait, and 80 a second are more than come; the ramp costs less than a minute of the rate.
    let seconds = recovered.unwrap();
    assert!((1_500..1_750).contains(&seconds), "{seconds} seconds");
}

#[test]
fn without_limits_the_downstream_fails_as_soon_as_it_is_back() {
    let (downstream, _) = comes_back(FlowRules::default(), 5);
    assert!(downstream.failed > 1_000, "{} of {}", downstream.failed, downstream.handled);
}
