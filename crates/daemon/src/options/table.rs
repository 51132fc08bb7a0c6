//! The options of aria2, with their values and defaults.
//!
//! Clients of aria2 display and send back whole sets of options. So all options of aria2 1.36 are here
//! (`aria2c --help=#all`), including those that downhaul does not use.
//!
//! These defaults of downloads differ from those of aria2: `split` and `max-connection-per-server` are 16,
//! since downhaul finds the number of connections itself; `remote-time` is true; `file-allocation` is `none`,
//! since downhaul reserves the disk space in its own way; `user-agent` names downhaul.
//!
//! This file is long because it is a table of all options.

use Kind::{Bool, Lines, Number, OneOf, Real, Size, Text};
use Scope::{Daemon, Download, Ignored};

/// What an option affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Single downloads. A new download inherits the value that clients have set for the daemon.
    Download,
    /// The daemon as a whole.
    Daemon,
    /// A part of the daemon that clients must not change: files, programs that are run, or the safety of
    /// the daemon. A value that a client sends is ignored.
    Ignored,
}

/// The values of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`. An empty text means `true`.
    Bool,
    /// A whole number. The fields are its lowest and its highest value.
    Number(u64, u64),
    /// A number of bytes. The fields are its lowest and its highest value. `K` (1024) or `M` (1024 × 1024),
    /// in upper or lower case, may follow the number.
    Size(u64, u64),
    /// A number that is at least 0 and may have a fraction.
    Real,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Any text.
    Text,
    /// Any number of texts, one in each line.
    Lines,
}

/// An option: its name, what it affects, its values, and its default. An option with an empty default has no
/// value until it is set.
pub type Row = (&'static str, Scope, Kind, &'static str);

/// All options, in the order of their names.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    ("all-proxy", Download, Text, ""),
    ("all-proxy-passwd", Download, Text, ""),
    ("all-proxy-user", Download, Text, ""),
    ("allow-overwrite", Download, Bool, "false"),
    ("allow-piece-length-change", Download, Bool, "false"),
    ("always-resume", Download, Bool, "true"),
    ("async-dns", Download, Bool, "true"),
    ("async-dns-server", Ignored, Text, ""),
    ("auto-file-renaming", Download, Bool, "true"),
    ("auto-save-interval", Daemon, Number(0, 600), "60"),
    ("bt-detach-seed-only", Daemon, Bool, "false"),
    ("bt-enable-hook-after-hash-check", Download, Bool, "true"),
    ("bt-enable-lpd", Download, Bool, "false"),
    ("bt-exclude-tracker", Download, Text, ""),
    ("bt-external-ip", Download, Text, ""),
    ("bt-force-encryption", Download, Bool, "false"),
    ("bt-hash-check-seed", Download, Bool, "true"),
    ("bt-load-saved-metadata", Download, Bool, "false"),
    ("bt-lpd-interface", Daemon, Text, ""),
    ("bt-max-open-files", Daemon, Number(1, u64::MAX), "100"),
    ("bt-max-peers", Download, Number(0, u64::MAX), "55"),
    ("bt-metadata-only", Download, Bool, "false"),
    ("bt-min-crypto-level", Download, OneOf(&["plain", "arc4"]), "plain"),
    ("bt-prioritize-piece", Download, Text, ""),
    ("bt-remove-unselected-file", Download, Bool, "false"),
    ("bt-request-peer-speed-limit", Download, Size(0, u64::MAX), "51200"),
    ("bt-require-crypto", Download, Bool, "false"),
    ("bt-save-metadata", Download, Bool, "false"),
    ("bt-seed-unverified", Download, Bool, "false"),
    ("bt-stop-timeout", Download, Number(0, u64::MAX), "0"),
    ("bt-tracker", Download, Text, ""),
    ("bt-tracker-connect-timeout", Download, Number(1, 600), "60"),
    ("bt-tracker-interval", Download, Number(0, u64::MAX), "0"),
    ("bt-tracker-timeout", Download, Number(1, 600), "60"),
    ("ca-certificate", Ignored, Text, ""),
    ("certificate", Ignored, Text, ""),
    ("check-certificate", Ignored, Bool, "true"),
    ("check-integrity", Download, Bool, "false"),
    ("checksum", Download, Text, ""),
    ("conditional-get", Download, Bool, "false"),
    ("conf-path", Ignored, Text, ""),
    ("connect-timeout", Download, Number(1, 600), "60"),
    ("console-log-level", Daemon, OneOf(&["debug", "info", "notice", "warn", "error"]), "notice"),
    ("content-disposition-default-utf8", Download, Bool, "false"),
    ("continue", Download, Bool, "false"),
    ("daemon", Ignored, Bool, "false"),
    ("deferred-input", Daemon, Bool, "false"),
    ("dht-entry-point", Daemon, Text, ""),
    ("dht-entry-point6", Daemon, Text, ""),
    ("dht-file-path", Ignored, Text, ""),
    ("dht-file-path6", Ignored, Text, ""),
    ("dht-listen-addr6", Daemon, Text, ""),
    ("dht-listen-port", Daemon, Text, "6881-6999"),
    ("dht-message-timeout", Daemon, Number(1, 60), "10"),
    ("dir", Download, Text, ""),
    ("disable-ipv6", Daemon, Bool, "false"),
    ("disk-cache", Daemon, Size(0, u64::MAX), "16777216"),
    ("download-result", Daemon, OneOf(&["default", "full", "hide"]), "default"),
    ("dry-run", Download, Bool, "false"),
    ("dscp", Daemon, Number(0, u64::MAX), "0"),
    ("enable-async-dns6", Daemon, Bool, ""),
    ("enable-color", Daemon, Bool, "true"),
    ("enable-dht", Daemon, Bool, "true"),
    ("enable-dht6", Daemon, Bool, "false"),
    ("enable-http-keep-alive", Download, Bool, "true"),
    ("enable-http-pipelining", Download, Bool, "false"),
    ("enable-mmap", Download, Bool, "false"),
    ("enable-peer-exchange", Download, Bool, "true"),
    ("enable-rpc", Ignored, Bool, "true"),
    ("event-poll", Ignored, OneOf(&["epoll", "poll", "select"]), "epoll"),
    ("file-allocation", Download, OneOf(&["none", "prealloc", "trunc", "falloc"]), "none"),
    ("follow-metalink", Download, OneOf(&["true", "mem", "false"]), "true"),
    ("follow-torrent", Download, OneOf(&["true", "mem", "false"]), "true"),
    ("force-save", Download, Bool, "false"),
    ("force-sequential", Download, Bool, ""),
    ("ftp-passwd", Download, Text, ""),
    ("ftp-pasv", Download, Bool, "true"),
    ("ftp-proxy", Download, Text, ""),
    ("ftp-proxy-passwd", Download, Text, ""),
    ("ftp-proxy-user", Download, Text, ""),
    ("ftp-reuse-connection", Download, Bool, "true"),
    ("ftp-type", Download, OneOf(&["binary", "ascii"]), "binary"),
    ("ftp-user", Download, Text, ""),
    ("gid", Download, Text, ""),
    ("hash-check-only", Download, Bool, "false"),
    ("header", Download, Lines, ""),
    ("help", Ignored, Text, "#basic"),
    ("http-accept-gzip", Download, Bool, "false"),
    ("http-auth-challenge", Download, Bool, "false"),
    ("http-no-cache", Download, Bool, "false"),
    ("http-passwd", Download, Text, ""),
    ("http-proxy", Download, Text, ""),
    ("http-proxy-passwd", Download, Text, ""),
    ("http-proxy-user", Download, Text, ""),
    ("http-user", Download, Text, ""),
    ("https-proxy", Download, Text, ""),
    ("https-proxy-passwd", Download, Text, ""),
    ("https-proxy-user", Download, Text, ""),
    ("human-readable", Daemon, Bool, "true"),
    ("index-out", Download, Lines, ""),
    ("input-file", Ignored, Text, ""),
    ("interface", Ignored, Text, ""),
    ("keep-unfinished-download-result", Daemon, Bool, "true"),
    ("listen-port", Daemon, Text, "6881-6999"),
    ("load-cookies", Ignored, Text, ""),
    ("log", Ignored, Text, ""),
    ("log-level", Daemon, OneOf(&["debug", "info", "notice", "warn", "error"]), "debug"),
    ("lowest-speed-limit", Download, Size(0, u64::MAX), "0"),
    ("max-concurrent-downloads", Daemon, Number(1, u64::MAX), "5"),
    ("max-connection-per-server", Download, Number(1, 16), "16"),
    ("max-download-limit", Download, Size(0, u64::MAX), "0"),
    ("max-download-result", Daemon, Number(0, u64::MAX), "1000"),
    ("max-file-not-found", Download, Number(0, u64::MAX), "0"),
    ("max-mmap-limit", Download, Size(0, u64::MAX), "9223372036854775807"),
    ("max-overall-download-limit", Daemon, Size(0, u64::MAX), "0"),
    ("max-overall-upload-limit", Daemon, Size(0, u64::MAX), "0"),
    ("max-resume-failure-tries", Download, Number(0, u64::MAX), "0"),
    ("max-tries", Download, Number(0, u64::MAX), "5"),
    ("max-upload-limit", Download, Size(0, u64::MAX), "0"),
    ("metalink-base-uri", Download, Text, ""),
    ("metalink-enable-unique-protocol", Download, Bool, "true"),
    ("metalink-file", Ignored, Text, ""),
    ("metalink-language", Download, Text, ""),
    ("metalink-location", Download, Text, ""),
    ("metalink-os", Download, Text, ""),
    ("metalink-preferred-protocol", Download, OneOf(&["http", "https", "ftp", "none"]), "none"),
    ("metalink-version", Download, Text, ""),
    ("min-split-size", Download, Size(1 << 20, 1 << 30), "20971520"),
    ("min-tls-version", Ignored, Text, "TLSv1.2"),
    ("multiple-interface", Ignored, Text, ""),
    ("netrc-path", Ignored, Text, ""),
    ("no-conf", Ignored, Bool, "false"),
    ("no-file-allocation-limit", Download, Size(0, u64::MAX), "5242880"),
    ("no-netrc", Download, Bool, "false"),
    ("no-proxy", Download, Text, ""),
    ("on-bt-download-complete", Ignored, Text, ""),
    ("on-download-complete", Ignored, Text, ""),
    ("on-download-error", Ignored, Text, ""),
    ("on-download-pause", Ignored, Text, ""),
    ("on-download-start", Ignored, Text, ""),
    ("on-download-stop", Ignored, Text, ""),
    ("optimize-concurrent-downloads", Daemon, Text, "false"),
    ("out", Download, Text, ""),
    ("parameterized-uri", Download, Bool, "false"),
    ("pause", Download, Bool, ""),
    ("pause-metadata", Download, Bool, "false"),
    ("peer-agent", Daemon, Text, ""),
    ("peer-id-prefix", Daemon, Text, ""),
    ("piece-length", Download, Size(1 << 20, 1 << 30), "1048576"),
    ("private-key", Ignored, Text, ""),
    ("proxy-method", Download, OneOf(&["get", "tunnel"]), "get"),
    ("quiet", Daemon, Bool, "false"),
    ("realtime-chunk-checksum", Download, Bool, "true"),
    ("referer", Download, Text, ""),
    ("remote-time", Download, Bool, "true"),
    ("remove-control-file", Download, Bool, "false"),
    ("retry-wait", Download, Number(0, 600), "0"),
    ("reuse-uri", Download, Bool, "true"),
    ("rlimit-nofile", Ignored, Number(1, u64::MAX), "1024"),
    ("rpc-allow-origin-all", Ignored, Bool, "false"),
    ("rpc-certificate", Ignored, Text, ""),
    ("rpc-listen-all", Ignored, Bool, "false"),
    ("rpc-listen-port", Ignored, Number(1024, 65535), "6800"),
    ("rpc-max-request-size", Ignored, Size(0, u64::MAX), "2097152"),
    ("rpc-passwd", Ignored, Text, ""),
    ("rpc-private-key", Ignored, Text, ""),
    ("rpc-save-upload-metadata", Download, Bool, "true"),
    ("rpc-secret", Ignored, Text, ""),
    ("rpc-secure", Ignored, Bool, "false"),
    ("rpc-user", Ignored, Text, ""),
    ("save-cookies", Ignored, Text, ""),
    ("save-not-found", Download, Bool, "true"),
    ("save-session", Ignored, Text, ""),
    ("save-session-interval", Daemon, Number(0, u64::MAX), "0"),
    ("seed-ratio", Download, Real, "1.0"),
    ("seed-time", Download, Real, ""),
    ("select-file", Download, Text, ""),
    ("server-stat-if", Ignored, Text, ""),
    ("server-stat-of", Ignored, Text, ""),
    ("server-stat-timeout", Daemon, Number(0, i32::MAX as u64), "86400"),
    ("show-console-readout", Daemon, Bool, "true"),
    ("show-files", Daemon, Bool, "false"),
    ("socket-recv-buffer-size", Daemon, Size(0, 16 << 20), "0"),
    ("split", Download, Number(1, u64::MAX), "16"),
    ("ssh-host-key-md", Download, Text, ""),
    ("stderr", Daemon, Bool, "false"),
    ("stop", Daemon, Number(0, i32::MAX as u64), "0"),
    ("stop-with-process", Ignored, Number(0, u64::MAX), ""),
    ("stream-piece-selector", Download, OneOf(&["default", "inorder", "random", "geom"]), "default"),
    ("summary-interval", Daemon, Number(0, i32::MAX as u64), "60"),
    ("timeout", Download, Number(1, 600), "60"),
    ("torrent-file", Ignored, Text, ""),
    ("truncate-console-readout", Daemon, Bool, "true"),
    ("uri-selector", Download, OneOf(&["inorder", "feedback", "adaptive"]), "feedback"),
    ("use-head", Download, Bool, "false"),
    ("user-agent", Download, Text, concat!("downhaul/", env!("CARGO_PKG_VERSION"))),
    ("version", Ignored, Text, ""),
];

/// Returns the row of an option.
pub fn row(name: &str) -> Option<&'static Row> {
    TABLE.binary_search_by(|row| row.0.cmp(name)).ok().map(|at| &TABLE[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
        assert!(row("dir").is_some() && row("no-such-option").is_none());
    }
}
