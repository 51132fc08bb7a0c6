//! A fingerprint of all actions of a plan. It is used to compare two versions of the plan.
//!
//! Invariant: the fingerprint does not depend on names of types or on messages. It stays the same if a type
//! is renamed or a message is changed.

use downhaul_core::event::{EventKind, Failure};
use downhaul_core::plan::{Action, Outcome};
use std::time::Duration;

/// A hash of actions and their times (FNV-1a of 64 bits: Fowler, Noll and Vo).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace(u64);

impl Trace {
    pub(crate) fn new() -> Trace {
        Trace(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }

    /// Adds an action that a plan returned at the time `now`. For [`Action::Wait`], only the time is added.
    pub(crate) fn add(&mut self, now: Duration, action: &Action) {
        let text = format!("{} {}", now.as_nanos(), action_text(action));
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

fn action_text(action: &Action) -> String {
    match action {
        Action::Look { remote } => format!("look {}", remote.is_some()),
        Action::Ask { worker, source, .. } => format!("ask {worker} {source}"),
        Action::Place { remote, begin } => {
            let begin = begin.as_ref().map(|begin| (begin.journal.is_some(), begin.keep));
            format!("place {} {begin:?}", remote.is_some())
        }
        Action::Begin(begin) => format!("begin {} {}", begin.journal.is_some(), begin.keep),
        Action::CheckJournal { number, claims } => {
            let claims: Vec<_> = claims.iter().map(|claim| (claim.start, claim.end, claim.crc)).collect();
            format!("check {number} {claims:?}")
        }
        Action::Fetch { worker, source, from, to } => format!("fetch {worker} {source} {from} {to:?}"),
        Action::Accept { worker, skip, at, end } => format!("accept {worker} {skip} {at} {end:?}"),
        Action::Cut { worker, end } => format!("cut {worker} {end}"),
        Action::Drop { worker } => format!("drop {worker}"),
        Action::VerifyChunk { number, chunk, expected } => format!("verify {number} {chunk:?} {expected}"),
        Action::Discard { number, ranges } => format!("discard {number} {ranges:?}"),
        Action::Verify => "verify".into(),
        Action::Publish => "publish".into(),
        Action::Tell(event) => event_text(event),
        Action::Observe { source, .. } => format!("observe {source}"),
        Action::Wait(_) => String::new(),
        Action::Finish(outcome) => match outcome {
            Outcome::Finished => "finished".into(),
            Outcome::Skipped => "skipped".into(),
            Outcome::Left => "left to another run".into(),
            Outcome::Failed { kind, exhausted, stop_all, resumable } => {
                format!("failed {} {exhausted} {stop_all} {resumable}", kind.code())
            }
        },
    }
}

fn event_text(event: &EventKind) -> String {
    let code = |error: &Failure| error.code.clone();
    match event {
        EventKind::Started { path, size, validator, .. } => format!("started {path} {size:?} {validator:?}"),
        EventKind::Resumed { from, bytes, .. } => format!("resumed {from} {bytes}"),
        EventKind::Retrying { error, attempt, of, wait, from, .. } => {
            format!("retrying {} {attempt} {of} {wait} {from}", code(error))
        }
        EventKind::MirrorLeft { error, .. } => format!("mirror left {}", code(error)),
        EventKind::Question { error, left, .. } => format!("question {} {left}", code(error)),
        EventKind::Verified { algorithm, digest, .. } => format!("verified {algorithm} {digest}"),
        EventKind::Finished { bytes, fetched, seconds, digests, warnings, .. } => {
            format!("finished {bytes} {fetched} {seconds} {digests:?} {}", warnings.len())
        }
        EventKind::Failed { error, retries, exhausted, .. } => {
            format!("failed {} {retries} {exhausted}", code(error))
        }
        _ => "other".into(),
    }
}
