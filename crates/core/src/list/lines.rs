//! Reads plain lines: `URL[<TAB>URL...] [NAME to the end of the line]`. The lists of wget, and lists of aria2
//! that have no options, have this form without names.

use super::addresses::Addresses;
use crate::error::{Error, ErrorKind};
use crate::job::{self, Destination, Job};
use crate::name::SafeName;

/// Reads a trimmed line that is not empty.
pub(super) fn parse(text: &str, addresses: &Addresses) -> Result<Job, Error> {
    let (first, mut rest) = next_word(text);
    let mut job = addresses.job(first)?;
    // A URL after a TAB is a mirror. The rest of the line is the name.
    while let Some(after_tab) = rest.strip_prefix('\t') {
        let (word, beyond) = next_word(after_tab.trim_start());
        if !job::has_scheme(word) {
            break;
        }
        addresses.add_mirror(&mut job, word)?;
        rest = beyond;
    }
    let name = rest.trim();
    if job::has_scheme(name) {
        return Err(Error::new(
            ErrorKind::ListLine,
            "",
            "mirrors are separated by a TAB, and each line is for one file",
        ));
    }
    if !name.is_empty() {
        job.destination = Destination::Name(
            SafeName::from_person(name).map_err(|why| Error::new(ErrorKind::NameUnsafe, name, why))?,
        );
    }
    Ok(job)
}

/// Returns the text before the first blank or TAB, and the rest of the text.
fn next_word(text: &str) -> (&str, &str) {
    text.split_at(text.find([' ', '\t']).unwrap_or(text.len()))
}
