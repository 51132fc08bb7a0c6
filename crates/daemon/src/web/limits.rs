//! [`Limits`]: what clients may use before they have shown the secret, and how long a client with a wrong
//! secret waits for its answer.
//!
//! Invariant: the memory that clients without the secret use is bounded, and so is the number of their
//! WebSocket connections and of their long bodies.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// The answer to a wrong token comes after this time, as in aria2, or later if other such answers wait. This
/// is no protection for a short secret: the refusals above [`REFUSED_MOST`] come at once, and also show that
/// a token is wrong.
const REFUSED_AFTER: Duration = Duration::from_secs(1);

/// The most requests with a wrong token that wait for their answer. Further requests are refused at once.
const REFUSED_MOST: usize = 16;

/// The most WebSocket connections that have not shown the secret. aria2's clients may listen without it.
const STRANGERS_MOST: usize = 64;

/// Bodies with more bytes than this share a limited number of places, because each may take 2 MiB of memory.
pub(super) const SMALL_BODY: u64 = 64 * 1024;

/// The most long bodies that are received at once.
const LONG_BODIES_MOST: usize = 16;

/// The places that requests share.
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

    /// Waits if a call had a wrong token. Returns false if too many other requests wait already.
    pub(super) async fn slow_down(&self, was_refused: bool) -> bool {
        if !was_refused {
            return true;
        }
        let Ok(_place) = self.refused.try_acquire() else { return false };
        let _turn = self.turn.lock().await;
        tokio::time::sleep(REFUSED_AFTER).await;
        true
    }

    /// Returns a place for a WebSocket connection that has not shown the secret, if one is free.
    pub(super) fn stranger(&self) -> Option<OwnedSemaphorePermit> {
        self.strangers.clone().try_acquire_owned().ok()
    }

    /// Waits for a place to receive a long body. Returns `None` if none becomes free within this time.
    pub(super) async fn long_body(&self, within: Duration) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        tokio::time::timeout(within, self.long_bodies.acquire()).await.ok()?.ok()
    }
}
