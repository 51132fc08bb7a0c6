//! Passes arbitrary lists of inputs to a plan, including inputs that the engine never sends. The plan must
//! not break its invariant, must not panic, and must not return actions without end. A test with random
//! inputs and a fuzz target use this module.

use crate::plan_trace::Trace;
use downhaul_core::adopt::Adopted;
use downhaul_core::concurrency::Allowance;
use downhaul_core::digest::{Algorithm, Digest, Expected};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::identity::{Conditions, Origin};
use downhaul_core::job::{ChunkHashes, IfLocked};
use downhaul_core::journal::{Claim, Start};
use downhaul_core::plan::{Action, Answer, Input, Leftover, Place, Plan, Rules, Sizes};
use downhaul_core::remote::{Remote, Validator};
use downhaul_core::settings::{OnError, Verify};
use std::time::Duration;
use url::Url;

/// The highest number of actions that a plan may return in a row without an input, in addition to one for
/// each worker that it has started. A plan may drop all its workers at once. More actions count as an endless
/// loop.
const ACTIONS_MOST: usize = 200;

/// Makes choices from bytes. After the last byte, it uses zeros.
struct Choices<'b>(&'b [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    /// Returns an offset at which a decision of the plan may change, or an offset near it.
    fn offset(&mut self) -> u64 {
        let base = self.one_of(&[0, 1, 1_000, 5_000, 9_999, 20_000, 65_536, u64::MAX / 2, u64::MAX - 1]);
        base.saturating_add(u64::from(self.byte() % 4)).saturating_sub(u64::from(self.byte() % 4))
    }
}

/// Makes inputs from these bytes, and passes them to a plan. Returns a fingerprint of the plan's actions.
///
/// # Panics
/// Panics if the plan breaks its invariant or returns actions without end.
pub fn run_inputs(bytes: &[u8]) -> u64 {
    let mut choices = Choices(bytes);
    let mut plan = Plan::new(rules(&mut choices));
    let mut now = Duration::ZERO;
    let mut trace = Trace::new();
    let mut workers = 0;
    while !choices.0.is_empty() {
        now += Duration::from_millis(u64::from(choices.byte()) * 10);
        let most = usize::from(choices.byte() % 6);
        let (worth, surplus) = (most.min(usize::from(choices.byte() % 6)), usize::from(choices.byte() % 3));
        let mut room = Allowance { most, worth, replaces: true, surplus, not_before: Duration::ZERO };
        let limit = ACTIONS_MOST + workers;
        for count in 0.. {
            plan.check().unwrap_or_else(|broken| panic!("{broken}"));
            let action = plan.next(now, &[room, room, room]);
            trace.add(now, &action);
            match action {
                Action::Wait(_) => break,
                Action::Finish(_) => return trace.value(),
                Action::Fetch { .. } => {
                    (room.most, room.worth) = (room.most.saturating_sub(1), room.worth.saturating_sub(1));
                    workers += 1;
                }
                // A dropped connection is closed, and lowers the surplus. A connection whose segment was
                // shortened still counts as surplus.
                Action::Drop { .. } => room.surplus = room.surplus.saturating_sub(1),
                _ => {}
            }
            assert!(count < limit, "the plan returns actions without end: {plan:?}");
        }
        let input = event(&mut choices);
        plan.on(now, input);
    }
    trace.value()
}

fn rules(choices: &mut Choices) -> Rules {
    Rules {
        origins: origins(1 + usize::from(choices.byte() % 3)),
        look_first: choices.byte().is_multiple_of(2),
        retries: u32::from(choices.byte() % 4),
        retry_wait: Duration::ZERO,
        sends_once: false,
        on_error: choices.one_of(&[OnError::Ask, OnError::Retry, OnError::Skip, OnError::Exit]),
        if_locked: choices.one_of(&[IfLocked::Fail, IfLocked::Wait, IfLocked::Skip]),
        max_time: choices.one_of(&[None, None, Some(Duration::from_secs(30))]),
        verify: Verify::Auto,
        record: false,
        notes: Vec::new(),
        expected: if choices.byte().is_multiple_of(2) { Vec::new() } else { vec![expected()] },
        size: None,
        chunks: choices.one_of(&[None, Some(2_000), Some(5_000)]).map(chunk_hashes),
        connections: choices.one_of(&[None, Some(1), Some(4)]),
        sizes: Sizes {
            segment_least: 1_000,
            split_least: 100,
            single_below: 2_000,
            journal_from: choices.one_of(&[None, Some(3_000)]),
            window: 8_000,
            window_is_memory: choices.byte().is_multiple_of(2),
        },
        seed: u64::from(choices.byte()),
    }
}

fn event(choices: &mut Choices) -> Input {
    let worker = u32::from(choices.byte() % 8);
    let path = || "f".to_string();
    match choices.byte() % 16 {
        0 if choices.byte().is_multiple_of(4) => Input::Looked(Ok(Place::Ask(Conditions::default()))),
        0 => Input::Looked(Ok(Place::Free { path: path(), left: choices.byte().is_multiple_of(2) })),
        1 => Input::Placed(Ok(Place::Free { path: path(), left: false }), left(choices)),
        2 => Input::Placed(Err(error(choices)), None),
        3 => Input::Begun(if !choices.byte().is_multiple_of(4) { Ok(()) } else { Err(error(choices)) }),
        4..=6 => Input::Opened { worker, remote: Box::new(remote(choices)) },
        7..=9 => {
            let fresh = choices.byte().is_multiple_of(2);
            Input::Wrote { worker, upto: choices.offset(), fresh }
        }
        10 => Input::Ended { worker, result: Ok(()) },
        11 => Input::Ended { worker, result: Err(error(choices)) },
        12 => {
            let (start, number) = (choices.offset(), u32::from(choices.byte() % 4));
            let end = start.saturating_add(choices.offset()).max(start.saturating_add(1));
            Input::ClaimChecked {
                number,
                claim: Claim { start, end, crc: 0 },
                good: choices.byte().is_multiple_of(2),
            }
        }
        13 if choices.byte().is_multiple_of(2) => {
            let start = choices.offset() % 20_000;
            let good = match choices.byte() % 4 {
                0 => Err(error(choices)),
                n => Ok(n > 1),
            };
            let number = u32::from(choices.byte() % 4);
            match choices.byte() % 3 {
                0 => Input::Discarded {
                    number,
                    ranges: std::iter::once(start..start + 2_000).collect(),
                    result: good.map(drop),
                },
                _ => Input::ChunkVerified { number, chunk: start..start + 2_000, good },
            }
        }
        13 => Input::JournalChecked { number: u32::from(choices.byte() % 4) },
        14 => Input::Verified(Ok(Vec::<Digest>::new())),
        _ => match choices.byte() % 4 {
            0 => Input::Answer(Answer::Retry),
            1 => Input::Answer(Answer::Skip),
            2 => Input::Published(Ok(path())),
            _ => Input::OnError(OnError::Retry),
        },
    }
}

fn origins(count: usize) -> Vec<Origin> {
    crate::net_sim::origins(count)
}

/// Returns chunk hashes for a file of 20,000 bytes. `length` is the length of a chunk.
fn chunk_hashes(length: u64) -> ChunkHashes {
    let digests = vec![expected().digest; 20_000_usize.div_ceil(length as usize)];
    ChunkHashes { length, algorithm: Algorithm::Sha256, digests, from: "a list".into() }
}

fn expected() -> Expected {
    let digest = Digest::from_hex(Algorithm::Sha256, &crate::sha256(b"")).expect("a digest");
    Expected { digest, from: "a list".into() }
}

fn error(choices: &mut Choices) -> Error {
    Error::new(choices.one_of(ErrorKind::ALL), "somewhere", "")
}

fn left(choices: &mut Choices) -> Option<Leftover> {
    match choices.byte() % 3 {
        0 => None,
        1 => Adopted::prefix(choices.offset()).map(Leftover::Adopted),
        _ => {
            let size = choices.one_of(&[None, Some(5_000), Some(20_000)]);
            let validator = if choices.byte().is_multiple_of(2) {
                Validator::Unknown
            } else {
                Validator::Etag("\"a\"".into())
            };
            let claims = (0..choices.byte() % 5).map(|_| {
                let start = choices.offset() % 20_000;
                Claim { start, end: start + 1 + choices.offset() % 5_000, crc: 0 }
            });
            let claims = claims.filter(|claim| size.is_none_or(|size| claim.end <= size)).collect();
            Some(Leftover::Journal {
                start: Start {
                    url: String::new(),
                    origin: origins(1).pop(),
                    size,
                    validator,
                    coding: None,
                    digests: Vec::new(),
                },
                claims,
                adopted: None,
            })
        }
    }
}

/// Returns what a response says about the file: arbitrary facts, some of which contradict each other. A
/// source of a protocol other than HTTP may return such facts.
fn remote(choices: &mut Choices) -> Remote {
    let url = Url::parse("http://h/f").expect("a URL");
    let mut remote = match choices.byte() % 16 {
        0 => Remote::unchanged(url),
        1..=8 => {
            let (first, size) = (choices.offset(), choices.one_of(&[5_000, 20_000, u64::MAX]));
            let end = first.saturating_add(choices.offset());
            let end = if choices.byte().is_multiple_of(8) { end } else { end.min(size) };
            Remote::range(url, first..end, Some(size))
        }
        _ => Remote::whole(url),
    };
    if remote.is_whole() && !choices.byte().is_multiple_of(4) {
        remote.size = Some(choices.one_of(&[0, 1, 5_000, 20_000, u64::MAX]));
    }
    remote.can_resume = !choices.byte().is_multiple_of(8);
    remote.validator = match choices.byte() % 4 {
        0 => Validator::Unknown,
        1 | 2 => Validator::Etag("\"a\"".into()),
        _ => Validator::Etag("\"b\"".into()),
    };
    remote
}
