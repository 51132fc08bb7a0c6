//! What is known of a file from elsewhere than its own replies: checksum lists that were given or stand beside it, and
//! signatures.
//!
//! Invariant: a list is fetched once in a run, those beside files once for each folder, and what is wrong with a
//! signature is a failure, never a list without one.

use crate::signed::{Signature, Trusted};
use crate::small;
use crate::source::{By, Sources};
use downhaul_core::digest::{Algorithm, Digest, Expected};
use downhaul_core::error::{Error, Kind};
use downhaul_core::job::{JobSpec, Target};
use downhaul_core::list::checksums::{self, Checksums, Named};
use downhaul_core::list::metalink::Metalink;
use downhaul_core::name::{SafeName, last_segment};
use downhaul_core::plan::About;
use downhaul_core::reply::{Links, Reply};
use downhaul_core::settings::{ChecksumList, Settings, Verify};
use downhaul_core::show;
use downhaul_core::signature::{self, Keys};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;
use url::Url;

/// Lists that stand beside files, for the folder and for a file.
const OF_A_FOLDER: [&str; 3] = ["SHA256SUMS", "SHA512SUMS", "checksums.txt"];
const OF_A_FILE: [&str; 2] = [".sha256", ".sha512"];

/// Folders whose lists are remembered: those of a list of files come together, and forgetting one costs three requests.
const FOLDERS_MOST: usize = 256;

/// The longest document about a file that is fetched because a server says so: a hundred mirrors and the SHA-256 of a
/// thousand pieces are some 100 KiB.
const DOCUMENT_MOST: usize = 1024 * 1024;

/// What is known of a file's content before it is there.
#[derive(Clone, Default)]
pub(crate) struct Known {
    pub(crate) about: About,
    /// Its own signature, by a key of the settings.
    pub(crate) signature: Option<Arc<Signature>>,
    /// Where it is too, by its server's word.
    pub(crate) mirrors: Vec<Url>,
}

impl Known {
    /// What must be computed of the file.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        let listed = self.about.expected.iter().map(|one| one.digest.algorithm);
        listed.chain(self.about.signed.iter().filter_map(|signed| signed.digest))
    }
}

/// Finds it out.
pub(crate) struct Proofs {
    settings: Arc<Settings>,
    sources: Sources,
    /// Whose signatures are believed, or why nobody's can be.
    trusted: Option<Result<Trusted, Error>>,
    given: OnceCell<Result<Arc<List>, Error>>,
    folders: Mutex<HashMap<Url, Arc<OnceCell<Vec<Beside>>>>>,
}

/// A list, and who vouches for it.
struct List {
    /// What it is called, for people: `SHA256SUMS`, `SHA256SUMS, signed by 0123456789ABCDEF`.
    label: String,
    sums: Checksums,
    signed: bool,
}

/// A list beside a file, or why there is none although there may be one.
type Beside = Result<Arc<List>, Error>;

impl Proofs {
    pub(crate) fn new(settings: Arc<Settings>, sources: Sources) -> Self {
        let read = |keys| Trusted::new(keys).map_err(|why| Error::new(Kind::SignatureWrong, "the key", why));
        let trusted = settings.signed_by.as_ref().map(read);
        Proofs { settings, sources, trusted, given: OnceCell::new(), folders: Mutex::default() }
    }

    /// There is nothing to find out about any file.
    pub(crate) fn is_idle(&self) -> bool {
        let Settings { verify, checksums, signed_by, .. } = &*self.settings;
        match verify {
            Verify::Off => true,
            Verify::Auto => checksums.is_none() && signed_by.is_none(),
            Verify::Find | Verify::Require => false,
        }
    }

    /// What is known of a file, by the names that it has, one of them by its reply.
    ///
    /// # Errors
    /// What keeps it from being proven as it must be.
    pub(crate) async fn about(&self, spec: &JobSpec, reply: Option<&Reply>) -> Result<Known, Error> {
        let mut known = Known::default();
        if self.is_idle() {
            return Ok(known);
        }
        let names = names(spec, reply);
        let mut signed = false;
        if self.settings.checksums.is_some() {
            let list = self.given.get_or_init(|| self.fetch_given()).await.clone()?;
            match list.sums.of(&names) {
                Named::As(digests) => signed |= list.add(digests, &mut known.about),
                other => {
                    let why = match other {
                        Named::Several => format!("{} has several files of this name", list.label),
                        _ => format!("{} does not name it", list.label),
                    };
                    if self.settings.verify == Verify::Require {
                        return Err(Error::new(
                            Kind::DigestMissing,
                            names.first().cloned().unwrap_or_default(),
                            why,
                        ));
                    }
                    known.about.notes.push(why);
                }
            }
        }
        let url = &spec.urls[0];
        if matches!(self.settings.verify, Verify::Find | Verify::Require) {
            signed |= self.look_beside(url, &names, &mut known.about).await?;
        }
        if let Some((keys, trusted)) = self.keys()?.filter(|_| !signed) {
            let endings = keys.endings();
            let missing = |why| {
                let first = with_ending(url, endings[0]).as_ref().map(show::url).unwrap_or_default();
                Err(Error::new(Kind::SignatureMissing, first, why))
            };
            if spec.target == Target::Stdout && trusted.reads_again() {
                return missing(
                    "of its list, and what went to standard output cannot be read again for its own",
                );
            }
            let Some((at, text)) = self.signature(url, endings).await? else {
                return missing("of the file or of its list");
            };
            let signature = trusted.signature(&text, &at)?;
            known.about.signed = Some(signature.told());
            known.signature = Some(Arc::new(signature));
        }
        Ok(known)
    }

    /// Adds what the reply offers: mirrors, and a document that says what the file must be. Mirrors need no trust, as they
    /// are used together only under a digest; whoever says what that is, is the server that was asked.
    pub(crate) async fn add_offers(&self, known: &mut Known, reply: &Reply) {
        let Links { duplicates, described_by } = &reply.links;
        let mut mirrors = duplicates.clone();
        let settings = &self.settings;
        let may =
            |url: &Url| reply.url.scheme() != "https" || url.scheme() == "https" || settings.allow_downgrade;
        if let Some(at) = described_by.as_ref().filter(|at| may(at)) {
            match self.described(at, reply).await {
                Ok(spec) => {
                    mirrors.extend(spec.urls);
                    let about = &mut known.about;
                    about.expected.extend(spec.expected);
                    (about.pieces, about.size) = (spec.pieces, spec.size);
                }
                Err(why) => known.about.notes.push(format!("{}: {why}", show::url(at))),
            }
        }
        mirrors.retain(|url| may(url) && *url != reply.url);
        known.mirrors = mirrors;
    }

    /// The file of a document that a reply says to be about it: the only one in it, or the one of its name.
    async fn described(&self, at: &Url, reply: &Reply) -> Result<JobSpec, String> {
        let text = small::get(&self.sources, &self.settings, (at, By::Server), DOCUMENT_MOST).await;
        let text = text.map_err(|error| error.to_string())?.ok_or("there is no such document")?;
        let mut files: Vec<JobSpec> = Metalink::new(text)
            .map(|(_, file)| file.map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()?;
        if files.len() > 1 {
            let names = [reply.name.as_ref().map(ToString::to_string), Some(last_segment(&reply.url))];
            let of_it = |spec: &JobSpec| match &spec.target {
                Target::Name(name) => names.iter().flatten().any(|one| *one == name.to_string()),
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
                small::get(&self.sources, &self.settings, (&at, By::Person), signature::LONGEST).await?;
            if let Some(text) = found {
                return Ok(Some((show::url(&at), text)));
            }
        }
        Ok(None)
    }

    /// Takes in what the lists beside a file say. Whether a signed one names it.
    async fn look_beside(&self, url: &Url, names: &[String], about: &mut About) -> Result<bool, Error> {
        let Some(folder) = url.join(".").ok().filter(|folder| folder.path() != url.path()) else {
            return Ok(false);
        };
        let mut signed = false;
        for list in self.beside(folder).await.get().into_iter().flatten() {
            let list = self.usable(list, about)?;
            if let Some((list, Named::As(digests))) = list.map(|list| (list.clone(), list.sums.of(names))) {
                signed |= list.add(digests, about);
            }
        }
        if !about.expected.is_empty() {
            return Ok(signed);
        }
        let own = OF_A_FILE.iter().filter_map(|ending| with_ending(url, ending));
        for list in join_all(own.map(|url| self.fetch_beside(url))).await.iter().flatten() {
            let Some(list) = self.usable(list, about)? else { continue };
            let digests = match (list.sums.of(names), list.sums.alone()) {
                (Named::As(digests), _) => digests,
                (_, Some(digest)) => vec![digest.clone()],
                _ => continue,
            };
            signed |= list.add(digests, about);
        }
        Ok(signed)
    }

    /// A list that cannot be had says nothing; one with a wrong signature says too much.
    fn usable<'l>(&self, list: &'l Beside, about: &mut About) -> Result<Option<&'l Arc<List>>, Error> {
        match list {
            Ok(list) => Ok(Some(list)),
            Err(error) if error.kind == Kind::SignatureWrong => Err(error.clone()),
            Err(error) => {
                about.notes.push(format!("a checksum list beside it was not read: {error}"));
                Ok(None)
            }
        }
    }

    /// The lists of a folder; fetched when they are asked for the first time.
    async fn beside(&self, folder: Url) -> Arc<OnceCell<Vec<Beside>>> {
        let cell = {
            let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
            if folders.len() >= FOLDERS_MOST {
                folders.clear();
            }
            folders.entry(folder.clone()).or_default().clone()
        };
        let fetch = async {
            let urls = OF_A_FOLDER.iter().filter_map(|name| folder.join(name).ok());
            let fetch = async |url: Url| match self.fetch_beside(url.clone()).await {
                None => self.fetch_within_signature(&url).await,
                list => list,
            };
            join_all(urls.map(fetch)).await.into_iter().flatten().collect()
        };
        cell.get_or_init(|| fetch).await;
        cell
    }

    async fn fetch_beside(&self, url: Url) -> Option<Beside> {
        match small::get(&self.sources, &self.settings, (&url, By::Person), checksums::LONGEST).await {
            Ok(text) => Some(self.read(&url, &text?).await),
            Err(error) => Some(Err(error)),
        }
    }

    /// A list that is there only with its signature around it. What has none around it is no list, but the signature of one that
    /// is not there.
    async fn fetch_within_signature(&self, url: &Url) -> Option<Beside> {
        let endings = self.keys().ok()??.0.signed_list_endings();
        for at in endings.iter().filter_map(|ending| with_ending(url, ending)) {
            match small::get(&self.sources, &self.settings, (&at, By::Person), checksums::LONGEST).await {
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

    async fn fetch_given(&self) -> Result<Arc<List>, Error> {
        match &self.settings.checksums {
            Some(ChecksumList::Text { name, text, signature }) => self.list(name, text, signature.as_ref()),
            Some(ChecksumList::Url(url)) => {
                let cannot = |why: String| Error::new(Kind::DigestList, show::url(url), why);
                let text =
                    small::get(&self.sources, &self.settings, (url, By::Person), checksums::LONGEST).await;
                let text = text
                    .map_err(|error| cannot(error.to_string()))?
                    .ok_or_else(|| cannot("it is not there".into()))?;
                let list = self.read(url, &text).await?;
                if list.sums.entries().is_empty() {
                    return Err(cannot("no line of it is a digest and a name".into()));
                }
                Ok(list)
            }
            None => Err(Error::new(Kind::DigestList, "", "none was given")),
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
            Some((said, by)) => List {
                label: format!("{name}, signed by {by}"),
                sums: Checksums::read(&said, name),
                signed: true,
            },
            None => List { label: name.to_string(), sums: Checksums::read(text, name), signed: false },
        };
        Ok(Arc::new(list))
    }
}

impl List {
    /// What it says counts. Whether it is signed.
    fn add(&self, digests: Vec<Digest>, about: &mut About) -> bool {
        about
            .expected
            .extend(digests.into_iter().map(|digest| Expected { digest, from: self.label.clone() }));
        self.signed
    }
}

/// What a file may be called in a list: as the person calls it, as the server does, and by its URLs.
fn names(spec: &JobSpec, reply: Option<&Reply>) -> Vec<String> {
    let mut names = Vec::new();
    match &spec.target {
        Target::Name(name) => names.extend(calls(name)),
        Target::Path(path) => names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned())),
        Target::Server | Target::Stdout => {}
    }
    if let Some(reply) = reply {
        names.extend(reply.name.iter().flat_map(calls));
        names.push(last_segment(&reply.url));
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
