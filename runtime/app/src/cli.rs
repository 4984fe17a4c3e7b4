//! The command line. Its words and codes are a contract. Imports nothing of the program.

mod cases;
mod db;
mod deploy;
mod dlq;
mod invoke;
mod letter_id;
mod outbox;
mod project;
mod replay;
mod skip;
mod state;
mod steer;

use cases::CASES;
use clap::{Args, Parser, Subcommand, ValueEnum};
pub use db::{DbCommand, WhichDatabase};
pub use deploy::DeployArgs;
pub use dlq::{DlqCommand, Which};
pub use invoke::InvokeArgs;
pub use outbox::{OutboxCommand, TargetOf};
use pelton_core::units;
pub use project::{BuildArgs, DevArgs, LANGUAGES, NewArgs, ProjectKind, SqlArgs, TestArgs};
pub use replay::ReplayArgs;
pub use skip::SkipArgs;
pub use state::{StateCommand, StoreOf};
use std::ffi::OsString;
use std::path::PathBuf;
pub use steer::{LogsArgs, PauseArgs, RateArgs, ResetArgs, ResumeArgs, WantedRate};

const EXIT_CODES: &str = "Exit codes: 0 done; 1 it could not be done (no such letter, a message that is \
too large); 64 wrong usage; 70 an internal fault; 78 bad configuration, or a data directory that another \
`pelton run` owns.";

/// Runs message handlers: sandboxed WebAssembly components, with retries, deduplication and dead
/// letters taken care of.
#[derive(Debug, Parser)]
#[command(name = "pelton", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    /// The configuration.
    #[arg(long, global = true, default_value = "pelton.toml", env = "PELTON_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a handler's project from a template, in a new folder.
    #[command(
        after_help = "Example:\n  pelton new orders --language python\n  pelton new totals --language rust \
            --batch"
    )]
    New(NewArgs),
    /// Build a handler's project, and see that what it makes is a handler.
    ///
    /// Says what to install where a tool is missing, or installs it. `handler.toml` has the commands.
    #[command(
        after_help = "Example:\n  pelton build\n  pelton build --install\n  pelton build handlers/orders"
    )]
    Build(BuildArgs),
    /// Build a handler's project and test it: its own unit tests, then the cases in tests/*.toml on its
    /// component.
    #[command(after_help = CASES)]
    Test(TestArgs),
    /// Work on a handler: build it on every save, run it on a queue of its own, and show each outcome.
    ///
    /// Each line of standard input is sent as a message. A build that fails leaves the version before it at
    /// work.
    #[command(after_help = "Example:\n  pelton dev\n  pelton dev handlers/orders")]
    Dev(DevArgs),
    /// Run the pipelines until told to stop.
    ///
    /// Ends on SIGTERM or SIGINT: what runs is finished, the rest handed back; a second signal ends
    /// at once. Logs go to standard error, and are dropped and counted where nobody reads them.
    #[command(
        after_help = "Example:\n  pelton run --config pelton.toml\n  pelton run --until-empty > counts.json"
    )]
    Run(RunArgs),
    /// Check the configuration and the handlers, and report everything that is wrong.
    #[command(after_help = "Example:\n  pelton check --config pelton.toml\n  pelton check --connect")]
    Check {
        /// Connect to the brokers, databases and schema registries too, and see that what the pipelines
        /// need is there.
        #[arg(long)]
        connect: bool,
    },
    /// Send messages to what a pipeline reads: its queue, topic, stream or list.
    ///
    /// When the command returns, an embedded queue has them on disk, and a broker has confirmed them.
    #[command(
        after_help = "Example:\n  pelton send orders --body '{\"id\":7}' --key customer-3\n  generate | \
            pelton send orders --lines -"
    )]
    Send(SendArgs),
    /// Look at dead letters, replay or remove them.
    #[command(
        subcommand,
        after_help = "Example:\n  pelton dlq list orders --cause retries-exhausted\n  pelton dlq replay \
            orders --all --rate 10/s"
    )]
    Dlq(DlqCommand),
    /// Read a part of a pipeline's topics or stream once more, beside its group, which stays where it is.
    ///
    /// Handles what the group has passed and the ledger does not know as completed; with `--redo`, all of
    /// it. Messages are marked as replayed. A worker that runs on the data directory does it, beside its own
    /// work; without one this command does.
    #[command(
        override_usage = "pelton replay [OPTIONS] <PIPELINE> \
            <--from-timestamp|--from-offset|--from-id|--from-beginning>",
        after_help = "Example:\n  pelton replay orders --from-timestamp 2026-11-01T00:00:00Z \
            --to-timestamp 2026-11-02T00:00:00Z\n  pelton replay orders --from-offset 3:1200 --redo --rate \
            50/s\n  pelton replay invoices --from-id 1767225600000-0"
    )]
    Replay(ReplayArgs),
    /// Give up on one message: it becomes a dead letter without another start, and what waits for it goes on.
    ///
    /// The letter holds what can be read of it, and the reason. What is in work is left alone. A worker
    /// that runs on the data directory does it; without one this command does.
    #[command(
        after_help = "Example:\n  pelton skip orders orders/3:1200 --reason 'the producer wrote nonsense, \
            ticket 4711'\n  pelton skip invoices 1767225600000-0 --reason 'a test order' --yes"
    )]
    Skip(SkipArgs),
    /// Hold a pipeline: what runs is finished, and nothing is started until it is resumed.
    ///
    /// It keeps its partitions, and its messages stay at the broker. A pause outlives restarts and reloads.
    /// With the ledger in a database it holds for the whole fleet, else for this worker alone.
    #[command(
        after_help = "Example:\n  pelton pause orders --reason 'the database moves' --for 30m\n  pelton \
            pause payments --partition payments/3"
    )]
    Pause(PauseArgs),
    /// Have a paused pipeline go on.
    #[command(
        after_help = "Example:\n  pelton resume orders\n  pelton resume payments --partition payments/3"
    )]
    Resume(ResumeArgs),
    /// Set how many messages a second a pipeline may start, for a while.
    #[command(
        after_help = "Example:\n  pelton rate orders 50/s --for 10m\n  pelton rate orders configured"
    )]
    Rate(RateArgs),
    /// Move what a pipeline reads next: back, to read again what it has passed, or on.
    ///
    /// Shows first what that comes to, and what the ledger still knows as completed, and asks. The pipeline
    /// is drained for it, and begins anew. No other worker may be in its group.
    #[command(
        override_usage = "pelton reset [OPTIONS] <PIPELINE> \
            <--to-timestamp|--to-offset|--to-id|--to-beginning>",
        after_help = "Example:\n  pelton reset orders --to-timestamp 2026-11-01T00:00:00Z\n  pelton reset \
            orders --to-offset 3:1200 --forget"
    )]
    Reset(ResetArgs),
    /// Look at the state of a pipeline's handler, and change it.
    ///
    /// Beside a worker that runs, too: a message that has read what is changed here runs again.
    #[command(
        subcommand,
        after_help = "Example:\n  pelton state list orders\n  pelton state get orders customer-7"
    )]
    State(StateCommand),
    /// Look at messages that handlers have sent and their targets do not have yet, or remove them.
    #[command(subcommand, after_help = "Example:\n  pelton outbox list orders --target mails")]
    Outbox(OutboxCommand),
    /// Ask what the ledger knows of a deduplication key.
    #[command(subcommand, after_help = "Example:\n  pelton ledger show orders order-7")]
    Ledger(LedgerCommand),
    /// Set up a database that pipelines have their ledgers in.
    #[command(subcommand, after_help = "Example:\n  pelton db init --database shop")]
    Db(DbCommand),
    /// Give a pipeline another version of its handler, while the worker runs or for its next start.
    ///
    /// The version is checked, compiled and started once before it gets a message; what it imports beyond the
    /// grant is refused. Messages in work end on the version that has them. With a canary it is tried out
    /// first, and sent back when it fails more than the old one.
    #[command(after_help = "Example:\n  pelton deploy orders build/orders.wasm\n  pelton deploy orders \
            build/orders.wasm --canary 0.05 --wait")]
    Deploy(DeployArgs),
    /// Go back to an earlier version of a handler, or end the trial of a new one.
    #[command(after_help = "Example:\n  pelton rollback orders\n  pelton rollback orders --to sha256:3f1a")]
    Rollback {
        /// The pipeline.
        pipeline: String,
        /// The version whose digest begins so; without it, the one that was in use before.
        #[arg(long, value_name = "DIGEST")]
        to: Option<String>,
    },
    /// Show the versions of a pipeline's handler: those that are kept, and what the running ones have done.
    #[command(after_help = "Example:\n  pelton versions orders\n  pelton versions orders --json")]
    Versions {
        /// The pipeline.
        pipeline: String,
        /// One JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Show what a component is: its digest, what it imports and exports, what made it.
    #[command(after_help = "Example:\n  pelton inspect build/orders.wasm\n  pelton inspect \
            oci://registry.example.com/team/orders:1.4.0")]
    Inspect {
        /// Its file, a folder in the OCI image layout, or oci://REGISTRY/NAME:TAG.
        #[arg(value_name = "FILE|OCI")]
        component: OsString,
        /// Compare with what this pipeline grants, and with its version in use. A configuration is read only
        /// then.
        #[arg(long, value_name = "NAME")]
        pipeline: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Handle one message with a component, without a worker or a queue.
    ///
    /// It runs in the same sandbox as in a pipeline, with the same limits and grants. Shows what it
    /// printed, the outcome, what it took and the memory it had. A configuration is read only for
    /// `--pipeline`.
    #[command(
        after_help = "Exit codes: 0 ok; 75 retry; 65 reject; 2 a trap, a timeout or too much memory; 1 the \
            file is no handler.\n\nExample:\n  pelton invoke build/orders.wasm --body '{\"id\":7}' \
            --header trace=a1\n  pelton invoke build/orders.wasm --body-file order.json --attempt 3 \
            --times 1000 --json"
    )]
    Invoke(InvokeArgs),
    /// Make a pair of keys to sign components with: NAME.key, to be kept secret, and NAME.pub.
    #[command(after_help = "Example:\n  pelton keygen keys/ci")]
    Keygen {
        /// Where, without an ending.
        name: PathBuf,
    },
    /// Sign a component: writes FILE.sig, which goes wherever the component goes; or, in a registry, an
    /// artefact that refers to it.
    #[command(after_help = "Example:\n  pelton sign build/orders.wasm --key keys/ci.key\n  pelton sign \
            oci://registry.example.com/team/orders:1.4.0 --key keys/ci.key")]
    Sign {
        /// The component: its file, or oci://REGISTRY/NAME:TAG.
        #[arg(value_name = "FILE|OCI")]
        component: OsString,
        /// The private key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Write a component to a registry, with its signature if FILE.sig is there.
    ///
    /// The login is the one that `docker login` has left. The same file makes the same digest every time.
    #[command(
        after_help = "Example:\n  pelton push build/orders.wasm oci://registry.example.com/team/orders:1.4.0"
    )]
    Push {
        /// The component's file.
        #[arg(value_name = "FILE")]
        component: PathBuf,
        /// Where to: oci://REGISTRY/NAME:TAG.
        #[arg(value_name = "OCI")]
        to: String,
    },
    /// Have the running worker read its configuration and the components' files again.
    ///
    /// Pipelines are begun, ended and changed; those that are as they were go on untouched. SIGHUP does the
    /// same.
    #[command(after_help = "Example:\n  pelton reload\n  pelton reload orders")]
    Reload {
        /// Only this pipeline.
        pipeline: Option<String>,
    },
    /// Show how the pipelines stand, whether a worker runs or not.
    #[command(
        after_help = "Example:\n  pelton status\n  pelton status --json | jq .pipelines.orders.queued"
    )]
    Status {
        /// One JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Show what the running worker has logged lately, and what it logs from now on.
    ///
    /// It keeps some of the last lines in memory. All of them are where its standard error goes.
    #[command(after_help = "Example:\n  pelton logs orders --follow\n  pelton logs --lines 500 --json")]
    Logs(LogsArgs),
    /// Ask the running worker whether it lives: for containers, whose images may have no curl.
    ///
    /// Exits with 0 when it does, and with 1 and a line for each reason when it does not, or none runs. A
    /// worker whose pipelines are paused, or wait for what a breaker protects, is ready.
    #[command(after_help = "Example:\n  pelton health\n  pelton health --ready")]
    Health {
        /// Whether it does its work: it has started, its pipelines run, and its brokers can be reached.
        #[arg(long)]
        ready: bool,
    },
    /// Print completions for a shell.
    #[command(after_help = "Example:\n  pelton completions bash > /etc/bash_completion.d/pelton")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// End when no message is left, scheduled retries included, and print the counts as JSON.
    #[arg(long)]
    pub until_empty: bool,
    /// How logs are written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub struct SendArgs {
    /// The pipeline.
    pub pipeline: String,
    /// The body, as text. Without one of the three, it is read from standard input.
    #[arg(long, value_name = "TEXT", group = "what")]
    pub body: Option<String>,
    /// The body, as the bytes of a file.
    #[arg(long, value_name = "FILE", group = "what")]
    pub file: Option<PathBuf>,
    /// One message for each line of a file; `-` is standard input. Lines end with LF or CRLF; empty ones
    /// are left out.
    #[arg(long, value_name = "FILE", group = "what")]
    pub lines: Option<PathBuf>,
    /// The ordering key: messages with the same key are handled in order, one at a time.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// A header; may be repeated.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// The message's id: a second message with it is a duplicate. Without, the queue gives one.
    #[arg(long, value_name = "ID", conflicts_with = "lines")]
    pub id: Option<String>,
    /// Wait so long before it is delivered.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub delay: Option<std::time::Duration>,
}

#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Show whether a key was completed, or how often it was tried.
    #[command(
        after_help = "Example:\n  pelton ledger show orders order-7\n  pelton ledger show orders orders/12"
    )]
    Show {
        /// The pipeline.
        pipeline: String,
        /// The deduplication key, as `dlq list --json` shows it; by default the message's id. Bytes that
        /// are no text are written as hex:00ff, and a number or a boolean of JSON, where a string has the
        /// same letters, as number:17 or boolean:true (and the string as text:17).
        key: OsString,
    },
    /// Let go of the ledgers that a pipeline has left, before their keys have expired.
    ///
    /// A pipeline whose ledger has moved asks the one before too. After this it does not, from its next start
    /// on: a message that was completed there and comes again is handled again.
    #[command(after_help = "Example:\n  pelton ledger leave orders")]
    Leave {
        /// The pipeline.
        pipeline: String,
    },
    /// Forget a key, so that a message with it is handled again.
    #[command(after_help = "Example:\n  pelton ledger forget orders order-7")]
    Forget {
        /// The pipeline.
        pipeline: String,
        /// The deduplication key, as for `show`.
        key: OsString,
    },
}

fn header(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    let wanted = || format!("must be {}", units::DURATION);
    units::duration(text).ok_or_else(wanted)
}

fn size(text: &str) -> Result<usize, String> {
    let wanted = || format!("must be {}", units::SIZE);
    units::size(text).ok_or_else(wanted)
}

/// Slower than that, what is on its way would be held too long for its broker.
const SLOWEST: f64 = 0.01;

fn rate(text: &str) -> Result<f64, String> {
    let wanted = || format!("must be {}, and {SLOWEST}/s at least", units::RATE);
    let number = units::rate(text).or_else(|| units::rate(&format!("{text}/s")));
    number.filter(|rate| *rate >= SLOWEST).ok_or_else(wanted)
}
