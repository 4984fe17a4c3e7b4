//! What a worker writes to its standard output.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (u8, u8, &[u8])| {
    let (asked, cut, bytes) = input;
    pelton_host::fuzzing::answers(usize::from(asked), bytes, usize::from(cut));
});
