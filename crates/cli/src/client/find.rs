//! Finds the daemon, its secret and its certificate.
//!
//! Invariant: a secret that comes neither from an option nor from a variable is sent only to a daemon that
//! was started on this machine.

use super::listener;
use crate::args::client::Address;
use crate::daemon::notice::Notice;
use crate::daemon::secret;
use crate::settings;
use downhaul_daemon::web::guard::is_loopback;
use downhaul_engine::Url;
use downhaul_engine::core::secret::Secret;
use downhaul_engine::core::show;
use std::path::PathBuf;
use url::Host;

/// The environment variable with the URL of the daemon.
const VARIABLE: &str = "DOWNHAUL_DAEMON";

/// The URL that is used if no option, no variable and no running daemon gives a URL.
const DEFAULT: &str = "http://127.0.0.1:6800/";

/// A daemon, and what its clients need.
pub(super) struct Found {
    pub(super) url: Url,
    pub(super) secret: Option<Secret>,
    /// The file with the certificates that the user trusts.
    pub(super) cacert: Option<PathBuf>,
    /// The file with the certificate of a daemon that was started on this machine. If neither this file nor
    /// `cacert` is known, the certificates that the machine trusts are used.
    pub(super) certificate: Option<PathBuf>,
    /// A phrase for messages, which says what is sent to the daemon: the secret in a file or a variable (the
    /// phrase has only its name), or a request without a secret. It is empty if the daemon needs no secret.
    pub(super) secret_from: String,
}

/// Finds the daemon that the options or the environment name, or else the daemon that was started last. If
/// there is no such daemon, the URL is [`DEFAULT`].
///
/// # Errors
/// Returns why a URL, or the file with the secret, cannot be used.
pub(super) fn daemon(given: &Address) -> Result<Found, String> {
    // If a daemon was killed, its notice (the file `daemon.json`) stays on the disk, and another program can
    // listen at its address.
    let notice = Notice::read().filter(Notice::is_current);
    let known = notice.as_ref().map(|notice| read(&notice.url, "daemon.json")).transpose()?;
    let known = known.filter(may_be_ours);
    let notice = notice.filter(|_| known.is_some());
    let named = match (&given.url, settings::variable(VARIABLE)) {
        (Some(text), _) => Some(read(text, "--daemon")?),
        (None, Some(text)) => Some(read(&text, VARIABLE)?),
        (None, None) => None,
    };
    // The notice is about one daemon, so neither its secret nor its certificate is used for another daemon.
    let is_known = known.as_ref().is_some_and(|known| named.as_ref().is_none_or(|url| is_same(known, url)));
    // A daemon that systemd starts for its first client has no notice yet. In this case, systemd listens as
    // this user or as root, so the secret in the usual file may be sent.
    let may_be_usual = notice.is_none()
        && named.as_ref().is_some_and(|url| is_here(url) && listener::is_ours(url.port_or_known_default()));
    let url = match (named, known) {
        (Some(url), Some(known)) if is_known && url.scheme() == "http" => known,
        (Some(url), _) | (None, Some(url)) => url,
        (None, None) => read(DEFAULT, "--daemon")?,
    };
    let notice = notice.filter(|_| is_known);
    let (secret, secret_from) = secret_of(given, notice.as_ref(), may_be_usual)?;
    let certificate = notice.and_then(|notice| notice.certificate);
    Ok(Found { url, secret, secret_from, cacert: given.cacert.clone(), certificate })
}

/// Reads the URL of a daemon. The scheme can be left out. For messages, `from` names the option, the variable
/// or the file that contains the URL.
fn read(text: &str, from: &str) -> Result<Url, String> {
    let whole = if text.contains("://") { text.to_string() } else { format!("http://{text}") };
    let bad = || format!("{from}: {} is not the URL of a daemon", show::escaped(&show::not_a_url(text)));
    let url = Url::parse(&whole).map_err(|_| bad())?;
    // Messages show the URL, so it must not contain a password. A user name, a password, a query and a
    // fragment are errors, because no daemon needs these parts.
    let has_more = !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || has_more {
        return Err(bad());
    }
    Ok(url)
}

/// Returns true if a URL leads to the daemon with a known URL. Two different loopback addresses can belong to
/// two programs, so they do not count as the same daemon. The name `localhost` counts as any loopback
/// address.
fn is_same(known: &Url, url: &Url) -> bool {
    known.scheme() == url.scheme()
        && known.port_or_known_default() == url.port_or_known_default()
        && (known.host_str() == url.host_str() || is_here(known) && url.host_str() == Some("localhost"))
}

/// Returns false if the URL of a notice leads to a port on which a program of another user (except root)
/// listens, or on which no program listens. A notice does not prove that its daemon runs, because after a
/// kill, another process can get the same process ID. The user of a listener can be found out only on Linux,
/// for an http URL of this machine. For all other URLs, this function returns true. For https, the client
/// checks the certificate of the daemon.
fn may_be_ours(url: &Url) -> bool {
    let can_tell = cfg!(target_os = "linux") && url.scheme() == "http" && is_here(url);
    !can_tell || listener::is_ours(url.port_or_known_default())
}

/// Returns true if a URL leads to this machine: to a loopback address or to `localhost`.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => is_loopback(ip.into()),
        Some(Host::Ipv6(ip)) => is_loopback(ip.into()),
        None => false,
    }
}

fn secret_of(
    given: &Address,
    notice: Option<&Notice>,
    may_be_usual: bool,
) -> Result<(Option<Secret>, String), String> {
    let from_file = |path: PathBuf| match secret::read(&path) {
        Ok(secret) => Ok((Some(secret), format!("the secret in {}", crate::words::path(&path)))),
        Err(e) => Err(secret::unusable(&path, &e)),
    };
    if let Some(path) = &given.secret_file {
        return from_file(path.clone());
    }
    if let Some(secret) = secret::in_environment() {
        return Ok((Some(secret), "the secret in DOWNHAUL_DAEMON_SECRET".into()));
    }
    match notice {
        Some(Notice { needs_secret: false, .. }) => return Ok((None, String::new())),
        Some(Notice { secret_file: Some(path), .. }) => return from_file(path.clone()),
        _ => {}
    }
    let usual = settings::state_folder().map(|folder| folder.join("daemon-secret"));
    match usual.filter(|path| may_be_usual && path.exists()) {
        Some(path) => from_file(path),
        None => {
            Ok((None, "a request without a secret (use --secret-file FILE if FILE has the secret)".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_daemon_needs_no_scheme() {
        for (text, url) in [
            ("nas:6800", "http://nas:6800/"),
            ("https://nas/x", "https://nas/x"),
            ("[::1]:6800", "http://[::1]:6800/"),
        ] {
            assert_eq!(read(text, "--daemon").map(String::from), Ok(url.to_string()));
        }
        for wrong in [
            "",
            "ftp://nas/",
            "http://",
            "http://me:hush@nas/",
            "http://me@nas/",
            "nas/?token=hush",
            "nas/#hush",
        ] {
            assert!(read(wrong, "--daemon").is_err_and(|why| !why.contains("hush")), "{wrong}");
        }
    }

    #[test]
    fn only_localhost_stands_for_the_loopback_address_of_the_daemon() {
        let url = |text: &str| read(text, "--daemon").expect("a URL");
        let here = url("127.0.0.1:6800");
        for (text, same) in [
            ("localhost:6800", true),
            ("[::1]:6800", false),
            ("localhost:6801", false),
            ("https://localhost:6800", false),
            ("nas:6800", false),
        ] {
            assert_eq!(is_same(&here, &url(text)), same, "{text}");
        }
    }
}
