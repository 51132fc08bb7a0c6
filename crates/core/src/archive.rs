//! Decides which files were fetched before. An archive (`--archive`) lists the files that earlier runs
//! fetched.
//!
//! The file of a job is found in an archive by its URL, or by a strong digest that the job expects.
//! Signatures and passwords in URLs are not compared, because they change from day to day. The facts of the
//! request that may change the content, such as some headers, are compared too ([`Variant`]).
//!
//! Invariant: if the job expects a size or a digest, and the archive has another size, or another digest of
//! the same algorithm, the file does not count as fetched before. An archive gets only a keyed hash of each
//! URL from this module, so that no secret in a URL is stored.

use crate::digest::{Algorithm, Digest};
use crate::event::{Event, EventKind, Kept};
use crate::identity::{self, Variant};
use crate::job::{IfExists, Job};
use crate::settings::Settings;

/// A hash of a URL and of the facts of the request that may change the content ([`Variant`]). With ten
/// million files, the probability that two of them have the same hash is less than one in 10^24.
pub type UrlKey = [u8; 16];

/// A file that was fetched before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// The path at which the file was saved.
    pub path: String,
    /// The size of the file in bytes.
    pub size: u64,
    /// The time when the download of the file ended, or when an existing file was found to be the wanted
    /// file. It is in milliseconds since the Unix epoch.
    pub date: u64,
    /// The digests of the file, as far as they are known.
    pub digests: Vec<Digest>,
}

/// Returns the hashes by which an archive finds the file of a job, one for each URL of the job. The hashes
/// are made with the secret key of the settings.
pub fn url_keys(settings: &Settings, job: &Job) -> Vec<UrlKey> {
    let key = |url| identity::file_hash(url, &Variant::of(settings, job, url), &settings.key);
    job.urls.iter().map(key).collect()
}

/// Returns the digests by which an archive finds the file of a job: the strong digests that the job expects.
pub fn digests(job: &Job) -> impl Iterator<Item = &Digest> {
    // If a digest is not strong, another file may have the same digest.
    job.expected.iter().map(|one| &one.digest).filter(|digest| digest.algorithm.is_strong())
}

impl Archived {
    /// Returns true if the size and the digests that the job expects do not differ from the size and the
    /// digests of this file. A digest is not compared if this file has no digest of its algorithm.
    pub fn is_file_of(&self, job: &Job) -> bool {
        let differs = |expected: &Digest| {
            let known = self.digests.iter().find(|known| known.algorithm == expected.algorithm);
            known.is_some_and(|known| known != expected)
        };
        job.size.is_none_or(|size| size == self.size) && !job.expected.iter().any(|one| differs(&one.digest))
    }

    /// Returns the facts that an event reports about a job whose file was fetched before.
    pub fn kept(self) -> Kept {
        let Archived { path, size, date, digests } = self;
        let at = i64::try_from(date / 1000).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
        let reason =
            format!("was complete on {}, as the archive says", at.unwrap_or_default().strftime("%Y-%m-%d"));
        Kept { path, reason, bytes: Some(size), digests, ..Kept::default() }
    }
}

/// Returns the file that an event adds to an archive: a file that was downloaded or made from another file,
/// or an existing file that was found to be the wanted file. Returns `None` if the event adds no file.
/// `if_exists` says how the job treats an existing file. With `--if-exists skip`, an existing file is not
/// compared with the server's file. So with this option, a file that was skipped is added only if the event
/// has a digest of it. A file of unknown size is not added.
pub fn of_event(event: &Event, if_exists: IfExists) -> Option<Archived> {
    let (path, size, digests, is_new) = match &event.kind {
        EventKind::Finished { path, bytes, digests, .. } => (path, *bytes, digests, true),
        EventKind::Skipped { path, bytes, digests, .. } => (path, (*bytes)?, digests, false),
        _ => return None,
    };
    let named = |(name, hex): (&String, &String)| Digest::from_hex(Algorithm::from_name(name)?, hex);
    let digests: Vec<Digest> = digests.iter().filter_map(named).collect();
    let is_compared = is_new || if_exists != IfExists::Skip || !digests.is_empty();
    is_compared.then(|| Archived { path: path.clone(), size, date: event.at, digests })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Key;

    fn job(url: &str) -> Job {
        Job::given(url).expect("a URL")
    }

    fn sha256(byte: &str) -> Digest {
        Digest::from_hex(Algorithm::Sha256, &byte.repeat(32)).expect("a digest")
    }

    #[test]
    fn a_file_is_found_under_urls_that_differ_only_in_secrets() {
        let settings = Settings::default().with_key(Key::new([7; 32]));
        let keys = |url: &str| url_keys(&settings, &job(url));
        assert_eq!(keys("http://h/a?X-Amz-Signature=1"), keys("http://h/a?X-Amz-Signature=2"));
        assert_eq!(keys("http://u:p@h/a"), keys("http://u:q@h/a"));
        for other in ["http://h/b", "http://h/a?id=1", "http://g/a", "http://v@h/a"] {
            assert_ne!(keys("http://h/a"), keys(other), "{other}");
        }
        let with = |name: &str| url_keys(&settings, &job("http://h/a").with_header(name, "x"));
        assert_eq!(with("Authorization"), keys("http://h/a"));
        assert_ne!(with("Accept"), keys("http://h/a"));
        let elsewhere = Settings::default().with_key(Key::new([8; 32]));
        assert_ne!(url_keys(&elsewhere, &job("http://h/a")), keys("http://h/a"));
    }

    #[test]
    fn a_file_with_another_size_or_digest_is_another_file() {
        let archived = Archived { path: "a".into(), size: 5, date: 0, digests: vec![sha256("ab")] };
        let job = || job("http://h/a");
        assert!(archived.is_file_of(&job()) && archived.is_file_of(&job().with_size(5)));
        assert!(archived.is_file_of(&job().with_checksum(sha256("ab"))));
        assert!(!archived.is_file_of(&job().with_size(6)));
        assert!(!archived.is_file_of(&job().with_checksum(sha256("cd"))));
    }

    #[test]
    fn only_files_that_were_compared_are_added() {
        let add =
            |kept: Kept, if_exists| of_event(&Event::new(1, 1000, None, EventKind::skipped(kept)), if_exists);
        let kept = |digests: &[Digest]| Kept {
            path: "a".into(),
            reason: "r".into(),
            bytes: Some(5),
            digests: digests.to_vec(),
            ..Kept::default()
        };
        let archived = |digests: &[Digest]| {
            Some(Archived { path: "a".into(), size: 5, date: 1000, digests: digests.to_vec() })
        };
        assert_eq!(add(kept(&[]), IfExists::Check), archived(&[]));
        assert_eq!(add(kept(&[]), IfExists::Skip), None);
        assert_eq!(add(kept(&[sha256("ab")]), IfExists::Skip), archived(&[sha256("ab")]));
        assert_eq!(add(Kept { bytes: None, ..kept(&[]) }, IfExists::Check), None);
    }
}
