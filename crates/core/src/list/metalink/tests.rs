//! Tests with documents of both versions of Metalink. Some are valid, some have mistakes, and some are
//! attacks.

use super::format::{NAMESPACE_3, NAMESPACE_4};
use super::*;
use crate::error::ErrorKind;
use crate::job::{Destination, Job};
use proptest::prelude::*;
use url::Url;

const SHA256: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const SHA1: &str = "0123456789abcdef0123456789abcdef01234567";

fn four(inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metalink xmlns=\"{NAMESPACE_4}\">\n{inner}\n</metalink>\n"
    )
}

fn three(inner: &str) -> String {
    format!("<metalink version=\"3.0\" xmlns=\"{NAMESPACE_3}\"><files>{inner}</files></metalink>")
}

/// Returns a text for each file: `LINE NAME: URLS; DIGESTS` or `LINE ERROR`. If the document states a size or
/// chunk hashes, the text ends with `; SIZE bytes` and ` NUMBER x LENGTH ALGORITHM`.
fn read(document: &str) -> Vec<String> {
    Metalink::new(document.into()).map(|(line, job)| format!("{line} {}", shown(job))).collect()
}

fn shown(job: Result<Box<Job>, Error>) -> String {
    let job = match job {
        Ok(job) => job,
        Err(error) => return error.to_string(),
    };
    let Destination::Name(name) = &job.destination else { panic!("a name") };
    let urls: Vec<&str> = job.urls.iter().map(Url::as_str).collect();
    let digests: Vec<&str> = job.expected.iter().map(|one| one.digest.algorithm.name()).collect();
    let pieces = job.chunks.map_or(String::new(), |pieces| {
        format!(" {} x {} {}", pieces.digests.len(), pieces.length, pieces.algorithm.name())
    });
    let size = job.size.map_or(String::new(), |size| format!("; {size} bytes"));
    format!("{name}: {}; {}{size}{pieces}", urls.join(" "), digests.join(" "))
}

#[test]
fn a_document_of_version_4_is_read() {
    let document = four(&format!(
        r#"<generator>x &amp; y</generator>
<file name="dir/a&#32;b.iso">
  <size>5</size>
  <hash type="sha-256"> {SHA256}
  </hash>
  <hash type="sha3-256">00</hash>
  <hash type="md5">0123456789ABCDEF0123456789abcdef</hash>
  <pieces length="4" type="sha-256"><hash>{SHA256}</hash></pieces>
  <url>http://last/</url>
  <url priority="2" location="de">http://second/?a=1&amp;b=&#x32;</url>
  <url priority="1">ftp://first/</url>
  <metaurl priority="1" mediatype="torrent">http://torrent/</metaurl>
  <url priority="2"><![CDATA[https://third/?a&b]]></url>
  <url priority="1"><!-- no -->  http://first/
  </url>
  <x:more xmlns:x="x"><url>http://no/</url></x:more>
  <url xmlns="x">http://no/</url>
  <x:url xmlns:x="x">http://no/</x:url>
</file>
<file name="c"><url>http://h/c</url></file>"#
    ));
    assert_eq!(
        read(&document),
        [
            "4 dir/a b.iso: http://first/ http://second/?a=1&b=2 https://third/?a&b http://last/; sha-256 md5; 5 bytes 1 x 4 sha-256",
            "22 c: http://h/c; ",
        ]
    );
}

#[test]
fn a_document_of_version_3_is_read() {
    let document = three(&format!(
        r#"<file name="a"><verification><hash type="sha256">{SHA256}</hash>
        <pieces type="sha1" length="4"><hash piece="0">{SHA1}</hash></pieces></verification>
        <resources maxconnections="2"><url>http://last/</url><url type="http" preference="10">http://second/</url>
        <url type="bittorrent" preference="100">http://torrent/</url><url type="HTTPS" preference="100">https://first/</url>
        </resources></file><file name="b"><url>http://not-here/</url><resources/></file>"#
    ));
    assert_eq!(
        read(&document),
        [
            "1 a: https://first/ http://second/ http://last/; sha-256 1 x 4 sha-1",
            "5 this file of the list cannot be downloaded: it has no URL (b)",
        ]
    );
}

#[test]
fn elements_of_extensions_are_ignored() {
    // MirrorManager writes the digests of older versions of the file too, in elements of their own.
    let md5 = "0123456789abcdef0123456789abcdef";
    let document = three(&format!(
        "<file name='repomd.xml'><mm0:timestamp>1</mm0:timestamp><verification><hash type='sha256'>{SHA256}</hash>\
         </verification><mm0:alternates xmlns:mm0='http://fedorahosted.org/mirrormanager'><mm0:alternate><verification>\
         <hash type='md5'>{md5}</hash></verification></mm0:alternate></mm0:alternates><resources maxconnections='1'>\
         <url protocol='rsync' type='rsync' preference='100'>rsync://h/</url>\
         <url protocol='https' type='https' location='DE' preference='99'>https://h/</url></resources></file>"
    ));
    assert_eq!(read(&document), ["1 repomd.xml: https://h/; sha-256"]);
}

#[test]
fn a_document_may_use_a_namespace_prefix() {
    let document = format!(
        "<m:metalink xmlns:m='{NAMESPACE_4}' xmlns='x'><file/><m:file name='a'><m:url>http://h/</m:url></m:file></m:metalink>"
    );
    assert_eq!(read(&document), ["1 a: http://h/; "]);
    assert_eq!(read(&format!("\u{feff}{document}")), ["1 a: http://h/; "]);
}

#[test]
fn after_an_invalid_file_the_next_file_is_read() {
    let url = "<url>http://h/</url>";
    for (file, says) in [
        (format!("<file name='../a'>{url}</file>"), "lead out of the output folder"),
        (format!("<file name='/a'>{url}</file>"), "it is an absolute path"),
        (format!("<file>{url}</file>"), "it is empty"),
        (format!("<file name='{}'>{url}</file>", "a/".repeat(3000) + "a"), "longer than 4096 bytes"),
        ("<file name='a'/>".into(), "it has no URL (a)"),
        ("<file name='a'><url>ftp://h/</url></file>".into(), "its URL is not a usable http or https URL (a)"),
        (
            "<file name='a'><url>ftp://h/</url><url>x</url></file>".into(),
            "none of its 2 URLs is a usable http or https URL",
        ),
    ] {
        let read = read(&four(&format!("{file}<file name='b'>{url}</file>")));
        assert!(read.len() == 2 && read[0].contains(says), "{says}: {read:?}");
        assert_eq!(read[1], "3 b: http://h/; ");
    }
}

#[test]
fn unusable_elements_of_a_file_become_notes_and_the_rest_is_used() {
    let url = "<url>http://h/</url>";
    let good = format!("<hash type='sha256'>{SHA256}</hash>");
    let malformed = "<hash type='md5'>0123456789abcdef0123456789abcde</hash>";
    for (inner, digests, says) in [
        (
            malformed.to_string(),
            0,
            &["no usable digest of this file", "its md5 in the Metalink file is malformed"][..],
        ),
        (format!("{malformed}{good}"), 1, &["its md5 in the Metalink file is malformed"]),
        ("<hash type='sha3-256'>00</hash>".into(), 0, &["no usable digest of this file"]),
        (format!("<hash type='sha3-256'>00</hash>{good}"), 1, &[]),
        (
            format!("{good}<pieces length='4' type='sha-256'><hash>{SHA256}</hash><hash>0</hash></pieces>"),
            1,
            &["one of its chunk hashes is malformed"],
        ),
        (format!("{good}<size>five</size>"), 1, &["its size in the Metalink file is not a number"]),
        (format!("{good}<url>http://m/#sha256=0</url>"), 1, &["that digest was ignored"]),
        (format!("{good}<url>http://m/#{}</url>", "ab".repeat(20)), 1, &["may be the hash of a commit"]),
        (good.repeat(65), 64, &["more than 64 hashes"]),
        (format!("{good}{}", url.repeat(MOST_URLS)), 1, &["more than 1000 URLs"]),
    ] {
        let document = four(&format!("<file name='a'>{inner}{url}</file>"));
        let (_, job) = Metalink::new(document.into()).next().expect("a file");
        let job = job.expect("a file with unusable elements can be downloaded");
        assert_eq!((job.expected.len(), job.notes.len()), (digests, says.len()), "{inner}: {:?}", job.notes);
        assert!(job.notes.iter().zip(says).all(|(note, says)| note.contains(says)), "{:?}", job.notes);
        assert!(job.urls.len() <= MOST_URLS && job.chunks.is_none());
    }
}

#[test]
fn reading_ends_at_the_first_error_of_the_document() {
    let fine = "<file name='a'><url>http://h/</url></file>";
    let deep = "<x>".repeat(DEEPEST);
    let bomb =
        format!("<!DOCTYPE m [<!ENTITY a \"{}\"><!ENTITY b \"&a;&a;&a;\">]>{}", "x".repeat(99), four("&b;"));
    for (document, says) in [
        (String::new(), "there is no <metalink> element"),
        ("http://h/a\n".into(), "there is no <metalink> element"),
        ("<html/>".into(), "neither Metalink 4 nor 3"),
        ("<metalink/>".into(), "neither Metalink 4 nor 3"),
        (format!("<x xmlns='{NAMESPACE_4}'/>"), "there is no <metalink> element"),
        (bomb, "document type"),
        ("<!DOCTYPE metalink SYSTEM 'file:///etc/passwd'>".to_string() + &four(fine), "document type"),
        (four("&who;"), "uses an entity"),
        (four("<file name='&who;'/>"), "not valid XML"),
        (four("&#xFFFFFFFF;"), "not valid XML"),
        (four("<file name='a'></metalink>"), "not valid XML"),
        (four("<file name='a'").replace("</metalink>", ""), "not valid XML"),
        (four(fine).replace("</metalink>", ""), "ends too early"),
        (four(fine) + &four(fine).split_off(39), "more than one root"),
        (four(&deep), "nested deeper than 32"),
        (four(fine).replace("UTF-8", "latin1"), "an encoding other than UTF-8"),
        (
            four(&format!("<file name='a'><url>http://h/{}</url></file>", "x".repeat(LONGEST_TEXT))),
            "longer than 64 KiB",
        ),
        (four(&"<file/>".repeat(50_001)), "more than 50000 files"),
        (" ".repeat(LONGEST + 1), "longer than 16 MiB"),
    ] {
        let (_, last) = Metalink::new(document.into()).last().expect("an error");
        let error = last.expect_err(says);
        assert!(error.to_string().contains(says), "{says}: {error}");
        assert_eq!(error.kind, ErrorKind::ListUnreadable);
    }
    let latin1 = Metalink::new(b"<metalink>\xe9".to_vec()).next().expect("an error").1;
    assert!(latin1.expect_err("refused").to_string().contains("not UTF-8"));
}

#[test]
fn a_metalink_document_is_recognised_by_its_root_element() {
    for document in [
        four("").as_str(),
        &three(""),
        "\u{feff} <!-- <a/> --><?x?><m:metalink>",
        "<metalink a='1'/>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]><metalink>",
    ] {
        assert!(begins(document.as_bytes()), "{document}");
    }
    for other in ["", "http://h/a", "{}", "<html><metalink/></html>", "<metalin", "# <metalink>", "<"] {
        assert!(!begins(other.as_bytes()), "{other}");
    }
    assert!(!begins(&[0xff, b'<', 0xff]));
}

fn check(document: Vec<u8>) -> Result<(), TestCaseError> {
    let _ = begins(&document);
    let lines = document.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
    for (line, job) in Metalink::new(document) {
        prop_assert!((1..=lines).contains(&line));
        let Ok(job) = job else { continue };
        prop_assert!(
            !job.urls.is_empty() && job.urls.iter().all(|url| ["http", "https"].contains(&url.scheme()))
        );
        prop_assert!(job.expected.iter().all(|one| one.digest.bytes.len() == one.digest.algorithm.size()));
        let Destination::Name(name) = job.destination else { panic!("a name") };
        prop_assert!(
            !name.as_str().starts_with('/') && name.as_str().split('/').all(|part| !part.starts_with('.'))
        );
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(bytes)?;
    }

    #[test]
    fn no_changed_document_causes_a_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[<>&;/\"'!a-z\\[\\]\n-]{0,4}"), 0..6),
        version in any::<bool>(),
    ) {
        let file = format!("<file name='a/b'><hash type='md5'>{}</hash><!-- c --><url priority='1'>http://h/&amp;</url><url/>\
            <verification><hash type='sha256'>{SHA256}</hash></verification><resources><url type='http' \
            preference='5'><![CDATA[http://h/]]></url></resources></file>", "0".repeat(32));
        let mut document = if version { four(&file) } else { three(&file) }.into_bytes();
        for (from, length, text) in changes {
            let from = from.index(document.len() + 1);
            let upto = (from + length.index(8)).min(document.len());
            document.splice(from..upto, text.bytes());
        }
        check(document)?;
    }
}
