//! The values of options that accept only certain words. Each type has the name of its option. `--help` and
//! the completions show the description of each word.

use clap::ValueEnum;
use downhaul_engine::core::dedup;
use downhaul_engine::core::job;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IfExists {
    /// Keep the file if it is the requested file, and fail otherwise
    Check,
    /// Keep the file, and do not request it
    Skip,
    /// Replace the file when the new file is complete
    Overwrite,
    /// Save the new file as NAME (1), or with the next free number
    Rename,
    /// Replace the file, unless it is known to be the same as the server's file
    Update,
    /// Fail, and keep the file
    Error,
}

impl From<IfExists> for job::IfExists {
    fn from(chosen: IfExists) -> Self {
        match chosen {
            IfExists::Check => job::IfExists::Check,
            IfExists::Skip => job::IfExists::Skip,
            IfExists::Overwrite => job::IfExists::Overwrite,
            IfExists::Rename => job::IfExists::Rename,
            IfExists::Update => job::IfExists::Update,
            IfExists::Error => job::IfExists::Error,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IfLocked {
    /// Fail, with the exit status 1
    Fail,
    /// Wait until the other run has ended its work on the file. If the file is then unfinished, continue it.
    /// If it is complete, do what --if-exists says
    Wait,
    /// Leave the file to the other run. The file counts as skipped, and the exit status is 1
    Skip,
}

impl From<IfLocked> for job::IfLocked {
    fn from(chosen: IfLocked) -> Self {
        match chosen {
            IfLocked::Fail => job::IfLocked::Fail,
            IfLocked::Wait => job::IfLocked::Wait,
            IfLocked::Skip => job::IfLocked::Skip,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dedup {
    /// Store the bytes of each file separately
    Off,
    /// Let the files share their blocks. If the file system cannot do that, store the bytes separately. A
    /// change of one file does not change the others
    Reflink,
    /// Make hard links. A change of one file changes the others
    Hardlink,
}

impl From<Dedup> for dedup::Dedup {
    fn from(chosen: Dedup) -> Self {
        match chosen {
            Dedup::Off => dedup::Dedup::Off,
            Dedup::Reflink => dedup::Dedup::Reflink,
            Dedup::Hardlink => dedup::Dedup::Hardlink,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShardBy {
    /// Divide by a hash of the URL and the given name of each file. If lines are appended to the list, each
    /// file stays in its shard
    Job,
    /// Divide by the position in the list: the lines go to shard 1, shard 2 and so on, and after the last
    /// shard to shard 1 again
    Line,
    /// Divide by the host of the first URL of each file, so that one run downloads all files of a host
    Host,
}

impl From<ShardBy> for downhaul_engine::core::shard::ShardBy {
    fn from(chosen: ShardBy) -> Self {
        match chosen {
            ShardBy::Job => Self::Job,
            ShardBy::Line => Self::Line,
            ShardBy::Host => Self::Host,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Names {
    /// Use the file name that the server sends, or else the name at the end of the URL after redirects, or
    /// else the name at the end of the given URL
    Auto,
    /// Use the name at the end of the given URL
    Url,
    /// Use the file name that the server sends, or else the name at the end of the URL after redirects
    Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sync {
    /// Force files of 1 MiB or more, or of unknown size, to the disk
    Auto,
    /// Force all files to the disk
    Always,
    /// Force no file to the disk
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// Ask on the terminal, while other downloads continue
    Ask,
    /// Try again if the failure may be temporary, after a pause that grows with each retry
    Retry,
    /// Give up this file, and continue with the other files
    Skip,
    /// Stop the run
    Exit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Decode {
    /// Decode gzip, deflate, br and zstd
    Auto,
    /// Save the bytes as they were sent
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// Send the login when the server requires one, with the strongest scheme that the server offers
    Auto,
    /// Send the login with the first request, with the scheme Basic
    Basic,
    /// Send the login only with the scheme Digest, which never sends the password itself
    Digest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mirrors {
    /// Use mirrors that a server offers (several mirrors are used at once only if a strong digest or chunk
    /// hashes are known)
    Auto,
    /// Do not use mirrors that a server offers
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Verify {
    /// Compare each file with all of its known digests
    Auto,
    /// Do the same as auto, and also look for checksum lists beside the file on the server
    Find,
    /// Require a digest for every file: from a checksum list, the URL of the file, a list of URLs or an
    /// option (MD5 is enough, but a CRC is not)
    Listed,
    /// Require a strong digest or a signature for every file
    Require,
    /// Verify nothing
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Hsts {
    /// Use https for hosts that required it in this run
    On,
    /// Use the scheme that the URL has
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TlsMin {
    /// TLS 1.2 or newer
    #[value(name = "1.2")]
    V12,
    /// TLS 1.3
    #[value(name = "1.3")]
    V13,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// Draw bars on a terminal, and print plain lines elsewhere
    Auto,
    /// Draw bars on every terminal (also with TERM=dumb), and print plain lines elsewhere
    Bars,
    /// Print a line about each active download every five seconds
    Plain,
    /// Print events as JSON lines on standard output
    Json,
    /// Print messages, but no progress
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// Use colours on a terminal, unless NO_COLOR is set or TERM is dumb
    Auto,
    /// Always use colours
    Always,
    /// Never use colours
    Never,
}
