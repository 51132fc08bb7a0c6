//! Decides which redirects are followed. [`crate::credentials`] decides which secrets are sent to the targets
//! of redirects.

use super::hsts::Hsts;
use downhaul_core::credentials::without_userinfo;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::show;
use url::Url;

/// Returns true if a response with this status and a `Location` is a redirect for a GET (RFC 9110, section
/// 15.4). The `Location` of a 300 is the choice that the server prefers.
pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 300 | 301 | 302 | 303 | 307 | 308)
}

/// Returns the URL that a `Location` leads to, without userinfo and fragment. The `Location` may be relative
/// to `from`. If the host of the returned URL requires https (`hsts`), the scheme of this URL is https.
///
/// # Errors
/// Returns `redirect.invalid` if the target is not a valid URL, `redirect.scheme` if its scheme is neither
/// http nor https, and `redirect.downgrade` if the redirect leads from https to http although
/// `allow_downgrade` is false.
pub(super) fn target(from: &Url, location: &[u8], allow_downgrade: bool, hsts: &Hsts) -> Result<Url, Error> {
    // Some servers send raw UTF-8 or Latin-1 in this header. Each byte beyond ASCII is percent-encoded.
    let text: String = location
        .iter()
        .map(|&byte| if byte.is_ascii() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let bad = |kind, detail: String| Err(Error::new(kind, show::url(from), detail));
    let mut next = match from.join(text.trim()) {
        Ok(next) => next,
        Err(e) => return bad(ErrorKind::RedirectInvalid, e.to_string()),
    };
    if !matches!(next.scheme(), "http" | "https") {
        return bad(ErrorKind::RedirectScheme, format!("the scheme of the target is {}", next.scheme()));
    }
    next = hsts.secured(&next).unwrap_or(next);
    if from.scheme() == "https" && next.scheme() == "http" && !allow_downgrade {
        return bad(ErrorKind::RedirectDowngrade, format!("the target is {}", show::url(&next)));
    }
    // Userinfo in a `Location` is ignored, because a server must not choose the user name and the password.
    next.set_fragment(None);
    Ok(without_userinfo(&next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(from: &str, location: impl AsRef<[u8]>) -> Result<String, ErrorKind> {
        let from = Url::parse(from).expect("a URL");
        target(&from, location.as_ref(), false, &Hsts::new(true)).map(String::from).map_err(|e| e.kind)
    }

    #[test]
    fn redirects_lead_to_http_and_never_down() {
        assert_eq!(leads("http://h/a/b?q", "c"), Ok("http://h/a/c".into()));
        assert_eq!(leads("http://h/a", "//other/x"), Ok("http://other/x".into()));
        assert_eq!(leads("http://h/a", "https://h/a"), Ok("https://h/a".into()));
        assert_eq!(leads("https://h/a", "http://h/a"), Err(ErrorKind::RedirectDowngrade));
        assert_eq!(leads("http://h/a", "file:///etc/passwd"), Err(ErrorKind::RedirectScheme));
        assert_eq!(leads("http://h/a", "data:text/plain,x"), Err(ErrorKind::RedirectScheme));
        assert_eq!(leads("http://h/a", "http://[broken"), Err(ErrorKind::RedirectInvalid));
    }

    #[test]
    fn bytes_beyond_ascii_in_a_location_are_encoded_unchanged() {
        assert_eq!(leads("http://h/a", b"/M\xfcnchen?\xe4"), Ok("http://h/M%FCnchen?%E4".into()));
        assert_eq!(leads("http://h/a", "/München"), Ok("http://h/M%C3%BCnchen".into()));
        assert_eq!(
            leads("http://h/a", "http://münchen.example/"),
            Ok("http://xn--mnchen-3ya.example/".into())
        );
        assert_eq!(leads("http://h/a", b"http://m\xfcnchen.example/"), Err(ErrorKind::RedirectInvalid));
    }

    #[test]
    fn userinfo_of_a_location_is_dropped() {
        assert_eq!(leads("http://h/a", "http://evil:x@other/b"), Ok("http://other/b".into()));
        assert_eq!(leads("http://h/a", "http://evil:x@h/b"), Ok("http://h/b".into()));
    }
}
