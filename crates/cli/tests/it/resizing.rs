//! Tests that finished lines stay on the screen if the window is resized while bars are drawn.

use crate::common::terminal::Terminal;
use crate::common::{Place, is_installed, poll};
use downhaul_testkit::server::Server;
use std::process::{Command, Stdio};
use std::time::Duration;

const FILES: usize = 6;

/// This many lines fill the screen of tmux. On a screen with fewer lines, tmux moves rows to a place that
/// cannot be repainted when it wraps lines again.
const BEFORE: usize = 40;

const WAIT: Duration = Duration::from_secs(30);

/// The time for one repaint. The program repaints ten times a second.
const REPAINT: Duration = Duration::from_millis(180);

/// Writes a list of files that end one after the other, all within three seconds.
fn list(server: &Server, place: &Place) {
    let mut list: String = (0..FILES)
        .map(|n| {
            server.url(&format!("slow/{}/{n}?rate=100000", 40_000 + n * 45_000)) + &format!(" file-{n}.bin\n")
        })
        .collect();
    list += &format!("{} missing.bin\n", server.url("status/1/x?status=404"));
    place.write("list", list);
}

/// Returns how often each finished file is on the screen.
fn told(text: &str) -> Vec<usize> {
    (0..FILES).map(|n| text.matches(&format!("✓ ./file-{n}.bin")).count()).collect()
}

#[test]
fn finished_lines_stay_when_the_window_is_resized() {
    let server = Server::start();
    let wider = [(100, 24), (140, 24), (200, 24)];
    let narrower = [(140, 24), (100, 24), (60, 24), (40, 24)];
    let back_and_forth = [(120, 24), (60, 24), (120, 24), (50, 24), (100, 24)];
    let taller = [(80, 8), (80, 30), (80, 50)];
    let shorter = [(80, 40), (80, 20), (80, 9), (80, 6)];
    let both = [(120, 30), (60, 10), (120, 40), (50, 8)];
    std::thread::scope(|scope| {
        for sizes in [&wider[..], &narrower, &back_and_forth, &taller, &shorter, &both] {
            scope.spawn(|| resize(&server, sizes, false));
            scope.spawn(|| resize(&server, sizes, true));
        }
    });
}

/// Runs a download in a window that gets these sizes, one after the other.
fn resize(server: &Server, sizes: &[(u16, u16)], question: bool) {
    let place = Place::new();
    list(server, &place);
    let on_error = if question { "ask" } else { "skip" };
    let args = ["-i", "list", "-j", "7", "--on-error", on_error];
    let mut terminal = Terminal::start(&place, sizes[0].0, sizes[0].1, &args);
    terminal.wait_for_text("✓ ./file-0.bin");
    if question {
        terminal.wait_for_text("exit (e)?");
    }
    for (columns, rows) in &sizes[1..] {
        terminal.resize(*columns, *rows);
        std::thread::sleep(REPAINT);
    }
    if question {
        poll(WAIT, || (told(&terminal.history()) == [1; FILES]).then_some(()));
        terminal.press("s");
    }
    assert_eq!(terminal.end().0, 1);
    let history = terminal.history();
    assert_eq!(told(&history), [1; FILES], "{sizes:?}, question: {question}:\n{history}");
    assert!(!terminal.text().contains("of 7 files, "), "no bar is left:\n{}", terminal.text());
}

/// A session of tmux. It wraps lines again when it is resized.
struct Tmux {
    socket: String,
}

impl Tmux {
    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket, "-f", "/dev/null"]).args(args);
        let out = command
            .env_remove("TMUX")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .expect("tmux runs");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    fn resize(&self, columns: u16, rows: u16) {
        self.run(&["resize-window", "-t", "it", "-x", &columns.to_string(), "-y", &rows.to_string()]);
    }

    /// Returns all lines that were ever shown, each as it was before the terminal wrapped it.
    fn history(&self) -> String {
        self.run(&["capture-pane", "-p", "-J", "-S", "-", "-t", "it"])
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

#[test]
fn a_terminal_that_wraps_lines_again_keeps_finished_lines_and_no_bars() {
    if !is_installed("tmux") {
        return;
    }
    let server = Server::start();
    let all = [
        [(100, 24), (60, 24), (100, 24), (50, 24), (120, 24)],
        [(60, 24), (120, 24), (40, 24), (200, 24), (80, 24)],
        [(80, 10), (80, 30), (60, 9), (120, 30), (70, 20)],
    ];
    std::thread::scope(|scope| {
        for (n, sizes) in all.iter().enumerate() {
            let socket = format!("downhaul-it-{}-{n}", std::process::id());
            scope.spawn(|| resize_tmux(&server, sizes, Tmux { socket }));
        }
    });
}

fn resize_tmux(server: &Server, sizes: &[(u16, u16)], tmux: Tmux) {
    let place = Place::new();
    list(server, &place);
    let script = format!(
        "cd '{}'; seq -f 'before %g' {BEFORE}; XDG_STATE_HOME='{}' '{}' -i list -j 7 --on-error skip; echo ended; sleep 60",
        place.path().display(),
        place.state().display(),
        env!("CARGO_BIN_EXE_downhaul")
    );
    let (columns, rows) = (sizes[0].0.to_string(), sizes[0].1.to_string());
    tmux.run(&["new-session", "-d", "-s", "it", "-x", &columns, "-y", &rows, &script]);
    let wait_for = |what: &str| {
        let seen = poll(WAIT, || tmux.history().contains(what).then_some(()));
        assert!(seen.is_some(), "{what}: {}", tmux.history());
    };
    wait_for("✓ ./file-0.bin");
    for (columns, rows) in &sizes[1..] {
        tmux.resize(*columns, *rows);
        std::thread::sleep(REPAINT);
    }
    wait_for("\nended");
    let history = tmux.history();
    assert_eq!(told(&history), [1; FILES], "{sizes:?}:\n{history}");
    assert_eq!(history.matches("before ").count(), BEFORE, "{sizes:?}:\n{history}");
    assert!(!history.contains("of 7 files, "), "no bar is left, {sizes:?}:\n{history}");
}
