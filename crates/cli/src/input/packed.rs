//! Decompresses lists that were compressed with gzip or Zstandard. They are recognised by their first bytes.
//! Also limits the length of lists that were fetched.

use flate2::bufread::GzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek};

/// The first bytes of a gzip member (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The first bytes of a Zstandard frame (RFC 8878, section 3.1.1).
const ZSTANDARD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The first bytes of a Parquet file.
const PARQUET: [u8; 4] = *b"PAR1";

/// Returns true if a file is a Parquet file. The next read of the file begins at its first byte again.
pub(super) fn is_parquet(file: &mut File) -> io::Result<bool> {
    let mut beginning = Vec::new();
    file.take(PARQUET.len() as u64).read_to_end(&mut beginning)?;
    file.rewind()?;
    Ok(beginning == PARQUET)
}

/// Returns the content of a list, and true if the list was compressed. From a pipe, this function reads only
/// the first bytes, which show if the list is compressed.
pub(super) fn unpacked(list: Box<dyn Read + Send>) -> io::Result<(Box<dyn Read + Send>, bool)> {
    let mut list = list;
    let mut beginning = Vec::new();
    // A line with a URL is longer than these four bytes, so this read does not delay the first job.
    list.by_ref().take(ZSTANDARD.len() as u64).read_to_end(&mut beginning)?;
    if beginning == PARQUET {
        let why = "a Parquet file must be on the disk, because it is read from its end. Save it first";
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    let (is_gzip, is_zstandard) = (beginning.starts_with(&GZIP), beginning == ZSTANDARD);
    let whole = BufReader::new(Cursor::new(beginning).chain(list));
    Ok(match (is_gzip, is_zstandard) {
        (true, _) => (Box::new(Members { member: Some(GzDecoder::new(whole)) }), true),
        (_, true) => (Box::new(zstd::stream::read::Decoder::with_buffer(whole)?), true),
        _ => (Box::new(whole), false),
    })
}

/// Returns the content of a list that was fetched, which may have at most this many bytes.
pub(super) fn limited(text: Box<dyn Read + Send>, most: u64) -> Box<dyn Read + Send> {
    Box::new(Limited { text, left: most })
}

/// The content of a list that was fetched. If the list was compressed, its content may be much longer than
/// the fetched bytes, so the length is limited.
struct Limited {
    text: Box<dyn Read + Send>,
    /// The number of bytes that may follow.
    left: u64,
}

impl Read for Limited {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let number = self.text.read(into)?;
        match self.left.checked_sub(number as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 16 MiB")),
        }
        Ok(number)
    }
}

/// The content of all members of a gzip file. Bytes after the end of a member that do not begin another
/// member are an error, because they may be the rest of a list.
struct Members<R> {
    /// The member that is being read, or `None` after the last one.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let number = member.read(into)?;
            if number > 0 || into.is_empty() {
                return Ok(number);
            }
            let Some(mut rest) = self.member.take().map(GzDecoder::into_inner) else { break };
            match rest.fill_buf()?.first() {
                None => {}
                Some(byte) if *byte == GZIP[0] => self.member = Some(GzDecoder::new(rest)),
                Some(_) => {
                    // `InvalidData` would mean that only one line cannot be read.
                    return Err(io::Error::other("other bytes follow the gzip data of the list"));
                }
            }
        }
        Ok(0)
    }
}

/// Returns the name of a list without the ending of a compressed file (`.gz` or `.zst`).
pub(crate) fn plain_name(name: &str) -> &str {
    let is_packing = |ending: &str| ["gz", "zst"].iter().any(|one| ending.eq_ignore_ascii_case(one));
    name.rsplit_once('.').filter(|(_, ending)| is_packing(ending)).map_or(name, |(plain, _)| plain)
}
