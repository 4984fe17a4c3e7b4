//! The fields of a stream's entry, as a message and as a letter.
#![no_main]

use pelton_redis::fuzzing::{entry, letter_in_stream, letter_of};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

libfuzzer_sys::fuzz_target!(|input: (Fields, Option<String>, Option<String>, String)| {
    let (fields, body, key, id) = input;
    letter_of(entry(fields.clone(), body, key));
    letter_in_stream(&id, fields);
});
