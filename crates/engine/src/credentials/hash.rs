//! Computes the hashes of Digest authentication.

use aws_lc_rs::digest::{self, SHA256, SHA512_256};
use downhaul_core::credentials::digest::HashFunction;
use md5::{Digest, Md5};
use std::fmt::Write;

/// Returns a hash in hexadecimal digits, in lower case.
pub(super) fn hash(function: HashFunction, text: &[u8]) -> String {
    match function {
        HashFunction::Md5 => hex(&Md5::digest(text)),
        HashFunction::Sha256 => hex(digest::digest(&SHA256, text).as_ref()),
        HashFunction::Sha512_256 => hex(digest::digest(&SHA512_256, text).as_ref()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use downhaul_core::credentials::challenge::{self, Challenge};
    use downhaul_core::credentials::digest::Authorized;
    use downhaul_core::secret::{Login, Secret};

    /// The examples of RFC 7616, section 3.9.
    #[test]
    fn answers_to_digest_challenges_equal_the_examples_of_rfc_7616() {
        let answer = |challenge: &str, user: &str, password: &str, target: &str, cnonce: &str| {
            let Some(Challenge::Digest(digest)) = challenge::read([challenge.as_bytes()]).pop() else {
                panic!("{challenge}")
            };
            let login = Login { user: user.into(), password: Secret::new(password) };
            let request = Authorized { method: "GET", body: b"", target, count: 1, cnonce };
            let value = digest.answer(&login, request, &hash).expect("a value");
            value.to_str().expect("ASCII").to_string()
        };
        let first = |algorithm: &str| {
            format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        };
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let value = answer(&first(algorithm), "Mufasa", "Circle of Life", "/dir/index.html", cnonce);
            assert!(value.contains(&format!("response=\"{response}\"")), "{value}");
        }
        let hidden = "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
                      nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", \
                      opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", charset=UTF-8, userhash=true";
        let value = answer(
            hidden,
            "J\u{e4}s\u{f8}n Doe",
            "Secret, or not?",
            "/doe.json",
            "NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm",
        );
        // The `response` and `username` of the RFC's example are not compared, because they are hashes of
        // SHA-512 that were cut to 256 bits (erratum 4897). This code uses SHA-512/256.
        assert!(value.contains("userhash=true") && value.contains("algorithm=SHA-512-256"), "{value}");
        assert_eq!(
            hash(HashFunction::Sha512_256, b""),
            "c672b8d1ef56ed28ab87c3622c5114069bdd3ad7b8f9737498d0c01ecef0967a"
        );
    }
}
