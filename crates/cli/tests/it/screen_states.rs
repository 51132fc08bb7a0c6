//! Tests of the screen in states that last only a moment, and of screens that are not painted: Ctrl-Z,
//! terminals without a movable cursor, waiting files, and `--quiet`.

use crate::common::Place;
use crate::common::terminal::Terminal;
use downhaul_testkit::server::Server;
use downhaul_testkit::sha256;
use portable_pty::CommandBuilder;
use std::time::Duration;

const QUESTION: &str = "Retry (r), retry all (a), skip (s) or exit (e)?";

/// Runs a script of a shell on a terminal. In the script, `$D` is the program.
fn shell(place: &Place, columns: u16, script: &str) -> Terminal {
    let mut command = CommandBuilder::new("sh");
    command.args(["-c", script]);
    command.env("D", env!("CARGO_BIN_EXE_downhaul"));
    command.env("DOWNHAUL_LOG", "none");
    Terminal::start_command(place, columns, 24, command)
}

#[test]
fn a_terminal_without_a_movable_cursor_shows_each_question_once() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("status/1/x?status=404");
    let slow = server.url("slow/60000/slow?rate=20000");
    let script = format!("TERM=dumb exec $D '{url}' '{slow}' --no-learn");
    let mut terminal = shell(&place, 120, &script);
    terminal.wait_for_text(QUESTION);
    std::thread::sleep(Duration::from_millis(500));
    let screen = terminal.text();
    assert_eq!(screen.matches("no such file").count(), 1, "{screen}");
    assert!(screen.trim_end().ends_with(QUESTION), "{screen}");
    terminal.press("r");
    terminal.wait_for("the second question", |text| text.matches(QUESTION).count() == 2);
    // A message about another file does not stand in the line of the question.
    let screen = terminal.wait_for_text("✓ ./slow");
    assert!(screen.lines().any(|line| line.starts_with("✓ ./slow")), "{screen}");
    terminal.press("s");
    let (status, screen) = terminal.end();
    assert_eq!(status, 1, "{screen}");
    assert!(screen.contains(&format!("{QUESTION} r\n")), "{screen}");
    assert!(screen.lines().any(|line| line == format!("{QUESTION} s")), "{screen}");
    assert!(!terminal.raw().contains('\u{1b}'), "{:?}", terminal.raw());
}

#[test]
fn ctrl_z_removes_the_bars_and_the_question() {
    let server = Server::start();
    let place = Place::new();
    let urls =
        format!("'{}' '{}'", server.url("slow/900000/a?rate=100000"), server.url("status/1/x?status=404"));
    let mut terminal =
        shell(&place, 100, &format!("set -m; $D {urls} --no-learn; echo paused; fg; echo over"));
    terminal.wait_for("the bar and the question", |text| text.contains("%|") && text.contains(QUESTION));
    terminal.press("\u{1a}");
    // The shell continues the program at once.
    let screen = terminal.wait_for("the bar and the question again", |text| {
        text.contains("paused") && text.contains("%|") && text.contains(QUESTION)
    });
    let lines: Vec<&str> = screen.lines().map(str::trim_end).collect();
    assert!(lines.contains(&"paused"), "the line has only this word:\n{screen}");
    assert_eq!(screen.matches("%|").count(), 1, "{screen}");
    assert_eq!(screen.matches(QUESTION).count(), 1, "{screen}");
    terminal.press("e");
    let (_, screen) = terminal.end();
    assert!(screen.contains("Stopped: 2 files unfinished") && screen.contains("over"), "{screen}");
}

#[test]
fn a_run_with_an_open_question_continues_in_the_background() {
    let server = Server::start();
    let place = Place::new();
    let urls =
        format!("'{}' '{}'", server.url("slow/200000/a?rate=100000"), server.url("status/1/x?status=404"));
    // With TERM=dumb, the system stops the program at Ctrl-Z.
    let script = format!(
        "set -m; TERM=dumb $D {urls} --no-learn; echo paused; bg; while [ ! -e a ]; do sleep 0.1; done; echo arrived; fg; echo over"
    );
    let mut terminal = shell(&place, 100, &script);
    terminal.wait_for_text(QUESTION);
    terminal.press("\u{1a}");
    terminal.wait_for("the file and the question again", |text| {
        text.contains("arrived") && text.matches(QUESTION).count() >= 2
    });
    // Keys are forgotten for a moment after the program came to the foreground.
    let answered = format!("{QUESTION} s");
    let is_answered = (0..100).any(|_| {
        terminal.press("s");
        std::thread::sleep(Duration::from_millis(200));
        terminal.text().contains(&answered)
    });
    assert!(is_answered, "{}", terminal.text());
    let (_, screen) = terminal.end();
    assert!(screen.lines().any(|line| line == format!("{QUESTION} s")), "{screen}");
    assert!(screen.contains("over"), "{screen}");
}

#[test]
fn ctrl_z_without_a_shell_changes_nothing() {
    let server = Server::start();
    let place = Place::new();
    let mut terminal =
        Terminal::start(&place, 100, 24, &[&server.url("slow/100000/x?rate=100000"), "-o", "x"]);
    terminal.wait_for_text("%|");
    terminal.press("\u{1a}");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn ctrl_z_at_the_question_for_a_password_stops_the_program() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("well_behaved/10/x");
    let script = format!("set -m; $D '{url}' --user ann --auth basic --no-learn; echo paused; fg");
    let mut terminal = shell(&place, 100, &script);
    terminal.wait_for_text("Password of ann:");
    terminal.press("wrong\u{1a}");
    terminal.wait_for("the question again", |text| {
        text.contains("paused") && text.matches("Password of ann:").count() == 2
    });
    terminal.press("right\n");
    let (status, screen) = terminal.end();
    assert_eq!(status, 0, "{screen}");
    let sent = &server.requests()[0].headers;
    let sent = format!("{sent:?}");
    // "ann:right" in base64.
    assert!(sent.contains("YW5uOnJpZ2h0"), "{sent}");
}

#[test]
fn arrow_keys_are_not_part_of_a_password() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("well_behaved/10/x");
    let mut terminal = Terminal::start(&place, 100, 24, &[&url, "--user", "ann", "--auth", "basic"]);
    terminal.wait_for_text("Password of ann:");
    terminal.press("right\u{1b}[D\u{1b}OC\n");
    let (status, screen) = terminal.end();
    assert_eq!(status, 0, "{screen}");
    let sent = format!("{:?}", server.requests()[0].headers);
    // "ann:right" in base64, without any other character.
    assert!(sent.contains("Basic YW5uOnJpZ2h0\""), "{sent}");
}

#[test]
fn a_long_name_does_not_hide_what_a_file_waits_for() {
    let server = Server::start();
    let name = "a-long-name-of-a-file-".repeat(6);
    for (columns, says) in [(120, "waiting for your answer"), (80, "waiting for your answer"), (40, "asking")]
    {
        let place = Place::new();
        let url = server.url(&format!("status/1/{name}?status=404"));
        let mut terminal = Terminal::start(&place, columns, 24, &[&url, "--no-learn"]);
        let screen = terminal.wait_for_text("xit");
        let first = screen.lines().next().unwrap_or_default().trim_end();
        assert!(first.ends_with(says), "{columns}:\n{screen}");
        terminal.press("e");
        terminal.end();
    }
}

#[test]
fn quiet_draws_no_bars() {
    let server = Server::start();
    let place = Place::new();
    let mut terminal = Terminal::start(&place, 100, 24, &["-q", &server.url("slow/100000/x?rate=100000")]);
    let (status, screen) = terminal.end();
    assert_eq!((status, screen.trim()), (0, ""));
    assert!(!terminal.raw().contains('%'), "{:?}", terminal.raw());
}

#[test]
fn the_total_has_no_rate_while_all_files_wait() {
    let server = Server::start();
    let place = Place::new();
    // One file becomes complete, and the other file waits for an answer.
    let urls = [server.url("slow/400000/a?rate=200000"), server.url("status/1/x?status=404")];
    let mut terminal = Terminal::start(&place, 100, 24, &[&urls[0], &urls[1], "--no-learn"]);
    terminal.wait_for_text("KiB/s]");
    terminal.wait_for_text("✓ ./a");
    std::thread::sleep(Duration::from_millis(300));
    let screen = terminal.text();
    let total = screen.lines().find(|line| line.contains("of 2 files")).unwrap_or_default();
    assert!(total.starts_with("1 of 2 files, 391 KiB, 0 failed"), "{screen}");
    terminal.press("s");
    assert_eq!(terminal.end().0, 1);
}

#[test]
fn a_single_file_has_no_second_line_with_the_same_numbers() {
    let server = Server::start();
    let place = Place::new();
    let mut terminal = Terminal::start(&place, 100, 24, &[&server.url("slow/200000/x?rate=100000")]);
    let screen = terminal.wait_for_text("KiB/s]");
    assert_eq!(screen.lines().count(), 1, "{screen}");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn a_file_for_standard_output_is_called_so() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("slow/200000/x?rate=100000");
    let mut terminal = shell(&place, 100, &format!("exec $D '{url}' -o - > out"));
    let screen = terminal.wait_for_text("KiB/s]");
    assert!(screen.starts_with("standard output: "), "{screen}");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn a_command_resumes_only_if_bytes_were_saved() {
    let server = Server::start();
    for (path, says) in [
        ("status/1/x?status=503", "To try again: downhaul "),
        ("checksum_wrong/300/x", "To try again: downhaul "),
        ("slow/9000000/x?rate=2000000", "To resume: downhaul "),
    ] {
        let place = Place::new();
        let options = ["--retries", "0", "--on-error", "skip", "-x", "1", "--max-time", "2"];
        let out = place.run(&[&[server.url(path).as_str()], &options[..]].concat());
        assert!(out.stderr.contains(says), "{path}: {}", out.stderr);
    }
}

/// With the replacement character in the name of the folder, the command would use another folder.
#[cfg(target_os = "linux")]
#[test]
fn no_command_is_shown_for_a_folder_whose_name_is_not_utf_8() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let server = Server::start();
    let place = Place::new();
    let url = server.url("status/1/x?status=503");
    let mut command = place.command(&[&url, "--retries", "0", "-d"]);
    let run = command.arg(OsStr::from_bytes(b"caf\xe9")).spawn().expect("starts");
    let out = crate::common::finish(run);
    assert!(out.status == 1 && !out.stderr.contains("To try again: "), "{}", out.stderr);
    assert!(out.stderr.contains("To try again, run the same command again."), "{}", out.stderr);
}

#[test]
fn a_run_that_received_nothing_has_no_rate() {
    let server = Server::start();
    let place = Place::new();
    let urls = [server.url("status/1/x?status=404"), server.url("status/1/y?status=404")];
    let out = place.run(&[&urls[0], &urls[1], "--on-error", "skip"]);
    assert!(out.stderr.contains("0 of 2 files downloaded, 2 failed\n"), "{}", out.stderr);
}

#[test]
fn a_plan_shows_that_it_works_and_does_not_shorten_names() {
    let server = Server::start();
    let place = Place::new();
    let name = "a-long-name-of-a-file-".repeat(5);
    let list: String = (0..3)
        .map(|n| format!("{} {name}{n}.bin\n", server.url(&format!("capped/10/{n}?wait=1500"))))
        .collect();
    place.write("list", list);
    let mut terminal = Terminal::start(&place, 80, 24, &["plan", "-i", "list"]);
    terminal.wait_for_text("of 3 files");
    let (status, screen) = terminal.end();
    assert_eq!(status, 0, "{screen}");
    assert!(!screen.contains("checked"), "{screen}");
    let joined = screen.replace('\n', "");
    assert!((0..3).all(|n| joined.contains(&format!("{name}{n}.bin"))), "{screen}");
}

#[test]
fn verify_shows_which_file_it_reads() {
    let place = Place::new();
    let large = vec![7; 70 << 20];
    place.write("large", &large);
    place.write("SHA256SUMS", format!("{}  large\n", sha256(&large)));
    let mut terminal = Terminal::start(&place, 100, 24, &["verify", "SHA256SUMS"]);
    let (status, screen) = terminal.end();
    assert_eq!(status, 0, "{screen}");
    assert!(terminal.raw().contains("verifying file 1 of 1: large (70.0 MiB)"), "{:?}", terminal.raw());
    assert!(screen.starts_with("OK ") && !screen.contains("verifying"), "{screen}");
}

#[test]
fn a_partial_file_that_was_removed_is_no_failure_of_the_disk() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("slow/3000000/x?rate=1000000");
    let mut terminal = Terminal::start(&place, 200, 24, &[&url, "-x", "1", "-o", "x", "--on-error", "skip"]);
    terminal.wait_for("a third", |text| text.contains(" 3") && text.contains("%|"));
    std::fs::remove_file(place.path().join("x.part")).expect("removed");
    let (_, screen) = terminal.end();
    assert!(screen.contains("removed the partial file") && !screen.contains("the disk failed"), "{screen}");
    assert!(screen.contains("let no other program change the files of a run"), "{screen}");
    let out = place.run(&[&url, "-d", "/proc/x", "--on-error", "skip"]);
    assert!(out.stderr.contains("choose another folder with -d"), "{}", out.stderr);
}

#[test]
fn a_command_that_reads_the_terminal_says_how_to_end_the_input() {
    let place = Place::new();
    for (args, says) in [(&["import", "curl"][..], "Paste the command"), (&["-i", "-"], "one URL per line")] {
        let mut terminal = Terminal::start(&place, 100, 24, args);
        terminal.wait_for_text(says);
        terminal.press("\u{3}");
        terminal.end();
    }
}

#[test]
fn a_daemon_says_that_it_stops() {
    let place = Place::new();
    let mut terminal = shell(&place, 100, "exec $D daemon --listen 127.0.0.1:0 -d .");
    let screen = terminal.wait_for_text("the secret for clients");
    assert!(!screen.contains("means nothing"), "{screen}");
    // The daemon handles signals a moment after it has printed its addresses.
    std::thread::sleep(Duration::from_millis(500));
    terminal.press("\u{3}");
    let (_, screen) = terminal.end();
    assert!(screen.lines().any(|line| line.starts_with("downhaul stops")), "{screen}");
}
