//! Reads `Link` headers (RFC 8288) as RFC 6249 uses them: the mirrors of a file, and a Metalink document
//! about it.
//!
//! Invariant: a link with a wrong syntax is left out, and so is the rest of its header. If a link has the
//! right syntax, but its URL cannot be used, only this link is left out. There are at most [`MOST`] mirrors.

use crate::job;
use crate::remote::Links;
use http::{HeaderMap, header};
use url::Url;

/// The highest number of mirrors that are read. Some files have several hundred mirrors, but the download of
/// a file uses only a few of them.
const MOST: usize = 100;

/// The media type of Metalink documents (RFC 6249, section 2).
const METALINK: &str = "application/metalink4+xml";

/// Reads the links of a response from the URL `base`: mirrors from `rel=duplicate` (RFC 6249, section 3), and
/// a document from `rel=describedby` (RFC 6249, section 5).
pub(super) fn read(base: &Url, headers: &HeaderMap) -> Links {
    let mut duplicates = Vec::new();
    let mut described_by = None;
    for value in headers.get_all(header::LINK) {
        let Ok(text) = value.to_str() else { continue };
        let mut rest = text;
        while let Some((link, after)) = next(rest) {
            rest = after;
            let Some(url) = base.join(&link.target).ok().and_then(|url| job::parse_url(url.as_str()).ok())
            else {
                continue;
            };
            if link.is("duplicate") && duplicates.len() < MOST && url != *base {
                let priority = link.parameter("pri").and_then(|text| text.parse::<u32>().ok());
                duplicates.push((priority.unwrap_or(u32::MAX), url));
            } else if link.is("describedby")
                && link.parameter("type").is_some_and(|kind| kind.eq_ignore_ascii_case(METALINK))
            {
                described_by.get_or_insert(url);
            }
        }
    }
    // The sort is stable: among equal priorities, the first link is preferred.
    duplicates.sort_by_key(|(priority, _)| *priority);
    Links { duplicates: duplicates.into_iter().map(|(_, url)| url).collect(), described_by }
}

struct Link {
    target: String,
    /// The parameters. Their names are in lower case.
    parameters: Vec<(String, String)>,
}

impl Link {
    /// Returns the first parameter with this name. RFC 8288, section 3.3, requires this for `rel`.
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    fn is(&self, relation: &str) -> bool {
        let all = self.parameter("rel").unwrap_or_default();
        // A link with an anchor is usually about something other than this file.
        self.parameter("anchor").is_none()
            && all.split_ascii_whitespace().any(|one| one.eq_ignore_ascii_case(relation))
    }
}

/// Reads the next link of a header. Returns the link and the rest of the header, or `None` if there is no
/// further link that can be read.
fn next(text: &str) -> Option<(Link, &str)> {
    let text = text.trim_start_matches([' ', '\t', ',']);
    let (target, mut rest) = text.strip_prefix('<')?.split_once('>')?;
    let mut parameters = Vec::new();
    loop {
        rest = rest.trim_start();
        let Some(after) = rest.strip_prefix(';') else { break };
        let end = after.find(['=', ';', ',']).unwrap_or(after.len());
        let name = after[..end].trim().to_ascii_lowercase();
        rest = &after[end..];
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix('=') {
            (value, rest) = parameter_value(after.trim_start())?;
        }
        parameters.push((name, value));
    }
    Some((Link { target: target.trim().to_string(), parameters }, rest))
}

/// Reads a token or a quoted string. Returns the value and the rest of the text, or `None` if the closing
/// quote is missing.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_string(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn links(values: &[&str]) -> Links {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::LINK, HeaderValue::from_str(value).expect("a value"));
        }
        read(&Url::parse("https://h/d/f").expect("a URL"), &headers)
    }

    #[test]
    fn mirrors_are_sorted_by_priority_and_documents_are_found_by_their_type() {
        // The values with `example.com` follow the example of RFC 6249, section 1.1. The other values are not
        // in the RFC.
        let found = links(&[
            "<http://www2.example.com/example.ext>; rel=duplicate; pri=2, <ftp://ftp.example.com/example.ext>; rel=duplicate",
            "<http://example.com/example.ext.torrent>; rel=describedby; type=\"application/x-bittorrent\"",
            "<f.meta4>; rel=\"other DescribedBy\"; type=\"application/metalink4+xml\"",
            "<http://last/>; rel=duplicate; geo=\"g,b;\\\"\" , </f>;rel = \"duplicate\" ; PRI = 1,<http://no/>;rel=next;anchor=\"#a\"",
            "<http://other/>; rel=duplicate; anchor=\"#b\", <https://h/d/f>; rel=duplicate",
        ]);
        let duplicates: Vec<&str> = found.duplicates.iter().map(Url::as_str).collect();
        assert_eq!(duplicates, ["https://h/f", "http://www2.example.com/example.ext", "http://last/"]);
        assert_eq!(found.described_by.as_ref().map(Url::as_str), Some("https://h/d/f.meta4"));
    }

    proptest! {
        #[test]
        fn no_header_causes_a_panic_and_the_number_of_mirrors_is_limited(text in "[ -~\t]{0,300}") {
            let many = format!("<http://a/>;rel=duplicate,{text}").repeat(200);
            prop_assert!(links(&[&text, &many]).duplicates.len() <= MOST);
        }
    }
}
