//! The `pelton` binary: configuration, commands, telemetry. It wires the other crates together and
//! is the only one that knows them all.

#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "tests make their own numbers"
    )
)]
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "a binary has no public items")]

#[macro_use]
mod output;

mod admin;
mod books;
mod cli;
mod commands;
mod config;
mod control;
#[cfg(feature = "crash-points")]
mod crash;
mod decoders;
mod deploy;
mod events;
mod exit;
mod grants;
mod harness;
mod homes;
mod input;
mod moves;
mod oci;
mod program;
mod project;
mod registry;
mod settings;
mod signals;
mod systemd;
mod telemetry;
mod user_cache;
mod worker;

use clap::error::{ContextValue, Error as Misused};
use clap::{CommandFactory, Parser};
use cli::{Cli, Command};
use pelton_core::Panicked;
use pelton_core::shown::shown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// A message is allocated by who reads it and freed by who settles it: on different threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let hears = signals::end_process_one().and_then(|()| signals::outlive_limits_of_files());
    // They triple what a worker keeps resident, whether the allocator asks for them or the system gives
    // them to all, and make nothing faster. Where the kernel has none there is nothing to refuse.
    rustix::thread::disable_transparent_huge_pages(true).unwrap_or_default();
    // It has no clients.
    let work = || hears.map_or_else(|error| exit::report(&error.into()), |()| work());
    compile_worker().unwrap_or_else(|| exit::end(work()))
}

/// The exit code.
fn work() -> u8 {
    exit::on_panic();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(error),
    };
    // What panics here ends the process before it is caught. What was caught elsewhere may go on to here
    // untold.
    match catch_unwind(AssertUnwindSafe(|| perform(&cli))) {
        Ok(Ok(code)) => code,
        Ok(Err(fail)) => exit::report(&fail),
        Err(resumed) => {
            exit::report(&exit::Fail::new(exit::INTERNAL, anyhow::anyhow!("{}", Panicked::of(resumed))))
        }
    }
}

/// Help, or what is wrong with the words of the command. What they were is shown and not obeyed.
fn misused(mut error: Misused) -> u8 {
    let safe = |text: &String| shown(text).to_string();
    let words: Vec<_> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) => Some((kind, ContextValue::String(safe(text)))),
            ContextValue::Strings(all) => {
                Some((kind, ContextValue::Strings(all.iter().map(safe).collect())))
            }
            // Numbers, and what is written in this program.
            _ => None,
        })
        .collect();
    for (kind, value) in words {
        error.insert(kind, value);
    }
    let text = error.render().to_string();
    if error.use_stderr() {
        text.lines().for_each(|line| note!("{line}"));
        return exit::USAGE;
    }
    text.lines().for_each(|line| say!("{line}"));
    0
}

/// The exit code of what was asked for, if it could be done.
fn perform(cli: &Cli) -> Result<u8, exit::Fail> {
    let file = &cli.config;
    let done = match &cli.command {
        Command::Run(args) => return commands::run::run(file, args),
        Command::Check { connect } => commands::check::check(file, *connect),
        Command::Send(args) => commands::send::send(file, args),
        Command::Dlq(command) => commands::dlq::dlq(file, command),
        Command::Replay(args) => commands::replay::replay(file, args),
        Command::Skip(args) => commands::skip::skip(file, args),
        Command::Pause(args) => commands::steer::pause(file, args),
        Command::Resume(args) => commands::steer::resume(file, args),
        Command::Rate(args) => commands::steer::rate(file, args),
        Command::Reset(args) => commands::reset::reset(file, args),
        Command::Logs(args) => commands::logs::logs(file, args),
        Command::State(command) => commands::state::state(file, command),
        Command::Outbox(command) => commands::outbox::outbox(file, command),
        Command::Ledger(command) => commands::ledger::ledger(file, command),
        Command::Db(command) => commands::db::db(file, command),
        Command::Deploy(args) => commands::deploy::deploy(file, args),
        Command::Rollback { pipeline, to } => commands::deploy::rollback(file, pipeline, to.as_deref()),
        Command::Versions { pipeline, json } => commands::versions::versions(file, pipeline, *json),
        Command::Inspect { component, pipeline, json } => {
            commands::inspect::inspect(file, component, pipeline.as_deref(), *json)
        }
        Command::New(args) => commands::new::new(args),
        Command::Build(args) => commands::build::build(args),
        Command::Test(args) => return commands::test::test(args),
        Command::Dev(args) => commands::dev::dev(args),
        Command::Invoke(args) => return commands::invoke::invoke(file, args),
        Command::Keygen { name } => commands::sign::keygen(name),
        Command::Sign { component, key } => commands::sign::sign(component, key),
        Command::Push { component, to } => commands::push::push(component, to),
        Command::Reload { pipeline } => commands::reload::reload(file, pipeline.as_deref()),
        Command::Status { json } => commands::status::status(file, *json),
        Command::Health { ready } => commands::health::health(file, *ready),
        Command::Completions { shell } => {
            output::completions(*shell, Cli::command());
            Ok(())
        }
    };
    done.map(|()| 0)
}

/// The hidden command by which the worker starts itself to compile a component in a process of its
/// own.
fn compile_worker() -> Option<ExitCode> {
    // Whatever bytes they have.
    let mut arguments = std::env::args_os().skip(1);
    let hidden = arguments.next().is_some_and(|first| first == pelton_host::WORKER_COMMAND);
    hidden.then(|| pelton_host::compile_worker(&arguments.collect::<Vec<_>>()))
}
