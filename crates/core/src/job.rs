//! A [`Job`] is one file to download, with its sources, its destination, its expected content, and its
//! options. This file also decides which URLs are accepted, and which scheme is assumed for a URL without a
//! scheme. `header` decides which headers are accepted.
//!
//! This file is long because it is the list of all options of a job, each with its documentation.

mod asks;
pub mod fragment;
mod header;

pub use asks::{Body, ByteRange, Sends};

use crate::digest::{Algorithm, Digest, Expected};
use crate::error::{Error, ErrorKind};
use crate::event::Kept;
use crate::name::SafeName;
use crate::secret::Secret;
use crate::settings::Settings;
use crate::show;
use base64::prelude::{BASE64_STANDARD, Engine};
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
pub use url::{Position, Url};

/// One file to download.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Job {
    /// The URLs of the file, at least one. If there are several, they are mirrors. The mirrors are used
    /// together if the size and a strong digest of the file (or digests of its chunks) are known, and if the
    /// output takes bytes in any order. A pipe, for example, takes them only in order. In all other cases, a
    /// mirror is used only after the mirrors before it have failed. The download then starts again, because
    /// the mirrors may have different bytes.
    pub urls: Vec<Url>,
    /// The author of the URLs: the user or a document. The URLs of a document do not always get the headers
    /// and logins in the settings.
    pub named_by: NamedBy,
    /// True if the first URL was given without a scheme, and https was assumed. If https fails, plain http
    /// may have been meant.
    pub assumed_https: bool,
    /// The destination of the file.
    pub destination: Destination,
    /// The output folder for this job. `None` means [`Settings::output`](crate::settings::Settings::output).
    pub output: Option<PathBuf>,
    /// The folder in which the file is saved, below the output folder. It is used only if the server or the
    /// URL gives the name of the file.
    pub folder: Option<SafeName>,
    /// Digests that the file must have, such as digests from a list.
    pub expected: Vec<Expected>,
    /// Digests that the chunks of the file must have, from a list.
    pub chunks: Option<ChunkHashes>,
    /// The size that the file must have, in bytes, if a list or the caller gave it.
    pub size: Option<u64>,
    /// The highest number of connections for this file. With `None`, the settings of the session apply.
    pub connections: Option<usize>,
    /// The limit for this file in bytes a second, in addition to the limit of the session. With `None`, only
    /// the limit of the session applies.
    pub limit_rate: Option<u64>,
    /// The handling of an existing file that has the final name. With `None`, the settings of the session
    /// apply.
    pub if_exists: Option<IfExists>,
    /// Headers (name, value) in addition to the headers in the settings. They are sent to the origins
    /// (scheme, host, port) of `urls` and to no other origins. They are not sent with requests for checksum
    /// lists and signatures beside the file.
    pub headers: Headers,
    /// Headers (name, value) of the user for this job. Unlike `headers`, they are sent only to the URLs of
    /// the job that the user gave ([`Job::is_given`]). The other URLs may come from a document.
    pub user_headers: Headers,
    /// The origins, such as `https://host:8443`, of the URLs of this job that the user gave although
    /// `named_by` says that the URLs come from a document.
    pub given_origins: BTreeSet<String>,
    /// The value of `credentials` in the line of a list. It is the name of a section for hosts in the
    /// configuration, or of an entry in the netrc file. The command-line program adds the login in this
    /// section or entry to `headers`. A session does not read this field.
    pub login_of: Option<String>,
    /// The request that is sent, if it is not a plain GET. It is sent to the origins of `urls` and to no
    /// other origins.
    pub sends: Option<Sends>,
    /// The range of the file that is downloaded, if only a part of the file is wanted. The digests and the
    /// size of the whole file are not compared with this range. If the settings require a signature or a
    /// digest, the job fails.
    pub range: Option<ByteRange>,
    /// The number of the network that is used for the requests. A network is a way to reach servers, with its
    /// own proxies and time limits. Number 0 is the network in the settings of the session.
    pub network: u32,
    /// The priority. Jobs with a higher number start before jobs with a lower number, and get additional
    /// connections first.
    pub priority: i32,
    /// Notes for the user, such as a note about parts of a list entry that cannot be used.
    pub notes: Vec<String>,
    /// The keys of a JSON line, or the columns of a table, that downhaul does not know. They are copied to
    /// the first and the last event of the job.
    pub extra: serde_json::Map<String, serde_json::Value>,
    /// The number of the job's line in the list, or of its URL in the arguments, from 1 on. It is 0 if there
    /// is no such number. Names may contain it.
    pub line: u64,
    /// True if the job is a line of a lock file. If several lines of the lock file have the same name, a
    /// later line replaces an earlier line. A later line without a strong digest is left out instead.
    pub is_recorded: bool,
    /// True if the job is a line of a list of `--failed`. The options that change URLs and given names were
    /// applied before the line was written, so they are not applied again.
    pub is_left_over: bool,
    /// The name of the file below the output folder if the server states no other name. An earlier run chose
    /// this name, for example because another file of that run had the name that the URL gives. If the
    /// server states another name, each folder that has a number in this name gets the same number again.
    pub url_name: Option<SafeName>,
    /// The facts about the file, if an earlier run fetched it. The job is then skipped without a request.
    pub done: Option<Kept>,
    /// Files of earlier runs with a digest that this job expects. With [`Dedup`](crate::dedup::Dedup), the
    /// file of this job is made from the first of these files that still exists unchanged.
    pub archived: Vec<Kept>,
}

impl Job {
    /// Returns a job for the file at a URL. The server or the URL gives the name. A digest in the fragment of
    /// the URL is ignored here. [`Job::with_digests`] reads it.
    pub fn new(url: Url) -> Self {
        Job {
            urls: vec![url],
            named_by: NamedBy::Person,
            assumed_https: false,
            destination: Destination::Server,
            output: None,
            folder: None,
            expected: Vec::new(),
            chunks: None,
            size: None,
            connections: None,
            limit_rate: None,
            if_exists: None,
            headers: Headers::default(),
            user_headers: Headers::default(),
            given_origins: BTreeSet::new(),
            login_of: None,
            sends: None,
            range: None,
            network: 0,
            priority: 0,
            notes: Vec::new(),
            extra: serde_json::Map::new(),
            line: 0,
            is_recorded: false,
            is_left_over: false,
            url_name: None,
            done: None,
            archived: Vec::new(),
        }
    }

    /// Returns a job for a URL as a user writes it ([`parse_given`]). If the fragment has a digest
    /// ([`fragment::take_digests`]), the file must have that digest.
    ///
    /// # Errors
    /// Returns the errors of [`parse_given`], and `url.invalid` if the fragment has a malformed digest, a
    /// digest of an unsupported algorithm, or two different digests of one algorithm.
    pub fn given(url: &str) -> Result<Self, Error> {
        let (url, assumed_https) = parse_given(url)?;
        Job::with_digests(url).map(|job| Job { assumed_https, ..job })
    }

    /// Returns a job for the file at a URL. If the fragment has a digest, the file must have that digest.
    ///
    /// # Errors
    /// Returns `url.invalid` if the fragment has a malformed digest, a digest of an unsupported algorithm, or
    /// two different digests of one algorithm.
    pub fn with_digests(mut url: Url) -> Result<Self, Error> {
        let digests = fragment::take_digests(&mut url);
        let note = fragment::note(&url);
        let mut job = Job::new(url);
        job.notes.extend(note);
        job.expect_of_url(digests)
            .map_err(|why| Error::new(ErrorKind::UrlInvalid, show::url(&job.urls[0]), why))?;
        Ok(job)
    }

    /// Sets the destination of the file.
    #[must_use]
    pub fn with_destination(mut self, destination: Destination) -> Self {
        self.destination = destination;
        self
    }

    /// Saves the file to this path, absolute or below the output folder.
    #[must_use]
    pub fn to_path(self, path: impl Into<PathBuf>) -> Self {
        self.with_destination(Destination::Path(path.into()))
    }

    /// Writes the bytes of the file, in order, to this writer, whose calls may block. The writer is dropped
    /// when the job ends. The engine has an adapter for asynchronous writers. At most 16 MiB wait in memory
    /// for the writer. Written bytes cannot be taken back. Therefore the job fails with `output.started` if
    /// the download has to start again. A writer that blocks forever also keeps its thread forever, even if
    /// the session stops.
    #[must_use]
    pub fn to_writer(self, writer: impl JobWriter + 'static) -> Self {
        let writer = Writer(Arc::new(Mutex::new(Some(Box::new(writer)))));
        self.with_destination(Destination::Writer(writer))
    }

    /// Saves the file into this folder instead of the output folder of the settings.
    #[must_use]
    pub fn with_output(mut self, folder: impl Into<PathBuf>) -> Self {
        self.output = Some(folder.into());
        self
    }

    /// Adds a URL from which the same file can be fetched.
    #[must_use]
    pub fn with_mirror(mut self, url: Url) -> Self {
        self.urls.push(url);
        self
    }

    /// Adds a digest that the file must have. Add at most one digest for each algorithm, because a file
    /// cannot have two digests of one algorithm.
    #[must_use]
    pub fn with_checksum(mut self, digest: Digest) -> Self {
        self.expected.push(Expected { digest, from: "the caller".into() });
        self
    }

    /// Sets the size in bytes that the file must have.
    #[must_use]
    pub fn with_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// Sets the highest number of connections for this file, at least 1.
    #[must_use]
    pub fn with_connections(mut self, connections: usize) -> Self {
        self.connections = Some(connections.max(1));
        self
    }

    /// Limits the rate of this file, in bytes a second. The limit of the session applies too.
    #[must_use]
    pub fn with_rate_limit(mut self, bytes_a_second: u64) -> Self {
        self.limit_rate = Some(bytes_a_second);
        self
    }

    /// Sets the handling of an existing file that has the final name.
    #[must_use]
    pub fn with_if_exists(mut self, if_exists: IfExists) -> Self {
        self.if_exists = Some(if_exists);
        self
    }

    /// Adds a header to the requests for this file; see [`Job::headers`]. A session removes white space
    /// around the name and around the value. It refuses a job with a header that cannot be sent, or that only
    /// the session itself may set, such as `Range`.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// Sends a user name and a password with the requests for this file (HTTP Basic, RFC 7617). The user name
    /// must not have a colon. This adds a header as [`Job::with_header`] does.
    #[must_use]
    pub fn with_credentials(self, user: &str, password: &str) -> Self {
        let login = BASE64_STANDARD.encode(format!("{user}:{password}"));
        self.with_header("Authorization", format!("Basic {login}"))
    }

    /// Sends this request instead of a plain GET; see [`Job::sends`].
    #[must_use]
    pub fn with_sends(mut self, sends: Sends) -> Self {
        self.sends = Some(sends);
        self
    }

    /// Downloads only these bytes of the file; see [`Job::range`].
    #[must_use]
    pub fn with_range(mut self, range: ByteRange) -> Self {
        self.range = Some(range);
        self.forget_whole();
        self
    }

    /// Uses a network that was added to the session, instead of the network in the settings of the session.
    #[must_use]
    pub fn with_network(mut self, network: u32) -> Self {
        self.network = network;
        self
    }

    /// Removes the digests and the size of the whole file if only a range of the file is wanted, and adds a
    /// note for the user. A session calls this function for each job that is added.
    pub fn forget_whole(&mut self) {
        let has_facts = !self.expected.is_empty() || self.chunks.is_some() || self.size.is_some();
        if self.range.is_some() && has_facts {
            self.expected.clear();
            (self.chunks, self.size) = (None, None);
            self.notes.push(
                "the digests and the size of the whole file are not used, because only a range is downloaded"
                    .into(),
            );
        }
    }

    /// Returns true if the user gave this URL of the job, or another URL of the same origin.
    pub fn is_given(&self, settings: &Settings, url: &Url) -> bool {
        settings.sends_headers_to(url, self.named_by)
            || !self.given_origins.is_empty()
                && self.given_origins.contains(&url.origin().ascii_serialization())
    }

    /// Sets the priority; see [`Job::priority`].
    #[must_use]
    pub fn with_priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets [`Job::assumed_https`], for a URL that [`parse_given`] has read.
    #[must_use]
    pub fn with_assumed_https(mut self, assumed_https: bool) -> Self {
        self.assumed_https = assumed_https;
        self
    }

    /// Adds a mirror. Its URL may have any form that a user may write. If there is an error, the job is not
    /// changed.
    ///
    /// # Errors
    /// Returns the errors of [`Job::given`], and `url.invalid` if a different digest of the same algorithm
    /// was added before.
    pub fn add_mirror(&mut self, url: &str) -> Result<(), Error> {
        let (mut url, _) = parse_given(url)?;
        let digests = fragment::take_digests(&mut url);
        self.expect_of_url(digests).map_err(|why| Error::new(ErrorKind::UrlInvalid, show::url(&url), why))?;
        // All mirrors may have the same fragment, and one note is enough.
        let note = fragment::note(&url).filter(|note| !self.notes.contains(note));
        self.notes.extend(note);
        self.urls.push(url);
        Ok(())
    }

    /// Adds a digest that the file must have. `from` is the place where the digest was found, in words for
    /// the user.
    ///
    /// # Errors
    /// Returns a message for the user if a different digest of the same algorithm was added before. No file
    /// can have both digests.
    pub fn expect(&mut self, digest: Digest, from: &str) -> Result<(), String> {
        match self.expected.iter().find(|other| other.digest.algorithm == digest.algorithm) {
            None => self.expected.push(Expected { digest, from: from.into() }),
            Some(other) if other.digest == digest => {}
            Some(_) => {
                return Err(format!(
                    "two different {} digests are given for this file",
                    digest.algorithm.name()
                ));
            }
        }
        Ok(())
    }

    /// Adds the digests in the fragment of a URL. If there is an error, no digest is added.
    fn expect_of_url(&mut self, digests: Result<Vec<Digest>, String>) -> Result<(), String> {
        let before = self.expected.len();
        let mut digests = digests?.into_iter();
        let added = digests.try_for_each(|digest| self.expect(digest, "the URL"));
        added.inspect_err(|_| self.expected.truncate(before))
    }
}

/// Writes the job for debugging. Secrets of URLs and the values of headers are hidden, and some fields are
/// left out.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<String> = self.urls.iter().map(show::url).collect();
        f.debug_struct("Job")
            .field("urls", &urls)
            .field("named_by", &self.named_by)
            .field("destination", &self.destination)
            .field("expected", &self.expected)
            .field("size", &self.size)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// The author of the URLs of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// The user. The headers and credentials of the user are sent to the origins of these URLs.
    Person,
    /// A document that someone else may have written: a list in a form such as Metalink
    /// ([`Form::is_document`](crate::list::form::Form::is_document)), or any list that was fetched. The
    /// headers and credentials of the user are sent only to origins that the user also named
    /// ([`Settings::header_origins`](crate::settings::Settings::header_origins)). Headers and credentials
    /// that the user gave for a host by name are also sent to this host.
    Document,
}

/// Headers of requests (name, value). Any value may be a secret, so debug output shows no values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, Secret)>);

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let header = |(name, value): (N, V)| (name.into(), Secret::new(value));
        Headers(headers.into_iter().map(header).collect())
    }
}

/// The digests of all chunks of a file, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkHashes {
    /// The length of each chunk in bytes, at least 1. The last chunk may be shorter.
    pub length: u64,
    /// The algorithm of all digests.
    pub algorithm: Algorithm,
    /// The digests, one for each chunk.
    pub digests: Vec<Digest>,
    /// The place where the digests were found, in words for the user.
    pub from: String,
}

/// The destination of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A file in the output folder, with the name that the server or the URL gives.
    Server,
    /// A file below the output folder, with this name.
    Name(SafeName),
    /// A file at this path, which is absolute or below the output folder (`-o`).
    Path(PathBuf),
    /// Standard output. The bytes are written in order.
    Stdout,
    /// A pipe, a terminal or a character device at this path, which is absolute or below the output folder.
    /// The path may also be a file descriptor that a shell opened (`/dev/fd/63`). The bytes are written in
    /// order, as to standard output. Nothing is replaced or resumed.
    Stream(PathBuf),
    /// A writer that the calling program passed. The bytes are written in order. The file needs no name, and
    /// nothing is resumed.
    Writer(Writer),
}

/// A writer to which a job can write the bytes of its file. Every type that implements [`Write`] and [`Send`]
/// is a `JobWriter`. A panic of the writer counts as an error.
pub trait JobWriter: Send {
    /// Writes all bytes.
    ///
    /// # Errors
    /// Returns an error if the bytes cannot be written.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Writes the bytes that the writer still keeps in a buffer to their destination.
    ///
    /// # Errors
    /// Returns an error if the bytes cannot be written.
    fn flush(&mut self) -> io::Result<()>;

    /// Ends the output. This function is called once, when the file is complete and verified.
    ///
    /// # Errors
    /// Returns an error if the output cannot be ended.
    fn finish(&mut self) -> io::Result<()>;
}

impl<W: Write + Send + ?Sized> JobWriter for W {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Write::flush(self)
    }

    fn finish(&mut self) -> io::Result<()> {
        Write::flush(self)
    }
}

/// A writer that a program passed to a job. It is used once.
#[derive(Clone)]
pub struct Writer(Arc<Mutex<Option<Box<dyn JobWriter>>>>);

impl Writer {
    /// Returns the writer, unless it was taken before.
    pub fn take(&self) -> Option<Box<dyn JobWriter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

impl PartialEq for Writer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Writer {}

impl Destination {
    /// Returns true if bytes are written in order, and cannot be read or replaced later.
    pub fn is_in_order(&self) -> bool {
        matches!(self, Destination::Stdout | Destination::Stream(_) | Destination::Writer(_))
    }

    /// Returns the name that the file was given, in words for the user. Returns `None` if the server or the
    /// URL gives the name, or if the file needs no name.
    pub fn given_name(&self) -> Option<String> {
        match self {
            Destination::Server | Destination::Writer(_) => None,
            Destination::Name(name) => Some(name.to_string()),
            Destination::Path(path) | Destination::Stream(path) => Some(path.to_string_lossy().into_owned()),
            Destination::Stdout => Some("-".into()),
        }
    }
}

/// The handling of an existing file that has the final name (`--if-exists`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// Keep the file if a given digest or signature, the record of the file, or the server's answer shows
    /// that it is the wanted file. Otherwise fail.
    Check,
    /// Keep the existing file and do not download, even if it may have other content than the wanted file.
    /// Fail if the file does not match a digest, a signature, a size or chunk hashes that were given, or if a
    /// strong digest is required ([`Verify::Require`](crate::settings::Verify::Require)) and none is known.
    /// With [`Verify::Off`](crate::settings::Verify::Off), nothing is compared.
    Skip,
    /// Download, and replace the file when the new one is complete.
    Overwrite,
    /// If the name is taken, download to the next free name, such as `name (1).ext`.
    Rename,
    /// Download and replace the file, unless a given digest or signature, or the server's answer, shows that
    /// the existing file is the wanted file. An equal size alone is not enough.
    Update,
    /// Fail, and change nothing.
    Error,
}

impl IfExists {
    /// The values, each with its name in options and lists.
    const NAMES: [(IfExists, &str); 6] = [
        (IfExists::Check, "check"),
        (IfExists::Skip, "skip"),
        (IfExists::Overwrite, "overwrite"),
        (IfExists::Rename, "rename"),
        (IfExists::Update, "update"),
        (IfExists::Error, "error"),
    ];

    /// Returns the value with this name, or `None` if no value has this name.
    pub fn from_name(name: &str) -> Option<IfExists> {
        IfExists::NAMES.iter().find(|(_, other)| *other == name).map(|(value, _)| *value)
    }

    /// Returns the name of the value.
    pub fn name(self) -> &'static str {
        IfExists::NAMES.iter().find(|(value, _)| *value == self).map_or("", |(_, name)| name)
    }
}

/// The handling of a file that another run is working on (`--if-locked`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfLocked {
    /// Fail with `file.locked`.
    Fail,
    /// Wait until the other run has ended its work, and look at the file again.
    Wait,
    /// Leave the file to the other run, and do not download it.
    Skip,
}

/// Reads a URL that can be downloaded over HTTP.
///
/// # Errors
/// Returns `url.invalid` or `url.scheme`, with the reason and the given text (without secrets). The text of a
/// magnet link is left out.
pub fn parse_url(text: &str) -> Result<Url, Error> {
    parse_url_with(text, |scheme| matches!(scheme, "http" | "https"))
}

/// Reads a URL whose scheme passes `is_known`.
///
/// # Errors
/// Returns the errors of [`parse_url`].
pub fn parse_url_with(text: &str, is_known: impl Fn(&str) -> bool) -> Result<Url, Error> {
    let shown = || show::not_a_url(text);
    if text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("magnet:")) {
        return Err(Error::new(
            ErrorKind::UrlScheme,
            "the magnet link",
            "a program for BitTorrent is needed",
        ));
    }
    if !has_scheme(text) {
        let authority = text.split(['/', '?', '#']).next().unwrap_or_default();
        let why = match authority.contains('@') {
            true => "a URL with a login before the host must begin with https:// or http://",
            false => "a URL begins with https:// or http://, or with the name of a host and a slash",
        };
        return Err(Error::new(ErrorKind::UrlInvalid, shown(), why));
    }
    let url = Url::parse(text).map_err(|e| match e {
        // Browsers do not accept a zone in URLs either (such as `%25eth0` in RFC 6874).
        url::ParseError::InvalidIpv6Address if text.contains('%') => {
            "an IPv6 address in a URL cannot have a zone. Leave out % and the zone, and give --interface NAME"
                .to_string()
        }
        // A `#`, `/` or `?` in the password ends the part of the URL that names the host.
        url::ParseError::InvalidPort if text.contains('@') => {
            "invalid port number. In a password, write # as %23, / as %2F and ? as %3F".to_string()
        }
        e => e.to_string(),
    });
    let url = url.map_err(|why| Error::new(ErrorKind::UrlInvalid, shown(), why))?;
    match url.scheme() {
        scheme if is_known(scheme) => Ok(url),
        other => Err(Error::new(ErrorKind::UrlScheme, shown(), format!("{other}:// is not"))),
    }
}

/// Reads a URL as a user writes it. This function is like [`parse_url`], but the scheme may be missing, as in
/// browsers and curl. The second value is true if https was assumed.
///
/// # Errors
/// Returns the errors of [`parse_url`].
pub fn parse_given(text: &str) -> Result<(Url, bool), Error> {
    match without_scheme(text) {
        Some(url) => {
            let assumed = url.scheme() == "https";
            Ok((url, assumed))
        }
        None => parse_url(text).map(|url| (url, false)),
    }
}

/// Returns the URL that a text without a scheme stands for. The text must begin with `localhost`, an IP
/// address (IPv6 in brackets), or a name with a dot, and `:port`, `/` or both must follow. A name alone
/// (`file.txt`) is more often the name of a file. The scheme is https, with two exceptions. For a host that
/// is this machine, the scheme is http, because almost no local server has a certificate. For port 80, the
/// scheme is http too, because 80 is the port of http. Returns `None` for any other text.
pub fn without_scheme(text: &str) -> Option<Url> {
    let end = text.find(['/', '?', '#']).unwrap_or(text.len());
    let (authority, path) = text.split_at(end);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port = match port {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => Some(port.parse::<u16>().ok()?),
        Some(_) => return None,
        None => None,
    };
    let is_here = is_host(host)?;
    if port.is_none() && !path.starts_with('/') {
        return None;
    }
    let scheme = if is_here || port == Some(80) { "http" } else { "https" };
    parse_url(&format!("{scheme}://{text}")).ok()
}

/// Reads the part of a URL that names the host. Returns true if it names this machine, false if it names
/// another host, and `None` if it is not a host.
fn is_host(text: &str) -> Option<bool> {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().ok().map(|address| address.is_loopback());
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some(address.is_loopback());
    }
    if text.eq_ignore_ascii_case("localhost") {
        return Some(true);
    }
    // No top-level domain begins with a digit (RFC 1123, section 2.1), so a version (`v1.2`) is not a host.
    let (_, last) = text.rsplit_once('.')?;
    let labels = text
        .split('.')
        .all(|label| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || "-_".contains(c)));
    (labels && !last.starts_with(|c: char| c.is_numeric())).then_some(false)
}

/// Returns true if the text begins with `scheme://` (RFC 3986, section 3.1).
pub fn has_scheme(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_http_or_refused_with_a_reason() {
        assert!(parse_url("http://h/a,b").is_ok());
        assert!(parse_url("HTTPS://h:8/").is_ok());
        for (bad, kind) in [
            ("example.com/a", ErrorKind::UrlInvalid),
            ("", ErrorKind::UrlInvalid),
            ("http://", ErrorKind::UrlInvalid),
            ("ftp://h/a", ErrorKind::UrlScheme),
            ("file:///etc/passwd", ErrorKind::UrlScheme),
            ("magnet:?xt=urn:btih:0&tr=http://h/a", ErrorKind::UrlScheme),
        ] {
            assert_eq!(parse_url(bad).expect_err(bad).kind, kind, "{bad}");
        }
        let secret = parse_url("ftp://u:p@h/a?token=1").expect_err("ftp");
        assert!(!secret.to_string().contains("p@") && !secret.to_string().contains("token"));
    }

    #[test]
    fn a_mirror_with_a_digest_that_cannot_be_used_is_not_added() {
        let (one, other) = ("ab".repeat(32), "cd".repeat(32));
        let mut job = Job::given(&format!("http://h/a#sha256={one}")).expect("a job");
        let before = job.clone();
        for fragment in
            [format!("md5={}&sha256={other}", "ab".repeat(16)), "sha256=ab".into(), "sha224=ab".into()]
        {
            let error = job.add_mirror(&format!("http://m/a#{fragment}")).expect_err(&fragment);
            assert!(
                error.kind == ErrorKind::UrlInvalid && error.to_string().contains("http://m/a"),
                "{error}"
            );
            assert!(job == before, "{fragment}: {job:?}");
        }
        // The user is told once about fragments that may be the hash of a commit.
        for mirror in ["m", "n"] {
            job.add_mirror(&format!("http://{mirror}/a#{}", "ab".repeat(20))).expect("a mirror");
        }
        assert_eq!((job.urls.len(), job.expected.len(), job.notes.len()), (3, 1, 1));
    }

    #[test]
    fn a_url_of_a_document_is_given_if_the_user_gave_its_origin() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let settings = Settings::default();
        let mut job = Job::new(url("https://h/a"));
        assert!(job.is_given(&settings, &url("https://h/a")));
        job.named_by = NamedBy::Document;
        assert!(!job.is_given(&settings, &url("https://h/a")));
        job.given_origins.insert("https://g".into());
        for (text, is_given) in [("https://g/b", true), ("https://h/a", false), ("http://g/b", false)] {
            assert_eq!(job.is_given(&settings, &url(text)), is_given, "{text}");
        }
    }

    #[test]
    fn a_url_may_have_no_scheme() {
        let given = |text: &str| parse_given(text).map(|(url, assumed)| (url.to_string(), assumed)).ok();
        for (text, url) in [
            ("example.com/a?b#c", "https://example.com/a?b#c"),
            ("www.example.com/", "https://www.example.com/"),
            ("example.com:8443", "https://example.com:8443/"),
            ("example.com:8443/a", "https://example.com:8443/a"),
            ("10.1.2.3/a", "https://10.1.2.3/a"),
            ("[2001:db8::1]:8443/a", "https://[2001:db8::1]:8443/a"),
            ("b\u{fc}cher.example/a", "https://xn--bcher-kva.example/a"),
        ] {
            assert_eq!(given(text), Some((url.to_string(), true)), "{text}");
        }
        for (text, url) in [
            ("localhost:8080/a", "http://localhost:8080/a"),
            ("LOCALHOST/a", "http://localhost/a"),
            ("127.0.0.2/a", "http://127.0.0.2/a"),
            ("[::1]:8080/a", "http://[::1]:8080/a"),
            ("example.com:80/a", "http://example.com/a"),
            ("https://h/a", "https://h/a"),
        ] {
            assert_eq!(given(text), Some((url.to_string(), false)), "{text}");
        }
        for text in [
            "file.txt",
            "localhost",
            "example.com",
            "sub/file.txt",
            "v1.2/file",
            "1.2/file",
            "./a.b/c",
            "../a",
            "/a.b",
            "a..b/c",
            ".b/c",
            "git@github.com:me/it",
            "user@example.com/a",
            "user:pass@example.com/a",
            "C:/a.b",
            "c:\\a.b/c",
            "example.com:http/a",
            "example.com:99999/a",
            "a b.c/d",
            "",
            "/",
            ":80/a",
            "[::1/a",
            "a.b?c",
        ] {
            assert_eq!(given(text), None, "{text}");
        }
    }
}
