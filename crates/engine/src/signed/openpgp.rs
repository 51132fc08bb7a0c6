//! Decides which OpenPGP signatures are accepted, by RFC 9580 and the older RFC 4880. Section numbers are
//! those of RFC 9580.
//!
//! This file is long because it is one policy, which is read as a whole.
//!
//! The `pgp` crate reads packets and does the arithmetic. Invariant: a signature is accepted only if all of
//! these are true:
//!
//! - It is a signature of a binary or a text document (5.2.1). For a file, only a binary one is accepted,
//!   because a text signature ignores line ends. It has version 4 or 6, a strong hash, a strong key, and no
//!   unknown critical condition. It states when it was made. That time is at most a day in the future, and
//!   the signature has not expired since.
//! - It was made by the primary key of a given certificate, or by a subkey that the primary key allows to
//!   sign. The subkey must also confirm that it belongs to the primary key (5.2.1.9, the back signature).
//! - That key and the primary key existed and had not expired when the signature was made. The primary key
//!   has not revoked either of them. The reason and the time of a revocation do not matter.
//! - All statements of the certificate that are used for this decision are signed with a strong hash, have
//!   not expired, and are the newest ones about the key. A revocation may have any hash.
//!
//! The following facts are not considered: the owner of the certificate (there is no web of trust, because
//! the user gave the key), revocations by others (5.2.3.23), revocations of user IDs, and revocations that
//! are not in the given file. The time that a signature states is not checked in other ways. If a key
//! expired after it made a signature, the signature is still accepted.
//!
//! If there are several signatures, the first one by a given key that meets these conditions must be valid.

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

/// The first line of a text that contains its signature (RFC 9580, section 7).
const MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";

/// The line after the signed content of such a text. The signature begins with this line.
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";

/// The highest number of signatures that are considered in one file. Releases of distributions have about
/// three.
const SIGNATURES_MOST: usize = 16;

/// The minimum length of an accepted RSA key, in bits (RFC 9580, section 12.4). A key with this many bits
/// gives 112 bits of security (NIST SP 800-57).
const RSA_LEAST: u16 = 2048;

/// A signature may state a time that is at most this many seconds in the future. One day is enough for clocks
/// that are set to the wrong time zone.
const AHEAD: u32 = 86_400;

/// The number of bytes of a file that are read at a time.
const READ: usize = 256 * 1024;

/// The certificates in the file that the user gave, one for each primary key. Signatures by their keys are
/// accepted.
pub(crate) struct Certificates(Vec<SignedPublicKey>);

/// A signature that meets the conditions above, but is not verified yet.
pub(crate) struct Signature {
    packet: packet::Signature,
    key: Signer,
    /// The fingerprint of the certificate.
    by: String,
}

/// The key that made a signature.
enum Signer {
    Primary(PublicKey),
    Subkey(PublicSubkey),
}

impl Certificates {
    /// Reads a file of certificates, in ASCII or binary. Parts that cannot be read are ignored.
    ///
    /// # Errors
    /// Returns an error if the file has no certificate.
    pub(super) fn read(file: &[u8]) -> Result<Certificates, &'static str> {
        let mut all: BTreeMap<String, SignedPublicKey> = BTreeMap::new();
        for one in read::<SignedPublicKey>(file, "PUBLIC KEY BLOCK") {
            // The file may have several copies of a certificate. A later copy may have a revocation that an
            // earlier copy lacks.
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

    /// Reads a signature file, in ASCII or binary. Returns the first signature in it that may be accepted.
    /// The signature is not verified yet.
    ///
    /// # Errors
    /// Returns why the signatures in the file are refused.
    pub(super) fn signature(&self, file: &[u8]) -> Result<Signature, String> {
        let now = Timestamp::try_from(clock::wall()).unwrap_or(Timestamp::from_secs(u32::MAX));
        let mut why = "it is not an OpenPGP signature".to_string();
        let signatures = read::<DetachedSignature>(file, "SIGNATURE").into_iter().take(SIGNATURES_MOST);
        for (n, DetachedSignature { signature }) in signatures.enumerate() {
            match self.weigh(signature, now) {
                Ok(signature) => return Ok(signature),
                // A given key is a key that the user trusts. The reason why a signature by a given key was
                // refused is more useful than the reason for a signature by another key.
                Err(refused) if n == 0 || refused.known => why = refused.why,
                Err(_) => {}
            }
        }
        Err(why)
    }

    /// Reads a text that contains its signature. Returns the signed content and the signature, which is not
    /// verified yet, or `None` if the text does not begin with the first line of such a text.
    ///
    /// # Errors
    /// Returns why the text cannot be read, or why the signature is refused.
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
        let mut refused =
            Refused { known: false, why: "it was made with a key other than those given".into() };
        if let [one] = self.0.as_slice() {
            refused.why = format!("it was made with a key other than {}", name(&one.primary_key));
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

/// The reason why a signature is refused.
struct Refused {
    /// True if the signature is by a given key.
    known: bool,
    why: String,
}

impl Signature {
    /// Returns the fingerprint of the certificate whose key made the signature.
    pub(super) fn by(&self) -> &str {
        &self.by
    }

    /// Verifies that these bytes were signed.
    ///
    /// # Errors
    /// Returns `signature.wrong`.
    pub(super) fn check_text(&self, text: &[u8], at: &str) -> Result<(), Error> {
        self.check(text, at)
    }

    /// Verifies that this file was signed.
    ///
    /// # Errors
    /// Returns `signature.wrong`, or the error of reading the file.
    pub(super) fn check_file(&self, file: Box<dyn Read>, at: &str) -> Result<(), Error> {
        if self.packet.typ() != Some(SignatureType::Binary) {
            return Err(wrong(
                at,
                "it is a signature of a text, which ignores line ends, and not of these exact bytes",
            ));
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

/// Splits a text that contains its signature (RFC 9580, section 7). Returns the signed content, with the line
/// ends that it had when it was signed, and the rest, which begins with the signature.
fn unwrap(text: &str) -> Option<(String, &str)> {
    let mut rest = text;
    if next_line(&mut rest)? != MESSAGE {
        return None;
    }
    // `Hash` is the only allowed header (RFC 9580, section 7.1). Its value is ignored, since the signature
    // itself names its hash.
    loop {
        match next_line(&mut rest)? {
            "" => break,
            header => header.strip_prefix("Hash: ")?,
        };
    }
    let mut said = String::with_capacity(rest.len());
    while !rest.starts_with(SIGNATURE) {
        let line = next_line(&mut rest)?;
        // A line that begins with a dash is escaped with `- ` (RFC 9580, section 7.2).
        let line = if line.starts_with('-') { line.strip_prefix("- ")? } else { line };
        if line.contains('\r') {
            return None;
        }
        said += line.trim_end_matches([' ', '\t']);
        said += "\r\n";
    }
    // The line end before the signature is not part of the signed text (RFC 9580, section 7.2).
    said.truncate(said.len().saturating_sub(2));
    Some((said, rest))
}

fn next_line<'t>(rest: &mut &'t str) -> Option<&'t str> {
    let (line, after) = rest.split_once('\n')?;
    *rest = after;
    Some(line.strip_suffix('\r').unwrap_or(line))
}

/// Reads all objects of a kind. They are binary packets, or blocks in ASCII with other text between them.
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

/// Adds the statements of another copy of a certificate to the first copy.
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

/// Returns the certificate's key that this signature names, or the reason why the signature is refused.
/// Returns `None` if the signature names none of the certificate's keys.
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
            // If a certificate does not state the purpose of its primary key, this key may sign (RFC 4880,
            // section 5.2.3.21).
            None if flags.is_none_or(|flags| flags.sign()) => {
                Ok(Signer::Primary(certificate.primary_key.clone()))
            }
            None => Err(format!("{} is not for signing", name(&certificate.primary_key))),
        }
    })())
}

/// Returns true if a signature names this key. If the signature contains a fingerprint, the shorter key
/// identifier is ignored.
fn names(signature: &packet::Signature, key: &impl KeyDetails) -> bool {
    match signature.issuer_fingerprint().as_slice() {
        [] => signature.issuer_key_id().contains(&&key.legacy_key_id()),
        prints => prints.contains(&&key.fingerprint()),
    }
}

/// Checks that the primary key was valid at the time `made`, when a signature was made. Returns the purpose
/// of the key, if the certificate states it.
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
    let (own, _) = own.ok_or_else(|| format!("{} has no strong signature of its own", name(key)))?;
    alive(key, own, made)?;
    Ok(flags(own))
}

/// Checks that a subkey was valid at the time `made`, when it made a signature. Returns the subkey.
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
        return Err(format!("the subkey {} does not confirm that it belongs to its key", name(key)));
    }
    alive(key, binding, made)?;
    Ok(Signer::Subkey(key.clone()))
}

/// Checks the conditions of a signature that do not depend on its type or its key, and does not verify the
/// signature itself. Returns when it was made.
fn sound(signature: &packet::Signature, now: Timestamp) -> Result<Timestamp, String> {
    let config = signature.config().ok_or("its version is not known")?;
    if !matches!(config.version(), SignatureVersion::V4 | SignatureVersion::V6) {
        return Err("its version is neither 4 nor 6, and no other version is accepted".into());
    }
    // RFC 9580 (9.5) advises against all hashes that are not in this list, except SHA-224. SHA-224 is not
    // accepted either, because it is shorter than the hashes in the list.
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
    // A program must refuse critical notations that it does not support (5.2.3.7 and 5.2.3.24), and this
    // program supports none. `verify` refuses other unknown conditions.
    let condition =
        |part: &packet::Subpacket| part.is_critical && matches!(part.data, SubpacketData::Notation(_));
    if config.hashed_subpackets().any(condition) {
        return Err("it has a condition that is not understood".into());
    }
    let made = signature.created().ok_or("it does not say when it was made")?;
    if made.as_secs() > now.as_secs().saturating_add(AHEAD) {
        return Err("it states a time in the future".into());
    }
    match end(made, signature.signature_expiration_time()) {
        Some(end) if end <= u64::from(now.as_secs()) => Err("it has expired".into()),
        _ => Ok(made),
    }
}

/// Checks that a key can sign, that its kind is known, and that it is long enough. DSA is not accepted,
/// because it is deprecated (RFC 9580, section 9.1).
fn strong(key: &impl KeyDetails) -> Result<(), String> {
    let strong = match key.public_params() {
        PublicParams::RSA(params) => {
            // The parameters begin with the modulus, and the modulus with its length in bits (RFC 9580,
            // sections 3.2 and 5.5.5.1).
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
        false => Err(format!("{} is of an unknown kind, or too weak", name(key))),
    }
}

/// Checks that a key existed and had not expired at the time `made`, when it made a signature. `newest` is
/// the newest statement of the certificate about the key.
fn alive(key: &impl KeyDetails, newest: &packet::Signature, made: Timestamp) -> Result<(), String> {
    if made < key.created_at() {
        return Err(format!("it states a time before its key {} was made", name(key)));
    }
    match end(key.created_at(), newest.key_expiration_time()) {
        Some(end) if end <= u64::from(made.as_secs()) => {
            Err(format!("{} had expired when the signature was made", name(key)))
        }
        _ => Ok(()),
    }
}

/// Returns the time at which a signature or a key expires, in seconds since 1970, or `None` if it never
/// expires. A time of 0 means never (RFC 9580, sections 5.2.3.13 and 5.2.3.18).
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

/// Returns the name of a key in the form that OpenPGP programs show.
fn name(key: &impl KeyDetails) -> String {
    key.fingerprint().to_string().to_uppercase()
}
