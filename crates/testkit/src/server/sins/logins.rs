//! Serves files that need a login. The server requires the login with challenges.

use crate::server::exchange::Exchange;
use aws_lc_rs::digest::{self, SHA256, SHA512_256};
use base64::prelude::{BASE64_STANDARD, Engine};
use md5::{Digest, Md5};
use std::collections::{HashMap, HashSet};
use std::io;

/// The nonces that a server has sent in its challenges.
#[derive(Default)]
pub(in crate::server) struct Nonces {
    /// The number of nonces that were sent.
    given: usize,
    /// For each nonce, the counts (`nc`) with which it was used.
    used: HashMap<String, HashSet<String>>,
}

/// The login that a client must send to get a file.
struct Wanted {
    /// The schemes, in the order in which they are offered: `basic`, `bearer`, `ntlm`, or an algorithm of
    /// Digest.
    schemes: Vec<String>,
    user: String,
    password: String,
    realm: String,
    qop: String,
    /// The number of times that a nonce may be used.
    uses: usize,
    /// True if clients must send a hash of the user name instead of the name.
    hides_user: bool,
    /// True if the realm is sent in ISO-8859-1, and not in UTF-8.
    in_latin1: bool,
}

impl Wanted {
    fn of(x: &Exchange) -> Wanted {
        let query = |key: &str, default: &str| x.request.query(key).unwrap_or_else(|| default.into());
        Wanted {
            schemes: query("as", "basic").split(',').map(String::from).collect(),
            user: query("user", "me"),
            password: query("password", "hush"),
            realm: query("realm", "here, and \"there\""),
            qop: query("qop", "auth"),
            uses: x.number("uses").and_then(|uses| usize::try_from(uses).ok()).unwrap_or(usize::MAX),
            hides_user: x.request.query("userhash").is_some(),
            in_latin1: x.request.query("latin1").is_some(),
        }
    }
}

/// Serves a file to clients that log in. `?as=basic,MD5,SHA-256-sess` are the schemes, in the order in
/// which they are offered. With `&one=1`, one header has all schemes.
/// `&user=me&password=hush&realm=R&qop=auth` are the required values. A nonce may be used `&uses=N` times.
/// With `&userhash=1`, clients must send a hash of the user name. With `&latin1=1`, the realm is sent in
/// ISO-8859-1, and a challenge of Digest has no `charset`. `&next=1` announces the next nonce, and
/// `&domain=/a` names the protection space.
pub(super) fn login(x: &mut Exchange) -> io::Result<bool> {
    let wanted = Wanted::of(x);
    let given = x.request.header("authorization").map(String::from);
    let state = match &given {
        None => State::Absent,
        Some(value) => judge(x, &wanted, value),
    };
    if state == State::Right {
        if x.request.query("next").is_some() {
            let next = format!("nextnonce=\"{}\"", new_nonce(x));
            return x.file(&[("Authentication-Info", &next)]);
        }
        return x.file(&[]);
    }
    let all: Vec<String> =
        wanted.schemes.iter().map(|scheme| challenge(x, &wanted, scheme, state == State::Stale)).collect();
    let mut headers: Vec<(&str, &str)> = all.iter().map(|one| ("WWW-Authenticate", one.as_str())).collect();
    let joined = all.join(", ");
    if x.request.query("one").is_some() {
        headers = vec![("WWW-Authenticate", &joined)];
    }
    if !wanted.in_latin1 {
        return x.respond("401 Unauthorized", &headers, b"who are you?\n");
    }
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    x.wire.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n")?;
    x.wire.write_all(&latin1(&lines))?;
    x.wire.write_all(b"\r\n")?;
    x.wire.flush()?;
    Ok(true)
}

/// Returns a text in ISO-8859-1.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).expect("a character of ISO-8859-1")).collect()
}

/// The state of the login in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Absent,
    Wrong,
    /// The login uses a nonce that is not known or was used too often.
    Stale,
    Right,
}

fn challenge(x: &Exchange, wanted: &Wanted, scheme: &str, is_stale: bool) -> String {
    let realm = format!("realm=\"{}\"", wanted.realm.replace('"', "\\\""));
    match scheme {
        "basic" => format!("Basic {realm}, charset=\"UTF-8\""),
        "bearer" => format!("Bearer {realm}"),
        "ntlm" => "NTLM".into(),
        algorithm => {
            let mut text = format!("Digest {realm}, nonce=\"{}\", opaque=\"a,b\"", new_nonce(x));
            text += &format!(", algorithm={algorithm}");
            if !wanted.in_latin1 {
                text += ", charset=UTF-8";
            }
            if wanted.qop != "none" {
                text += &format!(", qop=\"{}\"", wanted.qop);
            }
            if wanted.hides_user {
                text += ", userhash=true";
            }
            if let Some(domain) = x.request.query("domain") {
                text += &format!(", domain=\"{domain}\"");
            }
            if is_stale { text + ", stale=TRUE" } else { text }
        }
    }
}

fn new_nonce(x: &Exchange) -> String {
    let mut counted = x.counted.lock().expect("no panic");
    counted.nonces.given += 1;
    let nonce = format!("nonce-{}", counted.nonces.given);
    counted.nonces.used.insert(nonce.clone(), HashSet::new());
    nonce
}

fn judge(x: &Exchange, wanted: &Wanted, value: &str) -> State {
    let Some((scheme, rest)) = value.split_once(' ') else { return State::Wrong };
    let pair = format!("{}:{}", wanted.user, wanted.password);
    let right = |is| if is { State::Right } else { State::Wrong };
    match scheme {
        "Basic" => right(has(wanted, "basic") && rest == BASE64_STANDARD.encode(pair)),
        "Bearer" => right(has(wanted, "bearer") && rest == wanted.password),
        "Digest" => judge_digest(x, wanted, &parameters(rest)),
        _ => State::Wrong,
    }
}

fn has(wanted: &Wanted, scheme: &str) -> bool {
    wanted.schemes.iter().any(|one| one == scheme)
}

fn judge_digest(x: &Exchange, wanted: &Wanted, given: &HashMap<String, String>) -> State {
    let get = |name: &str| given.get(name).map(String::as_str).unwrap_or_default();
    let algorithm = get("algorithm");
    let hash = |parts: &[&str]| hashed(algorithm, parts.join(":").as_bytes());
    let realm = if wanted.in_latin1 { latin1(&wanted.realm) } else { wanted.realm.as_bytes().to_vec() };
    let user = match wanted.hides_user {
        true => hash(&[&wanted.user, &wanted.realm]) == get("username") && get("userhash") == "true",
        false => is_user(given, &wanted.user),
    };
    let is_same = has(wanted, algorithm)
        && get("realm") == wanted.realm
        && get("uri") == x.request.target
        && get("opaque") == "a,b";
    if !user || !is_same {
        return State::Wrong;
    }
    let mut counted = x.counted.lock().expect("no panic");
    let Some(used) = counted.nonces.used.get_mut(get("nonce")) else { return State::Stale };
    if used.len() >= wanted.uses {
        return State::Stale;
    }
    if wanted.qop != "none" && !used.insert(get("nc").to_string()) {
        return State::Wrong;
    }
    let parts = [wanted.user.as_bytes(), &realm, wanted.password.as_bytes()];
    let mut a1 = hashed(algorithm, &parts.join(&b':'));
    if algorithm.ends_with("-sess") {
        a1 = hash(&[&a1, get("nonce"), get("cnonce")]);
    }
    let a2 = match get("qop") {
        "auth-int" => hash(&[&x.request.method, get("uri"), &hash(&[""])]),
        _ => hash(&[&x.request.method, get("uri")]),
    };
    let response = match wanted.qop.as_str() {
        "none" => hash(&[&a1, get("nonce"), &a2]),
        offered if offered.split(',').any(|one| one.trim() == get("qop")) && !get("cnonce").is_empty() => {
            hash(&[&a1, get("nonce"), get("nc"), get("cnonce"), get("qop"), &a2])
        }
        _ => return State::Wrong,
    };
    if response == get("response") { State::Right } else { State::Wrong }
}

fn is_user(given: &HashMap<String, String>, user: &str) -> bool {
    match given.get("username*").and_then(|value| value.strip_prefix("UTF-8''")) {
        Some(encoded) => url::form_urlencoded::parse(format!("u={}", encoded.replace('+', "%2B")).as_bytes())
            .any(|(_, value)| value == user),
        None => given.get("username").is_some_and(|name| name == user),
    }
}

/// Reads `name=value, name="value"`.
fn parameters(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let mut value = String::new();
        let mut chars = after.char_indices();
        let quoted = after.starts_with('"');
        if quoted {
            chars.next();
        }
        let mut end = after.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' if quoted => value.extend(chars.next().map(|(_, c)| c)),
                '"' if quoted => {
                    end = at + 1;
                    break;
                }
                ',' if !quoted => {
                    end = at;
                    break;
                }
                c => value.push(c),
            }
        }
        found.insert(name.trim_matches([',', ' ']).to_string(), value);
        rest = &after[end..];
    }
    found
}

fn hashed(algorithm: &str, text: &[u8]) -> String {
    let bytes = match algorithm.trim_end_matches("-sess") {
        "SHA-256" => digest::digest(&SHA256, text).as_ref().to_vec(),
        "SHA-512-256" => digest::digest(&SHA512_256, text).as_ref().to_vec(),
        _ => Md5::digest(text).to_vec(),
    };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
