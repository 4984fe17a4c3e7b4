//! The `pelton` binary: configuration, commands, telemetry. It wires the other crates together and
//! is the only one that knows them all.

#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "a binary has no public items")]

mod cli;
mod commands;
mod config;
#[cfg(feature = "crash-points")]
mod crash;
mod exit;
mod harness;
mod oci;
mod project;
mod telemetry;
mod versions;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

/// A message is allocated by who reads it and freed by who settles it: on different threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // They triple what a worker keeps resident, whether the allocator asks for them or the system gives them to
    // all, and make nothing faster. Where the kernel has none there is nothing to refuse.
    rustix::thread::disable_transparent_huge_pages(true).unwrap_or_default();
    // It has no clients.
    compile_worker().unwrap_or_else(|| exit::end(work()))
}

/// The exit code.
fn work() -> u8 {
    exit::on_panic();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let wrong = error.use_stderr();
            // When nobody reads what is printed, there is nobody to tell.
            drop(error.print());
            return if wrong { exit::USAGE } else { 0 };
        }
    };
    match perform(&cli) {
        Ok(code) => code,
        Err(fail) => exit::report(&fail),
    }
}

/// The exit code of what was asked for, if it could be done.
fn perform(cli: &Cli) -> Result<u8, exit::Fail> {
    let file = &cli.config;
    let done = match &cli.command {
        Command::Run(args) => commands::run::run(file, args),
        Command::Check { connect } => commands::check::check(file, *connect),
        Command::Send(args) => commands::send::send(file, args),
        Command::Dlq(command) => commands::dlq::dlq(file, command),
        #[cfg(any(feature = "kafka", feature = "redis"))]
        Command::Replay(args) => commands::replay::replay(file, args),
        Command::Ledger(command) => commands::ledger::ledger(file, command),
        Command::Deploy(args) => commands::deploy::deploy(file, args),
        Command::Rollback { pipeline, to } => commands::deploy::rollback(file, pipeline, to.as_deref()),
        Command::Versions { pipeline, json } => commands::versions::versions(file, pipeline, *json),
        Command::Inspect { component, json } => commands::inspect::inspect(component, *json),
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
        Command::Completions { shell } => commands::completions(*shell),
    };
    done.map(|()| 0)
}

/// The hidden command by which the worker starts itself to compile a component in a process of its
/// own.
fn compile_worker() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let hidden = arguments.next().is_some_and(|first| first == pelton_host::WORKER_COMMAND);
    hidden.then(|| pelton_host::compile_worker(&arguments.collect::<Vec<_>>()))
}
