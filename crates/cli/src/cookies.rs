//! Reads cookies from a file or from a browser at the beginning of a run, and writes the cookies to a file at
//! the end of the run.
//!
//! Invariant: on Unix, only the user who runs the program can read a cookie file that this module writes. The
//! new file replaces an older file in one step.

use crate::args::Args;
use crate::given;
use crate::logins;
use crate::platform;
use crate::words;
use downhaul_engine::core::credentials::cookies::{self, Cookie, Cookies, Time};
use downhaul_engine::core::show;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Reads the cookies of `--cookies` and `--cookies-from-browser`. Adds warnings to `notes`. The file of
/// `--cookies` may be missing if the run saves its cookies to the same path.
///
/// # Errors
/// Returns why the cookies cannot be used. The text contains no cookie.
pub(crate) fn read(args: &Args, notes: &mut Vec<String>) -> Result<Cookies, String> {
    let http = &args.options.http;
    let mut all = http.cookies_from_browser.as_deref().map(of_browser).transpose()?.unwrap_or_default();
    if let Some(path) = &http.cookies {
        all.extend(of_file(path, http.save_cookies.as_deref(), notes)?);
    }
    Ok(Cookies::new(all, now()))
}

fn of_file(path: &Path, saved: Option<&Path>, notes: &mut Vec<String>) -> Result<Vec<Cookie>, String> {
    let shown = words::file_of_secret(path);
    let text = match given::read(path, cookies::LONGEST) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound && saved == Some(path) => {
            return Ok(Vec::new());
        }
        Err(e) => {
            let is_cookie = path.to_string_lossy().contains('=') && !path.exists();
            let hint =
                if is_cookie { ". --cookies names a file; --cookie NAME=VALUE sends a cookie" } else { "" };
            return Err(format!("--cookies {shown}: it cannot be read: {e}{hint}"));
        }
    };
    let (all, mistakes) = cookies::read(&String::from_utf8_lossy(&text))
        .map_err(|mistake| format!("--cookies {shown}: {mistake}"))?;
    notes.extend(logins::left_out(&format!("--cookies {shown}"), &mistakes));
    if platform::others_have_rights(path) {
        notes.push(format!("other users have rights to the cookie file {shown}: chmod 600 makes it private"));
    }
    Ok(all)
}

/// Returns the cookies of `firefox` or `firefox:PROFILE`.
fn of_browser(text: &str) -> Result<Vec<Cookie>, String> {
    let (browser, profile) =
        text.split_once(':').map_or((text, None), |(browser, profile)| (browser, Some(profile)));
    if browser != "firefox" {
        let shown = show::escaped(browser);
        return Err(format!("--cookies-from-browser {shown}: it must be firefox or firefox:PROFILE"));
    }
    of_firefox(profile.filter(|profile| !profile.is_empty()))
        .map_err(|why| format!("--cookies-from-browser {}: {}", show::escaped(text), show::escaped(&why)))
}

#[cfg(feature = "firefox")]
use crate::firefox::cookies as of_firefox;

#[cfg(not(feature = "firefox"))]
fn of_firefox(_profile: Option<&str>) -> Result<Vec<Cookie>, String> {
    Err("this build lacks the feature firefox; an extension of the browser can export a file for --cookies"
        .into())
}

/// Writes all cookies that have not expired into a file.
///
/// # Errors
/// Returns why the file cannot be written, in words for the user.
pub(crate) fn save(cookies: &Cookies, path: &Path) -> Result<(), String> {
    let text = cookies::write(cookies.jar().all(now()));
    platform::replace(path, text.as_bytes(), platform::FOR_THE_OWNER)
        .map_err(|e| format!("the cookies could not be saved into {}: {e}", words::path(path)))
}

fn now() -> Time {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
