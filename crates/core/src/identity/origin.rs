//! Keyed hashes of URLs and requests, for journals and records. The hashes show if two URLs are equal, or
//! equal except for their signatures.
//!
//! Invariant: no secret of a URL or a request can be read from its hashes, as long as the key is secret.

use super::Variant;
use crate::show;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use url::Url;

/// Names, in lower case, of query parameters that always belong to the signature of a URL. A signature proves
/// that a request is allowed until a certain time. For the same file, each user of the server gets a URL with
/// another signature. AWS, Google, OAuth and content delivery networks use these names. The name `token` is
/// not in this list, because it often says which file is meant.
const SIGNING: &[&str] = &[
    "awsaccesskeyid",
    "googleaccessid",
    "access_token",
    "auth_token",
    "hdnea",
    "hdnts",
    "__token__",
    VISITOR,
];

/// The parameter that [`Origin::of_variant`] adds to a URL for the facts that show who sends the request.
/// Like a signature, these facts differ between the users of a server.
const VISITOR: &str = "downhaul-visitor";

/// The parameter that [`Origin::of_variant`] adds to a URL for the facts that choose the content.
const CONTENT: &str = "downhaul-content";

/// Parameters that belong to a signature if the query has a `signature` and at least one more of these
/// parameters (AWS version 2, CloudFront, Google).
const WITH_SIGNATURE: &[&str] =
    &["signature", "expires", "key-pair-id", "policy", "awsaccesskeyid", "googleaccessid"];

/// Parameters that belong to a signature if the query has both `sig` and `sv` (Azure). In a query without
/// these two parameters, each of the names may mean something else.
const WITH_SIG_AND_SV: &[&str] =
    &["sig", "se", "sp", "sv", "st", "sr", "spr", "skoid", "sktid", "skt", "ske", "sks", "skv"];

/// Parameters with one of these prefixes always belong to a signature, too.
const SIGNING_PREFIXES: [&str; 2] = ["x-amz-", "x-goog-"];

/// The secret key for the hashes of URLs. With a known key, a short secret in a URL could be guessed from its
/// hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; 32],
    /// The first bytes of the hash of an empty text. These bytes distinguish hashes with this key from hashes
    /// with another key.
    id: [u8; 2],
}

impl Key {
    /// Returns the key made of these 32 random bytes. The bytes must be the same in every run.
    pub fn new(bytes: [u8; 32]) -> Key {
        let [one, other, ..] = *blake3::keyed_hash(&bytes, b"").as_bytes();
        Key { bytes, id: [one, other] }
    }

    pub(super) fn hasher(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.bytes)
    }
}

/// The key for users who have no key of their own. Files can be recognised with this key too, but short
/// secrets could be guessed from the hashes.
impl Default for Key {
    fn default() -> Key {
        Key::new(*b"downhaul: files without a secret")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// Keyed hashes of the URL of a file, and of the variant of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hashes {
    /// The identifier of the key.
    key: [u8; 2],
    /// The hash of the URL without its password and fragment, and of the whole variant.
    url: [u8; 8],
    /// The hash of the same URL without its signature, and of the facts of the variant that choose the
    /// content.
    file: [u8; 8],
}

/// The relation between two URLs and their requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The URLs are equal, and so are the requests.
    Same,
    /// The URLs are equal except for their signatures, or the requests have different facts about who sends
    /// them, such as tokens or cookies.
    SignedDifferently,
    /// The URLs differ, or the requests may get different files.
    Different,
    /// The URLs were hashed with different keys and cannot be compared.
    Unknown,
}

impl Hashes {
    /// Compares the URLs and variants that two sets of hashes stand for.
    pub fn compare(self, other: Hashes) -> Relation {
        match self {
            _ if self.key != other.key => Relation::Unknown,
            _ if self.url == other.url => Relation::Same,
            _ if self.file == other.file => Relation::SignedDifferently,
            _ => Relation::Different,
        }
    }

    fn of(url: &Url, key: &Key) -> Hashes {
        let mut whole = Cow::Borrowed(url);
        if url.fragment().is_some() || url.password().is_some() {
            let whole = whole.to_mut();
            whole.set_fragment(None);
            // A different password does not change which file is meant. This call cannot fail for http and
            // https.
            let _ = whole.set_password(None);
        }
        let hash = |url: &Url| short(blake3::keyed_hash(&key.bytes, url.as_str().as_bytes()));
        let of_url = hash(&whole);
        let of_file = match whole.query() {
            Some(query) if without_signature(query).len() < query.split('&').count() => {
                hash(&unsigned(&whole))
            }
            _ => of_url,
        };
        Hashes { key: key.id, url: of_url, file: of_file }
    }
}

/// The URL and the request that a file came from, as hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The hashes of the URL, including its secrets except the password, and of the variant of the request.
    pub hashes: Hashes,
    /// A hash, without a key, of the URL without secrets.
    shown: [u8; 8],
    /// True if facts besides the URL choose the content ([`Variant`]). These facts are only in the keyed
    /// hashes.
    has_variant: bool,
}

impl Origin {
    /// Returns the origin of a file that a plain GET of the whole file gets from this URL.
    pub fn of(url: &Url, key: &Key) -> Origin {
        Origin::of_variant(url, &Variant::default(), key)
    }

    /// Returns the origin of a file that a request of this variant gets from this URL.
    pub fn of_variant(url: &Url, variant: &Variant, key: &Key) -> Origin {
        let mut all = Cow::Borrowed(url);
        for (name, hash) in [(CONTENT, &variant.content), (VISITOR, &variant.visitor)] {
            if let Some(hash) = hash {
                all.to_mut().query_pairs_mut().append_pair(name, hash);
            }
        }
        Origin {
            hashes: Hashes::of(&all, key),
            shown: short(blake3::hash(show::url(url).as_bytes())),
            has_variant: variant.content.is_some(),
        }
    }

    /// Returns true if bytes from the origin `from` may belong to a file from this origin. The URLs of both
    /// origins must be equal except for the signature, and the same facts must choose the content. If their
    /// hashes have different keys, the URLs without secrets must be equal, and no facts besides the URL may
    /// choose the content of either origin, because such facts cannot be compared.
    pub fn may_resume(self, from: Origin) -> bool {
        match self.hashes.compare(from.hashes) {
            Relation::Same | Relation::SignedDifferently => true,
            Relation::Different => false,
            Relation::Unknown => self.shown == from.shown && !self.has_variant && !from.has_variant,
        }
    }

    /// Returns a hash that is the same for all URLs that differ only in the parameters of their signature,
    /// and for all requests that differ only in who sends them. Returns `None` if this URL is not signed and
    /// the request does not show who sends it.
    pub fn signed_file(self) -> Option<[u8; 8]> {
        Some(self.hashes.file).filter(|file| *file != self.hashes.url)
    }

    /// Returns a short text for the name of a partial file. It is used if another file has the usual name.
    /// The text is the same in every run. If facts besides the URL choose the content, the text is the same
    /// only with the same key.
    pub fn tag(self) -> String {
        let [a, b, c, d, ..] = if self.has_variant { self.hashes.file } else { self.shown };
        format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
    }
}

/// Returns a keyed hash of a URL, without its signature and password, and of the facts of its request that
/// choose the content.
pub fn file_hash(url: &Url, variant: &Variant, key: &Key) -> [u8; 16] {
    let mut file = unsigned(url);
    // This call cannot fail for http and https.
    let _ = file.set_password(None);
    let mut hasher = key.hasher();
    hasher.update(file.as_str().as_bytes());
    // A URL has no blank, so the URL and the facts cannot be confused.
    hasher.update(b" ").update(variant.content.as_deref().unwrap_or_default().as_bytes());
    let mut hash = [0; 16];
    hasher.finalize_xof().fill(&mut hash);
    hash
}

/// Returns true if two URLs are equal except for their signatures and fragments. A validator applies to one
/// URL only (RFC 9110, section 8.8.3), and a redirect may lead to a different URL.
pub(crate) fn is_same_url(one: &Url, other: &Url) -> bool {
    unsigned(one) == unsigned(other)
}

/// Returns true if `shown` and `url` are equal except for their signatures. `shown` is the URL from which the
/// response came in an earlier run, without its secrets. If `shown` hides secrets, the hidden secrets may
/// differ from the secrets in `url`. In this case, the result is true only if `shown` is the URL of the
/// source itself: the caller has already compared the origin of the source with the origin of the partial
/// file. `origin` is the origin of the source.
pub(crate) fn is_same_place(shown: &str, url: &Url, origin: Option<Origin>) -> bool {
    let Ok(before) = Url::parse(shown) else { return false };
    let Ok(now) = Url::parse(&show::url(url)) else { return false };
    let hides = unsigned(&before).as_str().contains(show::HIDDEN);
    let is_given = || origin.is_some_and(|origin| origin.shown == short(blake3::hash(shown.as_bytes())));
    is_same_url(&before, &now) && (!hides || is_given())
}

/// Returns true if a URL has a signature, which may have expired. Such a URL has the parameters of a known
/// kind of signature. Or it has a parameter for its time of expiry, and a parameter for a signature or a
/// hash.
pub fn is_signed(url: &Url) -> bool {
    let Some(query) = url.query() else { return false };
    let has = |names: &[&str]| {
        let mut parts = query.split('&').map(|part| part.split('=').next().unwrap_or_default());
        parts.any(|part| is_in(names, &part.to_ascii_lowercase()))
    };
    without_signature(query).len() < query.split('&').count()
        || (has(&["expires", "expire", "expiry", "exp", "e", "se"])
            && has(&["signature", "sig", "sign", "token", "hmac", "md5", "hash", "st", "policy"]))
}

/// Returns a URL without its fragment and without the parameters that sign it.
fn unsigned(url: &Url) -> Url {
    let mut file = url.clone();
    file.set_fragment(None);
    if let Some(query) = url.query() {
        let kept = without_signature(query).join("&");
        file.set_query(Some(kept.as_str()).filter(|query| !query.is_empty()));
    }
    file
}

/// Returns the parameters of a query (`name=value`) that do not belong to a signature.
fn without_signature(query: &str) -> Vec<&str> {
    let name = |part: &str| part.split('=').next().unwrap_or_default().to_ascii_lowercase();
    let names: Vec<String> = query.split('&').map(name).collect();
    let has = |name: &str| names.iter().any(|one| one == name);
    let signed = has("signature") && names.iter().any(|one| one != "signature" && is_in(WITH_SIGNATURE, one));
    let signs = |name: &str| {
        is_in(SIGNING, name)
            || SIGNING_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || (signed && is_in(WITH_SIGNATURE, name))
            || (has("sig") && has("sv") && is_in(WITH_SIG_AND_SV, name))
    };
    query.split('&').zip(&names).filter(|(_, name)| !signs(name)).map(|(part, _)| part).collect()
}

fn is_in(names: &[&str], name: &str) -> bool {
    names.contains(&name)
}

fn short(hash: blake3::Hash) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    [a, b, c, d, e, f, g, h]
}
