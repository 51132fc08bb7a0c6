//! How good is the number of connections that [`Controller`](downhaul_core::concurrency::Controller) finds?
//! It races against fixed numbers over a thousand simulated lines.

use downhaul_testkit::line_sim::{Choice, Host, Line, race};
use std::fmt::Write as _;

/// Numbers that a user might set by hand.
const FIXED: [usize; 4] = [1, 4, 16, 64];

/// Bits a second: from a bad phone line to a data centre.
const RATES: [f64; 5] = [1e6, 1e7, 1e8, 1e9, 1e10];

/// Seconds: from the next room to a satellite.
const ROUND_TRIPS: [f64; 5] = [0.001, 0.01, 0.03, 0.1, 0.3];

/// Packets lost by chance.
const LOSSES: [f64; 5] = [0.0, 0.0001, 0.001, 0.01, 0.02];

/// The file takes so many seconds at the full rate of the line, so that the ramp counts.
const SECONDS: f64 = 30.0;

/// Chance is the same in each run and for each choice.
const SEED: u64 = 1;

/// A line counts as fast if the controller reaches this share of the best fixed number's goodput.
const FAST: f64 = 0.9;

/// A fixed number is enough with this share of the best one's goodput.
const ENOUGH: f64 = 0.95;

/// A line counts as having few connections up to so many times the smallest number that is enough.
const FEW: f64 = 2.0;

/// The result for one line.
struct Cell {
    line: Line,
    /// The share of the best fixed number's goodput.
    share: f64,
    /// How many times the smallest fixed number that is enough.
    times: f64,
}

impl Cell {
    fn is_fast(&self) -> bool {
        self.share >= FAST
    }

    fn has_few(&self) -> bool {
        self.times <= FEW
    }
}

fn cell(line: Line) -> Cell {
    let bytes = line.rate * SECONDS;
    let fixed = FIXED.map(|count| (count, race(line, bytes, Choice::Fixed(count), SEED).goodput));
    let best = fixed.iter().map(|one| one.1).fold(0.0, f64::max);
    let enough = fixed.iter().find(|one| one.1 >= ENOUGH * best).expect("the best one is enough").0;
    let found = race(line, bytes, Choice::Auto, SEED);
    Cell { line, share: found.goodput / best, times: found.connections / enough as f64 }
}

fn lines_of(host: Host) -> Vec<Line> {
    let mut lines = Vec::new();
    for bits in RATES {
        for round_trip in ROUND_TRIPS {
            lines.extend(LOSSES.map(|loss| Line { rate: bits / 8.0, round_trip, loss, host }));
        }
    }
    lines
}

fn cells_of(host: Host) -> Vec<Cell> {
    let lines = lines_of(host);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        // Each thread takes every n-th line, since the fast lines at the end take the longest.
        let of = |first: usize| lines.iter().skip(first).step_by(threads).map(|&line| cell(line)).collect();
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || of(first))).collect();
        running.into_iter().flat_map(|thread| -> Vec<Cell> { thread.join().expect("no panic") }).collect()
    })
}

fn percent(cells: &[Cell], is: fn(&Cell) -> bool) -> f64 {
    100.0 * cells.iter().filter(|cell| is(cell)).count() as f64 / cells.len() as f64
}

/// What is reached, in percent of the lines: those that are fast, and those with few connections. A leeway of
/// one percent is allowed, since logarithms and roots differ in their last bits between systems.
const REACHED: [(Host, f64, f64); 8] = [
    (Host::Plain, 98.4, 66.4),
    (Host::Caps(1.0 / 6.0), 93.6, 98.4),
    (Host::Caps(1.0 / 24.0), 94.4, 100.0),
    (Host::Slows(6), 90.4, 65.6),
    (Host::Refuses(6), 100.0, 86.4),
    (Host::Lottery, 93.6, 95.2),
    (Host::Shared(2), 91.2, 99.2),
    (Host::Bursts, 92.8, 72.0),
];

/// See [`REACHED`].
const LEEWAY: f64 = 1.0;

/// The aim is that 95 % of the lines are fast, and that each has few connections. That is **not reached**:
/// 94.3 % are fast, and 85.4 % have few connections. This test only ensures that neither gets worse.
///
/// - Not fast enough are: lines with 1 ms (89 %), where the queue of 100 ms hides what a further connection
///   brings; lines with 300 ms (89.5 %), where a target takes seconds to be measured; hosts that slow
///   everything down with more than six connections (90.4 %); and lines that are shared with other downloads
///   (91.2 %), where each further connection takes from the others and the best fixed number is 64. Of all
///   lines, 0.8 % are below 80 % of the best number, and one is below half of it.
/// - Too many connections are used where one is enough (40.9 % of these lines have few). A far host gets
///   eight before it is known what they bring. They stay if fewer of them look worse for a moment, because
///   windows need seconds to grow into what was given up. A host whose connections are a lottery is dealt
///   with as well: a step down stops the slowest ones, and the next step up draws again.
#[test]
fn a_thousand_lines_against_fixed_numbers() {
    let mut worse = String::new();
    for (host, fast, few) in REACHED {
        let cells = cells_of(host);
        let (are_fast, have_few) = (percent(&cells, Cell::is_fast), percent(&cells, Cell::has_few));
        if are_fast >= fast - LEEWAY && have_few >= few - LEEWAY {
            continue;
        }
        let _ = writeln!(worse, "{host:?}: {are_fast} % fast, before {fast}; {have_few} % few, before {few}");
        for cell in cells.iter().filter(|cell| !cell.is_fast() || !cell.has_few()) {
            let Line { rate, round_trip, loss, .. } = cell.line;
            let (share, times) = (cell.share, cell.times);
            let _ = write!(worse, "  {} Mbit/s, {} ms, {} %: ", rate * 8e-6, round_trip * 1e3, loss * 100.0);
            let _ = writeln!(worse, "{share:.2} of the best, {times:.2} times the connections");
        }
    }
    assert!(worse.is_empty(), "{worse}");
}
