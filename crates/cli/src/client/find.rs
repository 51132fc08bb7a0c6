//! Finds the daemon, its secret and its certificate.
//!
//! Invariant: a secret that no option and no variable names is sent only to a daemon that was started on this
//! machine.

use crate::args::client::Address;
use crate::daemon::notice::Notice;
use crate::daemon::secret;
use crate::settings;
use downhaul_engine::Url;
use downhaul_engine::core::secret::Secret;
use downhaul_engine::core::show;
use std::path::PathBuf;

/// The variable with the URL of the daemon.
const VARIABLE: &str = "DOWNHAUL_DAEMON";

/// The URL of a daemon by default.
const DEFAULT: &str = "http://127.0.0.1:6800/";

/// A daemon, and what its clients need.
pub(super) struct Found {
    pub(super) url: Url,
    pub(super) secret: Option<Secret>,
    /// The file with the certificates that are trusted. Without it, those that the machine trusts are used.
    pub(super) cacert: Option<PathBuf>,
    /// Where the secret comes from, for messages.
    pub(super) secret_from: String,
}

/// Finds the daemon that the options or the environment name, or else the one that was started last.
///
/// # Errors
/// Returns why there is no URL or no secret that can be used.
pub(super) fn daemon(given: &Address) -> Result<Found, String> {
    let notice = Notice::read();
    let named = given.url.clone().or_else(|| settings::variable(VARIABLE));
    let url = match &named {
        Some(text) => read(text)?,
        None => read(notice.as_ref().map_or(DEFAULT, |notice| &notice.url))?,
    };
    // The notice is about the daemon on this machine, so it is not used for another daemon.
    let notice = notice.filter(|notice| read(&notice.url).is_ok_and(|known| is_same(&known, &url)));
    let (secret, secret_from) = secret_of(given, notice.as_ref(), &url)?;
    let certificate = notice.and_then(|notice| notice.certificate);
    Ok(Found { url, secret, secret_from, cacert: given.cacert.clone().or(certificate) })
}

/// Reads the URL of a daemon. The scheme can be left out.
fn read(text: &str) -> Result<Url, String> {
    let whole = if text.contains("://") { text.to_string() } else { format!("http://{text}") };
    let bad = || format!("--daemon: {} is not the URL of a daemon", show::escaped(&show::not_a_url(text)));
    let url = Url::parse(&whole).map_err(|_| bad())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad());
    }
    Ok(url)
}

fn is_same(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.port_or_known_default() == other.port_or_known_default()
        && (one.host_str() == other.host_str() || is_here(one) && is_here(other))
}

/// Returns true if a URL leads to this machine.
fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(downhaul_daemon::web::guard::is_loopback)
}

fn secret_of(
    given: &Address,
    notice: Option<&Notice>,
    url: &Url,
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
    match usual.filter(|path| is_here(url) && path.exists()) {
        Some(path) => from_file(path),
        None => Ok((None, "a request without a secret (--secret-file FILE names the file with it)".into())),
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
            assert_eq!(read(text).map(String::from), Ok(url.to_string()));
        }
        for wrong in ["", "ftp://nas/", "http://"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_loopback_addresses_lead_to_the_same_daemon() {
        let url = |text: &str| read(text).expect("a URL");
        let here = url("127.0.0.1:6800");
        for (text, same) in [
            ("localhost:6800", true),
            ("[::1]:6800", true),
            ("localhost:6801", false),
            ("https://localhost:6800", false),
            ("nas:6800", false),
        ] {
            assert_eq!(is_same(&here, &url(text)), same, "{text}");
        }
    }
}
