//! Tests of the command line of aria2, as other programs use it to start `aria2c`. The tests expect what
//! aria2 1.36 does, except that the program says that it is version 1.37.0.

use crate::common::daemon::free_port;
use crate::common::{Out, PATIENCE, Place, finish, poll, send, wait_until};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use rustix::process::Signal;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Runs `downhaul aria2c` in a place.
fn aria2c(place: &Place, args: &[&str]) -> Out {
    place.run(&[&["aria2c"], args].concat())
}

fn stdout(out: &Out) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn control_characters_in_the_path_of_a_file_do_not_reach_the_terminal() {
    let place = Place::new();
    let conf = place.write("bad\u{1b}[31m", "split=x\n");
    let conf = conf.to_str().expect("UTF-8");
    for (args, status, says) in [
        (["--conf-path", conf], 28, r"bad\u{1b}[31m"),
        (["--conf-path", "no\u{1b}[31m"], 1, r"Configuration file no\u{1b}[31m is not found"),
        (["-i", "no\u{1b}[31m"], 1, r"Failed to open the file no\u{1b}[31m, cause"),
    ] {
        let out = aria2c(&place, &args);
        assert!(out.status == status && out.stderr.contains(says), "{}: {}", out.status, out.stderr);
        assert!(!out.stderr.contains('\u{1b}'), "{:?}", out.stderr);
    }
    let conf = place.write("conf", "no\u{1b}[31m=1\n");
    let conf = format!("--conf-path={}", conf.to_str().expect("UTF-8"));
    let session = "--save-session=saved\u{1b}[31m";
    let out =
        aria2c(&place, &[&conf, session, "--max-tries=1", "--enable-color=false", "http://127.0.0.1:1/f"]);
    let shown = stdout(&out) + &out.stderr;
    assert!(shown.contains(r"Unknown option: no\u{1b}[31m=1") && !shown.contains('\u{1b}'), "{shown:?}");
    assert!(shown.contains(r"Serialized session to 'saved\u{1b}[31m' successfully."), "{shown}");
    let out = aria2c(&place, &["--log=no\u{1b}[31m/log", "http://127.0.0.1:1/f"]);
    assert!(out.stderr.contains(r"Failed to open the file no\u{1b}[31m/log, cause"), "{:?}", out.stderr);
}

#[test]
fn the_program_is_aria2c_if_it_is_called_so() {
    let place = Place::new();
    let link = place.path().join("aria2c");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_downhaul"), &link).expect("a link");
    let plain = finish(place.command(&["aria2c", "-v"]).spawn().expect("starts"));
    let linked = Command::new(&link).arg("--version").env_clear().output().expect("starts");
    assert_eq!((plain.status, &plain.stdout), (0, &linked.stdout));
    let text = stdout(&plain);
    assert!(
        text.starts_with("aria2 version 1.37.0\n") && text.contains("\nHash Algorithms: sha-1, "),
        "{text}"
    );
    let help = stdout(&aria2c(&place, &["-h"]));
    assert!(help.starts_with("Usage: aria2c ") && help.contains("--dir=DIR"), "{help}");
    let all = stdout(&aria2c(&place, &["--help=#all"]));
    assert!(all.contains("\n --max-tries=") && all.contains("\n --no-conf[=true|false]"), "{all}");
}

#[test]
fn a_download_is_reported_in_the_words_of_aria2() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a.bin", content("a", 5000));
    let out = aria2c(&place, &["--enable-color=false", &url]);
    place.assert_exact(&out, "a.bin", &content("a", 5000));
    let (text, here) = (stdout(&out), place.path().canonicalize().expect("a path"));
    let path = here.join("a.bin");
    for part in [
        " [NOTICE] Downloading 1 item(s)\n",
        &format!(" [NOTICE] Download complete: {}\n", path.display()),
        "\nDownload Results:\ngid   |stat|avg speed  |path/URI\n\
         ======+====+===========+=======================================================\n",
        "|OK  |",
        &format!("/s|{}\n", path.display()),
        "\nStatus Legend:\n(OK):download completed.\n",
    ] {
        assert!(text.contains(part), "{part:?} in:\n{text}");
    }
    assert!(out.stderr.is_empty(), "{}", out.stderr);
    let out = aria2c(&place, &["--allow-overwrite", "-q", &url]);
    assert_eq!((out.status, stdout(&out).as_str(), out.stderr.as_str()), (0, "", ""));
    let out =
        aria2c(&place, &["--allow-overwrite", "--console-log-level=warn", "--download-result=hide", &url]);
    assert_eq!((out.status, stdout(&out).as_str(), out.stderr.as_str()), (0, "", ""));
    let out = aria2c(&place, &["--allow-overwrite", "--stderr", "--download-result=full", &url]);
    assert!(stdout(&out).is_empty() && out.stderr.contains("|path/URI\n"), "{}", out.stderr);
    assert!(out.stderr.contains("|100|") && out.stderr.contains("\x1b[1;32mNOTICE\x1b[0m"), "{}", out.stderr);
}

#[test]
fn the_progress_is_a_line_each_second_also_in_a_pipe() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url("well_behaved/1000000/f");
    let out = aria2c(&place, &["--max-download-limit=200K", "--summary-interval=1", &url]);
    place.assert_exact(&out, "f", &content("f", 1_000_000));
    let text = stdout(&out);
    let line = text.lines().find(|line| line.starts_with("[#") && line.contains("ETA")).expect("progress");
    assert!(line.contains("KiB/0.9MiB(") && line.contains("%) CN:") && line.contains(" DL:"), "{line}");
    assert!(text.contains(" *** Download Progress Summary as of "), "{text}");
    let out = aria2c(
        &place,
        &["--max-download-limit=400K", "--human-readable=false", "--summary-interval=0", "-o", "g", &url],
    );
    let text = stdout(&out);
    assert!(text.contains("B/1000000B(") && !text.contains("***"), "{text}");
    let out = aria2c(&place, &["--max-download-limit=400K", "--show-console-readout=false", "-o", "h", &url]);
    assert!(!stdout(&out).contains("[#"), "{}", stdout(&out));
}

#[test]
fn exit_statuses_are_those_of_aria2() {
    let server = Server::start();
    let url = server.put("/a", content("a", 5000));
    let wrong = "--checksum=sha-1=da39a3ee5e6b4b0d3255bfef95601890afd80709";
    let of = |status: &str| server.url(&format!("status/10/f?status={status}"));
    let (forbidden, login, broken, busy) = (of("403"), of("401"), of("500"), of("503"));
    let (gone, many) = (of("410"), of("429"));
    for (args, status) in [
        (&[url.as_str()][..], 0),
        (&[&server.url("/no")], 3),
        (&[&forbidden], 22),
        (&[&login], 24),
        (&[&gone], 22),
        (&["--max-tries=1", &broken], 22),
        (&["--max-tries=1", &busy], 29),
        (&["--max-tries=1", &many], 22),
        (&["--max-tries=1", "--timeout=1", &server.url("slow_first_byte/10/f")], 2),
        (&["--max-tries=1", "http://127.0.0.1:1/x"], 1),
        (&["--max-tries=1", "http://no-such-host.invalid/x"], 19),
        (&[&server.url("redirect_chain/10/f")], 23),
        (&[wrong, &url], 32),
        (&["--no-such", &url], 28),
        (&["--max-tries=x", &url], 28),
        (&["--checksum=sha-1=zz", &url], 28),
        (&["--enable-rpc", "--rpc-secure=true"], 28),
        (&["-d"], 28),
        (&[], 1),
        (&["-i", "no-such-file"], 1),
        (&["ftp://127.0.0.1/x"], 1),
        (&["--conf-path=no-such-file", &url], 1),
        (&["--gid=zz", &url], 1),
        (&["--dry-run", &server.url("/no")], 28),
        // If several downloads fail, the last failure decides the exit status.
        (&["-Z", "-j1", &forbidden, &url, &server.url("/no")], 3),
        (&["-Z", "-j1", &server.url("/no"), &url, &forbidden], 22),
        // Several URLs are mirrors.
        (&[&server.url("/no"), &url], 0),
    ] {
        let place = Place::new();
        let out = aria2c(&place, args);
        assert_eq!(out.status, status, "{args:?}\n{}{}", stdout(&out), out.stderr);
    }
    let place = Place::new();
    let out = aria2c(&place, &[&forbidden]);
    let text = stdout(&out);
    assert!(text.contains(&format!("Download aborted. URI={forbidden}")), "{text}");
    assert!(text.contains("errorCode=22") && text.contains("|ERR |"), "{text}");
    assert!(text.contains("(ERR):error occurred.\n\naria2 will resume download if"), "{text}");
}

#[test]
fn an_existing_file_gets_a_number_or_is_kept_or_replaced() {
    let (server, place) = (Server::start(), Place::new());
    let (url, bytes) = (server.put("/a.tar.gz", content("a", 5000)), content("a", 5000));
    for (args, status, files) in [
        (&["-q"][..], 0, &["a.tar.gz"][..]),
        (&["-q"], 0, &["a.tar.1.gz", "a.tar.gz"]),
        (&["-q", "-c"], 0, &["a.tar.1.gz", "a.tar.gz"]),
        (&["-q", "--auto-file-renaming=false"], 13, &["a.tar.1.gz", "a.tar.gz"]),
        (&["-q", "--allow-overwrite=true"], 0, &["a.tar.1.gz", "a.tar.gz"]),
        (&["-q", "-c", "--allow-overwrite=true"], 0, &["a.tar.1.gz", "a.tar.gz"]),
        (&["-q", "-o", "a.tar.gz"], 0, &["a.tar.1.gz", "a.tar.2.gz", "a.tar.gz"]),
    ] {
        let out = aria2c(&place, &[args, &[&url]].concat());
        assert_eq!(
            (out.status, place.files()),
            (status, files.iter().map(|name| (*name).into()).collect()),
            "{args:?}"
        );
    }
    assert!(place.files().iter().all(|name| place.file(name).as_ref() == Some(&bytes)));
    place.write("b", "other");
    let url = server.put("/b", content("b", 5000));
    assert_eq!(aria2c(&place, &["-q", "--allow-overwrite=true", &url]).status, 0);
    assert!(place.file("b") == Some(content("b", 5000)), "{:?}", place.files());
    // A file that another program left unfinished is continued.
    place.write("c", &content("c", 100_000)[..60_000]);
    let url = server.put("/c", content("c", 100_000));
    assert_eq!(aria2c(&place, &["-q", "-c", &url]).status, 0);
    assert!(place.file("c") == Some(content("c", 100_000)), "{:?}", place.files());
    // A file that cannot be continued is replaced only if the options allow this.
    for other in [content("other", 60_000), content("other", 200_000)] {
        place.write("c", &other);
        let out = aria2c(&place, &["-c", "--enable-color=false", &url]);
        assert!(out.status == 1 && stdout(&out).contains("--allow-overwrite=true"), "{}", stdout(&out));
        assert!(place.file("c") == Some(other), "{:?}", place.files());
        assert_eq!(aria2c(&place, &["-q", "-c", "--allow-overwrite=true", &url]).status, 0);
        assert!(place.file("c") == Some(content("c", 100_000)), "{:?}", place.files());
    }
}

#[test]
fn a_missing_cookie_file_and_a_missing_program_of_a_hook_are_reported_and_the_download_succeeds() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a", content("a", 5000));
    let out = aria2c(&place, &["--load-cookies=nofile", "--enable-color=false", &url]);
    place.assert_exact(&out, "a", &content("a", 5000));
    assert!(stdout(&out).contains("[ERROR] Failed to load cookies from nofile"), "{}", stdout(&out));
    // If the file may exist but cannot be read, the run fails.
    std::os::unix::fs::symlink("loop", place.path().join("loop")).expect("a link");
    let out = aria2c(&place, &["--load-cookies=loop", "-o", "c", &url]);
    assert!(out.status != 0 && place.file("c").is_none(), "{}", out.stderr);
    let out = aria2c(&place, &["-q", "--on-download-complete=/nonexist", "-o", "b", &url]);
    place.assert_exact(&out, "b", &content("a", 5000));
    assert!(
        out.stderr.starts_with("Could not execute user command: /nonexist: No such file or directory"),
        "{}",
        out.stderr
    );
}

/// aria2 continues a file if its control file exists, also without `-c`.
#[test]
fn a_file_with_a_control_file_of_aria2_is_continued_without_the_option_continue() {
    let (server, place) = (Server::start(), Place::new());
    let all = content("f", 1_000_000);
    let url = server.url("well_behaved/1000000/f");
    // A piece has 100,000 bytes. The control file marks the first five pieces as complete.
    let control = |length: u64| {
        let mut bytes = vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(100_000_u32.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend([0; 8]);
        bytes.extend(2_u32.to_be_bytes());
        bytes.extend([0b1111_1000, 0]);
        bytes.extend([0; 4]);
        bytes
    };
    for args in [&[][..], &["--auto-file-renaming=false"], &["--allow-overwrite=true"], &["-o", "f"]] {
        let mut left = all.clone();
        left[500_000..].fill(0);
        place.write("f", &left);
        place.write("f.aria2", control(1_000_000));
        let before = server.requests().len();
        let out = aria2c(&place, &[args, &["--enable-color=false", &url]].concat());
        assert_eq!(out.status, 0, "{args:?}: {}", stdout(&out));
        assert_eq!(place.files(), ["f"], "{args:?}");
        assert!(place.file("f").as_ref() == Some(&all), "{args:?}");
        // The end of the complete pieces is compared, so the first request begins before byte 500,000.
        let requests = server.requests();
        let starts = requests[before..].iter().filter_map(|request| request.header("range"));
        let starts: Vec<&str> = starts.collect();
        assert!(
            starts.iter().all(|range| !range.starts_with("bytes=0-")) && !starts.is_empty(),
            "{starts:?}"
        );
        std::fs::remove_file(place.path().join("f")).expect("removed");
    }
    // Without a control file, the file of another program is not continued.
    place.write("f", &all[..500_000]);
    assert_eq!(aria2c(&place, &["-q", &url]).status, 0);
    assert!(place.file("f").as_deref() == Some(&all[..500_000]), "{:?}", place.files());
    assert!(place.file("f.1").as_ref() == Some(&all), "{:?}", place.files());
}

#[test]
fn names_and_folders_are_taken_as_they_are_given() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a", content("a", 5000));
    let absolute = place.path().join("deep/er/abs.db.part");
    let absolute = absolute.to_str().expect("text");
    for (args, name) in [
        (&["-o", "f.part"][..], "f.part"),
        (&["--dir=/", "--out", absolute], "deep/er/abs.db.part"),
        (&["-dsub", "-oin/x"], "sub/in/x"),
        (&["-d", "sub", "-o", "../up"], "up"),
        (&["-d", "", "-o", "here"], "here"),
        (&["--out=", "--dir=other"], "other/a"),
    ] {
        let out = aria2c(&place, &[args, &["--no-conf", "-q", &url]].concat());
        assert!(
            out.status == 0 && place.file(name) == Some(content("a", 5000)),
            "{args:?}: {:?}",
            place.files()
        );
    }
}

#[test]
fn a_list_has_options_for_each_file() {
    let (server, place) = (Server::start(), Place::new());
    let (a, b) = (server.put("/a", content("a", 5000)), server.put("/b", content("b", 5000)));
    let list = format!(
        "{a}\n  out=l%20#1.bin\n  dir=\n\theader=X-A: 1\n  header=X-B: 2\n  gid=00000000000000aa\n  no-such=1\n  \
         referer=http://r/\n\n# comment\n{}\t{b}\n out=m\n pause=true\n checksum=sha-256=\n",
        server.url("/no")
    );
    let list = list.replace(" checksum=sha-256=\n", "");
    place.write("list", &list);
    let out = aria2c(&place, &["-i", "list", "-d", "all", "--out=ignored", "--enable-color=false"]);
    assert_eq!(out.status, 0, "{}", stdout(&out));
    assert!(place.file("l%20#1.bin") == Some(content("a", 5000)), "{:?}", place.files());
    assert!(place.file("all/m") == Some(content("b", 5000)), "{:?}", place.files());
    let text = stdout(&out);
    assert!(text.contains("[WARN] Unknown option:   no-such=1") && text.contains("\n000000|OK  |"), "{text}");
    let request = &server.requests_for("/a")[0];
    let headers = ["x-a", "x-b", "referer"].map(|name| request.header(name));
    assert_eq!(headers, [Some("1"), Some("2"), Some("http://r/")]);
    // The list may come from standard input, and may be compressed.
    let place = Place::new();
    assert_eq!(place.run_with(&["aria2c", "-q", "-i", "-"], list.as_bytes()).status, 0);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(list.as_bytes()).expect("packs");
    place.write("list.gz", packed.finish().expect("packs"));
    assert_eq!(aria2c(&place, &["-q", "--input-file=list.gz"]).status, 0);
    assert_eq!(place.files(), ["l%20#1.1.bin", "l%20#1.bin", "list.gz", "m", "m.1"]);
    let out = aria2c(&place, &["-i", "/dev/null", "--enable-color=false"]);
    assert!(out.status == 0 && stdout(&out).contains("No files to download."), "{}", stdout(&out));
}

#[test]
fn a_line_that_is_not_a_url_is_a_failure_and_the_others_are_downloaded() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a", content("a", 5000));
    place.write("list", format!("ftp://127.0.0.1/x\n{url}\nno url\n"));
    let out = aria2c(&place, &["-i", "list", "--enable-color=false"]);
    assert_eq!((out.status, place.file("a")), (1, Some(content("a", 5000))), "{}", stdout(&out));
    place.write("list", "no url\nftp://127.0.0.1/x\n");
    assert_eq!(aria2c(&place, &["-i", "list", "-q"]).status, 1);
}

#[test]
fn the_configuration_of_aria2_is_below_the_command_line() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a", content("a", 5000));
    let conf = "# mine\nquiet=true\ndir=${HOME}/of conf\nheader=X-A: 1\nheader=X-B: 2\nno-such=3\n";
    place.write(".config/aria2/aria2.conf", conf);
    place.write("other.conf", "dir=other\nquiet=true\n");
    let run = |args: &[&str]| {
        let args = [&["aria2c"], args, &[&url]].concat();
        finish(place.command(&args).env("HOME", place.path()).spawn().expect("starts"))
    };
    for (args, name) in [
        (&["--header=X-C: 3"][..], "of conf/a"),
        (&["-d", "mine"], "mine/a"),
        (&["--conf-path=other.conf"], "other/a"),
        (&["--no-conf", "-q"], "a"),
        (&["--no-conf=true", "-q", "-d", "x"], "x/a"),
    ] {
        let out = run(args);
        assert!(
            out.status == 0 && place.file(name) == Some(content("a", 5000)),
            "{args:?}: {} {:?}",
            out.stderr,
            place.files()
        );
    }
    let request = &server.requests_for("/a")[0];
    assert_eq!(["x-a", "x-b", "x-c"].map(|name| request.header(name)), [Some("1"), Some("2"), Some("3")]);
    place.write("other.conf", "split=x\n");
    assert_eq!(run(&["--conf-path=other.conf"]).status, 28);
    // The file in the older place has precedence.
    place.write(".aria2/aria2.conf", "dir=older\nquiet=true\n");
    run(&[]);
    assert!(place.file("older/a").is_some());
}

#[test]
fn programs_get_the_identifier_the_number_of_files_and_the_path() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/a", content("a", 5000));
    let hook = place.write("hook", "#!/bin/sh\necho \"$1|$2|$3|$#\" >> \"$0.$4said\"\n");
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    let hook = hook.to_str().expect("text");
    let said = || String::from_utf8(place.file("hook.said").unwrap_or_default()).expect("UTF-8");
    let (complete, stop) = (format!("--on-download-complete={hook}"), format!("--on-download-stop={hook}"));
    let path = place.path().canonicalize().expect("a path").join("a");
    let out = aria2c(&place, &["-q", "--gid=00000000000000ab", &complete, &stop, &url]);
    assert_eq!(out.status, 0);
    wait_until("the program ran", || said() == format!("00000000000000ab|1|{}|3\n", path.display()));
    std::fs::remove_file(place.path().join("hook.said")).expect("there");
    aria2c(&place, &["-q", "--gid=00000000000000ac", &complete, &stop, &server.url("/no")]);
    wait_until("the program ran", || said().starts_with("00000000000000ac|1||3\n"));
}

#[test]
fn ctrl_c_leaves_an_unfinished_file_that_is_continued() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url("slow/2000000/f?rate=400000");
    let child = place.start(&["aria2c", "--enable-color=false", "--save-session=s", &url]);
    place.wait_for_bytes("f.part", 100_000);
    send(Signal::INT, &child);
    let out = finish(child);
    let text = stdout(&out);
    assert_eq!(out.status, 7, "{text}");
    assert!(text.contains("|INPR|") && text.contains("(INPR):download in-progress.\n"), "{text}");
    assert!(text.contains("Serialized session to 's' successfully."), "{text}");
    let session = String::from_utf8(place.file("s").expect("a session")).expect("UTF-8");
    assert!(session.starts_with(&format!("{url}\t\n gid=")), "{session}");
    let out = aria2c(&place, &["-q", "-i", "s", "--save-session=s"]);
    assert!(out.status == 0 && place.file("f") == Some(content("f", 2_000_000)), "{:?}", place.files());
    assert_eq!(place.file("s").as_deref(), Some(&b""[..]));
}

#[test]
fn with_the_option_daemon_the_download_runs_in_the_background() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url("slow/1000000/f?rate=500000");
    let out = aria2c(&place, &["-D", &url]);
    assert!(out.status == 0 && place.file("f").is_none(), "{}", out.stderr);
    wait_until("the file is complete", || place.file("f") == Some(content("f", 1_000_000)));
}

/// Programs that start aria2c, their command lines, and the name of the file that each of them expects.
/// `LIST`, `URL`, `HERE` and `PID` stand for values of the test.
const CALLERS: [(&str, &str, &str); 7] = [
    (
        "apt-fast",
        "--no-conf -c -j 5 -x 16 -s 16 -i LIST --min-split-size=1M --stream-piece-selector=default \
     --connect-timeout=600 --timeout=600 -m0 --header Accept:*/*",
        "out.bin",
    ),
    (
        "hfd.sh",
        "--console-log-level=error --file-allocation=none -x 4 -j 5 -s 4 -k 1M -c -i LIST --save-session=LIST",
        "out.bin",
    ),
    (
        "hfd.sh of before",
        "--header=Authorization:Bearer_x --console-log-level=error --file-allocation=none -x 4 -s 4 -k 1M -c URL -d . -o out.bin",
        "out.bin",
    ),
    (
        "Scoop",
        "--input-file=LIST --user-agent=Scoop --allow-overwrite=true --auto-file-renaming=false --retry-wait=2 \
     --split=5 --max-connection-per-server=5 --min-split-size=5M --console-log-level=warn \
     --enable-color=false --no-conf=true --follow-metalink=true --metalink-preferred-protocol=https \
     --min-tls-version=TLSv1.2 --stop-with-process=PID --continue --summary-interval=0 \
     --auto-save-interval=1",
        "out.bin",
    ),
    (
        "pacman",
        "--allow-overwrite=true --continue=true --file-allocation=none --log-level=error --max-tries=2 \
     --max-connection-per-server=2 --max-file-not-found=5 --min-split-size=5M --no-conf \
     --remote-time=true --summary-interval=60 --timeout=5 --dir=/ --out HERE/core.db.part URL",
        "core.db.part",
    ),
    (
        "winetricks",
        "-c -d HERE -o out.bin --no-conf -x 4 -s 4 -m 8 -t 10 --retry-wait=2 --check-certificate=false URL",
        "out.bin",
    ),
    (
        "yt-dlp",
        "-c --no-conf --console-log-level=warn --summary-interval=0 --download-result=hide \
     --http-accept-gzip=true --file-allocation=none -x16 -j16 -s16 --min-split-size 1M \
     --header User-Agent:x --check-certificate=false --remote-time=true --show-console-readout=true \
     --allow-overwrite=true --allow-piece-length-change=true --auto-file-renaming=false \
     --dir HERE/ --out out.mp4.part URL",
        "out.mp4.part",
    ),
];

#[test]
fn programs_that_start_aria2c_get_their_file_under_the_expected_name() {
    let server = Server::start();
    let url = server.put("/a.bin", content("a", 300_000));
    for (caller, args, name) in CALLERS {
        let place = Place::new();
        place.write("list", format!("{url}\n  dir=.\n  out=out.bin\n"));
        let here = place.path().to_str().expect("text");
        let words = args.split_whitespace().map(|word| {
            word.replace("LIST", "list")
                .replace("URL", &url)
                .replace("HERE", here)
                .replace("PID", &std::process::id().to_string())
        });
        let words: Vec<String> = words.collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let out = aria2c(&place, &words);
        assert_eq!(out.status, 0, "{caller}: {}{}", stdout(&out), out.stderr);
        assert!(place.file(name) == Some(content("a", 300_000)), "{caller}: {:?}", place.files());
    }
}

#[test]
fn with_stop_with_process_the_run_ends_when_that_process_ends() {
    let (server, place) = (Server::start(), Place::new());
    let mut caller = Command::new("sleep").arg("1").spawn().expect("starts");
    let process = caller.id().to_string();
    let waits = std::thread::spawn(move || caller.wait());
    let url = server.url("slow/3000000/f?rate=1000");
    let out = aria2c(&place, &["-q", "--stop-with-process", &process, &url]);
    assert_eq!(out.status, 7, "{}", out.stderr);
    assert!(waits.join().expect("ends").is_ok());
}

/// Calls a method of a running server, and returns the whole answer.
fn call(port: u16, method: &str, params: &str) -> String {
    use std::io::Read;
    let body = format!(r#"{{"id":"1","method":"{method}","params":{params}}}"#);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let request = format!(
        "POST /jsonrpc HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn wait_for_port(port: u16) {
    assert!(poll(PATIENCE, || TcpStream::connect(("127.0.0.1", port)).ok()).is_some(), "nothing listens");
}

#[test]
fn with_enable_rpc_clients_are_served_and_the_session_file_continues_the_queue() {
    let (server, place) = (Server::start(), Place::new());
    let (slow, port) = (server.url("slow/3000000/f?rate=400000"), free_port());
    place.write("session", "");
    let port_option = format!("--rpc-listen-port={port}");
    let args = [
        "aria2c",
        "--enable-rpc",
        &port_option,
        "--rpc-secret=hush",
        "--input-file=session",
        "--save-session=session",
        "--dir=files",
        "--enable-color=false",
    ];
    let child = place.start(&args);
    wait_for_port(port);
    assert!(call(port, "aria2.getVersion", "[]").contains("Unauthorized"));
    let added = call(
        port,
        "aria2.addUri",
        &format!(
            r#"["token:hush",["{slow}"],{{"gid":"00000000000000aa","out":"x.bin","on-download-complete":"/bin/false"}}]"#
        ),
    );
    assert!(added.contains("00000000000000aa"), "{added}");
    // A client cannot save a file outside of the folder.
    let refused = call(port, "aria2.addUri", &format!(r#"["token:hush",["{slow}"],{{"dir":"/etc"}}]"#));
    assert!(refused.contains("is not below a folder"), "{refused}");
    place.wait_for_bytes("files/x.bin.part", 50_000);
    assert!(call(port, "aria2.saveSession", r#"["token:hush"]"#).contains("OK"));
    let saved = String::from_utf8(place.file("session").expect("a session")).expect("UTF-8");
    assert!(saved.contains(&format!("{slow}\t\n gid=00000000000000aa\n")) && saved.contains(" out=x.bin\n"));
    assert!(!saved.contains("hush") && place.file("session.db").is_some());
    send(Signal::TERM, &child);
    let out = finish(child);
    assert_eq!(out.status, 7, "{}", stdout(&out));
    // The session file and the queue both have the download. It must not be added twice.
    let child = place.start(&args);
    wait_for_port(port);
    let gone = poll(Duration::from_secs(60), || {
        let answer = call(port, "aria2.tellStatus", r#"["token:hush","00000000000000aa",["status"]]"#);
        answer.contains("complete").then_some(())
    });
    assert!(gone.is_some());
    let stat = call(port, "aria2.getGlobalStat", r#"["token:hush"]"#);
    assert!(stat.contains(r#""numWaiting":"0""#) && stat.contains(r#""numStopped":"1""#), "{stat}");
    assert!(call(port, "aria2.shutdown", r#"["token:hush"]"#).contains("OK"));
    assert_eq!(finish(child).status, 0);
    assert!(place.file("files/x.bin") == Some(content("f", 3_000_000)), "{:?}", place.files());
    assert_eq!(place.file("session").as_deref(), Some(&b""[..]));
}

#[test]
fn clients_of_other_machines_need_a_secret() {
    let place = Place::new();
    let port = format!("--rpc-listen-port={}", free_port());
    for (args, says) in [
        (&["--rpc-listen-all"][..], "--rpc-listen-all needs --rpc-secret"),
        (&["--rpc-user=me", "--rpc-passwd=x"], "--rpc-secret"),
        (&["--rpc-listen-port=80"], "rpc-listen-port"),
    ] {
        let out = aria2c(&place, &[&["--enable-rpc", &port], args].concat());
        assert!(out.status == 28 && out.stderr.contains(says), "{args:?}: {} {}", out.status, out.stderr);
    }
    assert!(!Path::new(&place.path().join("aria2.db")).exists());
}

#[test]
fn retry_wait_is_the_shortest_wait_before_a_retry() {
    let (server, place) = (Server::start(), Place::new());
    let begin = std::time::Instant::now();
    let out = aria2c(&place, &["--retry-wait=3", "-o", "f", &server.url("fails_once/1000/f")]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(begin.elapsed() >= Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[test]
fn without_clients_the_files_of_a_document_are_downloaded_even_with_pause_metadata() {
    let server = Server::start();
    let url = server.put("/a", content("a", 5000));
    let document = format!(
        r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="a"><url>{url}</url></file></metalink>"#
    );
    let document = server.put("/d.meta4", document.into_bytes());
    for args in [&["--pause-metadata", &document][..], &["-i", "list"]] {
        let place = Place::new();
        place.write("list", format!("{document}\n pause-metadata=true\n"));
        // A run with a paused download would end only because of `--stop`.
        let out = aria2c(&place, &[&["--stop=20"], args].concat());
        assert_eq!(out.status, 0, "{args:?}: {}{}", stdout(&out), out.stderr);
        assert!(place.file("a") == Some(content("a", 5000)), "{args:?}: {:?}", place.files());
    }
}

#[test]
fn a_metalink_file_is_recognised_by_its_ending_in_any_case() {
    let server = Server::start();
    let url = server.put("/a", content("a", 5000));
    let document = format!(
        r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="a"><url>{url}</url></file></metalink>"#
    );
    for name in ["d.meta4", "d.META4", "d.Metalink"] {
        let place = Place::new();
        place.write(name, &document);
        let out = aria2c(&place, &[name]);
        assert_eq!(out.status, 0, "{name}: {}{}", stdout(&out), out.stderr);
        assert!(place.file("a") == Some(content("a", 5000)), "{name}: {:?}", place.files());
    }
}
