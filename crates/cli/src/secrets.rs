//! Decides which values of options may be secret, and shows a value without its secret.
//!
//! Invariant: the name that the help gives to the value of an option decides if the value may be secret.
//! Therefore a new option needs only the right name for its value.

use crate::args;
use crate::input;
use clap::Arg;
use downhaul_engine::core::{job::Job, show};

/// Headers whose values are not secret. All other headers may be credentials, and their values are not shown.
const HARMLESS: [&str; 6] =
    ["accept", "accept-language", "cache-control", "dnt", "user-agent", "x-requested-with"];

/// Headers that always are credentials (RFC 9110, section 11; RFC 6265, section 4.2).
const CREDENTIALS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// The name that the help gives to a value that is a header.
const HEADER: &str = "HEADER";

/// The name that the help gives to a login. A login is a user name, which a colon and a password may follow.
const LOGIN: &str = "LOGIN";

/// The name that the help gives to the URL of a proxy. Such a URL may have a login, and may lack its scheme.
const PROXY: &str = "PROXY";

/// The name that the help gives to the path of a certificate. A colon and a password may follow the path.
const CERT: &str = "CERT";

/// The name that the help gives to a command. Each word after the first one may be a secret.
const COMMAND: &str = "COMMAND";

/// The names that the help gives to values that are secret as a whole.
const WHOLE: [&str; 4] = ["TOKEN", "COOKIES", "BODY", "PASSWORD"];

/// Returns true if a value of the option has this name in the help. An option may take several values at
/// once, and `place` is the number of the value, from 0.
pub(crate) fn is_called(arg: &Arg, place: usize, name: &str) -> bool {
    arg.get_value_names().and_then(|names| names.get(place)).is_some_and(|called| called == name)
}

/// Returns true if the option takes values that may be secret.
pub(crate) fn may_be_secret(arg: &Arg) -> bool {
    [HEADER, LOGIN, PROXY, CERT, COMMAND]
        .iter()
        .chain(&WHOLE)
        .any(|name| (0..2).any(|place| is_called(arg, place, name)))
}

/// Returns true if a value is or contains a URL with a part that is never shown.
fn hides_something(value: &str) -> bool {
    let Ok(urls) = input::split_urls(value) else { return value.contains("://") };
    urls.into_iter().any(|text| match Job::given(text) {
        // `Job::given` removes a digest from the fragment. A digest is not secret, but any other fragment is
        // never shown.
        Ok(job) => job.urls.iter().any(|url| show::hides(url) || url.fragment().is_some()),
        // The text is either not a URL, or a malformed URL that may contain a password.
        Err(_) => text.contains("://") && show::not_a_url(text) != text,
    })
}

/// Returns true if a value contains something that is never shown and that [`without`] cannot remove.
pub(crate) fn is_unshown(arg: &Arg, value: &str) -> bool {
    hides_something(value) && !is_called(arg, 0, PROXY)
}

/// Returns true if a value is certainly or very likely a secret. Such a value must not be in a file that
/// other users can read.
pub(crate) fn is_secret(arg: &Arg, place: usize, value: &str) -> bool {
    if is_called(arg, place, CERT) {
        return args::cert_parts(value).1.is_some();
    }
    if value.starts_with('@') || is_called(arg, place, COMMAND) {
        return false;
    }
    match value.split_once(':') {
        Some((name, value)) if is_called(arg, place, HEADER) => {
            let name = name.trim().to_ascii_lowercase();
            CREDENTIALS.contains(&name.as_str()) || show::is_secret(&name, value.trim())
        }
        login if is_called(arg, place, LOGIN) => login.is_some(),
        _ if is_called(arg, place, PROXY) => value.contains('@'),
        _ => WHOLE.iter().any(|name| is_called(arg, place, name)) || hides_something(value),
    }
}

/// Returns a value of an option without its secret parts. If a part was removed, also returns the name of the
/// header or option.
pub(crate) fn without(arg: &Arg, place: usize, value: &str) -> (String, Option<String>) {
    let option = || Some(format!("--{}", arg.get_long().unwrap_or_default()));
    if is_called(arg, place, CERT) {
        return match args::cert_parts(value) {
            (file, Some(_)) => (format!("{}:...", file.replace(':', "\\:")), option()),
            _ => (value.to_string(), None),
        };
    }
    if is_called(arg, place, COMMAND) {
        return match value.trim().split_once(char::is_whitespace) {
            Some((program, _)) => (format!("{} ...", program.trim_start_matches(['"', '\''])), option()),
            None => (value.to_string(), None),
        };
    }
    // `@FILE` only names a file with the secret.
    if value.starts_with('@') {
        return (value.to_string(), None);
    }
    if let Some((login, host)) = value.rsplit_once('@').filter(|_| is_called(arg, place, PROXY)) {
        let scheme = login.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
        return (format!("{scheme}...@{host}"), option());
    }
    match value.split_once(':') {
        Some((header, _))
            if is_called(arg, place, HEADER)
                && !HARMLESS.contains(&header.trim().to_ascii_lowercase().as_str()) =>
        {
            (format!("{header}: ..."), Some(header.trim().to_string()))
        }
        Some((user, _)) if is_called(arg, place, LOGIN) => (format!("{user}:..."), option()),
        _ if WHOLE.iter().any(|name| is_called(arg, place, name)) => ("...".into(), option()),
        _ => (value.to_string(), None),
    }
}

/// Returns a value of an option in a form that may be shown.
pub(crate) fn shown(arg: &Arg, place: usize, value: &str) -> String {
    let (value, _) = without(arg, place, value);
    if !hides_something(&value) {
        return value;
    }
    let urls = input::split_urls(&value).unwrap_or_default().into_iter().map(|text| match Job::given(text) {
        Ok(job) => job.urls.iter().map(show::url).collect(),
        Err(_) => show::not_a_url(text),
    });
    urls.collect::<Vec<_>>().join(",")
}
