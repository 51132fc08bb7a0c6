//! [`Gid`]: the identifier of a download, in the form of aria2.

use std::fmt;

/// Identifies a download of the daemon. It is written as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gid(u64);

/// The number of hexadecimal digits of a [`Gid`].
const DIGITS: usize = 16;

impl Gid {
    /// Returns the identifier with this number.
    pub const fn new(number: u64) -> Gid {
        Gid(number)
    }

    /// Returns the number of the identifier.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Reads a complete identifier. Returns `None` if it does not have 16 hexadecimal digits, or is 0, which
    /// aria2 does not allow.
    pub fn read(text: &str) -> Option<Gid> {
        let number = u64::from_str_radix(text, 16).ok().filter(|number| *number != 0);
        number.filter(|_| text.len() == DIGITS && is_hex(text)).map(Gid)
    }

    /// Returns the lowest and the highest identifier that begin with these digits. Returns `None` if the text
    /// is empty, is longer than 16 digits, or has other characters.
    pub fn range_of_prefix(text: &str) -> Option<(Gid, Gid)> {
        let number = u64::from_str_radix(text, 16).ok().filter(|_| text.len() <= DIGITS && is_hex(text))?;
        let rest = 4 * (DIGITS - text.len());
        let fill = u64::MAX.checked_shr(64 - u32::try_from(rest).ok()?).unwrap_or(0);
        Some((Gid(number << rest), Gid(number << rest | fill)))
    }
}

/// Returns true if all characters are hexadecimal digits. A sign, which `from_str_radix` allows, is not a
/// digit.
fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl fmt::Display for Gid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_read_as_they_are_written() {
        let gid = Gid::new(0xb78b_79c5_6740_3e5c);
        assert_eq!(Gid::read(&gid.to_string()), Some(gid));
        for wrong in
            ["", "zz", "+78b79c567403e5c", "b78b79c567403e5", "b78b79c567403e5c0", "0000000000000000"]
        {
            assert_eq!(Gid::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_prefix_stands_for_a_range_of_identifiers() {
        assert_eq!(
            Gid::range_of_prefix("b7"),
            Some((Gid::new(0xb700_0000_0000_0000), Gid::new(0xb7ff_ffff_ffff_ffff)))
        );
        let whole = Gid::new(0xb78b_79c5_6740_3e5c);
        assert_eq!(Gid::range_of_prefix("b78b79c567403e5c"), Some((whole, whole)));
        for wrong in ["", "zz", "-1", "00000000000000000"] {
            assert_eq!(Gid::range_of_prefix(wrong), None, "{wrong}");
        }
    }
}
