//! The options, in the groups that `--help` shows. `-h` leaves out those with `hide_short_help`.
//!
//! This file is long because it is the list of all options, each with its help.

use super::choices::{
    Auth, Color, Decode, Dedup, Hsts, IfExists, IfLocked, Mirrors, Names, OnError, Progress, ShardBy, Sync,
    TlsMin, Verify,
};
use super::deadline::Deadline;
use super::values::{
    self, BodyOption, CertOption, Header, LoginOption, NumberOrAuto, Pins, SecretOption, ShardOption,
};
use crate::hooks::Hook;
use clap::{ArgAction, Args as Group, ValueHint};
use downhaul_engine::core::digest::Digest;
use downhaul_engine::core::job::{ByteRange, Url};
use downhaul_engine::core::list::addresses::Replacement;
use downhaul_engine::core::list::columns::Columns;
use downhaul_engine::core::list::form::Stated;
use downhaul_engine::core::name::{Folders, Template};
use downhaul_engine::core::names::{ConnectTo, DohServer, Interface, Resolve};
use downhaul_engine::core::secret::Secret;
use downhaul_engine::core::tars::TarNames;
use std::path::PathBuf;
use std::time::Duration;

/// The options for names and folders.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Save files into this folder
    ///
    /// The folder is created if it does not exist.
    #[arg(short = 'd', long = "output", value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,

    /// Save a single URL as NAME, or write to stdout with -
    ///
    /// NAME may be any path. A relative path is below the folder of -d. If it is a pipe or a device, the
    /// bytes are written to it in order.
    #[arg(short = 'o', long, value_name = "NAME", value_hint = ValueHint::FilePath)]
    pub save_as: Option<PathBuf>,

    /// Read URLs and names from a list, or from stdin with -
    ///
    /// LIST is a file or a URL. It has a URL or a JSON object in each line, or it is a CSV or TSV table, a
    /// JSON array, a Metalink file, or a list of another program (see --list-format). This option can be
    /// repeated.
    #[arg(short = 'i', long, value_name = "LIST", value_hint = ValueHint::FilePath, conflicts_with = "save_as")]
    pub input: Vec<PathBuf>,

    /// Expand {a,b} and [1-10] in URLs, as curl does
    ///
    /// Other forms of ranges are [001-100], [a-z], and [0-100:10] with a step. In the name that -o gives, #1
    /// stands for the value of the first pattern, and #2 for the value of the second one. The URLs in
    /// lists are not expanded.
    #[arg(long, hide_short_help = true)]
    pub glob: bool,

    /// Choose where file names come from
    ///
    /// If there is no name, the file is called index.html.
    #[arg(long, value_name = "FROM", default_value = "auto", hide_short_help = true)]
    pub names: Names,

    /// Save each file below the last N folders of its URL
    ///
    /// N can also be all or host. With host, each file is saved below a folder with the name of the host, and
    /// below all folders of its URL.
    #[arg(long, value_name = "N", default_value = "0", value_parser = values::folders, hide_short_help = true)]
    pub folders: Folders,

    /// Make the names of files from a template, such as {host}/{path[-2:]}/{sha256:.2}/{name}
    ///
    /// The fields are scheme, host, port, path (the folders of the URL), name, stem, ext, query[KEY], line
    /// (the number of the line), the name of a digest that the list states, and any column or other key of
    /// the list. path[-2:] means the last two folders, :.2 the first two characters, and :05 zeros before a
    /// number. Names that a list gives are name in the template.
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "folders", hide_short_help = true)]
    pub name_template: Option<Template>,

    /// Put the files into tars of this name, such as data-{shard:05}.tar
    ///
    /// {shard} is the number of a tar, from 0 on. It is not the number of --shard. The tars have the form of
    /// WebDataset: in addition to each file, they have a member whose name ends in .json. It has the URL, the
    /// digests and what the list says about the file. A relative path is below the folder of -d. A tar gets
    /// its name when it is complete.
    #[arg(long, value_name = "NAME", value_parser = TarNames::read, conflicts_with_all = ["save_as", "adopt"], hide_short_help = true)]
    pub to_tar: Option<TarNames>,

    /// Begin another tar when one has SIZE bytes (500M, 2G)
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = values::tar_size, hide_short_help = true)]
    pub tar_size: u64,

    /// Begin another tar when one has N files
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), hide_short_help = true)]
    pub tar_count: Option<u64>,

    /// Use only names that Windows also accepts (always on Windows)
    #[arg(long, default_value_t = cfg!(windows), hide_short_help = true)]
    pub windows_names: bool,

    /// Use the time of the download as the modification time, and not the server's Last-Modified
    #[arg(long, hide_short_help = true)]
    pub no_mtime: bool,

    /// Store the URL, without secrets, in the extended attribute user.xdg.origin.url of each file
    #[arg(long, hide_short_help = true)]
    pub xattr: bool,

    /// Store nothing in extended attributes
    ///
    /// By default, downhaul stores a record there, which has a hash of the URL and the request. With it, a
    /// later run recognises the file without a request to the server.
    #[arg(long, conflicts_with = "xattr", hide_short_help = true)]
    pub no_xattr: bool,

    /// Choose which files to force to the disk before they get their final name
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_short_help = true)]
    pub sync: Sync,
}

/// The options for lists.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Lists")]
pub struct Lists {
    /// State the form of the list
    ///
    /// Without this option, the form is recognised by the content of the list or the name of its file. FORM
    /// is lines (URLs or JSON objects, one on each line), json (a JSON array, or JSON objects on lines), csv
    /// or tsv (tables), aria2 (an input file of aria2), curl (a configuration file of curl), bagit
    /// (fetch.txt), datapackage (datapackage.json or RO-Crate) or metalink.
    #[arg(long, value_name = "FORM", value_parser = values::list_format(), hide_short_help = true)]
    pub list_format: Option<Stated>,

    /// Say which columns of a table have the URLs and other facts
    ///
    /// The form is KEY=COLUMN, with commas between several pairs, as in url=fastq_ftp,md5=fastq_md5. KEY is
    /// url, out, size, the name of a digest algorithm, or any other key of a JSON line. Columns with common
    /// names, such as link and filename, are found without this option. KEY= means that no column has the
    /// fact. A COLUMN with a comma must be in quotation marks.
    #[arg(long, value_name = "COLUMNS", value_parser = Columns::read, hide_short_help = true)]
    pub columns: Option<Columns>,

    /// Resolve relative addresses in lists against URL
    ///
    /// Every address without a scheme is then relative. For a data package or an RO-Crate that is fetched,
    /// the default is its URL.
    #[arg(long, value_name = "URL", value_parser = values::url, hide_short_help = true)]
    pub base: Option<Url>,

    /// Replace a text in every address of a list (can be repeated)
    ///
    /// In each address, TO replaces the first FROM. As an example, ftp://=https:// changes the scheme. FROM
    /// ends at the first =.
    #[arg(long, value_name = "FROM=TO", value_parser = Replacement::read, hide_short_help = true)]
    pub replace: Vec<Replacement>,

    /// Leave out the lines of a list that have mistakes
    ///
    /// A warning says which lines these are. Without this option, nothing is downloaded if a list in a file
    /// or at a URL has a mistake. On standard input and in documents such as Metalink, a mistake fails only
    /// the file that it concerns.
    #[arg(long, hide_short_help = true)]
    pub skip_bad_lines: bool,

    /// Download only shard K of N of the list
    ///
    /// N runs, each with a different K from 1 to N, download the whole list. With auto, K and N come from the
    /// variables of Slurm or torchrun. With auto/N, K comes from those of Kubernetes or Slurm. A shard that
    /// is done is not downloaded again.
    #[arg(long, value_name = "K/N", value_parser = values::shard, hide_short_help = true)]
    pub shard: Option<ShardOption>,

    /// Choose what divides a list into shards
    #[arg(long, value_name = "WHAT", default_value = "job", hide_short_help = true)]
    pub shard_by: ShardBy,
}

/// The options for existing files.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Existing files")]
pub struct Existing {
    /// Choose what to do if the file exists already
    #[arg(long, value_name = "WHAT", default_value = "check")]
    pub if_exists: IfExists,

    /// Choose what to do if another run is working on the file
    #[arg(long, value_name = "WHAT", default_value = "fail", hide_short_help = true)]
    pub if_locked: IfLocked,

    /// Continue a file that another tool left unfinished
    #[arg(short = 'c', long = "continue", conflicts_with = "no_resume")]
    pub adopt: bool,

    /// Ignore partial files of an earlier run, and start again
    #[arg(long, hide_short_help = true)]
    pub no_resume: bool,

    /// Skip the files that earlier runs downloaded with this archive
    ///
    /// FILE is a SQLite database of all files that were ever downloaded with it. They are skipped without a
    /// request, even if they are no longer on the disk. A file is found by its URL, or by a strong digest
    /// that the list states.
    #[arg(long, value_name = "FILE", value_parser = values::written_file(), value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub archive: Option<PathBuf>,

    /// Store files with the same digest only once
    ///
    /// If the list states a strong digest of a file, and this run or the archive has a file with that digest,
    /// the new file is made from the other one without a download. Files without a stated digest are compared
    /// by their SHA-256 after their download.
    #[arg(long, value_name = "HOW", default_value = "off", hide_short_help = true)]
    pub dedup: Dedup,
}

/// The options for how many files and connections are used at once.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Connections")]
pub struct Work {
    /// Download N files at once (or auto)
    ///
    /// With auto, downhaul starts with 4 files, soon downloads up to 16 at once, and then finds the best
    /// number.
    ///
    /// [default: 2; auto for more than 16 files, or if the number of files is unknown]
    #[arg(short = 'j', long, value_name = "N", value_parser = values::files)]
    pub parallel: Option<NumberOrAuto>,

    /// Use at most N connections for one file (or auto)
    ///
    /// With auto, downhaul adds connections as long as the download becomes faster. It also tries if fewer
    /// connections are as fast.
    #[arg(short = 'x', long, value_name = "N", default_value = "auto", value_parser = values::connections)]
    pub connections: NumberOrAuto,

    /// Use at most N connections to one host, for all files together
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024), hide_short_help = true)]
    pub max_per_host: u16,

    /// Download at most RATE bytes per second (500k, 2M)
    ///
    /// The limit is for all files together. 1k means 1024 bytes.
    #[arg(long, value_name = "RATE", value_parser = values::limit)]
    pub limit_rate: Option<u64>,

    /// Start no more files after SIZE bytes (500M, 2G)
    ///
    /// The bytes that this run receives are counted. The files that were started are still completed. If
    /// other files remain, the exit status is 75, and the same command downloads them.
    #[arg(long, alias = "quota", value_name = "SIZE", value_parser = values::size, hide_short_help = true)]
    pub max_total: Option<u64>,

    /// Start no more files after this time (90m, 06:30, 2026-11-28T06:30)
    ///
    /// TIME is a time after the start, a time of day, or a date and time. The files that were started are
    /// still completed. If other files remain, the exit status is 75, and the same command downloads them.
    #[arg(long, value_name = "TIME", value_parser = Deadline::read, hide_short_help = true)]
    pub deadline: Option<Deadline>,

    /// Do not use what earlier runs learned about hosts, and store nothing about them
    ///
    /// By default, a run stores how many connections and requests each host accepts, and how many connections
    /// and files at once were best. The next run starts with these limits and numbers, and then measures
    /// again.
    #[arg(long, hide_short_help = true)]
    pub no_learn: bool,
}

/// The options for failures.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Retries")]
pub struct Failure {
    /// Retry a file up to N times (inf: without limit)
    #[arg(long, value_name = "N", default_value = "3", value_parser = values::retries)]
    pub retries: u32,

    /// Also retry after these HTTP statuses, separated by commas (404,403)
    #[arg(long, value_name = "CODES", value_delimiter = ',', value_parser = values::status, hide_short_help = true)]
    pub retry_on: Vec<u16>,

    /// Ask, retry, skip or exit after a failure
    ///
    /// [default: ask on a terminal, else retry]
    #[arg(long, value_name = "WHAT")]
    pub on_error: Option<OnError>,

    /// Give up a connection that receives nothing for this long (30, 500ms, 2m)
    #[arg(long, value_name = "SECS", default_value = "30", value_parser = values::time, hide_short_help = true)]
    pub timeout: Duration,

    /// Give up a name lookup, an attempt to connect or a TLS handshake that takes longer than this
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = values::time, hide_short_help = true)]
    pub connect_timeout: Duration,

    /// Give up a file that takes longer than this, including all retries
    #[arg(long, value_name = "SECS", value_parser = values::time, hide_short_help = true)]
    pub max_time: Option<Duration>,

    /// Give up a connection that receives fewer than RATE bytes per second over a minute (500, 2k)
    ///
    /// [default: about 17, which is 1 KiB per minute]
    #[arg(long, value_name = "RATE", value_parser = values::rate, hide_short_help = true)]
    pub min_speed: Option<u64>,

    /// Write to FILE a list of the files that are not complete after the run
    ///
    /// These are the files that failed, were stopped or were not started. 'downhaul -i FILE' downloads them.
    /// FILE contains the URLs and headers as they were given, with their secrets.
    #[arg(long, value_name = "FILE", value_parser = values::written_file(), value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub failed: Option<PathBuf>,

    /// Run this command after each downloaded file, without a shell
    ///
    /// The command gets DOWNHAUL_FILE_PATH, DOWNHAUL_FILE_URL and other variables in its environment. One
    /// command runs at a time.
    #[arg(long, value_name = "COMMAND", value_parser = Hook::read, hide_short_help = true)]
    pub on_complete: Option<Hook>,

    /// Run this command after each file that failed, without a shell
    ///
    /// The command gets DOWNHAUL_FILE_URL, DOWNHAUL_FILE_CODE, DOWNHAUL_FILE_REASON and other variables in
    /// its environment.
    #[arg(long, value_name = "COMMAND", value_parser = Hook::read, hide_short_help = true)]
    pub on_error_run: Option<Hook>,
}

/// The options for how a run ends.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Ending")]
pub struct Ending {
    /// End at most this long after SIGTERM or SIGHUP (25, 2m)
    ///
    /// After the signal, no new file is requested, and the received bytes are saved for the next run. The
    /// exit status is 75. Usually, this takes less than a second.
    #[arg(long, value_name = "SECS", default_value = "25", value_parser = values::time, hide_short_help = true)]
    pub grace: Duration,

    /// End as after SIGTERM if the program that started downhaul ends (not on Windows)
    #[arg(long, hide_short_help = true)]
    pub stop_with_parent: bool,

    /// Continue if the program that reads the events of --progress json ends
    ///
    /// By default, the run stops then, as after SIGTERM. The exit status is 1, unless all files are complete.
    #[arg(long, hide_short_help = true)]
    pub keep_going: bool,
}

/// The options for verification.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Verification")]
pub struct Verification {
    /// Require this digest (sha256:HEX)
    ///
    /// This option is for a single URL. The algorithm is sha256, sha384, sha512, blake3, blake2b, sha1, md5,
    /// crc32, crc32c or crc64nvme. The digits alone are read as MD5, SHA-1, SHA-256, SHA-384 or SHA-512,
    /// depending on their number.
    #[arg(long, value_name = "DIGEST", value_parser = values::checksum)]
    pub checksum: Option<Digest>,

    /// Compare the files with the digests in this list, such as SHA256SUMS
    ///
    /// LIST is a file or a URL. For a file that LIST does not name, a warning is printed. With --verify
    /// listed or require, such a file fails, unless you, its URL or the list of -i gave another digest of it
    /// (for require, a strong one).
    #[arg(long, value_name = "LIST", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub checksum_file: Option<String>,

    /// Choose how strictly files are verified
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub verify: Verify,

    /// Accept a web page even if the name of the file is that of an archive, an image or the like
    #[arg(long, hide_short_help = true)]
    pub accept_html: bool,

    /// Require that this key signed each file, or the checksum list that names it
    ///
    /// KEY is a minisign key (as text or as a .pub file), or a file of OpenPGP keys. OpenPGP needs a build
    /// with the feature openpgp.
    #[arg(long, value_name = "KEY", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub signed_by: Option<String>,

    /// Choose whether to use mirrors that a server offers
    #[arg(long, value_name = "HOW", default_value = "off", hide_short_help = true)]
    pub mirrors: Mirrors,

    /// Record the downloaded files in FILE
    ///
    /// FILE is a lock file. 'downhaul -i FILE' downloads the same files again, and 'downhaul verify FILE'
    /// compares the files on the disk with it.
    #[arg(long, value_name = "FILE", value_parser = values::written_file(), value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub record: Option<PathBuf>,
}

/// The options for requests.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Network")]
pub struct Http {
    /// Send this header ('Name: value'), or those in @FILE
    ///
    /// Headers are sent to the origins (scheme, host and port) of the given URLs, and to no other origin.
    /// FILE must have one header on each line. Other users can see a header on the command line in the list
    /// of processes, but not a header in FILE.
    #[arg(short = 'H', long = "header", alias = "headers", value_name = "HEADER", value_parser = values::header_option)]
    pub headers: Vec<Header>,

    /// Send this header to HOST only, for example after a redirect
    ///
    /// HOST is a name (for the default port) or has the form NAME:PORT. The header is sent if a given URL, a
    /// redirect, or a document such as a Metalink file or a fetched list leads to HOST. Over http, it is sent
    /// only if the URL of the file is an http URL that you gave.
    #[arg(long, num_args = 2, value_names = ["HOST", "HEADER"], value_parser = values::secret, hide_short_help = true)]
    pub header_for: Vec<Secret>,

    /// Log in to the origins of the given URLs, as NAME or NAME:PASSWORD
    ///
    /// Without a password, downhaul asks for it on the terminal. @FILE reads NAME:PASSWORD from the first
    /// line of FILE, so that other users cannot see the password in the list of processes. The login is sent
    /// to no other origin (scheme, host and port).
    #[arg(short = 'u', long, value_name = "LOGIN", value_parser = values::login, hide_short_help = true)]
    pub user: Option<LoginOption>,

    /// Send this bearer token, or the one in @FILE
    ///
    /// The token is sent to the origins (scheme, host and port) of the given URLs, and to no other origin.
    #[arg(long, value_name = "TOKEN", value_parser = values::token, conflicts_with = "user", hide_short_help = true)]
    pub bearer: Option<SecretOption>,

    /// Read logins from this netrc file, not from $NETRC or ~/.netrc
    ///
    /// The file has logins for hosts. A login is sent only to its host, and only if this host requires a
    /// login. It is also sent if only a redirect, or a document such as a Metalink file or a fetched list,
    /// leads to this host. Over http, it is sent only if the URL of the file is an http URL that you gave.
    /// The entry default is used for the given URLs only.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub netrc: Option<PathBuf>,

    /// Read no netrc file
    #[arg(long, conflicts_with = "netrc", hide_short_help = true)]
    pub no_netrc: bool,

    /// Choose when and how to send a login
    #[arg(long, value_name = "HOW", default_value = "auto", hide_short_help = true)]
    pub auth: Auth,

    /// Send these cookies ('NAME=VALUE; NAME=VALUE'), or those in @FILE
    ///
    /// The cookies are sent to the origins (scheme, host and port) of the given URLs, and to no other origin.
    /// @FILE reads them from the first line of FILE.
    #[arg(short = 'b', long, value_name = "COOKIES", value_parser = values::cookies, hide_short_help = true)]
    pub cookie: Vec<SecretOption>,

    /// Use the cookies in FILE, which has the Netscape format
    ///
    /// curl, wget and extensions of browsers write such files. Each cookie is sent only to the hosts and
    /// paths that FILE states for it. Cookies that servers set are always used within a run.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub cookies: Option<PathBuf>,

    /// Use the cookies of a browser: firefox, or firefox:PROFILE
    ///
    /// This option needs a build with the feature firefox.
    #[arg(long, value_name = "BROWSER", hide_short_help = true)]
    pub cookies_from_browser: Option<String>,

    /// Write the cookies of --cookies and of servers to FILE at the end of the run
    ///
    /// The cookies of --cookie are not written. FILE has the form that --cookies reads, and only you can read
    /// it.
    #[arg(long, value_name = "FILE", value_parser = values::written_file(), value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub save_cookies: Option<PathBuf>,

    /// Send this text as the User-Agent header
    ///
    /// [default: downhaul/VERSION]
    #[arg(short = 'A', long, value_name = "TEXT", value_parser = values::header_value, hide_short_help = true)]
    pub user_agent: Option<String>,

    /// Send this URL as the Referer header to the origins of the given URLs
    #[arg(short = 'e', long, value_name = "URL", value_parser = values::referer, hide_short_help = true)]
    pub referer: Option<String>,

    /// Use this HTTP method
    ///
    /// If METHOD is not GET, or if there is a body, the file is not resumed, and a failed request is retried
    /// only if --retries is given.
    ///
    /// [default: GET, or POST if there is a body]
    #[arg(short = 'X', long, value_name = "METHOD", value_parser = values::method, hide_short_help = true)]
    pub request: Option<String>,

    /// Send this body, or the content of @FILE, with POST
    ///
    /// The body is sent to the origins (scheme, host and port) of the given URLs, and to no other origin. Its
    /// Content-Type is application/x-www-form-urlencoded, unless -H 'Content-Type: ...' gives another one. If
    /// this option is given several times, the bodies are joined with &, as in curl.
    #[arg(long, value_name = "BODY", value_parser = values::body, conflicts_with = "json", hide_short_help = true)]
    pub data: Vec<BodyOption>,

    /// Send this body, or the content of @FILE, as application/json
    ///
    /// If this option is given several times, the bodies are joined without a separator.
    #[arg(long, value_name = "BODY", value_parser = values::body, hide_short_help = true)]
    pub json: Vec<BodyOption>,

    /// Save only these bytes of each file (0-999, or 1000- to the end)
    ///
    /// Digests of the whole file are not compared.
    #[arg(
        long,
        value_name = "A-B",
        value_parser = ByteRange::read,
        allow_hyphen_values = true,
        conflicts_with_all = ["checksum", "checksum_file", "signed_by", "record", "data", "json", "request"],
        hide_short_help = true
    )]
    pub range: Option<ByteRange>,

    /// The option of curl that means `--decode auto`.
    #[arg(long, hide = true)]
    pub compressed: bool,

    /// Trust the certificates in this PEM file instead of those of the system
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub cacert: Option<PathBuf>,

    /// Accept every certificate, even an invalid one
    ///
    /// Others on the network can then read and change the download.
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

    /// Use HTTP/2 only
    ///
    /// By default, HTTP/2 is used for many small HTTPS files, and HTTP/1.1 for all others.
    #[arg(long, hide_short_help = true)]
    pub http2: bool,

    /// Choose whether to decode content that a server compressed without being asked
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
    /// PROXY is a URL with the scheme http, https, socks4a, socks5, socks5h or socks (which means socks5h).
    /// Without a scheme, http is used. The default port is 1080 (443 for https). With this option, the
    /// proxies of the environment (http_proxy, https_proxy and all_proxy) are not used. An empty PROXY means
    /// that no proxy is used.
    ///
    /// [default: $http_proxy, $https_proxy or $all_proxy]
    #[arg(long, value_name = "PROXY", value_parser = values::secret, value_hint = ValueHint::Url)]
    pub proxy: Option<Secret>,

    /// Connect to these hosts without a proxy (example.org,10.0.0.0/8)
    ///
    /// A name also matches all names below it, and * matches all hosts. [default: $no_proxy]
    #[arg(long, value_name = "HOSTS", hide_short_help = true)]
    pub no_proxy: Option<String>,

    /// Log in to the proxy, as NAME or NAME:PASSWORD
    ///
    /// Without a password, downhaul asks for it on the terminal. @FILE reads NAME:PASSWORD from the first
    /// line of FILE.
    #[arg(long, value_name = "LOGIN", value_parser = values::login, hide_short_help = true)]
    pub proxy_user: Option<LoginOption>,

    /// Send the client certificate in this PEM file to the origins of the given URLs
    ///
    /// CERT is FILE or, as in curl, FILE:PASSWORD with the password of the key. A colon in the name of FILE
    /// needs a backslash before it. FILE must also contain the certificates of the chain. It must contain the
    /// private key too, unless --key is given.
    #[arg(long, value_name = "CERT", value_parser = values::cert, value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub cert: Option<CertOption>,

    /// Read the private key of the client certificate from this PEM file
    ///
    /// If the key is encrypted, its password comes from --key-password or from --cert FILE:PASSWORD. If
    /// neither gives it, downhaul asks for it on the terminal.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub key: Option<PathBuf>,

    /// Decrypt the private key with this password, or the one in @FILE
    ///
    /// This password is used even if --cert FILE:PASSWORD gives another one. If the key is encrypted and
    /// neither option gives a password, downhaul asks for it on the terminal.
    #[arg(long, value_name = "PASSWORD", value_parser = values::password, hide_short_help = true)]
    pub key_password: Option<SecretOption>,

    /// Require that the hosts of the given URLs have one of these public keys
    ///
    /// KEYS has the form sha256//BASE64, as in curl. Several keys are separated by semicolons. BASE64 is the
    /// SHA-256 of a key in its DER form (SubjectPublicKeyInfo). The certificate must be valid as well. An
    /// http URL of such a host fails.
    #[arg(long, value_name = "KEYS", value_parser = values::pins, hide_short_help = true)]
    pub pinned_pubkey: Option<Pins>,

    /// Set the oldest version of TLS that is accepted
    #[arg(long, value_name = "VERSION", default_value = "1.2", hide_short_help = true)]
    pub tls_min: TlsMin,

    /// Accept every certificate of this host (HOST or HOST:PORT)
    #[arg(long, value_name = "HOST", value_parser = values::host, hide_short_help = true)]
    pub insecure_host: Vec<String>,

    /// Connect to these addresses for HOST and PORT (HOST:PORT:ADDRESS,ADDRESS)
    ///
    /// If HOST is *, the rule is for all hosts.
    #[arg(long, value_name = "RULE", value_parser = values::resolve, allow_hyphen_values = true, hide_short_help = true)]
    pub resolve: Vec<Resolve>,

    /// Connect to HOST2 and PORT2 in place of HOST1 and PORT1 (HOST1:PORT1:HOST2:PORT2)
    ///
    /// An empty HOST1 or PORT1 means any, and an empty HOST2 or PORT2 means the same as in the URL. The host
    /// in the URL still decides which certificate is valid, and which headers and logins are sent.
    #[arg(long, value_name = "RULE", value_parser = ConnectTo::parse, hide_short_help = true)]
    pub connect_to: Vec<ConnectTo>,

    /// Make connections from this local address, or (on Linux) through this network interface (eth0)
    #[arg(long, value_name = "ADDRESS", value_parser = Interface::parse, hide_short_help = true)]
    pub interface: Option<Interface>,

    /// Resolve host names with this DNS over HTTPS server, not with the system
    ///
    /// URL is an https URL (RFC 8484). The system resolves only the host name in this URL, and localhost.
    /// This option needs a build with the feature doh.
    #[arg(long, alias = "doh-url", value_name = "URL", value_parser = DohServer::parse, hide_short_help = true)]
    pub doh: Option<DohServer>,

    /// Connect to this Unix socket instead of the hosts of the URLs
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub unix_socket: Option<PathBuf>,

    /// Refuse private addresses to which public hosts, documents or servers lead
    ///
    /// A private address belongs to a private network or to this machine. It is refused if a public host
    /// redirects to it, if a document names it, or if a server names it as a mirror. A document is a Metalink
    /// file, a fetch.txt of BagIt, a data package, an RO-Crate, or a list that is fetched from a URL. A URL
    /// in a document is accepted if it has the origin of a given URL.
    #[arg(long, hide_short_help = true)]
    pub no_private: bool,

    /// Choose whether to use https for hosts that ask for it (Strict-Transport-Security)
    #[arg(long, value_name = "WHEN", default_value = "on", hide_short_help = true)]
    pub hsts: Hsts,
}

/// The options for the screen and the log.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Progress and log")]
pub struct Reporting {
    /// Choose how to show progress
    #[arg(long, value_name = "HOW", default_value = "auto", hide_short_help = true)]
    pub progress: Progress,

    /// Show only failures and warnings
    #[arg(short, long)]
    pub quiet: bool,

    /// Show more details (-vv: also those of connections)
    #[arg(short, long, conflicts_with = "quiet", action = ArgAction::Count)]
    pub verbose: u8,

    /// Choose when to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_short_help = true)]
    pub color: Color,

    /// Show at the end where the time went, and why connections were added or dropped
    #[arg(long, hide_short_help = true)]
    pub explain: bool,

    /// Append starts, successes, errors and retries to this log, or write no log if FILE is none
    ///
    /// [default: $DOWNHAUL_LOG; if it is not set, download_log.txt, or no log with -o -]
    #[arg(long, value_name = "FILE", value_parser = values::written_file(), value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub log: Option<PathBuf>,
}

/// The options that choose the configuration.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Configuration")]
pub struct Configuration {
    /// Read settings from FILE, or read no file if FILE is none
    ///
    /// [default: downhaul/config.toml in your folder for configurations, such as ~/.config; 'downhaul config'
    /// shows its path]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub config: Option<PathBuf>,

    /// Print the resulting command without its secrets, and download nothing
    #[arg(long, hide_short_help = true)]
    pub dry_run: bool,

    /// Also use the settings in the section [profile.NAME] of the configuration file
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub profile: Option<String>,
}
