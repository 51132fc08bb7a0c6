//! The files that a run writes beside its downloads: what they replace, and what the list of failed files has
//! after a run that was stopped.

use crate::common::{Place, finish, note, send};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use rustix::process::Signal;
use std::io::Write;
use std::process::Stdio;

#[test]
fn an_output_replaces_no_file_of_another_kind_and_no_input() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    let place = Place::new();
    let config = "retries = 1\n";
    place.write("c.toml", config);
    place.write("jar", "127.0.0.1\tFALSE\t/\tFALSE\t0\ta\tb\n");
    place.write("list", &url);
    place.write("json", format!("{{\"url\":\"{url}\"}}\n"));
    let digest = "ab".repeat(32);
    place.write(
        "lock",
        format!(
            "{{\"url\":\"{url}\",\"out\":\"f\",\"size\":1,\"date\":\"2026-11-22T07:32:10.123Z\",\"sha256\":\"{digest}\"}}\n"
        ),
    );
    let failed = format!("{{\"listed_by\":\"--failed\",\"url\":\"{url}\"}}\n");
    place.write("mixed", format!("{failed}{{\"url\":\"{url}\"}}\n"));
    place.write("noted", format!("# my note\n{failed}"));
    for (args, says) in [
        (&["--failed", "c.toml"][..], "--failed c.toml: it exists, and it is not a list of --failed"),
        (&["--save-cookies", "c.toml"], "it exists, and it is not a cookie file"),
        (&["--record", "c.toml"], "it exists, and it is not a lock file"),
        (&["--failed", "jar"], "it is not a list of --failed"),
        (&["--failed", "list"], "it is not a list of --failed"),
        (&["--failed", "json"], "it is not a list of --failed"),
        (&["--failed", "lock"], "it is not a list of --failed"),
        (&["--failed", "mixed"], "it is not a list of --failed"),
        (&["--failed", "noted"], "it is not a list of --failed"),
        (&["--record", "json"], "it is not a lock file"),
        (&["--failed", "c.toml", "--config", "c.toml"], "it is also the file of --config"),
        (&["--log", "./c.toml", "--config", "c.toml"], "--log ./c.toml: it is also the file of --config"),
        (&["--log", "jar", "--cookies", "jar"], "it is also the file of --cookies"),
        (&["--failed", "same", "--save-cookies", "same"], "it is also the file of --failed"),
        (&["--failed", "same", "--log", "./same"], "it is also the file of --failed"),
        (&["--record", "new", "-H", "@new"], "it is also the file of -H"),
        (
            &["--record", "out", "-d", "out"],
            "--record out: it cannot be a file, because -d needs this folder",
        ),
        (&["--archive", "./out", "-d", "out"], "because -d needs this folder"),
        (&["--failed", "out", "-d", "./out/"], "because -d needs this folder"),
        (&["--save-cookies", "out", "-d", "out/of/many"], "because -d needs this folder"),
        (&["--log", "out", "-d", "out"], "--log out: it cannot be a file, because -d needs this folder"),
    ] {
        let out = place.run(&[&[url.as_str()], args].concat());
        assert_eq!(out.status, 2, "{args:?}: {}", out.stderr);
        assert!(out.stderr.contains(says), "{args:?}: {}", out.stderr);
    }
    let files = ["c.toml", "jar", "json", "list", "lock", "mixed", "noted"].map(String::from);
    assert_eq!((server.requests().len(), place.files()), (0, files.to_vec()));
    assert_eq!(place.file("c.toml").as_deref(), Some(config.as_bytes()));
}

#[test]
fn an_output_replaces_an_older_file_of_its_kind() {
    let server = Server::start();
    let bad = server.url("status/10/b?status=404");
    let place = Place::new();
    place.write(
        "list",
        format!(
            "{{\"url\":\"{bad}\",\"listed_by\":\"--failed\"}}\n{{\"url\":\"{}\",\"listed_by\":\"--failed\"}}\n",
            server.url("well_behaved/9/g")
        ),
    );
    place.write("jar", "# Netscape HTTP Cookie File\n");
    place.write("empty", "");
    let args =
        ["-i", "list", "--failed", "list", "--cookies", "jar", "--save-cookies", "jar", "--record", "empty"];
    for _ in 0..2 {
        let out = place.run(&args);
        assert_eq!(out.status, 1, "{}", out.stderr);
        let list = String::from_utf8(place.file("list").expect("a list")).expect("UTF-8");
        assert!(list.lines().count() == 1 && list.contains(&bad), "{list}");
    }
    // A link that another user made may be a trap.
    let target = place.path().join("jar");
    let link = place.path().join("link");
    std::os::unix::fs::symlink(&target, &link).expect("a link");
    let url = server.url("well_behaved/9/h");
    let out = place.run(&[&url, "--save-cookies", "link"]);
    place.assert_exact(&out, "h", &content("h", 9));
    if std::os::unix::fs::lchown(&link, Some(65534), None).is_err() {
        return note("only root can give a link to another user");
    }
    let out = place.run(&[&url, "--save-cookies", "link"]);
    assert!(out.status == 2 && out.stderr.contains("a link that another user made"), "{}", out.stderr);
}

#[test]
fn a_file_that_is_written_at_the_end_is_checked_before_the_downloads() {
    for option in ["--failed", "--save-cookies"] {
        let (server, place) = (Server::start(), Place::new());
        let url = server.url("well_behaved/9/f");
        let out = place.run(&[&url, option, "no/such/list"]);
        let says = format!("{option} no/such/list cannot be written: ");
        assert!(out.status == 5 && out.stderr.contains(&says), "{}", out.stderr);
        assert_eq!((place.file("f"), server.requests().len()), (None, 0));
        let out = place.run(&["plan", &url, option, "no/such/list"]);
        assert_eq!(out.status, 0, "a plan writes no file: {}", out.stderr);
        // The output folder is created.
        let place = Place::new();
        let out = place.run(&[&url, "-d", "out", option, "out/list"]);
        place.assert_exact(&out, "out/f", &content("f", 9));
        assert_eq!(place.files(), ["out/f", "out/list"]);
    }
}

/// A file may be called `download_log.txt` by chance, for example because a server gave it this name.
#[test]
fn the_default_log_is_not_appended_to_a_file_that_is_no_log() {
    let server = Server::start();
    let url = server.url("well_behaved/9/f");
    let place = Place::new();
    let name = "download_log.txt";
    for old in [&b"\x7fELF\0"[..], b"2026-11-22 notes", b"2026-11-22 07:32:10"] {
        place.write(name, old);
        let out = place.run(&[&url, "--if-exists", "overwrite"]);
        place.assert_exact(&out, "f", &content("f", 9));
        assert!(out.stderr.contains("no log is written: download_log.txt: it exists, and it is not a log"));
        assert_eq!(place.file(name).as_deref(), Some(old));
        // With `--log`, the user names this file, and may want to append to it.
        assert_eq!(place.run(&[&url, "--log", name]).status, 0);
        assert!(place.file(name).is_some_and(|text| text.len() > old.len() && text.starts_with(old)));
    }
    place.write(name, "");
    for runs in 1..3 {
        let out = place.run(&[&url, "--if-exists", "overwrite"]);
        assert!(out.status == 0 && !out.stderr.contains("no log is written"), "{}", out.stderr);
        assert_eq!(place.log().matches(" - finished").count(), runs, "{}", place.log());
    }
    // A link that another user made may be a trap.
    let link = place.path().join("link");
    std::os::unix::fs::symlink(place.path().join("target"), &link).expect("a link");
    if std::os::unix::fs::lchown(&link, Some(65534), None).is_err() {
        return note("only root can give a link to another user");
    }
    let out = place.run(&[&url, "--log", "link"]);
    assert!(out.status == 2 && out.stderr.contains("a link that another user made"), "{}", out.stderr);
    std::fs::rename(&link, place.path().join(name)).expect("renamed");
    let out = place.run(&[&url, "--if-exists", "overwrite"]);
    assert!(out.status == 0 && out.stderr.contains("a link that another user made"), "{}", out.stderr);
    assert_eq!(place.file("target"), None);
}

#[test]
fn a_log_is_not_appended_to_a_file_that_an_option_or_a_variable_names() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    let place = Place::new();
    place.write("own", "me:hush\n");
    place.write("sums.minisig", "a signature");
    place.write("sums", "");
    let config = "[host.\"h.test\"]\nbearer = \"@own\"\n";
    place.write("host.toml", config);
    place.write("proxy.toml", "[profile.x]\nproxy = \"@own\"\n");
    place.write("header.toml", "header = [\"X-A: @own\"]\n");
    let key = "RWQBAgMEBQYHqwkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ";
    let none: &[(&str, &str)] = &[];
    for (args, variables, of) in [
        (&["--bearer", "@own"][..], none, "--bearer"),
        (&["--user", "@own"], none, "--user"),
        (&["--cookie", "@own"], none, "--cookie"),
        (&["-H", "@own"], none, "-H"),
        (&["--proxy-user", "@own"], none, "--proxy-user"),
        (&["--key-password", "@own"], none, "--key-password"),
        (&["--data", "@own"], none, "--data"),
        (&["--json", "a", "--json", "@own"], none, "--json"),
        (&[], &[("DOWNHAUL_BEARER", "@own")], "--bearer"),
        (&[], &[("NETRC", "own")], "--netrc"),
        (&[], &[("SSL_CERT_FILE", "own")], "SSL_CERT_FILE"),
        (&["--config", "host.toml"], none, "a key of the configuration"),
        (&["--config", "proxy.toml"], none, "a key of the configuration"),
        (&["--config", "header.toml"], none, "a key of the configuration"),
        (
            &["--checksum-file", "sums", "--signed-by", key, "--log", "sums.minisig"],
            none,
            "the signature of --checksum-file",
        ),
    ] {
        let all = [&["--log", "own", url.as_str()], args].concat();
        let out = finish(place.command(&all).envs(variables.iter().copied()).spawn().expect("starts"));
        let says = format!("it is also the file of {of}");
        assert!(out.status == 2 && out.stderr.contains(&says), "{args:?} {variables:?}: {}", out.stderr);
    }
    // Standard input may be the file of the log, too.
    let own = std::fs::File::open(place.path().join("own")).expect("it is there");
    let mut command = place.command(&["--log", "own", "--bearer", "@-", &url]);
    let out = finish(command.stdin(own).spawn().expect("starts"));
    assert!(out.status == 2 && out.stderr.contains("it is also the file of --bearer"), "{}", out.stderr);
    assert_eq!(place.file("own").as_deref(), Some(&b"me:hush\n"[..]));
    assert!(server.requests().is_empty());
}

/// Returns the URLs of a list in a file.
fn urls(place: &Place, name: &str) -> Vec<String> {
    let list = String::from_utf8(place.file(name).expect("a list")).expect("UTF-8");
    let url = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["url"].to_string();
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    lines.map(url).map(|url| url.trim_matches('"').to_string()).collect()
}

#[test]
fn the_list_of_failed_files_has_all_files_that_a_stopped_run_lacks() {
    let server = Server::start();
    let slow: Vec<String> = (0..50).map(|n| server.url(&format!("slow/2000000/f{n}?rate=50000"))).collect();
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 75)] {
        let place = Place::new();
        place.write("list", format!("{}\n{}\n", server.url("well_behaved/10/first"), slow.join("\n")));
        let child = place.start(&["-i", "list", "-j", "1", "-x", "1", "--failed", "failed"]);
        place.wait_for_bytes("f0.part", 30_000);
        send(signal, &child);
        let out = finish(child);
        assert_eq!(out.status, status, "{}", out.stderr);
        assert_eq!(urls(&place, "failed"), slow, "all but the first file are in the list");
    }
    // A failure ends the run, and the files after it are not started.
    let place = Place::new();
    let bad = server.url("status/10/bad?status=404");
    let all: Vec<String> = [bad].into_iter().chain(slow.clone()).collect();
    let out = place.run(&[&all.join(","), "-j", "1", "--on-error", "exit", "--failed", "failed"]);
    assert_eq!(out.status, 4, "{}", out.stderr);
    assert_eq!(urls(&place, "failed"), all);
    // The URLs of a pattern are read up to a limit, and a pipe is not read to its end.
    let place = Place::new();
    let pattern = server.url("status/10/[1-99999999]?status=404");
    let out = place.run(&["--glob", &pattern, "-j", "1", "--on-error", "exit", "--failed", "failed"]);
    assert!(
        out.stderr.contains("--failed failed lacks files, because the end of the input was not read"),
        "{}",
        out.stderr
    );
    let place = Place::new();
    let mut command = place.command(&["-i", "-", "--failed", "failed"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("starts");
    let mut input = child.stdin.take().expect("a pipe");
    writeln!(input, "{}", slow[0]).expect("it reads");
    place.wait_for_bytes("f0.part", 30_000);
    send(Signal::TERM, &child);
    let out = finish(child);
    assert_eq!((out.status, urls(&place, "failed")), (75, vec![slow[0].clone()]), "{}", out.stderr);
    assert!(
        out.stderr.contains("--failed failed lacks files, because the end of the input was not read"),
        "{}",
        out.stderr
    );
}

#[test]
fn the_list_of_failed_files_is_empty_only_if_every_file_is_there() {
    let server = Server::start();
    let good = server.url("well_behaved/10/f");
    let metalink = format!(
        "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"><file name=\"f\"><url>{good}</url></file>\
         <file name=\"../g\"><url>{good}</url></file></metalink>"
    );
    let lines = format!("{good}\n\nftp://h.test/a\n");
    for (input, says) in [(lines, "# --failed: "), (metalink, "# --failed: ")] {
        let place = Place::new();
        let out = place.run_with(&["-i", "-", "--failed", "failed"], input.as_bytes());
        assert_eq!(out.status, 1, "{}", out.stderr);
        assert_eq!(place.file("f"), Some(content("f", 10)));
        let list = String::from_utf8(place.file("failed").expect("a list")).expect("UTF-8");
        assert!(list.lines().count() == 1 && list.starts_with(says), "{list}");
        // The list can be replaced, and `-i` ignores the comment.
        let out = place.run(&["-i", "failed"]);
        assert!(out.stderr.contains("the list failed is empty"), "{}", out.stderr);
        let out = place.run(&[&good, "--failed", "failed"]);
        assert_eq!((out.status, place.file("failed")), (0, Some(Vec::new())), "{}", out.stderr);
    }
}

/// The list is read again at the end of the run. If it became shorter, its end is not known.
#[test]
fn a_list_of_failed_files_replaces_the_input_only_if_all_of_it_was_read() {
    let server = Server::start();
    // The list has more lines than the run reads at a time, and more than the queue of the session holds.
    let line = |n| {
        let url = server.url(&format!("slow/2000000/f{n}?rate=50000"));
        format!("{{\"listed_by\":\"--failed\",\"url\":\"{url}\"}}\n")
    };
    let (first, rest): (String, String) = ((0..5).map(line).collect(), (5..3000).map(line).collect());
    for failed in ["list", "other"] {
        let place = Place::new();
        place.write("list", format!("{first}{rest}"));
        let child = place.start(&["-i", "list", "-j", "1", "-x", "1", "--failed", failed]);
        place.wait_for_bytes("f0.part", 30_000);
        place.write("list", &first);
        send(Signal::INT, &child);
        let out = finish(child);
        assert_eq!(place.file("list").as_deref(), Some(first.as_bytes()));
        if failed == "list" {
            assert!(
                out.stderr.contains("it is also the input, and the end of the input was not read"),
                "{}",
                out.stderr
            );
            continue;
        }
        assert!(
            out.stderr.contains("--failed other lacks files, because the end of the input was not read"),
            "{}",
            out.stderr
        );
        let list = String::from_utf8(place.file("other").expect("a list")).expect("UTF-8");
        assert!(
            list.ends_with("# --failed: the end of the input was not read\n"),
            "the list says that it is not complete"
        );
    }
}

#[test]
fn a_record_that_is_a_parquet_file_is_refused_and_the_message_says_what_to_do() {
    let place = Place::new();
    for name in ["files.parquet", "files.PARQUET"] {
        let out = place.run(&["http://127.0.0.1:9/a", "--record", name]);
        place.assert_failed(&out, 2, "Use --record files.csv");
        assert!(out.stderr.contains("pyarrow.parquet.write_table"), "{}", out.stderr);
    }
}
