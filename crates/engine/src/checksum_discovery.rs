//! Collects digests and signatures from the checksum list that the user gives, and from checksum lists and
//! signatures beside files. Collects mirrors from responses, and digests and mirrors from the Metalink
//! documents that responses name. A job fails if a required digest or signature is missing.
//!
//! Invariant: after the list that the user gives was read, it is not requested again over the same network. A
//! list for a whole folder ([`beside`]) is not requested again while it is remembered. A failure to fetch one
//! of these lists is remembered for a limited time, or until the user chooses to retry ([`fetched`]). A list
//! with a wrong signature is never used as an unsigned list.

mod beside;
mod fetched;

use crate::fetch_text;
use crate::known::Known;
use crate::signed::Trusted;
use crate::source::{GivenBy, Sources, slice};
use downhaul_core::digest::{Algorithm, Digest, Expected};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::job::{Destination, Job};
use downhaul_core::list::checksums::{self, Checksums, Named};
use downhaul_core::list::metalink::Metalink;
use downhaul_core::name::{SafeName, last_segment};
use downhaul_core::plan::Findings;
use downhaul_core::remote::{Links, Remote};
use downhaul_core::settings::{ChecksumList, Settings, Verify};
use downhaul_core::show;
use downhaul_core::signature::{self, Keys};
use fetched::Fetched;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use url::Url;

/// The longest Metalink document that is fetched because a server names it, in bytes. A hundred mirrors and
/// the SHA-256 of a thousand chunks take about 100 KiB.
const DOCUMENT_MOST: usize = 1024 * 1024;

/// Fetches checksum lists and signatures, and remembers them.
pub(crate) struct ChecksumDiscovery {
    settings: Arc<Settings>,
    sources: Sources,
    /// The keys whose signatures are accepted, or the reason why they cannot be used.
    trusted: Option<Result<Trusted, Error>>,
    given: Fetched<Arc<List>>,
    /// The lists of folders, by the URLs of the lists.
    folders: Mutex<HashMap<Url, Arc<OfFolder>>>,
}

/// A list of a folder. The value is `None` if there is no such list.
type OfFolder = Fetched<Option<Arc<List>>>;

/// A checksum list. It may be signed.
struct List {
    /// The name that is shown: `SHA256SUMS`, or `SHA256SUMS, signed by 0123456789ABCDEF`.
    label: String,
    /// The file name of the list.
    name: String,
    sums: Checksums,
    signed: bool,
}

/// A checksum list, or the error of fetching or reading it.
type Beside = Result<Arc<List>, Error>;

impl ChecksumDiscovery {
    pub(crate) fn new(settings: Arc<Settings>, sources: Sources) -> Self {
        let read =
            |keys| Trusted::new(keys).map_err(|why| Error::new(ErrorKind::SignatureWrong, "the key", why));
        let trusted = settings.signed_by.as_ref().map(read);
        ChecksumDiscovery { settings, sources, trusted, given: Fetched::default(), folders: Mutex::default() }
    }

    /// Forgets which lists could not be fetched. The next job that needs such a list requests it again.
    pub(crate) fn forget_failures(&self) {
        self.given.forget_failure();
        let folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        folders.values().for_each(|list| list.forget_failure());
    }

    /// Returns true if the settings request neither checksum lists nor signatures, or if nothing is verified.
    pub(crate) fn is_idle(&self) -> bool {
        let Settings { verify, checksums, signed_by, .. } = &*self.settings;
        match verify {
            Verify::Off => true,
            Verify::Auto => checksums.is_none() && signed_by.is_none(),
            Verify::Find | Verify::Listed | Verify::Require => false,
        }
    }

    /// Returns the facts about the file of a job. The file is looked up in checksum lists under each of its
    /// names. `remote` is the first response, if there is one. The response may add a name.
    ///
    /// # Errors
    /// Returns why the file cannot be verified as the settings require.
    pub(crate) async fn about(&self, spec: &Job, remote: Option<&Remote>) -> Result<Known, Error> {
        let mut known = Known::default();
        if self.is_idle() {
            return Ok(known);
        }
        let names = names(spec, remote);
        if spec.range.is_some() {
            let name = names.first().map_or("", String::as_str);
            return slice::check_unverified(&self.settings, name).map(|()| known);
        }
        let mut signed = false;
        let verify = self.settings.verify;
        if self.settings.checksums.is_some() {
            signed |= self.look_in_given(spec, &names, &mut known).await?;
        }
        let url = &spec.urls[0];
        let by = GivenBy::of(&self.settings, url, spec);
        let counts = |findings: &Findings, counts: fn(Algorithm) -> bool| {
            has(&spec.expected, counts) || has(&findings.expected, counts)
        };
        let enough = counts(&known.findings, Algorithm::is_strong) && (signed || self.keys()?.is_none());
        if matches!(verify, Verify::Find | Verify::Listed | Verify::Require) && !enough {
            signed |= self.look_beside((url, by), &names, &mut known).await?;
        }
        if verify == Verify::Listed && !counts(&known.findings, Algorithm::counts_in_lists) {
            let why = spec.notes.iter().chain(&known.findings.notes).next().cloned().unwrap_or_default();
            let at = names.first().cloned().unwrap_or_default();
            return Err(Error::new(ErrorKind::DigestUnlisted, at, why));
        }
        if let Some((keys, trusted)) = self.keys()?.filter(|_| !signed) {
            let endings = keys.endings();
            let missing = |why| {
                let first = with_ending(url, endings[0]).as_ref().map(show::url).unwrap_or_default();
                Err(Error::new(ErrorKind::SignatureMissing, first, why))
            };
            if spec.destination.is_in_order() && trusted.reads_again() {
                return missing(
                    "no checksum list of the file is signed. A signature of the file itself cannot be verified, because an output that is written in order cannot be read again",
                );
            }
            let Some((at, text)) = self.signature((url, by), endings).await? else {
                return missing("neither the file nor its checksum list is signed");
            };
            let signature = trusted.signature(&text, &at)?;
            known.findings.signed = Some(signature.description());
            known.signature = Some(Arc::new(signature));
        }
        Ok(known)
    }

    /// Adds the digests of a file that are in the given list. Returns true if the list is signed.
    ///
    /// # Errors
    /// Returns an error if the list cannot be fetched. Unless the job itself has a digest, also returns an
    /// error if the list does not name the file although the settings require that, or if a line that seems
    /// to name the file cannot be read.
    async fn look_in_given(&self, spec: &Job, names: &[String], known: &mut Known) -> Result<bool, Error> {
        let list = self.given.get(self.fetch_given(spec)).await?;
        let why = match list.about(names, self.settings.single) {
            Ok(digests) => return Ok(list.add(digests, &mut known.findings)),
            Err(why) => why,
        };
        known.is_unlisted = true;
        let at = || names.first().cloned().unwrap_or_default();
        if list.sums.may_name(names) && !has(&spec.expected, Algorithm::counts_in_lists) {
            let why = format!("a line of {} seems to name the file, but cannot be read", list.label);
            return Err(Error::new(ErrorKind::DigestUnlisted, at(), why));
        }
        // The job itself may have a digest, which is enough.
        let missing = match self.settings.verify {
            Verify::Require if !has(&spec.expected, Algorithm::is_strong) => ErrorKind::DigestMissing,
            Verify::Listed if !has(&spec.expected, Algorithm::counts_in_lists) => ErrorKind::DigestUnlisted,
            _ => {
                known.findings.notes.push(why);
                return Ok(false);
            }
        };
        Err(Error::new(missing, at(), why))
    }

    /// Adds the mirrors that a response names, and the mirrors, the digests and the size in the Metalink
    /// document that the response names. The mirrors do not need to be trusted, because several mirrors are
    /// used together only if a digest is known, with which all bytes are verified.
    pub(crate) async fn add_offers(&self, known: &mut Known, remote: &Remote) {
        let Links { duplicates, described_by } = &remote.links;
        let mut mirrors = duplicates.clone();
        let settings = &self.settings;
        let may =
            |url: &Url| remote.url.scheme() != "https" || url.scheme() == "https" || settings.allow_downgrade;
        if let Some(at) = described_by.as_ref().filter(|at| may(at)) {
            match self.described(at, remote).await {
                Ok(spec) => {
                    mirrors.extend(spec.urls);
                    let findings = &mut known.findings;
                    findings.expected.extend(spec.expected);
                    (findings.chunks, findings.size) = (spec.chunks, spec.size);
                    findings.notes.extend(spec.notes);
                }
                Err(why) => known.findings.notes.push(format!("{}: {why}", show::url(at))),
            }
        }
        mirrors.retain(|url| may(url) && *url != remote.url);
        known.mirrors = mirrors;
    }

    /// Returns what a Metalink document says about a file. `at` is the URL of the document, which the
    /// response `remote` names. If the document describes several files, the file is the one whose name is in
    /// the response or at the end of the URL of the response.
    async fn described(&self, at: &Url, remote: &Remote) -> Result<Job, String> {
        let text = fetch_text::get(&self.sources, &self.settings, (at, GivenBy::Server), DOCUMENT_MOST).await;
        let text = text.map_err(|error| error.to_string())?.ok_or("there is no such document")?;
        let mut files: Vec<Job> = Vec::new();
        for (_, file) in Metalink::new(text) {
            match file {
                Ok(file) => files.push(*file),
                // This error concerns the whole document. All other errors concern one file. Such a file is
                // left out, because the document may describe other files.
                Err(error) if error.kind == ErrorKind::ListUnreadable => return Err(error.to_string()),
                Err(_) => {}
            }
        }
        if files.len() > 1 {
            let names = [remote.name.as_ref().map(ToString::to_string), Some(last_segment(&remote.url))];
            let of_it = |spec: &Job| match &spec.destination {
                Destination::Name(name) => names.iter().flatten().any(|one| *one == name.to_string()),
                _ => false,
            };
            files.retain(of_it);
        }
        let [_] = &files[..] else {
            let why =
                "the Metalink document does not describe exactly one usable file with the name of this file";
            return Err(why.into());
        };
        files.pop().ok_or_else(String::new)
    }

    /// Returns the keys of the settings, and the same keys in the form that verifies signatures.
    ///
    /// # Errors
    /// Returns an error if the keys cannot be used.
    fn keys(&self) -> Result<Option<(&Keys, &Trusted)>, Error> {
        let trusted = self.trusted.as_ref().map(Result::as_ref).transpose().map_err(Clone::clone)?;
        Ok(self.settings.signed_by.as_ref().zip(trusted))
    }

    /// Returns the URL and the content of the first signature file beside this URL.
    async fn signature(
        &self,
        (url, by): (&Url, GivenBy),
        endings: &[&str],
    ) -> Result<Option<(String, Vec<u8>)>, Error> {
        for at in endings.iter().filter_map(|ending| with_ending(url, ending)) {
            let found = fetch_text::get(&self.sources, &self.settings, (&at, by), signature::LONGEST).await?;
            if let Some(text) = found {
                return Ok(Some((show::url(&at), text)));
            }
        }
        Ok(None)
    }

    /// Returns the checksum list that the settings name, and fetches it if it is at a URL. Headers and
    /// passwords for which the user named no host are sent only if a URL that the user gave has the same
    /// origin. `spec` is the job that needs the list.
    async fn fetch_given(&self, spec: &Job) -> Result<Arc<List>, Error> {
        match &self.settings.checksums {
            Some(ChecksumList::Text { name, text, signature }) => self.list(name, text, signature.as_ref()),
            Some(ChecksumList::Url(url)) => {
                let cannot = |why: String| Error::new(ErrorKind::DigestList, show::url(url), why);
                let beside_a_file = spec.urls.iter().any(|one| one.origin() == url.origin());
                let by = GivenBy::beside(&self.settings, url, Some(spec).filter(|_| beside_a_file));
                let text =
                    fetch_text::get(&self.sources, &self.settings, (url, by), checksums::LONGEST).await;
                let text = text
                    .map_err(|error| match error.kind {
                        // The URL of the list has a digest, and the list does not match it.
                        ErrorKind::DigestMismatch => error,
                        _ => cannot(error.to_string()),
                    })?
                    .ok_or_else(|| cannot("the server has no such file, or forbids access to it".into()))?;
                let list = self.read((url, by), &text).await?;
                if list.sums.has_no_digest() {
                    return Err(cannot("no line of it has a digest".into()));
                }
                Ok(list)
            }
            None => Err(Error::new(ErrorKind::DigestList, "", "none was given")),
        }
    }

    /// Reads a fetched list, and fetches its signature if there are keys.
    async fn read(&self, (url, by): (&Url, GivenBy), text: &[u8]) -> Beside {
        let signature = match self.keys()? {
            Some((keys, _)) => self.signature((url, by), keys.list_endings()).await?,
            None => None,
        };
        self.list(&last_segment(url), text, signature.as_ref())
    }

    /// Reads a list. `beside` is the signature file beside the list, if there is one. If the settings have
    /// keys and the list is signed, only its signed content is used.
    fn list(&self, name: &str, text: &[u8], beside: Option<&(String, Vec<u8>)>) -> Beside {
        let beside = beside.map(|(at, signature)| (at.as_str(), signature.as_slice()));
        let signed = match self.keys()? {
            Some((_, trusted)) => trusted.signed(text, name, beside)?,
            None => None,
        };
        let list = match signed {
            Some((said, by)) => {
                let sums = Checksums::read(&said, name);
                List { label: format!("{name}, signed by {by}"), name: name.into(), sums, signed: true }
            }
            None => {
                let sums = Checksums::read(text, name);
                List { label: name.into(), name: name.into(), sums, signed: false }
            }
        };
        Ok(Arc::new(list))
    }
}

impl List {
    /// Returns the digests of the file that has one of these names. `single` is true if a digest without a
    /// name can only be that of this file.
    ///
    /// # Errors
    /// Returns why the list contains no such digest, in words for the user.
    fn about(&self, names: &[String], single: bool) -> Result<Vec<Digest>, String> {
        match self.sums.of(names) {
            Named::As(digests) => return Ok(digests),
            Named::Several => return Err(format!("{} has several files of this name", self.label)),
            Named::Not => {}
        }
        let alone = self.sums.alone();
        if !alone.is_empty() {
            // `a.iso.sha256` has the digest of `a.iso`.
            let is_named =
                self.name.rsplit_once('.').is_some_and(|(name, _)| names.iter().any(|one| one == name));
            let name = &self.label;
            return match single || is_named {
                true => Ok(alone),
                false => Err(format!(
                    "{name} has a digest without a name, so it cannot be used for one of several files"
                )),
            };
        }
        let unread = match self.sums.unread() {
            0 => String::new(),
            1 => " (a line of it could not be read)".into(),
            unread => format!(" ({unread} lines of it could not be read)"),
        };
        Err(format!("{} does not name the file{unread}", self.label))
    }

    /// Adds digests of this list to the findings. Returns true if the list is signed.
    fn add(&self, digests: Vec<Digest>, findings: &mut Findings) -> bool {
        findings
            .expected
            .extend(digests.into_iter().map(|digest| Expected { digest, from: self.label.clone() }));
        self.signed
    }
}

/// Returns true if there is a digest with an algorithm for which `counts` returns true.
fn has(expected: &[Expected], counts: impl Fn(Algorithm) -> bool) -> bool {
    expected.iter().any(|one| counts(one.digest.algorithm))
}

/// Returns the names that a file may have in a checksum list: the name that the user gave, the name that the
/// server gave, and the last parts of the first URL of the job and of the URL of the response.
fn names(spec: &Job, remote: Option<&Remote>) -> Vec<String> {
    let mut names = Vec::new();
    match &spec.destination {
        Destination::Name(name) => names.extend(calls(name)),
        Destination::Path(path) => {
            names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()))
        }
        Destination::Server | Destination::Stdout | Destination::Stream(_) | Destination::Writer(_) => {}
    }
    if let Some(remote) = remote {
        names.extend(remote.name.iter().flat_map(calls));
        names.push(last_segment(&remote.url));
    }
    names.push(last_segment(&spec.urls[0]));
    // Some lists have names as they are in URLs, such as `a%20b`.
    names.extend(spec.urls[0].path_segments().and_then(|mut all| all.next_back()).map(String::from));
    names
}

/// Returns both forms of a name: the one before it was made safe, and the safe one.
fn calls(name: &SafeName) -> impl Iterator<Item = String> {
    [name.original().map(String::from), Some(name.to_string())].into_iter().flatten()
}

/// Returns the URL of the file beside `url` that has the same name with this ending added. Returns `None` if
/// the path of `url` ends with a slash. The query and the fragment of `url` are dropped, since they belong
/// only to the file at `url`.
fn with_ending(url: &Url, ending: &str) -> Option<Url> {
    let mut beside = url.clone();
    beside.set_query(None);
    beside.set_fragment(None);
    beside.set_path(&format!("{}{ending}", url.path()));
    (!url.path().ends_with('/')).then_some(beside)
}
