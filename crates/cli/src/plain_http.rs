//! Checks the options of TLS that have no effect on http URLs: `--pinned-pubkey` and `--cert`.
//!
//! Invariant: neither a job nor a list has an http URL of a host whose key is pinned.

use downhaul_engine::core::error::{Error, ErrorKind};
use downhaul_engine::core::job::{Job, NamedBy, Url};
use downhaul_engine::core::settings::{ChecksumList, Settings};
use downhaul_engine::core::show;

/// The reason why an http URL of a host with a pinned key is not used.
pub(crate) const NO_KEY: &str = "over http, a server does not prove that it has a key";

/// Checks the URLs of lists, and of the checksum list of the settings, if keys are pinned.
///
/// # Errors
/// Returns a message for the user, which says which of the URLs is an http URL.
pub(crate) fn check_lists(lists: &[&Url], settings: &Settings) -> Result<(), String> {
    let checksums = match &settings.checksums {
        Some(ChecksumList::Url(url)) => Some(url),
        _ => None,
    };
    let mut all = lists.iter().copied().chain(checksums);
    match all.find(|url| url.scheme() == "http").filter(|_| !settings.pinned_keys.is_empty()) {
        Some(url) => Err(format!("--pinned-pubkey: {} is an http URL, and {NO_KEY}", show::url(url))),
        None => Ok(()),
    }
}

/// Removes from a job the http URLs of hosts whose key is pinned. `settings` are the settings of the session.
///
/// # Errors
/// Returns the error `tls.pin` if no other URL is left.
pub(crate) fn without_unpinned(mut job: Box<Job>, settings: &Settings) -> Result<Box<Job>, Error> {
    if settings.pinned_keys.is_empty() {
        return Ok(job);
    }
    // The keys are for the hosts of the given URLs.
    let is_given_host = |url: &Url| {
        let hosts = settings.header_origins.iter().filter_map(|origin| Url::parse(origin).ok());
        job.named_by == NamedBy::Person || hosts.into_iter().any(|origin| origin.host() == url.host())
    };
    let is_unpinned = |url: &Url| url.scheme() == "http" && is_given_host(url);
    let (unpinned, others): (Vec<Url>, Vec<Url>) = job.urls.iter().cloned().partition(is_unpinned);
    let shown = unpinned.iter().map(show::url).collect::<Vec<_>>();
    match (unpinned.is_empty(), others.is_empty()) {
        (true, _) => {}
        (false, true) => return Err(Error::new(ErrorKind::TlsPin, shown.join(" and "), NO_KEY)),
        (false, false) => job.notes.push(format!("{} is not used, because {NO_KEY}", shown.join(" and "))),
    }
    job.urls = others;
    Ok(job)
}

/// Returns a warning if the client certificate cannot be sent to a server of a job.
pub(crate) fn cert_warning(job: &Job, settings: &Settings) -> Option<String> {
    settings.client_certificate.as_ref()?;
    let plain = job.urls.iter().find(|url| url.scheme() == "http" && job.is_given(settings, url))?;
    Some(format!("--cert is not sent over http, for example to {}", plain.origin().ascii_serialization()))
}
