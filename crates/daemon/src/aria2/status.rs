//! Describes downloads with the fields of `aria2.tellStatus`. All numbers are texts. Sizes are in bytes.
//!
//! The byte ranges that are on the disk are known only while a download is active. While no range is known,
//! `bitfield` shows the received bytes as if they were the beginning of the file.

use crate::entry::{Entry, State as EntryState, gids};
use crate::state::{Current, State};
use serde_json::{Map, Value, json};
use std::iter;
use std::ops::Range;

/// Returns the fields of a download that have the names in `keys`. If `keys` is empty, returns all fields.
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
    // Clients call this method often, and most of them do not request this field, so it is made on request
    // only.
    if pieces > 0 && is_wanted("bitfield") {
        let whole: Vec<Range<u64>> = match state.ranges(entry.gid) {
            [] => iter::once(whole_pieces(&(0..completed), piece, total)).collect(),
            ranges => ranges.iter().map(|range| whole_pieces(range, piece, total)).collect(),
        };
        add("bitfield", bitfield(&whole, pieces).into());
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

/// Returns the files of a download in the form of `aria2.getFiles`. A download has exactly one file.
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

/// The highest number of pieces of a file. A piece is a part of a file that has one bit in the field
/// `bitfield`. aria2 has no such limit. With this limit, a bit field has at most 16,384 digits.
const PIECES_MOST: u64 = 1 << 16;

/// Returns the length of a piece. It is the length in the options, or a multiple of that length if there
/// would be too many pieces.
fn piece_length(state: &State, entry: &Entry, total: u64) -> u64 {
    let piece = state.value(entry, "piece-length").parse().unwrap_or(1_u64).max(1);
    piece.saturating_mul(total.div_ceil(piece).div_ceil(PIECES_MOST).max(1))
}

/// Returns the URLs of a download in the form of `aria2.getUris`. Secrets in the URLs are left out or hidden.
pub fn uris(entry: &Entry) -> Value {
    let used = |at: usize| entry.state.is_over() || entry.state == EntryState::Active && at == 0;
    let status = |at| if used(at) { "used" } else { "waiting" };
    entry.shown_uris().enumerate().map(|(at, uri)| json!({ "uri": uri, "status": status(at) })).collect()
}

/// Returns the path of the file, or an empty text if the path is not known.
fn path(state: &State, entry: &Entry) -> String {
    match (&entry.path, entry.options.get("out")) {
        (Some(path), _) => path.to_string_lossy().into_owned(),
        (None, Some(out)) => format!("{}/{out}", state.value(entry, "dir").trim_end_matches('/')),
        (None, None) => String::new(),
    }
}

/// Returns the pieces that are completely within a range. The last piece of a file may be shorter.
fn whole_pieces(range: &Range<u64>, piece: u64, total: u64) -> Range<u64> {
    let end = if range.end >= total { total.div_ceil(piece) } else { range.end / piece };
    range.start.div_ceil(piece)..end
}

/// Returns the pieces as bits in hexadecimal digits, the first piece in the highest bit. Bits of the last
/// byte that stand for no piece are zero.
fn bitfield(pieces: &[Range<u64>], all: u64) -> String {
    let mut bytes = vec![0_u8; usize::try_from(all.div_ceil(8)).unwrap_or_default()];
    for piece in pieces.iter().cloned().flatten() {
        if let Some(byte) = usize::try_from(piece / 8).ok().and_then(|at| bytes.get_mut(at)) {
            *byte |= 0x80 >> (piece % 8);
        }
    }
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn text(value: impl ToString) -> Value {
    value.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_of_whole_pieces_are_set() {
        for (pieces, all, expected) in [
            (&[][..], 3, "00"),
            (&[(0, 3)], 3, "e0"),
            (&[(0, 8)], 9, "ff00"),
            (&[(0, 9)], 9, "ff80"),
            (&[], 0, ""),
            (&[(1, 2), (8, 9)], 9, "4080"),
        ] {
            let ranges: Vec<Range<u64>> = pieces.iter().map(|&(from, to)| from..to).collect();
            assert_eq!(bitfield(&ranges, all), expected, "{pieces:?} of {all}");
        }
        for (range, pieces) in [(0..10, 0..1), (5..30, 1..3), (25..35, 3..4), (11..29, 2..2)] {
            assert_eq!(whole_pieces(&range, 10, 35), pieces, "{range:?}");
        }
    }
}
