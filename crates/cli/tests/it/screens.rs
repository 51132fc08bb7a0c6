//! Tests of what the user sees on a terminal: bars, the question, resizing and signals.

use crate::common::terminal::Terminal;
use crate::common::{Place, wait_until};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use portable_pty::CommandBuilder;
use rustix::process::{Signal, kill_process};
use std::time::{Duration, Instant};

const QUESTION: &str = "Retry (r), retry all (a), skip (s) or exit (e)?";

#[test]
fn a_file_that_the_user_retries_does_not_wait_for_all_other_small_files() {
    let (server, place) = (Server::start(), Place::new());
    let failed = "status/0/failed?status=404";
    let others = (0..80).map(|n| format!("capped/1000/f{n}?wait=100"));
    let urls: Vec<_> = std::iter::once(failed.into()).chain(others).map(|path| server.url(&path)).collect();
    place.write("list", urls.join("\n"));
    let mut terminal = Terminal::start(&place, 100, 24, &["-i", "list", "-j", "2"]);
    terminal.wait_for_text(QUESTION);
    server.becomes(failed, "well_behaved/1000/failed");
    terminal.press("r");
    assert_eq!(terminal.end().0, 0);
    let requests = server.requests();
    let again = requests.iter().rposition(|request| request.target.contains("failed")).expect("a request");
    assert!(again + 20 < requests.len(), "request {again} of {}", requests.len());
}

#[test]
fn running_files_have_bars_and_the_total_has_a_line() {
    let server = Server::start();
    let place = Place::new();
    let urls = [
        server.url("slow/300000/a?rate=50000"),
        server.url("slow/300000/b?rate=50000&chunked=1"),
        server.url("well_behaved/10/c"),
    ];
    let mut terminal = Terminal::start(&place, 100, 24, &[&urls.join(","), "known.bin,unknown.bin,last.bin"]);
    let screen = terminal.wait_for("two bars", |text| {
        let has_rate = |line: &str| line.ends_with("KiB/s]");
        text.contains("%|█")
            && text.contains("[00:0")
            && !text.contains("[00:00")
            && text.contains("<00:0")
            && text.lines().filter(|line| has_rate(line)).count() == 2
    });
    let bars: Vec<&str> = screen.lines().collect();
    assert_eq!(bars.len(), 3, "two bars and the whole:\n{screen}");
    assert!(
        bars[0].starts_with("known.bin:")
            && bars[0].contains(" KiB/293 KiB [00:0")
            && bars[0].contains("<00:0")
            && bars[0].ends_with("KiB/s]"),
        "{screen}"
    );
    assert!(
        bars[1].starts_with("unknown.bin:") && bars[1].contains("███") && !bars[1].contains('%'),
        "{screen}"
    );
    assert!(bars[2].starts_with("0 of 3 files, ") && bars[2].ends_with(" left, 0 failed"), "{screen}");
    let (status, screen) = terminal.end();
    assert_eq!(status, 0, "{screen}");
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(lines.len(), 4, "three files and the summary, and no bar is left:\n{screen}");
    assert!(
        lines.iter().filter(|line| line.starts_with("✓ ./")).count() == 3
            && lines[3].starts_with("3 of 3 files downloaded, 0 failed"),
        "{screen}"
    );
    assert!(terminal.raw().contains("\u{1b}[32m✓"), "in colour");
}

#[test]
fn only_running_files_have_bars() {
    let server = Server::start();
    let place = Place::new();
    let list: String = (0..100)
        .map(|n| format!("{} {n}.bin\n", server.url(&format!("slow/20000/{n}?rate=100000"))))
        .collect();
    place.write("list", list);
    let mut terminal = Terminal::start(&place, 80, 24, &["-i", "list", "-j", "10", "--no-mtime"]);
    let screen =
        terminal.wait_for("the whole", |text| text.contains(" of 100 files, ") && text.contains('█'));
    assert!(screen.lines().filter(|line| line.contains(".bin:")).count() <= 10, "{screen}");
    let (status, screen) = terminal.end();
    assert_eq!(status, 0);
    assert!(screen.contains("100 of 100 files downloaded, 0 failed") && !screen.contains('█'), "{screen}");
}

#[test]
fn long_and_wide_names_fit_into_every_width() {
    let server = Server::start();
    for columns in [12, 20, 40, 200] {
        let place = Place::new();
        let urls = [server.url("slow/150000/a?rate=100000"), server.url("slow/150000/b?rate=100000")];
        let mut terminal = Terminal::start(
            &place,
            columns,
            10,
            &[&urls.join(","), "日本語のとても長い名前のファイル.iso,cafe\u{301}.txt"],
        );
        terminal.wait_for("a bar", |text| !text.trim().is_empty());
        std::thread::sleep(Duration::from_millis(900));
        let screen = terminal.text();
        assert!(screen.lines().count() <= 3, "no line wraps in {columns} columns:\n{screen}");
        assert_eq!(terminal.end().0, 0);
    }
}

#[test]
fn a_warning_is_printed_above_the_bars() {
    let server = Server::start();
    let place = Place::new();
    let urls = [server.url("slow/100000/a?rate=100000"), server.url("slow/200000/b?rate=100000")];
    let mut terminal = Terminal::start(&place, 100, 24, &[&urls.join(","), "--on-complete", "false"]);
    let (status, screen) = terminal.end();
    assert_eq!(status, 0, "{screen}");
    for name in ["a", "b"] {
        let warning = format!("warning: --on-complete for ./{name}: the command ended with exit status: 1");
        assert!(screen.lines().any(|line| line.trim_end() == warning), "no part of a bar is left:\n{screen}");
    }
}

#[test]
fn the_question_is_asked_until_no_retries_are_left() {
    let server = Server::start();
    let place = Place::new();
    let mut terminal = Terminal::start(
        &place,
        120,
        24,
        &[&server.url("fails_always/1/x?status=500"), "-o", "x", "--retries", "2"],
    );
    terminal.wait_for_text("[2 retries left]");
    let screen = terminal.wait_for_text(QUESTION);
    assert_eq!(screen.lines().last().map(|line| line.trim_end().ends_with(QUESTION)), Some(true), "{screen}");
    assert_eq!(server.requests().len(), 1, "no automatic try before it");
    terminal.press("r");
    terminal.wait_for_text("[1 retry left]");
    // One letter is an answer. Enter is optional, and other keys are ignored.
    terminal.press("x\nR\n");
    let (status, screen) = terminal.end();
    assert_eq!(status, 1);
    assert_eq!(server.requests().len(), 3);
    assert!(screen.contains("Maximum retries reached. Exiting."), "{screen}");
    assert!(
        place.log().contains("asking what to do") && place.log().contains("ERROR - failed"),
        "{}",
        place.log()
    );
}

#[test]
fn a_run_that_starts_no_more_files_because_the_retries_are_used_up_says_how_many_are_left() {
    let server = Server::start();
    let place = Place::new();
    let urls = ["status/1/x?status=404", "well_behaved/10/a", "well_behaved/10/b"];
    let urls = urls.map(|path| server.url(path));
    let mut terminal =
        Terminal::start(&place, 120, 24, &[&urls.join(","), "x,a,b", "-j", "1", "--retries", "0"]);
    let (status, screen) = terminal.end();
    assert_eq!(status, 1, "{screen}");
    assert!(screen.contains("Maximum retries reached. Exiting."), "{screen}");
    let last =
        "Stopped: 1 failed, 2 files unfinished. Run the same command to download the unfinished files.";
    assert!(screen.contains(last), "{screen}");
}

#[test]
fn the_answer_retry_succeeds_if_the_server_recovers() {
    let server = Server::start();
    let place = Place::new();
    let mut terminal =
        Terminal::start(&place, 120, 24, &[&server.url("fails_once/1000/x?status=404"), "-o", "x"]);
    terminal.wait_for_text(QUESTION);
    terminal.press("r");
    assert_eq!(terminal.end().0, 0);
    assert_eq!(place.file("x"), Some(content("x", 1000)));
}

#[test]
fn there_is_no_question_after_a_break_with_progress() {
    let server = Server::start();
    let place = Place::new();
    let mut terminal = Terminal::start(&place, 120, 24, &[&server.url("truncated_body/300000/x"), "-o", "x"]);
    let (status, screen) = terminal.end();
    assert!(status == 0 && !screen.contains(QUESTION), "{screen}");
}

#[test]
fn the_answer_skip_fails_the_file_and_exit_or_the_end_of_input_ends_the_run() {
    let server = Server::start();
    for (key, expected, says) in [
        ("s", 1, "ERROR - failed"),
        ("e", 4, "the user chose to exit"),
        ("\u{4}", 4, "the user chose to exit"),
    ] {
        let place = Place::new();
        let mut terminal = Terminal::start(&place, 120, 24, &[&server.url("status/1/x?status=404")]);
        terminal.wait_for_text(QUESTION);
        terminal.press(key);
        let (status, screen) = terminal.end();
        assert_eq!(status, expected, "{screen}");
        assert!(place.log().contains(says), "{}", place.log());
        assert!(place.files().is_empty());
    }
}

#[test]
fn arrow_keys_function_keys_and_keys_with_alt_are_no_answers() {
    let server = Server::start();
    let place = Place::new();
    let mut terminal = Terminal::start(&place, 120, 24, &[&server.url("status/1/x?status=404")]);
    terminal.wait_for_text(QUESTION);
    // Up, Up of some terminals, 5 of the keypad, F4, F5, F1 of the Linux console, Shift-Up, and Alt-R.
    terminal.press("\u{1b}[A\u{1b}OA\u{1b}[E\u{1b}OS\u{1b}[15~\u{1b}[[A\u{1b}[1;2A\u{1b}r");
    terminal.press("s");
    let (status, screen) = terminal.end();
    assert_eq!((status, server.requests().len()), (1, 1), "{screen}");
}

#[test]
fn after_the_answer_exit_a_signal_does_not_change_the_exit_status() {
    let server = Server::start();
    let place = Place::new();
    // No program reads this pipe, so the run ends only when the time of --grace is over.
    place.make_pipe("pipe");
    let url = server.url("status/1/x?status=404");
    let mut terminal = Terminal::start(&place, 120, 24, &[&url, "--failed", "pipe", "--grace", "1"]);
    terminal.wait_for_text(QUESTION);
    terminal.press("e");
    terminal.wait_for_text(&format!("{QUESTION} e"));
    kill_process(terminal.pid(), Signal::TERM).expect("it runs");
    let (status, screen) = terminal.end();
    assert_eq!(status, 4, "{screen}");
}

#[test]
fn after_the_answer_retry_all_there_is_no_further_question() {
    let server = Server::start();
    let place = Place::new();
    let urls: Vec<String> =
        (0..3).map(|n| server.url(&format!("fails_always/100/{n}?status=500&times=2"))).collect();
    let mut terminal = Terminal::start(&place, 120, 24, &[&urls.join(","), "a,b,c"]);
    terminal.wait_for_text(QUESTION);
    terminal.press("a");
    let (status, screen) = terminal.end();
    assert_eq!(status, 0, "{screen}");
    assert_eq!(place.files(), ["a", "b", "c"]);
}

#[test]
fn other_files_continue_while_a_question_is_open() {
    let server = Server::start();
    let place = Place::new();
    let bad = server.url("status/1/x?status=404");
    let good: Vec<String> = (0..5).map(|n| server.url(&format!("slow/20000/{n}?rate=100000"))).collect();
    let mut terminal = Terminal::start(
        &place,
        120,
        24,
        &[&format!("{bad},{}", good.join(",")), "x,a,b,c,d,e", "-j", "1", "--failed", "left"],
    );
    // The test may read the screen while it is painted.
    terminal.wait_for("all others and the question", |text| {
        text.matches("✓ ./").count() == 5 && text.contains(QUESTION)
    });
    terminal.press("e");
    let (status, screen) = terminal.end();
    assert_eq!(status, 4);
    // The run ends as after Ctrl-C.
    assert!(screen.contains("Stopped: 5 files downloaded, 1 file unfinished"), "{screen}");
    assert!(screen.contains("Run the same command"), "{screen}");
    assert_eq!(place.files(), ["a", "b", "c", "d", "e", "left"]);
    let left = String::from_utf8(place.file("left").expect("a list")).expect("UTF-8");
    assert_eq!(left.lines().filter(|line| line.contains(&bad)).count(), 1, "{left}");
}

#[test]
fn answers_are_read_from_the_terminal_even_if_the_list_is_a_pipe() {
    let server = Server::start();
    let place = Place::new();
    let script = format!(
        "echo '{}' | '{}' -i -",
        server.url("fails_once/1000/x?status=500"),
        env!("CARGO_BIN_EXE_downhaul")
    );
    let mut command = CommandBuilder::new("sh");
    command.args(["-c", &script]);
    let mut terminal = Terminal::start_command(&place, 120, 24, command);
    terminal.wait_for_text(QUESTION);
    terminal.press("r");
    assert_eq!(terminal.end().0, 0);
    assert_eq!(place.file("x"), Some(content("x", 1000)));
}

#[test]
fn the_terminal_is_left_as_it_was() {
    let server = Server::start();
    let place = Place::new();
    let script =
        format!("'{}' '{}'; stty -a", env!("CARGO_BIN_EXE_downhaul"), server.url("status/1/x?status=404"));
    for key in ["s", "\u{3}"] {
        let mut command = CommandBuilder::new("sh");
        command.args(["-c", &format!("trap : INT; {script}")]);
        let mut terminal = Terminal::start_command(&place, 120, 40, command);
        terminal.wait_for_text(QUESTION);
        terminal.press(key);
        let (_, screen) = terminal.end();
        assert!(screen.contains(" icanon ") && screen.contains(" echo "), "{screen}");
    }
}

#[test]
fn ctrl_c_stops_cleanly_and_leaves_only_a_partial_file() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("slow/9000000/x?rate=100000");
    // One connection needs 90 s for the file.
    let mut terminal = Terminal::start(&place, 100, 24, &[&url, "-x", "1", "-o", "x"]);
    terminal.wait_for("some bytes", |text| text.contains("%|") && !text.contains("  0%|"));
    let start = Instant::now();
    terminal.press("\u{3}");
    let (status, screen) = terminal.end();
    assert_eq!(status, 130);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert!(!screen.contains('█'), "{screen}");
    assert_eq!(place.files(), ["x.part", "x.part.journal"], "the file can be resumed");
    assert!(place.log().contains("the user ended the run (Ctrl-C)"), "{}", place.log());
}

#[test]
fn a_run_that_is_stopped_and_continued_repaints_below_the_shell() {
    let server = Server::start();
    let place = Place::new();
    let mut terminal =
        Terminal::start(&place, 100, 24, &[&server.url("slow/300000/x?rate=100000"), "-o", "x"]);
    terminal.wait_for_text("%|");
    kill_process(terminal.pid(), Signal::STOP).expect("it runs");
    std::thread::sleep(Duration::from_millis(300));
    kill_process(terminal.pid(), Signal::CONT).expect("it is stopped");
    terminal
        .wait_for("the bar below", |text| text.lines().filter(|line| line.starts_with("x:")).count() == 2);
    assert_eq!(terminal.end().0, 0);
    assert_eq!(place.file("x"), Some(content("x", 300_000)));
}

#[test]
fn ctrl_s_on_the_terminal_stops_no_transfer() {
    let server = Server::start();
    let place = Place::new();
    let list: String =
        (0..40).map(|n| format!("{} {n}\n", server.url(&format!("slow/10000/{n}?rate=200000")))).collect();
    place.write("list", list);
    let mut terminal = Terminal::start(&place, 100, 24, &["-i", "list", "-j", "4"]);
    terminal.wait_for_text("of 40 files");
    terminal.press("\u{13}");
    wait_until("all files and the list are there", || place.files().len() == 41);
    terminal.press("\u{11}");
    let (status, screen) = terminal.end();
    assert!(status == 0 && screen.contains("40 of 40 files downloaded"), "{screen}");
}

#[test]
fn a_closed_terminal_ends_the_run_cleanly() {
    let server = Server::start();
    let place = Place::new();
    let mut terminal =
        Terminal::start(&place, 100, 24, &[&server.url("slow/9000000/x?rate=100000"), "-o", "x"]);
    terminal.wait_for_text("%|");
    terminal.close();
    assert_eq!(terminal.end().0, 75);
    // If bytes have arrived, they are kept for a later run. No file has the final name.
    let files = place.files();
    assert!(files.iter().all(|name| name.starts_with("x.part")), "{files:?}");
}

#[test]
fn a_dumb_terminal_gets_plain_lines_and_no_color_means_none() {
    let server = Server::start();
    let url = server.url("slow/50000/x?rate=100000");
    for (name, value) in [("TERM", "dumb"), ("NO_COLOR", "1")] {
        let place = Place::new();
        let script = format!("{name}={value} exec '{}' '{url}'", env!("CARGO_BIN_EXE_downhaul"));
        let mut command = CommandBuilder::new("sh");
        command.args(["-c", &script]);
        let mut terminal = Terminal::start_command(&place, 100, 24, command);
        assert_eq!(terminal.end().0, 0);
        assert!(
            !terminal.raw().contains("\u{1b}[3") && terminal.raw().contains("✓ ./x"),
            "{:?}",
            terminal.raw()
        );
        assert_eq!(terminal.raw().contains('\u{1b}'), name == "NO_COLOR", "{:?}", terminal.raw());
    }
}
