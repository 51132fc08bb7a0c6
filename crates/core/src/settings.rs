//! The settings of a session, with a value for every option.
//!
//! Invariant: no code in this file reads options, files or the environment. The program that starts the
//! session reads them.
//!
//! This file is long because it is the list of all options of a session, each with its documentation.

use crate::credentials::challenge::Schemes;
use crate::credentials::cookies::Cookies;
use crate::credentials::netrc::Netrc;
use crate::dedup::Dedup;
use crate::host_rules::HostRules;
use crate::identity::Key;
use crate::job::{Headers, IfExists, IfLocked, Job, NamedBy};
use crate::listed_names::ListedNames;
use crate::name::Naming;
use crate::names::{ConnectTo, DohServer, Interface, Resolve};
use crate::preview::Preview;
use crate::proxy::Proxies;
use crate::run_limits::RunLimits;
use crate::secret::{Login, Secret};
use crate::show;
use crate::signature::Keys;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use url::Url;

/// The settings of a session. [`Settings::default`] returns the defaults of the library. The command-line
/// program uses other values for some fields, such as [`Settings::parallel`]. Fields can be assigned, or set
/// with the `with_` methods.
///
/// A *given URL* is a URL that the user gave. URLs from documents and redirects are not given URLs.
///
/// ```
/// # use downhaul_core::settings::Settings;
/// let settings = Settings::default().with_output("downloads").with_parallel(Some(4)).with_retries(5);
/// assert_eq!(settings.parallel, Some(4));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The folder in which files are saved. It is created if it does not exist.
    pub output: PathBuf,
    /// The rules for the names of files.
    pub naming: Naming,
    /// The handling of an existing file that has the final name.
    pub if_exists: IfExists,
    /// The handling of a file that another run is working on.
    pub if_locked: IfLocked,
    /// True if a finished file gets the date in the server's Last-Modified.
    pub keep_mtime: bool,
    /// The extended attributes of a finished file.
    pub attributes: Attributes,
    /// The key for the hashes of URLs in extended attributes and in journals.
    pub key: Key,
    /// The highest number of files that are downloaded at once. 0 counts as 1. With `None`, it is chosen
    /// automatically.
    pub parallel: Option<usize>,
    /// The limit for all files together, in bytes a second. `None` means no limit, and 0 counts as 1.
    pub limit_rate: Option<u64>,
    /// The limits after which the session starts no more jobs. Jobs that have not started by then fail with
    /// `run.stopped`.
    pub limits: RunLimits,
    /// The highest number of connections for one file. 0 counts as 1. With `None`, the number is chosen
    /// automatically.
    pub connections: Option<usize>,
    /// The highest number of connections to one host over all files. A proxy counts as a host. 0 counts as 1.
    pub max_per_host: usize,
    /// The highest number of connections in total. 0 counts as 1. Each connection takes a file descriptor.
    /// The memory for all connections together is limited.
    pub max_connections: usize,
    /// The handling of partial files of an earlier run.
    pub resume: Resume,
    /// The files that are forced to disk before they get their final name.
    pub sync: Sync,
    /// The required verification of a file.
    pub verify: Verify,
    /// True if an HTML page or a Git LFS pointer is accepted as the content of a file with any name.
    pub accept_html: bool,
    /// A checksum list for all files.
    pub checksums: Option<ChecksumList>,
    /// True if the run has only one file. A checksum list without file names then belongs to that file.
    pub single: bool,
    /// True if the run is a part of a larger run, such as a shard of a list. Files of the other parts may
    /// have the same names in the same folder.
    pub is_part: bool,
    /// If set, every file, or the checksum list that names it, must be signed with one of these keys.
    pub signed_by: Option<Keys>,
    /// True if mirrors that a server names for a file are used in addition to the URLs of the job.
    pub mirrors: bool,
    /// True if a SHA-256 of each file is needed, for example for a line of a lock file.
    pub record: bool,
    /// The number of retries of a job after failures. After 64 KiB of new bytes, all retries are available
    /// again.
    pub retries: u32,
    /// The shortest wait before a job is continued or retried after a failure. It does not apply if the job
    /// continues with another mirror, if the user was asked, if another run is working on the file, or if
    /// only bytes of an earlier run or of another tool are lost.
    ///
    /// Waits become longer with each retry, up to a random time between 15 and 45 seconds. If this setting is
    /// longer, waits are as long as this setting.
    pub retry_wait: Duration,
    /// HTTP statuses, such as 404, that are retried in addition to the statuses that are always retried.
    pub retry_on: Vec<u16>,
    /// The reaction to a failure.
    pub on_error: OnError,
    /// The longest time without data from the server, before its response and within the body.
    pub timeout: Duration,
    /// The longest time for each of these steps: a name lookup, connecting to a host (all its addresses
    /// together), and a TLS handshake.
    pub connect_timeout: Duration,
    /// The longest time for one file, including all retries. The time in which a question is open, the job is
    /// paused, or another run is working on the file does not count.
    pub max_time: Option<Duration>,
    /// A connection that receives fewer bytes than this number within [`MIN_SPEED_WINDOW`] is too slow, and
    /// fails with `net.slow`.
    pub min_bytes_a_minute: u64,
    /// The HTTP version to use.
    pub http_version: HttpVersion,
    /// True if downhaul decodes content that a server compressed although the request did not allow
    /// compression. Otherwise such content is saved as the server sent it.
    pub decode: bool,
    /// True if the transcript of each file is kept, for a disk that stores transcripts
    /// ([`crate::transcript`]).
    pub keeps_transcripts: bool,
    /// Headers (name, value) that are sent to the origin of each given URL and to no other origin.
    pub headers: Headers,
    /// The origins (`https://host:8443`) of the URLs that the user gave. If a document names a URL with one
    /// of these origins, the headers are sent to this URL too.
    pub header_origins: BTreeSet<String>,
    /// Headers (host or host:port, name, value) for certain hosts. They are sent even if a redirect or a
    /// document leads to the host. They are sent over https, and over http only if the URL of the job is an
    /// http URL that the user gave.
    pub headers_for: Vec<(String, String, Secret)>,
    /// Options for some hosts only. The options of a [`Job`] have precedence over these options.
    pub for_hosts: HostRules,
    /// The login for the origin of each given URL, and for no other origin. A login in a URL has precedence.
    pub user: Option<Login>,
    /// A bearer token (RFC 6750) for the origin of each given URL, and for no other origin.
    pub bearer: Option<Secret>,
    /// The logins in a netrc file. They are for the origins of the given URLs, and for the hosts of redirects
    /// and of URLs in documents. They are sent over https, and over http only if the URL of the job is an
    /// http URL that the user gave.
    pub netrc: Option<Netrc>,
    /// The cookies of the run. Cookies that servers set are added.
    pub cookies: Cookies,
    /// Cookies in the form of the header `Cookie` (`a=b; c=d`), for the origin of each given URL and for no
    /// other origin.
    pub cookies_given: Option<Secret>,
    /// The authentication schemes that may be used to send logins, such as HTTP Basic.
    pub schemes: Schemes,
    /// The value of the User-Agent header.
    pub user_agent: String,
    /// A file of certificates (PEM) to trust instead of the certificates of the system.
    pub cacert: Option<PathBuf>,
    /// True if every certificate is trusted.
    pub insecure: bool,
    /// The highest number of redirects to follow for one request.
    pub max_redirects: u32,
    /// True if redirects from https to http are followed.
    pub allow_downgrade: bool,
    /// The handling of files that have the same bytes. If it is not [`Dedup::Off`], also set
    /// [`Settings::record`], so that the digest of each file is known.
    pub dedup: Dedup,
    /// If set, the session only reports what it would do, and writes no file.
    pub preview: Option<Preview>,
    /// The addresses of a host that connections may use.
    pub family: Family,
    /// The file in which runs store the facts that they learned about hosts: the limits of the hosts, and the
    /// values with which later runs start, such as numbers of connections. With `None`, nothing is stored or
    /// used.
    pub hosts: Option<PathBuf>,
    /// Paths that no download may write to, such as the path of the log.
    pub reserved: Vec<PathBuf>,
    /// The lists of the run. No download may replace these files, because the run reads them again.
    pub lists: Vec<PathBuf>,
    /// True if a job may use the path of an earlier job that has ended, and may fetch the same file again. A
    /// program that adds jobs for days needs this, and so does a program that adds failed jobs again.
    /// Otherwise each path belongs to one job, unless the job was removed. If several jobs have the same name
    /// and the same request, only the first of these jobs downloads the file, even if this first job has
    /// failed already.
    pub releases_names: bool,
    /// The names of all jobs that will be added, if there are very many jobs. They show if a name belongs to
    /// only one job, so the session can forget such a name when its job has ended. As long as these names are
    /// not known, the session remembers the name of each job that was added.
    #[doc(hidden)]
    pub listed_names: Option<Arc<OnceLock<ListedNames>>>,
    /// The proxies. By default there are no proxies.
    pub proxies: Proxies,
    /// A file with the client certificate and its chain (PEM), for the origins of given URLs only.
    pub client_certificate: Option<PathBuf>,
    /// The file with the key of the client certificate (PEM). `None` means that the key is in the same file
    /// as the certificate.
    pub client_key: Option<PathBuf>,
    /// The password of the key of the client certificate, if the key is encrypted (PKCS #8 with PBES2).
    pub client_key_password: Option<Secret>,
    /// The SHA-256 digests of the public keys (SubjectPublicKeyInfo) that the hosts of given URLs may have.
    /// If the list is empty, every key is accepted.
    pub pinned_keys: Vec<[u8; 32]>,
    /// The oldest version of TLS that is accepted.
    pub tls_min: TlsVersion,
    /// Hosts (`HOST` or `HOST:PORT`) for which every certificate is accepted.
    pub insecure_hosts: Vec<String>,
    /// Addresses of hosts that are used instead of the answers of the resolver.
    pub resolve: Vec<Resolve>,
    /// Rules that replace the host and port to which connections are opened. The first rule that applies is
    /// used.
    pub connect_to: Vec<ConnectTo>,
    /// The local address or network interface from which connections are opened.
    pub interface: Option<Interface>,
    /// The server that resolves names over HTTPS, instead of the system. The engine needs the feature `doh`.
    pub doh: Option<DohServer>,
    /// A Unix socket that all connections go to.
    pub unix_socket: Option<PathBuf>,
    /// True if addresses of private networks and of this machine are refused in three cases: a redirect from
    /// a public host leads to the address, a document or a server named the URL, or the host had a public
    /// address before. In the command-line program, this is true only with `--no-private`, because some users
    /// need such addresses for VPNs and private name servers.
    pub refuse_private: bool,
    /// True if a host is reached over https only, after the host requested this in the session
    /// (`Strict-Transport-Security`).
    pub hsts: bool,
}

/// The time over which the lowest allowed speed is measured. It is a minute, as the documentation of
/// `--min-speed` says.
pub const MIN_SPEED_WINDOW: Duration = Duration::from_secs(60);

impl Settings {
    /// The default value of the User-Agent header.
    pub const DEFAULT_USER_AGENT: &str = concat!("downhaul/", env!("CARGO_PKG_VERSION"));

    /// Returns the handling of the partial file of an earlier run of this job. The response to a request that
    /// is not a plain GET may differ each time, so the download of such a response is not resumed.
    pub fn resume_of(&self, job: &Job) -> Resume {
        if job.sends.is_some() { Resume::Forget } else { self.resume }
    }

    /// Returns the output folder for this job.
    pub fn output_of<'a>(&'a self, job: &'a Job) -> &'a Path {
        job.output.as_deref().unwrap_or(&self.output)
    }

    /// Returns the handling of an existing file that has the final name of this job. A repair always mends
    /// the file that exists.
    pub fn if_exists_of(&self, job: &Job) -> IfExists {
        match self.resume {
            Resume::Repair => IfExists::Check,
            _ => job.if_exists.unwrap_or(self.if_exists),
        }
    }

    /// Returns true if [`Settings::headers`] may be sent to this URL of a job. `named_by` is the author of
    /// the URLs of the job.
    pub fn sends_headers_to(&self, url: &Url, named_by: NamedBy) -> bool {
        named_by == NamedBy::Person || self.header_origins.contains(&url.origin().ascii_serialization())
    }
}

impl Default for Settings {
    // This function is long because it has a line for each setting.
    fn default() -> Self {
        Settings {
            output: PathBuf::from("."),
            naming: Naming::default(),
            if_exists: IfExists::Check,
            if_locked: IfLocked::Fail,
            keep_mtime: true,
            attributes: Attributes::Record,
            key: Key::default(),
            parallel: Some(2),
            limit_rate: None,
            limits: RunLimits::default(),
            preview: None,
            dedup: Dedup::Off,
            connections: None,
            // aria2 allows at most 16 connections to a server for one file. The limit here is higher, because
            // it is for all files together.
            max_per_host: crate::concurrency::AUTO_MOST,
            max_connections: 64,
            resume: Resume::Auto,
            sync: Sync::Auto,
            verify: Verify::Auto,
            accept_html: false,
            mirrors: false,
            checksums: None,
            single: false,
            is_part: false,
            signed_by: None,
            record: false,
            retries: 3,
            retry_wait: Duration::ZERO,
            retry_on: Vec::new(),
            on_error: OnError::Retry,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            max_time: None,
            min_bytes_a_minute: 1024,
            http_version: HttpVersion::Auto,
            decode: false,
            keeps_transcripts: false,
            headers: Headers::default(),
            header_origins: BTreeSet::new(),
            headers_for: Vec::new(),
            for_hosts: HostRules::default(),
            user: None,
            bearer: None,
            netrc: None,
            cookies: Cookies::default(),
            cookies_given: None,
            schemes: Schemes::Any,
            user_agent: Settings::DEFAULT_USER_AGENT.into(),
            cacert: None,
            insecure: false,
            // Browsers have the same limit, which is from the Fetch standard.
            max_redirects: 20,
            allow_downgrade: false,
            family: Family::Any,
            hosts: None,
            reserved: Vec::new(),
            lists: Vec::new(),
            releases_names: false,
            listed_names: None,
            proxies: Proxies::default(),
            client_certificate: None,
            client_key: None,
            client_key_password: None,
            pinned_keys: Vec::new(),
            tls_min: TlsVersion::V12,
            insecure_hosts: Vec::new(),
            resolve: Vec::new(),
            connect_to: Vec::new(),
            interface: None,
            doh: None,
            unix_socket: None,
            refuse_private: true,
            hsts: true,
        }
    }
}

macro_rules! setters {
    ($($setter:ident $field:ident $type:ty,)*) => {
        /// The setters, one for each documented field.
        impl Settings {$(
            #[doc = concat!("Sets [`", stringify!($field), "`](Settings::", stringify!($field), ").")]
            #[must_use]
            pub fn $setter(mut self, $field: $type) -> Self {
                self.$field = $field.into();
                self
            }
        )*}
    };
}

setters! {
    with_output output impl Into<PathBuf>,
    with_naming naming Naming,
    with_if_exists if_exists IfExists,
    with_if_locked if_locked IfLocked,
    with_keep_mtime keep_mtime bool,
    with_attributes attributes Attributes,
    with_key key Key,
    with_parallel parallel Option<usize>,
    with_limit_rate limit_rate Option<u64>,
    with_limits limits RunLimits,
    with_preview preview Option<Preview>,
    with_dedup dedup Dedup,
    with_connections connections Option<usize>,
    with_max_per_host max_per_host usize,
    with_max_connections max_connections usize,
    with_resume resume Resume,
    with_sync sync Sync,
    with_verify verify Verify,
    with_accept_html accept_html bool,
    with_checksums checksums Option<ChecksumList>,
    with_single single bool,
    with_is_part is_part bool,
    with_signed_by signed_by Option<Keys>,
    with_mirrors mirrors bool,
    with_record record bool,
    with_retries retries u32,
    with_retry_wait retry_wait Duration,
    with_retry_on retry_on Vec<u16>,
    with_on_error on_error OnError,
    with_timeout timeout Duration,
    with_connect_timeout connect_timeout Duration,
    with_max_time max_time Option<Duration>,
    with_min_bytes_a_minute min_bytes_a_minute u64,
    with_http_version http_version HttpVersion,
    with_decode decode bool,
    with_keeps_transcripts keeps_transcripts bool,
    with_headers headers Headers,
    with_header_origins header_origins BTreeSet<String>,
    with_headers_for headers_for Vec<(String, String, Secret)>,
    with_for_hosts for_hosts HostRules,
    with_user user Option<Login>,
    with_bearer bearer Option<Secret>,
    with_netrc netrc Option<Netrc>,
    with_cookies cookies Cookies,
    with_cookies_given cookies_given Option<Secret>,
    with_schemes schemes Schemes,
    with_user_agent user_agent impl Into<String>,
    with_cacert cacert Option<PathBuf>,
    with_insecure insecure bool,
    with_max_redirects max_redirects u32,
    with_allow_downgrade allow_downgrade bool,
    with_family family Family,
    with_hosts hosts Option<PathBuf>,
    with_reserved reserved Vec<PathBuf>,
    with_lists lists Vec<PathBuf>,
    with_releases_names releases_names bool,
    with_proxies proxies Proxies,
    with_client_certificate client_certificate Option<PathBuf>,
    with_client_key client_key Option<PathBuf>,
    with_client_key_password client_key_password Option<Secret>,
    with_pinned_keys pinned_keys Vec<[u8; 32]>,
    with_tls_min tls_min TlsVersion,
    with_insecure_hosts insecure_hosts Vec<String>,
    with_resolve resolve Vec<Resolve>,
    with_connect_to connect_to Vec<ConnectTo>,
    with_interface interface Option<Interface>,
    with_doh doh Option<DohServer>,
    with_unix_socket unix_socket Option<PathBuf>,
    with_refuse_private refuse_private bool,
    with_hsts hsts bool,
}

/// The reaction to a failure of a job (`--on-error`). In these cases, the job continues and the user is not
/// asked, whichever value is set:
/// - The failure may be temporary, at least 64 KiB of new bytes arrived since all retries last became
///   available, and these bytes can be kept.
/// - The host of the job needs a pause.
/// - Another mirror may deliver the file.
/// - Only bytes of an earlier run or of another tool are lost.
/// - Another run is working on the file (`--if-locked wait`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The user is asked after each failure that may be retried, while retries are left. The job waits for
    /// the answer, and other jobs continue.
    Ask,
    /// The job is retried without a question after failures that may be temporary, and the wait becomes
    /// longer each time. After other failures, the job is not retried.
    Retry,
    /// The job is not retried.
    Skip,
    /// The run stops.
    Exit,
}

/// The extended attributes of a finished file, if the disk supports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attributes {
    /// No attributes (`--no-xattr`).
    None,
    /// The record with which a later run recognises the file (`user.downhaul.origin`).
    Record,
    /// The record, and the URL without secrets for other programs (`user.xdg.origin.url`, `--xattr`).
    Url,
}

/// The handling of the partial file of an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// The bytes that match the journal are used, and all other bytes are fetched.
    Auto,
    /// The partial file is not used, and the download starts at the first byte (`--no-resume`).
    Forget,
    /// The partial file is resumed. A file that another tool left unfinished under the final name is
    /// continued too (`--continue`), unless [`IfExists`] is `Skip`, `Rename` or `Error`.
    Adopt,
    /// The partial file is resumed. A file under the final name is continued too, whatever
    /// [`IfExists`] says, if a control file shows that aria2 left it unfinished.
    AdoptMarked,
    /// The chunks of a finished file that match their digests are kept, and the other chunks are fetched
    /// (`downhaul repair`).
    Repair,
}

/// The files that are forced to disk before they get their final name (`--sync`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Files that have a journal.
    Auto,
    /// All files.
    Always,
    /// No file.
    Never,
}

/// The required verification of a file (`--verify`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// The file is compared with every known digest.
    Auto,
    /// The file is compared with every known digest. If no strong digest was given, or if a signature is
    /// required, the session searches for checksum lists beside the file on the server.
    Find,
    /// Like [`Verify::Find`], but a job fails if no checksum list has a usable digest of its file. The user
    /// may give the checksum list, or it may be beside the file on the server. A digest from the user or from
    /// the list of jobs is accepted too. An MD5 is enough, and a CRC is not.
    Listed,
    /// Like [`Verify::Find`], but a job fails if neither a strong digest nor a signature is known for its
    /// file.
    Require,
    /// Nothing is verified.
    Off,
}

/// A checksum list (`--checksum-file`), see [`crate::list::checksums`].
#[derive(Clone)]
pub enum ChecksumList {
    /// The text of the list.
    Text {
        /// The file name of the list.
        name: String,
        /// The content of the list.
        text: Vec<u8>,
        /// The name and the content of the signature file beside the list.
        signature: Option<(String, Vec<u8>)>,
    },
    /// The URL of the list. The list is fetched before the first file that needs it.
    Url(Url),
}

impl fmt::Debug for ChecksumList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChecksumList::Text { name, .. } => f.debug_tuple("Text").field(name).finish(),
            ChecksumList::Url(url) => f.debug_tuple("Url").field(&show::url(url)).finish(),
        }
    }
}

/// The addresses of a host that connections may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// All addresses.
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// A version of TLS (`--tls-min`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V12,
    /// TLS 1.3 (RFC 8446).
    V13,
}

/// The HTTP version to use (`--http1`, `--http2`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/2 for files over https that are expected to be small, if the server supports HTTP/2. Otherwise
    /// HTTP/1.1.
    Auto,
    /// HTTP/1.1 only.
    One,
    /// HTTP/2 only, also for http URLs.
    Two,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Job;

    #[test]
    fn debug_output_contains_no_secret() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let settings = Settings::default()
            .with_headers([("Authorization", "Bearer hush")].into_iter().collect())
            .with_headers_for(vec![("h".into(), "Cookie".into(), Secret::new("a=hush"))])
            .with_checksums(Some(ChecksumList::Url(url("https://me:hush@h/SUMS?token=hush"))));
        let job = Job::new(url("https://me:hush@h/f?token=hush"))
            .with_credentials("me", "hush")
            .with_header("X-Key", "hush");
        for text in [format!("{settings:?}"), format!("{settings:#?}"), format!("{job:?}")] {
            assert!(!text.contains("hush") && !text.contains("bWU6aHVzaA"), "{text}");
        }
        assert!(format!("{job:?}").contains("https://h/f?token=***"));
    }
}
