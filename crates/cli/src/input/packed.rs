//! Unpacks lists that were compressed with gzip or Zstandard. They are recognised by their first bytes.

use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufReader, Cursor, Read};

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
    let mut list = list;
    let mut beginning = Vec::new();
    // No line with a URL is as short as this.
    list.by_ref().take(ZSTANDARD.len() as u64).read_to_end(&mut beginning)?;
    let (is_gzip, is_zstandard) = (beginning.starts_with(&GZIP), beginning == ZSTANDARD);
    let whole = BufReader::new(Cursor::new(beginning).chain(list));
    Ok(match (is_gzip, is_zstandard) {
        (true, _) => (Box::new(MultiGzDecoder::new(whole)), true),
        (_, true) => (Box::new(zstd::stream::read::Decoder::with_buffer(whole)?), true),
        _ => (Box::new(whole), false),
    })
}

/// Returns the name of a list without the ending of a packed file (`.gz` or `.zst`).
pub(super) fn plain_name(name: &str) -> &str {
    let is_packing = |ending: &str| ["gz", "zst"].iter().any(|one| ending.eq_ignore_ascii_case(one));
    name.rsplit_once('.').filter(|(_, ending)| is_packing(ending)).map_or(name, |(plain, _)| plain)
}
