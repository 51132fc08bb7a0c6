//! The commands for a running daemon, with their arguments.

use super::values::{self, Header};
use clap::{ArgGroup, Args as Group, Subcommand, ValueEnum, ValueHint};
use downhaul_engine::core::digest::Digest;
use std::path::PathBuf;
use std::str::FromStr;

/// The commands for a running daemon.
#[derive(Debug, Clone, Subcommand)]
pub enum ClientCommand {
    /// Add downloads to the queue of a running daemon
    ///
    /// Each URL becomes one download, unless --mirrors is given. The output has a line for each new download,
    /// with its identifier. Other commands accept the first digits of an identifier, if no other identifier
    /// begins with them.
    Add(Box<Add>),
    /// List the downloads of a running daemon
    ///
    /// In the output, the number after waiting or paused is the position in the queue.
    List(List),
    /// Pause downloads of a running daemon
    Pause(Chosen),
    /// Resume paused downloads of a running daemon, and retry failed or removed downloads that you name
    Resume(Chosen),
    /// Remove downloads from a running daemon
    ///
    /// A download that is over (it is complete, has failed or was removed) is removed from the history.
    Remove(Remove),
    /// Move a waiting or paused download to another position in the queue
    Move(Move),
    /// Print what happens to the downloads of a running daemon
    ///
    /// If identifiers are given, the command ends when all of these downloads are over. The exit status is 0
    /// if all of them are complete, and 1 otherwise.
    Watch(Watch),
    /// Print the log of a running daemon
    ///
    /// The daemon keeps the last 1000 lines since its start.
    Logs(Logs),
    /// Show the progress bars of a running daemon
    ///
    /// Ctrl-C ends the command, and the daemon keeps running.
    Attach(Attach),
}

/// The options that choose the daemon, its secret and its certificates.
#[derive(Debug, Clone, Group)]
pub struct Address {
    /// Use the daemon at this URL [default: the daemon that you started last on this machine, or else
    /// http://127.0.0.1:6800/]
    ///
    /// The environment variable DOWNHAUL_DAEMON can have the URL instead.
    #[arg(long = "daemon", value_name = "URL", value_hint = ValueHint::Url, help_heading = "Daemon")]
    pub url: Option<String>,

    /// Read the secret of the daemon from FILE [default: the file that the daemon reads]
    ///
    /// The environment variable DOWNHAUL_DAEMON_SECRET can have the secret instead. For a daemon on another
    /// machine, this option or this variable is required.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Daemon")]
    pub secret_file: Option<PathBuf>,

    /// Trust the certificates in FILE [default: the certificate of the daemon on this machine, or else the
    /// certificates of the system]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Daemon")]
    pub cacert: Option<PathBuf>,
}

/// Reads the identifier of a download, or its first digits. Only an empty text is refused here, because only
/// the daemon knows which identifiers exist.
fn identifier(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("an ID has at least one digit") } else { Ok(text.into()) }
}

/// The arguments of `downhaul add`.
#[derive(Debug, Clone, Group)]
#[command(max_term_width = 100)]
pub struct Add {
    /// The URLs of the files
    #[arg(value_name = "URL", value_hint = ValueHint::Url, required_unless_present = "lists")]
    pub urls: Vec<String>,

    /// Add the downloads of a list, in any form that downhaul -i reads (- for standard input)
    ///
    /// LIST cannot be a URL.
    #[arg(short = 'i', long = "input", value_name = "LIST", value_hint = ValueHint::FilePath)]
    pub lists: Vec<PathBuf>,

    /// Save the files into this folder on the machine of the daemon
    ///
    /// The daemon accepts only its own folders (its option -d) and the folders below them. A relative path is
    /// below the first of these folders.
    #[arg(short = 'd', long = "output", value_name = "DIR", conflicts_with = "lists")]
    pub folder: Option<String>,

    /// Save the file as NAME, which may contain folders
    #[arg(short = 'o', long = "save-as", value_name = "NAME", conflicts_with = "lists")]
    pub name: Option<String>,

    /// Treat all URLs as mirrors of one file
    #[arg(long, conflicts_with = "lists")]
    pub mirrors: bool,

    /// Require this digest, in a form such as sha256:HEX
    #[arg(long, value_name = "DIGEST", value_parser = values::checksum, conflicts_with = "lists")]
    pub checksum: Option<Digest>,

    /// Send this header, as 'NAME: VALUE' (can be repeated)
    #[arg(short = 'H', long = "header", value_name = "'NAME: VALUE'", value_parser = values::header_option, conflicts_with = "lists")]
    pub headers: Vec<Header>,

    /// Limit each download to RATE bytes a second (such as 500k or 2M)
    #[arg(long, value_name = "RATE", value_parser = values::limit, conflicts_with = "lists")]
    pub limit_rate: Option<u64>,

    /// Let the downloads wait until they are resumed
    #[arg(long)]
    pub paused: bool,

    /// Put the downloads at the front of the queue
    #[arg(long, conflicts_with = "lists")]
    pub first: bool,

    /// Print the new downloads as JSON, one in each line
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub address: Address,
}

/// The downloads that `downhaul list` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Only {
    /// Downloads that are active.
    Active,
    /// Downloads that wait or are paused.
    Queued,
    /// Downloads that are complete, that failed or that were removed.
    Over,
}

/// The arguments of `downhaul list`.
#[derive(Debug, Clone, Group)]
#[command(max_term_width = 100)]
pub struct List {
    /// Show only downloads whose name or URL contains this text
    #[arg(value_name = "TEXT")]
    pub search: Option<String>,

    /// Show only downloads of this kind
    #[arg(long, value_name = "KIND")]
    pub only: Option<Only>,

    /// Show at most N downloads
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub limit: usize,

    /// Print the downloads as JSON, one in each line
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub address: Address,
}

/// The arguments of `downhaul pause` and `downhaul resume`.
#[derive(Debug, Clone, Group)]
#[command(max_term_width = 100, group = ArgGroup::new("which").required(true))]
pub struct Chosen {
    /// The identifiers of the downloads
    #[arg(value_name = "ID", group = "which", value_parser = identifier)]
    pub ids: Vec<String>,

    /// Choose all downloads that wait, are paused or are active
    #[arg(long, group = "which")]
    pub all: bool,

    #[command(flatten)]
    pub address: Address,
}

/// The arguments of `downhaul remove`.
#[derive(Debug, Clone, Group)]
#[command(max_term_width = 100, group = ArgGroup::new("which").required(true))]
pub struct Remove {
    /// The identifiers of the downloads
    #[arg(value_name = "ID", group = "which", value_parser = identifier)]
    pub ids: Vec<String>,

    /// Remove the downloads that have ended from the history
    #[arg(long, group = "which")]
    pub over: bool,

    /// Also delete the files and the partial files of these downloads
    #[arg(long, conflicts_with = "over")]
    pub files: bool,

    #[command(flatten)]
    pub address: Address,
}

/// A position in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The position with this number. The first position has the number 1.
    At(u32),
    /// The last position.
    Last,
}

impl FromStr for Position {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Position, Self::Err> {
        match text {
            "first" => Ok(Position::At(1)),
            "last" => Ok(Position::Last),
            number => match number.parse() {
                Ok(at @ 1..) => Ok(Position::At(at)),
                _ => Err("a position is first, last, or a number from 1 on"),
            },
        }
    }
}

/// The arguments of `downhaul move`.
#[derive(Debug, Clone, Group)]
#[command(max_term_width = 100)]
pub struct Move {
    /// The identifier of the download
    #[arg(value_name = "ID", value_parser = identifier)]
    pub id: String,

    /// The new position: first, last, or a number from 1 on
    #[arg(value_name = "POSITION")]
    pub position: Position,

    #[command(flatten)]
    pub address: Address,
}

/// The arguments of `downhaul watch`.
#[derive(Debug, Clone, Group)]
#[command(max_term_width = 100)]
pub struct Watch {
    /// Show only these downloads, and end when all of them are over
    #[arg(value_name = "ID", value_parser = identifier)]
    pub ids: Vec<String>,

    /// Print the events as JSON, one in each line
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub address: Address,
}

/// The arguments of `downhaul logs`.
#[derive(Debug, Clone, Group)]
#[command(max_term_width = 100)]
pub struct Logs {
    /// Continue to print new lines until Ctrl-C
    #[arg(short = 'f', long)]
    pub follow: bool,

    /// Begin with the last N lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub lines: usize,

    /// Print the lines as JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub address: Address,
}

/// The arguments of `downhaul attach`.
#[derive(Debug, Clone, Group)]
#[command(max_term_width = 100)]
pub struct Attach {
    #[command(flatten)]
    pub address: Address,
}
