//! Tests of the numbers that a run stores, and of runs that start with the number of an earlier run.

use super::*;

/// Returns a controller for a near host. An earlier run found that `number` connections are the best, with
/// this goodput.
fn starting_at(number: usize, goodput: f64) -> Controller {
    let mut controller = Controller::new(64);
    controller.start_at(Level { number, goodput: Some(goodput), far: false });
    controller
}

#[test]
fn the_best_number_is_known_only_after_a_comparison() {
    let mut controller = Controller::new(64);
    settle(&mut controller, 1, |n| 1e6 * n.min(4) as f64);
    let best = controller.best().expect("more connections were better");
    assert!(best.number > 1 && best.goodput.is_none(), "the search has not ended: {best:?}");
    settle(&mut controller, 5, |n| 1e6 * n.min(4) as f64);
    let best = controller.best().expect("the target has settled");
    assert_eq!((best.number, best.far), (4, false));
    assert!(best.goodput.is_some_and(|goodput| (3.5e6..4.5e6).contains(&goodput)), "{best:?}");
    let mut controller = Controller::new(64);
    controller.on(Duration::ZERO, Observation::Progress { bytes: 1, latency: Duration::from_millis(150) });
    assert_eq!((controller.target(), controller.best()), (8, None), "eight connections were not measured");
    let mut controller = Controller::new(64);
    controller.usage.files = 3;
    settle(&mut controller, 9, |_| 1e6);
    assert_eq!(controller.best(), None, "the number of files decided the target");
}

#[test]
fn a_run_starts_at_a_known_level_and_stays_there_if_the_line_is_the_same() {
    for number in [2, 4, 16] {
        let goodput = |n: usize| 1e6 * n.min(number) as f64;
        let mut controller = starting_at(number, goodput(number) * 1.2);
        let targets = settle(&mut controller, 4, goodput);
        assert_eq!(targets, [1, number]);
        assert_eq!(controller.steps()[0].why, StepReason::Remembered);
        assert_eq!(controller.best().map(|best| best.number), Some(number));
        let targets = settle(&mut controller, 4, goodput);
        assert!(targets.len() > 1, "the search does not end at the number of the earlier run: {targets:?}");
        settle(&mut controller, 9, goodput);
        assert!(controller.target().abs_diff(number) <= number / 4, "{}", controller.target());
    }
}

#[test]
fn a_known_level_that_is_wrong_is_left_at_once() {
    let mut controller = starting_at(32, 1e6);
    let targets = settle(&mut controller, 8, |_| 1e7);
    assert_eq!(controller.target(), 1, "{targets:?}");
    let mut controller = starting_at(2, 5e7);
    let targets = settle(&mut controller, 3, |n| 1e6 * n as f64);
    assert!(controller.target() >= 32, "{targets:?}");
    let mut controller = starting_at(32, 3.2e7);
    settle(&mut controller, 8, |n| if n > 6 { 1e6 } else { 1e6 * n as f64 });
    assert!((3..7).contains(&controller.target()), "{}", controller.target());
}

#[test]
fn a_level_of_a_near_host_is_not_used_for_a_far_one() {
    for far in [false, true] {
        let mut controller = Controller::new(64);
        controller.start_at(Level { number: 12, goodput: None, far });
        controller.on(Duration::ZERO, Observation::Progress { bytes: 1, latency: Duration::from_millis(40) });
        controller
            .on(Duration::from_millis(100), Observation::Progress { bytes: 1, latency: Duration::ZERO });
        assert_eq!(controller.target(), if far { 12 } else { 8 });
    }
}

/// Returns the numbers that are stored after each of 400 runs of a second. After each step of a run, the
/// goodput differs by chance, by up to a tenth.
fn after_short_runs(goodput: impl Fn(usize) -> f64) -> Vec<usize> {
    let (mut chance, mut level, mut numbers) = (1_u32, None::<Level>, Vec::new());
    for _ in 0..400 {
        let mut controller = Controller::new(64);
        level.into_iter().for_each(|level| controller.start_at(level));
        let at_step = std::cell::Cell::new((0, 0.0));
        settle(&mut controller, 1, |n| {
            if at_step.get().0 != n {
                // The constants are those of the random numbers in Numerical Recipes (Press and others).
                chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                at_step.set((n, goodput(n) * (0.9 + 0.2 * f64::from(chance) / f64::from(u32::MAX))));
            }
            at_step.get().1
        });
        level = controller.best().or(level);
        numbers.push(level.map_or(1, |level| level.number));
    }
    numbers
}

#[test]
fn short_runs_do_not_store_higher_and_higher_numbers_by_chance() {
    let numbers = after_short_runs(|_| 1e9);
    assert!(numbers.iter().all(|&number| number == 1), "{numbers:?}");
}

#[test]
fn short_runs_store_higher_and_higher_numbers_if_each_connection_has_a_limit_of_its_own() {
    let numbers = after_short_runs(|n| 1e6 * n as f64);
    assert_eq!(numbers[5], 64, "{numbers:?}");
}

/// A stored number below the usual first target is not used, because a number that is too low costs more time
/// than a number that is too high.
#[test]
fn a_known_level_below_the_usual_first_target_changes_nothing() {
    for (milliseconds, number) in [(40, 8), (40, 3), (5, 1)] {
        let run = |known: Option<Level>| {
            let mut controller = Controller::new(64);
            known.into_iter().for_each(|level| controller.start_at(level));
            for step in 0..500 {
                controller.usage.connections = controller.target();
                let latency = Duration::from_millis(milliseconds);
                let bytes = 20_000 * controller.target().min(24) as u64;
                controller.on(Duration::from_millis(step * 20), Observation::Progress { bytes, latency });
            }
            controller.steps().to_vec()
        };
        assert_eq!(run(Some(Level { number, goodput: Some(1e9), far: milliseconds == 40 })), run(None));
    }
}

#[test]
fn a_known_level_is_not_above_the_limits() {
    let mut controller = Controller::new(4);
    controller.start_at(Level { number: 16, goodput: None, far: false });
    settle(&mut controller, 1, |_| 1e6);
    assert_eq!(controller.steps()[0].to, 4);
    let mut controller = starting_at(16, 1.6e7);
    controller.usage.connections = 4;
    controller.on(Duration::ZERO, Observation::Refused { wait: Duration::ZERO, deliberate: true });
    let targets = settle(&mut controller, 30, |n| 1e6 * n as f64);
    assert!(targets.iter().all(|&target| target <= 4), "{targets:?}");
    let known = Learned {
        connections: Some(2),
        best: Some(Level { number: 16, goodput: None, far: false }),
        ..Learned::default()
    };
    let mut host = Host::new(64, known);
    host.on_opened(Duration::ZERO, true);
    let bytes = Observation::Progress { bytes: 1, latency: Duration::from_millis(5) };
    host.on(Duration::ZERO, bytes);
    assert_eq!(host.allowance(Duration::ZERO, 100, false).worth, 1);
}

#[test]
fn a_number_of_files_starts_at_a_known_level() {
    let mut files = Controller::for_files(4, 64);
    files.start_at(Level { number: 32, goodput: Some(1e6), far: false });
    assert_eq!(files.target(), 32);
    let mut files = Controller::for_files(4, 16);
    files.start_at(Level { number: 32, goodput: Some(1e6), far: false });
    assert_eq!(files.target(), 16);
}
