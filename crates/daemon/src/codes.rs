//! The exit statuses of aria2 (`man aria2c`, EXIT STATUS), which its clients know as `errorCode`.

use downhaul_engine::ErrorKind;

/// A failure that has no status of its own.
pub const UNKNOWN: u8 = 1;

/// Returns the status for the code of a failure.
pub fn of_failure(code: &str) -> u8 {
    use ErrorKind as E;
    match ErrorKind::of_code(code) {
        Some(E::ConnectTimeout | E::NetSilent | E::JobMaxTime) => 2,
        Some(E::HttpNotFound | E::HttpGone) => 3,
        Some(E::NetSlow) => 5,
        Some(E::RunStopped) => 7,
        Some(E::DiskFull) => 9,
        Some(E::FileLocked) => 11,
        Some(E::FileExists | E::NameTaken) => 13,
        Some(
            E::DiskPermission
            | E::DiskTooLarge
            | E::DiskTooManyFiles
            | E::DiskFailed
            | E::FileIsFolder
            | E::FileIsDevice
            | E::FolderIsFile,
        ) => 17,
        Some(E::DnsUnresolved) => 19,
        Some(
            E::HttpMalformed
            | E::HttpVersion
            | E::HttpForbidden
            | E::HttpServer
            | E::HttpStatus
            | E::HttpRangeIgnored
            | E::HttpNoRanges
            | E::HttpRangeWrong
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
        for (kind, status) in [
            (ErrorKind::HttpNotFound, 3),
            (ErrorKind::DigestMismatch, 32),
            (ErrorKind::FileExists, 13),
            (ErrorKind::TlsExpired, 1),
        ] {
            assert_eq!(of_failure(kind.code()), status);
        }
        assert_eq!(of_failure("no.such"), UNKNOWN);
    }
}
