//! Tests of the decisions that can follow a failure.

use super::*;
use crate::error::{Pause, Why};
use crate::identity::Origin;
use crate::plan::sources::Out;

const NOTHING_WRITTEN: Situation = Situation {
    continues: false,
    only_leftovers: false,
    best: 0,
    received: 0,
    placing: false,
    is_digest_doubtful: false,
    is_preferred: false,
    transferring: false,
    replaces_adopted: false,
};

fn sources(count: usize) -> Sources {
    let url = |n| url::Url::parse(&format!("http://h{n}/f")).expect("a URL");
    let origins: Vec<Origin> = (0..count).map(|n| Origin::of(&url(n), &Default::default())).collect();
    Sources::new(&origins)
}

fn policy(retries: u32, on_error: OnError) -> RetryPolicy {
    RetryPolicy {
        retries,
        sends_once: false,
        on_error,
        if_locked: IfLocked::Fail,
        max_time: None,
        budget: Budget::new(retries, Duration::ZERO, 1),
        pauses: Pauses::default(),
        idle: Duration::ZERO,
    }
}

#[test]
fn each_failure_has_one_decision() {
    let wait = Duration::from_secs(60);
    let busy = Error::new(ErrorKind::HttpBusy, "", "").with_pause(Pause { wait, why: Why::Asked });
    let error = |kind| Error::new(kind, "", "");
    let continues = Situation { continues: true, best: 1 << 20, received: 1 << 20, ..NOTHING_WRITTEN };
    let leftovers = Situation { only_leftovers: true, ..NOTHING_WRITTEN };
    let replaces = Situation { replaces_adopted: true, ..NOTHING_WRITTEN };
    let name = |decision| match decision {
        FailureDecision::Pause { .. } => "pause",
        FailureDecision::StartAgain => "start again",
        FailureDecision::Continue { .. } => "continue",
        FailureDecision::NextMirror => "next mirror",
        FailureDecision::WaitForLock { .. } => "wait for the lock",
        FailureDecision::LeaveToOtherRun => "leave to the other run",
        FailureDecision::Retry { .. } => "retry",
        FailureDecision::Ask { .. } => "ask",
        FailureDecision::GiveUp { exhausted: true, .. } => "give up, exhausted",
        FailureDecision::GiveUp { stop_all: true, .. } => "stop all",
        FailureDecision::GiveUp { .. } => "give up",
    };
    for (error, on_error, retries, mirrors, situation, expected) in [
        (busy, OnError::Retry, 0, 1, NOTHING_WRITTEN, "pause"),
        (error(ErrorKind::RemoteChanged), OnError::Retry, 0, 1, leftovers, "start again"),
        (error(ErrorKind::DigestMismatch), OnError::Retry, 0, 1, leftovers, "give up"),
        (error(ErrorKind::NetReset), OnError::Retry, 0, 2, continues, "continue"),
        (error(ErrorKind::NetReset), OnError::Retry, 1, 2, NOTHING_WRITTEN, "next mirror"),
        (error(ErrorKind::NetReset), OnError::Retry, 1, 1, NOTHING_WRITTEN, "retry"),
        (error(ErrorKind::DiskFull), OnError::Retry, 1, 2, NOTHING_WRITTEN, "give up"),
        (error(ErrorKind::NetReset), OnError::Ask, 1, 1, NOTHING_WRITTEN, "ask"),
        (error(ErrorKind::NetReset), OnError::Ask, 0, 1, NOTHING_WRITTEN, "give up, exhausted"),
        (error(ErrorKind::NetReset), OnError::Exit, 1, 1, NOTHING_WRITTEN, "stop all"),
        (error(ErrorKind::HttpLater), OnError::Retry, 1, 2, NOTHING_WRITTEN, "next mirror"),
        (error(ErrorKind::HttpLater), OnError::Retry, 1, 1, NOTHING_WRITTEN, "give up"),
        (error(ErrorKind::HttpLater), OnError::Retry, 1, 2, continues, "give up"),
        (error(ErrorKind::FileLocked), OnError::Retry, 1, 1, NOTHING_WRITTEN, "give up"),
        (error(ErrorKind::ResumeDamaged), OnError::Retry, 0, 1, replaces, "start again"),
    ] {
        let mut policy = policy(retries, on_error);
        let decision = policy.decide(Duration::from_secs(1), &error, situation, &mut sources(mirrors));
        assert_eq!(name(decision), expected, "{error}, {on_error:?}");
    }
}

#[test]
fn an_error_of_a_source_is_not_a_lock_on_the_disk() {
    let locked = Error::new(ErrorKind::FileLocked, "", "");
    for if_locked in [IfLocked::Wait, IfLocked::Skip] {
        for transferring in [false, true] {
            let mut policy = RetryPolicy { if_locked, ..policy(1, OnError::Retry) };
            let situation = Situation { transferring, ..NOTHING_WRITTEN };
            let decision = policy.decide(Duration::ZERO, &locked, situation, &mut sources(1));
            let gives_up = matches!(decision, FailureDecision::GiveUp { .. });
            assert_eq!(gives_up, transferring, "{if_locked:?}: {decision:?}");
        }
    }
}

#[test]
fn dropped_mirrors_are_used_again_after_the_last_one_failed_while_retries_are_left() {
    let (mut policy, mut sources) = (policy(1, OnError::Retry), sources(2));
    sources.take_out(0, Out::Dropped);
    assert!(policy.decide_on_last_mirror(1, &mut sources).is_some());
    assert_eq!((policy.used(), sources.usable()), (1, vec![0]));
    sources.take_out(0, Out::Dropped);
    assert_eq!(policy.decide_on_last_mirror(1, &mut sources), None, "no retry is left");
    let mut alone = self::sources(1);
    assert_eq!(self::policy(1, OnError::Retry).decide_on_last_mirror(0, &mut alone), None);
}

#[test]
fn a_request_that_may_have_changed_something_is_not_sent_to_another_mirror() {
    for (kind, is_sent) in [
        (ErrorKind::NetReset, false),
        (ErrorKind::HttpTruncated, false),
        (ErrorKind::HttpServer, false),
        (ErrorKind::HttpForbidden, false),
        (ErrorKind::HttpNotFound, true),
        (ErrorKind::ConnectRefused, true),
    ] {
        let mut policy = RetryPolicy { sends_once: true, ..policy(0, OnError::Retry) };
        let decision =
            policy.decide(Duration::ZERO, &Error::new(kind, "", ""), NOTHING_WRITTEN, &mut sources(2));
        assert_eq!(decision == FailureDecision::NextMirror, is_sent, "{kind:?}");
    }
}

#[test]
fn a_full_host_is_left_for_another_mirror_unless_received_bytes_would_be_lost() {
    let pause = Pause { wait: Duration::ZERO, why: Why::Full };
    let error = Error::new(ErrorKind::NetReset, "", "").with_pause(pause);
    for (continues, mirrors, is_left) in [(false, 2, true), (true, 2, false), (false, 1, false)] {
        let mut policy = policy(0, OnError::Retry);
        let situation = Situation { continues, ..NOTHING_WRITTEN };
        let decision = policy.decide(Duration::ZERO, &error, situation, &mut sources(mirrors));
        assert_eq!(decision == FailureDecision::NextMirror, is_left, "{continues}, {mirrors}");
        assert!(is_left || matches!(decision, FailureDecision::Pause { .. }), "{decision:?}");
    }
}

#[test]
fn a_request_that_may_have_changed_something_is_repeated_after_a_pause_only_if_the_server_refused_it() {
    for (kind, why, is_repeated) in [
        (ErrorKind::NetReset, Why::Banned, false),
        (ErrorKind::NetReset, Why::Shared, false),
        (ErrorKind::HttpForbidden, Why::Banned, true),
        (ErrorKind::ConnectRefused, Why::Banned, true),
        (ErrorKind::HttpBusy, Why::Shared, true),
    ] {
        let mut policy = RetryPolicy { sends_once: true, ..policy(0, OnError::Retry) };
        let pause = Pause { wait: Duration::from_secs(1), why };
        let error = Error::new(kind, "", "").with_pause(pause);
        let decision = policy.decide(Duration::ZERO, &error, NOTHING_WRITTEN, &mut sources(1));
        let is_pause = matches!(decision, FailureDecision::Pause { .. });
        assert_eq!(is_pause, is_repeated, "{kind:?}, {why:?}");
    }
}
