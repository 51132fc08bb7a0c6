//! Lock files, which reproduce a set of files exactly, and `downhaul verify`.

use crate::common::Place;
use crate::verification::{SHA256, SHA512, SIZE, file, put_file};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

#[test]
fn a_lock_file_reproduces_a_set_of_files_exactly_or_fails() {
    let server = Server::start();
    let redirected =
        server.url(&format!("redirect/1/x?to={}", server.url(&format!("well_behaved/{SIZE}/file"))));
    let place = Place::new();
    let list = format!("{}\n{redirected} sub/b\n", server.put("/d/file", file()) + "?id=1&token=abc#x");
    place.write("list", &list);
    let out = place.run(&["-i", "list", "-d", "first", "--record", "set.lock"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let record = String::from_utf8(place.file("set.lock").expect("a record")).expect("UTF-8");
    let lines: Vec<serde_json::Value> =
        record.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!((lines[0]["out"].as_str(), lines[1]["out"].as_str()), (Some("file"), Some("sub/b")));
    assert!(lines.iter().all(|line| line["sha256"] == SHA256.0 && line["size"] == SIZE));
    assert!(lines.iter().all(|line| line["date"].as_str().is_some_and(|date| date.ends_with('Z'))));
    assert!(lines[1]["final_url"].as_str().is_some_and(|url| url.contains("/well_behaved/")));
    assert!(lines[1]["validator"].is_string() && lines[0].get("final_url").is_none());
    assert!(!record.contains("abc") && record.contains("id=1&token=***"), "{record}");

    // The user must add the secret of the URL again.
    let out = place.run(&["-i", "set.lock", "-d", "second"]);
    assert!(out.status == 2 && out.stderr.contains("line 1: a secret was left out"), "{}", out.stderr);
    place.write("set.lock", record.replace("&token=***", ""));
    let out = place.run(&["-i", "set.lock", "-d", "second"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!((place.file("second/file"), place.file("second/sub/b")), (Some(file()), Some(file())));
    assert_eq!(out.stderr.matches("sha-256 from the list").count(), 2, "{}", out.stderr);

    server.put("/d/file", content("changed", SIZE));
    let out = place.run(&["-i", "set.lock", "-d", "third"]);
    assert_eq!((out.status, place.file("third/file")), (3, None), "{}", out.stderr);
    assert_eq!(place.file("third/sub/b"), Some(file()));

    // A later run replaces the entries of its files and keeps the others.
    let new = server.put("/d/new", file());
    let out = place.run(&[
        &new,
        &server.url("d/file"),
        "-d",
        "first",
        "--if-exists",
        "overwrite",
        "--record",
        "set.lock",
    ]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let record = String::from_utf8(place.file("set.lock").expect("a record")).expect("UTF-8");
    let names: Vec<&str> =
        ["sub/b", "new", "file"].into_iter().filter(|name| record.contains(&format!("\"{name}\""))).collect();
    assert_eq!((names.len(), record.lines().count()), (3, 3), "{record}");
    assert_eq!(record.matches(SHA256.0).count(), 2);
    // A run that downloads no file changes no line of an earlier run.
    place.run(&[&server.url("d/none"), "--record", "set.lock"]);
    let after = String::from_utf8(place.file("set.lock").expect("a record")).expect("UTF-8");
    assert!(after.starts_with(&record) && after.contains("\"http_status\":404"), "{after}");
    assert!(!place.files().iter().any(|name| name.ends_with(".tmp")));
}

#[cfg(unix)]
#[test]
fn a_new_lock_file_keeps_the_notes_in_the_old_one_and_the_files_beside_it() {
    let server = Server::start();
    let place = Place::new();
    let run = |name: &str| {
        let out = place.run(&[&server.url(&format!("well_behaved/9/{name}")), "--record", "set.lock"]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        String::from_utf8(place.file("set.lock").expect("a record")).expect("UTF-8")
    };
    let own = place.write("own", "mine");
    std::os::unix::fs::symlink(&own, place.path().join("set.lock.new")).expect("a link");
    let first = run("f");
    place.write("set.lock", format!("# a note\n{first}"));
    let second = run("g");
    assert!(second.starts_with(&format!("# a note\n{first}")) && second.lines().count() == 3, "{second}");
    assert_eq!(place.file("own").as_deref(), Some(&b"mine"[..]));
    let link = std::fs::symlink_metadata(place.path().join("set.lock.new")).expect("it stays");
    assert!(link.is_symlink());
}

/// The new file that replaces the lock file at the end of the run has a longer name.
#[test]
fn a_lock_file_with_too_long_a_name_is_refused_before_the_first_request() {
    let (server, place) = (Server::start(), Place::new());
    let name = "r".repeat(245) + ".jsonl";
    let out = place.run(&[&put_file(&server), "--record", &name]);
    assert!(out.status == 5 && out.stderr.contains("cannot be written"), "{}", out.stderr);
    assert_eq!((server.requests().len(), place.files()), (0, Vec::<String>::new()));
}

#[test]
fn a_lock_file_that_cannot_be_written_is_reported() {
    let server = Server::start();
    let place = Place::new();
    let url = put_file(&server);
    let out = place.run(&[&url, "--record", "no/such/folder"]);
    assert!(
        out.status == 5 && out.stderr.contains("the lock file no/such/folder cannot be written"),
        "{}",
        out.stderr
    );
    assert_eq!(place.file("file"), None, "nothing is downloaded that would not be recorded");
    let out = place.run(&[&url, "-o", "-", "--record", "x"]);
    assert!(out.status == 2 && out.stderr.contains("--record needs one"), "{}", out.stderr);
}

#[test]
fn verify_compares_the_size_of_a_file_of_which_the_lock_file_has_no_digest() {
    let (server, place) = (Server::start(), Place::new());
    let kept = server.url("well_behaved/2000/kept");
    assert_eq!(place.run(&["-q", &kept]).status, 0);
    for form in ["set.lock", "set.csv"] {
        let new = server.url("well_behaved/1000/new");
        assert_eq!(place.run(&["-q", &kept, &new, "--record", form]).status, 0);
        let verify = || {
            let out = place.run(&["verify", form]);
            (out.status, String::from_utf8_lossy(&out.stdout).lines().next().unwrap_or_default().to_string())
        };
        let whole = place.file("kept").expect("the file");
        assert_eq!(verify(), (0, "UNVERIFIED kept  (size matches, no digest)".into()));
        place.write("kept", "");
        assert_eq!(verify(), (3, "FAILED    kept  (0 bytes instead of 2000)".into()));
        std::fs::remove_file(place.path().join("kept")).expect("removed");
        assert_eq!(verify(), (1, "MISSING   kept".into()));
        place.write("kept", whole);
    }
}

#[test]
fn verify_reads_lock_files_that_are_longer_than_checksum_lists_may_be() {
    let (server, place) = (Server::start(), Place::new());
    assert_eq!(place.run(&[&put_file(&server), "--record", "set.lock"]).status, 0);
    let entry = place.file("set.lock").expect("the lock file");
    place.write("set.lock", entry.repeat((17 << 20) / entry.len()));
    let out = place.run(&["verify", "set.lock"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
}

#[test]
fn verify_does_not_silently_pass_over_lines_that_are_not_json() {
    let (server, place) = (Server::start(), Place::new());
    assert_eq!(place.run(&[&put_file(&server), "--record", "set.lock"]).status, 0);
    let entry = String::from_utf8(place.file("set.lock").expect("the lock file")).expect("a text");
    place.write("set.lock", format!("# a comment\n\n{entry}"));
    assert_eq!(place.run(&["verify", "set.lock"]).status, 0);
    place.write("set.lock", format!("{entry}https://h/b#sha256={} b\n", "0".repeat(64)));
    let out = place.run(&["verify", "set.lock"]);
    assert!(out.status == 2 && out.stderr.contains("line 2: it is not JSON"), "{}", out.stderr);
}

#[test]
fn verify_says_where_the_files_of_a_lock_file_were_saved() {
    let (server, place) = (Server::start(), Place::new());
    let out = place.run(&[&put_file(&server), "-d", "other", "--record", "set.lock"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let out = place.run(&["verify", "set.lock"]);
    let says =
        "The missing files were saved in other. To verify them there: downhaul verify set.lock -d other\n";
    assert!(out.status == 1 && out.stderr.ends_with(says), "{}", out.stderr);
    assert_eq!(place.run(&["verify", "set.lock", "-d", "other"]).status, 0);
    std::fs::remove_file(place.path().join("other/file")).expect("removed");
    let out = place.run(&["verify", "set.lock", "-d", "other"]);
    assert!(out.stderr.ends_with("To repair: downhaul repair set.lock -d other\n"), "{}", out.stderr);
}

#[test]
fn verify_says_where_files_are_if_a_later_run_wrote_their_folder_in_another_way() {
    let (server, place) = (Server::start(), Place::new());
    let urls = ["a", "b"].map(|name| server.put(&format!("/d/{name}"), content(name, 9)));
    let options = ["-q", "-d", "out", "--archive", "archive.db", "--record", "set.lock"];
    assert_eq!(place.run(&[&[urls[0].as_str()], &options[..]].concat()).status, 0);
    let out = place.run(&[&[urls[0].as_str(), &urls[1]], &options[..]].concat());
    assert_eq!(out.status, 0, "{}", out.stderr);
    let out = place.run(&["verify", "set.lock"]);
    assert!(out.status == 1 && out.stderr.contains("To verify them there: downhaul"), "{}", out.stderr);
    let folder = out.stderr.trim_end().rsplit_once(" -d ").expect("a folder").1;
    assert_eq!(place.run(&["verify", "set.lock", "-d", folder]).status, 0, "{}", out.stderr);
}

#[test]
fn verify_compares_the_files_on_the_disk() {
    let place = Place::new();
    for name in ["d/good", "d/bad", "d/e/f"] {
        place.write(name, file());
    }
    place.write("d/bad", "damaged");
    let lines = [("good", SHA256.0), ("bad", SHA256.0), ("gone", SHA256.0)];
    let sums = lines.map(|(name, digest)| format!("{digest}  {name}\n")).concat();
    place.write("d/SHA256SUMS", format!("{sums}noise\n"));
    let out = place.run(&["verify", "d/SHA256SUMS"]);
    let table = String::from_utf8(out.stdout.clone()).expect("UTF-8");
    assert_eq!(out.status, 3, "{table}{}", out.stderr);
    for line in [
        "OK        d/good  (sha-256 from SHA256SUMS)",
        "FAILED    d/bad  (sha-256 from SHA256SUMS)",
        "MISSING   d/gone",
    ] {
        assert!(table.lines().any(|one| one == line), "{line}:\n{table}");
    }
    assert!(
        out.stderr.contains("1 FAILED, 1 MISSING, 1 OK") && out.stderr.contains("1 line of"),
        "{}",
        out.stderr
    );

    place.write("d/SHA256SUMS", format!("SHA256 (good) = {0}\nSHA256 (gone) = {0}\n", SHA256.0));
    let out = place.run(&["verify", "d", "-q"]);
    assert_eq!((out.status, out.stdout), (1, b"MISSING   d/gone\n".to_vec()));
    place.write("d/SHA256SUMS", format!("{}  good\n", SHA256.0));
    place.write("d/e/f.sha512", SHA512.0);
    let out = place.run(&["verify", "d/e"]);
    assert_eq!(
        (out.status, String::from_utf8_lossy(&out.stdout).into_owned()),
        (0, "OK        d/e/f  (sha-512 from f.sha512)\n".into())
    );
    let out = place.run(&["verify", "d/e/f.sha512", "-d", "elsewhere"]);
    assert_eq!(
        (out.status, String::from_utf8_lossy(&out.stdout).into_owned()),
        (1, "MISSING   elsewhere/f\n".into())
    );

    let server = Server::start();
    let out = place.run(&[&put_file(&server), "-d", "d/run", "--record", "d/run/set.lock"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.run(&["verify", "d/run"]).status, 0);
    place.write("d/run/file", "damaged");
    let out = place.run(&["verify", "d/run/set.lock"]);
    assert!(out.status == 3 && out.stdout.starts_with(b"FAILED    d/run/file"), "{}", out.stderr);
    for (what, says) in
        [("none", "none cannot be read"), ("d/good", "no line of d/good"), (".", "there is no checksum list")]
    {
        let out = place.run(&["verify", what]);
        assert!(out.status == 2 && out.stderr.contains(says), "{what}: {}", out.stderr);
    }
}

#[test]
fn a_lock_file_without_the_files_that_were_there_already_is_a_warning() {
    let server = Server::start();
    let place = Place::new();
    let urls = ["a", "b", "c"].map(|name| server.url(&format!("well_behaved/1000/{name}"))).join("\n");
    place.write("list", urls);
    assert_eq!(place.run(&["-i", "list"]).status, 0);
    std::fs::remove_file(place.path().join("b")).expect("removed");
    let out = place.run(&["-i", "list", "--record", "new.lock"]);
    assert!(out.status == 0 && out.stderr.contains("2 files were skipped"), "{}", out.stderr);
}

/// The part of a row that was cut off may have had the digest or the name of its file.
#[test]
fn a_table_that_was_cut_within_a_row_is_refused() {
    let (server, place) = (Server::start(), Place::new());
    let (a, b) = (server.url("well_behaved/9/a"), server.url("well_behaved/9/b"));
    assert_eq!(place.run(&[&a, &b, "--record", "set.csv"]).status, 0);
    let whole = String::from_utf8(place.file("set.csv").expect("a table")).expect("UTF-8");
    let row = whole.trim_end().rfind('\n').expect("rows") + 1;
    for cut in [whole.find(&b).expect("the URL") + b.len(), whole.len() - 4, row + 20, row + 3] {
        place.write("cut.csv", &whole[..cut]);
        for more in [&[][..], &["--skip-bad-lines"]] {
            let out = place.run(&[&["-i", "cut.csv", "-d", "cut"], more].concat());
            assert_eq!(out.status, if more.is_empty() { 2 } else { out.status }, "{}", out.stderr);
            assert_ne!(out.status, 0, "{}", out.stderr);
            assert!(out.stderr.contains("line 3: the table ends within a row"), "{}", out.stderr);
        }
    }
    // An editor may remove the last line end.
    place.write("edited.csv", whole.trim_end_matches('\n'));
    assert_eq!(place.run(&["-i", "edited.csv", "-d", "edited"]).status, 0);
    // Other tables may have short rows.
    place.write("list.csv", format!("url,note\n{a}"));
    assert_eq!(place.run(&["-i", "list.csv", "-d", "list"]).status, 0);
}

#[test]
fn verify_says_why_no_line_can_be_used() {
    let place = Place::new();
    let (name, digest) = ("../esc", "0".repeat(64));
    place.write(
        "set.lock",
        format!("{{\"url\":\"http://h/x\",\"out\":\"{name}\",\"sha256\":\"{digest}\"}}\n"),
    );
    let out = place.run(&["verify", "set.lock"]);
    let says = "no line of set.lock has a digest that can be used: line 1: the name is not safe";
    assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
    // In a folder, the lock file is not left out silently.
    let out = place.run(&["verify", "."]);
    let says = "error: 1 line of set.lock could not be read (line 1: the name is not safe";
    assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
    place.write("zeros.lock", [0; 100]);
    place.write("good", "hello");
    place.write("SHA256SUMS", format!("{}  good\n", downhaul_testkit::sha256(b"hello")));
    let out = place.run(&["verify", "."]);
    assert!(out.status == 2 && out.stderr.contains("zeros.lock could not be read"), "{}", out.stderr);
    // Files that are not lock files may have the endings of lock files.
    std::fs::remove_file(place.path().join("set.lock")).expect("removes");
    std::fs::remove_file(place.path().join("zeros.lock")).expect("removes");
    place.write("package.lock", "{\n  \"name\": \"x\"\n}\n");
    place.write("database.lock", b"\x01\0\0\n\0\0pid 7\n");
    place.write("events.jsonl", "{\"n\":1,\"kind\":\"paused\"}\n");
    let out = place.run(&["verify", "."]);
    assert_eq!((out.status, out.stderr.as_str()), (0, "1 OK\n"));
}

#[test]
fn verify_does_not_succeed_with_a_lock_file_that_was_cut() {
    let server = Server::start();
    let urls = ["a", "b", "c"].map(|name| server.url(&format!("well_behaved/9/{name}")));
    for name in ["set.csv", "set.lock"] {
        let place = Place::new();
        let args = [&urls.each_ref().map(String::as_str)[..], &["--record", name]].concat();
        assert_eq!(place.run(&args).status, 0);
        let whole = place.file(name).expect("a lock file");
        // An editor may have removed the last line end, or added empty lines.
        for more in ["", "\n", "\n\r\n"] {
            place.write(name, [whole.trim_ascii_end(), more.as_bytes()].concat());
            let out = place.run(&["verify", name]);
            assert!(out.status == 0 && out.stderr == "3 OK\n", "{name}, {more:?}: {}", out.stderr);
        }
        let last = whole.trim_ascii_end().iter().rposition(|byte| *byte == b'\n').expect("rows") + 1;
        for cut in [last + 3, last + 40, whole.len() - 3] {
            place.write(name, &whole[..cut]);
            let out = place.run(&["verify", name]);
            assert_eq!(out.status, 2, "{name}, {cut}: {}", out.stderr);
            assert!(out.stderr.contains("error: 1 line of set."), "{}", out.stderr);
            assert!(out.stderr.contains("2 OK"), "{name}: {}", out.stderr);
        }
    }
}

#[cfg(unix)]
#[test]
fn a_table_keeps_the_blanks_and_line_ends_in_a_name() {
    let (server, place) = (Server::start(), Place::new());
    let names = [" lead.txt", "trail.txt ", " both ", "c\rr", "\r\nl\nf\r"];
    for name in names {
        let args = ["-o", name, "--record", "set.csv", "-d", "first"];
        assert_eq!(place.run(&[&[&*server.url("well_behaved/9/a")], &args[..]].concat()).status, 0);
    }
    let out = place.run(&["-i", "set.csv", "-d", "second"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    for name in names {
        assert_eq!(place.file(&format!("second/{name}")), Some(content("a", 9)), "{:?}", place.files());
    }
}

#[test]
fn verify_says_how_files_without_a_digest_are_downloaded_again() {
    let (server, place) = (Server::start(), Place::new());
    let url = put_file(&server);
    assert_eq!(place.run(&["-q", &url, "-d", "there"]).status, 0);
    // The file exists already, so the lock file has no digest of it.
    assert_eq!(place.run(&["-q", &url, "-d", "there", "--record", "set.lock"]).status, 0);
    let is_file = |name: &String| name.starts_with("there/") && !name.ends_with(".txt");
    let name = place.files().into_iter().find(is_file).expect("the file");
    let right = place.file(&name);
    place.write(&name, "cut");
    let out = place.run(&["verify", "set.lock", "-d", "there"]);
    let says = "downhaul -i set.lock -d there --if-exists overwrite";
    assert!(out.status == 3 && out.stderr.contains(says) && !out.stderr.contains("repair"), "{}", out.stderr);
    // In the wrong folder, the file is missing. The suggested command has the right folder.
    let out = place.run(&["verify", "set.lock"]);
    let says = "To verify them there: downhaul verify set.lock -d there";
    assert!(out.status == 1 && out.stderr.contains(says), "{}", out.stderr);
    assert!(!out.stderr.contains("overwrite"), "{}", out.stderr);
    let out = place.run(&["-q", "-i", "set.lock", "-d", "there", "--if-exists", "overwrite"]);
    assert_eq!((out.status, place.file(&name)), (0, right), "{}", out.stderr);
}

#[test]
fn verify_says_that_files_are_in_a_tar() {
    let (server, place) = (Server::start(), Place::new());
    let out = place.run(&["-q", &put_file(&server), "--to-tar", "set-{shard}.tar", "--record", "set.lock"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let out = place.run(&["verify", "set.lock"]);
    let says = "downhaul verify does not look into containers";
    assert!(out.status == 1 && out.stderr.contains(says) && !out.stderr.contains("repair"), "{}", out.stderr);
}

#[test]
fn verify_says_of_each_missing_file_if_it_is_in_a_tar_or_where_it_was_saved_or_how_it_is_repaired() {
    let (server, place) = (Server::start(), Place::new());
    let (alone, in_tar) = (server.put("/d/alone", content("alone", 9)), put_file(&server));
    let out = place.run(&["-q", &in_tar, "--to-tar", "set-{shard}.tar", "--record", "tar.lock"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.run(&["-q", &alone, "-d", "there", "--record", "alone.lock"]).status, 0);
    let lines = ["tar.lock", "alone.lock"].map(|name| place.file(name).expect("a lock file"));
    place.write("set.lock", lines.concat());
    let out = place.run(&["verify", "set.lock"]);
    let is_in_tar = "downhaul verify does not look into containers.\n";
    let says = "The other missing files were saved in there. To verify them there: downhaul verify set.lock -d there\n";
    assert!(out.status == 1 && out.stderr.ends_with(&[is_in_tar, says].concat()), "{}", out.stderr);
    std::fs::remove_dir_all(place.path().join("there")).expect("removed");
    let says = "To repair (this also downloads the files with a digest that are in containers): downhaul repair set.lock -d .\n";
    let says = [is_in_tar, says].concat();
    let out = place.run(&["verify", "set.lock"]);
    assert!(out.status == 1 && out.stderr.ends_with(&says), "{}", out.stderr);
    place.write("alone", "wrong");
    let out = place.run(&["verify", "set.lock"]);
    assert!(out.status == 3 && out.stderr.ends_with(&says), "{}", out.stderr);
    let out = place.run(&["repair", "set.lock", "-q"]);
    assert_eq!((out.status, place.file("file")), (0, Some(file())), "{}", out.stderr);
    assert_eq!(place.file("alone"), Some(content("alone", 9)));
}
