//! Tests of the messages for the user: help, the values of options, options of other tools, hints, bars, and
//! the question after a failure.

use crate::common::Place;
use crate::common::terminal::Terminal;
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use std::time::Duration;

fn good(server: &Server, size: u64, name: &str) -> String {
    server.url(&format!("well_behaved/{size}/{name}"))
}

#[test]
fn the_short_help_fits_one_screen_and_the_long_help_has_all_options() {
    let place = Place::new();
    let short = String::from_utf8(place.run(&["-h"]).stdout).expect("UTF-8");
    let long = String::from_utf8(place.run(&["--help"]).stdout).expect("UTF-8");
    assert!((20..=28).contains(&short.lines().count()), "{short}");
    assert!(short.lines().all(|line| line.len() <= 80), "{short}");
    for option in ["--output", "--save-as", "--input", "--retries", "--checksum", "--quiet", "--help"] {
        assert!(short.contains(option) && long.contains(option), "{option}: {short}");
    }
    for option in ["--folders", "--cacert", "--glob", "--signed-by", "--explain"] {
        assert!(!short.contains(option) && long.contains(option), "{option}: {short}");
    }
    for command in ["verify", "import", "daemon", "completions", "add", "attach"] {
        assert!(short.contains(command) && long.contains(&format!("\n  {command} ")), "{command}: {short}");
    }
    // Options of other tools are accepted or explained, but the help does not list them.
    assert!(!long.contains("--location") && !long.contains("-O,"), "{long}");
    for word in ["nobody", "whoever", "Telling", "Silence"] {
        assert!(!long.contains(word), "{word}: {long}");
    }
}

#[test]
fn values_are_accepted_in_the_forms_that_people_write() {
    let server = Server::start();
    let digest = sha256(&content("f", 1000));
    for options in [
        vec!["--retries", "inf"],
        vec!["--timeout", "5s", "--connect-timeout", "500ms", "--max-time", "2m"],
        vec!["--limit-rate", "2MB/s", "--min-speed", "1k/s"],
        vec!["--checksum", &digest],
        vec!["--checksum", &format!("sha256={digest}")],
        vec!["--checksum", &digest.to_uppercase()],
    ] {
        let place = Place::new();
        let out = place.run(&[&[good(&server, 1000, "f").as_str()], &options[..]].concat());
        place.assert_exact(&out, "f", &content("f", 1000));
    }
    let place = Place::new();
    let url = server.url("fails_once/1000/f?status=503");
    let out = place.run(&[&url, "-o", "f", "--retries", "inf"]);
    place.assert_exact(&out, "f", &content("f", 1000));
    assert!(out.stderr.contains("retry 1 in") && !out.stderr.contains("4294967295"), "{}", out.stderr);
    for bad in [["--timeout", "5 parsecs"], ["--limit-rate", "2Mbps"], ["--retries", "many"]] {
        let out = place.run(&[&[url.as_str()], &bad[..]].concat());
        assert!(out.status == 2 && out.stderr.contains("it must be a "), "{bad:?}: {}", out.stderr);
    }
}

#[test]
fn options_of_other_tools_are_accepted_if_they_change_nothing() {
    let server = Server::start();
    for options in [
        &["-O"][..],
        &["-fL", "-S", "-R", "-J"],
        &["--location", "--fail", "--remote-name", "--create-dirs", "--content-disposition"],
        &["-C", "-"],
        &["--continue-at", "-"],
    ] {
        let place = Place::new();
        let out = place.run(&[&[good(&server, 1000, "f").as_str()], options].concat());
        place.assert_exact(&out, "f", &content("f", 1000));
    }
}

#[test]
fn options_of_other_tools_get_a_hint_to_the_right_option() {
    let place = Place::new();
    for (options, says) in [
        (&["-fsSL"][..], "use -q"),
        (&["-k"], "use --insecure"),
        (&["--no-check-certificate"], "use --insecure"),
        (&["-P", "folder"], "use -d DIR"),
        (&["--directory-prefix=folder"], "use -d DIR"),
        (&["-nc"], "--if-exists skip keeps files"),
        (&["-N"], "use --if-exists update"),
        (&["--password", "secret"], "use --user"),
        (&["--cookie-jar", "x"], "use --save-cookies FILE"),
        (&["-C", "100"], "leave this option out"),
        (&["--resume"], "run the same command again to resume"),
        (&["-t", "5"], "use --retries N"),
        (&["-F", "a=b"], "cannot send multipart forms"),
    ] {
        let out = place.run(&[&["http://127.0.0.1:1/x"], options].concat());
        assert!(out.status == 2 && out.stderr.contains(says), "{options:?}: {}", out.stderr);
        assert!(!out.stderr.contains("secret") && !out.stderr.contains("as a value"), "{}", out.stderr);
    }
    // A word with a typing error gets a hint. A word that is only slightly similar gets none.
    let out = place.run(&["http://127.0.0.1:1/x", "--conections", "4"]);
    assert!(out.status == 2 && out.stderr.contains("Did you mean --connections?"), "{}", out.stderr);
    for unknown in ["--resumed", "--frobnicate", "--no-verify"] {
        let out = place.run(&["http://127.0.0.1:1/x", unknown]);
        assert!(
            out.status == 2 && out.stderr.contains(&format!("there is no option {unknown}")),
            "{}",
            out.stderr
        );
        assert!(!out.stderr.contains("Did you mean") && !out.stderr.contains("tip"), "{}", out.stderr);
    }
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn glob_expands_patterns_as_curl_does_and_without_it_there_is_a_hint() {
    let server = Server::start();
    let place = Place::new();
    let pattern = server.url("well_behaved/[1000-1001]/{a,b}");
    let out = place.run(&["--glob", &pattern, "-o", "#2_#1.bin", "-d", "out"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.files(), ["out/a_1000.bin", "out/a_1001.bin", "out/b_1000.bin", "out/b_1001.bin"]);
    assert_eq!(place.file("out/b_1001.bin"), Some(content("b", 1001)));
    // The names come from the URLs or are given, and there may be several patterns.
    let place = Place::new();
    let two = format!("{},{}", server.url("well_behaved/10/x[08-10]"), server.url("well_behaved/10/{y,z}"));
    let out = place.run(&["--glob", &two]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.files(), ["x08", "x09", "x10", "y", "z"]);
    let place = Place::new();
    let out = place.run(&["--glob", &server.url("well_behaved/10/{y,z}"), "one,two"]);
    assert_eq!(
        (out.status, place.files()),
        (0, vec!["one".to_string(), "two".to_string()]),
        "{}",
        out.stderr
    );
    // Without --glob, a URL is used as it is, and a failure says how to expand it.
    for pattern in ["status/1/{a,b}?status=404", "status/1/x[1-10]?status=404"] {
        let place = Place::new();
        let out = place.run(&[&server.url(pattern)]);
        place.assert_failed(&out, 1, "--glob expands them");
    }
    let out = place.run(&["--glob", "http://127.0.0.1:1/{a,b}[1-9]", "-o", "#2"]);
    assert!(out.status == 2 && out.stderr.contains("the name must contain #1"), "{}", out.stderr);
    let out = place.run(&["--glob", "http://127.0.0.1:1/[1-"]);
    assert!(out.status == 2 && out.stderr.contains("a [ is not closed"), "{}", out.stderr);
}

#[test]
fn a_folder_that_has_the_name_of_a_file_gets_a_hint() {
    let server = Server::start();
    let place = Place::new();
    place.write("taken", "x");
    let out = place.run(&[&good(&server, 1000, "f"), "-d", "taken"]);
    assert!(out.status == 5 && out.stderr.contains("taken is a file, not a folder"), "{}", out.stderr);
    // The folder is created, because the user asked for it. But its name has the form of a file name, so
    // there is a hint.
    let out = place.run(&[&good(&server, 1000, "f"), "-d", "f.iso"]);
    place.assert_exact(&out, "f.iso/f", &content("f", 1000));
    assert!(out.stderr.contains("To name the file, use -o f.iso"), "{}", out.stderr);
    for folder in ["f.iso", "v1.2", "downloads"] {
        let out = place.run(&[&good(&server, 1000, "g"), "-d", folder]);
        assert!(out.status == 0 && !out.stderr.contains("note:"), "{}", out.stderr);
    }
}

#[test]
fn binary_data_is_not_written_to_a_terminal() {
    let server = Server::start();
    let place = Place::new();
    let mut terminal =
        Terminal::start(&place, 120, 24, &[&good(&server, 5000, "x"), "-o", "-", "--on-error", "retry"]);
    let (status, screen) = terminal.end();
    assert!(status == 1 && screen.contains("the content is binary"), "{screen}");
    assert!(screen.contains("-o NAME") && !screen.contains("To try again"), "{screen}");
    // Binary data is written to a pipe.
    let out = place.run(&[&good(&server, 5000, "x"), "-o", "-"]);
    assert_eq!(out.stdout, content("x", 5000));
}

#[test]
fn the_environment_decides_where_the_log_is() {
    let server = Server::start();
    let place = Place::new();
    for (log, option, is_at) in [
        (Some("elsewhere.log"), None, Some("elsewhere.log")),
        (Some("none"), None, None),
        (Some("elsewhere.log"), Some("here.log"), Some("here.log")),
        (None, None, Some("download_log.txt")),
    ] {
        let place = Place::new();
        let url = good(&server, 10, "f");
        let mut args = vec![url.as_str()];
        args.extend(option.iter().flat_map(|file| ["--log", *file]));
        let mut command = place.command(&args);
        if let Some(log) = log {
            command.env("DOWNHAUL_LOG", log);
        }
        let out = crate::common::finish(command.spawn().expect("it starts"));
        assert_eq!(out.status, 0, "{}", out.stderr);
        for name in ["elsewhere.log", "here.log", "download_log.txt"] {
            let there =
                place.file(name).is_some_and(|log| String::from_utf8_lossy(&log).contains("finished"));
            assert_eq!(there, Some(name) == is_at, "{log:?} {option:?}: {name}");
        }
    }
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_stopped_run_reports_what_is_kept() {
    let server = Server::start();
    let place = Place::new();
    let urls = [server.url("slow/9000000/a?rate=300000"), server.url("slow/9000000/b?rate=300000")];
    let mut terminal = Terminal::start(&place, 100, 24, &[&urls[0], &urls[1], "-x", "1"]);
    terminal.wait_for("some bytes of both", |text| text.matches("[00:02").count() == 2);
    terminal.press("\u{3}");
    let (status, screen) = terminal.end();
    assert_eq!(status, 130, "{screen}");
    let last = screen.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("Stopped: 2 files unfinished, ")
            && last.ends_with("Run the same command to resume."),
        "{screen}"
    );
    assert!(last.contains("iB kept") && !screen.contains("2 failed"), "{screen}");
}

#[test]
fn no_command_is_suggested_that_would_fail_the_same_way() {
    let server = Server::start();
    for (status, suggests) in [(404, false), (410, false), (403, false), (503, true)] {
        let place = Place::new();
        let out = place.run(&[&server.url(&format!("status/1/x?status={status}")), "--retries", "0"]);
        assert_eq!(
            (out.status, out.stderr.contains("To try again")),
            (1, suggests),
            "{status}: {}",
            out.stderr
        );
    }
}

#[test]
fn a_list_with_many_failures_suggests_one_command_and_writes_what_failed() {
    let server = Server::start();
    let place = Place::new();
    let digest = sha256(&content("3", 10));
    let mut list: String = (0..300)
        .map(|n| format!("{} {n}.bin\n", server.url(&format!("status/10/{n}?status=503&token=hush{n}"))))
        .collect();
    list += &format!("{{\"url\":\"{}\",\"out\":\"good\",\"sha256\":\"{digest}\"}}\n", good(&server, 10, "3"));
    place.write("list", list);
    // With several files at once, the last file could be served before another one is refused. The server
    // would then count as one that gets too many requests, and downhaul would wait for it.
    let one = ["-i", "list", "-j", "1", "--retries", "0", "--on-error", "retry", "--failed", "failed.txt"];
    let out = place.run(&one);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert_eq!(out.stderr.matches("To resume").count(), 1, "{}", out.stderr);
    let last = out.stderr.lines().last().unwrap_or_default();
    assert!(
        last.ends_with("downhaul -i list -j 1 --retries 0 --on-error retry --failed failed.txt"),
        "{last}"
    );
    let failed = String::from_utf8(place.file("failed.txt").expect("it is there")).expect("UTF-8");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode =
            std::fs::metadata(place.path().join("failed.txt")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it may have passwords");
    }
    assert!(failed.lines().count() == 300 && !failed.contains("good"), "{failed}");
    // The failed files can be downloaded with the list of `--failed`. It has the secrets of the URLs and the
    // names of the files.
    for n in 0..300 {
        server.becomes(&format!("status/10/{n}?status=503&token=hush{n}"), &format!("well_behaved/10/{n}"));
    }
    let out = place.run(&["-i", "failed.txt", "--failed", "still.txt"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.file("299.bin"), Some(content("299", 10)));
    assert_eq!(place.file("still.txt"), Some(Vec::new()), "nothing failed");
}

#[test]
fn the_reason_that_a_server_states_is_shown_in_one_line() {
    let server = Server::start();
    let long = "x".repeat(1000);
    for (query, says) in [
        ("body={\"message\":\"Access%20to%20this%20model%20is%20gated\"}", "Access to this model is gated"),
        ("body=<Error><Message>Request%20has%20expired</Message></Error>", "Request has expired"),
        ("header=X-Error-Message:%20Not%20for%20you", "Not for you"),
        ("header=cf-mitigated:%20challenge", "Cloudflare requires a browser"),
        ("body={\"error\":\"a%5Cu001bb\"}", "403 Forbidden: a"),
        (&format!("body={{\"message\":\"{long}\"}}"), &"x".repeat(200)),
    ] {
        let place = Place::new();
        let url = server.url(&format!("status/1/x?status=403&{query}"));
        let out = place.run(&[&url, "--log", "log", "--on-error", "skip"]);
        assert_eq!(out.status, 1, "{}", out.stderr);
        assert!(out.stderr.contains(says) && !out.stderr.contains('\u{1b}'), "{query}: {}", out.stderr);
        assert!(!out.stderr.contains(&"x".repeat(201)), "{}", out.stderr);
        let log = String::from_utf8(place.file("log").expect("a log")).expect("UTF-8");
        assert!(log.contains(says), "{log}");
        let out = place.run(&[&url, "--progress", "json", "--on-error", "skip"]);
        let events = crate::common::events(&out);
        let failed = events.iter().find(|event| event["kind"] == "failed").expect("it failed");
        assert!(failed["error"]["message"].as_str().is_some_and(|text| text.contains(says)), "{failed}");
    }
}

#[test]
fn a_failed_redirect_suggests_a_header_for_the_other_host() {
    let server = Server::start();
    let other = Server::start();
    let place = Place::new();
    let to = other.url("status/1/x?status=401");
    let url = server.url(&format!("redirect/1/x?to={}", to.replace('?', "%3F").replace('=', "%3D")));
    let secret = ["-H", "Authorization: Bearer hush"];
    let out = place.run(&[&[url.as_str()], &secret[..], &["--on-error", "skip"]].concat());
    let host = format!("127.0.0.1:{}", other.port());
    place.assert_failed(&out, 1, &format!("-H is not sent there. To send it: --header-for {host} "));
    assert!(other.requests().iter().all(|request| request.header("authorization").is_none()));
    let out = place.run(&[&url, "--header-for", &host, "Authorization: Bearer hush", "--on-error", "skip"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(!out.stderr.contains("hush"), "{}", out.stderr);
    let sent = other.requests().iter().any(|request| request.header("authorization") == Some("Bearer hush"));
    assert!(sent, "it is sent where it was meant to go");
    assert!(server.requests().iter().filter(|request| request.header("authorization").is_some()).count() > 0);
}

#[test]
fn a_login_for_a_server_of_no_given_url_is_suggested_in_a_way_that_reaches_it() {
    let (server, other) = (Server::start(), Server::start());
    let place = Place::new();
    let there = other.url("login/1000/f?as=basic");
    let encoded: String = url::form_urlencoded::byte_serialize(there.as_bytes()).collect();
    let redirect = server.url(&format!("redirect/1/f?to={encoded}"));
    let host = format!("127.0.0.1:{}", other.port());
    let netrc = "(machine 127.0.0.1)";
    let header = format!("--header-for {host} 'Authorization: ...'");
    for login in [&[][..], &["--user", "me:hush"]] {
        let out = place.run(&[&[&redirect, "--on-error", "skip"], login].concat());
        for text in ["redirects to", &host, netrc, &header] {
            place.assert_failed(&out, 1, text);
        }
        assert!(!out.stderr.contains("Log in with --user"), "{}", out.stderr);
    }
    // With the status 403, the server does not ask for a login, so the advice names no login.
    let forbids: String = other.url("status/1/f?status=403").replace('?', "%3F").replace('=', "%3D");
    let out = place.run(&[&server.url(&format!("redirect/1/f?to={forbids}")), "--on-error", "skip"]);
    place.assert_failed(&out, 1, &header);
    assert!(!out.stderr.contains("machine") && !out.stderr.contains("--user"), "{}", out.stderr);
    // The header that is suggested is sent.
    let header = ["--header-for", &host, "Authorization: Basic bWU6aHVzaA=="];
    let out = place.run(&[&[redirect.as_str()][..], &header].concat());
    place.assert_exact(&out, "f", &content("f", 1000));
    // No header of --header-for is sent to an http URL that only a document names, so the advice names a
    // section of the configuration.
    let list = server.put("/list", other.url("login/1000/g?as=basic") + "\n");
    let place = Place::new();
    let out = place.run(&["-i", &list, "--on-error", "skip"]);
    place.assert_failed(&out, 1, "no URL of a file on this server was given");
    place.assert_failed(&out, 1, &format!("[host.\"http://{host}\"]"));
}

#[test]
fn the_error_for_an_expired_link_says_that_a_new_one_is_needed() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("status/1/x?status=403&X-Amz-Signature=abcdef0123456789");
    let out = place.run(&[&url, "--on-error", "skip"]);
    place.assert_failed(&out, 1, "Get a new link");
    assert!(!out.stderr.contains("the same command again"), "{}", out.stderr);
}

#[test]
fn the_summary_is_last_and_long_explanations_are_folded() {
    let server = Server::start();
    let place = Place::new();
    let list: String = (0..40).map(|n| format!("{} {n}\n", good(&server, 1000, &n.to_string()))).collect();
    place.write("list", list);
    let out = place.run(&["-i", "list", "--explain"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let lines: Vec<&str> = out.stderr.lines().collect();
    assert!(lines.last().is_some_and(|last| last.starts_with("40 of 40 files downloaded")), "{}", out.stderr);
    let explained = lines.iter().skip_while(|line| !line.starts_with("Where the time went")).count();
    assert!((3..45).contains(&explained), "{explained} lines: {}", out.stderr);
}

#[test]
fn a_question_shows_its_reason_on_every_screen() {
    let server = Server::start();
    let name = "a-long-name-of-a-file-".repeat(5);
    for columns in [60, 80, 200] {
        let place = Place::new();
        let urls =
            [server.url(&format!("status/1/{name}?status=404")), server.url("slow/900000/b?rate=100000")];
        let mut terminal = Terminal::start(&place, columns, 24, &[&urls[0], &urls[1]]);
        let screen = terminal.wait_for_text("exit (e)?");
        assert!(
            screen.replace('\n', "").contains("there is no such file on the server"),
            "{columns}:\n{screen}"
        );
        terminal.wait_for_text("KiB/s");
        terminal.press("s");
        let screen = terminal.wait_for_text("exit (e)? s");
        let answered = screen.lines().find(|line| line.contains("exit (e)? s")).unwrap_or_default();
        assert!(answered.trim_end().ends_with("exit (e)? s"), "nothing of a bar is left: {answered:?}");
        terminal.press("\u{3}");
        assert_eq!(terminal.end().0, 130);
    }
}

#[test]
fn bars_show_the_most_important_values_on_every_screen() {
    let server = Server::start();
    for (columns, bar) in [(200, true), (120, true), (80, true), (58, false), (40, false)] {
        let place = Place::new();
        let name = format!("{}.iso", "日本語の名前-a-long-name-".repeat(4));
        place.write("list", format!("{} {name}\n", server.url("slow/900000/a?rate=200000")));
        let mut terminal = Terminal::start(&place, columns, 24, &["-i", "list"]);
        let screen = terminal.wait_for("the rate of the file", |text| {
            text.lines().next().is_some_and(|line| line.contains("KiB/s"))
        });
        let line = screen.lines().next().unwrap_or_default();
        assert!(
            line.starts_with("日本") && line.contains('%') && line.contains("KiB/s"),
            "{columns}:\n{screen}"
        );
        assert_eq!(line.contains("%|"), bar, "{columns}:\n{screen}");
        terminal.press("\u{3}");
        assert_eq!(terminal.end().0, 130);
    }
}

#[test]
fn colours_follow_the_meaning_of_a_message_and_not_its_words() {
    let server = Server::start();
    let place = Place::new();
    let list = [
        (server.url("slow/300000/a?rate=150000"), "Retry (r), 7 failed"),
        (server.url("slow/300000/b?rate=150000"), "50%|half|"),
        (server.url("well_behaved/10/.hidden"), ""),
        (server.url("status/1/x?status=404"), "missing"),
    ];
    let list: String = list.iter().map(|(url, name)| format!("{url} {name}\n")).collect();
    place.write("list", list);
    let mut terminal = Terminal::start(&place, 120, 24, &["-i", "list", "-j", "4", "--color", "always"]);
    terminal.wait_for_text("exit (e)?");
    terminal.wait_for_text("KiB/s]");
    terminal.press("s");
    terminal.wait_for_text("1 failed");
    assert_eq!(terminal.end().0, 1);
    let raw = terminal.raw();
    for coloured in [
        "\u{1b}[32m✓\u{1b}[0m ",
        "\u{1b}[31m✗\u{1b}[0m ./missing",
        "\u{1b}[33m  warning: its name \".hidden\"",
        "\u{1b}[1;35mRetry (r), retry all (a), skip (s) or exit (e)? \u{1b}[0m",
        "%|\u{1b}[36m",
        ", \u{1b}[31m1 failed\u{1b}[0m",
        ", 0 failed",
    ] {
        assert!(raw.contains(coloured), "{coloured:?} in {raw:?}");
    }
    for plain in ["\u{1b}[31m7 failed", "\u{1b}[1;35mRetry (r), 7", "%|\u{1b}[36mhalf", "\u{1b}[1;33m"] {
        assert!(!raw.contains(plain), "{plain:?} in {raw:?}");
    }
    // Bold yellow, white and the bright colours cannot be read on a light screen.
    let codes = raw.split("\u{1b}[").filter_map(|rest| rest.split_once('m')).map(|(code, _)| code);
    let mut codes: Vec<&str> = codes.filter(|code| code.chars().all(|c| "0123456789;".contains(c))).collect();
    codes.sort_unstable();
    codes.dedup();
    assert!(codes.iter().all(|code| ["0", "2", "31", "32", "33", "36", "1;35"].contains(code)), "{codes:?}");
}

#[test]
fn no_word_is_cut_on_narrow_screens() {
    let server = Server::start();
    for columns in [60, 40] {
        let place = Place::new();
        let family = "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}.mp4";
        let list = format!(
            "{} missing-file-of-a-set.bin\n{} {family}\n",
            server.url("status/1/x?status=404"),
            server.url("slow/900000/b?rate=100000&chunked=1")
        );
        place.write("list", list);
        let mut terminal = Terminal::start(&place, columns, 24, &["-i", "list", "-j", "2"]);
        let has_rate = |line: &str| line.contains(".mp4:") && line.trim_end().ends_with("KiB/s");
        let screen = terminal
            .wait_for("the question and a rate", |text| text.contains("xit") && text.lines().any(has_rate));
        let lines: Vec<&str> = screen.lines().map(str::trim_end).collect();
        let ends = |what: &str| lines.iter().any(|line| line.ends_with(what));
        assert!(
            ends("retries left]") && lines.iter().any(|line| line.starts_with("there is no")),
            "{screen}"
        );
        assert!(ends("waiting for your answer") || ends("asking"), "{screen}");
        assert!(ends("exit (e)?") || ends("(e)xit?"), "{screen}");
        assert!(
            lines.iter().any(|line| line.starts_with("0 of 2 files, ") && line.contains("/s")),
            "{screen}"
        );
        terminal.press("e");
        assert_eq!(terminal.end().0, 4);
    }
}

#[test]
fn a_steady_server_has_a_steady_rate_and_the_total_is_the_sum_of_the_bars() {
    let server = Server::start();
    let place = Place::new();
    let list: String = (0..3).map(|n| server.url(&format!("slow/1500000/{n}?rate=204800")) + "\n").collect();
    place.write("list", list);
    let mut terminal = Terminal::start(&place, 120, 24, &["-i", "list", "-j", "3"]);
    terminal.wait_for("two seconds", |text| text.contains("[00:02"));
    let rate = |line: &str| {
        let before = line.split(" KiB/s").next()?;
        before.rsplit([',', ' ']).next()?.parse::<f64>().ok()
    };
    let mut seen = 0;
    for _ in 0..20 {
        let screen = terminal.text();
        let rates: Vec<f64> = screen.lines().filter_map(rate).collect();
        if let [a, b, c, total] = rates[..] {
            seen += 1;
            // The server sleeps between two writes, so it is a little slower than the stated rate.
            assert!([a, b, c].iter().all(|rate| (150.0..=206.0).contains(rate)), "{screen}");
            assert!((a + b + c - total).abs() <= 2.0, "{screen}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(seen >= 15, "{}", terminal.text());
    terminal.press("\u{3}");
    assert_eq!(terminal.end().0, 130);
}
