//! Makes the last line of a lock file whole, after a power failure or an editor left it without its end.
//!
//! Invariant: a complete line of a lock file is never removed.

use super::{Form, rows};
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Makes the last line of a lock file whole. An incomplete line, which a power failure may leave, is removed.
/// A missing line end is added. Returns the new length of the file in bytes.
pub(super) fn mend(file: &mut File, form: Form) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let last = length.saturating_sub(1);
    file.seek(SeekFrom::Start(last))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    if length == 0 || end == b"\n" {
        return Ok(length);
    }
    file.seek(SeekFrom::Start(0))?;
    let (mut before, mut tail) = (0, Vec::new());
    for row in rows(&mut *file, form) {
        before += tail.len() as u64;
        tail = row?;
    }
    let text = String::from_utf8_lossy(&tail);
    let is_incomplete = match form {
        Form::Lines => text.trim_start().starts_with('{') && serde_json::from_str::<Value>(&text).is_err(),
        Form::Table => form.read(&text).is_none(),
    };
    if is_incomplete {
        file.set_len(before)?;
        return Ok(before);
    }
    // An editor may have removed the last line end.
    file.write_all(b"\n")?;
    Ok(length + 1)
}
