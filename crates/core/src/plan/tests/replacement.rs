//! Tests of a download whose only worker becomes silent. A second worker may replace it.

use super::*;
use crate::concurrency::Observation;

/// The allowance of a host that has as many connections as it should have.
const ENOUGH: Allowance = Allowance { worth: 0, ..PLENTY };

const MOMENT: Duration = Duration::from_millis(900);

fn several() -> Rules {
    let sizes = Sizes { single_below: 0, segment_least: 1_000, split_least: 1_000, ..Sizes::FILE };
    Rules { connections: None, sizes, ..rules() }
}

/// Returns a plan whose first worker wrote 10,000 bytes and then became silent. Also returns the end of the
/// range that the second worker requested.
fn replacing() -> (Plan, u64) {
    let mut plan = half_done_with(several(), "\"a\"", 10_000);
    steps_within(&mut plan, NOW, ENOUGH);
    let wait = plan.next(NOW, &[ENOUGH]);
    assert!(matches!(wait, Action::Wait(Some(at)) if at < NOW + MOMENT), "{wait:?}");
    assert_eq!(steps_within(&mut plan, NOW + MOMENT, ENOUGH), []);
    let actions = steps_within(&mut plan, NOW * 3, ENOUGH);
    let [Action::Fetch { worker: 2, source: 0, from: 10_000, to: Some(to) }] = actions[..] else {
        panic!("{actions:?}")
    };
    let surplus = Allowance { surplus: 1, ..ENOUGH };
    assert_eq!(steps_within(&mut plan, NOW * 3, surplus), [], "both workers stay until the response");
    (plan, to)
}

fn respond(plan: &mut Plan, now: Duration, worker: WorkerId, from: u64, to: u64) -> Vec<Action> {
    let range = format!("bytes {from}-{}/100000", to - 1);
    let remote = response(206, &[("content-range", range.as_str()), ("etag", "\"a\"")]);
    plan.on(now, Input::Opened { worker, remote });
    steps_within(plan, now, ENOUGH)
}

#[test]
fn a_silent_worker_is_replaced_when_the_other_response_arrives() {
    let (mut plan, to) = replacing();
    let actions = respond(&mut plan, NOW * 3, 2, 10_000, to);
    let accepted = Action::Accept { worker: 2, skip: 0, at: 10_000, end: Some(to) };
    assert!(actions.contains(&Action::Drop { worker: 1 }) && actions.contains(&accepted), "{actions:?}");
    plan.on(NOW * 3, Input::Wrote { worker: 2, upto: to, fresh: true });
    plan.on(NOW * 3, Input::Ended { worker: 2, result: Ok(()) });
    assert_eq!(fetches(&steps_within(&mut plan, NOW * 3, ENOUGH)), [to], "the rest of the file follows");
}

#[test]
fn a_silent_worker_that_delivers_again_before_the_other_response_stays() {
    let (mut plan, to) = replacing();
    plan.on(NOW * 3, Input::Wrote { worker: 1, upto: 20_000, fresh: true });
    let actions = respond(&mut plan, NOW * 3, 2, 10_000, to);
    assert!(actions.contains(&Action::Drop { worker: 2 }), "{actions:?}");
    let workers: Vec<_> = plan.transfer.ledger().assignments().iter().map(|one| one.worker).collect();
    assert_eq!((workers, plan.bytes()), (vec![1], 20_000));
}

#[test]
fn a_silent_worker_stays_if_the_request_of_its_replacement_fails() {
    // The silent worker shows that the network may have failed. So a connection that fails now does not show
    // that the host refuses further connections.
    for (kind, refused) in [(ErrorKind::HttpBusy, true), (ErrorKind::ConnectTimeout, false)] {
        let (mut plan, _) = replacing();
        plan.on(NOW * 3, Input::Ended { worker: 2, result: Err(Error::new(kind, "", "")) });
        let actions = steps_within(&mut plan, NOW * 3, ENOUGH);
        let is_refusal = |action: &Action| {
            matches!(
                action,
                Action::Observe { observation: Observation::Refused { deliberate: true, .. }, .. }
            )
        };
        assert_eq!(actions.len(), 1, "{actions:?}");
        assert_eq!(is_refusal(&actions[0]), refused, "{actions:?}");
        assert_eq!(plan.transfer.ledger().assignments()[0].worker, 1);
    }
}

#[test]
fn a_silent_worker_is_not_replaced_if_no_further_connection_is_allowed_or_useful() {
    let no_room = Allowance { replaces: false, ..ENOUGH };
    for (rules, etag, room) in [
        (several(), "\"a\"", no_room),
        (Rules { connections: Some(1), ..several() }, "\"a\"", ENOUGH),
        (Rules { sizes: Sizes::FILE, ..several() }, "\"a\"", ENOUGH),
        (several(), "W/\"a\"", ENOUGH),
    ] {
        let mut plan = half_done_with(rules, etag, 10_000);
        assert!(fetches(&steps_within(&mut plan, NOW * 20, room)).is_empty());
    }
}

#[test]
fn before_the_first_bytes_another_worker_is_started_only_as_a_replacement() {
    let mut plan = half_done_with(Rules { connections: Some(4), ..several() }, "\"a\"", 0);
    assert!(steps(&mut plan, NOW + MOMENT).is_empty());
    assert_eq!(fetches(&steps(&mut plan, NOW * 3)), [0]);
}

#[test]
fn a_server_that_always_pauses_gets_few_additional_requests() {
    let mut plan = half_done_with(several(), "\"a\"", 10_000);
    let mut requests = 0;
    for step in 0..480 {
        let now = NOW + Duration::from_millis(250) * step;
        let fetched = steps_within(&mut plan, now, ENOUGH).into_iter().find_map(|action| match action {
            Action::Fetch { worker, from, to: Some(to), .. } => Some((worker, from, to)),
            _ => None,
        });
        if let Some((worker, from, to)) = fetched {
            requests += 1;
            respond(&mut plan, now, worker, from, to);
        }
    }
    assert!((4..=7).contains(&requests), "{requests} requests in two minutes");
}
