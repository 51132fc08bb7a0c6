//! Carries out the end of a run, which a file may block.

use crate::exit::{self, Exit};
use crate::platform::{Signal, Signals};
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// The time for printing the results and for saving the session and the cookies, after a signal that arrives
/// in the meantime. All of this usually takes milliseconds.
const LIMIT: Duration = Duration::from_secs(1);

/// Carries out the end of a run on a separate thread, and returns its exit status. A file may block the end
/// without limit, for example a FIFO of `--save-cookies` that no program reads. So after a signal that
/// arrives during the end, the program ends within a second.
pub(super) fn unless_signalled(own: &Runtime, mut signals: Signals, end: impl FnOnce() -> u8 + Send) -> u8 {
    let (ended, has_ended) = oneshot::channel::<()>();
    let end = move || {
        let status = end();
        drop(ended);
        status
    };
    thread::scope(|scope| {
        let end = scope.spawn(end);
        own.block_on(async {
            let limit = async {
                while signals.next().await == Signal::Continue {}
                tokio::time::sleep(LIMIT).await;
            };
            tokio::select! {
                _ = has_ended => {}
                () = limit => exit::at_once(Exit::Terminated),
            }
        });
        end.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
