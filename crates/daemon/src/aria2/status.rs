//! Describes downloads with the fields of `aria2.tellStatus`. All values are texts. Sizes are in bytes.
//!
//! The library does not say which pieces of a file it has, only how many bytes. So `bitfield` shows as many
//! pieces as there are bytes, beginning with the first one.

use crate::entry::{Entry, State as EntryState, gids};
use crate::state::{Current, State};
use serde_json::{Map, Value, json};

/// Returns the fields of a download, or only those with these names.
pub fn of(state: &State, entry: &Entry, keys: &[String]) -> Value {
    let Current { completed, total, speed, connections } = state.current(entry);
    let total = total.unwrap_or_default();
    let piece = piece_length(state, entry, total);
    let pieces = total.div_ceil(piece);
    let mut fields = Map::new();
    let is_wanted = |name: &str| keys.is_empty() || keys.iter().any(|key| key == name);
    let mut add = |name: &str, value: Value| {
        if is_wanted(name) {
            fields.insert(name.into(), value);
        }
    };
    add("gid", text(entry.gid));
    add("status", entry.state.name().into());
    add("totalLength", text(total));
    add("completedLength", text(completed));
    add("uploadLength", text(0));
    add("downloadSpeed", text(speed));
    add("uploadSpeed", text(0));
    add("connections", text(connections));
    add("numPieces", text(pieces));
    add("pieceLength", text(piece));
    // Clients ask often, and most of them do not ask for this field.
    if pieces > 0 && is_wanted("bitfield") {
        let done = if completed >= total { pieces } else { completed / piece };
        add("bitfield", bitfield(done, pieces).into());
    }
    add("dir", state.value(entry, "dir").into());
    if is_wanted("files") {
        add("files", files(state, entry));
    }
    if entry.state.is_over() {
        let error = entry.error.as_ref();
        add("errorCode", text(entry.aria2_status()));
        add("errorMessage", error.map_or("", |(_, message)| message).into());
    }
    if !entry.followed_by.is_empty() {
        add("followedBy", gids(&entry.followed_by).into());
    }
    if let Some(gid) = entry.following {
        add("following", text(gid));
    }
    Value::Object(fields)
}

/// Returns the files of a download, as `aria2.getFiles` does. There is one.
pub fn files(state: &State, entry: &Entry) -> Value {
    let Current { completed, total, .. } = state.current(entry);
    json!([{
        "index": "1",
        "path": path(state, entry),
        "length": text(total.unwrap_or_default()),
        "completedLength": text(completed),
        "selected": "true",
        "uris": uris(entry),
    }])
}

/// The most pieces of a file. aria2 has no such limit. Without it, the bit field of a very large file would
/// be very long.
const PIECES_MOST: u64 = 1 << 16;

/// Returns the length of a piece. It is the length in the options, or a multiple of it if there would be too
/// many pieces.
fn piece_length(state: &State, entry: &Entry, total: u64) -> u64 {
    let piece = state.value(entry, "piece-length").parse().unwrap_or(1_u64).max(1);
    piece.saturating_mul(total.div_ceil(piece).div_ceil(PIECES_MOST).max(1))
}

/// Returns the URLs of a download without secrets, as `aria2.getUris` does.
pub fn uris(entry: &Entry) -> Value {
    let used = |at: usize| entry.state.is_over() || entry.state == EntryState::Active && at == 0;
    let status = |at| if used(at) { "used" } else { "waiting" };
    entry.shown_uris().enumerate().map(|(at, uri)| json!({ "uri": uri, "status": status(at) })).collect()
}

/// Returns the path of the file, as far as it is known.
fn path(state: &State, entry: &Entry) -> String {
    match (&entry.path, entry.options.get("out")) {
        (Some(path), _) => path.to_string_lossy().into_owned(),
        (None, Some(out)) => format!("{}/{out}", state.value(entry, "dir").trim_end_matches('/')),
        (None, None) => String::new(),
    }
}

/// Returns the first `done` of `all` bits as hexadecimal digits, the highest bit first. The last byte is
/// filled with zeros.
fn bitfield(done: u64, all: u64) -> String {
    (0..all.div_ceil(8)).fold(String::new(), |text, byte| {
        let bits = done.saturating_sub(byte * 8).min(8);
        text + &format!("{:02x}", 0xff_u16 << (8 - bits) & 0xff)
    })
}

fn text(value: impl ToString) -> Value {
    value.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_set_from_the_front() {
        for (done, all, expected) in [(0, 3, "00"), (3, 3, "e0"), (8, 9, "ff00"), (9, 9, "ff80"), (0, 0, "")]
        {
            assert_eq!(bitfield(done, all), expected, "{done} of {all}");
        }
    }
}
