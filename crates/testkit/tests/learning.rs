//! Measures what a run gains when it starts with the number of connections that an earlier run found, and
//! what it loses if this number is wrong. The lines are simulated.

use downhaul_core::concurrency::Level;
use downhaul_testkit::line_sim::{Choice, Host, Line, race};

const HOSTS: [Host; 8] = [
    Host::Plain,
    Host::Caps(1.0 / 6.0),
    Host::Caps(1.0 / 24.0),
    Host::Slows(6),
    Host::Refuses(6),
    Host::Lottery,
    Host::Shared(2),
    Host::Bursts,
];

/// The rates of the lines in bits a second.
const RATES: [f64; 2] = [1e7, 1e9];

/// The round trips in seconds. The first one is near, and the others are far.
const ROUND_TRIPS: [f64; 3] = [0.001, 0.03, 0.1];

/// The chances that a packet is lost.
const LOSSES: [f64; 2] = [0.0, 0.01];

/// The file needs this many seconds at the full rate of the line. With a much longer time, the start would
/// not affect the result.
const SECONDS: f64 = 10.0;

/// The seeds of the first and the second run. They differ, because chance differs between two downloads.
const SEEDS: (u64, u64) = (1, 2);

/// A host counts as far away if its round trip takes at least this time, in seconds.
const FAR: f64 = 0.01;

/// A run is as good as another run if its goodput is at least this share of the other run's goodput.
const AS_GOOD: f64 = 0.9;

fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    for host in HOSTS {
        for bits in RATES {
            for round_trip in ROUND_TRIPS {
                lines.extend(LOSSES.map(|loss| Line { rate: bits / 8.0, round_trip, loss, host }));
            }
        }
    }
    lines
}

fn run(line: Line, choice: Choice, seed: u64) -> downhaul_testkit::line_sim::Raced {
    race(line, line.rate * SECONDS, choice, seed)
}

/// Returns for each line the goodput of a run that starts with a number, as a share of the goodput of a run
/// that knows nothing. `level` chooses this number, and gets the number that a first run on the line found.
fn shares(level: impl Fn(Line, Option<Level>) -> Option<Level> + Sync) -> Vec<(Line, f64)> {
    let lines = lines();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = |&line: &Line| {
        let fresh = run(line, Choice::Auto, SEEDS.1).goodput;
        let first = run(line, Choice::Auto, SEEDS.0).best;
        let start = level(line, first).map_or(Choice::Auto, Choice::From);
        (line, run(line, start, SEEDS.1).goodput / fresh)
    };
    std::thread::scope(|scope| {
        let of = |first: usize| lines.iter().skip(first).step_by(threads).map(share).collect::<Vec<_>>();
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || of(first))).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    })
}

fn mean(shares: &[(Line, f64)]) -> f64 {
    shares.iter().map(|(_, share)| share).sum::<f64>() / shares.len() as f64
}

/// Asserts that at most `except` runs are worse than runs that know nothing.
fn assert_as_good(shares: &[(Line, f64)], except: usize) {
    let worse: Vec<_> = shares.iter().filter(|(_, share)| *share < AS_GOOD).collect();
    assert!(worse.len() <= except, "{worse:#?}");
}

/// On some lines, chance decides which connections are slow, so some of the second runs are worse.
#[test]
fn a_second_run_is_as_good_as_the_first_and_better_on_far_lines() {
    let all = shares(|_, first| first);
    assert_as_good(&all, 4);
    let far: Vec<_> = all.into_iter().filter(|(line, _)| line.round_trip >= FAR).collect();
    assert!(mean(&far) > 1.01, "{}", mean(&far));
}

/// On at most five lines, more than a tenth of the goodput is lost. On two of them, other traffic comes in
/// bursts, and every hundredth packet is lost. There, a run that knows nothing is fast, because it first
/// watches one connection.
#[test]
fn a_number_that_is_much_too_high_costs_little() {
    for goodput in [None, Some(1.0)] {
        let wrong = |line: Line, _| Some(Level { number: 32, goodput, far: line.round_trip >= FAR });
        let all = shares(wrong);
        assert_as_good(&all, 5);
        assert!(mean(&all) > 1.0, "{}", mean(&all));
    }
}

#[test]
fn a_number_that_is_much_too_low_costs_nothing() {
    for goodput in [None, Some(1.0)] {
        let wrong = |line: Line, _| Some(Level { number: 1, goodput, far: line.round_trip >= FAR });
        assert!(shares(wrong).iter().all(|(_, share)| *share == 1.0));
    }
}
