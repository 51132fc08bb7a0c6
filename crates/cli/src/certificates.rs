//! Checks the environment variables that name trusted certificates: `SSL_CERT_FILE` and `SSL_CERT_DIR`.
//!
//! Invariant: if the variables are used and name no certificate, a run that has https URLs does not start.
//! The same is true for a run that may have https URLs that are not known yet. Other runs show a warning
//! before their first request, because a redirect may lead to https.

use crate::given;
use crate::run;
use crate::settings;
use crate::words;
use downhaul_engine::core::settings::{ChecksumList, Settings};
use std::fs;
use std::io;
use std::path::Path;

/// The longest file of trusted certificates, in bytes. On common systems, such a file has some hundred KiB,
/// so a file above this limit is a mistake.
const LONGEST: usize = 64 << 20;

const NONE: &str = "it has no certificate in PEM form";

/// Checks the variables if the run uses them. A mistake is an error in three cases: a URL to download is or
/// may be an https URL (`may_have_https`), the checksum list has an https URL, or `--doh` names a DNS server.
/// Otherwise the mistake only causes a warning.
///
/// # Errors
/// Returns a message for the user, which says which variable names no certificate.
pub(crate) fn check(may_have_https: bool, settings: &Settings) -> Result<(), String> {
    // On Windows and on systems of Apple, these variables are not read.
    let are_read = cfg!(unix) && !cfg!(target_vendor = "apple");
    if !are_read || settings.insecure || settings.cacert.is_some() {
        return Ok(());
    }
    let has_https_list =
        matches!(&settings.checksums, Some(ChecksumList::Url(url)) if url.scheme() == "https");
    match unusable() {
        Some(why) if may_have_https || has_https_list || settings.doh.is_some() => Err(why),
        Some(why) => {
            run::warn(&why);
            Ok(())
        }
        None => Ok(()),
    }
}

/// Returns a message if one of the variables is set and no certificate is found.
fn unusable() -> Option<String> {
    let (file, folders) = (settings::variable("SSL_CERT_FILE"), settings::variable("SSL_CERT_DIR"));
    let wrong = |variable: &str, path: &str, why: &str| {
        Some(format!("{variable} in the environment: {}: {why}", words::path(Path::new(path))))
    };
    // SSL_CERT_DIR names one folder, or several with colons between them.
    let all = folders.iter().flat_map(|folders| folders.split(':'));
    let mut files = all.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    if files.any(|entry| has_certificate(&entry.path()).unwrap_or(false)) {
        return None;
    }
    match (file, folders) {
        (Some(file), _) => match has_certificate(Path::new(&file)) {
            Ok(true) => None,
            Ok(false) => wrong("SSL_CERT_FILE", &file, NONE),
            Err(e) => wrong("SSL_CERT_FILE", &file, &e.to_string()),
        },
        (None, Some(folders)) => wrong("SSL_CERT_DIR", &folders, NONE),
        (None, None) => None,
    }
}

fn has_certificate(path: &Path) -> io::Result<bool> {
    let mark = b"-----BEGIN CERTIFICATE-----";
    let text = given::read(path, LONGEST)?;
    Ok(text.windows(mark.len()).any(|window| window == mark))
}
