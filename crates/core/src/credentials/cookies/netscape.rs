//! Reads and writes cookie files in the Netscape format, which curl, wget and browser extensions use too.
//! Except for comments and blank lines, each line has one cookie in seven fields, which are separated by
//! tabs.
//!
//! Invariant: an error names the line of the mistake, and contains no text of this line.

use super::{Cookie, PAIR_MOST, SecretKind, Time};
use crate::credentials::Mistake;
use crate::public_suffix;
use crate::secret::Secret;
use std::fmt::Write;
use url::Host;

/// The longest cookie file that is read, in bytes. A file with all cookies of a browser, for example 3,300
/// cookies, has less than 1 MiB.
pub const LONGEST: usize = 16 * 1024 * 1024;

/// The text that curl writes before the domain of a cookie that scripts must not see.
const HTTP_ONLY: &str = "#HttpOnly_";

/// Reads a cookie file. Returns its cookies, and a mistake for each line that cannot be read as a cookie. The
/// other lines are used although some lines are wrong, as in curl and wget, because a cookie file often has
/// the cookies of many sites. A line with a replacement character (U+FFFD) was not UTF-8 in the file, and is
/// a mistake too.
///
/// # Errors
/// If no line is a cookie, returns the first mistake, if there is one.
pub fn read(text: &str) -> Result<(Vec<Cookie>, Vec<Mistake>), Mistake> {
    let (mut cookies, mut mistakes) = (Vec::new(), Vec::new());
    for (line, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let (text, http_only) = match text.strip_prefix(HTTP_ONLY) {
            Some(rest) => (rest, true),
            None if text.starts_with('#') || text.trim().is_empty() => continue,
            None => (text, false),
        };
        match cookie(text.trim_end_matches('\r'), http_only) {
            Ok(cookie) => cookies.push(cookie),
            Err(why) => mistakes.push(Mistake { line, why }),
        }
    }
    match mistakes.first() {
        Some(first) if cookies.is_empty() => Err(*first),
        _ => Ok((cookies, mistakes)),
    }
}

fn cookie(text: &str, http_only: bool) -> Result<Cookie, &'static str> {
    let fields: Vec<&str> = text.split('\t').collect();
    let (domain, below, path, secure, expires, name, value) = match fields[..] {
        [domain, below, path, secure, expires, name, value] => {
            (domain, below, path, secure, expires, name, value)
        }
        // An editor may have removed the tab before an empty value.
        [domain, below, path, secure, expires, name] => (domain, below, path, secure, expires, name, ""),
        _ => return Err("a cookie must have seven fields with tabs between them"),
    };
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Err("the line is not UTF-8");
    }
    if (name.is_empty() && value.is_empty()) || name.len() + value.len() > PAIR_MOST {
        return Err("a cookie must have a name or a value, and both together must have at most 4096 bytes");
    }
    if [name, value].iter().any(|text| text.contains(';') || text.chars().any(char::is_control)) {
        return Err("the name and the value must not contain a semicolon or control characters");
    }
    let domain = Host::parse(domain.strip_prefix('.').unwrap_or(domain));
    let domain = domain.map_err(|_| "the first field is not a host")?;
    let below = flag(below).ok_or("the second field must be TRUE or FALSE")?;
    let is_name = matches!(domain, Host::Domain(_));
    let domain = domain.to_string();
    // Some programs write the time with a fraction of a second. For a cookie that expires at the end of the
    // browser session, some programs write a negative number.
    let expires = if expires.is_empty() { "0" } else { expires };
    let expires: f64 = expires.parse().map_err(|_| "the fifth field must be a time in seconds")?;
    Ok(Cookie {
        name: name.into(),
        value: Secret::new(value),
        host_only: !below || !is_name || public_suffix::is_suffix(&domain),
        domain,
        path: Some(path).filter(|path| path.starts_with('/')).unwrap_or("/").into(),
        secure: flag(secure).ok_or("the fourth field must be TRUE or FALSE")?,
        http_only,
        // A number that is too large becomes the largest possible time. With 0 or a negative number, the
        // cookie has no time of expiry.
        expires: Some(expires as Time).filter(|end| *end > 0),
        kind: SecretKind::CookieFile,
    })
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_uppercase().as_str() {
        "TRUE" => Some(true),
        "FALSE" => Some(false),
        _ => None,
    }
}

/// Returns the text of a cookie file with these cookies.
pub fn write<'c>(cookies: impl Iterator<Item = &'c Cookie>) -> String {
    let mut text =
        "# Netscape HTTP Cookie File\n# Others can log in as you with these cookies. Keep this file private.\n\n".to_string();
    for cookie in cookies {
        let start = if cookie.http_only { HTTP_ONLY } else { "" };
        let dot = if cookie.host_only { "" } else { "." };
        let flag = |is: bool| if is { "TRUE" } else { "FALSE" };
        let _ = writeln!(
            text,
            "{start}{dot}{}\t{}\t{}\t{}\t{}\t{}\t{}",
            cookie.domain,
            flag(!cookie.host_only),
            cookie.path.replace('\t', "%09"),
            flag(cookie.secure),
            cookie.expires.unwrap_or(0),
            cookie.name.replace('\t', " "),
            cookie.value.expose().replace('\t', " ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "# Netscape HTTP Cookie File\r\n\r\n.h.example\tTRUE\t/\tTRUE\t1900000000\ta\tb=c d\r\n\
                        #HttpOnly_h.example\tFALSE\t/x\tFALSE\t0\tsession\t\"q\"\n\
                        127.0.0.1\tFALSE\t/\tFALSE\t1900000000.5\tempty\t\n\
                        .co.uk\tTRUE\t/\tFALSE\t-1\tsuffix\tv";

    #[test]
    fn cookie_files_are_read_and_written() {
        let (cookies, mistakes) = read(FILE).expect("the file is right");
        assert_eq!(mistakes, []);
        let shown: Vec<String> = cookies
            .iter()
            .map(|one| {
                let Cookie { name, value, domain, host_only, path, secure, http_only, expires, .. } = one;
                let value = value.expose();
                format!("{name}={value} {domain} {host_only} {path} {secure} {http_only} {expires:?}")
            })
            .collect();
        assert_eq!(
            shown,
            [
                "a=b=c d h.example false / true false Some(1900000000)",
                "session=\"q\" h.example true /x false true None",
                "empty= 127.0.0.1 true / false false Some(1900000000)",
                "suffix=v co.uk true / false false None",
            ]
        );
        assert_eq!(read(&write(cookies.iter())).map(|(read, _)| read).as_ref(), Ok(&cookies));
        assert!(!format!("{cookies:?}").contains("b=c"), "values are not shown");
    }

    #[test]
    fn mistakes_name_their_line_and_no_text() {
        let good = "h\tTRUE\t/\tFALSE\t0\tname\thush";
        for (text, line) in [
            ("\n# x\nhush".to_string(), 3),
            ("[{\"name\": \"hush\"}]".into(), 1),
            (good.replace("TRUE", "maybe"), 1),
            (good.replace("FALSE", "hush"), 1),
            (good.replace("\t0\t", "\thush\t"), 1),
            (good.replace("h\t", "h ush\t"), 1),
            (good.replace("hush", "hush;x"), 1),
            (good.replace("hush", "hush\u{1}"), 1),
            (good.replace("hush", "hush\u{fffd}"), 1),
            (format!("# a\n{good}\tmore"), 2),
        ] {
            let with_others = format!("{text}\n{good}\n{}", good.replace("\t0\t", "\t\t"));
            let (cookies, mistakes) = read(&with_others).expect("there are cookies");
            assert_eq!((cookies.len(), mistakes.len()), (2, 1), "{with_others:?}");
            let mistake = read(&text).expect_err(&text);
            assert_eq!(mistake.line, line, "{text:?}: {mistake}");
            assert!(!mistake.to_string().contains("hush"), "{mistake}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in any::<String>(), line in "([a-z.]{0,5}\t){0,8}") {
            let _ = (read(&text), read(&line));
        }
    }
}
