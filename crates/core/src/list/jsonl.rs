//! Reads JSON lines: `{"url": "...", "out": "...", "sha256": "..."}`. Unknown keys are passed on to the
//! events.

use crate::digest::{Algorithm, Digest};
use crate::error::{Error, ErrorKind};
use crate::job::{Destination, Job};
use crate::name::SafeName;
use crate::show::HIDDEN;
use serde_json::{Map, Value};
use url::Url;

/// Keys whose value is a digest that names its algorithm.
const ANY_ALGORITHM: [&str; 4] = ["checksum", "digest", "hash", "integrity"];

/// Words that may be around the name of an algorithm in a key: `sha256sum`, `md5Hash`, `checksum_sha256`.
const AROUND: [&str; 5] = ["checksum", "digest", "hash", "sum", "hex"];

/// Reads a trimmed line that begins with `{`.
pub(super) fn parse(text: &str) -> Result<Job, Error> {
    let mut keys: Map<String, Value> = serde_json::from_str(text).map_err(|e| bad(e.to_string()))?;
    let mut job = urls(&mut keys)?;
    // A lock file has no secrets. The person must put them back before the file can be downloaded again.
    if job.urls.iter().any(|url: &Url| url.query().is_some_and(|query| query.contains(HIDDEN))) {
        return Err(bad(format!(
            "a secret was left out of its URL ({HIDDEN}): put it back, or give the URL anew"
        )));
    }
    job.destination = match keys.remove("out") {
        None | Some(Value::Null) => Destination::Server,
        Some(Value::String(name)) => Destination::Name(
            SafeName::from_person(&name).map_err(|why| Error::new(ErrorKind::NameUnsafe, name, why))?,
        ),
        Some(_) => return Err(bad("`out` must be a text")),
    };
    for name in keys.keys().cloned().collect::<Vec<_>>() {
        if let Some(digest) = digest(&name, keys.get(&name))? {
            keys.remove(&name);
            job.expect(digest, "the list").map_err(bad)?;
        }
    }
    job.extra = keys;
    Ok(job)
}

/// Returns a job for the URLs in `url` or `urls`.
fn urls(keys: &mut Map<String, Value>) -> Result<Job, Error> {
    let urls = match (keys.remove("url"), keys.remove("urls")) {
        (Some(url), None) => vec![url],
        (None, Some(Value::Array(urls))) => urls,
        _ => Vec::new(),
    };
    let needs = || bad("it needs `url` (a text) or `urls` (a list of texts)");
    let texts = urls.iter().map(|url| url.as_str().map(str::trim).ok_or_else(needs));
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let (first, mirrors) = texts.split_first().ok_or_else(needs)?;
    let mut job = Job::given(first)?;
    mirrors.iter().try_for_each(|url| job.add_mirror(url))?;
    Ok(job)
}

/// Returns the digest in the value of a key, or `None` if the key is not for digests or has no value.
fn digest(name: &str, value: Option<&Value>) -> Result<Option<Digest>, Error> {
    let bare = name.replace(['-', '_'], "").to_ascii_lowercase();
    let algorithm = Algorithm::from_name(name).or_else(|| Algorithm::from_name(within(&bare)));
    let is_for_any = ANY_ALGORITHM.contains(&bare.as_str());
    let uncheckable = Algorithm::is_uncheckable(name) || Algorithm::is_uncheckable(within(&bare));
    if !is_for_any && !uncheckable && algorithm.is_none() {
        return Ok(None);
    }
    let text = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.trim(),
        Some(_) => return Err(bad(format!("`{name}` must be a text"))),
    };
    let digest = match algorithm {
        Some(algorithm) => Digest::from_text(algorithm, text)
            .ok_or_else(|| bad(format!("`{name}` must be {} hexadecimal digits", algorithm.size() * 2)))?,
        None if uncheckable => {
            return Err(bad(format!("`{name}` cannot be checked; {} can", Algorithm::names())));
        }
        None if bare == "checksum" => {
            Digest::from_given(text).map_err(|why| bad(format!("`{name}`: {why}")))?
        }
        // Without an algorithm, forty digits may be a commit.
        None => Digest::from_pair(text).map_err(|why| bad(format!("`{name}`: {why}")))?,
    };
    Ok(Some(digest))
}

/// Returns a key without the words around the name of an algorithm.
fn within(bare: &str) -> &str {
    let before = AROUND.iter().find_map(|word| bare.strip_prefix(word)).unwrap_or(bare);
    AROUND.iter().find_map(|word| before.strip_suffix(word)).unwrap_or(before)
}

fn bad(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::ListLine, "", why)
}
