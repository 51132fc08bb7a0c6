//! [`Facts`]: the facts about a file from a list or a document, in addition to its URLs and its options.
//!
//! Invariant: facts are stored and read again without a loss. A job with a fact that an entry cannot keep
//! is refused when it is added. A key of a list is left out only if it has no effect on the download.
//! Headers are never shown, because they may be secrets.

use crate::fault::Fault;
use crate::item::Item;
use crate::options::Options;
use downhaul_engine::core::job::{ChunkHashes, Headers, NamedBy};
use downhaul_engine::core::secret::Secret;
use downhaul_engine::{Algorithm, Destination, Digest, Error, ErrorKind, IfExists, Job, SafeName, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// The facts about a file from a list or a document. In the stored form, digests are hexadecimal.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Facts {
    /// The URLs that only a document names. No secret of a client is sent to them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    strange: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// The digests, such as `sha-256=...`, each with the place where it was found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    digests: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunks: Option<Chunks>,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<String>,
    /// Headers that the author of the list wrote beside the URLs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_exists: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    priority: i32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    /// A name from a line of a list of `--failed`. The file gets this name, unless the server names the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    url_name: Option<String>,
    /// True if the first URL was given without a scheme, and https was assumed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    assumed_https: bool,
}

/// The digests of all chunks of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chunks {
    length: u64,
    algorithm: String,
    /// The hexadecimal digits of all digests, one digest after the other.
    digests: String,
    from: String,
}

/// A header may be a password, so debug output shows no headers.
impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts").field("size", &self.size).finish_non_exhaustive()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

impl Facts {
    /// Reads facts that were stored. Returns `None` if this version does not understand them.
    pub fn from_json(value: &Value) -> Option<Facts> {
        Facts::deserialize(value).ok()
    }

    /// Returns the stored form.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Returns true if only a document names this URL of the download.
    pub fn is_strange(&self, uri: &str) -> bool {
        self.strange.iter().any(|one| one == uri)
    }

    /// Returns the priority that a list gives the file. Files with a higher number are downloaded first.
    pub fn priority(&self) -> i32 {
        self.priority
    }

    /// Adds the facts to a job.
    ///
    /// # Errors
    /// Returns a fault if two digests contradict each other, or if this version does not understand a fact.
    pub fn apply(&self, mut job: Job) -> Result<Job, Fault> {
        for (pair, from) in &self.digests {
            let digest = Digest::from_pair(pair).map_err(Fault::refused)?;
            job.expect(digest, from).map_err(Fault::refused)?;
        }
        let unknown =
            || Fault::refused("The list has a value that this version of downhaul does not understand.");
        if let Some(chunks) = &self.chunks {
            job.chunks = Some(chunks.read().ok_or_else(unknown)?);
        }
        if let Some(folder) = &self.folder {
            job.folder = Some(SafeName::from_person(folder).map_err(|why| Fault::refused(why.to_string()))?);
        }
        if let Some(name) = &self.url_name {
            let name = SafeName::from_person(name).map_err(|why| Fault::refused(why.to_string()))?;
            job.url_name = Some(name);
        }
        if let Some(what) = &self.if_exists {
            job.if_exists = Some(IfExists::from_name(what).ok_or_else(unknown)?);
        }
        for (name, value) in &self.headers {
            let (name, value) = Headers::check(name, value).map_err(Fault::refused)?;
            job.headers.add(name, value);
        }
        job.size = self.size;
        job.connections = [self.connections, job.connections].into_iter().flatten().min();
        job.priority = self.priority;
        job.notes.extend(self.notes.iter().cloned());
        job.assumed_https |= self.assumed_https;
        Ok(job)
    }

    /// Returns the folder that a list gives the file. It is below the folder of the download.
    pub fn folder(&self) -> Option<&str> {
        self.folder.as_deref()
    }
}

impl Chunks {
    fn of(chunks: &ChunkHashes) -> Chunks {
        Chunks {
            length: chunks.length,
            algorithm: chunks.algorithm.name().into(),
            digests: chunks.digests.iter().map(Digest::to_string).collect(),
            from: chunks.from.clone(),
        }
    }

    fn read(&self) -> Option<ChunkHashes> {
        let algorithm = Algorithm::from_name(&self.algorithm).filter(|_| self.length > 0)?;
        let digests = self.digests.as_bytes().chunks(algorithm.size() * 2);
        let digests = digests.map(|hex| Digest::from_hex(algorithm, std::str::from_utf8(hex).ok()?));
        let digests = digests.collect::<Option<_>>()?;
        Some(ChunkHashes { length: self.length, algorithm, digests, from: self.from.clone() })
    }
}

/// Returns the download for a job of a list or of a document.
///
/// # Errors
/// Returns a fault if a download of the daemon cannot keep a part of the job, such as a request body.
pub fn item_of(job: &Job) -> Result<Item, Fault> {
    let cannot = |what: &str| Err(Fault::refused(format!("A list for the daemon cannot {what}.")));
    if job.login_of.is_some() {
        return cannot("have `credentials`. Put the login into a header or into the URL");
    }
    if job.sends.is_some() || job.range.is_some() {
        return cannot("set the method, the body or the range of a request");
    }
    let mut options = Options::default();
    match &job.destination {
        Destination::Server => {}
        Destination::Name(name) => options.set("out", name.as_str())?,
        _ => return cannot("have a file name that is not below the folder"),
    }
    if let Some(rate) = job.limit_rate {
        options.set("max-download-limit", &rate.to_string())?;
    }
    let uris: Vec<String> = job.urls.iter().map(Url::to_string).collect();
    let is_document = job.named_by == NamedBy::Document;
    let pair = |digest: &Digest| format!("{}={digest}", digest.algorithm.name());
    let header = |(name, value): &(String, Secret)| (name.clone(), value.expose().to_string());
    let facts = Facts {
        strange: if is_document { uris.clone() } else { Vec::new() },
        size: job.size,
        digests: job.expected.iter().map(|one| (pair(&one.digest), one.from.clone())).collect(),
        chunks: job.chunks.as_ref().map(Chunks::of),
        folder: job.folder.as_ref().map(|folder| folder.as_str().to_string()),
        headers: job.headers.0.iter().map(header).collect(),
        connections: job.connections,
        if_exists: job.if_exists.map(|what| what.name().into()),
        priority: job.priority,
        notes: job.notes.clone(),
        url_name: job.url_name.as_ref().map(|name| name.as_str().to_string()),
        assumed_https: job.assumed_https,
    };
    let facts = Some(facts).filter(|facts| *facts != Facts::default());
    Ok(Item { uris, options, facts, fault: None })
}

/// Returns the download for an entry of a document. `job` is the result of reading the entry. If the entry
/// cannot be used, the reason is in [`Item::fault`].
///
/// # Errors
/// Returns a fault if the rest of the document cannot be read.
pub fn item_of_entry(job: Result<Box<Job>, Error>) -> Result<Item, Fault> {
    let (name, fault) = match job {
        Ok(job) => match item_of(&job) {
            Ok(item) => return Ok(item),
            Err(fault) => (job.destination.given_name(), fault),
        },
        Err(error) if error.kind == ErrorKind::ListUnreadable => return Err(error.into()),
        Err(error) => (Some(error.at.clone()), error.into()),
    };
    let mut item = Item { fault: Some(fault), ..Item::default() };
    // No file gets this name. Clients see the name, and clients of aria2 also see a path that ends with it.
    if let Some(name) = name.and_then(|name| SafeName::from_server(&name)) {
        item.options.set("out", name.as_str())?;
    }
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;
    use downhaul_engine::core::job::ByteRange;
    use downhaul_engine::core::list::metalink::Metalink;

    #[test]
    fn what_a_document_says_is_the_same_after_it_was_stored() {
        let (strong, other) = ("ab".repeat(32), "cd".repeat(20));
        let document = format!(
            r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="d/f"><size>5</size>
            <hash type="sha-256">{strong}</hash><hash type="sha-1">{other}</hash>
            <pieces length="3" type="sha-256"><hash>{strong}</hash><hash>{strong}</hash></pieces>
            <url>http://h/a</url><url>http://g/a</url></file></metalink>"#
        );
        let (_, job) = Metalink::new(document.into_bytes()).next().expect("a file");
        let job = job.expect("a job");
        let item = item_of(&job).expect("it can be kept");
        let facts = item.facts.expect("facts");
        assert_eq!(item.uris, ["http://h/a", "http://g/a"]);
        assert!(item.uris.iter().all(|uri| facts.is_strange(uri)) && !facts.is_strange("http://h/b"));
        let facts = Facts::from_json(&facts.to_json()).expect("readable");
        let again = facts.apply(Job::given("http://h/a").expect("a URL")).expect("no contradiction");
        assert_eq!((&again.chunks, again.size), (&job.chunks, Some(5)));
        assert_eq!(again.expected, job.expected);
        assert_eq!(item.options.get("out"), Some("d/f"));
    }

    #[test]
    fn the_name_in_a_line_of_failed_jobs_is_kept() {
        let line = br#"{"listed_by":"--failed","url":"http://h/a","url_name":"b (1)"}"#;
        let job = downhaul_engine::core::list::line(line).expect("readable").expect("a job");
        assert!(job.url_name.is_some());
        let facts = item_of(&job).expect("it can be kept").facts.expect("facts");
        let facts = Facts::from_json(&facts.to_json()).expect("readable");
        let again = facts.apply(Job::given("http://h/a").expect("a URL")).expect("no contradiction");
        assert_eq!(again.url_name, job.url_name);
    }

    #[test]
    fn a_part_of_a_file_is_refused() {
        let job = Job::given("http://h/a").expect("a URL").with_range(ByteRange { first: 5, last: None });
        let fault = item_of(&job).expect_err("it cannot be kept");
        let why = "A list for the daemon cannot set the method, the body or the range of a request.";
        assert_eq!(fault.message, why);
    }

    #[test]
    fn a_header_is_kept_and_not_shown() {
        let job = Job::given("http://h/a").expect("a URL").with_header("X-Key", "hush");
        let facts = item_of(&job).expect("it can be kept").facts.expect("facts");
        assert!(!format!("{facts:?}").contains("hush"));
        let again = facts.apply(Job::given("http://h/a").expect("a URL")).expect("no contradiction");
        assert!(again.headers == job.headers);
    }
}
