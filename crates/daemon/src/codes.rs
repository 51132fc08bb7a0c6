//! Gives each failure its exit status of aria2 (`man aria2c`, EXIT STATUS), which clients get as `errorCode`.

use downhaul_engine::ErrorKind;

/// The status of a failure for which aria2 has no separate status.
pub const UNKNOWN: u8 = 1;

/// Returns the exit status of aria2 for a failure. `code` is the code of the failure, such as
/// `http.not_found`. `http_status` is the HTTP status with which the server refused the request, if it did.
pub fn of_failure(code: &str, http_status: Option<u16>) -> u8 {
    use ErrorKind as E;
    match (ErrorKind::of_code(code), http_status) {
        // For the HTTP statuses 502, 503 and 504, aria2 has a separate exit status.
        (Some(E::HttpServer | E::HttpBusy | E::HttpLater | E::HttpStatus), Some(502..=504)) => 29,
        (Some(E::HttpBusy | E::HttpLater), Some(_)) => 22,
        (kind, _) => of_kind(kind),
    }
}

fn of_kind(kind: Option<ErrorKind>) -> u8 {
    use ErrorKind as E;
    match kind {
        Some(E::ConnectTimeout | E::NetSilent | E::JobMaxTime) => 2,
        Some(E::HttpNotFound) => 3,
        Some(E::NetSlow) => 5,
        Some(E::RunStopped) => 7,
        Some(E::HttpRangeIgnored | E::HttpNoRanges | E::HttpRangeWrong) => 8,
        Some(E::DiskFull) => 9,
        Some(E::FileLocked) => 11,
        Some(E::FileExists | E::NameTaken) => 13,
        Some(
            E::DiskPermission
            | E::DiskTooLarge
            | E::DiskTooManyFiles
            | E::DiskFailed
            | E::FileIsFolder
            | E::FileIsDevice,
        ) => 17,
        Some(E::FolderIsFile) => 18,
        Some(E::DnsUnresolved) => 19,
        Some(
            E::HttpVersion
            | E::HttpForbidden
            | E::HttpGone
            | E::HttpServer
            | E::HttpStatus
            | E::HttpRangePast
            | E::HttpRangeBeyond
            | E::HttpEncoding,
        ) => 22,
        Some(E::RedirectLoop) => 23,
        Some(E::HttpUnauthorized | E::ProxyLogin) => 24,
        Some(E::HttpBusy | E::HttpLater) => 29,
        Some(E::JobRemoved) => 31,
        Some(E::DigestMismatch | E::DigestPart | E::DigestMissing | E::DigestUnlisted) => 32,
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_the_statuses_of_aria2() {
        for (kind, http_status, status) in [
            (ErrorKind::HttpNotFound, Some(404), 3),
            (ErrorKind::HttpGone, Some(410), 22),
            (ErrorKind::HttpServer, Some(500), 22),
            (ErrorKind::HttpServer, Some(502), 29),
            (ErrorKind::HttpBusy, Some(503), 29),
            (ErrorKind::HttpBusy, Some(429), 22),
            (ErrorKind::DigestMismatch, None, 32),
            (ErrorKind::FileExists, None, 13),
            (ErrorKind::TlsExpired, None, 1),
        ] {
            assert_eq!(of_failure(kind.code(), http_status), status, "{kind:?}");
        }
        assert_eq!(of_failure("no.such", None), UNKNOWN);
    }
}
