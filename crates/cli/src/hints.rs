//! What a person can do about a failure.

use downhaul_engine::core::show;

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
        "--cacert FILE trusts the certificate in FILE: that of a private authority, or the server's own. --insecure trusts anybody.",
    ),
    (
        "tls.outdated",
        "The server needs an update: TLS 1.2 or newer is required. One that wants a certificate of the client may fail like this, too.",
    ),
    ("tls.missing", "If it is a server of plain http, the URL begins with http://."),
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
    ("content.coding", "--decode off saves it as it is sent."),
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
    (
        "digest.unlisted",
        "Give a list with --checksum-file or a digest with --checksum; --verify auto takes the file without one.",
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
    (
        "content.html",
        "Open the URL in a browser: it may want a login (-H 'Authorization: ...' or -H 'Cookie: ...'), or a new link. --accept-html saves the page.",
    ),
    (
        "content.pointer",
        "Ask for the file itself: on GitHub under media.githubusercontent.com/media/, on others /resolve/ or /media/ in place of /raw/. --verify off saves the pointer.",
    ),
    ("resume.refused", "Let the tool that left it finish it, or leave out -c and use --if-exists overwrite."),
    (
        "resume.damaged",
        "It stays as it is. Without -c, --if-exists overwrite replaces it once the new file is complete.",
    ),
    (
        "file.exists",
        "-c goes on with it if it is the beginning of the file; --if-exists overwrite replaces it, rename keeps both.",
    ),
    ("file.is_folder", "Choose another name, or move the folder."),
    (
        "file.is_device",
        "Choose another name. -o writes into a pipe or a terminal, in order, and replaces nothing.",
    ),
    ("folder.is_file", "Choose another folder with -d, other names, or move the file."),
    ("file.locked", "Wait for the other run, or choose another name."),
    ("name.taken", "Give the files different names."),
    ("disk.full", "Make room and run the same command again, or choose another folder with -d."),
    ("disk.permission", "Choose a folder you may write to with -d."),
    ("disk.too_large", "Choose another disk with -d."),
    ("disk.too_many_files", "Use a smaller -j or -x, or raise the limit (ulimit -n)."),
    ("output.started", "Save to a file instead."),
];

/// What a person can do about an error code.
pub(crate) fn advice(code: &str) -> Option<&'static str> {
    ADVICE.iter().find(|(one, _)| *one == code).map(|(_, text)| *text)
}

/// What a person should know about the failure of a URL that was given without a scheme, where that may be the reason.
/// `url` is what was made of it.
pub(crate) fn scheme_was_assumed(code: &str, url: &str) -> Option<String> {
    let rest = show::escaped(url.strip_prefix("https://")?).into_owned();
    let spoke_no_tls = ["connect.", "net.", "tls."].iter().any(|group| code.starts_with(group));
    if code == "dns.unresolved" {
        let rest = rest.strip_suffix('/').unwrap_or(&rest);
        Some(format!("{rest} was taken for a URL. For a file that holds URLs, use -i."))
    } else if spoke_no_tls {
        Some(format!(
            "The URL was given without a scheme, so https was assumed. For plain http, give http://{rest}"
        ))
    } else {
        None
    }
}

/// Exit by Ctrl-C and the like need no advice, and the person skipped knowingly.
pub(crate) fn is_silent(code: &str) -> bool {
    code == "run.stopped" || code == "output.closed"
}

#[cfg(test)]
mod tests {
    use super::*;
    use downhaul_engine::core::error::ErrorKind;

    #[test]
    fn advice_is_for_codes_that_exist() {
        for (code, _) in ADVICE {
            assert!(ErrorKind::ALL.iter().any(|kind| kind.code() == *code), "{code}");
        }
    }
}
