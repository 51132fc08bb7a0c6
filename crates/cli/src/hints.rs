//! What a person can do about a failure, and the command that goes on.

use crate::args::{Args, Command, IfExists, Verify};
use downhaul_engine::core::{job, show};
use std::path::Path;

/// Advice by error code, where the reason does not say it all.
const ADVICE: &[(&str, &str)] = &[
    ("dns.unresolved", "Check the host's name, and whether this machine is online."),
    ("connect.refused", "The host is there, but nothing listens on that port. Is the server running?"),
    ("connect.timeout", "Check the network, or try -4 or -6 if one of them is broken here."),
    ("connect.failed", "Check the network, or try -4 or -6 if one of them is broken here."),
    (
        "tls.expired",
        "If this machine's clock is right, the server needs a new certificate. --insecure trusts it anyway.",
    ),
    ("tls.wrong_host", "You may not be talking to the server you mean. --insecure trusts it anyway."),
    (
        "tls.untrusted",
        "If the server has a private authority, --cacert FILE trusts it; --insecure trusts anybody.",
    ),
    ("net.silent", "A longer --timeout may help."),
    ("net.slow", "A lower --min-speed allows it."),
    (
        "http.version",
        "Leave out --http2: nearly every server speaks HTTP/1.1. One that does not needs --http2.",
    ),
    ("http.unauthorized", "Give credentials in a header: -H 'Authorization: ...'."),
    (
        "http.forbidden",
        "The link may have expired, or need a login (-H 'Authorization: ...' or -H 'Cookie: ...').",
    ),
    ("http.not_found", "Check the URL."),
    ("http.gone", "Check the URL."),
    ("http.busy", "Try later, or with a smaller -j or -x."),
    ("http.later", "Run the command again then."),
    ("redirect.too_many", "--max-redirects allows more, if it is no loop."),
    ("redirect.downgrade", "--allow-downgrade follows it, without any protection on the way."),
    ("remote.changed", "The file is being changed on the server; try when that is over."),
    (
        "digest.mismatch",
        "The file on the server, or the digest, is wrong; nothing was saved. If an older file is in the way: --if-exists overwrite.",
    ),
    (
        "digest.missing",
        "Give a digest with --checksum or --checksum-file, or let --verify auto take the server's word for it.",
    ),
    ("digest.part", "The server's copy, or what it says of it, is damaged. Try another mirror."),
    ("digest.list", "Nothing can be checked without it. Is the URL of --checksum-file right?"),
    (
        "signature.missing",
        "Nothing was saved. Does the author sign with the kind of key that was given, and beside the file or its list?",
    ),
    (
        "signature.wrong",
        "Nothing was saved. The file, the signature or the key of --signed-by is not the right one.",
    ),
    ("content.html", "Open the URL in a browser: it may want a login. --verify auto saves the page."),
    ("resume.refused", "Let the tool that left it finish it, or leave out -c and use --if-exists overwrite."),
    (
        "resume.damaged",
        "It stays as it is. Without -c, --if-exists overwrite replaces it once the new file is complete.",
    ),
    ("file.exists", "--if-exists overwrite, rename, update or skip decides otherwise."),
    ("file.is_folder", "Choose another name, or move the folder."),
    ("file.locked", "Wait for the other run, or choose another name."),
    ("name.taken", "Give the files different names."),
    ("disk.full", "Make room and run the same command again, or choose another folder with -d."),
    ("disk.permission", "Choose a folder you may write to with -d."),
    ("disk.too_large", "Choose another disk with -d."),
    ("disk.too_many_files", "Use a smaller -j or -x, or raise the limit (ulimit -n)."),
    ("output.started", "Save to a file instead of -o -."),
];

/// What a person can do about an error code.
pub(crate) fn advice(code: &str) -> Option<&'static str> {
    ADVICE.iter().find(|(one, _)| *one == code).map(|(_, text)| *text)
}

/// Exit by Ctrl-C and the like need no advice, and the person skipped knowingly.
pub(crate) fn is_silent(code: &str) -> bool {
    code == "run.stopped" || code == "output.closed"
}

/// The command that goes on with one file, `None` where it cannot be shown (something in it is secret or cannot be
/// pasted, or it repairs what is there): then the same command again goes on, since what is complete is skipped.
pub(crate) fn go_on(args: &Args, url: &str, path: Option<&str>) -> Option<String> {
    if matches!(args.command, Some(Command::Repair(_))) {
        return None;
    }
    let list = args.options.proof.checksum_file.as_deref().unwrap_or_default();
    let list_hides = job::parse_url(list).is_ok_and(|url| show::hides(&url));
    let secret = url.contains("***") || list_hides || !args.options.http.headers.is_empty();
    let strange = |text: &str| text.chars().any(show::is_unsafe_to_show);
    if url.is_empty() || secret || strange(url) || path.is_some_and(strange) {
        return None;
    }
    let mut words = vec!["downhaul".to_string(), quoted(url)];
    match path {
        // A path from a run includes the folder.
        Some(path) => words.extend(["-o".into(), quoted(path)]),
        None if args.files.output != Path::new(".") => {
            words.extend(["-d".into(), quoted(&args.files.output.to_string_lossy())]);
        }
        None => {}
    }
    if matches!(args.files.if_exists, IfExists::Overwrite | IfExists::Update) {
        let how = if args.files.if_exists == IfExists::Update { "update" } else { "overwrite" };
        words.extend(["--if-exists".into(), how.into()]);
    }
    let proof = &args.options.proof;
    let checksum = proof.checksum.as_ref().map(|digest| format!("{}:{digest}", digest.algorithm.name()));
    let verify = (proof.verify != Verify::Auto).then(|| format!("{:?}", proof.verify).to_lowercase());
    for (option, value) in [
        ("--checksum", &checksum),
        ("--checksum-file", &proof.checksum_file),
        ("--verify", &verify),
        ("--signed-by", &proof.signed_by),
    ] {
        if let Some(value) = value {
            words.extend([option.into(), quoted(value)]);
        }
    }
    if let Some(cacert) = &args.options.http.cacert {
        words.extend(["--cacert".into(), quoted(&cacert.to_string_lossy())]);
    }
    if let Some(agent) = &args.options.http.user_agent {
        words.extend(["-A".into(), quoted(agent)]);
    }
    let flags = [
        (args.files.adopt, "--continue"),
        (args.options.http.insecure, "--insecure"),
        (args.options.http.allow_downgrade, "--allow-downgrade"),
        (args.options.http.http1, "--http1"),
        (args.options.http.http2, "--http2"),
        (args.options.http.ipv4, "-4"),
        (args.options.http.ipv6, "-6"),
    ];
    words.extend(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag.to_string()));
    Some(words.join(" "))
}

/// For a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use downhaul_engine::core::error::Kind;

    #[test]
    fn commands_can_be_pasted_and_hold_no_secrets() {
        let args = |more: &[&str]| Args::try_parse_from(["downhaul"].iter().chain(more)).expect("parses");
        let go = |more: &[&str], url: &str, path: Option<&str>| go_on(&args(more), url, path);
        assert_eq!(go(&[], "http://h/a", Some("./it's")), Some(r"downhaul http://h/a -o './it'\''s'".into()));
        assert_eq!(
            go(&["-d", "x y", "-4"], "http://h/a?b&c", None),
            Some("downhaul 'http://h/a?b&c' -d 'x y' -4".into())
        );
        assert_eq!(go(&[], "http://h/a?token=***", None), None);
        assert_eq!(go(&["-H", "Cookie: a"], "http://h/a", None), None);
        assert_eq!(go(&[], "http://h/a", Some("a\u{1b}")), None);
    }

    #[test]
    fn advice_is_for_codes_that_exist() {
        for (code, _) in ADVICE {
            assert!(Kind::ALL.iter().any(|kind| kind.code() == *code), "{code}");
        }
    }
}
