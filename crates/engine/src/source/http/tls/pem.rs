//! Reads files with certificates or keys, such as those of `--cacert`, `--cert` and `--key`, and the
//! certificates in them, in PEM form (RFC 7468).

use super::certificate;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error, PemObject};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The longest file with certificates or a key, in bytes. The certificates of all public authorities together
/// have about 200 KiB, so a file above this limit is probably something else.
const LONGEST: u64 = 16 * 1024 * 1024;

/// Other labels that OpenSSL accepts for certificates. In a block with the label `TRUSTED CERTIFICATE`, rules
/// for the use of the certificate follow it.
const OTHER_LABELS: [&str; 2] = ["TRUSTED CERTIFICATE-----", "X509 CERTIFICATE-----"];

/// Returns the text of a file without byte order marks. Editors and PowerShell write such a mark at the
/// beginning of a file, and joined files can also have one in the middle. A line that begins
/// with a mark would not be recognised.
pub(super) fn read_file(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    if File::open(path)?.take(LONGEST + 1).read_to_end(&mut text)? as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is longer than 16 MiB"));
    }
    Ok(String::from_utf8_lossy(&text).replace('\u{feff}', ""))
}

/// Returns the certificates in a text.
///
/// # Errors
/// Returns an error if a part of the text begins like a certificate, but is not a certificate in PEM form.
pub(super) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let usual = |text: String, label: &&str| text.replace(label, "CERTIFICATE-----");
    let text = OTHER_LABELS.iter().fold(text.to_string(), usual);
    let all = CertificateDer::pem_slice_iter(text.as_bytes());
    all.map(|one| one.map(|der| certificate::without_rest(&der))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_read_in_every_form() {
        // An element of DER, and the same element with more data after it.
        let [plain, trusted] = ["MAMCAQE=", "MAMCAQEwAA=="];
        let block =
            |label: &str, base64: &str| format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n");
        let usual = block("CERTIFICATE", plain);
        for text in [
            usual.clone(),
            usual.replace('\n', "\r\n"),
            format!("words\n{usual}words"),
            block("TRUSTED CERTIFICATE", trusted),
            block("X509 CERTIFICATE", plain),
        ] {
            let found = certificates(&text).expect(&text);
            assert_eq!(found, [CertificateDer::from(vec![0x30, 3, 2, 1, 1])], "{text}");
        }
        assert_eq!(certificates("words").expect("no certificate"), []);
        assert!(certificates("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").is_err());
    }
}
