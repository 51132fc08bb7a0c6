//! The limits of retries that several parts share, and the HTTP statuses that are failures.

use crate::error::ErrorKind;
use std::time::Duration;

/// After this many new bytes, all retries are available again. The number is larger than the head of a
/// response and the buffers of sockets. So a server that always fails at the same place does not get endless
/// requests.
pub const PROGRESS: u64 = 64 * 1024;

/// If a `Retry-After` is longer than this, the job fails, and its message states the time. The limit is
/// longer than common rate limit windows (60 s), and short enough for a user to wait.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// Returns the kind of failure for an HTTP status, or `None` if the body is the file or a range of it. An
/// unknown 2xx is treated as 200 (RFC 9110, section 15). The body of a known 2xx that is not named here is
/// not the file.
pub fn of_status(status: u16) -> Option<ErrorKind> {
    Some(match status {
        200 | 203 | 206 | 209..=225 | 227..=299 => return None,
        401 | 407 => ErrorKind::HttpUnauthorized,
        403 => ErrorKind::HttpForbidden,
        404 => ErrorKind::HttpNotFound,
        410 => ErrorKind::HttpGone,
        416 => ErrorKind::HttpRangePast,
        425 | 429 | 503 => ErrorKind::HttpBusy,
        // Not Implemented and HTTP Version Not Supported are permanent.
        501 | 505 => ErrorKind::HttpStatus,
        408 | 500..=599 => ErrorKind::HttpServer,
        _ => ErrorKind::HttpStatus,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_statuses_without_the_file_are_refused_and_unknown_ones_count_as_200() {
        for status in [200, 203, 206, 299] {
            assert_eq!(of_status(status), None, "{status}");
        }
        for status in [201, 202, 204, 205, 207, 208, 226, 304] {
            assert_eq!(of_status(status), Some(ErrorKind::HttpStatus), "{status}");
        }
    }
}
