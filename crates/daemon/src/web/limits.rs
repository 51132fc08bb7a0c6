//! [`Limits`]: what clients may use before they have sent the secret, and how long a client with a wrong
//! secret waits for its answer.
//!
//! Invariant: the memory that clients without the secret use is bounded, and so is the number of their
//! WebSocket connections and of their long bodies.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// The answer to a wrong token is sent after this time, as in aria2, or later if other such answers wait.
/// This delay does not protect a short secret. If [`REFUSED_MOST`] such answers wait, the next request with a
/// wrong token is refused at once, and this refusal also shows that the token is wrong.
const REFUSED_AFTER: Duration = Duration::from_secs(1);

/// The highest number of requests with a wrong token that wait for their answer. Further requests are refused
/// at once.
const REFUSED_MOST: usize = 16;

/// The highest number of WebSocket connections whose clients have not sent the secret. As in aria2, a client
/// may receive notices without the secret.
const STRANGERS_MOST: usize = 64;

/// A body with more bytes than this is a long body. The number of long bodies is limited, because each may
/// take 2 MiB of memory.
pub(super) const SMALL_BODY: u64 = 64 * 1024;

/// The highest number of long bodies that are received at once from clients that have not sent the secret in
/// a header.
const LONG_BODIES_MOST: usize = 16;

/// The limits that all requests share. A place is a permit of one of the semaphores.
pub(super) struct Limits {
    /// Answers to wrong tokens are delayed one after the other.
    turn: Mutex<()>,
    refused: Semaphore,
    strangers: Arc<Semaphore>,
    long_bodies: Semaphore,
}

impl Limits {
    pub(super) fn new() -> Limits {
        Limits {
            turn: Mutex::new(()),
            refused: Semaphore::new(REFUSED_MOST),
            strangers: Arc::new(Semaphore::new(STRANGERS_MOST)),
            long_bodies: Semaphore::new(LONG_BODIES_MOST),
        }
    }

    /// Waits before the answer is sent, if `was_refused` is true because a call lacked the right token.
    /// Returns false if the request must be refused at once, because too many other requests wait already.
    pub(super) async fn slow_down(&self, was_refused: bool) -> bool {
        if !was_refused {
            return true;
        }
        let Ok(_place) = self.refused.try_acquire() else { return false };
        let _turn = self.turn.lock().await;
        tokio::time::sleep(REFUSED_AFTER).await;
        true
    }

    /// Returns a place for a WebSocket connection whose client has not sent the secret, if one is free.
    pub(super) fn stranger(&self) -> Option<OwnedSemaphorePermit> {
        self.strangers.clone().try_acquire_owned().ok()
    }

    /// Waits for a place to receive a long body. Returns `None` if no place becomes free in the time
    /// `within`.
    pub(super) async fn long_body(&self, within: Duration) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        tokio::time::timeout(within, self.long_bodies.acquire()).await.ok()?.ok()
    }
}
