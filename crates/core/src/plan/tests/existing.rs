//! Tests of files that exist before the run: files that are repaired, resumed, or compared with the server.

use super::*;
use crate::digest::Digest;
use crate::identity::Conditions;
use crate::job::ChunkHashes;
use crate::journal::{Claim, Start};
use crate::retry::PROGRESS;

/// The length of a chunk. Any chunk has enough bytes to count as progress.
const CHUNK: u64 = 4 * PROGRESS;

/// Returns rules for a file of `count` chunks, each with a digest.
fn chunked(count: usize) -> Rules {
    let digest = Digest::from_bytes(Algorithm::Sha256, &[7; 32]).expect("a digest");
    let chunks = ChunkHashes {
        length: CHUNK,
        algorithm: Algorithm::Sha256,
        digests: vec![digest; count],
        from: "the list".into(),
    };
    Rules { look_first: true, chunks: Some(chunks), ..rules() }
}

/// Returns a plan that repairs a file of `count` chunks, all of which are wrong except the first.
fn repairing(count: usize) -> Plan {
    let sizes = Sizes { journal_from: Some(0), ..Sizes::FILE };
    let mut plan = Plan::new(Rules { sizes, ..chunked(count) });
    steps(&mut plan, NOW);
    plan.on(NOW, Input::Looked(Ok(Place::Free { path: "f".into(), left: true })));
    steps(&mut plan, NOW);
    let whole = Leftover::Whole(CHUNK * count as u64);
    plan.on(NOW, Input::Placed(Ok(Place::Free { path: "f".into(), left: false }), Some(whole)));
    assert!(!plan.is_starving(), "no byte is missing while chunks are read back");
    let none = Allowance { most: 0, worth: 0, ..PLENTY };
    for _ in 0..count {
        let actions = steps_within(&mut plan, NOW, none);
        let chunk = actions.iter().find_map(|action| match action {
            Action::VerifyChunk { number, chunk, .. } => Some((*number, chunk.clone())),
            _ => None,
        });
        let Some((number, chunk)) = chunk else { panic!("{actions:?}") };
        let good = chunk.start == 0;
        plan.on(NOW, Input::ChunkVerified { number, chunk: chunk.clone(), good: Ok(good) });
        if !good {
            plan.on(NOW, Input::Discarded { number, ranges: vec![chunk], result: Ok(()) });
        }
    }
    steps_within(&mut plan, NOW, none);
    assert!(plan.is_starving(), "bytes are missing");
    plan
}

#[test]
fn a_repair_that_is_stopped_can_be_resumed_though_it_has_no_journal() {
    let mut plan = repairing(3);
    plan.on(NOW, Input::Stop);
    let actions = steps(&mut plan, NOW);
    let end = Action::Finish(Outcome::Failed {
        kind: ErrorKind::RunStopped,
        exhausted: false,
        stop_all: false,
        resumable: true,
    });
    assert_eq!(actions.last(), Some(&end), "{actions:?}");
}

#[test]
fn connections_that_break_after_progress_cost_a_repair_no_retry() {
    let mut plan = repairing(6);
    let size = CHUNK * 6;
    for turn in 1..5 {
        let now = LATER * turn;
        let actions = steps(&mut plan, now);
        let fetched = actions.iter().find_map(|action| match action {
            Action::Fetch { worker, from, to, .. } => Some((*worker, *from, to.unwrap_or(size))),
            _ => None,
        });
        let Some((worker, from, to)) = fetched else { panic!("turn {turn}: {actions:?}") };
        let range = format!("bytes {from}-{}/{size}", to - 1);
        let remote = response(206, &[("content-range", range.as_str()), ("etag", "\"a\"")]);
        plan.on(now, Input::Opened { worker, remote });
        steps(&mut plan, now);
        plan.on(now, Input::Wrote { worker, upto: from + PROGRESS, fresh: true });
        let broken = Err(Error::new(ErrorKind::NetReset, "", ""));
        plan.on(now, Input::Ended { worker, result: broken });
        plan.check().expect("the invariant");
        assert_eq!(plan.retry.used(), 0, "turn {turn}");
    }
}

#[test]
fn bytes_of_an_earlier_run_are_progress_if_they_were_wrong_and_came_again() {
    let mut plan = Plan::new(chunked(2));
    steps(&mut plan, NOW);
    plan.on(NOW, Input::Looked(Ok(Place::Free { path: "f".into(), left: true })));
    steps(&mut plan, NOW);
    let start = Start {
        url: "http://h/f".into(),
        origin: Some(origin("http://h/f")),
        size: Some(CHUNK * 2),
        validator: response(200, &[("etag", "\"a\"")]).validator,
        coding: None,
        digests: Vec::new(),
    };
    let claim = Claim { start: 0, end: CHUNK * 2, crc: 0 };
    let left = Leftover::Journal { start, claims: vec![claim], adopted: None };
    plan.on(NOW, Input::Placed(Ok(Place::Free { path: "f".into(), left: false }), Some(left)));
    assert!(!plan.is_starving(), "no byte is missing while the journal is checked");
    let number = plan.transfer.generation();
    plan.on(NOW, Input::ClaimChecked { number, claim, good: true });
    assert_eq!(plan.transfer.best(), 0);
    let chunk = 0..CHUNK;
    plan.on(NOW, Input::ChunkVerified { number, chunk: chunk.clone(), good: Ok(false) });
    plan.on(NOW, Input::Discarded { number, ranges: vec![chunk], result: Ok(()) });
    plan.on(NOW, Input::JournalChecked { number });
    let actions = steps(&mut plan, NOW);
    assert_eq!(fetches(&actions), [0], "{actions:?}");
    let range = format!("bytes 0-{}/{}", CHUNK - 1, CHUNK * 2);
    let remote = response(206, &[("content-range", range.as_str()), ("etag", "\"a\"")]);
    plan.on(NOW, Input::Opened { worker: 1, remote });
    steps(&mut plan, NOW);
    plan.on(NOW, Input::Wrote { worker: 1, upto: PROGRESS, fresh: true });
    assert_eq!(plan.transfer.best(), PROGRESS);
}

#[test]
fn a_question_about_an_existing_file_waits_until_the_host_may_get_a_request() {
    let mut plan = Plan::new(Rules { look_first: true, ..rules() });
    steps(&mut plan, NOW);
    plan.on(NOW, Input::Looked(Ok(Place::Ask(Conditions { etag: None, modified: None }))));
    let later = Allowance { not_before: LATER, ..PLENTY };
    assert_eq!(plan.next(NOW, &[later]), Action::Wait(Some(LATER)));
    assert!(matches!(plan.next(LATER, &[later]), Action::Ask { worker: 1, source: 0, .. }));
}
