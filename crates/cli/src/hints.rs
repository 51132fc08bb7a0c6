//! Advice for the user after a failure.

use crate::input;
use crate::plain_http::NO_KEY;
use downhaul_engine::core::containers::Form;
use downhaul_engine::core::credentials::NOT_GIVEN;
use downhaul_engine::core::error::{ErrorKind, NextRun};
use downhaul_engine::core::event::Failure;
use downhaul_engine::core::identity::{IS_FINISHED, IS_NOT_WHAT, is_signed};
use downhaul_engine::core::job::Url;
use downhaul_engine::core::show;

/// Advice for error codes whose message is not enough.
const ADVICE: &[(&str, &str)] = &[
    ("dns.unresolved", "Check the host's name, and whether this machine is online."),
    ("connect.refused", "The host is there, but nothing listens on that port. Is the server running?"),
    ("connect.timeout", "Check the network, or try -4 or -6 if IPv4 or IPv6 does not work here."),
    ("connect.failed", "Check the network, or try -4 or -6 if IPv4 or IPv6 does not work here."),
    (
        "proxy.invalid",
        "Correct the environment variable that names the proxy, or give --proxy. --proxy '' connects without a proxy.",
    ),
    (
        "proxy.unreachable",
        "Check --proxy, or http_proxy and https_proxy. --proxy '' connects without a proxy.",
    ),
    ("proxy.login", "Give the login with --proxy-user NAME:PASSWORD, or --proxy-user @FILE."),
    ("proxy.refused", "Ask the operator of the proxy. --no-proxy HOST connects to HOST without the proxy."),
    (
        "proxy.failed",
        "Check the URL, and that the proxy can reach the host. --no-proxy HOST connects to HOST without the proxy.",
    ),
    (
        "tls.expired",
        "Check this machine's clock. If the clock is right, the server needs a new certificate; --insecure accepts its certificate anyway.",
    ),
    (
        "tls.wrong_host",
        "This may not be the server that you mean. --insecure accepts its certificate anyway.",
    ),
    (
        "tls.untrusted",
        "--cacert FILE trusts the certificate in FILE, which can be the certificate of a private authority or of the server itself. --insecure accepts every certificate.",
    ),
    (
        "tls.client_refused",
        "--cert FILE --key FILE sends a client certificate to the origins of the given URLs. Ask the owner of the server for such a certificate.",
    ),
    (
        "tls.outdated",
        "The server needs an update: TLS 1.2 or newer is required, with ECDHE and an AEAD cipher. The error can also mean that the server requires a client certificate (--cert).",
    ),
    (
        "tls.pin",
        "Someone may be between you and the server, or the server has a new key. Ask the owner of the server before you change --pinned-pubkey.",
    ),
    ("tls.missing", "If the server uses plain http, write http:// in the URL."),
    ("net.silent", "A longer --timeout may help."),
    ("net.slow", "A lower --min-speed allows slower transfers."),
    ("http.version", "Leave out --http2 if it is set. If the server supports only HTTP/2, set --http2."),
    (
        "http.unauthorized",
        "Log in with --user NAME, with --bearer TOKEN, or with a header: -H 'Authorization: ...'.",
    ),
    (
        "http.forbidden",
        "The link may have expired, or a login may be needed (--user NAME --auth basic, -H 'Authorization: ...' or -H 'Cookie: ...').",
    ),
    ("http.not_found", "Check the URL."),
    ("http.gone", "Check the URL."),
    ("http.busy", "Try later, or with a smaller -j or -x."),
    ("http.later", "Run the same command again after that time."),
    ("http.no_ranges", "Leave out --range to download the whole file."),
    ("content.coding", "--decode off saves the file as it was sent."),
    ("redirect.too_many", "If the redirects do not form a loop, --max-redirects allows more of them."),
    (
        "redirect.private",
        "Leave out --no-private if you trust the server or the document that names this address.",
    ),
    ("redirect.downgrade", "--allow-downgrade follows the redirect; the download is then not protected."),
    ("remote.changed", "The file is being changed on the server. Try again later."),
    ("digest.mismatch", "Either the file on the server or the digest is wrong. Nothing was saved."),
    (
        "digest.missing",
        "Give a digest with --checksum or --checksum-file. A download with --verify auto accepts files without a digest.",
    ),
    (
        "digest.unlisted",
        "Give a list with --checksum-file, or a digest with --checksum. A download with --verify auto accepts files without a digest.",
    ),
    ("digest.part", "The file on the server or its digest is wrong. Try another mirror."),
    ("digest.list", "Check the URL of --checksum-file."),
    (
        "signature.missing",
        "Nothing was saved. The server must have a signature for this kind of key (minisign or OpenPGP) beside the file or beside its checksum list.",
    ),
    ("signature.wrong", "Nothing was saved. The file, the signature or the key of --signed-by is wrong."),
    (
        "content.html",
        "Open the URL in a browser: a login (-H 'Authorization: ...' or -H 'Cookie: ...') or a new link may be needed. --accept-html saves the page.",
    ),
    (
        "content.pointer",
        "Request the file itself: on GitHub under media.githubusercontent.com/media/, on other servers with /resolve/ or /media/ instead of /raw/. --accept-html saves the pointer.",
    ),
    (
        "resume.refused",
        "Let the tool that left the file finish it, or replace the file: leave out -c and use --if-exists overwrite.",
    ),
    (
        "resume.damaged",
        "The existing file was not changed. --if-exists overwrite replaces it when the new file is complete.",
    ),
    (
        "file.exists",
        "-c continues the existing file if it is the beginning of the new one. --if-exists overwrite replaces the existing file, and --if-exists rename keeps both files.",
    ),
    ("file.is_folder", "Choose another name, or move the folder."),
    ("file.is_device", "Choose another name. Only -o writes to a pipe or a device."),
    ("folder.is_file", "Choose another folder with -d or other names, or move the file."),
    (
        "file.locked",
        "With --if-locked wait, downhaul waits for the other run. You can also choose another name.",
    ),
    ("name.taken", "Give the files different names."),
    (
        "disk.full",
        "Free some space on the disk and run the same command again, or choose a folder on another disk with -d.",
    ),
    ("disk.permission", "Choose a folder that you may write to, with -d."),
    ("disk.failed", "Check the folder and its disk, or choose another folder with -d."),
    ("disk.too_large", "Choose another disk with -d."),
    ("disk.too_many_files", "Use a smaller -j or -x, or raise the limit (ulimit -n)."),
    ("output.started", "Save to a file instead."),
    ("output.binary", "Save the file with -o NAME, or send it to another program: | COMMAND."),
];

/// The sentence of [`ADVICE`] that is not true if the bytes were written to standard output, a pipe or a
/// device.
const NOTHING_SAVED: &str = "Nothing was saved.";

/// Returns advice if the bytes of a wrong file were written to standard output, a pipe or a device. `output`
/// says where the bytes were written, for example `standard output`. A missing signature is found before a
/// byte is written.
pub(crate) fn for_output(code: &str, output: &str) -> Option<String> {
    let text = advice(code).filter(|text| code != "signature.missing" && text.contains(NOTHING_SAVED))?;
    Some(text.replace(NOTHING_SAVED, &format!("Do not use any bytes that were written to {output}.")))
}

/// Returns advice if the file itself has no signature, and downhaul did not look for signed checksum lists.
/// `looks_beside` is true if downhaul looked for such lists.
pub(crate) fn for_missing_signature(code: &str, looks_beside: bool) -> Option<String> {
    (code == "signature.missing" && !looks_beside).then(|| {
        format!(
            "{NOTHING_SAVED} There must be a signature for this kind of key (minisign or OpenPGP) beside the file. \
             With --verify find, a signed checksum list beside the file is enough."
        )
    })
}

/// Returns advice if a line of a checksum list names the file and cannot be read.
pub(crate) fn for_unreadable_line(code: &str, message: &str) -> Option<String> {
    (code == "digest.unlisted" && message.contains("seems to name the file, but cannot be read"))
        .then(|| "Correct this line of the list, or give the digest with --checksum.".into())
}

/// Returns what the user can do about the error with this code.
pub(crate) fn advice(code: &str) -> Option<&'static str> {
    ADVICE.iter().find(|(one, _)| *one == code).map(|(_, text)| *text)
}

/// Returns advice about a URL that was given without a scheme, if the missing scheme may be the reason for
/// the failure. `url` is the URL that was requested.
pub(crate) fn for_assumed_scheme(code: &str, url: &str) -> Option<String> {
    let rest = show::escaped(url.strip_prefix("https://")?).into_owned();
    let spoke_no_tls = ["connect.", "net.", "tls."].iter().any(|group| code.starts_with(group));
    if code == "dns.unresolved" {
        let rest = rest.strip_suffix('/').unwrap_or(&rest);
        Some(format!("{rest} was read as a URL. If it is a file that contains URLs, use -i."))
    } else if spoke_no_tls {
        Some(format!(
            "The URL was given without a scheme, so https was assumed. For plain http, give http://{rest}"
        ))
    } else {
        None
    }
}

/// Returns advice if the server has no file at a URL, or refuses it, and the URL contains a pattern of curl.
pub(crate) fn for_pattern(code: &str, url: &str) -> Option<String> {
    let as_it_stands = ["http.not_found", "http.forbidden", "http.status", "http.gone"].contains(&code);
    (as_it_stands && input::looks_like_pattern(url))
        .then(|| "{...} and [...] in a URL are used as they are. --glob expands them, as curl does.".into())
}

/// Returns advice if the error says that the file exists already, and `-c` cannot help. `allows_continue` is
/// true if the command can have `-c` and does not have it yet.
pub(crate) fn for_existing_file(error: &Failure, allows_continue: bool) -> Option<String> {
    let may_be_unfinished = may_be_a_beginning(&error.message)
        || MAY_BE_UNFINISHED.iter().any(|part| error.message.contains(part));
    let may_help = allows_continue && may_be_unfinished && !error.message.contains(IS_FINISHED);
    (error.code == "file.exists" && !may_help).then(|| {
        "--if-exists overwrite replaces the existing file, and --if-exists rename keeps both files.".into()
    })
}

/// Parts of the messages about existing files that `-c` may continue. The message about a file that axel left
/// is not among them, because `-c` refuses such a file.
const MAY_BE_UNFINISHED: [&str; 2] =
    ["aria2 has not finished it, as its control file shows", "the server does not say how large its file is"];

/// Returns true if the message about an existing file says that it has fewer bytes than the server's file.
fn may_be_a_beginning(message: &str) -> bool {
    let number = |after: &str| {
        let rest = message.split_once(after)?.1;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    let sizes = number("it has ").zip(number(" bytes, and the server's file has "));
    sizes.is_some_and(|(here, there)| here < there)
}

/// Returns advice if a container already has another file of this name, or a damaged one.
pub(crate) fn for_file_in_container(error: &Failure, form: Form) -> Option<String> {
    let (word, option) = (form.word(), form.option());
    let other = format!(
        "Files in a {word} are not replaced. To download a different file, give it another name, or use another {option}."
    );
    if is_wrong_on_disk(error) {
        return Some(format!("The file in the {word} is damaged, or it is another file. {other}"));
    }
    (error.code == "file.exists").then(|| format!("{other} --if-exists skip keeps the existing file."))
}

/// Returns advice if a given http URL became an https URL, and the server may not support https. `url` is the
/// given URL, and `at` is the URL that was requested.
pub(crate) fn for_changed_scheme(code: &str, url: &str, at: &str) -> Option<String> {
    let is_without_tls = ["tls.missing", "tls.failed"].contains(&code)
        || ["connect.", "net."].iter().any(|group| code.starts_with(group));
    let rest = url.strip_prefix("http://")?;
    if !is_without_tls || at.strip_prefix("https://") != Some(rest) {
        return None;
    }
    // Here, both URLs have the same port, or none. If they have a port, the reason is not a redirect, because
    // a redirect to https leads to another port.
    let has_port = rest.split('/').next().unwrap_or_default().contains(':');
    let other = if has_port { "" } else { "a redirect or " };
    Some(format!(
        "The http URL became an https URL because of {other}HSTS (Strict-Transport-Security). --hsts off uses http."
    ))
}

/// Returns advice if an http URL was given for a host that must have a pinned key.
pub(crate) fn for_pinned_host_over_http(code: &str, message: &str) -> Option<String> {
    (code == "tls.pin" && message.contains(NO_KEY))
        .then(|| "Write https:// in the URL, or leave out --pinned-pubkey.".into())
}

/// Returns advice if the server does not accept a login.
pub(crate) fn for_refused_login(code: &str, message: &str) -> Option<String> {
    (code == "http.unauthorized" && message.contains("the server did not accept"))
        .then(|| "Check the login, and that its account may download the file.".into())
}

/// Returns advice if the server accepts only Basic, which `--auth digest` does not allow.
pub(crate) fn for_digest_only(code: &str, message: &str) -> Option<String> {
    let excludes_basic = message.contains("Basic") && message.contains("and --auth digest allows only");
    (code == "http.unauthorized" && excludes_basic)
        .then(|| "Without --auth digest, downhaul uses Basic, which sends the password to the server.".into())
}

/// Returns advice if a server requires a login as a proxy does, but is not used as a proxy.
pub(crate) fn for_no_proxy(code: &str, message: &str) -> Option<String> {
    (code == "http.status" && message.contains("is not used as a proxy"))
        .then(|| "If this server is a proxy, name it with --proxy.".into())
}

/// Returns advice if a connection or the lookup of a name fails because of an option.
pub(crate) fn for_option(code: &str, message: &str) -> Option<String> {
    for (option, version) in [("-4", "IPv4"), ("-6", "IPv6")] {
        if code == "dns.unresolved" && message.contains(&format!("allows only {version}")) {
            return Some(format!("Leave out {option}, or use a name that has an {version} address."));
        }
    }
    let fails_at = |option| code == "connect.failed" && message.contains(option);
    if fails_at("--interface ") {
        let text = "Check --interface: it must be an address or an interface of this machine, and its IP version must be that of the host's address.";
        return Some(text.into());
    }
    fails_at("--unix-socket ").then(|| "Check --unix-socket, and that its server is running.".into())
}

/// Returns advice if a server refuses the only version of TLS that the user allows.
pub(crate) fn for_old_tls(code: &str, message: &str) -> Option<String> {
    (code == "tls.outdated" && message.contains("--tls-min 1.3"))
        .then(|| "The server may support only TLS 1.2. Leave out --tls-min 1.3 to accept it.".into())
}

/// Returns advice if a login is required, but it is not known if the server or the proxy requires it.
pub(crate) fn for_login_of_proxy(code: &str, message: &str) -> Option<String> {
    (code == "http.unauthorized" && message.contains("or from the proxy")).then(|| {
        "If the proxy requires a login, give it with --proxy-user NAME:PASSWORD. Give a login for the server with --user NAME."
            .into()
    })
}

/// Returns advice if the server refuses a signed URL. `can_resume` is true if another run can continue after
/// the downloaded bytes.
pub(crate) fn for_signed_url(code: &str, url: &str, can_resume: bool) -> Option<String> {
    let refused = ["http.forbidden", "http.unauthorized", "http.status", "http.gone"].contains(&code);
    // The names of parameters are shown, and only their values are hidden.
    let is_signed = Url::parse(url).is_ok_and(|url| is_signed(&url));
    let kept = match can_resume {
        true => " The downloaded bytes are kept, and the download continues with the new link.",
        false => "",
    };
    (refused && is_signed)
        .then(|| format!("The link is signed, and has probably expired. Get a new link.{kept}"))
}

/// Returns advice if a server refuses a file after a redirect. The reason may be that this server did not get
/// the user's headers or login. `given` is the URL that the user gave, and `refused` is the URL that the
/// server refused, both without secrets. `logs_in` is true if the user gave `--user` or `--bearer`.
pub(crate) fn for_redirect(code: &str, given: &str, refused: &str, logs_in: bool) -> Option<String> {
    let is_refusal = ["http.forbidden", "http.unauthorized"].contains(&code);
    let (from, to) = (origin(given)?, origin(refused)?);
    // After a redirect from https to http, no option sends a secret.
    let is_downgrade = from.starts_with("https:") && to.starts_with("http:");
    (is_refusal && from != to && !is_downgrade).then(|| {
        let host = to.split_once("://").map_or(to, |(_, host)| host);
        match logs_in {
            true => format!(
                "The URL redirects to {host}, and the login is not sent there. {}",
                ways_to_log_in_at(host, code)
            ),
            false => format!(
                "The URL redirects to {host}, and -H is not sent there. To send it: --header-for {host} 'Name: value'"
            ),
        }
    })
}

/// Returns advice if a file is refused by a server for which the user gave no URL. `--user`, `--bearer` and
/// `-H` are not sent to such a server, so the advice names other ways to send a login. `given` is the URL
/// that the user gave for this file.
pub(crate) fn for_login_elsewhere(error: &Failure, given: &str) -> Option<String> {
    let is_named = error.message.contains(NOT_GIVEN);
    let is_refusal = ["http.forbidden", "http.unauthorized"].contains(&error.code.as_str());
    let (from, to) = (origin(given)?, origin(&error.at)?);
    let (scheme, host) = to.split_once("://")?;
    let redirects = if is_named { String::new() } else { format!("The URL redirects to {to}. ") };
    let needs_section = scheme == "http" && (is_named || from.starts_with("https:"));
    (is_refusal && (is_named || from != to)).then(|| match needs_section {
        true => format!(
            "{redirects}Over http, only a login in the section [host.\"http://{host}\"] of the configuration is sent there."
        ),
        false => format!("{redirects}{}", ways_to_log_in_at(host, &error.code)),
    })
}

/// Returns the ways to send a login to a host for which the user gave no URL. `host` includes the port,
/// unless it is the default port. The entries of netrc files have no ports. A netrc file helps only if the
/// server requires a login (status 401).
fn ways_to_log_in_at(host: &str, code: &str) -> String {
    if code != "http.unauthorized" {
        return format!("If a login is needed there: --header-for {host} 'Authorization: ...'");
    }
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let machine = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
    format!(
        "Put a login for this host into a netrc file (machine {machine}), or send a header: --header-for {host} 'Authorization: ...'"
    )
}

/// Returns the origin of a URL, such as `https://host:port`.
fn origin(url: &str) -> Option<&str> {
    let host = url.find("://")? + 3;
    let end = url[host..].find('/').map_or(url.len(), |slash| host + slash);
    Some(&url[..end])
}

/// Advice for a file on the disk that does not match a digest.
pub(crate) const WRONG_ON_DISK: &str = "The file on the disk is damaged, or it is another file. It was not changed. --if-exists overwrite replaces it.";

/// Returns true if the failure says that a file on the disk does not match a digest.
pub(crate) fn is_wrong_on_disk(error: &Failure) -> bool {
    error.message.contains(IS_NOT_WHAT)
}

/// Returns true if the same command would fail in the same way when it runs again.
pub(crate) fn fails_again(error: &Failure) -> bool {
    let by_kind = ErrorKind::of_code(&error.code).map(ErrorKind::next_run) == Some(NextRun::Fails);
    by_kind || is_wrong_on_disk(error)
}

/// Returns true if a failure needs no message, because the user already knows about it.
pub(crate) fn is_silent(code: &str) -> bool {
    code == "run.stopped" || code == "output.closed"
}

#[cfg(test)]
mod tests {
    use super::*;
    use downhaul_engine::core::error::Error;

    #[test]
    fn advice_is_for_codes_that_exist() {
        for (code, _) in ADVICE {
            assert!(ErrorKind::of_code(code).is_some(), "{code}");
        }
    }

    #[test]
    fn advice_for_another_server_names_ways_that_reach_it() {
        let advice = |kind, given: &str, at: &str, detail: &str| {
            let error = Failure::from(&Error::new(kind, at, detail));
            for_login_elsewhere(&error, given).unwrap_or_default()
        };
        let unauthorized = ErrorKind::HttpUnauthorized;
        assert_eq!(advice(unauthorized, "https://a/f", "https://a/g", ""), "");
        let elsewhere = advice(unauthorized, "https://a/f", "https://b:8443/f", "");
        assert!(
            elsewhere.contains("(machine b)") && elsewhere.contains("--header-for b:8443 "),
            "{elsewhere}"
        );
        let address = advice(unauthorized, "https://a/f", "https://[::1]/f", "");
        assert!(address.contains("(machine [::1])"), "{address}");
        // After a redirect from https to http, only a login in a section of the configuration is sent.
        for (given, detail) in [("https://a/f", ""), ("http://b/f", NOT_GIVEN)] {
            let advice = advice(unauthorized, given, "http://b/f", detail);
            assert!(advice.contains("[host.\"http://b\"]") && !advice.contains("machine"), "{advice}");
        }
        let forbidden = advice(ErrorKind::HttpForbidden, "https://a/f", "https://b/f", "");
        assert!(forbidden.contains("--header-for b ") && !forbidden.contains("machine"), "{forbidden}");
    }
}
