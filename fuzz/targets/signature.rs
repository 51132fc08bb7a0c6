//! Reads any bytes as a minisign key and as a minisign signature. This must not panic.
#![no_main]

use downhaul_core::signature::{Key, Signature};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let key = Key::read(&String::from_utf8_lossy(bytes));
    if let (Ok(key), Ok(signature)) = (key, Signature::read(bytes)) {
        let _ = (key.made(&signature), key.to_string());
    }
});
