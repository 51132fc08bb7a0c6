//! The limits of retries and pauses that several parts of the code use.

use std::time::Duration;

/// After this many new bytes of a job, all of its retries are available again. The number is larger than the
/// head of a response and the bytes that a server sends in the first round trip (about 15 KB, RFC 6928). So a
/// server that always fails soon after the beginning of its response does not get endless requests.
pub const PROGRESS: u64 = 64 * 1024;

/// If a host asks for a longer wait than this, for example with `Retry-After`, the job fails, and its message
/// states the time. The limit is longer than common windows of rate limits (60 s), and short enough for a
/// user to wait.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(120);
