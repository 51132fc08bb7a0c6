//! Tests of the first connection to a far host, which is watched during its slow start.

use crate::concurrency::queue::Queue;
use crate::concurrency::{Controller, Observation};
use std::time::Duration;

/// Runs the first connection to a host with a round trip of 40 ms through its slow start. After `ends` round
/// trips, the goodput no longer grows. `took` is the round trip in milliseconds that TCP then measures. It is
/// `None` on systems that do not report the round trip. Returns the targets of the first 1.2 seconds, without
/// the first target.
fn after_slow_start(ends: i32, took: Option<u64>) -> Vec<usize> {
    let mut controller = Controller::new(64);
    for step in 0..30 {
        let (at, round_trips) = (Duration::from_millis(step * 40), i32::try_from(step).expect("small"));
        controller.usage.connections = controller.target();
        if let Some(took) = took {
            let took = Duration::from_millis(if round_trips < ends { 40 } else { took });
            controller.on(at, Observation::RoundTrip { took });
        }
        let bytes = 15_000 << round_trips.min(ends);
        controller.on(at, Observation::Progress { bytes, latency: Duration::from_millis(80) });
    }
    controller.steps().iter().map(|step| step.to).collect()
}

#[test]
fn a_far_host_keeps_one_connection_that_fills_the_line() {
    for (ends, took) in [(7, 50), (3, 140)] {
        let targets = after_slow_start(ends, Some(took));
        assert!(targets.is_empty(), "{took} ms: {targets:?}");
    }
}

#[test]
fn a_far_host_gets_several_connections_after_slow_start_if_the_line_has_room() {
    // In the first two cases, the connection has a limit of its own, or packets were lost. In the last case,
    // the system does not report the round trip.
    for took in [Some(40), Some(44), None] {
        assert_eq!(after_slow_start(4, took).first(), Some(&8), "{took:?}");
    }
}

#[test]
fn single_round_trips_that_seem_longer_do_not_show_a_full_line() {
    let mut queue = Queue::default();
    for took in [40, 40, 212, 41, 300] {
        queue.on_round_trip(Duration::from_millis(took));
    }
    assert!(!queue.has_grown());
    queue.on_round_trip(Duration::from_millis(60));
    assert!(!queue.has_grown());
    queue.on_round_trip(Duration::from_millis(60));
    assert!(queue.has_grown());
}
