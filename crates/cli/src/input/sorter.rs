//! [`Sorter`]: sorts very many pairs of numbers in little memory. It writes sorted parts to a temporary file.
//!
//! Invariant: if no temporary file can be written, the pairs stay in memory, and the result is the same.

use crate::platform;
use crate::run::warn;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

pub(super) type Pair = (u64, u64);

/// The length of a pair in the file, in bytes.
const PAIR: usize = 16;

/// The number of pairs that are collected in memory before they are written to the file. They take 2 MiB. If
/// there are no more pairs than this, they are sorted without a file.
const IN_MEMORY: usize = 128 * 1024;

/// The number of bytes that are written at a time.
const WRITTEN_AT_ONCE: usize = 64 * 1024;

/// While all parts are read together, about this many pairs are in memory. They take 2 MiB. With very many
/// parts, [`READ_LEAST`] makes the number larger.
const READ_AT_ONCE: usize = 128 * 1024;

/// The fewest pairs that are read at a time from one part. They take 4 KiB, the usual size of a block of a
/// disk.
const READ_LEAST: usize = 256;

/// Pairs that are to be sorted.
pub(super) struct Sorter {
    /// Returns true for a pair that is needed only once. If such a pair was added several times, some of its
    /// copies may be left out.
    is_once: fn(&Pair) -> bool,
    /// The pairs that were added last and are not in a sorted part yet.
    last: Vec<Pair>,
    parts: Vec<Part>,
    folders: Vec<PathBuf>,
    file: Option<File>,
    has_warned: bool,
}

enum Part {
    /// A part in the file: the offset of its first byte, and the number of its pairs.
    InFile(u64, usize),
    InMemory(Vec<Pair>),
}

impl Sorter {
    /// Returns a sorter without pairs. The temporary file is in the first of these `folders` that can be
    /// used.
    pub(super) fn new(folders: Vec<PathBuf>, is_once: fn(&Pair) -> bool) -> Sorter {
        Sorter { is_once, last: Vec::new(), parts: Vec::new(), folders, file: None, has_warned: false }
    }

    pub(super) fn add(&mut self, pair: Pair) {
        if self.last.len() >= IN_MEMORY {
            self.end_part();
        }
        self.last.push(pair);
    }

    /// Sorts the pairs that were added last.
    fn sort(&mut self) {
        self.last.sort_unstable();
        self.last.dedup_by(|one, other| one == other && (self.is_once)(one));
    }

    /// Sorts the pairs that were added last, and moves them to the file. If the file cannot be written, they
    /// stay in memory.
    fn end_part(&mut self) {
        self.sort();
        let part = match self.write() {
            Ok(at) => Part::InFile(at, self.last.len()),
            Err(why) => {
                self.warn(&why);
                Part::InMemory(std::mem::take(&mut self.last))
            }
        };
        self.last.clear();
        self.parts.push(part);
    }

    /// Prints one warning that the pairs stay in memory. If there are no folders, as for `downhaul plan`,
    /// there is no warning, because the pairs are meant to stay in memory.
    fn warn(&mut self, why: &io::Error) {
        if !self.folders.is_empty() && !std::mem::replace(&mut self.has_warned, true) {
            warn(&format!(
                "no temporary file can be written ({why}), so each name in the lists takes about 16 bytes of memory"
            ));
        }
    }

    /// Opens a file in the first folder that can be used. If no folder can be used, returns the error for the
    /// last folder.
    fn open(&self) -> io::Result<File> {
        let mut why = io::ErrorKind::NotFound.into();
        for folder in &self.folders {
            match platform::unnamed_file(folder) {
                Ok(file) => return Ok(file),
                Err(e) => why = e,
            }
        }
        Err(why)
    }

    /// Writes the pairs that were added last, and returns the offset in the file at which they begin.
    fn write(&mut self) -> io::Result<u64> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        let file = self.file.insert(file);
        let at = file.seek(SeekFrom::End(0))?;
        let mut buffered = BufWriter::with_capacity(WRITTEN_AT_ONCE, file);
        self.last.iter().try_for_each(|pair| buffered.write_all(&to_bytes(*pair)))?;
        buffered.flush()?;
        Ok(at)
    }

    /// Returns all pairs in ascending order. An item is an error if the file cannot be read.
    pub(super) fn sorted(mut self) -> Sorted {
        self.sort();
        self.parts.push(Part::InMemory(self.last));
        let at_once = (READ_AT_ONCE / self.parts.len()).max(READ_LEAST);
        let readers = self.parts.into_iter().map(|part| Reader::new(part, at_once)).collect();
        let mut sorted = Sorted { file: self.file, readers, next: BinaryHeap::new(), failed: None };
        for number in 0..sorted.readers.len() {
            sorted.read(number);
        }
        sorted
    }
}

/// The pairs in ascending order.
pub(super) struct Sorted {
    file: Option<File>,
    readers: Vec<Reader>,
    /// The next pair of each part, with the number of the part.
    next: BinaryHeap<Reverse<(Pair, usize)>>,
    failed: Option<io::Error>,
}

impl Sorted {
    /// Reads the next pair of a part, if there is one, and adds it to `next`.
    fn read(&mut self, number: usize) {
        match self.readers[number].next(self.file.as_mut()) {
            Ok(pair) => self.next.extend(pair.map(|pair| Reverse((pair, number)))),
            Err(e) => self.failed = Some(e),
        }
    }
}

impl Iterator for Sorted {
    type Item = io::Result<Pair>;

    fn next(&mut self) -> Option<io::Result<Pair>> {
        if let Some(e) = self.failed.take() {
            self.next.clear();
            return Some(Err(e));
        }
        let Reverse((pair, number)) = self.next.pop()?;
        self.read(number);
        Some(Ok(pair))
    }
}

struct Reader {
    /// The offset in the file of the first pair that was not read yet, and the number of pairs from there on.
    in_file: (u64, usize),
    at_once: usize,
    read: std::vec::IntoIter<Pair>,
}

impl Reader {
    fn new(part: Part, at_once: usize) -> Reader {
        let (in_file, read) = match part {
            Part::InFile(at, pairs) => ((at, pairs), Vec::new()),
            Part::InMemory(pairs) => ((0, 0), pairs),
        };
        Reader { in_file, at_once, read: read.into_iter() }
    }

    fn next(&mut self, file: Option<&mut File>) -> io::Result<Option<Pair>> {
        if let Some(pair) = self.read.next() {
            return Ok(Some(pair));
        }
        let (at, left) = self.in_file;
        let (Some(file), true) = (file, left > 0) else { return Ok(None) };
        let number = left.min(self.at_once);
        let mut bytes = vec![0; number * PAIR];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut bytes)?;
        self.in_file = (at + bytes.len() as u64, left - number);
        let (pairs, _) = bytes.as_chunks::<PAIR>();
        self.read = pairs.iter().map(from_bytes).collect::<Vec<_>>().into_iter();
        Ok(self.read.next())
    }
}

fn to_bytes((first, second): Pair) -> [u8; PAIR] {
    (u128::from(first) << 64 | u128::from(second)).to_be_bytes()
}

fn from_bytes(bytes: &[u8; PAIR]) -> Pair {
    let both = u128::from_be_bytes(*bytes);
    ((both >> 64) as u64, both as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_with_a_temporary_file_and_without() {
        let folder = tempfile::tempdir().expect("a folder");
        for folders in [vec!["/no/such/folder".into(), folder.path().to_path_buf()], Vec::new()] {
            let mut sorter = Sorter::new(folders, |pair| pair.0 == 5);
            let mut rng = fastrand::Rng::with_seed(1);
            let mut pairs: Vec<Pair> = (0..IN_MEMORY * 3 + 7).map(|_| (rng.u64(..), rng.u64(0..3))).collect();
            pairs.extend([(5, 2), (5, 1), (u64::MAX, u64::MAX)]);
            pairs.iter().chain(&[(5, 2)]).for_each(|pair| sorter.add(*pair));
            let sorted: Vec<Pair> = sorter.sorted().map(|pair| pair.expect("it is read")).collect();
            pairs.sort_unstable();
            assert!(sorted == pairs, "{} of {}", sorted.len(), pairs.len());
            assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "it has no name");
        }
    }
}
