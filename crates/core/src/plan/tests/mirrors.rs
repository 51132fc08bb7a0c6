//! Tests of a download with two mirrors: which mirror sends which bytes, and which bytes stay on the disk.

use super::*;
use crate::digest::Expected;
use crate::journal::{Claim, Start};

const SIZE: u64 = 100_000;

/// The host gets no further connection.
const NONE: Allowance = Allowance { most: 0, worth: 0, replaces: false, ..PLENTY };

fn two_mirrors(retries: u32) -> Rules {
    let sizes = Sizes {
        journal_from: Some(0),
        single_below: 0,
        segment_least: 1_000,
        split_least: 1_000,
        ..Sizes::FILE
    };
    let origins = vec![origin("http://h/f"), origin("http://g/f")];
    Rules { origins, connections: None, sizes, retries, ..rules() }
}

/// Returns all actions up to the next wait, if the hosts of the two mirrors have these allowances.
fn act(plan: &mut Plan, now: Duration, rooms: [Allowance; 2]) -> Vec<Action> {
    let mut all = Vec::new();
    for _ in 0..100 {
        plan.check().expect("the invariant");
        match plan.next(now, &rooms) {
            Action::Wait(_) => return all,
            action => all.push(action),
        }
    }
    panic!("the plan returns no wait: {plan:?}");
}

/// Returns the workers of the requests in these actions, each with its source, the offset of the first
/// requested byte, and the offset after the last one.
fn requests(actions: &[Action]) -> Vec<(WorkerId, usize, u64, u64)> {
    let request = |action: &Action| match action {
        Action::Fetch { worker, source, from, to } => Some((*worker, *source, *from, to.unwrap_or(SIZE))),
        _ => None,
    };
    actions.iter().filter_map(request).collect()
}

/// The worker receives a range, and the connection ends.
fn deliver(plan: &mut Plan, now: Duration, worker: WorkerId, from: u64, to: u64, rooms: [Allowance; 2]) {
    let range = format!("bytes {from}-{}/{SIZE}", to - 1);
    let remote = response(206, &[("content-range", range.as_str()), ("etag", "\"a\"")]);
    plan.on(now, Input::Opened { worker, remote });
    act(plan, now, rooms);
    plan.on(now, Input::Wrote { worker, upto: to, fresh: true });
    plan.on(now, Input::Ended { worker, result: Ok(()) });
}

fn ended(worker: WorkerId, kind: ErrorKind) -> Input {
    Input::Ended { worker, result: Err(Error::new(kind, "", "")) }
}

fn sha256(digit: char) -> Digest {
    Digest::from_hex(Algorithm::Sha256, &digit.to_string().repeat(64)).expect("a digest")
}

#[test]
fn a_failure_of_another_mirror_keeps_the_bytes_on_the_disk() {
    for retries in [0, 1] {
        let mut plan =
            half_done_with(Rules { connections: Some(1), ..two_mirrors(retries) }, "\"a\"", 70_000);
        plan.on(NOW, ended(1, ErrorKind::NetReset));
        let mut now = NOW;
        let outcome = loop {
            now += LATER;
            let actions = steps(&mut plan, now);
            if let Some(Action::Finish(outcome)) = actions.last() {
                break outcome.clone();
            }
            let [(worker, ..)] = requests(&actions)[..] else { panic!("{actions:?}") };
            plan.on(now, ended(worker, ErrorKind::ConnectRefused));
        };
        assert!(matches!(outcome, Outcome::Failed { resumable: true, .. }), "{retries}: {outcome:?}");
        assert_eq!((plan.bytes(), plan.kept()), (0, 70_000), "the last request was for the whole file");
    }
}

#[test]
fn a_suspected_mirror_sends_none_of_the_bytes_again_even_if_a_connection_to_the_other_breaks() {
    let expected = Expected { digest: sha256('0'), from: "x".into() };
    let mut plan = half_done_with(Rules { expected: vec![expected], ..two_mirrors(1) }, "\"a\"", 70_000);
    // The second mirror sends the rest of the file.
    plan.on(NOW, ended(1, ErrorKind::HttpGone));
    for _ in 0..100 {
        let actions = act(&mut plan, NOW, [NONE, PLENTY]);
        if actions.contains(&Action::Verify) {
            break;
        }
        for (worker, source, from, to) in requests(&actions) {
            assert_eq!(source, 1);
            deliver(&mut plan, NOW, worker, from, to, [NONE, NONE]);
        }
    }
    // The digest is wrong, so the bytes of one mirror are fetched again from the other mirror.
    plan.on(NOW, Input::Verified(Ok(vec![sha256('1')])));
    let actions = act(&mut plan, NOW, [PLENTY, PLENTY]);
    let discard = |action: &Action| match action {
        Action::Discard { number, ranges } => Some((*number, ranges.clone())),
        _ => None,
    };
    let (number, ranges) = actions.iter().find_map(discard).expect("bytes to discard");
    plan.on(NOW, Input::Discarded { number, ranges, result: Ok(()) });
    let again = requests(&act(&mut plan, NOW, [PLENTY, PLENTY]));
    let source = again[0].1;
    assert!(again.iter().all(|request| request.1 == source), "{again:?}");
    for (worker, ..) in again {
        plan.on(NOW, ended(worker, ErrorKind::NetReset));
    }
    let after = requests(&act(&mut plan, LATER, [PLENTY, PLENTY]));
    assert!(!after.is_empty() && after.iter().all(|request| request.1 == source), "{after:?}");
    assert_eq!(plan.sources.usable(), [source], "further connections go to this mirror too");
}

/// A partial file that came from this URL, and has the first 60,000 bytes.
fn left_by(url: &str) -> Leftover {
    let start = Start {
        url: url.into(),
        origin: Some(origin(url)),
        size: Some(SIZE),
        validator: Validator::Etag("\"a\"".into()),
        coding: None,
        digests: Vec::new(),
    };
    Leftover::Journal { start, claims: vec![Claim { start: 0, end: 60_000, crc: 0 }], adopted: None }
}

#[test]
fn a_partial_file_is_continued_by_the_mirror_that_sent_it_unless_that_mirror_failed_in_this_run() {
    let respond = |plan: &mut Plan, worker, left| {
        let remote = response(200, &[("content-length", "100000"), ("etag", "\"a\"")]);
        plan.on(NOW, Input::Opened { worker, remote });
        steps(plan, NOW);
        plan.on(NOW, Input::Placed(Ok(Place::Free { path: "f".into(), left: false }), Some(left)));
        steps(plan, NOW)
    };
    // The first mirror gives the file its name, and the second mirror continues the partial file.
    let mut plan = Plan::new(Rules { connections: Some(1), ..two_mirrors(1) });
    steps(&mut plan, NOW);
    let actions = respond(&mut plan, 1, left_by("http://g/f"));
    assert!(actions.contains(&Action::Drop { worker: 1 }), "{actions:?}");
    assert_eq!((requests(&actions)[0].1, requests(&actions)[0].2), (1, 60_000), "{actions:?}");
    // The first mirror fails, and the second one has a file with the same size and ETag. Without a digest,
    // this does not show that the bytes of the first mirror belong to this file.
    let mut plan = Plan::new(Rules { connections: Some(1), ..two_mirrors(1) });
    steps(&mut plan, NOW);
    plan.on(NOW, ended(1, ErrorKind::HttpGone));
    steps(&mut plan, NOW);
    let actions = respond(&mut plan, 2, left_by("http://h/f"));
    assert!(actions.iter().any(|action| matches!(action, Action::Begin(_))), "{actions:?}");
}
