//! Signatures in the form of OpenPGP (RFC 9580, and RFC 4880 before it): which of them count.
//!
//! Packets and arithmetic are the `pgp` crate's; what is good enough is decided here. Invariant: a signature counts if
//!
//! - it is of a binary or a text document (5.2.1; of a file, binary only, since the other kind leaves the line ends open), has
//!   version 4 or 6, a strong hash and a strong key, no condition that is not understood, and says when it was made: not in
//!   the future, and not so long ago that it has expired;
//! - it is by the primary key of a given certificate or by one of its subkeys, for signing by what the primary key says of
//!   it; a subkey also says itself that it belongs there (5.2.1.9, the back signature);
//! - that key and the primary key were there and had not expired when it was made, and were not revoked by the primary
//!   key, for whatever reason and whenever;
//! - everything that the certificate says for this is itself signed as strongly, has not expired, and is the newest that
//!   it says of the key. A revocation counts with any hash.
//!
//! Not looked at: whose the certificate is (no web of trust, nor names: the person gave the key); revocations by others
//! (5.2.3.23), and those that are not in the person's file; whether a signature was made when it says it was. A key that has
//! expired since is no reason to refuse what it signed before.
//!
//! Of several signatures, the first that is by a given key and fulfils this is the one that must be right.

use super::wrong;
use crate::clock;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::signature;
use pgp::composed::{Deserializable, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{self, KeyFlags, PublicKey, PublicSubkey, SignatureType, SignatureVersion, SubpacketData};
use pgp::ser::Serialize;
use pgp::types::{
    Duration, EcdsaPublicParams, EddsaLegacyPublicParams, KeyDetails, PublicParams, Tag, Timestamp,
};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{BufReader, Read};

/// How a text with its signature around it begins, and where the text ends (RFC 9580, 7).
const MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";

/// Signatures that are looked at in one file: a distribution's releases have some three.
const SIGNATURES_MOST: usize = 16;

/// The fewest bits of an RSA key (RFC 9580, 12.4, and NIST SP 800-57: 112 bits of security).
const RSA_LEAST: u16 = 2048;

/// How far in the future a signature may be, in seconds: a day, for clocks that run in the wrong zone.
const AHEAD: u32 = 86_400;

/// How much of a file is read at a time.
const READ: usize = 256 * 1024;

/// Whose signatures are believed: the certificates of the person's file, one for each primary key.
pub(crate) struct Certificates(Vec<SignedPublicKey>);

/// A signature that counts, if it is of the right bytes.
pub(crate) struct Signature {
    packet: packet::Signature,
    key: Signer,
    /// The fingerprint of the certificate.
    by: String,
}

/// The key that made it.
enum Signer {
    Primary(PublicKey),
    Subkey(PublicSubkey),
}

impl Certificates {
    /// Reads a file of certificates, in ASCII or binary. What of it cannot be read is nobody's key.
    ///
    /// # Errors
    /// There is none in it.
    pub(super) fn read(file: &[u8]) -> Result<Certificates, &'static str> {
        let mut all: BTreeMap<String, SignedPublicKey> = BTreeMap::new();
        for one in read::<SignedPublicKey>(file, "PUBLIC KEY BLOCK") {
            // A later copy may know of a revocation that an earlier one does not.
            match all.entry(name(&one.primary_key)) {
                Entry::Occupied(mut other) => merge(other.get_mut(), one),
                Entry::Vacant(place) => _ = place.insert(one),
            }
        }
        let all: Vec<SignedPublicKey> = all.into_values().collect();
        if all.is_empty() {
            Err("there is no OpenPGP key in it that can be read")
        } else {
            Ok(Certificates(all))
        }
    }

    /// Reads a signature file, in ASCII or binary.
    ///
    /// # Errors
    /// Why none of its signatures counts.
    pub(super) fn signature(&self, file: &[u8]) -> Result<Signature, String> {
        let now = Timestamp::try_from(clock::wall()).unwrap_or(Timestamp::from_secs(u32::MAX));
        let mut why = "it is not an OpenPGP signature".to_string();
        let signatures = read::<DetachedSignature>(file, "SIGNATURE").into_iter().take(SIGNATURES_MOST);
        for (n, DetachedSignature { signature }) in signatures.enumerate() {
            match self.weigh(signature, now) {
                Ok(signature) => return Ok(signature),
                // What is wrong with one by a given key says more than that others are by other keys.
                Err(refused) if n == 0 || refused.known => why = refused.why,
                Err(_) => {}
            }
        }
        Err(why)
    }

    /// Reads a text with its signature around it: what was signed, and the signature, which is yet to be checked. `None`
    /// where it is no such text.
    ///
    /// # Errors
    /// Why it does not count.
    pub(super) fn message(&self, text: &[u8]) -> Result<Option<(Vec<u8>, Signature)>, String> {
        if !text.starts_with(MESSAGE.as_bytes()) {
            return Ok(None);
        }
        let text = std::str::from_utf8(text).map_err(|_| "it is a signed message, but not text")?;
        let (said, rest) = unwrap(text).ok_or("it is not a whole signed message")?;
        let signature = &rest.as_bytes()[..rest.len().min(signature::LONGEST)];
        Ok(Some((said.into_bytes(), self.signature(signature)?)))
    }

    fn weigh(&self, packet: packet::Signature, now: Timestamp) -> Result<Signature, Refused> {
        let mut refused = Refused { known: false, why: "it is by another key than those given".into() };
        if let [one] = self.0.as_slice() {
            refused.why = format!("it is by another key than {}", name(&one.primary_key));
        }
        for certificate in &self.0 {
            match signer(certificate, &packet, now) {
                Some(Ok(key)) => return Ok(Signature { packet, key, by: name(&certificate.primary_key) }),
                Some(Err(why)) => refused = Refused { known: true, why },
                None => {}
            }
        }
        Err(refused)
    }
}

/// Why a signature does not count.
struct Refused {
    /// It is by a given key.
    known: bool,
    why: String,
}

impl Signature {
    /// Whose it is.
    pub(super) fn by(&self) -> &str {
        &self.by
    }

    /// # Errors
    /// `signature.wrong`.
    pub(super) fn check_text(&self, text: &[u8], at: &str) -> Result<(), Error> {
        self.check(text, at)
    }

    /// # Errors
    /// `signature.wrong`, or what kept the file from being read.
    pub(super) fn check_file(&self, file: Box<dyn Read>, at: &str) -> Result<(), Error> {
        if self.packet.typ() != Some(SignatureType::Binary) {
            return Err(wrong(at, "it is of a text whose line ends may differ, not of these very bytes"));
        }
        self.check(BufReader::with_capacity(READ, file), at)
    }

    fn check(&self, content: impl Read, at: &str) -> Result<(), Error> {
        let checked = match &self.key {
            Signer::Primary(key) => self.packet.verify(key, content),
            Signer::Subkey(key) => self.packet.verify(key, content),
        };
        checked.map_err(|error| match error {
            pgp::errors::Error::IO { source, .. } => {
                Error::new(ErrorKind::DiskFailed, at, source.to_string())
            }
            _ => wrong(at, "the content is not what was signed"),
        })
    }
}

/// What was signed of a text with its signature around it, and what follows it (RFC 9580, 7). Lines end as they did when they were signed; what is
/// not a line of the text is no part of it.
fn unwrap(text: &str) -> Option<(String, &str)> {
    let mut rest = text;
    if next_line(&mut rest)? != MESSAGE {
        return None;
    }
    // The only header there is (7.1). It may promise what it likes: the signature itself says its hash.
    loop {
        match next_line(&mut rest)? {
            "" => break,
            header => header.strip_prefix("Hash: ")?,
        };
    }
    let mut said = String::with_capacity(rest.len());
    while !rest.starts_with(SIGNATURE) {
        let line = next_line(&mut rest)?;
        // Only what is escaped begins with a dash (7.2).
        let line = if line.starts_with('-') { line.strip_prefix("- ")? } else { line };
        if line.contains('\r') {
            return None;
        }
        said += line.trim_end_matches([' ', '\t']);
        said += "\r\n";
    }
    // The last line end belongs to the line that follows (7.2).
    said.truncate(said.len().saturating_sub(2));
    Some((said, rest))
}

fn next_line<'t>(rest: &mut &'t str) -> Option<&'t str> {
    let (line, after) = rest.split_once('\n')?;
    *rest = after;
    Some(line.strip_suffix('\r').unwrap_or(line))
}

/// All that can be read of a kind: packets, or blocks of them in ASCII with anything between.
fn read<T: Deserializable>(file: &[u8], kind: &str) -> Vec<T> {
    let text = String::from_utf8_lossy(file);
    let (begin, end) = (format!("-----BEGIN PGP {kind}-----"), format!("-----END PGP {kind}-----"));
    if !text.contains(&begin) {
        return T::from_bytes_many(file).into_iter().flatten().flatten().collect();
    }
    let blocks =
        text.split(&end).filter_map(|some| some.rfind(&begin).map(|at| some[at..].to_string() + &end));
    let all = blocks.filter_map(|block| {
        let (all, _) = T::from_armor_many_buf(block.as_bytes()).ok()?;
        Some(all.flatten().collect::<Vec<T>>())
    });
    all.flatten().collect()
}

/// Adds what another copy of a certificate says.
fn merge(certificate: &mut SignedPublicKey, other: SignedPublicKey) {
    let details = &mut certificate.details;
    details.revocation_signatures.extend(other.details.revocation_signatures);
    details.direct_signatures.extend(other.details.direct_signatures);
    details.users.extend(other.details.users);
    for subkey in other.public_subkeys {
        let known = &mut certificate.public_subkeys;
        match known.iter_mut().find(|one| one.key.fingerprint() == subkey.key.fingerprint()) {
            Some(one) => one.signatures.extend(subkey.signatures),
            None => known.push(subkey),
        }
    }
}

/// The key of a certificate that made this signature, or why it does not count. `None` if none of its keys did.
fn signer(
    certificate: &SignedPublicKey,
    signature: &packet::Signature,
    now: Timestamp,
) -> Option<Result<Signer, String>> {
    let subkey = certificate.public_subkeys.iter().find(|subkey| names(signature, &subkey.key));
    if subkey.is_none() && !names(signature, &certificate.primary_key) {
        return None;
    }
    Some((|| {
        let made = sound(signature, now)?;
        if !matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text)) {
            return Err("it is not a signature of a file or a text".into());
        }
        let flags = primary(certificate, made, now)?;
        match subkey {
            Some(subkey) => self::subkey(certificate, subkey, made, now),
            // Who says nothing of what the key is for allows this (RFC 4880, 5.2.3.21).
            None if flags.is_none_or(|flags| flags.sign()) => {
                Ok(Signer::Primary(certificate.primary_key.clone()))
            }
            None => Err(format!("{} is not for signing", name(&certificate.primary_key))),
        }
    })())
}

/// Whether the signature says to be by this key. The fingerprint counts before the shorter number.
fn names(signature: &packet::Signature, key: &impl KeyDetails) -> bool {
    match signature.issuer_fingerprint().as_slice() {
        [] => signature.issuer_key_id().contains(&&key.legacy_key_id()),
        prints => prints.contains(&&key.fingerprint()),
    }
}

/// Checks the primary key, as of when something was made. What it is for, if it says so.
fn primary(
    certificate: &SignedPublicKey,
    made: Timestamp,
    now: Timestamp,
) -> Result<Option<KeyFlags>, String> {
    let (key, details) = (&certificate.primary_key, &certificate.details);
    strong(key)?;
    if details.revocation_signatures.iter().any(|revocation| revocation.verify_key(key).is_ok()) {
        return Err(format!("{} was revoked", name(key)));
    }
    let direct = details.direct_signatures.iter().map(|one| (one, None));
    let named = details.users.iter().flat_map(|user| user.signatures.iter().map(|one| (one, Some(&user.id))));
    let mut said: Vec<_> = direct.chain(named).filter(|(one, _)| sound(one, now).is_ok()).collect();
    said.sort_by_key(|(one, _)| Reverse(one.created()));
    let own = said.into_iter().find(|(one, user)| match (one.typ(), user) {
        (Some(SignatureType::Key), None) => one.verify_key(key).is_ok(),
        (Some(SignatureType::CertRevocation), _) => false,
        (_, Some(user)) => one.verify_certification(key, Tag::UserId, user).is_ok(),
        _ => false,
    });
    let (own, _) =
        own.ok_or_else(|| format!("{} says nothing of itself with a strong signature", name(key)))?;
    alive(key, own, made)?;
    Ok(flags(own))
}

/// Checks a subkey, as of when something was made with it.
fn subkey(
    certificate: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    made: Timestamp,
    now: Timestamp,
) -> Result<Signer, String> {
    let (primary, SignedPublicSubKey { key, signatures }) = (&certificate.primary_key, subkey);
    strong(key)?;
    let by_primary = |typ| {
        signatures
            .iter()
            .filter(move |one| one.typ() == Some(typ) && one.verify_subkey_binding(primary, key).is_ok())
    };
    if by_primary(SignatureType::SubkeyRevocation).next().is_some() {
        return Err(format!("the subkey {} was revoked", name(key)));
    }
    let bindings = by_primary(SignatureType::SubkeyBinding).filter(|one| sound(one, now).is_ok());
    let newest = bindings.max_by_key(|one| one.created());
    let binding = newest.ok_or_else(|| format!("the subkey {} is not bound to its key", name(key)))?;
    if !flags(binding).is_some_and(|flags| flags.sign()) {
        return Err(format!("the subkey {} is not for signing", name(key)));
    }
    let back = binding
        .embedded_signature()
        .filter(|back| sound(back, now).is_ok() && back.verify_primary_key_binding(key, primary).is_ok());
    if back.is_none() {
        return Err(format!("the subkey {} does not say that it belongs to its key", name(key)));
    }
    alive(key, binding, made)?;
    Ok(Signer::Subkey(key.clone()))
}

/// Checks what any signature must fulfil, but for being right. When it was made.
fn sound(signature: &packet::Signature, now: Timestamp) -> Result<Timestamp, String> {
    let config = signature.config().ok_or("its version is not known")?;
    if !matches!(config.version(), SignatureVersion::V4 | SignatureVersion::V6) {
        return Err("its form is of before 1998, which does not say enough".into());
    }
    // What RFC 9580 (9.5) does not advise against. SHA-224 is shorter than all else here.
    let hash = config.hash_alg;
    if !matches!(
        hash,
        HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512
    ) {
        return Err(format!("its hash, {hash}, is too weak"));
    }
    // A notation that must be understood (5.2.3.7 and 5.2.3.24): none is. Other unknown conditions fail in `verify`.
    let condition =
        |part: &packet::Subpacket| part.is_critical && matches!(part.data, SubpacketData::Notation(_));
    if config.hashed_subpackets().any(condition) {
        return Err("it has a condition that is not understood".into());
    }
    let made = signature.created().ok_or("it does not say when it was made")?;
    if made.as_secs() > now.as_secs().saturating_add(AHEAD) {
        return Err("it says to be of the future".into());
    }
    match end(made, signature.signature_expiration_time()) {
        Some(end) if end <= u64::from(now.as_secs()) => Err("it has expired".into()),
        _ => Ok(made),
    }
}

/// Checks that a key is of a kind that is known, signs, is not deprecated (RFC 9580, 9.1: DSA is), and is long enough.
fn strong(key: &impl KeyDetails) -> Result<(), String> {
    let strong = match key.public_params() {
        PublicParams::RSA(params) => {
            // It begins with its modulus, and that with its length in bits (RFC 9580, 3.2 and 5.5.5.1).
            let bytes = params.to_bytes().unwrap_or_default();
            bytes.first_chunk().is_some_and(|&bits| u16::from_be_bytes(bits) >= RSA_LEAST)
        }
        PublicParams::ECDSA(params) => !matches!(params, EcdsaPublicParams::Unsupported { .. }),
        PublicParams::EdDSALegacy(params) => !matches!(params, EddsaLegacyPublicParams::Unsupported { .. }),
        PublicParams::Ed25519(_) | PublicParams::Ed448(_) => true,
        _ => false,
    };
    match strong {
        true => Ok(()),
        false => Err(format!("{} is of a kind that is not known here, or too weak", name(key))),
    }
}

/// Checks that a key was there and had not expired, by the newest that is said of it.
fn alive(key: &impl KeyDetails, newest: &packet::Signature, made: Timestamp) -> Result<(), String> {
    if made < key.created_at() {
        return Err(format!("it says to be older than its key {}", name(key)));
    }
    match end(key.created_at(), newest.key_expiration_time()) {
        Some(end) if end <= u64::from(made.as_secs()) => {
            Err(format!("{} had expired when it was made", name(key)))
        }
        _ => Ok(()),
    }
}

/// When something expires; a time of 0 is never (RFC 9580, 5.2.3.13 and 5.2.3.18).
fn end(begin: Timestamp, after: Option<Duration>) -> Option<u64> {
    let after = std::time::Duration::from(after?).as_secs();
    (after > 0).then(|| u64::from(begin.as_secs()) + after)
}

fn flags(signature: &packet::Signature) -> Option<KeyFlags> {
    signature.config()?.hashed_subpackets().find_map(|part| match &part.data {
        SubpacketData::KeyFlags(flags) => Some(flags.clone()),
        _ => None,
    })
}

/// A key, as OpenPGP programs show it.
fn name(key: &impl KeyDetails) -> String {
    key.fingerprint().to_string().to_uppercase()
}
