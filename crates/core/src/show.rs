//! Makes text safe to show: [`url()`] removes secrets from a URL, and [`escaped`] replaces characters that
//! could move the cursor, or reverse or hide text.
//!
//! Invariant: every URL passes through [`url()`] before it reaches the screen, the log or the events. All
//! other text that comes from outside the program passes through [`escaped`] before it reaches the screen or
//! the log.

use crate::job::parse_given;
use std::borrow::Cow;
use url::Url;

/// The text that replaces a secret value.
pub const HIDDEN: &str = "***";

/// Names of parameters whose values are secrets, although the names contain none of the [`SECRET_WORDS`].
/// Case, `-`, `_` and `.` make no difference when names are compared. The signed URLs of Azure (`sig`, `se`,
/// `st`), CloudFront (`Policy`), Akamai (`hdnea`, `__gda__`), nginx (`md5` or `st` with `e`) and Cloudflare
/// have such parameters, and so do links of file hosts and login pages.
const SECRET_NAMES: &[&str] = &[
    "sig",
    "se",
    "st",
    "e",
    "k",
    "tk",
    "policy",
    "hdnea",
    "hdnts",
    "gda",
    "md5",
    "hash",
    "hmac",
    "verify",
    "access",
    "code",
    "sid",
    "jwt",
    "pwd",
    "otp",
    "sas",
    "bearer",
    "googleaccessid",
];

/// If the name of a parameter contains one of these words after all [`HARMLESS_WORDS`] were removed from the
/// name, the value of the parameter is a secret.
const SECRET_WORDS: &[&str] = &[
    "auth",
    "token",
    "sign",
    "key",
    "secret",
    "pass",
    "credential",
    "session",
    "cookie",
    "csrf",
    "clearance",
    "ticket",
    "private",
];

/// Harmless words that contain one of the [`SECRET_WORDS`].
const HARMLESS_WORDS: &[&str] = &[
    "authors",
    "author",
    "keywords",
    "keyword",
    "keyframe",
    "design",
    "assign",
    "signal",
    "passage",
    "passenger",
];

/// A URL within a URL is read if it is percent-encoded fewer than this many times. A text that is encoded
/// this often or more counts as a secret. Real links stay below this number: if the link of a mail filter
/// contains the link of another one, the innermost URL is encoded two or three times.
const ENCODED_MOST: usize = 5;

/// In one text, such as a path or the value of a parameter, at most this many URLs (each `//` counts) are
/// read. A text with more URLs counts as a secret. Without this limit, a server could slow the program down.
const NESTED_MOST: usize = 16;

/// If a path of more than this many bytes contains a URL with secrets, the whole path is hidden. Real links
/// are shorter. Without this limit, a server could slow the program down.
const PATH_READ_MOST: usize = 8 * 1024;

/// The characters between the parameters of a query. HTML 4.01, section B.2.2, recommends `;`.
const SEPARATORS: [char; 2] = ['&', ';'];

/// A sequence of at least this many letters and digits that looks random is treated as a secret. A secret of
/// 128 bits has 32 hexadecimal digits, or 22 characters of base64. Versions, dates and architectures in
/// common names are shorter than 16 characters.
const RANDOM_RUN: usize = 16;

/// Returns a URL without its userinfo and fragment, and with its other secrets hidden: the values of secret
/// parameters and tokens without a name, in the query and in the path (`;token=...`), and URLs within this
/// URL that have secrets. The names of parameters are kept, except in a part that is hidden as a whole.
pub fn url(url: &Url) -> String {
    let may_hide = url.has_authority() && (!url.username().is_empty() || url.password().is_some());
    let has_more = may_hide || url.query().is_some() || url.fragment().is_some();
    if !has_more && is_plain(url.path()) {
        return url.as_str().to_owned();
    }
    let has_parameters = url.path().contains(';');
    let holds_url = holds_a_url_with_secrets(url.path());
    if !has_more && !has_parameters && !holds_url {
        return url.as_str().to_owned();
    }
    let mut shown = url.clone();
    // These calls fail only for URLs that cannot have userinfo. Such URLs have nothing to hide.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    if holds_url {
        shown.set_path(&path_without_urls(url.path()));
    } else if has_parameters {
        shown.set_path(&path_without_secrets(url.path()));
    }
    if let Some(query) = url.query() {
        shown.set_query(Some(&query_without_secrets(query)));
    }
    shown.into()
}

/// Returns the URL in a text that a user or a client gave, without its secrets. If nothing is hidden, returns
/// the text unchanged. For a text that is not a URL, returns the result of [`not_a_url`].
pub fn given(text: &str) -> Cow<'_, str> {
    match parse_given(text) {
        Ok((url, _)) if hides(&url) || url.fragment().is_some() => self::url(&url).into(),
        Ok(_) => text.into(),
        Err(_) => not_a_url(text).into(),
    }
}

/// Returns true if [`url()`] removes anything except the fragment from this URL.
pub fn hides(whole: &Url) -> bool {
    let mut plain = whole.clone();
    plain.set_fragment(None);
    url(whole) != plain.as_str()
}

/// Returns a number of bytes as text, such as `512 B`, `1.50 KiB`, `12.3 MiB` or `456 MiB`. From 1 KiB on,
/// the text has three digits.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64;
    let mut unit = "B";
    for next in UNITS {
        value /= 1024.0;
        unit = next;
        // 999.5 would be printed as 1000, so the next unit is used.
        if value < 999.5 {
            break;
        }
    }
    match value {
        v if v < 9.995 => format!("{v:.2} {unit}"),
        v if v < 99.95 => format!("{v:.1} {unit}"),
        v => format!("{v:.0} {unit}"),
    }
}

/// Returns how a file was verified, in words for the user. `proven` is the text in the events, which programs
/// read.
pub fn verified(proven: &str) -> &str {
    match proven {
        "size only" => "not verified (size matches)",
        "end of transfer only" => "not verified (server sent no size)",
        verified => verified,
    }
}

/// Returns a text that should have been a URL, for an error message. Everything that may be a secret is
/// removed, even if little text remains.
pub fn not_a_url(text: &str) -> String {
    let scheme = text.find("://").map_or("", |end| &text[..end + 3]);
    // A password may have any character, so all text before the last `@` may be part of a password.
    let rest = text[scheme.len()..].rsplit('@').next().unwrap_or_default();
    let scheme = scheme.rsplit('@').next().unwrap_or_default();
    // A text without a scheme may be a setting, such as `password=...`.
    let ends: &[char] = if scheme.is_empty() { &['?', '#', ';', '='] } else { &['?', '#', ';'] };
    let before_query = rest.split(ends).next().unwrap_or_default();
    shorten(&format!("{scheme}{before_query}"), 100)
}

fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

/// Hides the end of a path, beginning at the first URL with secrets. The paths of some archives and proxies
/// contain such URLs (`/fetch/https://user:password@host/`).
fn path_without_urls(path: &str) -> String {
    if path.len() > PATH_READ_MOST {
        return format!("/{HIDDEN}");
    }
    let ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at + 1).collect();
    // `ends[number]` is the end of the shortest beginning of the path that contains a URL with secrets. No
    // URL before this one has secrets.
    let number = ends.partition_point(|&end| !holds_a_url_with_secrets(&path[..end]));
    let path = ends.get(number).map_or(path, |&end| &path[..end]);
    // The text that begins after a slash before this URL contains the whole URL. The text that begins after a
    // later slash does not contain it.
    let before = ends[..number].partition_point(|&end| holds_a_url_with_secrets(&path[end..]));
    let start = before.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
    format!("{}{HIDDEN}", path_without_secrets(&path[..start]))
}

/// Hides values of parameters in the segments of a path (RFC 3986, section 3.3).
fn path_without_secrets(path: &str) -> String {
    let shown = |part: &str| {
        // Another segment of the path may follow the parameter.
        let (parameter, next) = part.split_at(part.find('/').unwrap_or(part.len()));
        match parameter.split_once('=') {
            Some((name, value)) if is_secret(name, value) => format!("{name}={HIDDEN}{next}"),
            _ if is_token(parameter) => format!("{HIDDEN}{next}"),
            _ => part.to_string(),
        }
    };
    let mut parts = path.split(';');
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |all, part| all + ";" + &shown(part))
}

fn query_without_secrets(query: &str) -> String {
    let hidden = |pair: &str| match pair.split_once('=') {
        // The `=` may belong to a URL that the pair contains.
        Some((key, _)) if holds_a_url_with_secrets(key) => Some(HIDDEN.to_string()),
        Some((key, value)) if is_secret(key, value) => Some(format!("{key}={HIDDEN}")),
        // A pair may also be a token or a URL that has no name.
        _ if is_token(pair) || holds_a_url_with_secrets(pair) => Some(HIDDEN.to_string()),
        _ => None,
    };
    // A secret may contain `;`, so a pair is first examined as a whole. If the pair as a whole is not hidden,
    // its parts are examined, and the text of the pair after the first secret is left out.
    let parts = |pair: &str| {
        let mut shown = Vec::new();
        for part in pair.split(';') {
            if let Some(secret) = hidden(part) {
                shown.push(secret);
                break;
            }
            shown.push(part.to_string());
        }
        shown.join(";")
    };
    let pair = |pair: &str| hidden(pair).unwrap_or_else(|| parts(pair));
    query.split('&').map(pair).collect::<Vec<_>>().join("&")
}

/// Returns true if a part of a query is a token without a name. A token in base64 ends with up to two `=`.
fn is_token(pair: &str) -> bool {
    let token = pair.trim_end_matches('=');
    !token.contains('=') && looks_random(token)
}

/// Returns true if the name or the form of the value of a parameter shows that the value is a secret. The
/// same rules apply to the name and value of a header.
pub fn is_secret(key: &str, value: &str) -> bool {
    is_secret_alone(key, value) || holds_a_url_with_secrets(value)
}

/// Returns the same as [`is_secret`], but reads no URLs within the value.
fn is_secret_alone(key: &str, value: &str) -> bool {
    if value.is_empty() {
        return false;
    }
    let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy().to_ascii_lowercase();
    key.starts_with("x-amz-") || key.starts_with("x-goog-") || is_secret_name(&key) || looks_random(value)
}

/// Returns true if a name in lower case shows that its value is a secret.
fn is_secret_name(name: &str) -> bool {
    let bare: String = name.chars().filter(|c| !matches!(c, '-' | '_' | '.')).collect();
    if SECRET_NAMES.contains(&bare.as_str()) || bare.contains("authoriz") {
        return true;
    }
    let rest = HARMLESS_WORDS.iter().fold(bare, |rest, word| rest.replace(word, ""));
    SECRET_WORDS.iter().any(|word| rest.contains(word))
}

/// Returns true if a text has no `;`, `%` or `//`. Nearly all paths are plain. A plain text has no parameters
/// and contains no URL.
fn is_plain(text: &str) -> bool {
    let mut before = 0;
    text.bytes().all(|byte| {
        let is_plain = byte != b';' && byte != b'%' && (byte != b'/' || before != b'/');
        before = byte;
        is_plain
    })
}

/// Returns true if a text contains a URL with secrets: `?next=https://user:password@host/`. The URL may be
/// percent-encoded several times, since it may have passed through several redirects.
fn holds_a_url_with_secrets(text: &str) -> bool {
    if is_plain(text) {
        return false;
    }
    let mut text = Cow::Borrowed(text);
    for _ in 0..ENCODED_MOST {
        let mut urls = text.match_indices("//");
        if urls
            .by_ref()
            .take(NESTED_MOST)
            .any(|(at, _)| is_url_with_secrets(&text[scheme_start(&text, at)..]))
        {
            return true;
        }
        let has_more = urls.next().is_some();
        let decoded = percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if has_more || decoded == *text {
            return has_more;
        }
        text = Cow::Owned(decoded);
    }
    // A text that is still encoded after `ENCODED_MOST` rounds is not read, and counts as a secret.
    true
}

/// Returns the offset at which the scheme before the slashes at `at` begins.
fn scheme_start(text: &str, at: usize) -> usize {
    let Some(before) = text[..at].strip_suffix(':') else { return at };
    let is_part = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    before.len() - before.chars().rev().take_while(is_part).count()
}

/// Returns true if a text is a URL with secrets. The URL may have no scheme. URLs within this URL are not
/// read.
fn is_url_with_secrets(text: &str) -> bool {
    let with_scheme = if text.starts_with("//") { format!("https:{text}") } else { text.to_string() };
    Url::parse(&with_scheme).is_ok_and(|url| {
        let parts =
            [url.query(), url.fragment()].into_iter().flatten().flat_map(|part| part.split(SEPARATORS));
        let mut parts = parts.chain(url.path().split(';').skip(1));
        !url.username().is_empty()
            || url.password().is_some()
            || parts.any(|part| {
                is_token(part) || part.split_once('=').is_some_and(|(key, value)| is_secret_alone(key, value))
            })
    })
}

/// Returns true if a value looks random: if it is a UUID, or contains a long sequence of letters and digits.
/// A sequence without digits is long if it has at least 40 letters. Any sequence is long if it has at least
/// [`RANDOM_RUN`] characters, and among them at least two letters and two digits, or at least three letters
/// in upper case and three in lower case.
fn looks_random(value: &str) -> bool {
    let decoded = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
    let uuid = decoded.len() == 36
        && decoded.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        });
    uuid || decoded.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| {
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        let upper = run.bytes().filter(u8::is_ascii_uppercase).count();
        let lower = run.bytes().filter(u8::is_ascii_lowercase).count();
        let letters = upper + lower;
        run.len() >= RANDOM_RUN
            && ((digits >= 2 && letters >= 2) || (upper >= 3 && lower >= 3) || digits == 0 && run.len() >= 40)
    })
}

/// Returns a text in which each unsafe character is replaced by its code point, such as `\u{1b}`. Control
/// characters are unsafe, and so are characters that reverse or hide text.
pub fn escaped(text: &str) -> Cow<'_, str> {
    // Most texts are ASCII, and bytes are compared faster than characters.
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain || !text.chars().any(is_unsafe_to_show) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe_to_show(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Returns true for a control character (Unicode category Cc), a line or paragraph separator, or one of the
/// format characters that are invisible or change the direction of text (UAX #9). Some format characters are
/// allowed, such as the joiner U+200D.
pub fn is_unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        url(&Url::parse(text).expect("a URL"))
    }

    #[test]
    fn a_long_path_of_a_server_is_shown_at_once() {
        for part in ["a/", "/", "a//", "https://u:p@x/", "%2F"] {
            let path = part.repeat(200 * 1024 / part.len());
            assert!(!shown(&format!("https://h/{path}")).contains("u:p"), "{part}");
        }
    }

    // This function is long because it is a list of cases.
    #[test]
    fn secrets_are_hidden_and_the_names_of_parameters_stay() {
        for (whole, expected) in [
            ("https://u:p@h/a", "https://h/a"),
            ("https://tok@h/a#frag", "https://h/a"),
            ("https://h/a?token=abc&x=1", "https://h/a?token=***&x=1"),
            ("https://h/a?X-Amz-Signature=ff&X-Amz-Date=2", "https://h/a?X-Amz-Signature=***&X-Amz-Date=***"),
            ("https://h/a?x-goog-algorithm=a", "https://h/a?x-goog-algorithm=***"),
            ("https://h/a?api_key=1&Signature=2", "https://h/a?api_key=***&Signature=***"),
            ("https://h/a?t=dGhpcyBpcyBhIHNlY3JldCB0b2tlbg", "https://h/a?t=***"),
            ("https://h/a?id=3f2504e0-4f89-11d3-9a0c-0305e82c3301", "https://h/a?id=***"),
            ("https://h/a?0123456789abcdef0123456789abcdef", "https://h/a?***"),
            (
                "https://h/a?file=ubuntu-24.04-desktop-amd64.iso",
                "https://h/a?file=ubuntu-24.04-desktop-amd64.iso",
            ),
            ("https://h/a;token=abc?x=1", "https://h/a;token=***?x=1"),
            ("https://h/a;v=1;jsessionid=ab/b;x=/c", "https://h/a;v=1;jsessionid=***/b;x=/c"),
            (
                "https://h/a?author=me&keywords=b&design=c&signal=d",
                "https://h/a?author=me&keywords=b&design=c&signal=d",
            ),
            (
                "https://h/a?page=2&file=a.iso&expires=1&v=1.2",
                "https://h/a?page=2&file=a.iso&expires=1&v=1.2",
            ),
            ("https://h/a?to=https://u:p@x/&b=1", "https://h/a?to=***&b=1"),
            ("https://h/a?to=https%3A%2F%2Fx%2F%3Fsig%3D1", "https://h/a?to=***"),
            ("https://h/a?to=https://x/", "https://h/a?to=https://x/"),
            ("https://h/a?to=see%20https://u:p@x/", "https://h/a?to=***"),
            ("https://h/a?to=https%253A%252F%252Fu%253Ap@x%252F", "https://h/a?to=***"),
            ("https://h/a?to=http://x/?to=http://u:p@y/", "https://h/a?to=***"),
            ("https://h/a?to=http://x/%3Fto=http://y/%3Ftoken=1", "https://h/a?to=***"),
            ("https://h/a?to=https://x/%23access_token=1", "https://h/a?to=***"),
            ("https://h/a?to=//u:p@x/", "https://h/a?to=***"),
            ("https://h/a?https://u:p@x/", "https://h/a?***"),
            ("https://h/get/https://u:p@x/y", "https://h/get/***"),
            ("https://h/get/https%3A%2F%2Fu:p@x%2Fy/z", "https://h/get/***"),
            ("https://h/a;token=abc/https://u:p@x/", "https://h/a;token=***/***"),
            ("https://h/get/https://a:b@y/https://u:p@z/", "https://h/get/***"),
            ("https://h/a?dGhpcyBpcyBhIHNlY3JldCB0b2tlbg==", "https://h/a?***"),
            ("https://h/a?file=x;token=abc", "https://h/a?file=x;token=***"),
            ("https://h/a?a=1;token=abc;def", "https://h/a?a=1;token=***"),
            ("https://h/a?x;0123456789abcdef0123456789abcdef", "https://h/a?***"),
            ("https://h/a;0123456789abcdef0123456789abcdef/b", "https://h/a;***/b"),
            ("https://h/a?password=abc;def", "https://h/a?password=***"),
            ("https://h/a?cookie=sid=1;jwt2=hush", "https://h/a?cookie=***"),
            ("https://h/a?next=https://u:pa;ss@x/", "https://h/a?next=***"),
            ("https://proxy/?https://u:p@x/f?v=1", "https://proxy/?***"),
            ("https://h/get/https://x/y", "https://h/get/https://x/y"),
            ("https://h/a//b?c=d//e", "https://h/a//b?c=d//e"),
            ("https://h/a?name=internationalization", "https://h/a?name=internationalization"),
        ] {
            assert_eq!(shown(whole), expected);
        }
        for name in [
            "authkey",
            "rlkey",
            "verify",
            "__gda__",
            "sign",
            "se",
            "st",
            "e",
            "k",
            "tk",
            "access",
            "csrf",
            "cf_clearance",
            "hash",
            "md5",
            "api_key",
            "AccessKeyId",
            "x-authorization",
            "user_pass",
            "PHPSESSION",
            "wsSecret",
            "auth-token",
            "Key-Pair-Id",
            "signature",
            "xsrf-token",
        ] {
            assert_eq!(shown(&format!("https://h/a?{name}=1&x=1")), format!("https://h/a?{name}=***&x=1"));
        }
        assert!(hides(&Url::parse("http://h/a;sig=1").expect("a URL")));
        assert!(hides(&Url::parse("http://h/?sig=1").expect("a URL")));
        assert!(!hides(&Url::parse("http://h/?a=1#top").expect("a URL")));
    }

    #[test]
    fn a_text_that_is_not_a_url_is_shown_without_userinfo_and_query() {
        assert_eq!(not_a_url("htp//u:p@h/x?token=1"), "h/x");
        assert_eq!(not_a_url("https://u:pa#ss?w@h/x?token=1"), "https://h/x");
        assert_eq!(not_a_url("u:p@x://h/x"), "x://h/x");
        assert_eq!(not_a_url("ftp://u:p@h/x?token=1"), "ftp://h/x");
        assert_eq!(not_a_url("example.com/file"), "example.com/file");
    }

    proptest! {
        #[test]
        fn escaped_text_contains_no_unsafe_character(text in any::<String>()) {
            prop_assert!(!escaped(&text).chars().any(is_unsafe_to_show));
        }

        #[test]
        fn any_text_within_a_url_causes_no_panic(text in "[%/:@=?#a-z0-9\u{e9}]{0,60}") {
            is_secret("to", &text);
            path_without_urls(&text);
        }

        #[test]
        fn a_text_that_is_not_a_url_causes_no_panic(text in any::<String>()) {
            not_a_url(&text);
        }
    }
}
