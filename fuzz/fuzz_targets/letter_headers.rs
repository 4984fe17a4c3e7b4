//! The headers of a letter, of every style and tool.
#![no_main]

use pelton_core::Header;

/// What the names of the styles begin with.
const PREFIXES: [&str; 4] = ["", "pelton-", "kafka_dlt-", "__connect.errors."];

libfuzzer_sys::fuzz_target!(|input: Vec<(u8, String, Vec<u8>)>| {
    let header = |(prefix, name, value): (u8, String, Vec<u8>)| {
        let prefix = PREFIXES[usize::from(prefix) % PREFIXES.len()];
        Header::new(format!("{prefix}{name}"), value)
    };
    let headers: Vec<Header> = input.into_iter().map(header).collect();
    pelton_kafka::fuzzing::letter(&headers);
    drop(pelton_core::letter::note(&headers));
    drop(pelton_core::letter::own(&headers).collect::<Vec<_>>());
});
