//! Reads a whole list, for the commands that do not read it line by line.

use super::packed::unpacked;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Returns the content of a list, after decompression. The path `-` means standard input.
///
/// # Errors
/// Returns an error if the list cannot be read, or if its content has more than `most` bytes.
pub(crate) fn bytes(list: &Path, most: u64) -> io::Result<Vec<u8>> {
    let source: Box<dyn Read + Send> = match list.as_os_str() == "-" {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(list)?),
    };
    let mut bytes = Vec::new();
    unpacked(source)?.0.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(bytes),
    }
}
