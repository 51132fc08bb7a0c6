//! Reads any bytes as OpenPGP keys, signatures and signed texts. This must not panic, and a text that was not
//! signed must not be accepted.
#![no_main]

use downhaul_engine::core::signature::Keys;
use downhaul_engine::{check_keys, signed_text};

const AUTHOR: &[u8] = include_bytes!("../../crates/cli/tests/openpgp/author.asc");
const SIGNATURE: &[u8] = include_bytes!("../../crates/cli/tests/openpgp/list.gpg");

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let author = Keys::OpenPgp(AUTHOR.to_vec());
    assert!(signed_text(&author, b"not signed", Some(bytes)).map_or(true, |(text, _)| text != b"not signed"));
    if let Ok((text, _)) = signed_text(&author, bytes, None) {
        assert!(text.ends_with(b"a line that begins with a dash"));
    }
    let keys = Keys::OpenPgp(bytes.to_vec());
    if check_keys(&keys).is_ok() {
        assert!(signed_text(&keys, b"not signed", Some(SIGNATURE)).is_err());
    }
});
