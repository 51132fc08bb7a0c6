//! Checks that a server has the private key of its certificate, for certificates that the TLS library does
//! not accept: those of X.509 version 1, and those with RSA keys of less than 2048 bits. If every certificate
//! is trusted (`--insecure`), both kinds are accepted. A certificate of X.509 version 1 is also accepted if
//! it is in the file of `--cacert` itself and its key is not a short RSA key.

use super::certificate::{self, PublicKey};
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

/// The lengths in bytes of keys of elliptic curves, as points without compression (SEC 1, section 2.3.3).
const P256: usize = 65;
const P384: usize = 97;
const P521: usize = 133;

/// The sizes of RSA keys in bits for which aws-lc-rs verifies signatures. Most schemes, such as those of TLS
/// 1.3 (PSS), need a key of at least [`RSA_LEAST_OF_MOST_SCHEMES`]. Of the schemes that are used here, only
/// PKCS #1 signatures with SHA-256 or SHA-512 are verified with keys from [`RSA_LEAST`] on.
const RSA_LEAST: usize = 1024;
const RSA_LEAST_OF_MOST_SCHEMES: usize = 2048;
const RSA_MOST: usize = 8192;

/// Verifies the signature of a handshake. If aws-lc-rs cannot verify signatures of this scheme by this key,
/// or if the certificate has no readable key, the server is accepted without a check, unless `must_verify` is
/// true.
///
/// # Errors
/// Returns an error if the signature is wrong, or if it must be verified and this is not possible.
pub(super) fn verify(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    must_verify: bool,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let key = certificate::public_key(certificate);
    let verified = match key.and_then(|key| Some((key.bits, algorithm(signed.scheme, &key)?))) {
        Some((bits, algorithm)) => {
            UnparsedPublicKey::new(algorithm, bits).verify(message, signed.signature()).is_ok()
        }
        None => !must_verify,
    };
    match verified {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(CertificateError::BadSignature.into()),
    }
}

/// Returns true if the certificate has an RSA key of less than 2048 bits.
pub(super) fn is_short(certificate: &CertificateDer<'_>) -> bool {
    let size = certificate::public_key(certificate).and_then(|key| key.rsa_size());
    size.is_some_and(|size| size < RSA_LEAST_OF_MOST_SCHEMES)
}

/// Returns the algorithm that verifies signatures of a scheme by a key, or `None` if aws-lc-rs has no such
/// algorithm. With TLS 1.2, an ECDSA scheme determines only the hash, so the length of the key shows the
/// curve.
fn algorithm(scheme: SignatureScheme, key: &PublicKey) -> Option<&'static dyn VerificationAlgorithm> {
    let size = key.rsa_size().unwrap_or(0);
    let is_in = |least| (least..=RSA_MOST).contains(&size);
    let (has_1024, is_usual) = (is_in(RSA_LEAST), is_in(RSA_LEAST_OF_MOST_SCHEMES));
    let found: &dyn VerificationAlgorithm = match (scheme, key.bits.len()) {
        (SignatureScheme::RSA_PKCS1_SHA256, _) if has_1024 => {
            &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY
        }
        (SignatureScheme::RSA_PKCS1_SHA512, _) if has_1024 => {
            &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY
        }
        (SignatureScheme::RSA_PKCS1_SHA384, _) if is_usual => &signature::RSA_PKCS1_2048_8192_SHA384,
        (SignatureScheme::RSA_PSS_SHA256, _) if is_usual => &signature::RSA_PSS_2048_8192_SHA256,
        (SignatureScheme::RSA_PSS_SHA384, _) if is_usual => &signature::RSA_PSS_2048_8192_SHA384,
        (SignatureScheme::RSA_PSS_SHA512, _) if is_usual => &signature::RSA_PSS_2048_8192_SHA512,
        (SignatureScheme::ECDSA_NISTP256_SHA256, P256) => &signature::ECDSA_P256_SHA256_ASN1,
        (SignatureScheme::ECDSA_NISTP256_SHA256, P384) => &signature::ECDSA_P384_SHA256_ASN1,
        (SignatureScheme::ECDSA_NISTP256_SHA256, P521) => &signature::ECDSA_P521_SHA256_ASN1,
        (SignatureScheme::ECDSA_NISTP384_SHA384, P256) => &signature::ECDSA_P256_SHA384_ASN1,
        (SignatureScheme::ECDSA_NISTP384_SHA384, P384) => &signature::ECDSA_P384_SHA384_ASN1,
        (SignatureScheme::ECDSA_NISTP384_SHA384, P521) => &signature::ECDSA_P521_SHA384_ASN1,
        (SignatureScheme::ECDSA_NISTP521_SHA512, P256) => &signature::ECDSA_P256_SHA512_ASN1,
        (SignatureScheme::ECDSA_NISTP521_SHA512, P384) => &signature::ECDSA_P384_SHA512_ASN1,
        (SignatureScheme::ECDSA_NISTP521_SHA512, P521) => &signature::ECDSA_P521_SHA512_ASN1,
        (SignatureScheme::ED25519, _) => &signature::ED25519,
        _ => return None,
    };
    Some(found)
}
