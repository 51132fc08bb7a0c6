//! The texts of `-h` and `-v`.

use downhaul_daemon::aria2::VERSION;
use downhaul_daemon::options::{Kind, TABLE};

/// Returns the text of `-v`. Programs read the version and the hash algorithms in it.
pub(super) fn version() -> String {
    format!(
        "aria2 version {VERSION}\n\
         This is downhaul {}, with the command line of aria2.\n\n\
         ** Configuration **\n\
         Enabled Features: GZip, HTTPS, Message Digest, Metalink, XML-RPC\n\
         Hash Algorithms: sha-1, sha-256, sha-384, sha-512, md5\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// The options that `-h` shows, with their effects.
const BASIC: &[(&str, &str)] = &[
    ("-d, --dir=DIR", "The folder to save files into."),
    ("-o, --out=FILE", "The name of the file, below the folder."),
    ("-i, --input-file=FILE", "Download the URLs in FILE (- is standard input)."),
    ("-j, --max-concurrent-downloads=N", "Download at most N files at once (default: 5)."),
    ("-s, --split=N", "Use at most N connections for a file (downhaul chooses how many)."),
    ("-x, --max-connection-per-server=N", "Use at most N connections for a file, as with -s (1 to 16)."),
    ("-c, --continue[=true|false]", "Keep a complete file, and continue an unfinished one."),
    ("-Z, --force-sequential[=true|false]", "Each URL is a separate file, not a mirror."),
    ("--header=HEADER", "Send this header. The option can be repeated."),
    ("--checksum=TYPE=DIGEST", "The file must have this digest."),
    ("--max-overall-download-limit=SPEED", "Download at most this many bytes a second, such as 500K or 2M."),
    ("--all-proxy=PROXY", "Use this proxy."),
    ("--load-cookies=FILE", "Use the cookies in FILE (Netscape format)."),
    ("--enable-rpc[=true|false]", "Answer clients of aria2, such as AriaNg and aria2p."),
    ("--rpc-listen-port=PORT", "The port for clients (default: 6800)."),
    ("--rpc-secret=TOKEN", "The secret that clients must send."),
    ("--save-session=FILE", "Save the downloads that are not complete into FILE."),
    ("--conf-path=PATH", "Read options from PATH."),
    ("--no-conf[=true|false]", "Read no configuration file."),
    ("-q, --quiet[=true|false]", "Print nothing."),
    ("-v, --version", "Print the version."),
    (
        "-h, --help[=#all|WORD]",
        "Print the most used options, all options, or those with WORD in their names.",
    ),
];

/// Returns the text of `-h`: for the most used options, for all options, or for those with a word in their
/// names.
pub(super) fn text(what: &str) -> String {
    let mut text = String::from("Usage: aria2c [OPTIONS] [URI | METALINK_FILE]...\n");
    if what.starts_with('#') && what != "#all" {
        text +=
            "See 'aria2c -h#all' for all options, and 'downhaul --help' for those of downhaul.\nOptions:\n";
        text.extend(BASIC.iter().map(|(option, effect)| format!(" {option}\n        {effect}\n")));
        return text;
    }
    text += "Options:\n";
    for (name, _, kind, default) in TABLE {
        if what != "#all" && !name.contains(what.trim_start_matches('-')) {
            continue;
        }
        let value = match kind {
            Kind::Bool => "[=true|false]".into(),
            Kind::Number(least, u64::MAX) => format!("=N (from {least})"),
            Kind::Number(least, most) => format!("=N ({least} to {most})"),
            Kind::Size(..) => "=BYTES".into(),
            Kind::Real => "=NUMBER".into(),
            Kind::OneOf(words) => format!("={}", words.join("|")),
            Kind::Text | Kind::Lines => "=TEXT".into(),
        };
        let default = if default.is_empty() { String::new() } else { format!("  Default: {default}") };
        text += &format!(" --{name}{value}{default}\n");
    }
    text
}
