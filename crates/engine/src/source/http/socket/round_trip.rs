//! Reads the round-trip time that TCP measures while bytes arrive. If packets wait in queues of the network,
//! the round-trip time becomes longer.
//!
//! Only Linux tells this time to programs that receive bytes. On other systems, the time is not read.
//!
//! Invariant: the round-trip time of a connection is read at most once in [`EVERY`].

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// The shortest time between two readings of the round-trip time of one connection. Workers report their
/// progress ten times a second, so there is a new reading for each report. A reading takes about a
/// microsecond.
const EVERY: Duration = Duration::from_millis(50);

/// The highest number of servers whose round-trip times are kept. The round-trip times of further servers are
/// not measured.
const SERVERS_MOST: usize = 1024;

/// The last round-trip time of the connections to each server.
pub(in super::super) struct RoundTrips<K>(Mutex<HashMap<K, Latest>>);

/// The last round-trip time of the connections to one server, in microseconds. It is 0 before the first
/// measurement.
type Latest = Arc<AtomicU32>;

/// Reads the round-trip time of one connection.
pub(in super::super) struct Meter {
    latest: Latest,
    read_at: Instant,
}

impl<K: Eq + Hash> RoundTrips<K> {
    pub(in super::super) fn new() -> Self {
        RoundTrips(Mutex::default())
    }

    /// Returns the meter of a new connection to this server. Returns `None` if the round-trip times of
    /// [`SERVERS_MOST`] other servers are kept.
    pub(in super::super) fn meter(&self, server: K, now: Instant) -> Option<Meter> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SERVERS_MOST && !all.contains_key(&server) {
            return None;
        }
        Some(Meter { latest: all.entry(server).or_default().clone(), read_at: now })
    }

    /// Returns the last round-trip time of the connections to this server, or `None` if none was measured.
    pub(in super::super) fn latest(&self, server: &K) -> Option<Duration> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let micros = all.get(server)?.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros.into()))
    }
}

impl Meter {
    /// Reads the round-trip time, if the last reading is at least [`EVERY`] ago.
    pub(super) fn read(&mut self, stream: &TcpStream, now: Instant) {
        if now.duration_since(self.read_at) < EVERY {
            return;
        }
        self.read_at = now;
        if let Some(micros) = measured(stream).filter(|&micros| micros > 0) {
            self.latest.store(micros, Ordering::Relaxed);
        }
    }
}

/// Returns the round-trip time in microseconds that the kernel measured as the receiver of bytes
/// (`tcpi_rcv_rtt`, tcp(7)). Returns `Some(0)` before the first measurement, and `None` if the kernel does
/// not tell the time.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "no safe wrapper of TCP_INFO exists; without this value, a slow network gets too many connections"
)]
fn measured(stream: &TcpStream) -> Option<u32> {
    use std::os::fd::AsRawFd;
    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).ok()?;
    // SAFETY: the descriptor is open, since `stream` owns the descriptor. The kernel writes at most `length`
    // bytes to `info`, which has `length` bytes.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    // SAFETY: all bytes of `info` are initialised, and its fields are integers, which may have any value.
    (result == 0).then(|| unsafe { info.assume_init() }.tcpi_rcv_rtt)
}

#[cfg(not(target_os = "linux"))]
fn measured(_: &TcpStream) -> Option<u32> {
    None
}
