//! What a server says to a connection of handlers, and what a handler would have run.
#![no_main]

use pelton_postgres::fuzzing::{is_sent, messages};

libfuzzer_sys::fuzz_target!(|input: (&[u8], u16, &str)| {
    let (bytes, longest_row, statement) = input;
    messages(bytes, longest_row.into());
    let _is_sent = is_sent(statement);
});
