#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gochan_fuzz::ring::ring(bytes));
