//! The one answer to "is what lies here this file?": for partial files, finished files and files of other tools.
//!
//! A validator holds for one URL only (RFC 9110, section 8.8.3): two files of one size and date have the same entity tag
//! at many servers. So bytes are continued only for the URL that they came from ([`Identity::may_continue`]), and a
//! finished file is known again only by the record that was attached to it ([`Standing::is_known`]); any other file is
//! compared with what the server says ([`compare`]).
//!
//! Invariant: what is recorded of a URL is a keyed hash, so that every byte of it counts and no secret is stored. Hashes by
//! different keys (of another user, or of one without a home folder) say nothing of each other, neither that two URLs are
//! one nor that they differ.

use crate::remote::{Remote, Validator};
use crate::show;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};
use url::Url;

/// Parts of a query that only say that a request may be made, and until when: links to one file are signed anew for each
/// visitor. (AWS and its CloudFront, Google, Azure, and what content networks call a token.) Lower case.
const SIGNING: &[&str] = &[
    "signature",
    "expires",
    "key-pair-id",
    "policy",
    "awsaccesskeyid",
    "googleaccessid",
    "token",
    "access_token",
    "auth_token",
    "hdnea",
    "hdnts",
    "__token__",
    "sig",
    "se",
    "sp",
    "sv",
    "st",
    "sr",
    "spr",
    "skoid",
    "sktid",
    "skt",
    "ske",
    "sks",
    "skv",
];

/// The same, where everything with this beginning is of that kind.
const SIGNING_PREFIXES: [&str; 2] = ["x-amz-", "x-goog-"];

/// The secret by which URLs are hashed. Without one of one's own, a short secret in a URL could be guessed from its
/// hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; 32],
    /// What tells hashes by this key from those by another one: the beginning of the hash of nothing.
    id: [u8; 2],
}

impl Key {
    /// A key of 32 random bytes, the same in every run.
    pub fn new(bytes: [u8; 32]) -> Key {
        let [one, other, ..] = *blake3::keyed_hash(&bytes, b"").as_bytes();
        Key { bytes, id: [one, other] }
    }
}

/// The key of those who have none of their own: files are known again, short secrets could be guessed.
impl Default for Key {
    fn default() -> Key {
        Key::new(*b"downhaul: files without a secret")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// Keyed hashes of the URL that a file was asked for at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hashes {
    /// By which key: the beginning of its own hash.
    key: [u8; 2],
    /// Of the whole URL, but for its password and fragment.
    url: [u8; 8],
    /// Of the same without the parts of its query that sign it.
    file: [u8; 8],
}

/// What two URLs are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// They are one, to the last byte.
    Same,
    /// They are one but for how they are signed.
    SignedOtherwise,
    /// They are two.
    Another,
    /// Nothing is known: they were hashed by different keys.
    Unknown,
}

impl Hashes {
    /// What the URLs behind two hashes are to each other.
    pub fn relation(self, other: Hashes) -> Relation {
        match self {
            _ if self.key != other.key => Relation::Unknown,
            _ if self.url == other.url => Relation::Same,
            _ if self.file == other.file => Relation::SignedOtherwise,
            _ => Relation::Another,
        }
    }
}

/// Where a file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The URL, with every secret in it.
    pub hashes: Hashes,
    /// A hash without a key of what may be shown of the URL.
    shown: [u8; 8],
}

impl Origin {
    /// The origin of a file at this URL.
    pub fn of(url: &Url, key: &Key) -> Origin {
        Origin { hashes: Hashes::of(url, key), shown: short(blake3::hash(show::url(url).as_bytes())) }
    }

    /// Whether bytes that came from there belong to a file from here, as far as URLs can tell: both are one URL but for how
    /// they are signed. Where they were hashed by different keys, what may be shown of them must be equal.
    pub fn may_continue(self, from: Origin) -> bool {
        match self.hashes.relation(from.hashes) {
            Relation::Same | Relation::SignedOtherwise => true,
            Relation::Another => false,
            Relation::Unknown => self.shown == from.shown,
        }
    }

    /// What all URLs have in common that differ from this one in nothing but how they are signed; `None` if it is not signed.
    pub fn signed_file(self) -> Option<[u8; 8]> {
        Some(self.hashes.file).filter(|file| *file != self.hashes.url)
    }

    /// A short text for the name of a partial file, where another file has the usual one. The same in every run.
    pub fn tag(self) -> String {
        let [a, b, c, d, ..] = self.shown;
        format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
    }
}

impl Hashes {
    fn of(url: &Url, key: &Key) -> Hashes {
        let mut whole = Cow::Borrowed(url);
        if url.fragment().is_some() || url.password().is_some() {
            let whole = whole.to_mut();
            whole.set_fragment(None);
            // A password that was changed asks for the same file. (Cannot fail for http and https.)
            let _ = whole.set_password(None);
        }
        let hash = |url: &Url| short(blake3::keyed_hash(&key.bytes, url.as_str().as_bytes()));
        let of_url = hash(&whole);
        let of_file = match whole.query() {
            Some(query) if query.split('&').any(signs) => {
                let kept: Vec<&str> = query.split('&').filter(|part| !signs(part)).collect();
                let mut file = whole.clone().into_owned();
                file.set_query(Some(kept.join("&").as_str()).filter(|query| !query.is_empty()));
                hash(&file)
            }
            _ => of_url,
        };
        Hashes { key: key.id, url: of_url, file: of_file }
    }
}

/// Whether a part of a query (`name=value`) only signs the URL.
fn signs(part: &str) -> bool {
    let name = part.split('=').next().unwrap_or_default().to_ascii_lowercase();
    SIGNING.contains(&name.as_str()) || SIGNING_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn short(hash: blake3::Hash) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    [a, b, c, d, e, f, g, h]
}

/// What a job is known by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The origin of each of its sources.
    pub origins: Vec<Origin>,
    /// A strong digest of the whole is known: it tells whether the bytes are right, wherever they came from.
    pub proven: bool,
}

impl Identity {
    /// Whether a partial file that came from there may be continued. (Its validator is compared too, once there is a reply.)
    pub fn may_continue(&self, from: Option<Origin>) -> bool {
        self.proven || from.is_some_and(|from| self.origins.iter().any(|origin| origin.may_continue(from)))
    }

    /// The tag of a partial file of its own (see [`Origin::tag`]).
    pub fn tag(&self) -> String {
        self.origins.first().map(|origin| origin.tag()).unwrap_or_default()
    }
}

/// What is attached to a finished file, so that it is known again without a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where it came from.
    pub origin: Hashes,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed, by its own date: seconds and nanoseconds since the Unix epoch.
    pub modified: (i64, u32),
    /// When it was complete: seconds since the Unix epoch.
    pub at: u64,
    /// What the server called this version of it.
    pub version: Validator,
}

/// The form of a record; another one is not read.
const RECORD_FORM: u8 = 1;

/// The longest entity tag that is recorded: a record should fit beside the inode of a file, where some 60 bytes are free
/// (ext4 with inodes of 256 bytes); servers of static files use 15 to 40.
const LONGEST_TAG: usize = 128;

impl Record {
    /// The record of a file that is complete now.
    pub fn new(
        origin: Origin,
        size: u64,
        modified: SystemTime,
        now: SystemTime,
        version: &Validator,
    ) -> Record {
        let version = match version {
            Validator::Etag(tag) if tag.len() > LONGEST_TAG => Validator::Unknown,
            version => version.clone(),
        };
        Record { origin: origin.hashes, size, modified: since_epoch(modified), at: seconds(now), version }
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        // What cannot be written (nothing here) is only not known again.
        let mut bytes = postcard::to_stdvec(self).unwrap_or_default();
        bytes.insert(0, RECORD_FORM);
        bytes
    }

    /// Reads what [`Record::to_bytes`] wrote. `None` if it is anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Record> {
        let (form, rest) = bytes.split_first()?;
        if *form != RECORD_FORM { None } else { postcard::from_bytes(rest).ok() }
    }

    /// The day on which it was complete, in UTC: `2026-11-27`.
    pub fn day(&self) -> String {
        let at = i64::try_from(self.at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
        at.unwrap_or_default().strftime("%Y-%m-%d").to_string()
    }
}

/// What a server is asked to compare a file with: it answers 304 where nothing changed (RFC 9110, section 13.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// If-None-Match.
    pub etag: Option<String>,
    /// If-Modified-Since.
    pub modified: Option<SystemTime>,
}

impl Record {
    /// What tells whether the server still has this version.
    pub fn conditions(&self) -> Conditions {
        match &self.version {
            Validator::Etag(tag) => Conditions { etag: Some(tag.clone()), modified: None },
            Validator::Modified(at) => Conditions { etag: None, modified: Some(*at) },
            Validator::Unknown => Conditions::default(),
        }
    }
}

/// A file that stands under a final name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed.
    pub modified: Option<SystemTime>,
    /// What is attached to it.
    pub record: Option<Record>,
}

/// What the record of a finished file says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known<'r> {
    /// It was downloaded from this job's URL and is as it was then.
    Ours(&'r Record),
    /// It was downloaded from this file's URL, which was signed otherwise; only the server can tell whether that is the same.
    SignedOtherwise(&'r Record),
    /// It was downloaded from another URL.
    Another,
    /// It has no record, or was changed since.
    Unknown,
}

impl Standing {
    /// What its record says, for a job with these origins.
    pub fn is_known(&self, origins: &[Origin]) -> Known<'_> {
        let Some(record) = &self.record else { return Known::Unknown };
        let intact = record.size == self.size && self.modified.map(since_epoch) == Some(record.modified);
        let is = |wanted| origins.iter().any(|origin| origin.hashes.relation(record.origin) == wanted);
        match record {
            _ if !intact => Known::Unknown,
            record if is(Relation::Same) => Known::Ours(record),
            record if is(Relation::SignedOtherwise) => Known::SignedOtherwise(record),
            _ if is(Relation::Unknown) => Known::Unknown,
            _ => Known::Another,
        }
    }
}

/// What a reply says of a file that stands here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// Nothing speaks against it: in these words.
    Same(&'static str),
    /// It is another one: in these words.
    Different(String),
    /// There is nothing to compare.
    Unknown,
}

/// Compares a file that stands here with the head of a reply. (Digests of the reply are compared by whoever can read the file.)
pub fn compare(standing: &Standing, remote: &Remote) -> Compared {
    let Some(size) = remote.size else { return Compared::Unknown };
    if size != standing.size {
        let here = standing.size;
        return Compared::Different(format!("it has {here} bytes, and the server's file has {size}"));
    }
    match (remote.modified, standing.modified) {
        // HTTP dates have whole seconds.
        (Some(there), Some(here)) if seconds(there) == seconds(here) => Compared::Same("same size and date"),
        (Some(there), Some(here)) if there > here => {
            Compared::Different("the server's file has the same size and is newer".into())
        }
        (Some(_), Some(_)) => Compared::Same("same size, and the server's file is not newer"),
        _ => Compared::Same("same size"),
    }
}

/// Whole seconds since the Unix epoch; 0 for what was before.
pub fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn since_epoch(at: SystemTime) -> (i64, u32) {
    let pair = |since: Duration| (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos());
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => pair(since),
        Err(before) => {
            let (seconds, nanos) = pair(before.duration());
            (-seconds, nanos)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by(key: &Key, url: &str) -> Origin {
        Origin::of(&Url::parse(url).expect("a URL"), key)
    }

    fn origin(url: &str) -> Origin {
        by(&Key::default(), url)
    }

    fn relation(one: &str, other: &str) -> Relation {
        origin(one).hashes.relation(origin(other).hashes)
    }

    #[test]
    fn another_scheme_host_or_path_is_another_file() {
        let one = "http://h/REST1/mask.nii";
        for other in [
            "https://h/REST1/mask.nii",
            "http://g/REST1/mask.nii",
            "http://h:81/REST1/mask.nii",
            "http://h/REST2/mask.nii",
            "http://h/REST1/mask.nii?x=1",
            "http://u@h/REST1/mask.nii",
        ] {
            assert_eq!(relation(one, other), Relation::Another, "{other}");
            assert!(!origin(one).may_continue(origin(other)), "{other}");
        }
        for same in
            ["http://h:80/REST1/mask.nii", "http://H/REST1/mask.nii#part", "http://h/x/../REST1/mask.nii"]
        {
            assert_eq!(relation(one, same), Relation::Same, "{same}");
        }
        assert_eq!(relation("http://u:a@h/f", "http://u:b@h/f"), Relation::Same, "a changed password");
    }

    #[test]
    fn a_renewed_signature_is_the_same_file_and_any_other_difference_is_not() {
        for (one, other) in [
            ("?X-Amz-Date=1&X-Amz-Signature=a", "?X-Amz-Date=2&X-Amz-Signature=b"),
            ("?v=1&Expires=5&Signature=a&Key-Pair-Id=k", "?v=1&Expires=6&Signature=b&Key-Pair-Id=k"),
            ("?sv=1&se=2&sr=b&sp=r&sig=a", "?sv=1&se=3&sr=b&sp=r&sig=b"),
            ("?x-goog-expires=1", ""),
        ] {
            let (one, other) = (format!("https://h/f{one}"), format!("https://h/f{other}"));
            assert_eq!(relation(&one, &other), Relation::SignedOtherwise, "{one}");
            assert!(origin(&one).may_continue(origin(&other)));
        }
        for (one, other) in [("?id=1", "?id=2"), ("?id=1", ""), ("?signed=1", "?signed=2"), ("?a&b", "?b&a")]
        {
            let (one, other) = (format!("https://h/f{one}"), format!("https://h/f{other}"));
            assert_eq!(relation(&one, &other), Relation::Another, "{one}");
        }
    }

    #[test]
    fn by_another_key_nothing_is_known_but_what_may_be_shown() {
        let key = Key::new([7; 32]);
        let url = "http://h/f?key=secret";
        let (ours, theirs) = (origin(url), by(&key, url));
        assert_eq!(ours.hashes.relation(theirs.hashes), Relation::Unknown);
        assert!(ours.may_continue(theirs) && ours.tag() == theirs.tag());
        assert!(!ours.may_continue(by(&key, "http://h/g?key=secret")));
        assert!(!ours.may_continue(origin("http://h/f?key=other")), "by one key, hidden values count");
        assert_eq!(format!("{key:?}"), "Key(***)");
    }

    #[test]
    fn a_finished_file_is_known_again_until_it_is_touched() {
        let at = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5);
        let here = origin("http://h/f?sig=1");
        let record = Record::new(here, 10, at, at, &Validator::Etag("\"a\"".into()));
        let standing = Standing { size: 10, modified: Some(at), record: Some(record.clone()) };
        assert_eq!(standing.is_known(&[origin("http://g/f"), here]), Known::Ours(&record));
        assert_eq!(standing.is_known(&[origin("http://h/f?sig=2")]), Known::SignedOtherwise(&record));
        assert_eq!(standing.is_known(&[origin("http://h/g")]), Known::Another);
        let touched = Standing { modified: Some(at + Duration::from_nanos(1)), ..standing.clone() };
        let by_another_key = Standing {
            record: Some(Record::new(
                by(&Key::new([7; 32]), "http://h/f?sig=1"),
                10,
                at,
                at,
                &Validator::Unknown,
            )),
            ..standing.clone()
        };
        let grown = Standing { size: 11, ..standing.clone() };
        for changed in [touched, grown, by_another_key, Standing { record: None, ..standing.clone() }] {
            assert_eq!(changed.is_known(&[here]), Known::Unknown);
        }
        assert_eq!(record.day(), "2023-11-14");
        assert!(record.to_bytes().len() < 60, "it fits beside the inode");
    }

    proptest! {
        #[test]
        fn records_are_read_as_they_were_written_and_garbage_is_none(
            size: u64, seconds in 0..4_000_000_000u64, nanos in 0..1_000_000_000u32, garbage: Vec<u8>,
        ) {
            let at = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
            let record = Record::new(origin("http://h/f"), size, at, at, &Validator::Unknown);
            prop_assert_eq!(Record::from_bytes(&record.to_bytes()), Some(record));
            let _ = Record::from_bytes(&garbage);
        }
    }
}
