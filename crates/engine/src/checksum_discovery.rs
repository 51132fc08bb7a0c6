//! What is known of a file from elsewhere than its own replies: checksum lists that were given or stand beside it, and
//! signatures.
//!
//! Invariant: a list is fetched once in a run, those beside files ([`beside`]) once for each folder, and what is wrong with a
//! signature is a failure, never a list without one.

mod beside;

use crate::fetch_text;
use crate::signed::{Signature, Trusted};
use crate::source::{By, Sources};
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
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::OnceCell;
use url::Url;

/// The longest document about a file that is fetched because a server says so: a hundred mirrors and the SHA-256 of a
/// thousand pieces are some 100 KiB.
const DOCUMENT_MOST: usize = 1024 * 1024;

/// What is known of a file's content before it is there.
#[derive(Clone, Default)]
pub(crate) struct Known {
    pub(crate) findings: Findings,
    /// Its own signature, by a key of the settings.
    pub(crate) signature: Option<Arc<Signature>>,
    /// Where it is too, by its server's word.
    pub(crate) mirrors: Vec<Url>,
}

impl Known {
    /// What must be computed of the file.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        let listed = self.findings.expected.iter().map(|one| one.digest.algorithm);
        listed.chain(self.findings.signed.iter().filter_map(|signed| signed.digest))
    }
}

/// Finds it out.
pub(crate) struct Proofs {
    settings: Arc<Settings>,
    sources: Sources,
    /// The keys whose signatures count, or why they cannot be used.
    trusted: Option<Result<Trusted, Error>>,
    given: OnceCell<Result<Arc<List>, Error>>,
    /// Lists of folders, by their URLs; `None` where there is none.
    folders: Mutex<HashMap<Url, Arc<OnceCell<Option<Beside>>>>>,
}

/// A list, and who vouches for it.
struct List {
    /// What it is called, for people: `SHA256SUMS`, `SHA256SUMS, signed by 0123456789ABCDEF`.
    label: String,
    /// Its file name.
    name: String,
    sums: Checksums,
    signed: bool,
}

/// A list beside a file, or why there is none although there may be one.
type Beside = Result<Arc<List>, Error>;

impl Proofs {
    pub(crate) fn new(settings: Arc<Settings>, sources: Sources) -> Self {
        let read =
            |keys| Trusted::new(keys).map_err(|why| Error::new(ErrorKind::SignatureWrong, "the key", why));
        let trusted = settings.signed_by.as_ref().map(read);
        Proofs { settings, sources, trusted, given: OnceCell::new(), folders: Mutex::default() }
    }

    /// There is nothing to find out about any file.
    pub(crate) fn is_idle(&self) -> bool {
        let Settings { verify, checksums, signed_by, .. } = &*self.settings;
        match verify {
            Verify::Off => true,
            Verify::Auto => checksums.is_none() && signed_by.is_none(),
            Verify::Find | Verify::Listed | Verify::Require => false,
        }
    }

    /// What is known of a file, by the names that it has, one of them by its reply.
    ///
    /// # Errors
    /// What keeps it from being proven as it must be.
    pub(crate) async fn about(&self, spec: &Job, remote: Option<&Remote>) -> Result<Known, Error> {
        let mut known = Known::default();
        if self.is_idle() {
            return Ok(known);
        }
        let names = names(spec, remote);
        let mut signed = false;
        let verify = self.settings.verify;
        if self.settings.checksums.is_some() {
            signed |= self.look_in_given(spec, &names, &mut known.findings).await?;
        }
        let url = &spec.urls[0];
        let counts = |findings: &Findings, counts: fn(Algorithm) -> bool| {
            has(&spec.expected, counts) || has(&findings.expected, counts)
        };
        let enough = counts(&known.findings, Algorithm::is_strong) && (signed || self.keys()?.is_none());
        if matches!(verify, Verify::Find | Verify::Listed | Verify::Require) && !enough {
            signed |= self.look_beside(url, &names, &mut known.findings).await?;
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
                    "of its list, and what was written in order cannot be read again for its own",
                );
            }
            let Some((at, text)) = self.signature(url, endings).await? else {
                return missing("of the file or of its list");
            };
            let signature = trusted.signature(&text, &at)?;
            known.findings.signed = Some(signature.told());
            known.signature = Some(Arc::new(signature));
        }
        Ok(known)
    }

    /// Takes in what the list of the settings says of a file. Whether it is signed.
    ///
    /// # Errors
    /// The list cannot be fetched, or says nothing of a file about which it must.
    async fn look_in_given(
        &self,
        spec: &Job,
        names: &[String],
        findings: &mut Findings,
    ) -> Result<bool, Error> {
        let list = self.given.get_or_init(|| self.fetch_given()).await.clone()?;
        let why = match list.about(names, self.settings.single) {
            Ok(digests) => return Ok(list.add(digests, findings)),
            Err(why) => why,
        };
        // What the list of jobs says of the file may be enough.
        let missing = match self.settings.verify {
            Verify::Require if !has(&spec.expected, Algorithm::is_strong) => ErrorKind::DigestMissing,
            Verify::Listed if !has(&spec.expected, Algorithm::counts_in_lists) => ErrorKind::DigestUnlisted,
            _ => {
                findings.notes.push(why);
                return Ok(false);
            }
        };
        Err(Error::new(missing, names.first().cloned().unwrap_or_default(), why))
    }

    /// Adds what the reply offers: mirrors, and a document that says what the file must be. Mirrors need no trust, as they
    /// are used together only under a digest, and that comes from the server that was asked.
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

    /// The file of a document that a reply says to be about it: the only one in it, or the one of its name.
    async fn described(&self, at: &Url, remote: &Remote) -> Result<Job, String> {
        let text = fetch_text::get(&self.sources, &self.settings, (at, By::Server), DOCUMENT_MOST).await;
        let text = text.map_err(|error| error.to_string())?.ok_or("there is no such document")?;
        let mut files: Vec<Job> = Vec::new();
        for (_, file) in Metalink::new(text) {
            match file {
                Ok(file) => files.push(file),
                // Of the document as a whole. A file of it that cannot be downloaded is not the one that is wanted.
                Err(error) if error.kind == ErrorKind::ListLine => return Err(error.to_string()),
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
        let [_] = &files[..] else { return Err("it does not say which of its files this is".into()) };
        files.pop().ok_or_else(String::new)
    }

    /// # Errors
    /// The keys of the settings are of no use.
    fn keys(&self) -> Result<Option<(&Keys, &Trusted)>, Error> {
        let trusted = self.trusted.as_ref().map(Result::as_ref).transpose().map_err(Clone::clone)?;
        Ok(self.settings.signed_by.as_ref().zip(trusted))
    }

    /// The first signature that stands beside this URL: where, and what it says.
    async fn signature(&self, url: &Url, endings: &[&str]) -> Result<Option<(String, Vec<u8>)>, Error> {
        for at in endings.iter().filter_map(|ending| with_ending(url, ending)) {
            let found =
                fetch_text::get(&self.sources, &self.settings, (&at, By::Person), signature::LONGEST).await?;
            if let Some(text) = found {
                return Ok(Some((show::url(&at), text)));
            }
        }
        Ok(None)
    }

    async fn fetch_given(&self) -> Result<Arc<List>, Error> {
        match &self.settings.checksums {
            Some(ChecksumList::Text { name, text, signature }) => self.list(name, text, signature.as_ref()),
            Some(ChecksumList::Url(url)) => {
                let cannot = |why: String| Error::new(ErrorKind::DigestList, show::url(url), why);
                let text =
                    fetch_text::get(&self.sources, &self.settings, (url, By::Person), checksums::LONGEST)
                        .await;
                let text = text
                    .map_err(|error| match error.kind {
                        // Of the list itself, where its URL has a digest.
                        ErrorKind::DigestMismatch => error,
                        _ => cannot(error.to_string()),
                    })?
                    .ok_or_else(|| cannot("it is not there".into()))?;
                let list = self.read(url, &text).await?;
                if list.sums.entries().is_empty() {
                    return Err(cannot("no line of it is a digest and a name".into()));
                }
                Ok(list)
            }
            None => Err(Error::new(ErrorKind::DigestList, "", "none was given")),
        }
    }

    /// A list that was fetched, with its signature if one is wanted and there.
    async fn read(&self, url: &Url, text: &[u8]) -> Beside {
        let signature = match self.keys()? {
            Some((keys, _)) => self.signature(url, keys.list_endings()).await?,
            None => None,
        };
        self.list(&last_segment(url), text, signature.as_ref())
    }

    /// A list with the signature beside it, if there is one: what is signed of it, where that is wanted.
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
    /// What it says of a file, by its names; `single`: of the only file of the run.
    ///
    /// # Errors
    /// Why that is nothing, for a person.
    fn about(&self, names: &[String], single: bool) -> Result<Vec<Digest>, String> {
        match self.sums.of(names) {
            Named::As(digests) => return Ok(digests),
            Named::Several => return Err(format!("{} has several files of this name", self.label)),
            Named::Not => {}
        }
        let alone = self.sums.alone();
        if !alone.is_empty() {
            // `a.iso.sha256` is about `a.iso`.
            let is_named =
                self.name.rsplit_once('.').is_some_and(|(name, _)| names.iter().any(|one| one == name));
            let name = &self.label;
            return match single || is_named {
                true => Ok(alone),
                false => Err(format!(
                    "{name} has a digest and no name, so that it says nothing of one file among several"
                )),
            };
        }
        let unread = match self.sums.unread() {
            0 => String::new(),
            1 => " (a line of it could not be read)".into(),
            unread => format!(" ({unread} lines of it could not be read)"),
        };
        Err(format!("{} does not name it{unread}", self.label))
    }

    /// What it says counts. Whether it is signed.
    fn add(&self, digests: Vec<Digest>, findings: &mut Findings) -> bool {
        findings
            .expected
            .extend(digests.into_iter().map(|digest| Expected { digest, from: self.label.clone() }));
        self.signed
    }
}

/// Whether some digest is of an algorithm that counts.
fn has(expected: &[Expected], counts: impl Fn(Algorithm) -> bool) -> bool {
    expected.iter().any(|one| counts(one.digest.algorithm))
}

/// What a file may be called in a list: as the person calls it, as the server does, and by its URLs.
fn names(spec: &Job, remote: Option<&Remote>) -> Vec<String> {
    let mut names = Vec::new();
    match &spec.destination {
        Destination::Name(name) => names.extend(calls(name)),
        Destination::Path(path) => {
            names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()))
        }
        Destination::Server | Destination::Stdout | Destination::Stream(_) => {}
    }
    if let Some(remote) = remote {
        names.extend(remote.name.iter().flat_map(calls));
        names.push(last_segment(&remote.url));
    }
    names.push(last_segment(&spec.urls[0]));
    names
}

/// What a list may call a file of this name: by the server's own words, or by what they became.
fn calls(name: &SafeName) -> impl Iterator<Item = String> {
    [name.original().map(String::from), Some(name.to_string())].into_iter().flatten()
}

/// The URL of what stands beside a file under its name and this ending. What else a URL says is about the file alone.
fn with_ending(url: &Url, ending: &str) -> Option<Url> {
    let mut beside = url.clone();
    beside.set_query(None);
    beside.set_fragment(None);
    beside.set_path(&format!("{}{ending}", url.path()));
    (!url.path().ends_with('/')).then_some(beside)
}
