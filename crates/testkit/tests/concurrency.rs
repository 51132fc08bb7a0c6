//! Measures the quality of the number of connections that the
//! [`Controller`](downhaul_core::concurrency::Controller) finds. On each of a thousand simulated lines,
//! this number is compared with fixed numbers.

use downhaul_testkit::line_sim::{Choice, Host, Line, race};
use std::fmt::Write as _;

/// Numbers that a user might set by hand.
const FIXED: [usize; 4] = [1, 4, 16, 64];

/// The rates of the lines in bits a second, from a bad phone line to a data centre.
const RATES: [f64; 5] = [1e6, 1e7, 1e8, 1e9, 1e10];

/// The round trips in seconds, from the next room to a satellite.
const ROUND_TRIPS: [f64; 5] = [0.001, 0.01, 0.03, 0.1, 0.3];

/// The chances that a packet is lost.
const LOSSES: [f64; 5] = [0.0, 0.0001, 0.001, 0.01, 0.02];

/// The file needs this many seconds at the full rate of the line. With a much longer time, the start would
/// not affect the result.
const SECONDS: f64 = 30.0;

/// The seed. It is the same in each run and for each choice.
const SEED: u64 = 1;

/// A line counts as fast if the controller reaches at least this share of the goodput of the best fixed
/// number.
const FAST: f64 = 0.9;

/// A fixed number is enough if it reaches at least this share of the goodput of the best fixed number.
const ENOUGH: f64 = 0.95;

/// A line has few connections if their average number, divided by the smallest fixed number that is enough,
/// is at most this.
const FEW: f64 = 2.0;

/// The result for one line.
struct Cell {
    line: Line,
    /// The goodput of the controller, as a share of the goodput of the best fixed number.
    share: f64,
    /// The average number of connections, divided by the smallest fixed number that is enough.
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
    let enough = fixed.iter().find(|one| one.1 >= ENOUGH * best).expect("the best number is enough").0;
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
        // Each thread simulates every n-th line, because the fast lines at the end need the most time.
        let of = |first: usize| lines.iter().skip(first).step_by(threads).map(|&line| cell(line)).collect();
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || of(first))).collect();
        running.into_iter().flat_map(|thread| -> Vec<Cell> { thread.join().expect("no panic") }).collect()
    })
}

fn percent(cells: &[Cell], is: fn(&Cell) -> bool) -> f64 {
    100.0 * cells.iter().filter(|cell| is(cell)).count() as f64 / cells.len() as f64
}

/// The results of the controller now. The first number is the percentage of lines that are fast, and the
/// second is the percentage of lines with few connections.
const REACHED: [(Host, f64, f64); 8] = [
    (Host::Plain, 98.4, 84.8),
    (Host::Caps(1.0 / 6.0), 100.0, 92.8),
    (Host::Caps(1.0 / 24.0), 99.2, 100.0),
    (Host::Slows(6), 93.6, 86.4),
    (Host::Refuses(6), 100.0, 90.4),
    (Host::Lottery, 93.6, 93.6),
    (Host::Shared(2), 93.6, 100.0),
    (Host::Bursts, 96.8, 72.0),
];

/// Both numbers may be lower by this many percentage points, because logarithms and roots differ in their
/// last bits between systems.
const LEEWAY: f64 = 1.0;

/// The aim is that 97 % of the lines are fast, and that 90 % have few connections. The results are 96.9 % and
/// 90.0 %. With other seeds, they differ from these results by up to one percentage point.
///
/// - Lines that are shared with other downloads are less often fast, because each further connection takes a
///   share from the other downloads, so that the best fixed number is 64. Some lines with a round trip of
///   300 ms are not fast, because the measurement of a target needs seconds.
/// - Some lines on which one connection is enough get too many connections, because a far host gets eight
///   connections before the queue of the line shows that they are too many. On lines with a round trip below
///   75 ms, one connection is watched first. If each connection is limited to a sixth of the line, some lines
///   get 32 connections at first, because eight leave no queue that is visible.
#[test]
fn the_controller_is_as_good_as_before_on_a_thousand_simulated_lines() {
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
