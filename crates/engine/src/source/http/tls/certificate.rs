//! Reads certificates, and checks the names and the dates of a server certificate that the user gave.
//!
//! [`check`] is called only for a certificate that is equal, byte for byte, to one that the user gave. So
//! this module does not decide which certificates are trusted. `check` refuses a certificate that this module
//! cannot read.

use downhaul_core::calendar::Date;
use rustls::CertificateError;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, IpAddr, ServerName, UnixTime};
use rustls::server::ParsedCertificate;

/// Tags of DER (X.690).
pub(super) const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
pub(super) const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// Object identifiers (RFC 5280, section 4.2.1.6 and appendix A.1): the extension with subject alternative
/// names, and the common name.
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

/// The object identifier of RSA keys (RFC 8017, appendix A.1).
const RSA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// The tag of a DNS name among the subject alternative names (RFC 5280, section 4.2.1.6).
const DNS_NAME: u8 = 0x82;

/// The tag of an OCTET STRING, such as the value of an extension.
pub(super) const OCTETS: u8 = 0x04;

/// The facts about a certificate that messages show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// The DNS names among the subject alternative names. If there are no such names, the list contains the
    /// common name.
    pub(super) names: Vec<String>,
    /// The common name of the authority that signed the certificate.
    pub(super) issuer: Option<String>,
    /// The time after which the certificate is no longer valid.
    pub(super) not_after: UnixTime,
    /// True if the subject and the issuer of the certificate are the same.
    pub(super) is_self_signed: bool,
}

/// Returns the facts about a certificate, or `None` if the certificate cannot be read.
pub(super) fn facts(der: &CertificateDer<'_>) -> Option<Facts> {
    let certificate = Certificate::read(der)?;
    let mut names: Vec<String> = certificate.dns_names.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        names.extend(certificate.common_name.map(String::from));
    }
    let not_after = u64::try_from(certificate.not_after).unwrap_or(0);
    Some(Facts {
        names,
        issuer: certificate.issuer.map(String::from),
        is_self_signed: certificate.is_self_signed,
        not_after: UnixTime::since_unix_epoch(std::time::Duration::from_secs(not_after)),
    })
}

/// The public key in a certificate.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublicKey<'a> {
    /// The whole SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7).
    pub(super) info: &'a [u8],
    /// The content of the field subjectPublicKey.
    pub(super) bits: &'a [u8],
    algorithm: &'a [u8],
}

impl PublicKey<'_> {
    /// Returns the size of an RSA key in bits, rounded up to whole bytes. Returns `None` for other keys.
    pub(super) fn rsa_size(&self) -> Option<usize> {
        let modulus = Der(Der(self.bits).expect(SEQUENCE)?).expect(INTEGER)?;
        let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
        (self.algorithm == RSA).then_some((modulus.len() - zeros) * 8)
    }
}

/// Returns the public key in a certificate of any version, or `None` if it cannot be read.
pub(super) fn public_key<'a>(der: &'a CertificateDer<'_>) -> Option<PublicKey<'a>> {
    let mut fields = Der(Der(Der(der).expect(SEQUENCE)?).expect(SEQUENCE)?);
    if fields.peek() == Some(VERSION) {
        fields.next()?;
    }
    // These are the serial number, the algorithm of the signature, the issuer, the dates and the subject.
    for _ in 0..5 {
        fields.next()?;
    }
    let info = fields.element()?;
    let mut parts = Der(Der(info).expect(SEQUENCE)?);
    let algorithm = Der(parts.expect(SEQUENCE)?).expect(OID)?;
    // The first byte is the number of unused bits at the end. This number must be 0 for a key.
    let bits = parts.expect(BIT_STRING)?.strip_prefix(&[0])?;
    Some(PublicKey { info, bits, algorithm })
}

/// Returns a certificate without any data that follows it.
pub(super) fn without_rest(der: &CertificateDer<'_>) -> CertificateDer<'static> {
    Der(der).element().unwrap_or(der).to_vec().into()
}

/// The fields of a certificate that this program uses.
#[derive(Debug, PartialEq, Eq)]
struct Certificate<'a> {
    /// The time from which the certificate is valid, in seconds since 1970.
    not_before: i64,
    not_after: i64,
    common_name: Option<&'a str>,
    /// The common name of the issuer.
    issuer: Option<&'a str>,
    dns_names: Vec<&'a str>,
    /// True if the certificate has subject alternative names. The common name is then ignored (RFC 6125,
    /// section 6.4.4).
    has_names: bool,
    /// True if the subject and the issuer of the certificate are the same.
    is_self_signed: bool,
}

/// Checks that a certificate that the user gave is valid now and for this server.
///
/// # Errors
/// Returns an error if the certificate cannot be read, is not valid now, or is not valid for this server.
pub(super) fn check(
    der: &CertificateDer<'_>,
    server: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let Some(certificate) = Certificate::read(der) else {
        return Err(CertificateError::BadEncoding.into());
    };
    let time = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let seconds =
        |at: i64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.try_into().unwrap_or(0)));
    if time < certificate.not_before {
        let not_before = seconds(certificate.not_before);
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if time > certificate.not_after {
        let not_after = seconds(certificate.not_after);
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    if certificate.has_names {
        return verify_server_name(&ParsedCertificate::try_from(der)?, server);
    }
    // By default, `openssl req -x509` writes only a common name. Common names are no longer accepted in
    // certificates that authorities sign. The user gave this certificate, so its common name is accepted.
    match certificate.common_name {
        Some(name) if is_called(server, name) => Ok(()),
        name => {
            let presented = name.iter().map(ToString::to_string).collect();
            Err(CertificateError::NotValidForNameContext { expected: server.to_owned(), presented }.into())
        }
    }
}

fn is_called(server: &ServerName<'_>, name: &str) -> bool {
    match server {
        ServerName::DnsName(host) => host.as_ref().eq_ignore_ascii_case(name),
        ServerName::IpAddress(address) => {
            name.parse::<std::net::IpAddr>().is_ok_and(|named| IpAddr::from(named) == *address)
        }
        _ => false,
    }
}

impl<'a> Certificate<'a> {
    /// Reads a certificate. Returns `None` if its structure (RFC 5280, section 4.1) cannot be read.
    fn read(der: &'a [u8]) -> Option<Certificate<'a>> {
        let mut whole = Der(Der(der).expect(SEQUENCE)?);
        let mut fields = Der(whole.expect(SEQUENCE)?);
        if fields.peek() == Some(VERSION) {
            fields.next()?;
        }
        fields.expect(INTEGER)?;
        fields.expect(SEQUENCE)?; // signature algorithm
        let issuing = fields.expect(SEQUENCE)?;
        let issuer = common_name(issuing)?;
        let mut validity = Der(fields.expect(SEQUENCE)?);
        let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
        let subject = fields.expect(SEQUENCE)?;
        let common_name = common_name(subject)?;
        let is_self_signed = subject == issuing;
        fields.expect(SEQUENCE)?; // public key
        let (mut has_names, mut dns_names) = (false, Vec::new());
        while let Some(tag) = fields.peek() {
            let (_, value) = fields.next()?;
            if tag == EXTENSIONS {
                let mut extensions = Der(Der(value).expect(SEQUENCE)?);
                while extensions.peek().is_some() {
                    let mut extension = Der(extensions.expect(SEQUENCE)?);
                    if extension.expect(OID)? == SUBJECT_ALT_NAME {
                        has_names = true;
                        dns_names = dns_names_of(extension).unwrap_or_default();
                    }
                }
            }
        }
        Some(Certificate { not_before, not_after, common_name, issuer, dns_names, has_names, is_self_signed })
    }
}

/// Returns the DNS names in the extension with subject alternative names. The object identifier of the
/// extension was read before.
fn dns_names_of(mut extension: Der<'_>) -> Option<Vec<&str>> {
    // The extension may begin with a flag that marks it as critical.
    while extension.peek()? != OCTETS {
        extension.next()?;
    }
    let mut all = Der(Der(extension.expect(OCTETS)?).expect(SEQUENCE)?);
    let mut names = Vec::new();
    while all.peek().is_some() {
        let (tag, name) = all.next()?;
        if tag == DNS_NAME {
            names.push(std::str::from_utf8(name).ok()?);
        }
    }
    Some(names)
}

/// Reads the common name in a subject or an issuer. If there are several, the last one is used. Returns
/// `Some(None)` if there is no common name or if it is not UTF-8, and `None` if the field is malformed.
fn common_name(subject: &[u8]) -> Option<Option<&str>> {
    let mut sets = Der(subject);
    let mut found = None;
    while sets.peek().is_some() {
        let mut set = Der(sets.expect(SET)?);
        while set.peek().is_some() {
            let mut pair = Der(set.expect(SEQUENCE)?);
            let is_it = pair.expect(OID)? == COMMON_NAME;
            let (_, text) = pair.next()?;
            if is_it {
                found = std::str::from_utf8(text).ok();
            }
        }
    }
    Some(found)
}

/// Reads a time in the form `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280, section 4.1.2.5). Returns the
/// time in seconds since 1970, or `None` for another form.
fn time((tag, text): (u8, &[u8])) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2]);
            (if year >= 50 { 1900 + year } else { 2000 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|at| number(&rest[at..at + 2]));
    if !(1..=12).contains(&month) {
        return None;
    }
    Some(Date { year, month, day, hour, minute, second }.seconds_since_1970())
}

/// Reads elements of DER, one after the other.
pub(super) struct Der<'a>(pub(super) &'a [u8]);

impl<'a> Der<'a> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Returns the content of the next element, if it has this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(one, _)| *one == tag).map(|(_, content)| content)
    }

    /// Returns the whole next element.
    fn element(&mut self) -> Option<&'a [u8]> {
        let before = self.0;
        self.next()?;
        before.get(..before.len() - self.0.len())
    }

    /// Returns the tag and the content of the next element.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = match first {
            0..=0x7f => usize::from(first),
            // A length of more than four bytes is refused, since no certificate has 4 GiB.
            0x81..=0x84 => {
                let bytes;
                (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
            }
            _ => return None,
        };
        let content;
        (content, self.0) = rest.split_at_checked(length)?;
        Some((tag, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_since_1970() {
        for (tag, text, seconds) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (GENERALIZED_TIME, "20240229120000Z", Some(1_709_208_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, "20240229120000Z", None),
            (UTC_TIME, "241301000000Z", None),
            (UTC_TIME, "24010100000Z", None),
            (GENERALIZED_TIME, "", None),
            (0x04, "700101000000Z", None),
        ] {
            assert_eq!(time((tag, text.as_bytes())), seconds, "{text}");
        }
    }

    #[test]
    fn truncated_and_random_bytes_are_not_certificates() {
        assert_eq!(Certificate::read(&[]), None);
        assert_eq!(Certificate::read(&[0x30, 0x82, 0xff, 0xff, 0x30]), None);
        assert_eq!(Certificate::read(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30]), None);
        assert_eq!(Certificate::read(&[0x30; 300]), None);
    }
}
