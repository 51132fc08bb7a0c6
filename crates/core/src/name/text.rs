//! Converts bytes of URLs and headers, whose encoding is unknown, to text.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use percent_encoding::percent_decode;
use url::{Host, Url};

/// Returns the last segment of a URL's path, percent-decoded once. It is empty if the path ends with a slash.
pub fn last_segment(url: &Url) -> String {
    segment(url, url.path_segments().and_then(|mut all| all.next_back()).unwrap_or_default())
}

/// Returns a segment of the path of `url`, percent-decoded once.
pub(super) fn segment(url: &Url, segment: &str) -> String {
    let bytes: Vec<u8> = percent_decode(segment.as_bytes()).collect();
    decoded(&bytes, url)
}

/// Percent-decodes a text once. If the result is not UTF-8, the text is assumed not to be percent-encoded,
/// and it is returned unchanged.
pub(crate) fn unescaped(text: &str) -> String {
    percent_decode(text.as_bytes()).decode_utf8().map_or_else(|_| text.to_string(), Into::into)
}

/// Returns bytes as text. They are read as UTF-8 if they are valid UTF-8. Otherwise their encoding is
/// guessed, as browsers guess it for old pages. The last label of the host in `url` is used as a hint,
/// because it may be the code of a country.
pub(crate) fn decoded(bytes: &[u8], url: &Url) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_string();
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    let country = country(url);
    let guess = detector.guess(country.as_deref().map(str::as_bytes), Utf8Detection::Deny);
    guess.decode_without_bom_handling(bytes).0.into_owned()
}

/// Returns the last label of the host name in `url`, in lower case ASCII, as the encoding detector requires
/// it. Returns `None` if the host is an address.
fn country(url: &Url) -> Option<String> {
    let Some(Host::Domain(domain)) = url.host() else { return None };
    let label = domain.trim_end_matches('.').rsplit('.').next()?.to_ascii_lowercase();
    (label.is_ascii() && !label.is_empty()).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn text_of_other_encodings_is_guessed() {
        let plain = url("http://h/");
        for (bytes, host, expected) in [
            (&b"na\xc3\xafve.txt"[..], &plain, "naïve.txt"),
            (b"\xe9t\xe9.txt", &plain, "été.txt"),
            (b"M\xfcller Stra\xdfe.pdf", &plain, "Müller Straße.pdf"),
            (b"\xbb\xaa\xce\xaa\xbc\xbc\xca\xf5\xb1\xa8\xb8\xe6.pdf", &plain, "华为技术报告.pdf"),
            (b"\x93\xfa\x96{\x8c\xea\x82\xcc\x83t\x83@\x83C\x83\x8b.zip", &plain, "日本語のファイル.zip"),
            (b"\xcf\xf0\xe8\xe2\xe5\xf2 \xec\xe8\xf0.doc", &plain, "Привет мир.doc"),
            (b"\xb2\xe2\xca\xd4.txt", &url("http://example.cn/"), "测试.txt"),
        ] {
            assert_eq!(decoded(bytes, host), expected);
        }
        assert_eq!(last_segment(&url("http://h/d/%E9t%E9.txt?x=1")), "été.txt");
    }

    #[test]
    fn percent_escapes_are_decoded_only_if_the_result_is_text() {
        for (text, expected) in [
            ("%E5%8D%8E%20a.pdf", "华 a.pdf"),
            ("100%.txt", "100%.txt"),
            ("50% off.txt", "50% off.txt"),
            ("%FFx.txt", "%FFx.txt"),
            ("a%252Fb", "a%2Fb"),
        ] {
            assert_eq!(unescaped(text), expected);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), host in "[a-zA-Z0-9.é-]{1,12}") {
            if let Ok(url) = Url::parse(&format!("http://{host}/")) {
                decoded(&bytes, &url);
            }
        }
    }
}
