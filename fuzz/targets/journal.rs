//! Reads any bytes as a journal. This must not panic. The result is written as a journal again. This journal
//! must be readable, and have the same start and at most as many claims.
#![no_main]

use downhaul_core::journal;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let with_format = [b"downhaul journal 3\n", bytes].concat();
    for bytes in [bytes, &with_format] {
        if let Some((start, claims)) = journal::read(bytes) {
            let (again, joined) = journal::read(&journal::rewrite(&start, &claims)).expect("the written journal is readable");
            assert_eq!(again, start);
            assert!(joined.len() <= claims.len());
        }
    }
});
