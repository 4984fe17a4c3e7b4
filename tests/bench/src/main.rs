//! The benchmarks: ours against what one would write or use instead, as ratios.
//!
//! Owns the rows of docs/decide/benchmarks.md: loads, the other sides, the order of the runs and the
//! table. It uses the crates as the worker does, through their public words; nothing of it is part
//! of the product. It must not assert wall time: a number here is for people, on a machine that is
//! described beside it. A row whose delivered set is not the produced set says VOID.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]
#![allow(clippy::disallowed_macros, reason = "tests talk to who runs them")]
#![forbid(unsafe_code)]

mod args;
mod book;
mod calls;
mod effects;
mod emptied;
mod flight;
mod http;
mod kafka;
mod ledger;
mod load;
mod machine;
mod memory;
mod native;
mod ours;
mod plain;
mod queue;
mod redis;
mod report;
mod sample;
mod schemas;
mod scrape;
mod sql;
mod sqs;
mod start;
mod swap;
mod telemetry;
mod work;
mod worker;

use anyhow::{Context, Result};

/// As the worker has it; the other sides have it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
use args::Setup;
use report::Row;

/// A row of the command line, and what measures it.
type Measure = fn(&Setup) -> Result<Vec<Row>>;

const MEASURES: [(&[&str], Measure); 24] = [
    (&["P1"], kafka::against_a_loop),
    (&["P2"], kafka::price_of_the_sandbox),
    (&["P3"], kafka::against_python),
    (&["P5"], redis::against_loops),
    (&["P6"], redis::against_bull),
    (&["P7"], sqs::rows),
    (&["P8"], queue::rows),
    (&["P9"], calls::warm),
    (&["P10", "modes"], calls::modes),
    (&["P11"], swap::rows),
    (&["P12"], start::rows),
    (&["P13"], memory::rows),
    (&["P14"], kafka::order::rows),
    (&["P15"], ledger::rows),
    (&["P16"], http::rows),
    (&["P17"], effects::state),
    (&["P18"], effects::outbox),
    (&["P19"], sql::rows),
    (&["P20"], kafka::fleet::rows),
    (&["P21"], schemas::rows),
    (&["P22"], flight::rows),
    (&["P23"], telemetry::rows),
    (&["P24"], scrape::rows),
    (&["backlog"], kafka::backlog::rows),
];

fn main() -> Result<()> {
    // As the worker does, for both sides.
    rustix::thread::disable_transparent_huge_pages(true).unwrap_or_default();
    let setup = Setup::parse(std::env::args().skip(1))?;
    std::fs::create_dir_all(&setup.work_dir)?;
    let machine = machine::description();
    let mut rows = Vec::new();
    for (names, measure) in MEASURES {
        if names.iter().any(|name| setup.wants(name)) {
            eprintln!("measuring {}", names.join(", "));
            let measured = measure(&setup).with_context(|| format!("row {}", names.join(", ")))?;
            measured.iter().for_each(|row| eprintln!("{}", row.line()));
            rows.extend(measured);
        }
    }
    println!("{machine}\n- runs of each side: {}\n\n{}", setup.runs, report::table(&rows));
    Ok(())
}
