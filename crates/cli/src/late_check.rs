//! Checks the rest of long lists during a run, on a separate thread.
//!
//! Invariant: if the lists have mistakes, the run stops as soon as the first mistake is found. The run ends
//! with a usage error that shows the first mistakes of each list.

use crate::exit::Exit;
use crate::input::{Ended, Rest, SoFar, Whole};
use crate::run::{self, Shared};
use crate::survey;
use downhaul_engine::Session;
use downhaul_engine::core::settings::Verify;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

pub(crate) struct LateCheck {
    so_far: Arc<SoFar>,
    thread: JoinHandle<()>,
}

impl LateCheck {
    pub(crate) fn start(rest: Rest, session: Arc<Session>, shared: Arc<Shared>, verify: Verify) -> LateCheck {
        let so_far = rest.so_far();
        let thread = thread::spawn(move || {
            let stop = || {
                shared.end(Exit::Usage);
                session.stop();
                run::error(
                    "a list has a mistake, so the run stops. The rest of the lists is read to find more mistakes",
                );
            };
            match rest.run(stop) {
                Ended::Right(whole) => report(whole, verify, &shared),
                Ended::Wrong(why) => shared.print_last(vec![format!("error: {why}")]),
                Ended::Cancelled => {}
            }
        });
        LateCheck { so_far, thread }
    }

    /// Ends the check, because the run has ended. Returns the thread of the check if the check has something
    /// to report. The run does not wait for a check that it no longer needs.
    pub(crate) fn end(self) -> Option<JoinHandle<()>> {
        self.so_far.cancel();
        self.so_far.has_ended().then_some(self.thread)
    }
}

fn report(Whole { files, has_new_digests, warnings }: Whole, verify: Verify, shared: &Shared) {
    warnings.iter().for_each(|warning| run::warn(warning));
    if has_new_digests && verify == Verify::Off {
        run::warn(survey::NOT_CHECKED);
    }
    if let Some(files) = files {
        shared.expect_files(Some(files));
    }
}
