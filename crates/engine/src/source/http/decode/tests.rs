use super::*;
use downhaul_core::digest::{Algorithm, Digest};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use std::io::Write as _;

/// `hello` in brotli: an uncompressed meta-block (RFC 7932, section 9.2) with a window of 16 bits, and an
/// empty last meta-block.
const BROTLI: &[u8] = &[0x40, 0x00, 0x10, b'h', b'e', b'l', b'l', b'o', 0x03];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("writes");
    encoder.finish().expect("ends")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("writes");
    encoder.finish().expect("ends")
}

fn zlib_best(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("writes");
    encoder.finish().expect("ends")
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("writes");
    encoder.finish().expect("ends")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("encodes")
}

/// The way in which a coded body ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    AsStated,
    /// The server closed the connection, and had not stated the end.
    ByClose,
    Broken,
}

/// Decodes `bytes`, which arrive in buffers of `piece` bytes.
async fn decoded_in(
    codings: &str,
    bytes: &[u8],
    piece: usize,
    end: End,
    expected: Vec<Expected>,
) -> Result<Vec<u8>, ErrorKind> {
    let pieces = bytes.chunks(piece).map(|some| Ok(Bytes::copy_from_slice(some)));
    let broken = (end == End::Broken).then(|| Err(Error::new(ErrorKind::NetReset, "", "")));
    let body: Vec<_> = pieces.chain(broken).collect();
    let codings = read(codings).expect("known codings");
    let coded = Coded { codings, expected, states_its_end: end == End::AsStated, at: String::new() };
    let mut decoded = decoded(Box::pin(stream::iter(body)), coded);
    let mut all = Vec::new();
    while let Some(some) = decoded.next().await {
        all.extend_from_slice(&some.map_err(|e| e.kind)?);
    }
    Ok(all)
}

async fn decode_all(codings: &str, bytes: &[u8]) -> Result<Vec<u8>, ErrorKind> {
    let result = decoded_in(codings, bytes, 1000, End::AsStated, Vec::new()).await;
    if bytes.len() < 2000 {
        assert_eq!(decoded_in(codings, bytes, 1, End::AsStated, Vec::new()).await, result, "byte by byte");
    }
    result
}

#[tokio::test]
async fn every_coding_is_decoded() {
    let long: Vec<u8> = (0..300_000_u32).flat_map(|n| (n % 1009).to_le_bytes()).collect();
    let two = [gzip(b"hel"), gzip(b"lo")].concat();
    for (codings, bytes, is) in [
        ("gzip", gzip(b"hello"), &b"hello"[..]),
        ("X-GZIP", gzip(b"hello"), b"hello"),
        ("gzip", two, b"hello"),
        ("gzip", gzip(&long), &long),
        ("deflate", zlib(b"hello"), b"hello"),
        ("deflate", deflate(b"hello"), b"hello"),
        ("deflate", zlib(&long), &long),
        ("deflate", deflate(b""), b""),
        ("br", BROTLI.to_vec(), b"hello"),
        ("zstd", zstd(b"hello"), b"hello"),
        ("zstd", [zstd(b"hel"), zstd(b"lo")].concat(), b"hello"),
        ("zstd", zstd(&long), &long),
        ("deflate, identity, gzip", gzip(&zlib(b"hello")), b"hello"),
        ("br, zstd", zstd(BROTLI), b"hello"),
        ("gzip", Vec::new(), b""),
    ] {
        assert_eq!(decode_all(codings, &bytes).await.as_deref(), Ok(is), "{codings}");
    }
}

#[tokio::test]
async fn truncated_and_damaged_coded_bodies_are_errors() {
    let bytes: Vec<u8> = (0..100_000_u32).flat_map(|n| (n % 1009).to_le_bytes()).collect();
    for (codings, coded) in
        [("gzip", gzip(&bytes)), ("deflate", zlib(&bytes)), ("zstd", zstd(&bytes)), ("br", BROTLI.to_vec())]
    {
        for kept in [1, coded.len() / 2, coded.len() - 1] {
            let cut = decode_all(codings, &coded[..kept]).await;
            assert_eq!(cut, Err(ErrorKind::ContentCoding), "{codings} {kept}");
            // If the server did not state the end, the connection may have been closed too early. So the
            // error may also be `http.truncated`, after which downhaul tries again.
            let cut = decoded_in(codings, &coded[..kept], 1000, End::ByClose, Vec::new()).await;
            assert!(
                matches!(cut, Err(ErrorKind::HttpTruncated | ErrorKind::ContentCoding)),
                "{codings} {kept}: {cut:?}"
            );
        }
        // A connection that breaks after the last byte of the coded body is an error too.
        let reset = decoded_in(codings, &coded, 1000, End::Broken, Vec::new()).await;
        assert_eq!(reset, Err(ErrorKind::NetReset), "{codings}");
        let mut broken = coded.clone();
        broken[0] ^= 0x05;
        assert!(decode_all(codings, &broken).await.is_err(), "{codings}");
    }
    let mut broken = gzip(&bytes);
    let middle = broken.len() - 6;
    broken[middle] ^= 1;
    assert_eq!(decode_all("gzip", &broken).await, Err(ErrorKind::ContentCoding), "its checksum is wrong");
}

#[tokio::test]
async fn other_bytes_after_the_coded_ones_are_an_error() {
    for (codings, coded) in [
        ("gzip", gzip(b"hello")),
        ("deflate", zlib(b"hello")),
        ("deflate", deflate(b"hello")),
        ("br", BROTLI.to_vec()),
        ("zstd", zstd(b"hello")),
        ("gzip, deflate", zlib(&gzip(b"hello"))),
    ] {
        let followed = [&coded[..], b"garbage"].concat();
        assert_eq!(decode_all(codings, &followed).await, Err(ErrorKind::ContentCoding), "{codings}");
        // The other bytes arrive later.
        let later = decoded_in(codings, &followed, coded.len(), End::AsStated, Vec::new()).await;
        assert_eq!(later, Err(ErrorKind::ContentCoding), "{codings}");
    }
}

/// The first bits of this body state a window of 30 bits, which is allowed only as a "large window" of
/// brotli. An empty last meta-block follows.
#[tokio::test]
async fn a_large_window_of_brotli_is_refused() {
    assert_eq!(decode_all("br", &[0x11, 0xde]).await, Err(ErrorKind::ContentCoding));
}

#[tokio::test]
async fn decoding_stops_at_a_thousand_times_the_coded_size() {
    let zeros = vec![0; 8 << 20];
    // zstd can store very long repetitions in a few bytes.
    let bomb = zstd(&zeros);
    assert!(bomb.len() < 8 << 10, "{}", bomb.len());
    assert_eq!(decode_all("zstd", &bomb).await, Err(ErrorKind::ContentCoding));
    assert_eq!(decode_all("gzip, zstd", &zstd(&gzip(&zeros))).await, Err(ErrorKind::ContentCoding));
    let halves: Vec<u8> = (0..4_000_000_u32).map(|n| (n / 5000) as u8).collect();
    assert_eq!(
        decode_all("gzip", &gzip(&halves)).await,
        Ok(halves),
        "a file that compresses well is decoded"
    );
}

#[tokio::test]
async fn a_window_beyond_the_standards_is_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("encodes");
    encoder.window_log(24).expect("a window");
    encoder.write_all(&[7; 100]).expect("writes");
    let large = encoder.finish().expect("ends");
    assert_eq!(decode_all("zstd", &large).await, Err(ErrorKind::ContentCoding));
}

#[tokio::test]
async fn digests_are_of_the_coded_bytes() {
    let coded = gzip(b"hello");
    let of = |bytes: &[u8]| {
        let mut hashers = Hashers::new(&[Algorithm::Sha256]);
        hashers.update(&[bytes]);
        hashers
            .finish()
            .into_iter()
            .map(|digest: Digest| Expected { digest, from: "Repr-Digest".into() })
            .collect()
    };
    let with = |digests: Vec<Expected>| decoded_in("gzip", &coded, 7, End::AsStated, digests);
    assert_eq!(with(of(&coded)).await, Ok(b"hello".to_vec()));
    assert_eq!(with(of(b"hello")).await, Err(ErrorKind::DigestMismatch));
}

#[test]
fn codings_that_are_not_known_are_not_decoded() {
    assert_eq!(read("gzip, br"), Some(vec![Coding::Gzip, Coding::Brotli]));
    for text in ["", "identity", "compress", "aws-chunked, gzip", "gzip,gzip,gzip,gzip,gzip"] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[tokio::test]
async fn a_file_of_zeros_that_was_packed_once_is_decoded() {
    let zeros = vec![0; 20_000_000];
    for (coding, packed) in [("gzip", gzip(&zeros)), ("deflate", zlib_best(&zeros))] {
        assert!(zeros.len() / packed.len() > 1_000, "{coding}: {}", packed.len());
        assert!(decode_all(coding, &packed).await == Ok(zeros.clone()), "{coding}");
    }
}
