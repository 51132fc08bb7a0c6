use super::*;
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

fn head(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a header");
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            value.parse().expect("a value"),
        );
    }
    headers
}

/// Returns the digests of the whole file that are used, as `HEADER algorithm`, and the number of notes.
fn used(status: u16, lines: &[&str]) -> (Vec<String>, usize) {
    let stated = read(status == 206, &head(lines), Some(19));
    let name = |one: &Expected| format!("{} {}", one.from, one.digest.algorithm.name());
    (stated.whole.iter().map(name).collect(), stated.notes.len())
}

/// The digests of the file in the examples of RFC 9530: `{"hello": "world"}` and a line feed.
const HELLO_256: &str = "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=";
const HELLO_512: &str =
    "YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==";

#[test]
fn the_examples_of_rfc_9530_are_read() {
    let two = format!("Repr-Digest: sha-256=:{HELLO_256}:, sha-512=:{HELLO_512}:");
    let stated = read(false, &head(&[&two]), Some(19));
    let hello = |one, text| Digest::from_base64(one, text).expect("a digest");
    let digests: Vec<Digest> = stated.whole.into_iter().map(|one| one.digest).collect();
    assert_eq!(digests, [hello(Algorithm::Sha256, HELLO_256), hello(Algorithm::Sha512, HELLO_512)]);

    // RFC 9530, appendix B: the last nine bytes of the file.
    let content = "Content-Digest: sha-256=:jjcgBDWNAtbYUXI37CVG3gRuGOAjaaDRGpIUFsdyepQ=:";
    let stated = read(true, &head(&[content, &format!("Repr-Digest: sha-256=:{HELLO_256}:")]), Some(9));
    assert_eq!((stated.whole.len(), stated.range.len(), stated.notes.len()), (1, 1, 0));
    assert_eq!(stated.whole[0].from, "Repr-Digest");
    let stated = read(false, &head(&[content]), Some(9));
    assert_eq!(
        (stated.whole.len(), stated.range.len()),
        (1, 0),
        "in a 200, Content-Digest belongs to the whole file"
    );
}

#[test]
fn only_the_malformed_members_of_a_structured_field_are_skipped() {
    let good = format!("sha-256=:{HELLO_256}:");
    for (value, uses, notes) in [
        (good.clone(), 1, 0),
        (format!("{good};p=1"), 1, 0),
        (format!("{good}, unixsum=:AAAA:"), 1, 1),
        (format!("{good}, crc32c=:AAAAAA==:"), 1, 1),
        (format!("md5=:{HELLO_256}:"), 0, 1),
        (format!("sha-256={HELLO_256}"), 0, 1),
        ("sha-256=:!:".into(), 0, 1),
        ("sha-256".into(), 0, 1),
        ("sha-256=(:AAAA:)".into(), 0, 1),
        ("".into(), 0, 0),
        // Only the malformed members are skipped.
        (format!("a=1, {good}"), 1, 1),
        (format!("{good}, sha-512=:!:"), 1, 1),
        (format!("sha-512=\"a\", {good}, B"), 1, 2),
        (format!("sha-512=\"a, {good}"), 1, 1),
        (format!("{good},"), 1, 0),
    ] {
        let (found, noted) = used(200, &[&format!("Repr-Digest: {value}")]);
        assert_eq!((found.len(), noted), (uses, notes), "{value}");
    }
}

#[test]
fn the_digest_header_of_rfc_3230_is_read() {
    let sha = "SHA=thvDyvhfIqlvFe+A9MYgxAfm1q5=".replace("5=", "0=");
    for (value, uses, notes) in [
        (format!("SHA-256={HELLO_256},unixsum=30637"), 1, 1),
        (format!("sha-256={HELLO_256} , {sha}"), 2, 0),
        (format!("id-sha-256={HELLO_256}"), 1, 0),
        ("SHA-256".into(), 0, 1),
        ("=".into(), 0, 1),
    ] {
        let (found, noted) = used(206, &[&format!("Digest: {value}")]);
        assert_eq!((found.len(), noted), (uses, notes), "{value}");
    }
    let coded = [&format!("Digest: id-sha-256={HELLO_256}"), "Content-Encoding: gzip"];
    assert_eq!(used(200, &coded), (vec![], 1), "the digest belongs to the file without the content coding");
    let twice = ["Digest: MD5=1B2M2Y8AsgTpgAmY7PhCfg==", "Digest: MD5=AAAAAAAAAAAAAAAAAAAAAA=="];
    assert_eq!(used(200, &twice), (vec![], 1));
}

#[test]
fn digests_of_the_stored_file_are_read_only_from_a_200() {
    for (line, says) in [
        ("Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==", "Content-MD5 md5"),
        ("X-Checksum-MD5: d41d8cd98f00b204e9800998ecf8427e", "X-Checksum-MD5 md5"),
        ("X-Checksum-SHA1: DA39A3EE5E6B4B0D3255BFEF95601890AFD80709", "X-Checksum-SHA1 sha-1"),
        ("x-amz-checksum-crc32: AAAAAA==", "x-amz-checksum-crc32 crc32"),
        ("x-amz-checksum-crc32c: AAAAAA==", "x-amz-checksum-crc32c crc32c"),
        ("x-amz-checksum-crc64nvme: AAAAAAAAAAA=", "x-amz-checksum-crc64nvme crc64nvme"),
        ("x-amz-checksum-sha1: 2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "x-amz-checksum-sha1 sha-1"),
        ("x-goog-hash: crc32c=AAAAAA==", "x-goog-hash crc32c"),
    ] {
        assert_eq!(used(200, &[line]), (vec![says.to_string()], 0), "{line}");
        assert_eq!(used(206, &[line]), (vec![], 0), "{line}");
        let (name, _) = line.split_once(": ").expect("a header");
        assert_eq!(used(200, &[&format!("{name}: crc32c")]).0, Vec::<String>::new());
        assert_eq!(used(200, &[&format!("{name}: crc32c")]).1, 1, "{name}");
    }
}

#[test]
fn digests_of_other_bytes_become_notes() {
    assert_eq!(used(200, &["x-amz-checksum-crc32: AAAAAA==-3"]), (vec![], 1));
    assert_eq!(used(200, &["x-amz-checksum-crc32: AAAAAA==", "x-amz-checksum-type: COMPOSITE"]), (vec![], 1));
    let hash = "x-goog-hash: crc32c=AAAAAA==,md5=1B2M2Y8AsgTpgAmY7PhCfg==";
    assert_eq!(used(200, &[hash]).0.len(), 2);
    let gzip = "x-goog-stored-content-encoding: gzip";
    assert_eq!(used(200, &[hash, gzip]), (vec![], 1));
    assert_eq!(used(200, &[hash, gzip, "Content-Encoding: gzip"]).0.len(), 2);
    assert_eq!(used(200, &[hash, "x-goog-stored-content-length: 18"]), (vec![], 1));
    assert_eq!(used(200, &[hash, "x-goog-stored-content-length: 19"]).0.len(), 2);
}

#[test]
fn the_digest_in_a_redirect_of_a_model_hub_is_read() {
    let tag = |tag: &str| format!("X-Linked-Etag: {tag}");
    let hex = "ab".repeat(32);
    let (good, size) = (tag(&format!("\"{hex}\"")), "X-Linked-Size: 5".to_string());
    let found = linked(&head(&[&good, &size])).expect("a digest");
    assert_eq!((found.digest.digest.to_string(), found.size), (hex.clone(), 5));
    assert_eq!(linked(&head(&[&good, &good, &size])), Some(found), "the same digest is stated twice");
    for lines in [
        vec![good.as_str()],
        vec![&size],
        vec![&good, "X-Linked-Size: -5"],
        vec![&tag(&hex), &size],
        vec![&tag(&format!("W/\"{hex}\"")), &size],
        vec![&tag("\"0123456789abcdef0123456789abcdef01234567\""), &size],
        vec![&good, &tag(&format!("\"{}\"", "cd".repeat(32))), &size],
    ] {
        assert_eq!(linked(&head(&lines)), None, "{lines:?}");
    }
}

proptest! {
    #[test]
    fn no_value_causes_a_panic_and_each_digest_has_the_length_of_its_algorithm(
        which in 0..6_usize,
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        tail in "[a-z0-9=:,; +/-]{0,80}",
    ) {
        const NAMES: [&str; 6] =
            ["repr-digest", "content-digest", "digest", "content-md5", "x-goog-hash", "x-amz-checksum-sha256"];
        let mut headers = HeaderMap::new();
        for value in [HeaderValue::from_bytes(&bytes), HeaderValue::from_str(&tail)].into_iter().flatten() {
            headers.append(NAMES[which], value);
        }
        for status in [200, 206] {
            let stated = read(status == 206, &headers, Some(5));
            for one in stated.whole.iter().chain(&stated.range) {
                prop_assert_eq!(one.digest.bytes.len(), one.digest.algorithm.size());
            }
            prop_assert!(stated.notes.iter().all(|note| note.len() < 300));
        }
    }
}
