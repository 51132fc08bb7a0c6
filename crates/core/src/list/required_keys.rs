//! Reads and writes two keys of a JSON line: `required_size` and `chunk_hashes`. The downloaded file must
//! match their values. The list that `--failed` writes has these keys.
//!
//! Invariant: each such key is applied to the job or causes an error, unless its value is `null`. Such a key
//! is never copied to events.

use super::{bad, bare};
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::job::{ChunkHashes, Job};
use serde_json::{Map, Value};

const SIZE: &str = "required_size";
const CHUNKS: &str = "chunk_hashes";
/// The key within `chunk_hashes` for the length of a chunk in bytes. The other key within `chunk_hashes` is
/// the name of an algorithm.
const LENGTH: &str = "length";

/// Returns the keys `required_size` and `chunk_hashes` for a job that has these requirements.
pub fn of(job: &Job) -> Map<String, Value> {
    let size = job.size.map(|size| (SIZE.into(), size.into()));
    let chunks = job.chunks.as_ref().map(|chunks| {
        let digests: Value = chunks.digests.iter().map(ToString::to_string).collect();
        let object = [(LENGTH, chunks.length.into()), (chunks.algorithm.name(), digests)];
        (CHUNKS.into(), object.into_iter().map(|(key, value)| (key.to_string(), value)).collect())
    });
    size.into_iter().chain(chunks).collect()
}

/// Moves the size and the chunk hashes from the keys of a line to the job of the line. In a table, the values
/// of both keys are strings.
pub(super) fn take(keys: &mut Map<String, Value>, job: &mut Job) -> Result<(), Error> {
    let number = |value: &Value| match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64(),
    };
    if let Some(size) = remove(keys, SIZE).filter(|size| !size.is_null()) {
        let needs = || bad(format!("`{SIZE}` must be a number of bytes"));
        job.size = Some(number(&size).ok_or_else(needs)?);
    }
    if let Some(chunks) = remove(keys, CHUNKS).filter(|chunks| !chunks.is_null()) {
        let read = match &chunks {
            Value::String(text) => serde_json::from_str(text).ok().as_ref().and_then(chunk_hashes),
            chunks => chunk_hashes(chunks),
        };
        let needs = || {
            let form = format!("{{\"{LENGTH}\": BYTES, \"sha256\": [HEX, ...]}}");
            bad(format!("`{CHUNKS}` must have the form {form}, with a strong algorithm or SHA-1"))
        };
        job.chunks = Some(read.ok_or_else(needs)?);
    }
    match keys.keys().find(|key| is_key(key)) {
        Some(again) => Err(bad(format!("`{again}` is given twice"))),
        None => Ok(()),
    }
}

/// Returns true if a key is `required_size` or `chunk_hashes`. Case, `-` and `_` do not matter.
pub(super) fn is_key(key: &str) -> bool {
    [SIZE, CHUNKS].iter().any(|own| bare(key) == bare(own))
}

fn remove(keys: &mut Map<String, Value>, own: &str) -> Option<Value> {
    let key = keys.keys().find(|key| bare(key) == bare(own)).cloned()?;
    keys.remove(&key)
}

/// Reads chunk hashes. Returns `None` if the value is malformed. As in a Metalink file, the algorithm must be
/// strong or SHA-1.
fn chunk_hashes(value: &Value) -> Option<ChunkHashes> {
    let object = value.as_object()?;
    let length = object.get(LENGTH)?.as_u64().filter(|length| *length > 0)?;
    let mut others = object.iter().filter(|(key, _)| *key != LENGTH);
    let (Some((name, digests)), None) = (others.next(), others.next()) else { return None };
    let is_usable = |one: &Algorithm| one.is_strong() || *one == Algorithm::Sha1;
    let algorithm = Algorithm::from_name(name).filter(is_usable)?;
    let digest = |hex: &Value| Digest::from_hex(algorithm, hex.as_str()?);
    let digests: Vec<Digest> = digests.as_array()?.iter().map(digest).collect::<Option<_>>()?;
    (!digests.is_empty()).then(|| ChunkHashes { length, algorithm, digests, from: "the list".into() })
}

#[cfg(test)]
mod tests {
    use crate::list::line;

    #[test]
    fn a_requirement_that_cannot_be_read_is_an_error() {
        let sha1 = "ab".repeat(20);
        let read = |keys: &str| line(format!(r#"{{"url":"http://h/a",{keys}}}"#).as_bytes());
        let good = format!(r#""required-size":12,"chunkHashes":{{"length":4,"sha1":["{sha1}"]}}"#);
        let job = read(&good).expect("a line").expect("a job");
        assert_eq!((job.size, job.chunks.map(|one| one.digests.len())), (Some(12), Some(1)));
        assert!(job.extra.is_empty());
        for bad in [
            r#""required_size":-1"#.into(),
            r#""required_size":1,"requiredSize":2"#.into(),
            r#""required-size":null,"required_size":12"#.into(),
            r#""required_size":"big""#.into(),
            r#""chunk_hashes":5"#.into(),
            r#""chunk_hashes":{"length":4}"#.into(),
            format!(r#""chunk_hashes":{{"length":0,"sha1":["{sha1}"]}}"#),
            r#""chunk_hashes":{"length":4,"sha1":[]}"#.into(),
            format!(r#""chunk_hashes":{{"length":4,"sha256":["{sha1}"]}}"#),
            format!(r#""chunk_hashes":{{"length":4,"md5":["{}"]}}"#, "ab".repeat(16)),
            format!(r#""chunk_hashes":{{"length":4,"sha1":["{sha1}"],"sha256":[]}}"#),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }
}
