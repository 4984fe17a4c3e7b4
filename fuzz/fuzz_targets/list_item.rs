//! What lies in a worker's list of Redis, and in one of letters.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    pelton_redis::fuzzing::list_item(bytes);
    pelton_redis::fuzzing::letter_in_list(bytes.to_vec());
});
