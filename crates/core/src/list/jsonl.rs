//! `{"url": "...", "out": "...", "sha256": "..."}`: a JSON object a line. Other keys are passed through.

use crate::digest::{Algorithm, Digest, Expected};
use crate::error::{Error, Kind};
use crate::job::{self, JobSpec, Target};
use crate::name::SafeName;
use crate::show::HIDDEN;
use serde_json::{Map, Value};
use url::Url;

/// Digests that lists may name and that cannot be checked: taking them for a remark would let a wrong file
/// pass.
const UNCHECKABLE: &[&str] = &["sha224", "sha3256", "sha3512", "blake2", "blake2s", "hash", "digest"];

/// Reads a trimmed line that begins with `{`.
pub(super) fn parse(text: &str) -> Result<JobSpec, Error> {
    let mut keys: Map<String, Value> = serde_json::from_str(text).map_err(|e| bad(e.to_string()))?;
    let urls = match (keys.remove("url"), keys.remove("urls")) {
        (Some(Value::String(url)), None) => vec![job::parse_given(url.trim())?],
        (None, Some(Value::Array(urls))) if !urls.is_empty() => {
            let texts = urls.iter().map(|url| url.as_str().ok_or_else(|| bad("`urls` must hold texts")));
            texts.map(|text| job::parse_given(text?.trim())).collect::<Result<_, _>>()?
        }
        _ => return Err(bad("it needs `url` (a text) or `urls` (a list of texts)")),
    };
    let assumed_https = urls.first().is_some_and(|(_, assumed)| *assumed);
    let urls: Vec<Url> = urls.into_iter().map(|(url, _)| url).collect();
    // A record has no secrets: whoever wants the file again must put them back.
    if urls.iter().any(|url: &Url| url.query().is_some_and(|query| query.contains(HIDDEN))) {
        return Err(bad(format!(
            "a secret was left out of its URL ({HIDDEN}): put it back, or give the URL anew"
        )));
    }
    let target = match keys.remove("out") {
        None | Some(Value::Null) => Target::Server,
        Some(Value::String(name)) => {
            Target::Name(SafeName::from_person(&name).map_err(|why| Error::new(Kind::NameUnsafe, name, why))?)
        }
        Some(_) => return Err(bad("`out` must be a text")),
    };
    let mut expected = match keys.remove("checksum") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(pair)) => {
            let digest = Digest::from_pair(&pair).map_err(|why| bad(format!("`checksum`: {why}")))?;
            vec![Expected { digest, from: "the list".into() }]
        }
        Some(_) => return Err(bad("`checksum` must be a text: ALGORITHM:HEX")),
    };
    let digests: Vec<(String, Algorithm)> =
        keys.keys().filter_map(|key| Some((key.clone(), Algorithm::from_name(key)?))).collect();
    for (name, algorithm) in digests {
        let digest = match keys.remove(&name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(hex)) => Digest::from_hex(algorithm, hex.trim()),
            Some(_) => None,
        };
        let digest = digest
            .ok_or_else(|| bad(format!("`{name}` must be {} hexadecimal digits", algorithm.size() * 2)))?;
        expected.push(Expected { digest, from: "the list".into() });
    }
    if let Some(name) =
        keys.keys().find(|key| UNCHECKABLE.contains(&key.replace('-', "").to_ascii_lowercase().as_str()))
    {
        return Err(bad(format!("`{name}` cannot be checked; {} can", Algorithm::names())));
    }
    Ok(JobSpec { urls, assumed_https, target, expected, pieces: None, size: None, extra: keys })
}

fn bad(why: impl Into<String>) -> Error {
    Error::new(Kind::ListLine, "", why)
}
