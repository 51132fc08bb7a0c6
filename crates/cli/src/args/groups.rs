//! The options, in the groups that `--help` shows. `-h` leaves out those with `hide_short_help`.

use super::choices::{
    Auth, Color, Decode, IfExists, Mirrors, Names, OnError, Progress, Sync, TlsMin, Verify,
};
use super::values::{self, Header, LoginOption, NumberOrAuto, Pins, TokenOption};
use clap::{ArgAction, Args as Group, ValueHint};
use downhaul_engine::core::digest::Digest;
use downhaul_engine::core::name::Folders;
use downhaul_engine::core::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// Where files are saved and how they are named.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Save into this folder; it is created if necessary
    #[arg(short = 'd', long = "output", value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,

    /// Save a single URL as NAME; - is standard output
    ///
    /// Any path is accepted. If it is a pipe or a device, the bytes are written to it in order.
    #[arg(short = 'o', long, value_name = "NAME", value_hint = ValueHint::FilePath)]
    pub save_as: Option<PathBuf>,

    /// Read URLs and names from a list; - is standard input
    ///
    /// A list is a file or a URL, with one URL a line, JSON lines, or a Metalink document.
    #[arg(short = 'i', long, value_name = "LIST", value_hint = ValueHint::FilePath, conflicts_with_all = ["urls", "save_as"])]
    pub input: Option<PathBuf>,

    /// Expand {a,b} and [1-10] in URLs, as curl does
    ///
    /// [001-100], [a-z] and steps such as [0-100:10] work, too. In the name that -o gives, #1 stands for the
    /// value of the first of them, and #2 for the value of the second.
    #[arg(long, hide_short_help = true)]
    pub glob: bool,

    /// Where the name of a file comes from
    #[arg(long, value_name = "FROM", default_value = "auto", hide_short_help = true)]
    pub names: Names,

    /// Keep folders of the URL: the last N, all, or host (all, in a folder named after the host)
    #[arg(long, value_name = "N", default_value = "0", value_parser = values::folders, hide_short_help = true)]
    pub folders: Folders,

    /// Use only names that Windows also accepts (always on Windows)
    #[arg(long, default_value_t = cfg!(windows), hide_short_help = true)]
    pub windows_names: bool,

    /// Keep the time of the download instead of the server's Last-Modified
    #[arg(long, hide_short_help = true)]
    pub no_mtime: bool,

    /// Store the URL in the extended attribute user.xdg.origin.url of each file
    #[arg(long, hide_short_help = true)]
    pub xattr: bool,

    /// Store nothing in extended attributes; a later run then asks the server about each file
    #[arg(long, conflicts_with = "xattr", hide_short_help = true)]
    pub no_xattr: bool,

    /// Which files to force to the disk before they get their name
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_short_help = true)]
    pub sync: Sync,
}

/// What to do with files that exist already.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Existing files")]
pub struct Existing {
    /// What to do when the file exists already
    #[arg(long, value_name = "WHAT", default_value = "check")]
    pub if_exists: IfExists,

    /// Continue a partial file that another tool left
    #[arg(short = 'c', long = "continue", conflicts_with = "no_resume")]
    pub adopt: bool,

    /// Ignore what an earlier run left, and start again
    #[arg(long, hide_short_help = true)]
    pub no_resume: bool,
}

/// How many files and connections are used at once, and how fast.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Connections")]
pub struct Work {
    /// Download N files at once, or auto: as many as useful
    #[arg(short = 'j', long, value_name = "N", default_value = "2", value_parser = values::files)]
    pub parallel: NumberOrAuto,

    /// Use at most N connections for one file, or auto
    #[arg(short = 'x', long, value_name = "N", default_value = "auto", value_parser = values::connections)]
    pub connections: NumberOrAuto,

    /// Use at most N connections to one host, for all files together
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024), hide_short_help = true)]
    pub max_per_host: u16,

    /// Use at most this many bytes per second (500k, 2M)
    #[arg(long, value_name = "RATE", value_parser = values::limit)]
    pub limit_rate: Option<u64>,

    /// Do not remember for later runs how many connections and requests a host accepts
    #[arg(long, hide_short_help = true)]
    pub no_learn: bool,
}

/// What to do after failures.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Retries")]
pub struct Failure {
    /// Try a file again up to N times; inf: no limit
    #[arg(long, value_name = "N", default_value = "3", value_parser = values::retries)]
    pub retries: u32,

    /// Also try again after these HTTP statuses, separated by commas (404,403)
    #[arg(long, value_name = "CODES", value_delimiter = ',', value_parser = values::status, hide_short_help = true)]
    pub retry_on: Vec<u16>,

    /// After a failure: ask, retry, skip or exit
    ///
    /// [default: ask on a terminal, else retry]
    #[arg(long, value_name = "WHAT")]
    pub on_error: Option<OnError>,

    /// Give up when no data arrives for this long (30, 500ms, 2m)
    #[arg(long, value_name = "SECS", default_value = "30", value_parser = values::time, hide_short_help = true)]
    pub timeout: Duration,

    /// Give up when connecting takes longer than this
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = values::time, hide_short_help = true)]
    pub connect_timeout: Duration,

    /// Give a file up when it takes longer than this, with all its retries
    #[arg(long, value_name = "SECS", value_parser = values::time, hide_short_help = true)]
    pub max_time: Option<Duration>,

    /// Give up when a transfer is slower than this, measured over a minute (500, 2k)
    ///
    /// [default: 1 KiB per minute]
    #[arg(long, value_name = "RATE", value_parser = values::rate, hide_short_help = true)]
    pub min_speed: Option<u64>,

    /// Write what failed into FILE, as a list for -i
    ///
    /// It contains the URLs as they were given, with their secrets.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub failed: Option<PathBuf>,
}

/// What is verified.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Verification")]
pub struct Proof {
    /// Require this digest (sha256:HEX)
    ///
    /// It is for a single URL. The algorithm is sha256, sha512, blake3, md5 or another common one. It may be
    /// left out if the number of digits says which one it is.
    #[arg(long, value_name = "DIGEST", value_parser = values::checksum)]
    pub checksum: Option<Digest>,

    /// Require the digests in this list, such as SHA256SUMS; a file or a URL
    #[arg(long, value_name = "LIST", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub checksum_file: Option<String>,

    /// What to verify: auto, find, listed, require or off
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub verify: Verify,

    /// Accept an HTML page in place of an archive, an image or the like
    #[arg(long, hide_short_help = true)]
    pub accept_html: bool,

    /// Require a signature by this key, of each file or of the list that names it
    ///
    /// KEY is a minisign key (as text or as a .pub file), or a file of OpenPGP keys (in builds with the
    /// feature openpgp).
    #[arg(long, value_name = "KEY", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub signed_by: Option<String>,

    /// Use mirrors that a server offers, or not
    #[arg(long, value_name = "HOW", default_value = "off", hide_short_help = true)]
    pub mirrors: Mirrors,

    /// Record the downloaded files in FILE, for -i and for downhaul verify
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub record: Option<PathBuf>,
}

/// How requests are sent to servers.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Network")]
pub struct Http {
    /// Send this header ('Name: value'), or those in @FILE
    ///
    /// It is sent to the servers of the given URLs and to no other server. @FILE has one header a line, and
    /// keeps secrets out of the list of processes.
    #[arg(short = 'H', long = "header", alias = "headers", value_name = "HEADER", value_parser = values::header_option)]
    pub headers: Vec<Header>,

    /// Send a header to HOST as well, if a redirect leads there
    ///
    /// HOST is a name with the usual port, or HOST:PORT.
    #[arg(long, num_args = 2, value_names = ["HOST", "HEADER"], hide_short_help = true)]
    pub header_for: Vec<String>,

    /// Log in at the servers of the given URLs, as NAME or NAME:PASSWORD
    ///
    /// A missing password is asked on the terminal. @FILE has NAME:PASSWORD in its first line, and keeps the
    /// password out of the list of processes. The login is sent to no other server.
    #[arg(short = 'u', long, value_name = "LOGIN", value_parser = values::login, hide_short_help = true)]
    pub user: Option<LoginOption>,

    /// Send this bearer token to the servers of the given URLs, or the one in @FILE
    #[arg(long, value_name = "TOKEN", value_parser = values::token, conflicts_with = "user", hide_short_help = true)]
    pub bearer: Option<TokenOption>,

    /// Read logins from this netrc file instead of $NETRC or ~/.netrc
    ///
    /// A login of it is sent to its machine if the server asks, and if a given URL or its redirects lead
    /// there.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub netrc: Option<PathBuf>,

    /// Read no netrc file
    #[arg(long, conflicts_with = "netrc", hide_short_help = true)]
    pub no_netrc: bool,

    /// When and how a login is sent
    #[arg(long, value_name = "HOW", default_value = "auto", hide_short_help = true)]
    pub auth: Auth,

    /// Identify as TEXT
    ///
    /// [default: downhaul/VERSION]
    #[arg(short = 'A', long, value_name = "TEXT", value_parser = values::header_value, hide_short_help = true)]
    pub user_agent: Option<String>,

    /// Trust the certificates in this PEM file instead of those of the system
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub cacert: Option<PathBuf>,

    /// Accept every certificate; others on the network can then read and change the download
    #[arg(long, hide_short_help = true)]
    pub insecure: bool,

    /// Follow at most N redirects
    #[arg(long, value_name = "N", default_value_t = 20, hide_short_help = true)]
    pub max_redirects: u32,

    /// Follow redirects from https to http
    #[arg(long, hide_short_help = true)]
    pub allow_downgrade: bool,

    /// Use HTTP/1.1 only
    #[arg(long, conflicts_with = "http2", hide_short_help = true)]
    pub http1: bool,

    /// Use HTTP/2 only (default: HTTP/2 for many small HTTPS files)
    #[arg(long, hide_short_help = true)]
    pub http2: bool,

    /// What to do with content that the server compressed although it was asked not to
    #[arg(long, value_name = "HOW", default_value = "off", hide_short_help = true)]
    pub decode: Decode,

    /// Use IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6", hide_short_help = true)]
    pub ipv4: bool,

    /// Use IPv6 only
    #[arg(short = '6', long, hide_short_help = true)]
    pub ipv6: bool,

    /// Connect through a proxy, such as http://HOST:PORT
    ///
    /// PROXY is http://HOST:PORT, or begins with https://, socks4a://, socks5:// or socks5h://.
    ///
    /// A URL without a scheme is one of an HTTP proxy, and without a port the port is 1080 (443 for https).
    /// It is used instead of those of the environment (http_proxy, https_proxy and all_proxy). An empty URL
    /// means no proxy.
    #[arg(long, value_name = "PROXY", value_parser = values::secret, value_hint = ValueHint::Url)]
    pub proxy: Option<Secret>,

    /// Connect to these hosts without a proxy (example.org,10.0.0.0/8); *: to all
    ///
    /// A name also stands for all names below it. [default: $no_proxy]
    #[arg(long, value_name = "HOSTS", hide_short_help = true)]
    pub no_proxy: Option<String>,

    /// User name and password for the proxy, as NAME:PASSWORD, NAME (then it asks) or in @FILE
    #[arg(long, value_name = "LOGIN", value_parser = values::login, hide_short_help = true)]
    pub proxy_user: Option<LoginOption>,

    /// Show the certificate in this PEM file to the servers of the given URLs
    ///
    /// The file also has the certificates of its chain, and its key unless --key is given.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub cert: Option<PathBuf>,

    /// The private key of the certificate of --cert, in PEM form and not encrypted
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub key: Option<PathBuf>,

    /// Require that the hosts of the given URLs have one of these public keys (sha256//BASE64;sha256//BASE64)
    ///
    /// The value is the SHA-256 of the key in its DER form (SubjectPublicKeyInfo), as in curl. The
    /// certificate must be valid as well.
    #[arg(long, value_name = "KEYS", value_parser = values::pins, hide_short_help = true)]
    pub pinned_pubkey: Option<Pins>,

    /// The oldest version of TLS to accept
    #[arg(long, value_name = "VERSION", default_value = "1.2", hide_short_help = true)]
    pub tls_min: TlsMin,

    /// Accept every certificate of this host (HOST or HOST:PORT), and verify those of all others
    #[arg(long, value_name = "HOST", hide_short_help = true)]
    pub insecure_host: Vec<String>,
}

/// What is shown and logged.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Progress and log")]
pub struct Telling {
    /// How to show progress
    #[arg(long, value_name = "HOW", default_value = "auto", hide_short_help = true)]
    pub progress: Progress,

    /// Show only failures
    #[arg(short, long)]
    pub quiet: bool,

    /// Show more details; -vv: also what connections do
    #[arg(short, long, conflicts_with = "quiet", action = ArgAction::Count)]
    pub verbose: u8,

    /// When to use colors
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_short_help = true)]
    pub color: Color,

    /// At the end, show where the time went and why connections were added or dropped
    #[arg(long, hide_short_help = true)]
    pub explain: bool,

    /// Write successes, errors and retries into this log; none: no log
    ///
    /// [default: $DOWNHAUL_LOG, else download_log.txt; no log with -o -]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub log: Option<PathBuf>,
}

/// Which configuration is used.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Configuration")]
pub struct Configuration {
    /// Read settings from FILE; none: no file
    ///
    /// [default: config.toml in the folder downhaul of your configurations; 'downhaul config' shows its path]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub config: Option<PathBuf>,

    /// Show the command as it is understood, without secrets, and download nothing
    #[arg(long, hide_short_help = true)]
    pub dry_run: bool,

    /// Use the settings of the section [profile.NAME] as well
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub profile: Option<String>,
}
