//! Reads JSON lines, such as `{"url": "...", "out": "...", "sha256": "..."}`. Unknown keys are passed on to
//! the events, but the values of keys such as `password` and the secrets in URLs are hidden. `header_keys`
//! reads the keys for headers, `option_keys` reads the keys for options, `required_keys` reads the required
//! size and the chunk hashes, and `left_over` reads the keys that only a list of `--failed` has.
//!
//! Invariant: if the name of a key suggests a digest and its value is a text, this value is used as a digest,
//! causes an error, or causes a note. There is one exception: if the job has a strong digest, no note is
//! made.

use super::addresses::Addresses;
use super::{bad, bare, header_keys, left_over, option_keys, required_keys};
use crate::digest::{Algorithm, Digest};
use crate::error::{Error, ErrorKind};
use crate::job::{Destination, Job, NamedBy, has_scheme};
use crate::lock_file;
use crate::name::SafeName;
use crate::show::{self, HIDDEN};
use crate::unique_keys;
use serde_json::{Map, Value};
use url::Url;

/// Keys whose value is a digest of any algorithm, or an object or an array with such digests. A value that is
/// a text names the algorithm. There is one exception: the text of `checksum` may be hexadecimal digits
/// alone, whose number tells the algorithm.
const ANY_ALGORITHM: [&str; 4] = ["checksum", "digest", "hash", "integrity"];

/// Keys whose value may have several digests. The value is an object with a key for each algorithm, as PyPI
/// writes it, or an array. A value that is a text is a single digest.
const SEVERAL: [&str; 3] = ["checksums", "digests", "hashes"];

/// Keys for the algorithm in an object that describes one digest.
const ALGORITHM_KEYS: [&str; 4] = ["algorithm", "algo", "type", "name"];
/// Keys for the digits in an object that describes one digest.
const DIGITS_KEYS: [&str; 5] = ["value", "digest", "hash", "checksum", "hex"];

/// Words in the names of keys whose values are secrets.
const SECRETS: [&str; 12] = [
    "authorization",
    "cookie",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "apikey",
    "privatekey",
    "credential",
    "accesstoken",
    "authtoken",
    "bearer",
];

/// Words that may surround the name of an algorithm in a key, as in `sha256sum` or `checksum_sha256`.
const AROUND: [&str; 6] = ["checksum", "digest", "hash", "sum", "hex", "file"];

/// Reads a trimmed line that begins with `{`. Returns `None` for the line of a lock file about a job that
/// failed ([`has_failed`]).
pub(super) fn parse(text: &str, addresses: &Addresses) -> Result<Option<Job>, Error> {
    let keys = match unique_keys::read(text.as_bytes()).map_err(|e| bad(e.to_string()))? {
        Value::Object(keys) => keys,
        _ => return Err(bad("it must be an object")),
    };
    if has_failed(&keys) { Ok(None) } else { job(keys, addresses).map(Some) }
}

/// Returns true if an object is the line of a lock file about a job that failed. Such a line is not a job of
/// a list.
pub(super) fn has_failed(keys: &Map<String, Value>) -> bool {
    let is_failed = keys.get("status").is_some_and(|status| status == "failed");
    is_failed && lock_file::take_keys(&mut keys.clone()).is_some()
}

pub(super) fn job(mut keys: Map<String, Value>, addresses: &Addresses) -> Result<Job, Error> {
    let options = option_keys::split(&mut keys);
    job_with(keys, options, addresses)
}

/// Returns the job that two objects describe together. `options` has the keys that are options of the job,
/// and `keys` has all other keys.
pub(super) fn job_with(
    mut keys: Map<String, Value>,
    options: Map<String, Value>,
    addresses: &Addresses,
) -> Result<Job, Error> {
    let is_recorded = lock_file::take_keys(&mut keys).is_some();
    let left_over = left_over::take(&mut keys)?;
    let no_rules = Addresses::default();
    let addresses = if left_over.is_some() { &no_rules } else { addresses };
    let mut job = Job { is_recorded, ..urls(&mut keys, addresses)? };
    // The URLs in a lock file lack their secrets. The user must add the secrets again before the files can be
    // downloaded.
    let lacks_secret = |url: &Url| {
        url.path().contains(&format!("={HIDDEN}")) || url.query().is_some_and(|query| query.contains(HIDDEN))
    };
    if job.urls.iter().any(lacks_secret) {
        return Err(bad(format!(
            "a secret was left out of the URL ({HIDDEN}): add it again, or give the complete URL"
        )));
    }
    job.destination = destination(&mut keys, &job)?;
    // A program that copies URLs from a document into a list marks the lines of these URLs with this key.
    match keys.remove("named_by") {
        None | Some(Value::Null) => {}
        Some(Value::String(by)) if by == "document" => job.named_by = NamedBy::Document,
        Some(_) => return Err(bad("`named_by` must be \"document\"")),
    }
    option_keys::apply(options, &mut job)?;
    if job.named_by == NamedBy::Document {
        option_keys::mark_as_of_a_document(&mut job)?;
    }
    header_keys::take(&mut keys, &mut job)?;
    required_keys::take(&mut keys, &mut job)?;
    take_digests(&mut keys, &mut job, "the list")?;
    keys.iter_mut().for_each(|(name, value)| hide(name, value));
    job.extra = keys;
    if let Some(left_over) = left_over {
        left_over.apply(&mut job);
    }
    Ok(job)
}

/// Takes the name of the file of a job out of an object. A lock file may have a name outside of the output
/// folder, because a run with `-o` can save its file there. Such a line fails with `list.file`, so that the
/// other lines can still be used. The error has the URL of the line as its place, because a new lock file
/// gets this place as the URL of the job.
fn destination(keys: &mut Map<String, Value>, job: &Job) -> Result<Destination, Error> {
    let name = match keys.remove("out") {
        None | Some(Value::Null) => return Ok(Destination::Server),
        Some(Value::String(name)) => name,
        Some(_) => return Err(bad("`out` must be a string")),
    };
    match SafeName::from_person(&name) {
        Ok(name) => Ok(Destination::Name(name)),
        Err(why) if job.is_recorded => Err(Error::new(
            ErrorKind::ListFile,
            show::url(&job.urls[0]),
            format!("its name {name} cannot be used: {why}"),
        )),
        Err(why) => Err(Error::new(ErrorKind::NameUnsafe, name, why)),
    }
}

/// Moves the digests of an object to its job. `from` is the place where the digests were found, in words for
/// the user.
pub(super) fn take_digests(keys: &mut Map<String, Value>, job: &mut Job, from: &str) -> Result<(), Error> {
    let mut unused = Vec::new();
    for name in keys.keys().cloned().collect::<Vec<_>>() {
        let value = keys.get(&name).unwrap_or(&Value::Null);
        let digests = match several(&name, value, &mut unused)? {
            Some(digests) => digests,
            None => digest(&name, Some(value))?.into_iter().collect(),
        };
        if digests.is_empty() && looks_like_a_digest(&name) && matches!(value, Value::String(_)) {
            unused.push(name.clone());
        }
        for digest in digests {
            keys.remove(&name);
            job.expect(digest, from).map_err(bad)?;
        }
    }
    // If the job has a strong digest, no note about other digests is needed. For example, PyPI states three
    // digests of each file, and downhaul supports only two of them.
    if !unused.is_empty() && !job.expected.iter().any(|one| one.digest.algorithm.is_strong()) {
        job.notes.push(format!("{from} has `{}`, which downhaul cannot verify", unused.join("`, `")));
    }
    Ok(())
}

/// Returns the digests of a key in [`ANY_ALGORITHM`] or [`SEVERAL`] whose value is an object or an array. For
/// a key in [`SEVERAL`] whose value is a text, returns the digest in this text. The names of unsupported
/// digests in an object are added to `unused`. Returns `None` for anything else.
///
/// # Errors
/// Returns an error if a text has no supported digest, if a digest in an object cannot be read, or if an
/// array has other values.
fn several(name: &str, value: &Value, unused: &mut Vec<String>) -> Result<Option<Vec<Digest>>, Error> {
    let bare = bare(name);
    let has_several = SEVERAL.contains(&bare.as_str());
    if !has_several && !ANY_ALGORITHM.contains(&bare.as_str()) {
        return Ok(None);
    }
    let mut digests = Vec::new();
    match value {
        Value::Object(object) => within_object(name, object, &mut digests, unused)?,
        Value::Array(all) => {
            for one in all {
                match one {
                    Value::String(text) => digests.push(pair(name, text)?),
                    Value::Object(object) => within_object(name, object, &mut digests, unused)?,
                    _ => return Err(bad(format!("`{name}` must have strings or objects"))),
                }
            }
        }
        Value::String(text) if has_several => digests.push(pair(name, text)?),
        _ => return Ok(None),
    }
    Ok(Some(digests))
}

/// Adds the digests in an object, such as `{"sha256": "..."}` or `{"algorithm": "sha256", "value": "..."}`,
/// to `digests`. The names of unsupported digests are added to `unused`. `name` is the key of the object.
fn within_object(
    name: &str,
    object: &Map<String, Value>,
    digests: &mut Vec<Digest>,
    unused: &mut Vec<String>,
) -> Result<(), Error> {
    let text = |keys: &[&str]| keys.iter().find_map(|key| object.get(*key)?.as_str());
    let mut all: Vec<(&str, &str)> = text(&ALGORITHM_KEYS).zip(text(&DIGITS_KEYS)).into_iter().collect();
    if all.is_empty() {
        for (key, value) in object {
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            for value in values.iter().filter(|value| !value.is_null()) {
                let text = value.as_str();
                all.push((key, text.ok_or_else(|| bad(format!("`{key}` in `{name}` must be a string")))?));
            }
        }
    }
    for (key, text) in all {
        match Algorithm::from_name(key).or_else(|| Algorithm::from_name(within(&bare(key)))) {
            Some(algorithm) => {
                let digest = Digest::from_text(algorithm, text.trim());
                digests.push(digest.ok_or_else(|| bad(format!("`{name}`: {}", algorithm.needs())))?);
            }
            None => unused.push(format!("{name}.{key}")),
        }
    }
    Ok(())
}

/// Reads a digest that names its algorithm, such as `sha256:HEX`. `name` is the key, for the error message.
fn pair(name: &str, text: &str) -> Result<Digest, Error> {
    Digest::from_pair(text).map_err(|why| bad(format!("`{name}`: {why}")))
}

/// Returns true if the name of a key suggests a digest, such as `sha`, `file_hash` or `md5-of-it`.
fn looks_like_a_digest(name: &str) -> bool {
    let bare = bare(name);
    let is_sha = bare
        .strip_prefix("sha")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit()));
    is_sha || ["md5", "blake", "digest", "checksum", "hash"].iter().any(|word| bare.contains(word))
}

/// The key of an array of URLs, which a JSON line may have in place of `url`.
pub(super) const URLS: &str = "urls";

/// Returns a job for the URLs in `url` or `urls`.
fn urls(keys: &mut Map<String, Value>, addresses: &Addresses) -> Result<Job, Error> {
    let urls = match (keys.remove("url"), keys.remove(URLS)) {
        (Some(url), None) => vec![url],
        (None, Some(Value::Array(urls))) => urls,
        _ => Vec::new(),
    };
    let needs = || bad("it needs `url` (a string) or `urls` (an array of strings)");
    let texts = urls.iter().map(|url| url.as_str().map(str::trim).ok_or_else(needs));
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let (first, mirrors) = texts.split_first().ok_or_else(needs)?;
    let mut job = addresses.job(first)?;
    mirrors.iter().try_for_each(|url| addresses.add_mirror(&mut job, url))?;
    Ok(job)
}

/// Hides the secrets in the value of an unknown key, and also the secrets within objects and arrays.
pub(super) fn hide(name: &str, value: &mut Value) {
    if is_for_a_secret(name, value) {
        *value = HIDDEN.into();
        return;
    }
    match value {
        Value::Object(keys) => keys.iter_mut().for_each(|(name, value)| hide(name, value)),
        Value::Array(all) => all.iter_mut().for_each(|value| hide(name, value)),
        Value::String(text) if has_scheme(text.trim()) => {
            let hides = |url: &Url| show::hides(url) || url.fragment().is_some_and(|part| part.contains('='));
            if let Some(url) = Url::parse(text).ok().filter(hides) {
                *text = show::url(&url);
            }
        }
        _ => {}
    }
}

/// Returns true if the name of an unknown key says that its value is a secret.
fn is_for_a_secret(name: &str, value: &Value) -> bool {
    let bare = bare(name).replace(' ', "");
    // The value may be a number of tokens, which is not a secret.
    let is_token = || match value {
        Value::String(text) => text.bytes().any(|byte| !byte.is_ascii_digit()),
        Value::Object(_) => true,
        _ => false,
    };
    SECRETS.iter().any(|word| bare.contains(word)) || bare.ends_with("token") && is_token()
}

/// Returns true if the value of a key is read as a digest, or if the name of the key suggests a digest.
pub(super) fn is_digest(name: &str) -> bool {
    is_readable_digest(name) || looks_like_a_digest(name)
}

/// Returns true if the value of a key is read as a digest, except for the keys in [`SEVERAL`].
pub(super) fn is_readable_digest(name: &str) -> bool {
    let bare = bare(name);
    Algorithm::from_name(name).or_else(|| Algorithm::from_name(within(&bare))).is_some()
        || ANY_ALGORITHM.contains(&bare.as_str())
}

/// See [`super::digest_size`].
pub(super) fn digest_size(name: &str) -> Option<usize> {
    let bare = bare(name);
    if let Some(algorithm) = Algorithm::from_name(name).or_else(|| Algorithm::from_name(within(&bare))) {
        return Some(algorithm.size());
    }
    let names_algorithm = ANY_ALGORITHM.contains(&bare.as_str()) || SEVERAL.contains(&bare.as_str());
    let uncheckable = Algorithm::is_uncheckable(name) || Algorithm::is_uncheckable(within(&bare));
    (names_algorithm || uncheckable).then_some(0)
}

/// Returns the digest in the value of a key, or `None` if the key is not for digests or has no value.
fn digest(name: &str, value: Option<&Value>) -> Result<Option<Digest>, Error> {
    let bare = bare(name);
    let algorithm = Algorithm::from_name(name).or_else(|| Algorithm::from_name(within(&bare)));
    let is_for_any = ANY_ALGORITHM.contains(&bare.as_str());
    let uncheckable = Algorithm::is_uncheckable(name) || Algorithm::is_uncheckable(within(&bare));
    if !is_for_any && !uncheckable && algorithm.is_none() {
        return Ok(None);
    }
    let text = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.trim(),
        Some(_) => return Err(bad(format!("`{name}` must be a string"))),
    };
    let digest = match algorithm {
        Some(algorithm) => Digest::from_text(algorithm, text).ok_or_else(|| {
            bad(format!("`{name}` must be {} hexadecimal digits, or base64", algorithm.size() * 2))
        })?,
        None if uncheckable => {
            return Err(bad(format!("`{name}` is not supported; use one of {}", Algorithm::names())));
        }
        None if bare == "checksum" => {
            Digest::from_given(text).map_err(|why| bad(format!("`{name}`: {why}")))?
        }
        // The value must name its algorithm, because forty digits alone may be the hash of a commit.
        None => pair(name, text)?,
    };
    Ok(Some(digest))
}

/// Returns a key without the words of [`AROUND`], such as `sha256` for `sha256sum`.
fn within(bare: &str) -> &str {
    let before = AROUND.iter().find_map(|word| bare.strip_prefix(word)).unwrap_or(bare);
    AROUND.iter().find_map(|word| before.strip_suffix(word)).unwrap_or(before)
}
