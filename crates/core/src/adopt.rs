//! Describes the files that other tools left unfinished. Such a file has only the beginning of the whole
//! file, or the other tool wrote a control file that says which ranges are complete. A job adopts such a
//! file: it keeps the complete ranges and downloads the rest.
//!
//! Invariant: a job that adopts a file does not finish before the last bytes of the last complete range were
//! compared with the server's bytes.

use crate::ranges::RangeSet;
use std::ops::Range;

/// The number of bytes at the end of the last complete range that are usually fetched again and compared with
/// the bytes on the disk. An interrupted write is assumed to damage at most this many bytes. Two different
/// files rarely have the same 64 KiB at the same place, unless all these bytes have the same value (see
/// [`Adopted::compare_from`]).
pub const OVERLAP: u64 = 64 * 1024;

/// A file that another tool left unfinished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The ranges that are complete, in order. No range is empty, and there is at least one range.
    ranges: Vec<Range<u64>>,
    /// The size of the whole file in bytes, if the tool recorded this size.
    pub size: Option<u64>,
    /// The number of bytes at the end of the last range that are compared with the server's bytes. If the
    /// last range has fewer bytes, exactly the last range is compared.
    compared: u64,
    /// True if the server's file may replace this file when the two files do not match (`--if-exists
    /// overwrite` and `update`).
    pub may_be_replaced: bool,
}

impl Adopted {
    /// Returns an unfinished file that consists of the first `length` bytes of a file, or `None` if `length`
    /// is 0.
    pub fn prefix(length: u64) -> Option<Adopted> {
        (length > 0).then(|| Adopted {
            ranges: std::iter::once(0..length).collect(),
            size: None,
            compared: OVERLAP,
            may_be_replaced: false,
        })
    }

    /// Returns the complete ranges, in order.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// Returns the offset after the last complete byte.
    pub fn end(&self) -> u64 {
        self.ranges.last().map_or(0, |last| last.end)
    }

    /// Returns the range that is compared with the server's bytes before the job finishes. It consists of the
    /// last bytes of the last complete range.
    pub fn overlap(&self) -> Range<u64> {
        self.ranges
            .last()
            .map_or(0..0, |last| last.start.max(last.end.saturating_sub(self.compared))..last.end)
    }

    /// Makes the compared range begin at `offset`, unless it already begins before `offset`. It never begins
    /// before the last complete range.
    ///
    /// The caller divides the last complete range, from its end, into blocks of [`OVERLAP`] bytes. `offset`
    /// is the start of the last block that contains two different bytes. If there is no such block, `offset`
    /// is the start of the range. In each block after this block, all bytes have the same value. Many
    /// different files have such blocks, so a comparison of these blocks alone would prove nothing.
    pub fn compare_from(&mut self, offset: u64) {
        self.compared = self.compared.max(self.end().saturating_sub(offset));
    }

    /// Returns the complete bytes before the compared range, as ranges in order.
    pub fn before_overlap(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let end = self.overlap().start;
        self.ranges.iter().map(move |range| range.start..range.end.min(end)).filter(|range| !range.is_empty())
    }
}

/// Reads the control file of aria2 (`NAME.aria2`, version 1 as in aria2's manual) for an unfinished file of
/// `length` bytes. aria2 divides a file into pieces of equal length. Returns the pieces that the control file
/// marks as complete and that lie completely within the `length` bytes. Returns `None` if there are no such
/// pieces.
///
/// # Errors
/// Returns a phrase that says why the control file cannot be trusted.
pub fn aria2(control: &[u8], length: u64) -> Result<Option<Adopted>, &'static str> {
    let bad = "it is not a control file of aria2 in a known form (version 1)";
    let mut rest = control;
    let mut take = |count: usize| {
        let (taken, after) = rest.split_at_checked(count).ok_or(bad)?;
        rest = after;
        Ok::<_, &'static str>(taken)
    };
    if take(2)? != [0, 1] {
        return Err(bad);
    }
    take(4)?;
    let info_hash = number(take(4)?);
    take(usize::try_from(info_hash).map_err(|_| bad)?)?;
    let piece = number(take(4)?);
    let total = number(take(8)?);
    take(8)?;
    let bits = number(take(4)?);
    if piece == 0 || total == 0 || bits != total.div_ceil(piece).div_ceil(8) {
        return Err(bad);
    }
    let bitfield = take(usize::try_from(bits).map_err(|_| bad)?)?;
    // A list of the pieces in progress follows. This code only checks that the list is readable. The bytes of
    // these pieces are fetched again.
    let in_progress = number(take(4)?);
    for _ in 0..in_progress {
        take(8)?;
        let bits = number(take(4)?);
        take(usize::try_from(bits).map_err(|_| bad)?)?;
    }
    let mut there = RangeSet::new();
    for (byte, eight) in (0_u64..).zip(bitfield) {
        for bit in (0..8).filter(|bit| eight & (0x80 >> bit) != 0) {
            let start = (byte * 8 + bit).checked_mul(piece).filter(|start| *start < total).ok_or(bad)?;
            let end = start.saturating_add(piece).min(total);
            // The unfinished file may have lost its last bytes. A piece that is not completely in the file is
            // fetched again.
            if end <= length {
                there.insert(start..end);
            }
        }
    }
    let ranges: Vec<Range<u64>> = there.iter().cloned().collect();
    Ok((!ranges.is_empty()).then_some(Adopted {
        ranges,
        size: Some(total),
        compared: OVERLAP,
        may_be_replaced: false,
    }))
}

/// Returns the number that these bytes represent. The first byte is the most significant one.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn control(piece: u32, total: u64, bitfield: &[u8], under_way: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(piece.to_be_bytes());
        bytes.extend(total.to_be_bytes());
        bytes.extend(0_u64.to_be_bytes());
        bytes.extend((bitfield.len() as u32).to_be_bytes());
        bytes.extend(bitfield);
        bytes.extend(under_way);
        bytes
    }

    #[test]
    fn only_complete_pieces_are_adopted() {
        let of = |bits, length| aria2(&control(100, 1050, &[bits, 0b0010_0000], &[0; 4]), length);
        let ranges = |bits, length| of(bits, length).expect("readable").map(|one| one.ranges);
        assert_eq!(ranges(0b1100_0001, 1050), Some(vec![0..200, 700..800, 1000..1050]));
        assert_eq!(
            ranges(0b1100_0001, 1049),
            Some(vec![0..200, 700..800]),
            "the last bytes of the file are missing"
        );
        assert_eq!(ranges(0, 900), None);
        let under_way = [&1_u32.to_be_bytes()[..], &[0; 8], &1_u32.to_be_bytes(), &[0xff]].concat();
        assert!(aria2(&control(100, 1050, &[0x80, 0], &under_way), 1050).is_ok());
        for bad in [
            control(0, 1050, &[0; 2], &[0; 4]),
            control(100, 0, &[0; 2], &[0; 4]),
            control(100, 1050, &[0; 3], &[0; 4]),
            control(100, 1050, &[0, 0b0001_0000], &[0; 4]),
            control(100, 1050, &[0; 2], &under_way[..9]),
            control(100, 1050, &[0; 2], &[]),
            vec![0, 0],
            Vec::new(),
        ] {
            assert!(aria2(&bad, 1050).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_end_of_the_last_range_is_compared() {
        let adopted = Adopted {
            ranges: vec![0..200_000, 500_000..520_000],
            size: None,
            compared: OVERLAP,
            may_be_replaced: false,
        };
        assert_eq!(adopted.overlap(), 500_000..520_000);
        assert!(adopted.before_overlap().eq(std::iter::once(0..200_000)));
        let prefix = Adopted::prefix(200_000).expect("something");
        assert_eq!(prefix.overlap(), 200_000 - OVERLAP..200_000);
        assert!(prefix.before_overlap().eq(std::iter::once(0..200_000 - OVERLAP)));
    }

    proptest! {
        #[test]
        fn no_control_file_causes_a_panic_or_invents_bytes(bytes: Vec<u8>, length: u64, cut in 0..60_usize) {
            for bytes in [bytes, control(7, 100, &[0xff, 0xfe], &[0; 4])[..cut.min(40)].to_vec()] {
                if let Ok(Some(adopted)) = aria2(&bytes, length) {
                    prop_assert!(adopted.end() <= length);
                }
            }
        }
    }
}
