//! Starts simulated downloads, and starts them again after runs that were killed or failed.

use super::{Ended, Run, Seen, Sim};
use crate::net_sim::World;
use crate::plan_trace::Trace;
use downhaul_core::concurrency::{AUTO_MOST, Controller};
use downhaul_core::plan::{Outcome, Rules};
use downhaul_core::ranges::RangeSet;
use std::collections::VecDeque;
use std::time::Duration;

/// Runs a download, including restarts, in a simulated world that depends only on the seed.
///
/// # Panics
/// Panics if the plan breaks its invariant, publishes wrong bytes, or does not end.
pub fn drive_plan(seed: u64) -> Ended {
    let mut world = World::new(seed);
    let rules = world.rules();
    let mut sim = Sim::new(seed, world, &rules, false);
    if sim.world.rng.u8(0..16) == 0 {
        sim.leave_a_prefix();
    }
    for _ in 0..8 {
        match sim.run(rules.clone()) {
            Run::Killed => sim.damage(),
            // After a run that failed, a user often starts another run.
            Run::Over(Outcome::Failed { resumable: true, .. }, _) if sim.world.rng.bool() => sim.damage(),
            Run::Over(outcome, published) => return sim.ended(outcome, published),
        }
    }
    sim.ended(Outcome::Skipped, None)
}

/// Runs a download once, in a world with several mirrors, at least one of which is good. If `has_digest` is
/// true, the job knows the digest of the right file.
///
/// # Panics
/// Panics if the plan breaks its invariant, publishes bytes that are not the file of one mirror (or not the
/// right file, if `has_digest` is true), or does not end.
pub fn drive_mirrors(seed: u64, has_digest: bool) -> Ended {
    let (world, rules) = World::mirrors(seed, has_digest);
    let mut sim = Sim::new(seed, world, &rules, true);
    match sim.run(rules) {
        Run::Over(outcome, published) => sim.ended(outcome, published),
        Run::Killed => sim.ended(Outcome::Skipped, None),
    }
}

impl Sim {
    fn new(seed: u64, mut world: World, rules: &Rules, is_calm: bool) -> Sim {
        let most_connections = if world.rng.u8(0..4) == 0 { world.rng.usize(1..5) } else { usize::MAX };
        Sim {
            seed,
            now: Duration::ZERO,
            connections: Vec::new(),
            most_connections,
            controller: Controller::new(AUTO_MOST),
            is_calm,
            named: rules.connections.is_some(),
            slowest_response: if world.rng.u8(0..5) == 0 { 5_000 } else { 300 },
            check: VecDeque::new(),
            later: VecDeque::new(),
            disk: Vec::new(),
            there: RangeSet::new(),
            journal: Vec::new(),
            adopted: None,
            generation: 0,
            seen: Seen::default(),
            trace: Trace::new(),
            published: None,
            world,
        }
    }

    /// Returns true in one of `times` calls on average. In a calm world, always returns false.
    pub(super) fn happens(&mut self, times: u8) -> bool {
        !self.is_calm && self.world.rng.u8(0..times) == 0
    }

    fn ended(self, outcome: Outcome, published: Option<Vec<u8>>) -> Ended {
        let is_finished = matches!(outcome, Outcome::Finished);
        assert_eq!(is_finished, published.is_some(), "seed {}", self.seed);
        Ended { outcome, published, seen: Seen { trace: self.trace.value(), ..self.seen } }
    }
}
