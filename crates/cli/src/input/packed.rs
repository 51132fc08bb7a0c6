//! Unpacks lists that were compressed with gzip or Zstandard. They are recognised by their first bytes.

use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufRead, BufReader, Read};

/// The first bytes of a gzip member (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The first bytes of a Zstandard frame (RFC 8878, section 3.1.1).
const ZSTANDARD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Returns the content of a list, and true if it was packed. From a pipe, this function reads only the bytes
/// that have arrived.
///
/// # Errors
/// Returns an error if the list cannot be read.
pub(super) fn unpacked(list: Box<dyn Read + Send>) -> io::Result<(Box<dyn Read + Send>, bool)> {
    let mut list = BufReader::new(list);
    let beginning = list.fill_buf()?;
    if beginning.starts_with(&GZIP) {
        return Ok((Box::new(MultiGzDecoder::new(list)), true));
    }
    if beginning.starts_with(&ZSTANDARD) {
        return Ok((Box::new(zstd::stream::read::Decoder::with_buffer(list)?), true));
    }
    Ok((Box::new(list), false))
}

/// Returns the name of a list without the ending of a packed file (`.gz` or `.zst`).
pub(super) fn plain_name(name: &str) -> &str {
    let is_packing = |ending: &str| ["gz", "zst"].iter().any(|one| ending.eq_ignore_ascii_case(one));
    name.rsplit_once('.').filter(|(_, ending)| is_packing(ending)).map_or(name, |(plain, _)| plain)
}
