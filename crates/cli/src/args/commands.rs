//! The commands that have a name, such as `downhaul verify`, with their arguments.

use super::client::ClientCommand;
use super::{Existing, Lists, Options, Output, values};
use clap::{Args as Group, Subcommand, ValueHint};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The commands that have a name, such as `downhaul verify`. A command line without such a name is a
/// download.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Compare files on the disk with a checksum list or a lock file
    Verify {
        /// A list such as SHA256SUMS, a lock file, or a folder that has such files under usual names
        #[arg(value_name = "LIST", default_value = ".", value_hint = ValueHint::AnyPath)]
        what: PathBuf,
        /// Look for the files in this folder [default: the folder of the list]
        #[arg(short = 'd', long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        output: Option<PathBuf>,
        /// Show only files that are wrong, are missing or cannot be read
        #[arg(short, long)]
        quiet: bool,
    },
    /// Compare files on the disk with a list of digests, and download the wrong files again
    ///
    /// If the list is a Metalink file with hashes of chunks (parts of a file), only the wrong chunks are
    /// downloaded.
    Repair(Box<Repair>),
    /// Show what a download would do, and write no file
    ///
    /// The arguments are the same as for a download. The plan shows the names and sizes of the files, which
    /// files exist already, which downloads would fail, and how much space and time the download needs. If a
    /// list does not state the sizes, downhaul requests them from the servers, but does not download the
    /// files. The exit status is the same as for the download, as far as it can be predicted. --progress json
    /// prints the plan as JSON.
    Plan(Box<Planning>),
    /// Show a run on the screen again, from the events that --progress json printed
    Replay {
        /// A file with the events, or - for standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Show the run N times as fast (a pause between events counts as at most two seconds)
        #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = values::positive)]
        speed: f64,
    },
    /// Download what a command of curl downloads
    ///
    /// Paste the command that a browser copies with 'Copy as cURL', for example: downhaul import curl 'curl
    /// ...'. The words import and curl can be left out: downhaul 'curl ...'. Options of downhaul can follow
    /// the command of curl. With --dry-run, downhaul shows the imported options and downloads nothing.
    #[command(args_override_self = true, max_term_width = 100)]
    Import {
        /// The tool of the command, which is always curl
        #[arg(value_parser = ["curl"])]
        tool: String,
        /// The command of curl, in quotes [default: standard input]
        #[arg(value_name = "COMMAND")]
        text: Option<String>,
    },
    /// Show every setting in effect, and where it comes from
    ///
    /// With options, the output shows the settings of a run with these options. 'downhaul config init' writes
    /// a configuration file in which every setting is commented out.
    #[command(args_override_self = true, args_conflicts_with_subcommands = true, max_term_width = 100)]
    Config {
        /// The command, or `None` to show the configuration.
        #[command(subcommand)]
        command: Option<ConfigCommand>,
    },
    /// Run a queue of downloads for clients, such as AriaNg and 'downhaul add'
    ///
    /// The daemon answers the JSON-RPC and XML-RPC calls of aria2, so AriaNg, browser extensions and other
    /// clients of aria2 can use it. The queue survives a restart and a crash. At its first start, the daemon
    /// writes a secret into a file, and clients need this secret.
    Daemon(Box<Daemon>),
    /// The commands for a running daemon.
    #[command(flatten)]
    Client(ClientCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
}

/// The commands of `downhaul config`.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Write a configuration file in which every setting is commented out
    Init {
        /// Write to FILE [default: the configuration file that downhaul reads without --config]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        config: Option<PathBuf>,
    },
}

/// The arguments of `downhaul repair`.
#[derive(Debug, Clone, Group)]
#[command(args_override_self = true, max_term_width = 100)]
pub struct Repair {
    /// A Metalink file, a lock file, or a list with digests (- for standard input)
    #[arg(value_name = "LIST", value_hint = ValueHint::FilePath)]
    pub list: PathBuf,

    /// Look for the files in this folder
    #[arg(short = 'd', long = "output", value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,

    #[command(flatten)]
    pub options: Options,
}

/// The arguments of `downhaul daemon`.
#[derive(Debug, Clone, Group)]
#[command(args_override_self = true, max_term_width = 100)]
pub struct Daemon {
    /// Save files into this folder
    ///
    /// Clients can also choose folders below this folder. If this option is given several times, clients can
    /// choose folders below each of these folders, and the first of them is the default. No download is
    /// saved outside of these folders.
    #[arg(short = 'd', long = "output", value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub folders: Vec<PathBuf>,

    /// Listen on this address and port
    ///
    /// If systemd passes a socket (socket activation), the daemon listens on that socket instead.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6800", help_heading = "Daemon")]
    pub listen: SocketAddr,

    /// Read the secret of the clients from FILE [default: ~/.local/state/downhaul/daemon-secret]
    ///
    /// If the file does not exist, the daemon creates it with a new secret. On Unix, only you can read it.
    /// Without this option, the environment variable DOWNHAUL_DAEMON_SECRET can contain the secret instead.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Daemon")]
    pub secret_file: Option<PathBuf>,

    /// Require no secret from clients (allowed only if the daemon listens on a loopback address)
    #[arg(long, conflicts_with = "secret_file", help_heading = "Daemon")]
    pub no_secret: bool,

    /// Keep the queue in FILE [default: ~/.local/state/downhaul/daemon.db]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Daemon")]
    pub queue: Option<PathBuf>,

    /// Also accept requests whose Host header has this name (can be repeated)
    ///
    /// Without this option, the Host header must have an IP address or localhost. Other names are refused,
    /// because the owner of a web site could make its name resolve to this machine (DNS rebinding).
    #[arg(long, value_name = "NAME", help_heading = "Daemon")]
    pub allow_host: Vec<String>,

    /// Also accept requests from web pages of ORIGIN, such as https://ariang.example.com (can be repeated)
    ///
    /// Requests from the pages of the daemon and of browser extensions are always accepted. If ORIGIN is *,
    /// requests from all pages are accepted.
    #[arg(long, value_name = "ORIGIN", help_heading = "Daemon")]
    pub allow_origin: Vec<String>,

    /// Use TLS for the connections of clients, with the certificate in FILE
    ///
    /// The file has the certificate and its chain, in PEM form. After SIGHUP, the daemon reads the file
    /// again.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_key", help_heading = "Daemon")]
    pub tls_cert: Option<PathBuf>,

    /// Read the key of the certificate from FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_cert", help_heading = "Daemon")]
    pub tls_key: Option<PathBuf>,

    #[command(flatten)]
    pub options: Options,
}

/// The arguments of `downhaul plan`.
#[derive(Debug, Clone, Group)]
#[command(args_override_self = true, max_term_width = 100)]
pub struct Planning {
    /// The URLs of the download
    #[arg(value_name = "URLS", value_hint = ValueHint::Url)]
    pub urls: Vec<String>,

    /// Send no requests, and use only what the list states and what is on the disk
    #[arg(long)]
    pub offline: bool,

    /// Show all files, and not only the first ones
    #[arg(long)]
    pub all: bool,

    #[command(flatten)]
    pub output: Output,

    #[command(flatten)]
    pub lists: Lists,

    #[command(flatten)]
    pub existing: Existing,

    #[command(flatten)]
    pub options: Options,
}
