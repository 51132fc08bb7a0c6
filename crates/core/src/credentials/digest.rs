//! Digest authentication (RFC 7616): reads a challenge, and computes the answer to it, which is the value of
//! the header `Authorization`.
//!
//! The caller passes in the hash functions, since this crate does not contain them. The caller also counts
//! how often a nonce was used.
//!
//! Invariant: the texts of a challenge are hashed and sent back as the bytes that the server sent. User names
//! and passwords are in UTF-8, as in curl and browsers, even if the challenge has no `charset`.

use super::{hidden, octets};
use crate::secret::Login;
use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters that are percent-encoded in `username*` (RFC 8187, section 3.2.1).
const ATTR_CHARS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A hash function. The variants are ordered by strength, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HashFunction {
    /// MD5.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512/256.
    Sha512_256,
}

/// Computes a hash and returns it in hexadecimal digits, in lower case.
pub type Hash<'h> = &'h dyn Fn(HashFunction, &[u8]) -> String;

/// The parameters of a Digest challenge. In `realm`, `nonce` and `opaque`, each character stands for one byte
/// that the server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestChallenge {
    /// The realm.
    pub realm: String,
    /// The nonce.
    pub nonce: String,
    /// The hash function.
    pub algorithm: HashFunction,
    /// True if the server says that the user name and password were right, and that only the nonce is too
    /// old.
    pub stale: bool,
    /// The URIs of the protection space. If there are none, the space is the whole origin.
    pub domain: Vec<String>,
    opaque: Option<String>,
    /// The name of the algorithm as the server wrote it.
    algorithm_name: Option<String>,
    is_session: bool,
    qop: Option<Qop>,
    hides_user: bool,
    is_utf8: bool,
}

/// The quality of protection (`qop`), which says which parts of the request the answer protects. Without a
/// quality of protection, the answer has the form of RFC 2069.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Qop {
    /// The answer protects the method and the target of the request.
    Auth,
    /// The answer protects the method, the target and the body of the request.
    AuthInt,
}

/// A request that gets an `Authorization` header.
#[derive(Debug, Clone, Copy)]
pub struct Authorized<'a> {
    /// The method.
    pub method: &'a str,
    /// The body of the request. Only the quality of protection `auth-int` needs it.
    pub body: &'a [u8],
    /// The path and the query, as the first line of the request has them.
    pub target: &'a str,
    /// The number of times that the nonce was used, including this request.
    pub count: u32,
    /// A random text that the client chose. It is the same for all requests with one nonce, as the algorithms
    /// with `-sess` require (RFC 7616, section 3.4.2).
    pub cnonce: &'a str,
}

impl DigestChallenge {
    /// Reads the parameters of a challenge. Returns `None` if `realm` or `nonce` is missing, or if the value
    /// of `algorithm` or `qop` is unknown.
    pub(super) fn of<'p>(parameter: &dyn Fn(&str) -> Option<&'p str>) -> Option<DigestChallenge> {
        let name = parameter("algorithm");
        let upper = name.unwrap_or("MD5").to_ascii_uppercase();
        let (function, is_session) = match upper.strip_suffix("-SESS") {
            Some(function) => (function, true),
            None => (upper.as_str(), false),
        };
        let algorithm = match function {
            "MD5" => HashFunction::Md5,
            "SHA-256" => HashFunction::Sha256,
            "SHA-512-256" => HashFunction::Sha512_256,
            _ => return None,
        };
        let is = |name: &str, value: &str| parameter(name).is_some_and(|one| one.eq_ignore_ascii_case(value));
        let offered = parameter("qop").map(|offered| {
            let has = |qop: &str| offered.split(',').any(|one| one.trim().eq_ignore_ascii_case(qop));
            if has("auth") { Some(Qop::Auth) } else { has("auth-int").then_some(Qop::AuthInt) }
        });
        let qop = match offered {
            None => None,
            Some(Some(qop)) => Some(qop),
            Some(None) => return None,
        };
        let domain = octets::bytes(parameter("domain").unwrap_or_default());
        let domain = String::from_utf8_lossy(&domain);
        Some(DigestChallenge {
            realm: parameter("realm")?.into(),
            nonce: parameter("nonce")?.into(),
            algorithm,
            stale: is("stale", "true"),
            domain: domain.split_whitespace().map(String::from).collect(),
            opaque: parameter("opaque").map(String::from),
            algorithm_name: name.map(String::from),
            is_session,
            qop,
            hides_user: is("userhash", "true"),
            is_utf8: is("charset", "UTF-8"),
        })
    }

    /// Returns the value of `Authorization` for a request. Returns `None` if the user name or a text of the
    /// challenge contains control characters other than tabs.
    pub fn answer(&self, login: &Login, request: Authorized, hash: Hash) -> Option<HeaderValue> {
        let Authorized { method, body, target, count, cnonce } = request;
        let of_body = hash(self.algorithm, body);
        let hash = |parts: &[&str]| hash(self.algorithm, &octets::bytes(&parts.join(":")));
        let user = octets::text(login.user.as_bytes());
        let mut a1 = hash(&[&user, &self.realm, &octets::text(login.password.expose().as_bytes())]);
        if self.is_session {
            a1 = hash(&[&a1, &self.nonce, cnonce]);
        }
        let a2 = match self.qop {
            Some(Qop::AuthInt) => hash(&[method, target, &of_body]),
            Some(Qop::Auth) | None => hash(&[method, target]),
        };
        let count = format!("{count:08x}");
        let qop = self.qop.map(|qop| match qop {
            Qop::Auth => "auth",
            Qop::AuthInt => "auth-int",
        });
        let response = match qop {
            Some(qop) => hash(&[&a1, &self.nonce, &count, cnonce, qop, &a2]),
            None => hash(&[&a1, &self.nonce, &a2]),
        };
        let mut value = format!("Digest {}", self.username(login, &hash));
        for (name, text) in [("realm", &self.realm), ("nonce", &self.nonce)] {
            value += &format!(", {name}={}", quoted(text));
        }
        value += &format!(", uri={}, response=\"{response}\"", quoted(target));
        if let Some(name) = &self.algorithm_name {
            value += &format!(", algorithm={name}");
        }
        if let Some(opaque) = &self.opaque {
            value += &format!(", opaque={}", quoted(opaque));
        }
        if let Some(qop) = qop {
            value += &format!(", qop={qop}, nc={count}, cnonce={}", quoted(cnonce));
        }
        if self.hides_user {
            value += ", userhash=true";
        }
        hidden(&octets::bytes(&value))
    }

    fn username(&self, login: &Login, hash: &dyn Fn(&[&str]) -> String) -> String {
        let user = octets::text(login.user.as_bytes());
        if self.hides_user {
            format!("username=\"{}\"", hash(&[&user, &self.realm]))
        } else if self.is_utf8 && !login.user.is_ascii() {
            format!("username*=UTF-8''{}", utf8_percent_encode(&login.user, ATTR_CHARS))
        } else {
            format!("username={}", quoted(&user))
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::super::challenge::{self, Challenge};
    use super::*;
    use crate::secret::Secret;

    fn digest(challenge: &[u8]) -> DigestChallenge {
        match challenge::read([challenge]).pop() {
            Some(Challenge::Digest(digest)) => digest,
            other => panic!("{other:?}"),
        }
    }

    /// A hash that shows what was hashed, so that the formulas can be read.
    fn shown(function: HashFunction, text: &[u8]) -> String {
        format!("{function:?}<{}>", String::from_utf8_lossy(text))
    }

    fn answer(challenge: &str, user: &str) -> String {
        let value = answer_to(challenge.as_bytes(), user, "pw", &shown);
        String::from_utf8(value.as_bytes().to_vec()).expect("UTF-8")
    }

    fn answer_to(challenge: &[u8], user: &str, password: &str, hash: Hash) -> HeaderValue {
        let login = Login { user: user.into(), password: Secret::new(password) };
        let request = Authorized { method: "GET", body: b"b", target: "/d/f?q", count: 26, cnonce: "c" };
        digest(challenge).answer(&login, request, hash).expect("a value")
    }

    #[test]
    fn texts_of_the_server_keep_their_bytes_and_the_login_is_utf8() {
        let hex = |_: HashFunction, text: &[u8]| text.iter().map(|byte| format!("{byte:02x}")).collect();
        let a1 = hex(HashFunction::Md5, b"\xc3\xa4:M\xfcnchen:\xc3\xb6");
        let value =
            answer_to(b"Digest realm=\"M\xfcnchen\", nonce=\xe9, opaque=\xff", "\u{e4}", "\u{f6}", &hex);
        let value = value.as_bytes();
        let has = |part: &[u8]| value.windows(part.len()).any(|window| window == part);
        for part in
            [&b"username=\"\xc3\xa4\""[..], b"realm=\"M\xfcnchen\"", b"nonce=\"\xe9\"", b"opaque=\"\xff\""]
        {
            assert!(has(part), "{}", value.escape_ascii());
        }
        assert!(has(format!("response=\"{}", hex(HashFunction::Md5, a1.as_bytes())).as_bytes()));
        // In UTF-8, the same realm has other bytes.
        let utf8 = answer_to("Digest realm=\"M\u{fc}nchen\", nonce=n".as_bytes(), "a", "b", &hex);
        let part = hex(HashFunction::Md5, hex(HashFunction::Md5, b"a:M\xc3\xbcnchen:b").as_bytes());
        assert!(utf8.to_str().is_err() && utf8.is_sensitive());
        assert!(String::from_utf8_lossy(utf8.as_bytes()).contains(&part));
    }

    #[test]
    fn each_form_of_the_answer_follows_its_formula() {
        assert_eq!(
            answer(r#"Digest realm="r", nonce="n", qop="auth-int, auth", opaque="o""#, "me"),
            "Digest username=\"me\", realm=\"r\", nonce=\"n\", uri=\"/d/f?q\", \
             response=\"Md5<Md5<me:r:pw>:n:0000001a:c:auth:Md5<GET:/d/f?q>>\", opaque=\"o\", qop=auth, nc=0000001a, \
             cnonce=\"c\""
        );
        assert_eq!(
            answer("Digest realm=r, nonce=n", "me"),
            "Digest username=\"me\", realm=\"r\", nonce=\"n\", uri=\"/d/f?q\", \
             response=\"Md5<Md5<me:r:pw>:n:Md5<GET:/d/f?q>>\""
        );
        let session = answer("Digest realm=r, nonce=n, qop=auth-int, algorithm=SHA-512-256-sess", "me");
        assert!(session.contains(
            "response=\"Sha512_256<Sha512_256<Sha512_256<me:r:pw>:n:c>:n:0000001a:c:auth-int:\
             Sha512_256<GET:/d/f?q:Sha512_256<b>>>\", algorithm=SHA-512-256-sess, qop=auth-int"
        ));
        let hidden = answer("Digest realm=r, nonce=n, qop=auth, userhash=true, algorithm=SHA-256", "me");
        assert!(
            hidden.starts_with("Digest username=\"Sha256<me:r>\"") && hidden.ends_with(", userhash=true")
        );
    }

    #[test]
    fn user_names_are_quoted_or_encoded() {
        let name = |challenge: &str, user: &str| {
            let answer = answer(challenge, user);
            answer.trim_start_matches("Digest ").split(", realm").next().expect("a name").to_string()
        };
        let plain = "Digest realm=r, nonce=n";
        assert_eq!(name(plain, r#"a"b\c"#), r#"username="a\"b\\c""#);
        assert_eq!(name(plain, "J\u{e4}s"), "username=\"J\u{e4}s\"");
        let utf8 = "Digest realm=r, nonce=n, charset=UTF-8";
        assert_eq!(name(utf8, "J\u{e4}s \u{f8}n"), "username*=UTF-8''J%C3%A4s%20%C3%B8n");
        assert_eq!(name(utf8, "Jas"), "username=\"Jas\"");
    }
}
