//! What a worker of version 2 asks for: the calls that it writes before its answer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    pelton_host::fuzzing::calls(bytes);
});
