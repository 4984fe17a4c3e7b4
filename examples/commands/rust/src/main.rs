//! A command in Rust: run once for each message. The body is standard input, the rest is in the
//! environment, and the exit code is the answer. Build it with `cargo build --release --target
//! wasm32-wasip1`: with `wasm32-wasip2` Rust can tell success and failure only.

use std::env;
use std::io::Read;
use std::process::ExitCode;

// EX_DATAERR and EX_TEMPFAIL of sysexits.h.
const REJECT: u8 = 65;
const RETRY: u8 = 75;

fn main() -> ExitCode {
    let mut body = String::new();
    if std::io::stdin().read_to_string(&mut body).is_err() || !body.starts_with('{') {
        return fail(REJECT, "not JSON");
    }
    let attempt: u32 = env::var("PELTON_ATTEMPT").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    if body.contains("\"gateway_down\"") && attempt < 3 {
        return fail(RETRY, "the payment gateway is down");
    }
    println!("order {} taken", env::var("PELTON_MESSAGE_ID").unwrap_or_default());
    ExitCode::SUCCESS
}

/// The last line of standard error is the reason.
fn fail(code: u8, reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::from(code)
}
