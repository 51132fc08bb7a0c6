//! Every knob, resolved: a plain complete struct. Where the values come from (flags, environment) is the
//! face's business.

use crate::identity::Key;
use crate::job::{IfExists, NamedBy};
use crate::name::Naming;
use crate::signature::Keys;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// The settings of a session. [`Settings::default`] returns the program's defaults; fields can be assigned, or set with
/// the `with_` methods.
///
/// ```
/// # use downhaul_core::settings::Settings;
/// let settings = Settings::default().with_output("downloads").with_parallel(Some(4)).with_retries(5);
/// assert_eq!(settings.parallel, Some(4));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Folder to save into; made if missing.
    pub output: PathBuf,
    /// How files get their names.
    pub naming: Naming,
    /// What to do when the final name exists.
    pub if_exists: IfExists,
    /// Give a finished file the server's Last-Modified.
    pub keep_mtime: bool,
    /// What is attached to a finished file.
    pub attributes: Attributes,
    /// By which URLs are hashed in what is attached and in journals.
    pub key: Key,
    /// Files in flight at once, at least 1; `None`: as many as help.
    pub parallel: Option<usize>,
    /// Bytes a second for everything; `None`: no limit.
    pub limit_rate: Option<u64>,
    /// Most connections for one file; `None`: as many as help.
    pub connections: Option<usize>,
    /// Most connections to one host, over all files, at least 1.
    pub max_per_host: usize,
    /// Most connections in all, at least 1. Each takes up to half a MiB of memory and a file descriptor.
    pub max_connections: usize,
    /// What to do with what an earlier run left.
    pub resume: Resume,
    /// Which files are forced to disk before they get their name.
    pub sync: Sync,
    /// How much must be proven of a file.
    pub verify: Verify,
    /// Take an HTML page under whatever name.
    pub accept_html: bool,
    /// A list of digests for all files.
    pub checksums: Option<ChecksumList>,
    /// The run is of one file: a list of digests that names no file is about that one.
    pub single: bool,
    /// Every file, or the list that names it, must be signed with one of these.
    pub signed_by: Option<Keys>,
    /// Mirrors that a server offers for its file are used too.
    pub mirrors: bool,
    /// What is had is recorded, so that every file needs a digest.
    pub record: bool,
    /// New tries of a file after a failure.
    pub retries: u32,
    /// Statuses (as 404) that are tried again like a server that failed, though a person would have to decide it else.
    pub retry_on: Vec<u16>,
    /// What to do on failure.
    pub on_error: OnError,
    /// How long a server may be silent, before its reply and within a body.
    pub timeout: Duration,
    /// How long dialling and the TLS handshake may take.
    pub connect_timeout: Duration,
    /// How long a whole file may take, all tries included.
    pub max_time: Option<Duration>,
    /// Fewer bytes than this within [`MIN_SPEED_WINDOW`] count as silence.
    pub min_bytes_a_minute: u64,
    /// Which version of HTTP to speak.
    pub http_version: HttpVersion,
    /// Decode what a server sends compressed although it was asked not to; else it is saved as sent.
    pub decode: bool,
    /// Headers (name, value) for the origin of each given URL, and for no other.
    pub headers: Vec<(String, String)>,
    /// Origins (`https://host:8443`) that get the headers also for a URL that a document named: those of the URLs that
    /// the person gave.
    pub header_origins: BTreeSet<String>,
    /// The User-Agent.
    pub user_agent: String,
    /// Certificates (PEM) to trust instead of the machine's.
    pub cacert: Option<PathBuf>,
    /// Trust every certificate.
    pub insecure: bool,
    /// Redirects to follow for one request.
    pub max_redirects: u32,
    /// Follow redirects from https to http.
    pub allow_downgrade: bool,
    /// Which addresses to dial.
    pub family: Family,
    /// The file in which runs remember what hosts do not like; `None`: nothing is remembered.
    pub hosts: Option<PathBuf>,
    /// Paths that no download may take, such as the run's own log.
    pub reserved: Vec<PathBuf>,
}

/// The time over which the lowest allowed speed is measured. CLI contract: "over a minute".
pub const MIN_SPEED_WINDOW: Duration = Duration::from_secs(60);

impl Settings {
    /// Returns whether the headers may be sent to this URL of a job.
    pub fn sends_headers_to(&self, url: &Url, named_by: NamedBy) -> bool {
        named_by == NamedBy::Person || self.header_origins.contains(&url.origin().ascii_serialization())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            output: PathBuf::from("."),
            naming: Naming::default(),
            if_exists: IfExists::Check,
            keep_mtime: true,
            attributes: Attributes::Record,
            key: Key::default(),
            parallel: Some(2),
            limit_rate: None,
            connections: None,
            // CLI contract. aria2 allows 16 to a server; over all files of a list a few times that is common.
            max_per_host: crate::concurrency::AUTO_MOST,
            max_connections: 64,
            resume: Resume::Auto,
            sync: Sync::Auto,
            verify: Verify::Auto,
            accept_html: false,
            mirrors: false,
            checksums: None,
            single: false,
            signed_by: None,
            record: false,
            retries: 3,
            retry_on: Vec::new(),
            on_error: OnError::Retry,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            max_time: None,
            min_bytes_a_minute: 1024,
            http_version: HttpVersion::Auto,
            decode: false,
            headers: Vec::new(),
            header_origins: BTreeSet::new(),
            user_agent: concat!("downhaul/", env!("CARGO_PKG_VERSION")).into(),
            cacert: None,
            insecure: false,
            // What the Fetch standard allows browsers.
            max_redirects: 20,
            allow_downgrade: false,
            family: Family::Any,
            hosts: None,
            reserved: Vec::new(),
        }
    }
}

macro_rules! setters {
    ($($setter:ident $field:ident $type:ty,)*) => {
        /// Setters, one for each field.
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
    with_keep_mtime keep_mtime bool,
    with_attributes attributes Attributes,
    with_key key Key,
    with_parallel parallel Option<usize>,
    with_limit_rate limit_rate Option<u64>,
    with_connections connections Option<usize>,
    with_max_per_host max_per_host usize,
    with_max_connections max_connections usize,
    with_resume resume Resume,
    with_sync sync Sync,
    with_verify verify Verify,
    with_accept_html accept_html bool,
    with_checksums checksums Option<ChecksumList>,
    with_single single bool,
    with_signed_by signed_by Option<Keys>,
    with_mirrors mirrors bool,
    with_record record bool,
    with_retries retries u32,
    with_retry_on retry_on Vec<u16>,
    with_on_error on_error OnError,
    with_timeout timeout Duration,
    with_connect_timeout connect_timeout Duration,
    with_max_time max_time Option<Duration>,
    with_min_bytes_a_minute min_bytes_a_minute u64,
    with_http_version http_version HttpVersion,
    with_decode decode bool,
    with_headers headers Vec<(String, String)>,
    with_user_agent user_agent impl Into<String>,
    with_cacert cacert Option<PathBuf>,
    with_insecure insecure bool,
    with_max_redirects max_redirects u32,
    with_allow_downgrade allow_downgrade bool,
    with_family family Family,
    with_hosts hosts Option<PathBuf>,
    with_reserved reserved Vec<PathBuf>,
}

/// What to do when a try failed (`--on-error`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Ask the person; the file waits, others go on.
    Ask,
    /// Try again by itself, waiting longer each time.
    Retry,
    /// Give this file up.
    Skip,
    /// Stop everything.
    Exit,
}

/// What is attached to a finished file as extended attributes, where the disk has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attributes {
    /// Nothing (`--no-xattr`).
    None,
    /// What it takes to know the file again (`user.downhaul.origin`).
    Record,
    /// That, and its URL without secrets, for people and other programs (`user.xdg.origin.url`, `--xattr`).
    Url,
}

/// What to do with what an earlier run left of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Go on with what can be proven.
    Auto,
    /// Forget it (`--no-resume`).
    Forget,
    /// Go on, also with a partial file that another tool left under the final name (`--continue`).
    Adopt,
    /// Keep of a file under the final name what is right, by digests of its pieces (`downhaul repair`).
    Repair,
}

/// Which files are forced to disk (`--sync`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Those that have a journal.
    Auto,
    /// All.
    Always,
    /// None.
    Never,
}

/// How much must be proven of a file (`--verify`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// All that is known is checked.
    Auto,
    /// All that is known is checked, and digests are also looked for beside the file.
    Find,
    /// As [`Verify::Find`], and a file that no list names fails. Lists are those that were given, those beside the file, and what
    /// the list of jobs or the person says of it; MD5 counts.
    Listed,
    /// As [`Verify::Find`], and a file of which no strong digest is known fails.
    Require,
    /// Nothing is checked.
    Off,
}

/// A checksum list (`--checksum-file`), see [`crate::list::checksums`].
#[derive(Debug, Clone)]
pub enum ChecksumList {
    /// Here it is.
    Text {
        /// Its file name.
        name: String,
        /// What it says.
        text: Vec<u8>,
        /// The signature file beside it: its name, and what it says.
        signature: Option<(String, Vec<u8>)>,
    },
    /// It is fetched before the first file that needs it.
    Url(Url),
}

/// Which addresses of a host to dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// All of them.
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// Which version of HTTP to speak (`--http1`, `--http2`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/2 for small files over https, where the server has it; HTTP/1.1 for everything else.
    Auto,
    /// HTTP/1.1 only.
    One,
    /// HTTP/2 only; over plain http, too.
    Two,
}
