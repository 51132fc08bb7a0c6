//! Reads any bytes as a journal: this does not panic, and a journal that is written from the result reads the
//! same.
#![no_main]

use downhaul_core::journal;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let form = [b"downhaul journal 1\n", bytes].concat();
    for bytes in [bytes, &form] {
        if let Some((start, claims)) = journal::read(bytes) {
            let (again, joined) = journal::read(&journal::rewrite(&start, &claims)).expect("what was written");
            assert_eq!(again, start);
            assert!(joined.len() <= claims.len());
        }
    }
});
