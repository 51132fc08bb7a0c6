//! Divides the jobs of a list among several runs, such as the tasks of a cluster (`--shard K/N`).
//!
//! Invariant: every job belongs to exactly one of the N shards. While N and `--shard-by` stay the same, a job
//! stays in its shard, on every machine and in every version of downhaul. Lines that are appended to the list
//! do not move a job to another shard.

use crate::digest::Expected;
use crate::job::{ByteRange, Destination, Job, Sends, Url};

/// The property of a job that decides to which shard the job belongs (`--shard-by`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardBy {
    /// A hash of the first URL and the given name of the file.
    Job,
    /// The position of the job in the list.
    Line,
    /// A hash of the host in the first URL, so that one run downloads all files of a host.
    Host,
}

impl ShardBy {
    /// Returns the word for this property on the command line and in the file about a finished shard.
    pub fn name(self) -> &'static str {
        match self {
            ShardBy::Job => "job",
            ShardBy::Line => "line",
            ShardBy::Host => "host",
        }
    }
}

/// One of several shards of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: u64,
    of: u64,
    by: ShardBy,
}

impl Shard {
    /// Returns the shard with this number, from 1 to `of`. Returns `None` for other numbers.
    pub fn new(number: u64, of: u64, by: ShardBy) -> Option<Shard> {
        (1..=of).contains(&number).then_some(Shard { number, of, by })
    }

    /// Returns the number of the shard, from 1 on.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns how many shards the list is divided into.
    pub fn of(&self) -> u64 {
        self.of
    }

    /// Returns the property of a job that decides to which shard the job belongs.
    pub fn by(&self) -> ShardBy {
        self.by
    }

    /// Returns true if an entry of a list belongs to this shard. `position` is the number of entries before
    /// this one in the list. `job` is the job of the entry, or `None` if the entry has a mistake. The
    /// position of such an entry decides to which shard it belongs.
    pub fn has(&self, position: u64, job: Option<&Job>) -> bool {
        let value = match (self.by, job) {
            (ShardBy::Line, _) | (_, None) => position,
            (ShardBy::Job, Some(job)) => number(hash_of(job)),
            (ShardBy::Host, Some(job)) => {
                let host = job.urls.first().and_then(|url| url.host_str()).unwrap_or_default();
                number(blake3::hash(host.as_bytes()))
            }
        };
        value % self.of == self.number - 1
    }
}

/// A digest of all jobs of a list. The digests of two lists differ if one of the facts differs that decide
/// which bytes a file has and where it is saved, such as a URL, a name, a header, a size or a digest. They
/// also differ if the order of the jobs differs. Options such as `connections`, the numbers of lines and
/// further columns do not change the digest. A name that a template made of such a number or column changes
/// it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ListDigest([u8; 32]);

impl ListDigest {
    /// Adds the next entry of the list. `job` is its job, or `None` if the entry has a mistake.
    pub fn add(&mut self, job: Option<&Job>) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        if let Some(job) = job {
            add_facts(job, &mut hasher);
        }
        self.0 = *hasher.finalize().as_bytes();
    }

    /// Returns the digest in hexadecimal.
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

/// Returns a hash of the method, the body, the media type of the body and the range of a request, in
/// hexadecimal. `sends` is `None` for a plain GET. A long secret in the body cannot be found out from the
/// hash, but a short secret can be guessed.
pub fn hash_of_request(sends: Option<&Sends>, range: Option<ByteRange>) -> String {
    let mut hasher = blake3::Hasher::new();
    let method = sends.map_or("GET", Sends::method);
    let media_type = sends.and_then(Sends::media_type).unwrap_or_default();
    let range = range.map_or_else(String::new, |range| format!("{}-{:?}", range.first, range.last));
    for part in [method, media_type, &range] {
        // The lengths are hashed too, so that different requests never give the same sequence of bytes.
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    if let Some(body) = sends.and_then(Sends::body) {
        body.add_to(&mut hasher);
    }
    hasher.finalize().to_hex().to_string()
}

/// Returns a hash of the first URL of a job, and of the given name of its file. A long secret in the URL
/// cannot be found out from the hash, but a short secret can be guessed.
fn hash_of(job: &Job) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(job.urls.first().map_or("", |url| url.as_str()).as_bytes()).update(b"\n");
    if let Destination::Name(name) = &job.destination {
        hasher.update(name.as_str().as_bytes());
    }
    hasher.finalize()
}

/// Adds facts about a job to the input of a hasher: all facts that decide which bytes its file has and where
/// the file is saved.
fn add_facts(job: &Job, hasher: &mut blake3::Hasher) {
    add_texts(hasher, job.urls.iter().map(Url::as_str));
    let of_chunks = job.chunks.as_ref().map(|chunks| (chunks.length, chunks.algorithm));
    let others = (job.size, of_chunks, job.if_exists, job.named_by, job.assumed_https);
    for text in [
        job.destination.given_name(),
        job.folder.as_ref().map(ToString::to_string),
        job.url_name.as_ref().map(ToString::to_string),
        job.login_of.clone(),
        Some(format!("{others:?}")),
    ] {
        add_texts(hasher, text.into_iter());
    }
    add_texts(hasher, job.headers.0.iter().map(|(name, _)| name));
    for (_, value) in &job.headers.0 {
        // The value is a secret, so its length is not known here. Its hash has a fixed length.
        let mut of_value = blake3::Hasher::new();
        value.add_to(&mut of_value);
        hasher.update(of_value.finalize().as_bytes());
    }
    let digest = |expected: &Expected| format!("{}:{}", expected.digest.algorithm.name(), expected.digest);
    add_texts(hasher, job.expected.iter().map(digest));
    let chunks = job.chunks.as_ref().map(|chunks| chunks.digests.as_slice()).unwrap_or_default();
    add_texts(hasher, chunks.iter().map(ToString::to_string));
}

/// Adds texts to the input of a hasher. Their number and the length of each text are hashed too, so that
/// different texts never give the same sequence of bytes.
fn add_texts(hasher: &mut blake3::Hasher, texts: impl ExactSizeIterator<Item = impl AsRef<str>>) {
    hasher.update(&(texts.len() as u64).to_le_bytes());
    for text in texts {
        let text = text.as_ref();
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
}

fn number(hash: blake3::Hash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Body, parse_url};
    use crate::name::SafeName;
    use proptest::prelude::*;

    fn job(url: &str) -> Job {
        Job::new(parse_url(url).expect("a URL"))
    }

    proptest! {
        #[test]
        fn every_job_belongs_to_exactly_one_shard(
            name in "[a-z]{1,9}", host in 0..50_u32, position in 0..1_000_u64, of in 1..40_u64
        ) {
            let job = job(&format!("http://h{host}/{name}"));
            for by in [ShardBy::Job, ShardBy::Line, ShardBy::Host] {
                for job in [Some(&job), None] {
                    let shards = (1..=of).filter_map(|number| Shard::new(number, of, by));
                    prop_assert_eq!(shards.filter(|shard| shard.has(position, job)).count(), 1);
                }
            }
        }
    }

    #[test]
    fn a_job_stays_in_its_shard_in_all_versions() {
        let shard_of = |by, job: &Job| {
            (1..=8).find(|&number| Shard::new(number, 8, by).is_some_and(|shard| shard.has(11, Some(job))))
        };
        let plain = job("https://example.com/a.iso");
        let named = Job {
            destination: Destination::Name(SafeName::from_person("x").expect("a name")),
            ..plain.clone()
        };
        let found = [ShardBy::Job, ShardBy::Line, ShardBy::Host]
            .map(|by| (shard_of(by, &plain), shard_of(by, &named)));
        assert_eq!(found, [(Some(3), Some(1)), (Some(4), Some(4)), (Some(5), Some(5))]);
    }

    #[test]
    fn numbers_outside_of_the_range_are_no_shards() {
        for (number, of) in [(0, 3), (4, 3), (1, 0), (0, 0)] {
            assert_eq!(Shard::new(number, of, ShardBy::Job), None, "{number}/{of}");
        }
    }

    #[test]
    fn jobs_of_one_host_belong_to_one_shard() {
        for number in 1..=5 {
            let shard = Shard::new(number, 5, ShardBy::Host).expect("a shard");
            let has = |name| shard.has(0, Some(&job(&format!("http://one.example/{name}"))));
            assert!((0..50).all(|name| has(name) == has(0)));
        }
    }

    #[test]
    fn different_requests_have_different_hashes() {
        let sends = |method: &str, body: Option<(&str, &str)>| {
            let body = body.map(|(body, media_type)| (Body::new(body), media_type));
            Some(Sends::new(method, body).expect("a request"))
        };
        let range = |text: &str| Some(ByteRange::read(text).expect("a range"));
        let requests = [
            (None, None),
            (None, range("0-9")),
            (None, range("0-")),
            (sends("POST", None), None),
            (sends("POST", Some(("", "a/b"))), None),
            (sends("POST", Some(("c", "a/b"))), None),
            (sends("POST", Some(("bc", "a/"))), None),
            (sends("POST", Some(("c", "a/b"))), range("0-9")),
            (sends("PUT", Some(("c", "a/b"))), None),
        ];
        let hash =
            |(sends, range): &(Option<Sends>, Option<ByteRange>)| hash_of_request(sends.as_ref(), *range);
        let distinct: std::collections::BTreeSet<_> = requests.iter().map(hash).collect();
        assert_eq!(distinct.len(), requests.len());
        assert_eq!(hash(&(sends("GET", None), None)), hash(&requests[0]));
    }

    #[test]
    fn another_list_has_another_digest() {
        let digest = |urls: &[&str]| {
            let mut digest = ListDigest::default();
            urls.iter().for_each(|url| digest.add(Some(&job(url)).filter(|_| !url.ends_with("none"))));
            digest.hex()
        };
        let all = [
            digest(&[]),
            digest(&["http://h/a"]),
            digest(&["http://h/b"]),
            digest(&["http://h/a", "http://h/b"]),
            digest(&["http://h/b", "http://h/a"]),
            digest(&["http://h/a", "http://h/none"]),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(digest(&["http://h/a"]), all[1]);
    }

    #[test]
    fn lists_that_differ_in_one_fact_about_a_file_have_different_digests() {
        let digest = |keys: &str| {
            let job = crate::list::line(format!(r#"{{"url":"http://h/a",{keys}}}"#).as_bytes()).expect(keys);
            let mut digest = ListDigest::default();
            digest.add(job.as_ref());
            digest.hex()
        };
        let hex = "ab".repeat(32);
        let all = [
            r#""x":1"#.to_string(),
            r#""headers":["X-A: bc"]"#.to_string(),
            r#""headers":["X-Ab: c"]"#.to_string(),
            r#""headers":["X-A: b","X-C: d"]"#.to_string(),
            r#""headers":["X-A: bX-C","d: "]"#.to_string(),
            r#""credentials":"m""#.to_string(),
            r#""credentials":"n""#.to_string(),
            r#""named_by":"document""#.to_string(),
            r#""if_exists":"skip""#.to_string(),
            r#""required_size":1"#.to_string(),
            r#""out":"d""#.to_string(),
            r#""dir":"d""#.to_string(),
            r#""listed_by":"--failed","url_name":"d""#.to_string(),
            format!(r#""sha256":"{hex}""#),
            format!(r#""blake3":"{hex}""#),
            format!(r#""chunk_hashes":{{"length":1,"sha256":["{hex}"]}}"#),
            format!(r#""chunk_hashes":{{"length":2,"sha256":["{hex}"]}}"#),
            format!(r#""chunk_hashes":{{"length":2,"blake3":["{hex}"]}}"#),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().map(|keys| digest(keys)).collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(digest(r#""connections":2"#), digest(&all[0]));
    }
}
