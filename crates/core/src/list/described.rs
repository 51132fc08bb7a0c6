//! Reads documents that describe a set of files: `datapackage.json` of Frictionless Data, and
//! `ro-crate-metadata.json` of RO-Crate.
//!
//! Someone else may have written such a document, so its jobs have [`NamedBy::Document`], and its names are
//! made safe or are refused. The path of a file in the document may be relative to the URL of the document.
//!
//! Invariant: no file name and no error contains the query of a URL, because the query may have a secret.

use super::addresses::Addresses;
use super::{bad, jsonl};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::job::{Destination, Job, NamedBy, parse_url};
use crate::name::{SafeName, unescaped};
use crate::show;
use crate::unique_keys;
use serde_json::{Map, Value};

/// The keys whose values are arrays with descriptions of files: the first in a data package, and the second
/// in an RO-Crate.
const KEYS: [&str; 2] = ["\"resources\"", "\"@graph\""];

/// The longest document that is read, in bytes. The description of a file has a few hundred bytes, so a
/// document may describe 100,000 files.
pub const LONGEST: usize = 64 * 1024 * 1024;

/// Returns true if a text seems to be the beginning of a data package or an RO-Crate: an object with the key
/// `resources` or `@graph`, whose value is an array.
pub fn begins(beginning: &str) -> bool {
    let text = beginning.trim_start();
    let (mut depth, mut in_text, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if std::mem::take(&mut is_escaped) => {}
            b'\\' if in_text => is_escaped = true,
            b'"' => {
                in_text = !in_text;
                let is_key = |key: &str| {
                    let rest = text.get(at..).and_then(|rest| rest.strip_prefix(key));
                    let value = rest.and_then(|rest| rest.trim_start().strip_prefix(':'));
                    value.is_some_and(|value| value.trim_start().starts_with('['))
                };
                if in_text && depth == 1 && KEYS.into_iter().any(is_key) {
                    return true;
                }
            }
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ if depth == 0 && !byte.is_ascii_whitespace() => return false,
            _ => {}
        }
    }
    false
}

/// Returns the jobs of a data package or an RO-Crate.
///
/// # Errors
/// Returns `list.line` if the text is not JSON, has a key twice in one object, or is neither a data package
/// nor an RO-Crate.
pub fn jobs(document: &[u8], addresses: &Addresses) -> Result<Vec<Result<Job, Error>>, Error> {
    let document = unique_keys::read(document).map_err(|e| bad(e.to_string()))?;
    let list = |key: &str| document.get(key).and_then(Value::as_array);
    match (list("resources"), list("@graph")) {
        (Some(resources), _) => {
            let numbered = (1..).zip(resources);
            Ok(numbered.flat_map(|(number, one)| resource(number, one, addresses)).collect())
        }
        (None, Some(graph)) => Ok(graph.iter().filter_map(|one| entity(one, addresses)).collect()),
        (None, None) => Err(bad("it has neither `resources` nor `@graph`")),
    }
}

/// Returns the jobs of a data resource (Data Package, version 2). Its data may be divided into several files.
/// The digest and the size of the resource are used only if it has a single file.
fn resource(number: u64, resource: &Value, addresses: &Addresses) -> Vec<Result<Job, Error>> {
    let named = |error: Error| Error { detail: format!("resource {number}: {}", error.detail), ..error };
    let wrong = |why: &str| Err(Error::new(ErrorKind::ListFile, format!("resource {number}"), why));
    let paths = match resource.get("path").or_else(|| resource.get("url")) {
        Some(Value::Array(paths)) if !paths.is_empty() => paths.as_slice(),
        Some(path) if path.is_string() => std::slice::from_ref(path),
        // The resource contains its data, so there is no file to download.
        None if resource.get("data").is_some() => return Vec::new(),
        None => return vec![wrong("it has no `path`, no `url` and no `data`")],
        Some(_) => return vec![wrong("`path` must be a string or an array of strings")],
    };
    let is_single = paths.len() == 1;
    let one = |path: &Value| {
        let Some(path) = path.as_str() else {
            return wrong("`path` must be a string or an array of strings");
        };
        let mut job = at(path, addresses).map_err(named)?;
        if is_single {
            job.size = resource.get("bytes").and_then(Value::as_u64);
            if let Some(hash) = resource.get("hash").and_then(Value::as_str) {
                // According to the standard, a hash without an algorithm is an MD5. If such a hash has more
                // digits than an MD5, the number of its digits tells the algorithm.
                let digest =
                    if hash.contains(':') { Digest::from_pair(hash) } else { Digest::from_given(hash) };
                let expected = digest.and_then(|digest| job.expect(digest, "the data package"));
                let wrong = |why| Error::new(ErrorKind::ListFile, shown(path), format!("`hash`: {why}"));
                expected.map_err(|why| named(wrong(why)))?;
            }
        }
        Ok(job)
    };
    paths.iter().map(one).collect()
}

/// Returns the job of an entity, if the entity is a file on the web (RO-Crate 1.1, section "Data Entities").
fn entity(entity: &Value, addresses: &Addresses) -> Option<Result<Job, Error>> {
    let keys = entity.as_object()?;
    let types = keys.get("@type")?;
    let is =
        |name: &str| types == name || types.as_array().is_some_and(|all| all.iter().any(|one| one == name));
    if !is("File") && !is("MediaObject") {
        return None;
    }
    let text = |key: &str| keys.get(key).and_then(Value::as_str);
    let id = text("@id")?;
    // An identifier that begins with `#` names a part of the RO-Crate, and not a file on the web.
    if id.starts_with('#') {
        return None;
    }
    let content = keys.get("contentUrl").and_then(first_text).filter(|_| !is_absolute(id));
    let address = content.unwrap_or(id);
    Some(at(address, addresses).and_then(|mut job| {
        let size = keys.get("contentSize");
        job.size = size.and_then(|size| size.as_u64().or_else(|| size.as_str()?.trim().parse().ok()));
        if !is_absolute(id) {
            // The identifier is a URI, in which blanks are encoded.
            job = named(job, &unescaped(without_query(id)), id.contains('?'))?;
        }
        let digests = jsonl::take_digests(&mut Map::clone(keys), &mut job, "the RO-Crate");
        digests.map_err(|error| Error { kind: ErrorKind::ListFile, at: shown(id), ..error })?;
        Ok(job)
    }))
}

/// Returns the text in a value. For an object, this text is its `@id`. For an array, it is the text in the
/// first element.
fn first_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Object(object) => object.get("@id")?.as_str(),
        Value::Array(all) => all.first().and_then(first_text),
        _ => None,
    }
}

/// Returns a job for an absolute URL, or for a path that is relative to the document. Such a path also gives
/// the file its name or its folder ([`named`]).
fn at(address: &str, addresses: &Addresses) -> Result<Job, Error> {
    let address = &*addresses.replaced(address);
    let mut job = if is_absolute(address) {
        Job::given(address)?
    } else {
        let lacks = "its path is relative. Give the URL of the document with --base";
        let base =
            addresses.base().ok_or_else(|| Error::new(ErrorKind::UrlInvalid, shown(address), lacks))?;
        let invalid = |e: url::ParseError| Error::new(ErrorKind::UrlInvalid, shown(address), e.to_string());
        let url = parse_url(base.join(address).map_err(invalid)?.as_str())?;
        named(Job::with_digests(url)?, without_query(address), address.contains('?'))?
    };
    job.named_by = NamedBy::Document;
    Ok(job)
}

fn is_absolute(address: &str) -> bool {
    crate::job::has_scheme(address)
}

/// Returns an address for an error message, without its secrets.
fn shown(address: &str) -> String {
    parse_url(address).map_or_else(|_| show::not_a_url(address), |url| show::url(&url))
}

/// Returns an address without its query and its fragment.
fn without_query(address: &str) -> &str {
    address.split(['?', '#']).next().unwrap_or_default()
}

/// Gives the file of a job the name in a relative path. Several addresses may have the same path and differ
/// only in their queries. Therefore, if the address has a query, only the folder of the path is used, and the
/// server or the URL gives the name.
fn named(mut job: Job, path: &str, has_query: bool) -> Result<Job, Error> {
    let path = path.trim_start_matches("./");
    let safe = |path: &str| {
        SafeName::from_publisher(path).map_err(|why| Error::new(ErrorKind::NameUnsafe, path, why))
    };
    (job.destination, job.folder) = match path.rsplit_once('/') {
        Some((folder, _)) if has_query => (Destination::Server, Some(safe(folder)?)),
        None if has_query || path.is_empty() => (Destination::Server, None),
        _ => (Destination::Name(safe(path)?), None),
    };
    Ok(job)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Naming;
    use proptest::prelude::*;
    use url::Url;

    /// Returns the URL, the name, the size and the number of digests of each job.
    fn read(document: &str, base: &str) -> Vec<(String, String, Option<u64>, usize)> {
        assert!(begins(document));
        let addresses = Addresses::new(Vec::new(), Url::parse(base).ok());
        let jobs = jobs(document.as_bytes(), &addresses).expect("a document");
        let shown = |job: Job| {
            assert_eq!(job.named_by, NamedBy::Document);
            let name = match &job.destination {
                Destination::Name(name) => name.to_string(),
                _ => String::new(),
            };
            (job.urls[0].to_string(), name, job.size, job.expected.len())
        };
        jobs.into_iter().map(|job| shown(job.expect("a job"))).collect()
    }

    #[test]
    fn the_files_of_a_data_package_are_read() {
        let document = r#"{"name": "set", "resources": [
            {"name": "a", "path": "https://h/a.csv", "bytes": 3, "hash": "sha256:SHA256"},
            {"name": "b", "path": "data/b.csv", "hash": "MD5"},
            {"name": "c", "path": ["c1.csv#md5=MD5", "c2.csv"], "bytes": 9, "hash": "MD5"},
            {"name": "inline", "data": [1]}
        ]}"#;
        let document = document.replace("SHA256", &"ab".repeat(32)).replace("MD5", &"cd".repeat(16));
        assert_eq!(
            read(&document, "https://h/set/datapackage.json"),
            [
                ("https://h/a.csv".into(), String::new(), Some(3), 1),
                ("https://h/set/data/b.csv".into(), "data/b.csv".into(), None, 1),
                ("https://h/set/c1.csv".into(), "c1.csv".into(), None, 1),
                ("https://h/set/c2.csv".into(), "c2.csv".into(), None, 0),
            ]
        );
    }

    #[test]
    fn the_files_of_an_ro_crate_are_read() {
        let document = r#"{"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": [
            {"@id": "./", "@type": "Dataset"},
            {"@id": "https://h/a.bin", "@type": "File", "contentSize": "12", "sha256": "SHA256", "name": "A"},
            {"@id": "data/b.bin", "@type": ["File", "SoftwareSourceCode"], "contentSize": 7},
            {"@id": "c.bin", "@type": "File", "contentUrl": "https://m/x/c"}
        ]}"#;
        let document = document.replace("SHA256", &"ab".repeat(32));
        assert_eq!(
            read(&document, "https://h/set/ro-crate-metadata.json"),
            [
                ("https://h/a.bin".into(), String::new(), Some(12), 1),
                ("https://h/set/data/b.bin".into(), "data/b.bin".into(), Some(7), 0),
                ("https://m/x/c".into(), "c.bin".into(), None, 0),
            ]
        );
    }

    #[test]
    fn the_query_of_an_address_is_in_no_name_and_in_no_error() {
        for (document, base) in [
            (r#"{"resources":[{"path":"https://h/a?sig=hush","hash":"sha256:zz"}]}"#, None),
            (r#"{"resources":[{"path":"https://u:hush@h/a;token=hush","hash":"sha256:zz"}]}"#, None),
            (r#"{"resources":[{"path":"a.csv?token=hush"}]}"#, None),
            (r#"{"resources":[{"path":"../a.csv?token=hush"}]}"#, Some("https://h/d/")),
            (r#"{"resources":[{"path":"a.csv?token=hush","hash":"sha256:zz"}]}"#, Some("https://h/d/")),
            (r#"{"resources":[{"path":"//[?token=hush"}]}"#, Some("https://h/d/")),
            (r#"{"@graph":[{"@id":"https://h/a?sig=hush","@type":"File","sha256":"zz"}]}"#, None),
            (r#"{"@graph":[{"@id":"../a?sig=hush","@type":"File"}]}"#, Some("https://h/d/")),
        ] {
            let addresses = Addresses::new(Vec::new(), base.and_then(|base| Url::parse(base).ok()));
            let mut all = jobs(document.as_bytes(), &addresses).expect("a document");
            let error = all.remove(0).expect_err(document).to_string();
            assert!(!error.contains("hush"), "{error}");
        }
        for (document, expected) in [
            (r#"{"resources":[{"path":"d/a.csv?token=hush"}]}"#, "d/a.csv"),
            (r#"{"resources":[{"path":"?id=5"}]}"#, "get"),
            (r#"{"@graph":[{"@id":"a%20b.csv#x","@type":"File"}]}"#, "a b.csv"),
            (r#"{"@graph":[{"@id":"d/a%20b.csv?token=hush#x","@type":"File"}]}"#, "d/a b.csv"),
        ] {
            let addresses = Addresses::new(Vec::new(), Url::parse("https://h/get").ok());
            let job = jobs(document.as_bytes(), &addresses).expect("a document").remove(0).expect("a job");
            let name = Naming::default().name_for(&job, None).expect("a name");
            assert_eq!(name.as_str(), expected, "{document}");
            assert_eq!(job.destination == Destination::Server, document.contains('?'));
        }
    }

    #[test]
    fn unusable_values_of_a_document_are_errors() {
        let one = |document: &str| {
            let all = jobs(document.as_bytes(), &Addresses::default()).and_then(|mut all| all.remove(0));
            all.expect_err(document).to_string()
        };
        assert!(one(r#"{"resources":[{"path":"a.csv"}]}"#).contains("--base"));
        assert!(one(r#"{"resources":[{"path":"http://h/a","hash":"sha256:zz"}]}"#).contains("`hash`"));
        assert!(one(r#"{"resources":[{"path":"ftp://h/a"}]}"#).contains("ftp"));
        assert!(one("{}").contains("neither"));
        for path in ["5", "[]", "null", "[5]", "\"../../x\"", "\"mailto:a@b\""] {
            let document =
                format!(r#"{{"resources":[{{"path":"http://h/a"}},{{"name":"b","path":{path}}}]}}"#);
            let addresses = Addresses::new(Vec::new(), Url::parse("http://h/d/").ok());
            let all = jobs(document.as_bytes(), &addresses).expect("a document");
            let [Ok(_), Err(error)] = &all[..] else { panic!("{path}: {all:?}") };
            assert!(error.to_string().contains("resource 2"), "{path}: {error}");
        }
        assert!(!begins(r#"{"url":"http://h/a","resources":1}"#) && !begins("http://h/a"));
        assert!(begins(r#"{"url":"http://h/a","x":{"resources":[1]},"resources" : [{"path":"a"}]}"#));
        assert!(!begins(r#"{"url":"http://h/a","x":{"resources":[1]}}"#));
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "\\PC{0,80}") {
            begins(&text);
            let _ = jobs(text.as_bytes(), &Addresses::default());
        }
    }
}
