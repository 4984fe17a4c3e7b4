//! Verifies uploads: hashes the body and compares it with what the uploader said it would be.
//!
//! The header `sha256` holds the digest in hex. The header `rounds` asks for the digest of the
//! digest and so on, as some archives store it; it also makes the work as long as you like.

use pelton_sdk::{Failure, Message, OrReject};
use sha2::{Digest, Sha256};

/// More would take seconds: an upload that asks for it is broken or hostile.
const MAX_ROUNDS: u32 = 10_000_000;

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    let rounds = match message.header("rounds") {
        Some(rounds) => rounds.parse().or_reject("the header `rounds`")?,
        None => 1,
    };
    if !(1..=MAX_ROUNDS).contains(&rounds) {
        let text = format!("the header `rounds` is {rounds}, not 1 to {MAX_ROUNDS}");
        return Err(Failure::reject(text));
    }
    let found = hex(&digest(&message.body, rounds));
    match message.header("sha256") {
        Some(expected) if !expected.eq_ignore_ascii_case(&found) => {
            Err(Failure::reject(format!("damaged on the way: sha256 is {found}, {expected} was announced")))
        }
        _ => {
            eprintln!("{} bytes, sha256 {found}", message.body.len());
            Ok(())
        }
    }
}

fn digest(body: &[u8], rounds: u32) -> [u8; 32] {
    let first = Sha256::digest(body);
    (1..rounds).fold(first, |last, _| Sha256::digest(last)).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
