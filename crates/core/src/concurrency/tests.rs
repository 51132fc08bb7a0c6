//! Tests of the controller on lines whose goodput depends on the number of connections.

mod bans;
mod known;
mod slow_start;

use super::phase::Phase;
use super::*;
use std::time::Duration;

/// Runs a controller for `seconds` seconds on a line where `n` connections together get `goodput(n)` bytes a
/// second. Returns its targets, in order.
fn settle(controller: &mut Controller, seconds: u64, mut goodput: impl FnMut(usize) -> f64) -> Vec<usize> {
    let mut targets = vec![controller.target()];
    let start = held_until(controller).max(controller.window.map_or(Duration::ZERO, |window| window.start()));
    controller.window = None;
    for step in 0..seconds * 50 {
        let now = start + Duration::from_millis(step * 20);
        controller.usage.connections = controller.target();
        let bytes = (goodput(controller.target()) / 50.0) as u64;
        controller.on(now, Observation::Progress { bytes, latency: Duration::from_millis(5) });
        if targets.last() != Some(&controller.target()) {
            targets.push(controller.target());
        }
    }
    targets
}

/// Returns the end of the current hold, or zero if there is no hold.
fn held_until(controller: &Controller) -> Duration {
    if let Phase::Hold { until, .. } = controller.phase { until } else { Duration::ZERO }
}

#[test]
fn one_connection_stays_if_it_uses_the_whole_line() {
    let mut controller = Controller::new(64);
    assert!(settle(&mut controller, 3, |_| 1e8).starts_with(&[1, 2, 1]));
    let targets = settle(&mut Controller::new(64), 60, |_| 1e8);
    assert!(targets.iter().all(|&target| target < 3) && targets.len() < 15, "{targets:?}");
}

#[test]
fn more_connections_are_used_after_the_first_connection_became_slow() {
    // The first connection is fast until its first packet is lost.
    let mut controller = Controller::new(64);
    settle(&mut controller, 1, |n| if n == 1 { 3e7 } else { 1e6 * n as f64 });
    let targets = settle(&mut controller, 20, |n| 1e6 * n as f64);
    assert!(controller.target() > 16, "{targets:?}");
}

#[test]
fn many_connections_are_used_if_each_has_a_limit_of_its_own() {
    let mut controller = Controller::new(64);
    let targets = settle(&mut controller, 9, |n| 1e6 * n as f64);
    assert!(targets.starts_with(&[1, 2, 4, 8, 32, 64]), "{targets:?}");
    assert!(targets[6..].iter().all(|&target| target >= 48), "{targets:?}");
    let mut controller = Controller::new(64);
    settle(&mut controller, 9, |n| 1e6 * n.min(4) as f64);
    assert_eq!(controller.target(), 4);
}

#[test]
fn if_more_connections_make_everything_slower_they_are_tried_only_once_more() {
    let mut controller = Controller::new(64);
    let targets = settle(&mut controller, 120, |n| if n > 4 { 1e6 } else { 1e6 * n as f64 });
    assert_eq!(targets.iter().filter(|&&target| target > 4).count(), 2, "{targets:?}");
    assert!(controller.steps().iter().any(|step| step.why == StepReason::Collapse));
}

#[test]
fn connections_are_added_while_congestion_avoidance_still_raises_the_goodput() {
    // As in congestion avoidance on a long line, the goodput grows by a fifth every 100 ms.
    let (mut controller, steps) = (Controller::new(64), std::cell::Cell::new(0));
    let targets = settle(&mut controller, 5, |n| {
        steps.set(steps.get() + 1);
        1e6 * n as f64 * 1.2_f64.powi(steps.get() / 5)
    });
    assert!(controller.target() >= 8, "{targets:?}");
}

#[test]
fn fewer_connections_stay_only_if_they_are_as_good() {
    // With six connections, the goodput is 8 % lower than with eight. A trial of fewer connections may lose
    // at most 5 %.
    let mut controller = Controller::new(64);
    settle(&mut controller, 2, |n| 1e6 * n.min(8) as f64);
    let targets = settle(&mut controller, 100, |n| 1e8 * (1.0 - 0.04 * 8_usize.saturating_sub(n) as f64));
    assert!(targets.contains(&6), "{targets:?}");
    assert_eq!(controller.target(), 8, "{targets:?}");
}

#[test]
fn the_number_that_the_user_set_is_used_until_the_host_refuses_that_many_connections() {
    let mut controller = Controller::new(64);
    assert_eq!(controller.allowance(100, true).worth, 100);
    controller.usage.connections = 6;
    controller.on(Duration::ZERO, Observation::Refused { wait: Duration::ZERO, deliberate: false });
    assert_eq!(controller.allowance(100, true).worth, 100, "a single refusal may be an accident");
    controller.usage.connections = 4;
    controller.on(Duration::ZERO, Observation::Refused { wait: Duration::ZERO, deliberate: true });
    assert_eq!(controller.allowance(100, true).worth, 0);
    assert!(controller.allowance(100, true).not_before > Duration::ZERO);
    settle(&mut controller, 30, |n| 1e6 * n as f64);
    assert_eq!(controller.target(), 4);
}

#[test]
fn all_files_together_share_the_target() {
    let mut controller = Controller::new(64);
    (0..3).for_each(|_| controller.on_opened(true));
    assert_eq!(controller.allowance(10, false).worth, 0, "each file has one connection already");
    assert_eq!(controller.allowance(10, false).surplus, 0, "each file keeps its connection");
    settle(&mut controller, 9, |n| 1e6 * n.min(12) as f64);
    controller.usage.connections = 9;
    assert_eq!(controller.allowance(10, false).worth, 3);
    assert_eq!(controller.allowance(2, false).worth, 2);
}

#[test]
fn surplus_connections_are_stopped_at_once() {
    let mut controller = Controller::new(64);
    settle(&mut controller, 9, |n| 1e6 * n.min(4) as f64);
    assert_eq!(controller.target(), 4);
    controller.usage.connections = 6;
    assert_eq!(
        controller.allowance(10, false),
        Allowance { most: 10, worth: 0, replaces: true, surplus: 2, not_before: Duration::ZERO }
    );
    assert_eq!(controller.allowance(10, true).surplus, 0, "the user set the number of connections");
    let bytes = Observation::Progress { bytes: 1, latency: Duration::ZERO };
    controller.on(Duration::from_secs(99), bytes);
    assert_eq!(controller.target(), 4, "connections that are being stopped do not raise the target");
    controller.usage.files = 6;
    assert_eq!(controller.allowance(10, false).surplus, 0, "each file keeps one connection");
}

#[test]
fn a_far_host_goes_back_to_one_connection_soon_if_one_is_enough() {
    let mut controller = Controller::new(64);
    let (mut now, far) = (Duration::ZERO, Duration::from_millis(40));
    while now < Duration::from_secs(6) {
        controller.usage.connections = controller.target();
        controller.on(now, Observation::Progress { bytes: 2_000_000, latency: far });
        now += Duration::from_millis(20);
    }
    let targets: Vec<_> = controller.steps().iter().map(|step| step.to).collect();
    assert!(targets.starts_with(&[8, 16, 8, 4, 2, 1]), "{targets:?}");
}

#[test]
fn a_hold_ends_when_the_goodput_falls() {
    // At first, two connections fill the line. Then the line loses packets, so the goodput falls. The hold
    // must end then, although it could last up to 32 s.
    let mut controller = Controller::new(64);
    settle(&mut controller, 60, |n| 1e6 * n.min(2) as f64);
    assert_eq!(controller.target(), 2);
    let before = held_until(&controller);
    controller.usage.connections = 2;
    for step in 0..100 {
        let now = before - Duration::from_secs(3) + Duration::from_millis(step * 20);
        controller.on(
            now,
            Observation::Progress {
                bytes: 5_000 * controller.target() as u64,
                latency: Duration::from_millis(5),
            },
        );
        controller.usage.connections = controller.target();
    }
    assert!(controller.target() > 2);
}

#[test]
fn connections_that_are_refused_together_cause_one_wait() {
    let mut controller = Controller::new(64);
    controller.usage.connections = 6;
    for at in 0..26 {
        let refused = Observation::Refused { wait: Duration::ZERO, deliberate: true };
        controller.on(Duration::from_millis(at), refused);
    }
    let allowance = controller.allowance(100, false);
    assert!(allowance.not_before < Duration::from_millis(200), "{allowance:?}");
}

#[test]
fn the_number_of_files_doubles_while_the_first_files_arrive() {
    let mut files = Controller::for_files(4, 64);
    let targets: Vec<usize> = (0..40)
        .map(|_| {
            files.on_progress(Duration::ZERO, 10_000, Duration::ZERO);
            files.target()
        })
        .collect();
    assert_eq!((targets[2], targets[3], targets[10], targets[11], targets[39]), (4, 8, 8, 16, 16));
    let mut files = Controller::for_files(4, 10);
    (0..40).for_each(|_| files.on_progress(Duration::ZERO, 10_000, Duration::ZERO));
    assert_eq!(files.target(), 10);
}

#[test]
fn what_a_limit_of_the_user_decided_is_not_learned() {
    let progress = |host: &mut Host, steps: u32| {
        (0..steps).for_each(|step| {
            let now = Duration::from_millis(20) * step;
            host.on(now, Observation::Progress { bytes: 20_000, latency: Duration::from_millis(5) });
            while host.allowance(now, 100, false).worth > 0 {
                host.on_opened(now, false);
            }
            for _ in 0..host.allowance(now, 100, false).surplus {
                host.on_closed(now, false, true, false);
            }
        });
    };
    let mut host = Host::new(64, Learned::default());
    host.on_opened(Duration::ZERO, true);
    progress(&mut host, 300);
    assert_eq!(host.learned().and_then(|learned| learned.best).map(|best| best.number), Some(1));
    host.on_slowed();
    assert_eq!(host.learned(), None);
    let mut host = Host::new(1, Learned::default());
    host.on_opened(Duration::ZERO, true);
    progress(&mut host, 300);
    assert_eq!(host.learned(), None);
}

#[test]
fn http2_is_learned_from_small_files_and_forgotten_if_none_comes_over_it() {
    let second = Duration::from_secs(1);
    let learned = |known: Option<Spoke>, files: &[Spoke]| {
        let mut host = Host::new(64, Learned { http: known, ..Learned::default() });
        files.iter().for_each(|&http| host.on_small_file(second, second, 0, Some(http)));
        (host.is_known_for_http2(), host.learned().and_then(|learned| learned.http))
    };
    let (one, two) = (Spoke::Http1, Spoke::Http2);
    assert_eq!(learned(None, &[one, one]), (false, None));
    assert_eq!(learned(None, &[one, two, one]), (true, Some(two)));
    assert_eq!(learned(Some(two), &[]), (true, None));
    assert_eq!(learned(Some(two), &[one]), (false, Some(one)));
    assert_eq!(learned(Some(one), &[one]), (false, None));
}

/// If the line is always fully used, trials find nothing better, and they become more and more rare.
#[test]
fn several_files_do_not_make_the_target_swing() {
    for latency in [1, 40] {
        let mut controller = Controller::new(64);
        (0..4).for_each(|_| controller.on_opened(true));
        let step = Duration::from_millis(50);
        for n in 1..=1200 {
            while controller.allowance(100, false).worth > 0 {
                controller.on_opened(false);
            }
            while controller.in_use() > controller.target().max(4) {
                controller.on_closed(false);
            }
            controller.on_progress(step * n, 1_000_000, Duration::from_millis(latency));
        }
        assert!(controller.steps().len() < 24, "{latency} ms: {:?}", controller.steps());
        assert!(controller.target() >= 4);
    }
}
