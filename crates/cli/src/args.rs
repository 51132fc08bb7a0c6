//! The arguments, as clap sees them, grouped as `--help` shows them.

use crate::again::Again;
use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use downhaul_engine::core::digest::Digest;
use downhaul_engine::core::name::Folders;
use std::path::PathBuf;
use std::time::Duration;

/// Where to find what `--help` has no room for.
const AFTER: &str = "\
Examples:
  downhaul https://example.com/a.iso                 save a.iso here
  downhaul \"URL1,URL2\" \"one,two\" -d downloads        names of your choice
  downhaul -i list.txt -j 8                          a list, eight files at once
  downhaul URL -o - | tar xz                         into a pipe

A download is in NAME.part until it is complete; the same command again goes on with it.
An existing file is never replaced unless you say so.

Exit status:
  0 all there   1 some failed   2 usage   3 wrong digest   4 you chose to exit
  5 disk failed   75 terminated   130 Ctrl-C";

/// Download files: in parallel, every byte checked, nothing half-done under its final name.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "downhaul",
    version,
    after_help = AFTER,
    override_usage = "downhaul URLS FILENAMES [OPTIONS]   two comma-separated lists of equal length\n       \
        downhaul URL... [OPTIONS]           names from the server or the URL\n       \
        downhaul -i LIST [OPTIONS]          a file with a URL a line, or - for standard input",
    args_conflicts_with_subcommands = true,
    args_override_self = true,
    max_term_width = 100
)]
pub struct Args {
    /// What to do instead of downloading.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// URLs, each also a comma-separated list; with exactly two arguments the second may be the list of names
    #[arg(value_name = "URLS")]
    pub urls: Vec<String>,

    /// What goes where.
    #[command(flatten)]
    pub files: Files,

    /// How to do it.
    #[command(flatten)]
    pub options: Options,

    /// How to give all of it again.
    #[arg(skip)]
    pub(crate) again: Again,
}

/// What to do instead of downloading.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
    /// Compare files on the disk with a checksum list or the record of a run
    Verify {
        /// A list (SHA256SUMS), a record, or a folder that holds some
        #[arg(value_name = "LIST|DIR", default_value = ".")]
        what: PathBuf,
        /// Folder that names are relative to [default: that of the list]
        #[arg(short = 'd', long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// Name only what is not as it should be
        #[arg(short, long)]
        quiet: bool,
    },
    /// Fetch again what is wrong of files on the disk: of a Metalink file with digests of pieces, only the wrong pieces
    Repair(Box<Repair>),
    /// Show a recorded event stream (--progress json) as it was seen then
    Replay {
        /// The recording, or - for standard input
        file: PathBuf,
        /// How many times as fast
        #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = positive)]
        speed: f64,
    },
}

/// What to repair, and how to fetch what is wrong: as in any run.
#[derive(Debug, Clone, Group)]
#[command(args_override_self = true, max_term_width = 100)]
pub struct Repair {
    /// A Metalink file, a record, or a list with digests; - is standard input
    #[arg(value_name = "LIST")]
    pub list: PathBuf,

    /// Folder that holds the files
    #[arg(short = 'd', long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,

    /// How to do it.
    #[command(flatten)]
    pub options: Options,
}

impl Args {
    /// A run that repairs: all that it has of its own counts, as if it had been given to a download.
    pub fn repairing(&self, repair: &Repair) -> Args {
        let Repair { list, output, options } = repair.clone();
        let files = Files { input: Some(list), output, ..self.files.clone() };
        let (command, again) = (self.command.clone(), self.again.clone());
        Args { command, urls: Vec::new(), files, options, again }
    }
}

/// What any run can be told, whether it downloads or repairs.
#[derive(Debug, Clone, Group)]
pub struct Options {
    /// How much at once.
    #[command(flatten)]
    pub work: Work,

    /// What to do when something fails.
    #[command(flatten)]
    pub failure: Failure,

    /// What must be proven.
    #[command(flatten)]
    pub proof: Proof,

    /// How to talk to servers.
    #[command(flatten)]
    pub http: Http,

    /// What to tell.
    #[command(flatten)]
    pub telling: Telling,
}

/// What goes where.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Files")]
pub struct Files {
    /// Folder to save into, made if missing
    #[arg(short = 'd', long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,

    /// Name for a single URL, any path; - writes to standard output, and a pipe or device is written to as it is
    #[arg(short = 'o', long, value_name = "NAME")]
    pub save_as: Option<PathBuf>,

    /// What to do when the file exists
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "check",
        hide_possible_values = true,
        help = "When the file exists: check (is it this file?), skip, overwrite, rename, update, error"
    )]
    pub if_exists: IfExists,

    /// What to call a file without a given name: auto (as the server says, else as its URL), url, server
    #[arg(long, value_name = "FROM", default_value = "auto", hide_possible_values = true)]
    pub names: Names,

    /// Keep folders of the URL: the last N, all, or host (all of them, in a folder named after the host)
    #[arg(long, value_name = "N|host|all", default_value = "0", value_parser = folders)]
    pub folders: Folders,

    /// Use only names that Windows takes, too (the default there)
    #[arg(long, default_value_t = cfg!(windows))]
    pub windows_names: bool,

    /// Read URLs and names from a list (lines, JSON lines, Metalink), a file or a URL; - is standard input
    #[arg(short = 'i', long, value_name = "LIST", conflicts_with_all = ["urls", "save_as"])]
    pub input: Option<PathBuf>,

    /// Go on with a partial file that another tool left under the final name
    #[arg(short = 'c', long = "continue", conflicts_with = "no_resume")]
    pub adopt: bool,

    /// Forget what an earlier run left, and start again
    #[arg(long)]
    pub no_resume: bool,

    /// Force files to disk before they get their name: auto (those that can be resumed), always, never
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub sync: Sync,

    /// Keep the time of download instead of the server's Last-Modified
    #[arg(long)]
    pub no_mtime: bool,

    /// Attach the URL to each file, for other programs (extended attribute user.xdg.origin.url)
    #[arg(long)]
    pub xattr: bool,

    /// Attach nothing to files: a later run has to ask the server about each
    #[arg(long, conflicts_with = "xattr")]
    pub no_xattr: bool,
}

/// How much at once.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Work")]
pub struct Work {
    /// Files at once: a number, or auto for as many as help
    #[arg(short = 'j', long, value_name = "N", default_value = "2", value_parser = files)]
    pub parallel: Connections,

    /// Most connections for one file: a number, or auto for as many as help
    #[arg(short = 'x', long, value_name = "N", default_value = "auto", value_parser = connections)]
    pub connections: Connections,

    /// Most connections to one host, over all files
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub max_per_host: u16,

    /// Do not remember what hosts do not like (too many connections or requests) for later runs
    #[arg(long)]
    pub no_learn: bool,

    /// Bytes a second for everything (500k, 2M)
    #[arg(long, value_name = "RATE", value_parser = limit)]
    pub limit_rate: Option<u64>,
}

/// `--parallel` and `--connections`: `None` is `auto`.
pub type Connections = Option<u16>;

/// What to do when something fails.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Failure")]
pub struct Failure {
    /// New tries of a file after a failure
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub retries: u32,

    /// Statuses that are worth another try as well, separated by commas (404,403)
    #[arg(long, value_name = "CODES", value_delimiter = ',', value_parser = status)]
    pub retry_on: Vec<u16>,

    /// ask, retry, skip or exit [default: ask on a terminal, else retry]
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    pub on_error: Option<OnError>,

    /// Silence allowed
    #[arg(long, value_name = "SECS", default_value = "30", value_parser = seconds)]
    pub timeout: Duration,

    /// Time allowed for a connection
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = seconds)]
    pub connect_timeout: Duration,

    /// Time allowed for a whole file, all tries included
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub max_time: Option<Duration>,

    /// Less than this a second, over a minute, counts as silence (500, 2k, 1M) [default: 1 KiB a minute]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub min_speed: Option<u64>,
}

/// What must be proven.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Proof")]
pub struct Proof {
    /// The digest that a single URL's file must have (sha256:..., sha512:..., blake3:..., md5:..., or its digits alone)
    #[arg(long, value_name = "ALGO:HEX", value_parser = checksum)]
    pub checksum: Option<Digest>,

    /// A list of digests for all files, as sha256sum and others write it
    #[arg(long, value_name = "FILE|URL")]
    pub checksum_file: Option<String>,

    /// auto (check what is known), find (look beside the file too), listed (a list must name it, MD5 counts), require (something
    /// strong must be known), off
    #[arg(long, value_name = "HOW", default_value = "auto", hide_possible_values = true)]
    pub verify: Verify,

    /// Accept an HTML page under a name that promises an archive, data, an image or the like
    #[arg(long)]
    pub accept_html: bool,

    /// Each file, or the list that names it, must be signed with this minisign key (text or .pub file), or with one of a
    /// file of OpenPGP keys (in builds with the feature openpgp)
    #[arg(long, value_name = "KEY")]
    pub signed_by: Option<String>,

    /// auto (use the mirrors that a server offers, where a digest proves the file), off
    #[arg(long, value_name = "HOW", default_value = "off", hide_possible_values = true)]
    pub mirrors: Mirrors,

    /// Write what was had into a lock file, for -i and for downhaul verify
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

/// How to talk to servers.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "HTTP")]
pub struct Http {
    /// A header for the servers of the given URLs, and no other; @FILE: all headers in FILE, one a line
    #[arg(short = 'H', long = "header", value_name = "'N: V'|@FILE", value_parser = header_option)]
    pub headers: Vec<Header>,

    /// What to call ourselves [default: downhaul/VERSION]
    #[arg(short = 'A', long, value_name = "TEXT", value_parser = header_value)]
    pub user_agent: Option<String>,

    /// Trust the certificates in this PEM file instead of the machine's
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,

    /// Trust every certificate, whatever --cacert says
    #[arg(long)]
    pub insecure: bool,

    /// Redirects to follow
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub max_redirects: u32,

    /// Follow redirects from https to http
    #[arg(long)]
    pub allow_downgrade: bool,

    /// Speak HTTP/1.1 only
    #[arg(long, conflicts_with = "http2")]
    pub http1: bool,

    /// Speak HTTP/2 only [default: HTTP/2 for many small files over https, else HTTP/1.1]
    #[arg(long)]
    pub http2: bool,

    /// auto (decode what a server sends compressed although it was asked not to), off (save it as sent)
    #[arg(long, value_name = "HOW", default_value = "off", hide_possible_values = true)]
    pub decode: Decode,

    /// Use IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,

    /// Use IPv6 only
    #[arg(short = '6', long)]
    pub ipv6: bool,
}

/// What to tell.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Telling")]
pub struct Telling {
    /// auto, bars, plain, json (events on standard output) or none
    #[arg(long, value_name = "HOW", default_value = "auto", hide_possible_values = true)]
    pub progress: Progress,

    /// Tell failures only
    #[arg(short, long)]
    pub quiet: bool,

    /// Tell more
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,

    /// auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: Color,

    /// At the end, tell where the time went and why connections were added or dropped
    #[arg(long)]
    pub explain: bool,

    /// Log of successes, errors and retries; none for no log [default: download_log.txt, none with -o -]
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

/// `--if-exists`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IfExists {
    Check,
    Skip,
    Overwrite,
    Rename,
    Update,
    Error,
}

/// `--names`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Names {
    Auto,
    Url,
    Server,
}

/// `--header`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// Its name and its value.
    Line(String, String),
    /// A file with some, one a line, so that they are in no list of processes.
    File(PathBuf),
}

/// `--sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sync {
    Auto,
    Always,
    Never,
}

/// `--on-error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    Ask,
    Retry,
    Skip,
    Exit,
}

/// `--decode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Decode {
    /// Decode what was not asked for.
    Auto,
    /// Save as sent.
    Off,
}

/// `--mirrors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mirrors {
    /// Use what is offered.
    Auto,
    /// Use what was asked for.
    Off,
}

/// `--verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Verify {
    Auto,
    Find,
    Listed,
    Require,
    Off,
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    Auto,
    Bars,
    Plain,
    Json,
    None,
}

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

fn checksum(text: &str) -> Result<Digest, String> {
    Digest::from_given(text)
}

fn connections(text: &str) -> Result<Connections, String> {
    number_or_auto(text, 256)
}

fn files(text: &str) -> Result<Connections, String> {
    number_or_auto(text, 1024)
}

fn number_or_auto(text: &str, most: u16) -> Result<Connections, String> {
    match text.parse() {
        Ok(n) if (1..=most).contains(&n) => Ok(Some(n)),
        _ if text == "auto" => Ok(None),
        _ => Err(format!("it must be auto or a number from 1 to {most}")),
    }
}

fn folders(text: &str) -> Result<Folders, String> {
    match text {
        "all" => Ok(Folders::All),
        "host" => Ok(Folders::Host),
        _ => text.parse().map(Folders::Last).map_err(|_| "it must be a number, all or host".into()),
    }
}

/// An HTTP status (RFC 9110, section 15) that a failure may have; those below 200 and those of a whole file or a part are none.
fn status(text: &str) -> Result<u16, String> {
    match text.trim().parse() {
        Ok(code) if (201..=599).contains(&code) && code != 206 => Ok(code),
        _ => Err("it must be an HTTP status that a failure can have, such as 404".into()),
    }
}

fn limit(text: &str) -> Result<u64, String> {
    match rate(text)? {
        0 => Err("it must be above 0".into()),
        rate => Ok(rate),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n > 0.0 && n.is_finite() => Ok(n),
        _ => Err("it must be a number above 0".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    positive(text).and_then(|n| Duration::try_from_secs_f64(n).map_err(|e| e.to_string()))
}

/// Bytes a second: `500`, `2k`, `1.5M` (powers of 1024, as with curl, wget and aria2).
fn rate(text: &str) -> Result<u64, String> {
    let bad = || "it must be a number with an optional k, M or G".to_string();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: f64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1024.0 * 1024.0,
        "g" | "gb" | "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(bad()),
    };
    let bytes = digits.parse::<f64>().map_err(|_| bad())? * factor;
    // Beyond 2^53 an f64 is not exact; no line is that fast.
    if (0.0..9e15).contains(&bytes) { Ok(bytes as u64) } else { Err(bad()) }
}

/// Headers that say how the bytes come over: ours alone, or offsets and digests would not mean what they say.
const OURS: [&str; 9] = [
    "accept-encoding",
    "range",
    "if-range",
    "content-length",
    "transfer-encoding",
    "connection",
    "te",
    "upgrade",
    "expect",
];

fn header_option(text: &str) -> Result<Header, String> {
    match text.strip_prefix('@') {
        Some("") => Err("@ needs the name of a file".into()),
        Some(file) => Ok(Header::File(file.into())),
        None => header(text).map(|(name, value)| Header::Line(name, value)),
    }
}

/// Reads `Name: value`. The error does not hold the value, which may be a secret.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("it must have the form 'Name: value'")?;
    let name = name.trim();
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err("the name before the colon is not a header name".into());
    }
    if OURS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!("{name} is set by downhaul itself"));
    }
    Ok((name.into(), header_value(value.trim())?))
}

fn header_value(text: &str) -> Result<String, String> {
    if text.chars().any(|c| c.is_control()) {
        Err("it holds control characters".into())
    } else {
        Ok(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn rates_are_powers_of_1024() {
        assert_eq!(rate("500"), Ok(500));
        assert_eq!(rate("2k"), Ok(2048));
        assert_eq!(rate("1.5M"), Ok(1_572_864));
        for bad in ["", "k", "-1", "1x", "nan", "1e99"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_are_whole_and_not_ours() {
        assert_eq!(header("X-A:  b "), Ok(("X-A".into(), "b".into())));
        for bad in ["x", ": v", "a b: c", "Range: bytes=0-", "X: a\nb"] {
            assert!(header(bad).is_err(), "{bad}");
        }
    }
}
