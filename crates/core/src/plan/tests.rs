//! Tests that drive a plan from outside, one step at a time.

mod existing;
mod mirrors;
mod replacement;

use super::*;
use crate::http_response;
use crate::job::IfLocked;
use crate::remote::Remote;
use crate::settings::OnError;
use crate::settings::Verify;
use http::HeaderMap;
use url::Url;

const NOW: Duration = Duration::from_secs(1);
const PLENTY: Allowance =
    Allowance { most: 100, worth: 100, replaces: true, surplus: 0, not_before: Duration::ZERO };

fn rules() -> Rules {
    Rules {
        origins: vec![origin("http://h/f")],
        look_first: false,
        retries: 1,
        retry_wait: Duration::ZERO,
        sends_once: false,
        on_error: OnError::Retry,
        if_locked: IfLocked::Fail,
        max_time: None,
        verify: Verify::Auto,
        record: false,
        notes: Vec::new(),
        expected: Vec::new(),
        size: None,
        chunks: None,
        connections: Some(1),
        sizes: Sizes::FILE,
        seed: 1,
    }
}

fn origin(url: &str) -> Origin {
    Origin::of(&Url::parse(url).expect("a URL"), &Default::default())
}

fn response(status: u16, headers: &[(&'static str, &str)]) -> Box<Remote> {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a value")))
        .collect();
    Box::new(
        http_response::read(status, &Url::parse("http://h/f").expect("a URL"), &headers, false)
            .expect("a response"),
    )
}

/// Returns all actions up to the next wait, without the observations.
fn steps(plan: &mut Plan, now: Duration) -> Vec<Action> {
    let is_observation = |action: &Action| matches!(action, Action::Observe { .. });
    steps_within(plan, now, PLENTY).into_iter().filter(|action| !is_observation(action)).collect()
}

/// Returns all actions up to the next wait, with the observations.
fn steps_within(plan: &mut Plan, now: Duration, room: Allowance) -> Vec<Action> {
    let mut all = Vec::new();
    for _ in 0..100 {
        plan.check().expect("the invariant");
        match plan.next(now, &[room, room]) {
            Action::Wait(_) => return all,
            action => all.push(action),
        }
    }
    panic!("the plan returns no wait: {plan:?}");
}

/// Returns a plan whose first worker has written `bytes` of 100,000 bytes.
fn half_done(etag: &str, bytes: u64) -> Plan {
    half_done_with(rules(), etag, bytes)
}

fn half_done_with(rules: Rules, etag: &str, bytes: u64) -> Plan {
    let mut plan = Plan::new(rules);
    assert_eq!(steps(&mut plan, NOW), [Action::Fetch { worker: 1, source: 0, from: 0, to: None }]);
    let remote = response(200, &[("content-length", "100000"), ("etag", etag)]);
    plan.on(NOW, Input::Opened { worker: 1, remote });
    steps(&mut plan, NOW);
    plan.on(NOW, Input::Placed(Ok(Place::Free { path: "f".into(), left: false }), None));
    assert_eq!(steps(&mut plan, NOW)[1], Action::Accept { worker: 1, skip: 0, at: 0, end: Some(100_000) });
    plan.on(NOW, Input::Wrote { worker: 1, upto: bytes, fresh: true });
    plan
}

fn fetches(actions: &[Action]) -> Vec<u64> {
    let from = |action: &Action| if let Action::Fetch { from, .. } = action { Some(*from) } else { None };
    actions.iter().filter_map(from).collect()
}

const LATER: Duration = Duration::from_secs(100);

#[test]
fn a_broken_transfer_continues_only_with_the_same_validator() {
    let broken = || Input::Ended { worker: 1, result: Err(Error::new(ErrorKind::NetReset, "", "")) };
    for (etag, range, accepted, skip) in [
        ("\"a\"", "bytes 70000-99999/100000", true, 0),
        ("\"a\"", "bytes 60000-99999/100000", true, 10_000),
        ("\"b\"", "bytes 70000-99999/100000", false, 0),
        ("\"a\"", "bytes 70001-99999/100000", false, 0),
        ("\"a\"", "bytes 70000-99999/100001", false, 0),
    ] {
        let mut plan = half_done("\"a\"", 70_000);
        plan.on(NOW, broken());
        assert_eq!(fetches(&steps(&mut plan, LATER)), [70_000]);
        let remote = response(206, &[("content-range", range), ("etag", etag)]);
        plan.on(LATER, Input::Opened { worker: 2, remote });
        let goes_on = Action::Accept { worker: 2, skip, at: 70_000, end: Some(100_000) };
        let actions = steps(&mut plan, LATER);
        assert_eq!(actions.contains(&goes_on), accepted, "{etag} {range}: {actions:?}");
        if !accepted {
            assert!(actions.contains(&Action::Drop { worker: 2 }));
            assert_eq!(fetches(&steps(&mut plan, LATER * 2)), [0], "the download starts again");
        }
    }
}

#[test]
fn without_a_strong_validator_a_broken_transfer_starts_again() {
    let mut plan = half_done("W/\"a\"", 70_000);
    plan.on(NOW, Input::Ended { worker: 1, result: Err(Error::new(ErrorKind::NetReset, "", "")) });
    assert_eq!(fetches(&steps(&mut plan, LATER)), [0]);
}

#[test]
fn reports_of_dropped_workers_change_nothing() {
    let mut plan = half_done("\"a\"", 70_000);
    plan.on(NOW, Input::Ended { worker: 1, result: Err(Error::new(ErrorKind::NetReset, "", "")) });
    plan.on(NOW, Input::Wrote { worker: 1, upto: 90_000, fresh: true });
    plan.on(NOW, Input::Ended { worker: 1, result: Ok(()) });
    assert_eq!(plan.bytes(), 70_000);
}

#[test]
fn after_a_response_that_ends_too_early_the_missing_bytes_are_requested() {
    let mut plan = half_done("\"a\"", 70_000);
    plan.on(NOW, Input::Ended { worker: 1, result: Ok(()) });
    assert_eq!(fetches(&steps(&mut plan, LATER)), [70_000]);
}

#[test]
fn another_mirror_costs_no_retry_and_the_file_starts_again() {
    let mut plan =
        Plan::new(Rules { origins: vec![origin("http://h/f"), origin("http://g/f")], retries: 0, ..rules() });
    steps(&mut plan, NOW);
    plan.on(NOW, Input::Ended { worker: 1, result: Err(Error::new(ErrorKind::HttpNotFound, "", "")) });
    assert!(steps(&mut plan, NOW).contains(&Action::Fetch { worker: 2, source: 1, from: 0, to: None }));
    plan.on(NOW, Input::Ended { worker: 2, result: Err(Error::new(ErrorKind::HttpNotFound, "", "")) });
    assert!(matches!(steps(&mut plan, NOW).last(), Some(Action::Finish(Outcome::Failed { .. }))));
}

#[test]
fn max_time_ends_the_job() {
    let mut plan = Plan::new(Rules { max_time: Some(LATER), ..rules() });
    steps(&mut plan, NOW);
    assert_eq!(plan.next(NOW, &[PLENTY]), Action::Wait(Some(NOW + LATER)));
    let actions = steps(&mut plan, NOW + LATER);
    assert_eq!(actions[0], Action::Drop { worker: 1 });
    assert!(matches!(
        actions.last(),
        Some(Action::Finish(Outcome::Failed { kind: ErrorKind::JobMaxTime, .. }))
    ));
}

#[test]
fn surplus_workers_are_stopped_and_one_stays() {
    let sizes = Sizes { journal_from: None, ..Sizes::FILE };
    let mut plan = Plan::new(Rules { connections: None, sizes, ..rules() });
    let drive = |plan: &mut Plan, now: Duration, worth: usize, surplus: usize| {
        let room = Allowance { worth, surplus, ..PLENTY };
        let mut all = Vec::new();
        for _ in 0..20 {
            let action = plan.next(now, &[room]);
            if matches!(action, Action::Wait(_)) {
                break;
            }
            plan.check().expect("the invariant");
            all.push(action);
        }
        all
    };
    steps(&mut plan, NOW);
    let whole = response(200, &[("content-length", "100000000"), ("etag", "\"a\"")]);
    plan.on(NOW, Input::Opened { worker: 1, remote: whole });
    drive(&mut plan, NOW, 0, 0);
    plan.on(NOW, Input::Placed(Ok(Place::Free { path: "f".into(), left: false }), None));
    drive(&mut plan, NOW, 0, 0);
    let then = NOW * 2;
    plan.on(then, Input::Wrote { worker: 1, upto: 5_000_000, fresh: true });
    let probe = drive(&mut plan, then, 1, 0);
    let asked = probe.iter().find_map(|action| match action {
        Action::Fetch { worker: 2, from, to: Some(to), .. } => {
            Some(format!("bytes {from}-{}/100000000", to - 1))
        }
        _ => None,
    });
    let asked = asked.unwrap_or_else(|| panic!("{probe:?}"));
    let part = response(206, &[("content-range", asked.as_str()), ("etag", "\"a\"")]);
    plan.on(then, Input::Opened { worker: 2, remote: part });
    drive(&mut plan, then, 1, 0);
    let before = plan.transfer.ledger().assignments().len();
    assert!(before > 2, "{plan:?}");
    let stopped = [drive(&mut plan, then, 0, 100), drive(&mut plan, then, 0, 100)].concat();
    let drops = stopped.iter().filter(|action| matches!(action, Action::Drop { .. })).count();
    assert_eq!(drops, before - 2);
    assert!(
        plan.transfer.ledger().assignments().iter().all(|one| one.receiving),
        "two workers that receive are left: one always stays, and the other one is about to end"
    );
    assert!(
        !fetches(&drive(&mut plan, then, 1, 0)).is_empty(),
        "the segments of the stopped workers are free again"
    );
}

#[test]
fn a_valid_response_to_a_probe_is_used_although_the_first_connection_broke_before_it() {
    let sizes = Sizes { single_below: 0, segment_least: 1_000, split_least: 1_000, ..Sizes::FILE };
    let mut plan = half_done_with(Rules { connections: Some(2), sizes, ..rules() }, "\"a\"", 10_000);
    let actions = steps(&mut plan, NOW * 2);
    let probe = actions.iter().find_map(|action| match action {
        Action::Fetch { worker: 2, from, to: Some(to), .. } => Some((*from, *to)),
        _ => None,
    });
    let (from, to) = probe.unwrap_or_else(|| panic!("{actions:?}"));
    assert!(from > 10_000 && to <= 100_000, "{actions:?}");
    let broken = Err(Error::new(ErrorKind::NetReset, "", ""));
    plan.on(NOW * 2, Input::Ended { worker: 1, result: broken });
    steps(&mut plan, NOW * 2);
    let range = format!("bytes {from}-{}/100000", to - 1);
    let remote = response(206, &[("content-range", range.as_str()), ("etag", "\"a\"")]);
    plan.on(NOW * 2, Input::Opened { worker: 2, remote });
    let actions = steps(&mut plan, NOW * 2);
    let accepted = Action::Accept { worker: 2, skip: 0, at: from, end: Some(to) };
    assert!(actions.contains(&accepted), "{actions:?}");
}

const TRY_LOCK: Action = Action::Place { remote: None, begin: None };

/// Returns a plan whose partial file another run has locked.
fn locked(if_locked: IfLocked) -> Plan {
    let mut plan = Plan::new(Rules { if_locked, look_first: true, ..rules() });
    assert_eq!(steps(&mut plan, NOW), [Action::Look { remote: None }]);
    plan.on(NOW, Input::Looked(Ok(Place::Free { path: "f".into(), left: true })));
    assert_eq!(steps(&mut plan, NOW), [TRY_LOCK]);
    plan.on(NOW, is_locked());
    plan
}

fn is_locked() -> Input {
    Input::Placed(Err(Error::new(ErrorKind::FileLocked, "f", "")), None)
}

#[test]
fn a_job_waits_for_another_run_without_a_request_and_skips_the_file_that_the_run_finished() {
    let mut plan = locked(IfLocked::Wait);
    let told = steps(&mut plan, NOW);
    assert!(matches!(told[..], [Action::Tell(EventKind::Retrying { idle: true, .. })]), "{told:?}");
    assert!(plan.is_idle());
    for turn in 2..10 {
        let now = NOW * turn;
        assert_eq!(steps(&mut plan, now), [TRY_LOCK]);
        plan.on(now, is_locked());
        assert_eq!(steps(&mut plan, now), [], "only the first wait is reported");
    }
    assert_eq!(steps(&mut plan, LATER), [TRY_LOCK]);
    let kept = Kept { path: "f".into(), reason: "exists".into(), ..Kept::default() };
    plan.on(LATER, Input::Placed(Ok(Place::Taken(kept)), None));
    assert_eq!(steps(&mut plan, LATER).last(), Some(&Action::Finish(Outcome::Skipped)));
}

#[test]
fn a_job_downloads_the_file_that_another_run_left_without_a_partial_file() {
    let mut plan = locked(IfLocked::Wait);
    steps(&mut plan, NOW);
    assert_eq!(steps(&mut plan, LATER), [TRY_LOCK]);
    plan.on(LATER, Input::Placed(Ok(Place::Free { path: "f".into(), left: false }), None));
    assert_eq!(fetches(&steps(&mut plan, LATER)), [0]);
}

#[test]
fn a_job_that_waits_for_another_run_can_be_paused_and_stopped() {
    let mut plan = locked(IfLocked::Wait);
    steps(&mut plan, NOW);
    plan.on(NOW, Input::Pause(true));
    assert_eq!(steps(&mut plan, LATER), []);
    assert!(plan.is_paused());
    plan.on(LATER, Input::Pause(false));
    assert_eq!(steps(&mut plan, LATER), [TRY_LOCK]);
    plan.on(LATER, Input::Stop);
    assert!(matches!(steps(&mut plan, LATER).last(), Some(Action::Finish(Outcome::Failed { .. }))));
}

#[test]
fn a_job_leaves_its_file_to_another_run() {
    let mut plan = locked(IfLocked::Skip);
    let actions = steps(&mut plan, NOW);
    assert_eq!(actions.last(), Some(&Action::Finish(Outcome::Left)), "{actions:?}");
}
