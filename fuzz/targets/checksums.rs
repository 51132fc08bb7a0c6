//! Reads any bytes as a checksum list. This must not panic, and every entry that has a name must be found by
//! this name.
#![no_main]

use downhaul_core::list::checksums::{Checksums, Named};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for name in ["SHA256SUMS", "B2SUMS", "a.b3"] {
        let list = Checksums::read(bytes, name);
        assert!(list.entries().len() + list.unread() <= bytes.len() + 1);
        for entry in list.entries() {
            assert_eq!(entry.digest.bytes.len(), entry.digest.algorithm.size());
            let bare = entry.name.strip_prefix("./").unwrap_or(&entry.name);
            assert!(bare.is_empty() || list.of(std::slice::from_ref(&entry.name)) != Named::Not);
        }
    }
});
