//! Explains failed TLS handshakes to the user. Invariant: no text of the TLS library is shown.

use super::verify::{NotPinned, Refused};
use crate::source::http::dial;
use downhaul_core::error::{Error, ErrorKind};
use rustls::pki_types::UnixTime;
use rustls::{
    AlertDescription as Alert, CertificateError, InvalidMessage, OtherError, PeerIncompatible, PeerMisbehaved,
};
use std::io;
use std::time::{Duration, SystemTime};

/// The highest number of names of a certificate that are shown.
const NAMES_SHOWN: usize = 4;

/// The detail of the error if the server could not verify a signature of the handshake (`decrypt_error`). If
/// a client certificate was sent to the server, the signature is in that certificate, or was made with the
/// key of that certificate.
pub(super) const UNVERIFIED: &str = "the server could not verify a signature (decrypt_error)";

/// Returns the error for a failed handshake. `at` is the URL or the proxy for the message.
pub(crate) fn of_handshake(error: &io::Error, at: &str) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls) => {
            let (kind, detail) = meaning(tls);
            Error::new(kind, at, detail)
        }
        None => {
            let detail = match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    "the server closed the connection during the handshake".into()
                }
                io::ErrorKind::ConnectionReset => "the connection was reset during the handshake".into(),
                _ => dial::plain(error),
            };
            Error::new(ErrorKind::TlsFailed, at, detail)
        }
    }
}

/// Returns the error for a connection that failed after its handshake.
pub(in crate::source::http) fn of_transfer(error: &rustls::Error, at: &str) -> Error {
    // With TLS 1.3, a server checks the certificate of the client after the handshake, so it may refuse the
    // certificate here.
    let (kind, detail) = meaning(error);
    let kind = if kind == ErrorKind::TlsClientRefused { kind } else { ErrorKind::TlsFailed };
    Error::new(kind, at, detail)
}

fn meaning(error: &rustls::Error) -> (ErrorKind, String) {
    use rustls::Error as Tls;
    let (kind, detail) = match error {
        Tls::InvalidCertificate(why) => return of_certificate(why),
        Tls::NoCertificatesPresented => (ErrorKind::TlsUntrusted, "the server sent no certificate"),
        Tls::AlertReceived(Alert::NoApplicationProtocol) | Tls::NoApplicationProtocol => {
            (ErrorKind::HttpVersion, "it accepts none of the HTTP versions that were offered")
        }
        Tls::AlertReceived(alert) => return of_alert(*alert),
        Tls::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => (ErrorKind::TlsOutdated, "it chose a version older than TLS 1.2"),
        Tls::PeerIncompatible(_) => {
            (ErrorKind::TlsOutdated, "the server's choice of parameters is not supported")
        }
        Tls::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedCipherSuite) => {
            (ErrorKind::TlsOutdated, "it chose a cipher that was not offered")
        }
        Tls::InvalidMessage(InvalidMessage::InvalidContentType) => {
            (ErrorKind::TlsMissing, "its answer is not TLS")
        }
        Tls::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => {
            (ErrorKind::TlsOutdated, "its version of TLS is unknown")
        }
        Tls::InappropriateMessage { .. }
        | Tls::InappropriateHandshakeMessage { .. }
        | Tls::InvalidMessage(_)
        | Tls::PeerMisbehaved(_)
        | Tls::PeerSentOversizedRecord => (ErrorKind::TlsFailed, "the server breaks the rules of TLS"),
        Tls::DecryptError => (ErrorKind::TlsFailed, "the received data was damaged on its way"),
        Tls::FailedToGetCurrentTime => (ErrorKind::TlsFailed, "the time of this machine cannot be read"),
        Tls::FailedToGetRandomBytes => (ErrorKind::TlsFailed, "the system gives no random bytes"),
        Tls::InvalidCertRevocationList(_) => {
            (ErrorKind::TlsUntrusted, "it is not known whether the certificate was revoked")
        }
        _ => (ErrorKind::TlsFailed, ""),
    };
    (kind, detail.into())
}

/// Explains the alert that the server sent (RFC 8446, section 6.2).
fn of_alert(alert: Alert) -> (ErrorKind, String) {
    let (kind, detail) = match alert {
        // Old servers also send handshake_failure to clients without a certificate.
        Alert::HandshakeFailure => (
            ErrorKind::TlsOutdated,
            "it refused all versions and ciphers that were offered (handshake_failure)",
        ),
        Alert::ProtocolVersion => {
            (ErrorKind::TlsOutdated, "it refused all versions that were offered (protocol_version)")
        }
        Alert::InsufficientSecurity => {
            (ErrorKind::TlsOutdated, "it refused all ciphers that were offered (insufficient_security)")
        }
        Alert::UnrecognisedName => (ErrorKind::TlsFailed, "the server does not know this host name"),
        Alert::CertificateRequired
        | Alert::NoCertificate
        | Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied => (ErrorKind::TlsClientRefused, ""),
        Alert::InternalError => (ErrorKind::TlsFailed, "the server reported an error of its own"),
        Alert::DecryptError => (ErrorKind::TlsFailed, UNVERIFIED),
        Alert::BadRecordMac | Alert::DecryptionFailed => {
            (ErrorKind::TlsFailed, "the data that the server received was damaged on its way")
        }
        other => {
            return (ErrorKind::TlsFailed, format!("the server sent the TLS alert {}", u8::from(other)));
        }
    };
    (kind, detail.into())
}

fn of_certificate(error: &CertificateError) -> (ErrorKind, String) {
    use CertificateError as Bad;
    let untrusted = |why: &str| (ErrorKind::TlsUntrusted, why.to_string());
    match error {
        Bad::ExpiredContext { not_after, .. } => (ErrorKind::TlsExpired, dated("it expired on", *not_after)),
        Bad::NotValidYetContext { not_before, .. } => {
            (ErrorKind::TlsExpired, dated("it is valid from", *not_before))
        }
        Bad::Expired | Bad::NotValidYet => (ErrorKind::TlsExpired, String::new()),
        Bad::NotValidForNameContext { presented, .. } => (ErrorKind::TlsWrongHost, names(presented)),
        Bad::NotValidForName => (ErrorKind::TlsWrongHost, String::new()),
        // The text of the error kind already says that no trusted authority signed the certificate.
        Bad::UnknownIssuer => untrusted(""),
        Bad::Revoked => untrusted("it was revoked"),
        Bad::BadSignature => untrusted("its signature is wrong"),
        Bad::BadEncoding => untrusted("it is malformed"),
        Bad::UnhandledCriticalExtension => untrusted("it has a critical extension that is not supported"),
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => untrusted("it is not meant for servers"),
        Bad::UnsupportedSignatureAlgorithmContext { .. }
        | Bad::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            untrusted("it is signed in a way that is not considered safe")
        }
        Bad::UnknownRevocationStatus
        | Bad::ExpiredRevocationList
        | Bad::ExpiredRevocationListContext { .. }
        | Bad::InvalidOcspResponse => untrusted("it is not known whether the certificate was revoked"),
        Bad::Other(OtherError(other)) => of_other(other.as_ref()),
        Bad::ApplicationVerificationFailure => untrusted("the verifier of this machine refuses it"),
        _ => untrusted(
            "it is self-signed, is the certificate of an authority, or has a form that is not supported",
        ),
    }
}

/// Explains an error of this program's own certificate verifier.
fn of_other(error: &(dyn std::error::Error + Send + Sync + 'static)) -> (ErrorKind, String) {
    if let Some(NotPinned(found)) = error.downcast_ref() {
        return (ErrorKind::TlsPin, format!("its key is sha256//{found}"));
    }
    let Some(Refused { why, facts }) = error.downcast_ref() else {
        return (ErrorKind::TlsUntrusted, "it is self-signed, or has a form that is not supported".into());
    };
    let (kind, detail) = match why {
        CertificateError::Other(_) | CertificateError::UnknownIssuer if facts.is_self_signed => {
            (ErrorKind::TlsUntrusted, "it is self-signed".into())
        }
        CertificateError::Other(_) => (ErrorKind::TlsUntrusted, "it has a form that is not supported".into()),
        why => of_certificate(why),
    };
    let mut all = Vec::from_iter(Some(detail).filter(|detail| !detail.is_empty()));
    // If the names are the problem, the detail already contains them.
    if kind != ErrorKind::TlsWrongHost && !facts.names.is_empty() {
        all.push(names(&facts.names));
    }
    all.extend(facts.issuer.as_ref().map(|issuer| format!("issued by {issuer}")));
    if kind != ErrorKind::TlsExpired {
        all.extend(Some(dated("valid until", facts.not_after)).filter(|text| !text.is_empty()));
    }
    (kind, all.join(", "))
}

/// Returns a text with a date, or an empty text if the date cannot be written.
fn dated(what: &str, at: UnixTime) -> String {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(at.as_secs()));
    // Dates after the year 9999 cannot be written in this form.
    match at
        .filter(|at| at.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|s| s.as_secs() < 253_402_300_800))
    {
        Some(at) => format!("{what} {}", httpdate::fmt_http_date(at)),
        None => String::new(),
    }
}

/// Returns the names of a certificate as a text. rustls writes them as `DnsName("example.com")` and
/// `IpAddress(10.0.0.1)`.
fn names(presented: &[String]) -> String {
    let name = |text: &String| {
        let inner = text.split_once('(').and_then(|(_, inner)| inner.strip_suffix(')')).unwrap_or(text);
        inner.trim_matches('"').to_string()
    };
    let shown: Vec<String> = presented.iter().take(NAMES_SHOWN).map(name).collect();
    match presented.len() {
        0 => "it names no host".into(),
        all if all > NAMES_SHOWN => format!("it is for {} and {} more", shown.join(", "), all - NAMES_SHOWN),
        _ => format!("it is for {}", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_about_tls_have_no_texts_of_rustls() {
        let other = rustls::OtherError(std::sync::Arc::new(io::Error::other("CaUsedAsEndEntity")));
        let name = rustls::pki_types::ServerName::try_from("h.example").expect("a name");
        let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
        let all = [
            rustls::Error::from(CertificateError::Other(other)),
            CertificateError::BadEncoding.into(),
            CertificateError::ExpiredContext { time: at, not_after: at }.into(),
            CertificateError::NotValidForNameContext {
                expected: name,
                presented: vec!["DnsName(\"a.example\")".into(), "IpAddress(10.0.0.1)".into()],
            }
            .into(),
            CertificateError::UnhandledCriticalExtension.into(),
            rustls::Error::General("UnexpectedEof".into()),
            PeerMisbehaved::IllegalMiddleboxChangeCipherSpec.into(),
            PeerIncompatible::NoKxGroupsInCommon.into(),
            InvalidMessage::InvalidDhParams.into(),
            rustls::Error::AlertReceived(Alert::Unknown(200)),
            rustls::Error::HandshakeNotComplete,
        ];
        for error in all {
            let (kind, detail) = meaning(&error);
            let words = format!("{kind:?} {detail}");
            let is_of_code = |word: &str| {
                let word = word.trim_matches(|c: char| !c.is_alphanumeric());
                word.chars().skip(1).any(|c| c.is_uppercase()) && word.chars().any(|c| c.is_lowercase())
            };
            let odd: Vec<&str> = detail.split(' ').filter(|word| is_of_code(word)).collect();
            assert!(odd.is_empty(), "{words}: {odd:?}");
        }
        let (_, detail) = meaning(
            &CertificateError::NotValidForNameContext {
                expected: rustls::pki_types::ServerName::try_from("h").expect("a name"),
                presented: vec!["DnsName(\"a.example\")".into(), "IpAddress(10.0.0.1)".into()],
            }
            .into(),
        );
        assert_eq!(detail, "it is for a.example, 10.0.0.1");
    }
}
