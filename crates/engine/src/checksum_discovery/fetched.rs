//! Remembers a value that is fetched when a job first needs it. A failure is remembered for a limited time.
//!
//! Invariant: the value is never fetched for two jobs at the same time. A wrong signature is never forgotten.

use crate::clock;
use downhaul_core::error::{Error, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// The shortest time for which a failure is remembered. In this time, all jobs that need the value get the
/// failure at once, and no request is sent.
const REST: Duration = Duration::from_secs(30);

/// A failure is remembered for this many times the time that the attempt took. So if a server is silent, jobs
/// that can do without the value spend only a small part of the time waiting for it.
const REST_FOR_WORK: u32 = 20;

pub(super) struct Fetched<T> {
    /// The value, or the error about a wrong signature.
    value: OnceCell<Result<T, Error>>,
    /// The last failure, and the time until which it is remembered.
    failure: Mutex<Option<(Error, Instant)>>,
}

impl<T> Default for Fetched<T> {
    fn default() -> Self {
        Fetched { value: OnceCell::new(), failure: Mutex::default() }
    }
}

impl<T: Clone> Fetched<T> {
    /// Returns the value. If it is not known, `fetch` fetches it, unless a failure is still remembered. If
    /// another job is fetching the value, waits for the result of that job.
    ///
    /// # Errors
    /// Returns the error of `fetch`, or of an earlier attempt.
    pub(super) async fn get(&self, fetch: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let attempt = move || async move {
            if let Some(error) = self.recent_failure() {
                return Err(error);
            }
            let began = clock::instant();
            match fetch.await {
                Err(error) if error.kind != ErrorKind::SignatureWrong => {
                    let now = clock::instant();
                    let rest = REST.max(now.duration_since(began) * REST_FOR_WORK);
                    *self.failure() = Some((error.clone(), clock::after(now, rest)));
                    Err(error)
                }
                value => Ok(value),
            }
        };
        self.value.get_or_try_init(attempt).await?.clone()
    }
}

impl<T> Fetched<T> {
    /// Forgets the failure, so that the next job that needs the value fetches it.
    pub(super) fn forget_failure(&self) {
        *self.failure() = None;
    }

    fn recent_failure(&self) -> Option<Error> {
        let failure = self.failure();
        let (error, until) = failure.as_ref()?;
        (clock::instant() < *until).then(|| error.clone())
    }

    fn failure(&self) -> MutexGuard<'_, Option<(Error, Instant)>> {
        // A poisoned lock can be used, because the value is set in one step.
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fails(kind: ErrorKind) -> Result<u8, Error> {
        Err(Error::new(kind, "", ""))
    }

    async fn sends(value: u8) -> Result<u8, Error> {
        Ok(value)
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_that_could_not_be_fetched_is_fetched_again_after_a_rest_or_when_the_user_retries() {
        for waits in [true, false] {
            let fetched = Fetched::default();
            let failed = fetched.get(fails(ErrorKind::DigestList)).await;
            assert_eq!(fetched.get(sends(1)).await, failed, "a job that comes soon after shares the failure");
            if waits {
                tokio::time::advance(REST).await;
            } else {
                fetched.forget_failure();
            }
            assert_eq!(fetched.get(sends(2)).await, Ok(2));
            assert_eq!(fetched.get(fails(ErrorKind::DigestList)).await, Ok(2));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_signature_is_never_forgotten() {
        let fetched = Fetched::default();
        let wrong = fetched.get(fails(ErrorKind::SignatureWrong)).await;
        fetched.forget_failure();
        tokio::time::advance(REST).await;
        assert_eq!(fetched.get(sends(1)).await, wrong);
    }
}
