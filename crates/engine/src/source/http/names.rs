//! Looks up the addresses of a host, and keeps them for a minute for all connections to this host. If no
//! address works, the host is looked up again.
//!
//! Invariant: look-ups of different hosts never wait for each other. The memory is limited, because at most
//! [`NAMES_MOST`] names are kept.

use crate::clock;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The time for which addresses are used. The system does not report how long they are valid. curl also keeps
/// them for a minute.
const LIFE: Duration = Duration::from_secs(60);

/// The highest number of names that are kept, because a list may have a million names. If a name is no longer
/// kept, it is looked up again.
const NAMES_MOST: usize = 1024;

/// The result of a look-up: addresses, or the reason why there are none.
type Found = Result<Arc<[IpAddr]>, Arc<io::Error>>;

#[derive(Default)]
pub(super) struct Names(Mutex<HashMap<String, Known>>);

struct Known {
    lookup: Shared<BoxFuture<'static, Found>>,
    since: Instant,
}

impl Names {
    /// Returns the addresses of a host. `look_up` is called unless a look-up that began within the last
    /// minute is running or was successful.
    ///
    /// # Errors
    /// Returns the error of the look-up. This error is not kept, so the next call looks the host up again.
    pub(super) async fn addresses<F>(&self, name: &str, look_up: impl FnOnce(String) -> F) -> Found
    where
        F: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        let lookup = self.lookup(name, look_up);
        let found = lookup.clone().await;
        if found.is_err() {
            self.known().retain(|_, known| !known.lookup.ptr_eq(&lookup));
        }
        found
    }

    fn lookup<F>(&self, name: &str, look_up: impl FnOnce(String) -> F) -> Shared<BoxFuture<'static, Found>>
    where
        F: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        let now = clock::instant();
        let mut all = self.known();
        if let Some(known) = all.get(name).filter(|known| known.is_fresh(now)) {
            return known.lookup.clone();
        }
        if all.len() >= NAMES_MOST {
            all.retain(|_, known| known.is_fresh(now));
        }
        if all.len() >= NAMES_MOST {
            all.clear();
        }
        let looking = look_up(name.to_string());
        let lookup = async move { looking.await.map(Arc::from).map_err(Arc::new) }.boxed().shared();
        all.insert(name.to_string(), Known { lookup: lookup.clone(), since: now });
        lookup
    }

    /// Removes the addresses of a host, because none of them works.
    pub(super) fn forget(&self, name: &str) {
        self.known().remove(name);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < LIFE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn after(
        wait: u64,
        count: &Arc<AtomicUsize>,
        found: io::Result<Vec<IpAddr>>,
    ) -> impl FnOnce(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let count = count.clone();
        move |_| {
            async move {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(wait)).await;
                found
            }
            .boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_is_looked_up_once_at_a_time_and_once_a_minute() {
        let (names, count) = (Names::default(), Arc::new(AtomicUsize::new(0)));
        let ask = || names.addresses("h", after(5, &count, Ok(vec![HERE])));
        let all = futures_util::future::join_all((0..100).map(|_| ask())).await;
        assert!(all.iter().all(|found| found.as_ref().is_ok_and(|found| **found == [HERE])));
        assert!(ask().await.is_ok());
        assert_eq!(count.load(Ordering::Relaxed), 1);
        tokio::time::sleep(LIFE).await;
        assert!(ask().await.is_ok());
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_not_remembered_and_a_slow_look_up_stops_no_other_host() {
        let (names, count) = (Names::default(), Arc::new(AtomicUsize::new(0)));
        let failed = || Err(io::Error::other("no"));
        assert!(names.addresses("h", after(1, &count, failed())).await.is_err());
        assert!(names.addresses("h", after(1, &count, Ok(vec![HERE]))).await.is_ok());
        assert_eq!(count.load(Ordering::Relaxed), 2);
        let since = clock::instant();
        let slow = names.addresses("slow", after(1000, &count, failed()));
        let quick = names.addresses("quick", after(1, &count, Ok(vec![HERE])));
        let first = futures_util::future::select(Box::pin(slow), Box::pin(quick)).await;
        assert!(matches!(first, futures_util::future::Either::Right((Ok(_), _))));
        assert_eq!(since.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_goes_on_when_its_first_caller_is_gone() {
        let (names, count) = (Names::default(), Arc::new(AtomicUsize::new(0)));
        let first = names.addresses("h", after(5, &count, Ok(vec![HERE])));
        assert!(tokio::time::timeout(Duration::from_secs(1), first).await.is_err());
        assert!(names.addresses("h", after(5, &count, Ok(Vec::new()))).await.is_ok_and(|all| *all == [HERE]));
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
}
