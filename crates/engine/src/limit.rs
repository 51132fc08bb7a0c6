//! Limits the rates of a session (`--limit-rate`), of single jobs and of hosts. Over a long time, a limit is
//! exact for the bytes that are accepted. It is also fair: the workers that share a limit get one slice (a
//! small number of bytes) at a time, in the order in which they request it.
//!
//! Invariant: bytes are accepted only after the wait that the limit requires for them. If the limit changes
//! during a wait, the wait begins again with the new limit.

use crate::clock;
use downhaul_core::host_rules::HostRules;
use downhaul_core::job::Url;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The number of slices into which the bytes of one second are divided. With this number, the screen shows a
/// steady rate.
const SLICES_A_SECOND: u64 = 50;

/// The smallest slice, in bytes. With smaller slices, the timers would take more time than the transfer.
const SMALLEST_SLICE: u64 = 1024;

/// If a transfer is slower than the limit for a while, it may be faster than the limit afterwards, until it
/// has made up for the lost time. At most this much time is made up for. So an interruption of at most this
/// length does not lower the average rate.
const MADE_UP_FOR: Duration = Duration::from_millis(100);

/// A limit that several workers share.
pub(crate) struct Limit {
    state: Mutex<State>,
    /// Wakes the waiting workers when the limit changes.
    changed: Notify,
}

struct State {
    /// The limit in bytes a second, if there is one. 0 counts as 1.
    rate: Option<u64>,
    /// The time at which the limit allows the last of the bytes for which [`Limit::wait`] was called.
    last_allowed: Instant,
}

impl Limit {
    /// Returns a limit of `rate` bytes a second. `None` means that the rate is not limited.
    pub(crate) fn new(rate: Option<u64>) -> Self {
        let state = Mutex::new(State { rate, last_allowed: clock::instant() });
        Limit { state, changed: Notify::new() }
    }

    /// Changes the limit to `rate` bytes a second. `None` removes the limit.
    pub(crate) fn set(&self, rate: Option<u64>) {
        let mut state = self.state();
        if state.rate == rate {
            return;
        }
        state.rate = rate;
        state.last_allowed = clock::instant();
        self.changed.notify_waiters();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.state().rate.is_some()
    }

    /// Returns how many of `bytes` may be accepted as one slice. Without a limit, returns `bytes`.
    pub(crate) fn slice(&self, bytes: usize) -> usize {
        match self.state().rate {
            None => bytes,
            Some(rate) => {
                bytes.min(usize::try_from((rate / SLICES_A_SECOND).max(SMALLEST_SLICE)).unwrap_or(bytes))
            }
        }
    }

    /// Waits until this many bytes may be accepted.
    pub(crate) async fn wait(&self, bytes: usize) {
        loop {
            let (until, changed) = {
                let mut state = self.state();
                let Some(rate) = state.rate else { return };
                let now = clock::instant();
                let from = state.last_allowed.max(now.checked_sub(MADE_UP_FOR).unwrap_or(now));
                state.last_allowed = from + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
                (state.last_allowed, self.changed.notified())
            };
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                () = changed => {}
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rate limits in the rules for hosts.
#[derive(Default)]
pub(crate) struct HostLimits {
    rules: HostRules,
    /// The limit of each rule. All hosts of a rule share it.
    limits: Vec<Arc<Limit>>,
}

impl HostLimits {
    pub(crate) fn new(rules: &HostRules) -> Self {
        let limits = rules.all().iter().map(|(_, options)| Arc::new(Limit::new(options.limit_rate)));
        HostLimits { rules: rules.clone(), limits: limits.collect() }
    }

    /// Returns the limit that a rule sets for the host of a URL, if there is one.
    pub(crate) fn of(&self, url: &Url) -> Option<&Arc<Limit>> {
        self.limits.get(self.rules.limit_rate(url)?.0)
    }
}

/// The limits that apply to one connection: the limits of the session, of the job and of the host.
#[derive(Clone)]
pub(crate) struct Limits {
    pub(crate) session: Arc<Limit>,
    pub(crate) job: Arc<Limit>,
    pub(crate) host: Option<Arc<Limit>>,
}

impl Limits {
    /// Returns true if at least one of these limits is set.
    pub(crate) fn is_set(&self) -> bool {
        self.all().any(|limit| limit.is_set())
    }

    /// Returns how many of `bytes` may be accepted as one slice. Without a limit, returns `bytes`.
    pub(crate) fn slice(&self, bytes: usize) -> usize {
        self.all().fold(bytes, |bytes, limit| limit.slice(bytes))
    }

    /// Waits until all limits allow this many bytes.
    pub(crate) async fn wait(&self, bytes: usize) {
        for limit in self.all() {
            limit.wait(bytes).await;
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Limit>> {
        [&self.session, &self.job].into_iter().chain(&self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_limit_is_exact_fair_and_can_be_changed() {
        let limit = Arc::new(Limit::new(Some(100_000)));
        let start = clock::instant();
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let limit = limit.clone();
                tokio::spawn(async move {
                    let mut accepted = 0;
                    while start.elapsed() < Duration::from_secs(5) {
                        let slice = limit.slice(256 * 1024);
                        limit.wait(slice).await;
                        accepted += slice;
                    }
                    accepted
                })
            })
            .collect();
        let mut each = Vec::new();
        for worker in workers {
            each.push(worker.await.expect("no panic"));
        }
        let all: usize = each.iter().sum();
        assert!((485_000..=515_000).contains(&all), "{all} bytes in 5 s");
        assert!(each.iter().all(|&one| (115_000..=135_000).contains(&one)), "{each:?}");
        limit.set(None);
        let before = clock::instant();
        limit.wait(1 << 30).await;
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_waits_obeys_a_new_limit_at_once() {
        let second = Duration::from_secs(1);
        for (rate, most) in [(None, Duration::ZERO), (Some(1024), second)] {
            let limit = Arc::new(Limit::new(Some(1)));
            let (start, waiting) = (clock::instant(), limit.clone());
            let waiting = tokio::spawn(async move { waiting.wait(1024).await });
            tokio::time::sleep(second).await;
            limit.set(rate);
            waiting.await.expect("no panic");
            assert!(start.elapsed() <= second + most, "{rate:?}: {:?}", start.elapsed());
        }
    }
}
