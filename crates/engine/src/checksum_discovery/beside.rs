//! Looks for checksum lists beside a file on the server (`--verify find`, `listed` and `require`).
//!
//! Lists are requested one after the other, those with strong digests before those with weak digests. The
//! search for a file ends when a list names the file and a strong digest of the file is known. No list with
//! weak digests is requested if an earlier list names the file. If a signature is required, the search
//! continues until a signed list names the file, or until no list is left.
//!
//! Without the requests for signatures, a run makes at most ten requests for each folder, one for each
//! release in the folder, and three for each search that does not end at a list of the folder. There may be
//! several searches for one file: before its first request, and again after its first response, which may add
//! a name. These numbers do not include the requests that are repeated after a failure, or because the lists
//! were forgotten ([`LISTS_MOST`]).
//!
//! Invariant: a list with weak digests is requested only if no earlier list named the file, or if a signature
//! is required and no earlier signed list named the file.

use super::{Beside, ChecksumDiscovery, OfFolder, has, last_segment, with_ending};
use crate::fetch_text;
use crate::known::Known;
use crate::source::GivenBy;
use downhaul_core::content::{self, Look};
use downhaul_core::digest::Algorithm;
use downhaul_core::error::{Error, ErrorKind, Retry};
use downhaul_core::list::checksums;
use std::sync::{Arc, PoisonError};
use url::Url;

/// Names of lists with strong digests. coreutils, Debian, CI systems, Node.js and Red Hat use these names.
const STRONG_OF_A_FOLDER: [&str; 7] = [
    "SHA256SUMS",
    "SHA512SUMS",
    "SHA256SUMS.txt",
    "sha256sum.txt",
    "SHASUMS256.txt",
    "checksums.txt",
    "CHECKSUM",
];

/// Names of lists with weak digests. Archives such as UCSC and NCBI have no others.
const WEAK_OF_A_FOLDER: [&str; 3] = ["MD5SUMS", "md5sum.txt", "md5checksums.txt"];

/// The endings of names of lists for one file. For example, `NAME.sha256` has the digest of `NAME`.
const STRONG_OF_A_FILE: [&str; 2] = [".sha256", ".sha512"];
const WEAK_OF_A_FILE: [&str; 1] = [".md5"];

/// The highest number of lists that are remembered. Names of lists that the server does not have count too. A
/// run may reach this number after about a hundred folders. All lists are then forgotten, and are requested
/// again if they are needed.
const LISTS_MOST: usize = 1024;

/// A place where a list may be.
struct Candidate {
    url: Url,
    /// True if the list is for one file only, such as `NAME.sha256`. Such a list does not have to name the
    /// file.
    own: bool,
    strong: bool,
}

impl ChecksumDiscovery {
    /// Looks for the file in the lists beside it, and adds its digests to `known`. Returns true if a
    /// signed list names the file.
    ///
    /// # Errors
    /// Returns an error if the signature of a list is wrong, or if the keys cannot be used.
    pub(super) async fn look_beside(
        &self,
        (url, by): (&Url, GivenBy),
        names: &[String],
        known: &mut Known,
    ) -> Result<bool, Error> {
        let findings = &mut known.findings;
        let wants_signed = self.keys()?.is_some();
        let (mut signed, mut found) = (false, false);
        let mut unusable = Vec::new();
        for candidate in candidates(url) {
            let enough = found && (!candidate.strong || has(&findings.expected, Algorithm::is_strong));
            if enough && (signed || !wants_signed) {
                break;
            }
            let list = match self.candidate(&candidate, by).await {
                None => continue,
                Some(Ok(list)) => list,
                // A list that cannot be fetched is reported and skipped. If a signature is wrong, the job
                // fails.
                Some(Err(error)) if error.kind == ErrorKind::SignatureWrong => return Err(error),
                Some(Err(error)) => {
                    findings.notes.push(format!("a checksum list beside the file was not read: {error}"));
                    if error.kind.retry() == Retry::Again {
                        // A failure that may be retried shows that the host has problems. So no further lists
                        // are requested for this file.
                        break;
                    }
                    continue;
                }
            };
            match list.about(names, candidate.own) {
                Ok(digests) => {
                    found = true;
                    signed |= list.add(digests, findings);
                }
                Err(why) => {
                    let has_entries = !list.sums.entries().is_empty();
                    known.is_unlisted |= has_entries;
                    if candidate.own || !has_entries {
                        unusable.push(why);
                    }
                }
            }
        }
        if !found && !unusable.is_empty() {
            findings.notes.push(format!(
                "the checksum lists beside the file on the server cannot be used: {}",
                unusable.join("; ")
            ));
        }
        Ok(signed)
    }

    async fn candidate(&self, candidate: &Candidate, by: GivenBy) -> Option<Beside> {
        if candidate.own {
            return self.fetch_beside(&candidate.url, by).await;
        }
        let list: Arc<OfFolder> = {
            let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
            if folders.len() >= LISTS_MOST {
                folders.clear();
            }
            folders.entry(candidate.url.clone()).or_default().clone()
        };
        let fetch = async {
            let fetched = match self.fetch_beside(&candidate.url, by).await {
                None => self.fetch_within_signature(&candidate.url, by).await,
                list => list,
            };
            fetched.transpose()
        };
        list.get(fetch).await.transpose()
    }

    /// Returns the list at this URL, if there is one. A web page is not a list: some servers send a web page
    /// in place of a file that they do not have.
    async fn fetch_beside(&self, url: &Url, by: GivenBy) -> Option<Beside> {
        match fetch_text::get(&self.sources, &self.settings, (url, by), checksums::LONGEST).await {
            Ok(text) => {
                let text = text.filter(|text| content::look(text) == Look::Other)?;
                Some(self.read((url, by), &text).await)
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// Returns a list that exists only as a signed text, which contains the list and its signature. Other
    /// signature files are ignored, because the list that they sign does not exist.
    async fn fetch_within_signature(&self, url: &Url, by: GivenBy) -> Option<Beside> {
        let endings = self.keys().ok()??.0.signed_list_endings();
        for at in endings.iter().filter_map(|ending| with_ending(url, ending)) {
            match fetch_text::get(&self.sources, &self.settings, (&at, by), checksums::LONGEST).await {
                Ok(None) => {}
                Ok(Some(text)) => match self.list(&last_segment(&at), &text, None) {
                    Ok(list) if !list.signed => {}
                    list => return Some(list),
                },
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

/// Returns the places where lists of a file may be, in the order in which they are requested.
fn candidates(url: &Url) -> Vec<Candidate> {
    let Some(folder) = url.join(".").ok().filter(|folder| folder.path() != url.path()) else {
        return Vec::new();
    };
    let of_a_release = of_a_release(&last_segment(url));
    let in_folder = |name: &str| folder.join(name).ok();
    let candidate = |own, strong| move |url| Candidate { url, own, strong };
    let strong = STRONG_OF_A_FOLDER.iter().copied().chain(of_a_release.as_deref());
    let strong = strong.filter_map(in_folder).map(candidate(false, true));
    let strong_own = STRONG_OF_A_FILE.iter().filter_map(|ending| with_ending(url, ending));
    let weak = WEAK_OF_A_FOLDER.iter().copied().filter_map(in_folder).map(candidate(false, false));
    let weak_own = WEAK_OF_A_FILE.iter().filter_map(|ending| with_ending(url, ending));
    let all = strong.chain(strong_own.map(candidate(true, true))).chain(weak);
    all.chain(weak_own.map(candidate(true, false))).collect()
}

/// Returns the name of the list that GoReleaser writes: `NAME_VERSION_checksums.txt` for
/// `NAME_VERSION_linux_amd64.tar.gz`.
fn of_a_release(file: &str) -> Option<String> {
    let mut parts = file.splitn(3, '_');
    let (name, version, _) = (parts.next()?, parts.next()?, parts.next()?);
    let is_version = version.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+~".contains(&b));
    (is_version && plain(name) && plain(version)).then(|| format!("{name}_{version}_checksums.txt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strong_lists_are_asked_for_first_and_those_of_the_folder_before_those_of_the_file() {
        let url = Url::parse("http://h/d/tool_1.2.3_linux_amd64.tar.gz?x=1#f").expect("a URL");
        let all: Vec<String> = candidates(&url).iter().map(|one| one.url.to_string()).collect();
        assert_eq!(all.len(), 14, "as many as the first lines of this file say");
        assert_eq!(all[0], "http://h/d/SHA256SUMS");
        assert_eq!(all[7], "http://h/d/tool_1.2.3_checksums.txt");
        assert_eq!(all[8], "http://h/d/tool_1.2.3_linux_amd64.tar.gz.sha256");
        assert_eq!(all[10], "http://h/d/MD5SUMS");
        assert_eq!(all[13], "http://h/d/tool_1.2.3_linux_amd64.tar.gz.md5");
        assert!(candidates(&Url::parse("http://h/").expect("a URL")).is_empty());
    }

    #[test]
    fn lists_of_a_release_are_named_after_it() {
        for (file, list) in [
            ("a_v1.0_linux.zip", Some("a_v1.0_checksums.txt")),
            ("a-b_0.1.0-rc.1_x.tgz", Some("a-b_0.1.0-rc.1_checksums.txt")),
            ("a_b_c.zip", None),
            ("a_1.zip", None),
            ("a", None),
            ("a/../b_1_c", None),
        ] {
            assert_eq!(of_a_release(file).as_deref(), list, "{file}");
        }
    }
}
