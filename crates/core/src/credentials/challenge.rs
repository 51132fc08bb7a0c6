//! Reads the challenges of a response with the status 401 or 407 (RFC 9110, section 11.6.1), and chooses the
//! strongest challenge that can be answered with a login.
//!
//! Invariant: reading always ends, whatever a server sends. A text that is not a challenge is skipped. No
//! byte of a value is lost, even if the header is not UTF-8: each character of a value stands for one byte
//! (see `super::octets`).

use super::digest::DigestChallenge;
use super::octets;
use crate::head::is_token;
use crate::secret::Login;

/// The highest number of challenges that are read from one response. Servers send one challenge for each
/// scheme and algorithm.
const CHALLENGES_MOST: usize = 32;

/// The highest number of schemes that a message names.
const SCHEMES_SHOWN: usize = 4;

/// A challenge of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// Basic (RFC 7617), with its realm. Each character of the realm stands for one byte.
    Basic(String),
    /// Digest (RFC 7616).
    Digest(DigestChallenge),
    /// Bearer (RFC 6750).
    Bearer,
    /// Another scheme, or a form of Digest that is not supported. The value is the name of the scheme.
    Other(String),
}

/// The schemes that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Schemes {
    /// The strongest scheme that the server offers.
    #[default]
    Any,
    /// Basic only. A request to the origin of the URL that was given for the file has the login already,
    /// before the server sends a challenge.
    Basic,
    /// Digest only, so that the password itself is not sent.
    Digest,
}

/// Returns the challenges in the values of all `WWW-Authenticate` (or `Proxy-Authenticate`) headers of a
/// response. At most 32 challenges are returned.
pub fn read<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Vec<Challenge> {
    let mut found = Vec::new();
    for value in values {
        let text = octets::text(value);
        let mut reader = Reader { rest: &text };
        while found.len() < CHALLENGES_MOST
            && let Some((scheme, parameters)) = reader.challenge()
        {
            found.push(Challenge::of(scheme, &parameters));
        }
    }
    found
}

/// Returns the strongest challenge that can be answered with this login and with a scheme that `schemes`
/// allows.
pub fn strongest<'c>(challenges: &'c [Challenge], login: &Login, schemes: Schemes) -> Option<&'c Challenge> {
    let strength = |challenge: &Challenge| match challenge {
        Challenge::Digest(digest) if schemes != Schemes::Basic => Some(1 + digest.algorithm as u8),
        Challenge::Basic(_) if schemes != Schemes::Digest && !login.user.contains(':') => Some(0),
        _ => None,
    };
    // Among equally strong challenges, the first one is used, because the server prefers it.
    challenges.iter().rev().filter(|one| strength(one).is_some()).max_by_key(|one| strength(one))
}

/// Returns the names of the schemes in these challenges, for a message. Each name is returned once, and at
/// most four names are returned.
pub fn schemes(challenges: &[Challenge]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for name in challenges.iter().map(Challenge::scheme) {
        if names.len() < SCHEMES_SHOWN && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

impl Challenge {
    fn of(scheme: &str, parameters: &[Parameter]) -> Challenge {
        match scheme.to_ascii_lowercase().as_str() {
            "basic" => Challenge::Basic(value(parameters, "realm").unwrap_or_default().into()),
            "bearer" => Challenge::Bearer,
            "digest" => DigestChallenge::of(&|name| value(parameters, name))
                .map_or_else(|| Challenge::Other(scheme.into()), Challenge::Digest),
            _ => Challenge::Other(scheme.into()),
        }
    }

    fn scheme(&self) -> &str {
        match self {
            Challenge::Basic(_) => "Basic",
            Challenge::Digest(_) => "Digest",
            Challenge::Bearer => "Bearer",
            Challenge::Other(scheme) => scheme,
        }
    }
}

/// A parameter of a challenge: its name in lower case, and its value without quotes.
type Parameter = (String, String);

fn value<'p>(parameters: &'p [Parameter], name: &str) -> Option<&'p str> {
    parameters.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
}

/// Returns the parameters of a header without a scheme, such as `Authentication-Info`. Each character of a
/// value stands for one byte.
pub fn parameters(value: &[u8]) -> Vec<(String, String)> {
    let text = octets::text(value);
    Reader { rest: &text }.parameters()
}

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    /// Reads `scheme`, `scheme token68` or `scheme name=value, ...`. Returns `None` at the end of the header.
    fn challenge(&mut self) -> Option<(&'t str, Vec<Parameter>)> {
        loop {
            self.skip(|c| c == ',' || c.is_ascii_whitespace());
            let scheme = self.take(is_of_token);
            if !scheme.is_empty() {
                if self.rest.starts_with([' ', '\t']) && self.token68().is_some() {
                    return Some((scheme, Vec::new()));
                }
                return Some((scheme, self.parameters()));
            }
            // No scheme can begin with the next character. The text up to the next comma is skipped.
            self.rest = &self.rest[self.rest.find(',')?..];
        }
    }

    /// Skips the text that some schemes have instead of parameters, such as `YII=` in `Negotiate YII=`.
    /// Returns `None` if no such text follows.
    fn token68(&mut self) -> Option<()> {
        let text = self.rest.trim_start_matches([' ', '\t']);
        let after = text.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c));
        let after_equals = after.trim_start_matches('=').trim_start();
        let is_it = after.len() < text.len() && (after_equals.is_empty() || after_equals.starts_with(','));
        is_it.then(|| self.rest = after_equals)
    }

    /// Reads `name=value` and `name="value"`, up to the next scheme.
    fn parameters(&mut self) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        loop {
            let before = self.rest;
            self.skip(|c| c == ',' || c.is_ascii_whitespace());
            let name = self.take(is_of_token);
            self.skip(|c| c.is_ascii_whitespace());
            let Some(rest) = self.rest.strip_prefix('=').filter(|_| !name.is_empty()) else {
                // The rest of the text is empty, or begins with another scheme, or cannot be understood.
                self.rest = before;
                return parameters;
            };
            self.rest = rest;
            self.skip(|c| c.is_ascii_whitespace());
            parameters.push((name.to_ascii_lowercase(), self.value()));
        }
    }

    fn value(&mut self) -> String {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            return self.take(|c| c != ',' && !c.is_ascii_whitespace()).into();
        };
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &quoted[at + 1..];
                    return value;
                }
                '\\' => value.extend(chars.next().map(|(_, c)| c)),
                c => value.push(c),
            }
        }
        self.rest = "";
        value
    }

    fn skip(&mut self, what: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(what);
    }

    fn take(&mut self, what: impl Fn(char) -> bool) -> &'t str {
        let after = self.rest.trim_start_matches(what);
        let taken = &self.rest[..self.rest.len() - after.len()];
        self.rest = after;
        taken
    }
}

fn is_of_token(c: char) -> bool {
    u8::try_from(c).is_ok_and(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use proptest::prelude::*;

    fn described(values: &[&str]) -> Vec<String> {
        let found = read(values.iter().map(|value| value.as_bytes()));
        let shown = |one: &Challenge| match one {
            Challenge::Basic(realm) => format!("Basic {realm}"),
            Challenge::Digest(digest) => format!("Digest {} {:?}", digest.realm, digest.algorithm),
            other => other.scheme().to_string(),
        };
        found.iter().map(shown).collect()
    }

    #[test]
    fn challenges_are_found_in_one_header_and_in_many() {
        let digest = r#"Digest realm="d, e", nonce="n=1,2", qop="auth,auth-int""#;
        for (values, expected) in [
            (&[r#"Basic realm="a""#][..], &["Basic a"][..]),
            (&["basic REALM=a"], &["Basic a"]),
            (&["Basic"], &["Basic "]),
            (&[r#"Basic realm="a \"b\" \\c""#], &[r#"Basic a "b" \c"#]),
            (
                &[r#"Newauth realm="apps", type=1, title="Login to \"apps\"", Basic realm="simple""#],
                &["Newauth", "Basic simple"],
            ),
            (&["Negotiate, Basic realm=x"], &["Negotiate", "Basic x"]),
            (&["Negotiate YII==, Basic realm=x"], &["Negotiate", "Basic x"]),
            (&["NTLM", digest, "Basic realm=x"], &["NTLM", "Digest d, e Md5", "Basic x"]),
            (
                &[&format!("{digest}, {digest}, algorithm=SHA-256, Bearer")],
                &["Digest d, e Md5", "Digest d, e Sha256", "Bearer"],
            ),
            (
                &[" , ,Basic realm = \"a\" , ,charset=\"UTF-8\",Bearer error=\"invalid_token\""],
                &["Basic a", "Bearer"],
            ),
            (&["Basic realm=\"open"], &["Basic open"]),
            (&["=, \"x\", Basic realm=a"], &["Basic a"]),
            (&["Digest realm=\"no nonce\""], &["Digest"]),
            (&["Digest realm=r, nonce=n, algorithm=MD4"], &["Digest"]),
            (&[""], &[]),
        ] {
            assert_eq!(described(values), expected, "{values:?}");
        }
    }

    #[test]
    fn a_message_names_few_schemes_and_each_once() {
        let all = read([&b"A, Basic, B, Basic realm=x, A, C, D"[..]]);
        assert_eq!(super::schemes(&all), ["A", "Basic", "B", "C"]);
    }

    #[test]
    fn the_strongest_challenge_that_can_be_answered_is_chosen() {
        let best = |value: &str, user: &str, schemes| {
            let login = Login { user: user.into(), password: Secret::new("") };
            let all = read([value.as_bytes()]);
            strongest(&all, &login, schemes).map(|one| match one {
                Challenge::Digest(digest) => format!("{:?} {}", digest.algorithm, digest.nonce),
                other => other.scheme().into(),
            })
        };
        let md5 = "Digest realm=r, nonce=m, qop=auth";
        let sha = "Digest realm=r, nonce=s, qop=auth, algorithm=SHA-256";
        let best_of_any = |value: &str| best(value, "me", Schemes::Any);
        assert_eq!(best_of_any(&format!("Basic realm=r, {md5}, {sha}")), Some("Sha256 s".into()));
        assert_eq!(best_of_any(&format!("{sha}, {md5}")), Some("Sha256 s".into()));
        assert_eq!(best_of_any(&format!("{md5}, Digest realm=r, nonce=m2, qop=auth")), Some("Md5 m".into()));
        assert_eq!(best_of_any("NTLM, Basic realm=r, Bearer"), Some("Basic".into()));
        assert_eq!(best_of_any("NTLM, Bearer"), None);
        assert_eq!(best(&format!("{md5}, Basic realm=r"), "me", Schemes::Basic), Some("Basic".into()));
        assert_eq!(best(&format!("Basic realm=r, {md5}"), "me", Schemes::Digest), Some("Md5 m".into()));
        assert_eq!(best("Basic realm=r", "me", Schemes::Digest), None, "no password is sent");
        assert_eq!(best("Basic realm=r", "m:e", Schemes::Any), None, "Basic cannot carry this user name");
        assert_eq!(best(&format!("Basic realm=r, {md5}"), "m:e", Schemes::Any), Some("Md5 m".into()));
    }

    proptest! {
        #[test]
        fn any_header_is_read_to_its_end(text in any::<Vec<u8>>()) {
            read([text.as_slice()]);
            parameters(&text);
        }

        #[test]
        fn any_header_of_characters_with_a_meaning_is_read_to_its_end(text in "[Dd\", =\\\\a]{0,60}") {
            prop_assert!(read([text.as_bytes()]).len() <= CHALLENGES_MOST);
        }
    }
}
