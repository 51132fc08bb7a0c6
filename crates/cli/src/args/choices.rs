//! Options with a fixed set of words as values. `--help` and the completions show these texts for each word.

use clap::ValueEnum;

/// `--if-exists`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IfExists {
    /// Keep it if it is the wanted file, else fail
    Check,
    /// Keep it without asking the server
    Skip,
    /// Replace it when the new file is complete
    Overwrite,
    /// Save the new file as NAME (1)
    Rename,
    /// Replace it if the server has another version
    Update,
    /// Fail
    Error,
}

/// `--names`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Names {
    /// The name from the server, or else the end of the URL
    Auto,
    /// The end of the URL
    Url,
    /// The name from the server, or else index.html
    Server,
}

/// `--sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sync {
    /// Files that can be resumed
    Auto,
    /// All
    Always,
    /// None
    Never,
}

/// `--on-error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// Ask on the terminal, while other files continue
    Ask,
    /// Try again, after longer and longer pauses
    Retry,
    /// Give up this file
    Skip,
    /// Stop the run
    Exit,
}

/// `--decode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Decode {
    /// Decode gzip, deflate, br and zstd
    Auto,
    /// Save what was sent
    Off,
}

/// `--auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// When the server asks, with the strongest scheme that it offers
    Auto,
    /// At once, with Basic
    Basic,
}

/// `--mirrors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mirrors {
    /// Use mirrors that a server offers if a strong digest is known
    Auto,
    /// Use only the given URLs
    Off,
}

/// `--verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Verify {
    /// Check what is known
    Auto,
    /// Also look for checksum lists beside the file
    Find,
    /// Require that a checksum list names every file (MD5 is enough)
    Listed,
    /// Require a strong digest or a signature for every file
    Require,
    /// Check nothing
    Off,
}

/// `--tls-min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TlsMin {
    /// TLS 1.2 or newer
    #[value(name = "1.2")]
    V12,
    /// TLS 1.3
    #[value(name = "1.3")]
    V13,
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// Bars on a terminal, else plain lines
    Auto,
    /// Bars
    Bars,
    /// A line every few seconds
    Plain,
    /// Events as JSON lines on standard output
    Json,
    /// Only results
    None,
}

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}
