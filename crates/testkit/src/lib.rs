//! Simulates servers, networks and disks for tests, benches and the demo.
//!
//! - [`server`] is a server that misbehaves over real sockets. Each kind of misbehaviour is a *sin* and has a
//!   script of the same name.
//! - [`conformance`] checks that a source follows the rules for protocols. [`memory_source`] is a small
//!   example of a source.
//! - [`net_sim`] is a misbehaving server without sockets and without real waits. It handles thousands of
//!   requests a second.
//! - [`plan_sim`] runs the plan of one file alone, and [`plan_fuzz`] passes arbitrary inputs to a plan.
//! - [`line_sim`] is a simulated line to a host, to test how the number of connections is chosen.
//! - [`fake_disk`] is a disk in memory that fails on demand.
//! - [`minisign`] signs files.

pub mod conformance;
pub mod fake_disk;
pub mod line_sim;
pub mod memory_source;
pub mod minisign;
pub mod net_sim;
pub mod plan_fuzz;
pub mod plan_sim;
mod plan_trace;
pub mod server;

use base64::prelude::{BASE64_STANDARD, Engine};
use std::sync::{Arc, Mutex};

/// Returns the content of a test file. It consists of pseudo-random bytes that depend on the name and the
/// offset, so a byte in the wrong place is detected.
pub fn content(name: &str, size: u64) -> Vec<u8> {
    let mut seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        // This is the hash FNV-1a.
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let size = usize::try_from(size).expect("a test file fits into memory");
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        // This is the generator xorshift64 (Marsaglia 2003).
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend_from_slice(&seed.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Returns the same bytes as [`content`], and keeps them in memory, because servers get many requests for
/// ranges of a large file.
pub fn shared_content(name: &str, size: u64) -> Arc<Vec<u8>> {
    static MADE: Mutex<Vec<(String, Arc<Vec<u8>>)>> = Mutex::new(Vec::new());
    let mut made = MADE.lock().expect("no panic");
    let key = format!("{size}/{name}");
    if let Some((_, bytes)) = made.iter().find(|(one, _)| *one == key) {
        return bytes.clone();
    }
    let bytes = Arc::new(content(name, size));
    // Only a few files are kept, so that tests with many files need little memory.
    made.truncate(7);
    made.insert(0, (key, bytes.clone()));
    bytes
}

/// Returns the `Content-Digest` of these bytes.
pub fn content_digest(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    format!("sha-256=:{}:", BASE64_STANDARD.encode(digest))
}

/// Returns the SHA-256 of these bytes in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
