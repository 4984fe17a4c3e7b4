//! The attributes of a message of SQS, as a message and as a letter.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (String, Vec<(String, String, Vec<u8>)>)| {
    pelton_sqs::fuzzing::message(&input.0, &input.1);
});
