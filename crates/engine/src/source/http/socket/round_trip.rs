//! Reads the round trip that TCP measures while bytes arrive. If packets wait in queues of the network, the
//! round trip becomes longer.
//!
//! Only Linux tells the round trip to programs that receive. On other systems nothing is measured.
//!
//! Invariant: a connection is asked at most once in [`EVERY`].

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// The shortest time between two readings of one connection. Workers report their progress ten times a
/// second, so there is a new reading for each report. A reading takes about a microsecond.
const EVERY: Duration = Duration::from_millis(50);

/// The highest number of servers whose round trip is kept. The round trips of further servers are not
/// measured.
const SERVERS_MOST: usize = 1024;

/// The last round trip of the connections to each server.
pub(in super::super) struct RoundTrips<K>(Mutex<HashMap<K, Latest>>);

/// The last round trip of the connections to one server, in microseconds. It is 0 if none was measured.
type Latest = Arc<AtomicU32>;

/// Reads the round trip of one connection.
pub(in super::super) struct Meter {
    latest: Latest,
    read_at: Instant,
}

impl<K: Eq + Hash> RoundTrips<K> {
    pub(in super::super) fn new() -> Self {
        RoundTrips(Mutex::default())
    }

    /// Returns the meter of a new connection to this server.
    pub(in super::super) fn meter(&self, server: K, now: Instant) -> Option<Meter> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SERVERS_MOST && !all.contains_key(&server) {
            return None;
        }
        Some(Meter { latest: all.entry(server).or_default().clone(), read_at: now })
    }

    /// Returns the last round trip of the connections to this server.
    pub(in super::super) fn latest(&self, server: &K) -> Option<Duration> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let micros = all.get(server)?.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros.into()))
    }
}

impl Meter {
    /// Reads the round trip, if the last reading is old enough.
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

/// Returns the round trip in microseconds that the kernel measured as the receiver of bytes (`tcpi_rcv_rtt`,
/// tcp(7)). It returns 0 before the first measurement.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "no safe wrapper of TCP_INFO exists; without it, a clean line gets too many connections"
)]
fn measured(stream: &TcpStream) -> Option<u32> {
    use std::os::fd::AsRawFd;
    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).ok()?;
    // SAFETY: the descriptor is open, since `stream` owns it. The kernel writes at most `length` bytes to
    // `info`, which has that many.
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
