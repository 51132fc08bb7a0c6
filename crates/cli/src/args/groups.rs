//! The options, in the groups that `--help` shows. `-h` leaves out the options with `hide_short_help`.
//!
//! - [`files`] has the options for lists, and for the files on the disk;
//! - [`network`] has the options for requests and connections;
//! - all other groups are in this file.

mod files;
mod network;

pub use files::{Existing, Lists, Output};
pub use network::Http;

use super::choices::{Color, Mirrors, OnError, Progress, Verify};
use super::deadline::Deadline;
use super::values::{self, NumberOrAuto};
use crate::hooks::Hook;
use clap::{ArgAction, Args as Group, ValueHint};
use downhaul_engine::core::digest::Digest;
use std::path::PathBuf;
use std::time::Duration;

/// The options for the number of downloads and connections at once, and for the limits of a run.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Connections")]
pub struct Work {
    /// Download N files at once (or auto)
    ///
    /// With auto, downhaul starts with 4 files, soon downloads up to 16 at once, and then finds the best
    /// number. Auto is also the default if the number of files is unknown.
    ///
    /// [default: 2; auto for more than 16 files]
    #[arg(short = 'j', long, value_name = "N", value_parser = values::files)]
    pub parallel: Option<NumberOrAuto>,

    /// Use at most N connections for one file (or auto)
    ///
    /// With auto, downhaul adds connections as long as the download becomes faster. It also tests whether
    /// fewer connections are as fast.
    #[arg(short = 'x', long, value_name = "N", default_value = "auto", value_parser = values::connections)]
    pub connections: NumberOrAuto,

    /// Use at most N connections to one host, for all files together
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024), hide_short_help = true)]
    pub max_per_host: u16,

    /// Download at most RATE bytes per second (such as 500k)
    ///
    /// The limit is for all files together. 1k means 1024 bytes.
    #[arg(long, value_name = "RATE", value_parser = values::limit)]
    pub limit_rate: Option<u64>,

    /// Start no more downloads after SIZE bytes (such as 500M or 2G)
    ///
    /// The limit counts the bytes that this run receives, and those that the started downloads still need, if
    /// their sizes are known. Downloads that have started are still completed. If other files remain, the
    /// exit status is 75, and the same command downloads them.
    #[arg(long, alias = "quota", value_name = "SIZE", value_parser = values::size, hide_short_help = true)]
    pub max_total: Option<u64>,

    /// Start no more downloads after this time (such as 90m, 06:30 or 2026-11-28T06:30)
    ///
    /// TIME is a duration from the start of the run, a time of day, or a date and time. Downloads that have
    /// started are still completed. If other files remain, the exit status is 75, and the same command
    /// downloads them (with another TIME if TIME is a date and time).
    #[arg(long, value_name = "TIME", value_parser = Deadline::read, hide_short_help = true)]
    pub deadline: Option<Deadline>,

    /// Do not use what earlier runs learned about hosts, and store nothing about them
    ///
    /// By default, a run stores how many connections and requests each host accepts, and which numbers of
    /// connections and of files at once were best. The next run starts with these limits and numbers, and
    /// then measures again.
    #[arg(long, hide_short_help = true)]
    pub no_learn: bool,
}

/// The options for failures.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Retries")]
pub struct Failure {
    /// Retry a download up to N times (inf: without limit)
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

    /// Give up a connection that receives nothing for this long (such as 30, 500ms or 2m)
    #[arg(long, value_name = "SECS", default_value = "30", value_parser = values::time, hide_short_help = true)]
    pub timeout: Duration,

    /// Give up a name lookup, connecting to a host (all its addresses together), or a TLS handshake that
    /// takes longer than this
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = values::time, hide_short_help = true)]
    pub connect_timeout: Duration,

    /// Give up a download that takes longer than this, including its retries
    #[arg(long, value_name = "SECS", value_parser = values::time, hide_short_help = true)]
    pub max_time: Option<Duration>,

    /// Give up a connection that receives fewer than RATE bytes per second over a minute (such as 500 or 2k)
    ///
    /// [default: about 17, which is 1 KiB per minute]
    #[arg(long, value_name = "RATE", value_parser = values::rate, hide_short_help = true)]
    pub min_speed: Option<u64>,

    /// Write to FILE a list of the files that are not complete after the run
    ///
    /// Their downloads failed, were stopped or were not started. 'downhaul -i FILE' downloads these files.
    /// FILE contains the URLs and headers as they were given, with their secrets.
    #[arg(long, value_name = "FILE", value_parser = values::written_file(), value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub failed: Option<PathBuf>,

    /// Run this command, without a shell, after each file that was downloaded
    ///
    /// The command gets DOWNHAUL_FILE_PATH, DOWNHAUL_FILE_URL and other variables in its environment. One
    /// command runs at a time.
    #[arg(long, value_name = "COMMAND", value_parser = Hook::read, hide_short_help = true)]
    pub on_complete: Option<Hook>,

    /// Run this command, without a shell, after each download that failed
    ///
    /// The command does not run for downloads that the end of the run stopped. It gets DOWNHAUL_FILE_URL,
    /// DOWNHAUL_FILE_CODE, DOWNHAUL_FILE_REASON and other variables in its environment.
    #[arg(long, value_name = "COMMAND", value_parser = Hook::read, hide_short_help = true)]
    pub on_error_run: Option<Hook>,
}

/// The options for the end of a run.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Ending")]
pub struct Ending {
    /// End at most this long after SIGTERM or SIGHUP (such as 25 or 2m)
    ///
    /// After the signal, downhaul sends no more requests, and saves the received bytes for the next run. The
    /// exit status is 75. Usually, the run ends in less than a second.
    #[arg(long, value_name = "SECS", default_value = "25", value_parser = values::time, hide_short_help = true)]
    pub grace: Duration,

    /// End in the same way as after SIGTERM if the program that started downhaul ends (not on Windows)
    #[arg(long, hide_short_help = true)]
    pub stop_with_parent: bool,

    /// Continue if the program that reads the events of --progress json ends
    ///
    /// Without this option, the end of that program stops the run: no more requests are sent, and the
    /// received bytes are kept. If all files are complete, the exit status is then 0. If some files are
    /// unfinished, the exit status is 1 in most cases.
    #[arg(long, hide_short_help = true)]
    pub keep_going: bool,
}

/// The options for verification.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Verification")]
pub struct Verification {
    /// Require this digest, in a form such as sha256:HEX
    ///
    /// This option is for a single URL. The algorithm is sha256, sha384, sha512, blake3, blake2b, sha1, md5,
    /// crc32, crc32c or crc64nvme. Without an algorithm, HEX is read as MD5, SHA-1, SHA-256, SHA-384 or
    /// SHA-512, depending on its length.
    #[arg(long, value_name = "DIGEST", value_parser = values::checksum)]
    pub checksum: Option<Digest>,

    /// Compare the files with the digests in this list, such as SHA256SUMS
    ///
    /// LIST is a file or a URL. If LIST has no digest for a file of the run, a warning is printed. With
    /// --verify listed or require, the download of this file fails, unless an option, the URL of the file or
    /// the list of -i has a digest for it. With --verify listed, a CRC does not count. With --verify require,
    /// that digest must be strong, such as a SHA-256.
    #[arg(long, value_name = "LIST", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub checksum_file: Option<String>,

    /// Choose how strictly files are verified
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub verify: Verify,

    /// Accept a web page even if the name of the file has an ending of another type, such as .zip or .jpg
    ///
    /// A Git LFS pointer (a small text that stands for a file) is accepted too.
    #[arg(long, hide_short_help = true)]
    pub accept_html: bool,

    /// Require that this key signed each file, or the checksum list that names the file
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
    /// FILE becomes a lock file, which lists the files with their URLs and digests. 'downhaul -i FILE'
    /// downloads the same files again, and 'downhaul verify FILE' compares the files on the disk with FILE.
    #[arg(long, value_name = "FILE", value_parser = values::written_file(), value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub record: Option<PathBuf>,
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

    /// Show more details (-vv: also details of connections)
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

/// The options that choose the configuration, and `--dry-run`.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Configuration")]
pub struct Configuration {
    /// Read settings from FILE, or read no file if FILE is none
    ///
    /// [default: downhaul/config.toml in your folder for configurations, such as ~/.config; 'downhaul config'
    /// shows its path]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub config: Option<PathBuf>,

    /// Print the command as downhaul understands it, without secrets, and download nothing
    #[arg(long, hide_short_help = true)]
    pub dry_run: bool,

    /// Also use the settings in the section [profile.NAME] of the configuration file
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub profile: Option<String>,
}
