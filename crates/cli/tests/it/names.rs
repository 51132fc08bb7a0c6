//! Tests of the names of files: given names, and names from a list, a URL or a server.

use crate::common::Place;
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

/// The longest name on the usual file systems of Linux, in bytes (`NAME_MAX`).
const LONGEST: usize = 255;

#[test]
fn the_user_may_give_any_name_that_the_disk_allows() {
    let server = Server::start();
    let url = server.url("well_behaved/2000000/a");
    let longest = "x".repeat(LONGEST);
    let deep = format!("{longest}/{longest}");
    for name in [&longest, &deep] {
        let place = Place::new();
        let out = place.run(&[&url, "-o", name]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert_eq!(place.files(), [name.as_str()]);
        let place = Place::new();
        place.write("list", format!("{url}\t{name}\n"));
        let out = place.run(&["-i", "list", "-d", "d"]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert!(place.file(&format!("d/{name}")) == Some(content("a", 2_000_000)));
    }
}

#[test]
fn a_longer_name_is_refused_before_any_request() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("well_behaved/1000/a");
    let name = "x".repeat(LONGEST + 1);
    place.write("list", format!("{url}\tfolder/{name}\n"));
    for args in [vec![&*url, "-o", &name], vec![&*url, &name], vec!["-i", "list"]] {
        let out = place.run(&args);
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert!(out.stderr.contains("longer than 255 bytes"), "{}", out.stderr);
    }
    assert!(server.requests().is_empty());
}

/// Returns a URL whose response has this Content-Disposition.
fn named(server: &Server, value: &str) -> String {
    let mut url = url::Url::parse(&server.url("named/1000/file")).expect("a URL");
    url.query_pairs_mut().append_pair("disposition", value);
    url.into()
}

#[test]
fn a_changed_name_is_reported_with_the_result() {
    let server = Server::start();
    for (asked, is, says) in [
        (".gitattributes", "_gitattributes", "its name \".gitattributes\" is not safe here, and was changed"),
        ("-rf", "_rf", "its name \"-rf\" is not safe here, and was changed"),
        ("a%01b", "a_b", "is not safe here, and was changed"),
        ("plain.txt", "plain.txt", ""),
    ] {
        let place = Place::new();
        let out = place.run(&[&server.url(&format!("well_behaved/10/{asked}"))]);
        assert_eq!((out.status, place.files()), (0, vec![is.to_string()]), "{}", out.stderr);
        let told = out.stderr.lines().skip_while(|line| !line.contains(is)).nth(1).unwrap_or_default();
        assert!(told.contains(says) && told.is_empty() == says.is_empty(), "{asked}: {}", out.stderr);
    }
}

#[test]
fn long_names_of_servers_are_cut_and_stay_different() {
    let server = Server::start();
    let place = Place::new();
    let long = |end: &str| named(&server, &format!("attachment; filename={}{end}.nii.gz", "x".repeat(400)));
    let out = place.run(&[&long("1"), &long("2"), "-d", "out"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let files = place.files();
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(files.iter().all(|name| name.len() == "out/".len() + LONGEST && name.ends_with(".nii.gz")));
    assert_eq!(
        out.stderr.matches("is longer than the disk allows, and was cut").count(),
        2,
        "{}",
        out.stderr
    );
    // A second run finds the same names.
    let out = place.run(&[&long("1"), &long("2"), "-d", "out"]);
    assert_eq!((out.status, place.files()), (0, files), "{}", out.stderr);
}

#[test]
fn a_long_name_from_a_url_is_downloaded() {
    let server = Server::start();
    let place = Place::new();
    let name = "é".repeat(125);
    let out = place.run(&[&server.url(&format!("well_behaved/2000000/{name}"))]);
    assert_eq!((out.status, place.files()), (0, vec![name]), "{}", out.stderr);
}

#[test]
fn names_that_only_windows_refuses_stay_as_they_are_elsewhere() {
    let server = Server::start();
    for (name, windows) in [
        ("a:b?.txt", "a_b_.txt"),
        ("con.txt", "_con.txt"),
        ("aux", "_aux"),
        ("x.", "x_"),
        ("a b.txt", "a b.txt"),
    ] {
        let url = named(&server, &format!("attachment; filename=\"{name}\""));
        let place = Place::new();
        let out = place.run(&[&url]);
        assert_eq!((out.status, place.files()), (0, vec![name.to_string()]), "{}", out.stderr);
        assert!(!out.stderr.contains("warning"), "{}", out.stderr);
        let place = Place::new();
        place.write("list", format!("{url}\t{name}\n"));
        for args in [vec![&*url], vec!["-i", "list", "-d", "d"]] {
            let out = place.run(&[&args[..], &["--windows-names"]].concat());
            assert_eq!(out.status, 0, "{}", out.stderr);
            assert_eq!(out.stderr.contains("was changed"), name != windows, "{}", out.stderr);
        }
        let mut expected = [&format!("d/{windows}"), windows, "list"].map(String::from);
        expected.sort();
        assert_eq!(place.files(), expected);
    }
}

#[test]
fn verify_finds_a_file_under_the_name_that_a_run_gave_it() {
    let server = Server::start();
    let bytes = content("file", 1000);
    let list = format!("{}  a:b\n", downhaul_testkit::sha256(&bytes));
    for options in [&[][..], &["--windows-names"]] {
        let place = Place::new();
        let url = named(&server, "attachment; filename=\"a:b\"");
        let list = place.write("SHA256SUMS", &list);
        let list = list.to_string_lossy();
        // The list has the server's name of the file, even if the file on the disk has another name.
        let out = place.run(&[&[&*url, "--checksum-file", &list, "--verify", "require"], options].concat());
        assert_eq!(out.status, 0, "{}", out.stderr);
        let out = place.run(&["verify", &list]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        let out = place.run(&["verify", &list, "-d", "elsewhere"]);
        assert!(
            out.status == 1 && String::from_utf8_lossy(&out.stdout).contains("MISSING"),
            "{}",
            out.stderr
        );
    }
}

#[test]
fn names_in_other_encodings_and_with_escapes_are_decoded() {
    let server = Server::start();
    let place = Place::new();
    for url in [
        named(&server, "attachment; filename=\"%E5%8D%8E%20a.pdf\""),
        named(&server, "filename=name1311; charset=x"),
        server.url("well_behaved/1000/%E9t%E9.txt"),
    ] {
        let out = place.run(&[&url]);
        assert_eq!(out.status, 0, "{}", out.stderr);
    }
    assert_eq!(place.files(), ["name1311", "été.txt", "华 a.pdf"]);
}

#[test]
fn names_url_takes_the_name_from_the_url() {
    let server = Server::start();
    let url = named(&server, "attachment; filename=stated");
    for (from, name) in [("auto", "stated"), ("server", "stated"), ("url", "file")] {
        let place = Place::new();
        let out = place.run(&[&url, "--names", from]);
        assert_eq!((out.status, place.files()), (0, vec![name.to_string()]), "{}", out.stderr);
    }
}

#[test]
fn folders_of_the_url_are_kept_if_the_option_says_so() {
    let server = Server::start();
    let host = format!("127.0.0.1:{}", server.port());
    server.put("/a/b/.c/f", "bytes");
    let url = server.url("a/x/../b/.c/f");
    for (folders, name) in [
        ("0", "f".to_string()),
        ("1", "_c/f".into()),
        ("2", "b/_c/f".into()),
        ("all", "a/b/_c/f".into()),
        ("host", format!("{host}/a/b/_c/f")),
    ] {
        let place = Place::new();
        let out = place.run(&[&url, "--folders", folders]);
        assert_eq!((out.status, place.files()), (0, vec![name]), "{}", out.stderr);
    }
    let out = Place::new().run(&[&url, "--folders", "some"]);
    assert!(out.status == 2 && out.stderr.contains("a number, all or host"), "{}", out.stderr);
}

#[test]
fn a_file_with_the_name_of_a_needed_folder_is_reported_and_not_changed() {
    let server = Server::start();
    let place = Place::new();
    server.put("/a/b", "bytes");
    place.write("a", "mine");
    let out = place.run(&[&server.url("a/b"), "--folders", "all"]);
    assert_eq!(out.status, 5, "{}", out.stderr);
    assert!(out.stderr.contains("./a is a file, not a folder"), "{}", out.stderr);
    assert_eq!((place.files(), place.file("a")), (vec!["a".to_string()], Some(b"mine".to_vec())));
    // If there is a folder with the name of the file, the file gets a number.
    let place = Place::new();
    place.write("a/b/c", "mine");
    let out = place.run(&[&server.url("a/b"), "--folders", "all"]);
    assert_eq!(
        (out.status, place.files()),
        (0, vec!["a/b (1)".to_string(), "a/b/c".into()]),
        "{}",
        out.stderr
    );
}

#[test]
fn a_number_is_put_before_a_double_extension() {
    let server = Server::start();
    let place = Place::new();
    let urls = ["1", "2"].map(|size| server.url(&format!("well_behaved/{size}/x.nii.gz")));
    let out = place.run(&[&urls[0], &urls[1], "-j1"]);
    assert_eq!(
        (out.status, place.files()),
        (0, vec!["x (1).nii.gz".to_string(), "x.nii.gz".into()]),
        "{}",
        out.stderr
    );
}

#[test]
fn a_name_that_would_be_a_file_and_a_folder_is_refused_before_any_request() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("well_behaved/1000/a");
    for (one, other) in [("a/b", "a/b/c/d"), ("x/y/z", "x"), ("f.part/g", "f")] {
        place.write("list", format!("{url} {one}\n{url} {other}\n"));
        let out = place.run(&["-i", "list"]);
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert!(
            out.stderr.contains("lines 1 and 2 would need a file and a folder of the same name"),
            "{}",
            out.stderr
        );
    }
    assert!(server.requests().is_empty());
    place.write("list", format!("{url} a/b\n{url} a/c/d\n"));
    assert_eq!(place.run(&["-i", "list"]).status, 0);
}

#[test]
fn a_template_makes_names_from_the_url_the_columns_and_the_line() {
    let (server, place) = (Server::start(), Place::new());
    for path in ["/a/b/one.fq.gz", "/a/c/two.fq.gz", "/x/one.fq.gz"] {
        server.put(path, path);
    }
    let digest = "ab".repeat(32);
    let rows = [
        format!("{},S1,{}", server.url("a/b/one.fq.gz"), ""),
        format!("{},../S2,{}", server.url("a/c/two.fq.gz"), ""),
    ];
    place.write("list.csv", format!("url,sample,sha256\n{}\n", rows.join("\n")));
    let run = |template: &str, folder: &str| {
        let out = place.run(&["-i", "list.csv", "-d", folder, "--name-template", template]);
        (out.status, out.stderr)
    };
    let (status, stderr) = run("{host}/{path[-1:]}/{sample}/{line:03}-{stem}{ext}", "out");
    assert_eq!(status, 0, "{stderr}");
    let host = "127.0.0.1";
    assert_eq!(
        place.files(),
        [
            "list.csv".to_string(),
            format!("out/{host}/b/S1/002-one.fq.gz"),
            format!("out/{host}/c/___S2/003-two.fq.gz"),
        ]
    );
    // The next run finds the same files.
    let (status, stderr) = run("{host}/{path[-1:]}/{sample}/{line:03}-{stem}{ext}", "out");
    assert!(status == 0 && stderr.matches("already exists").count() == 2, "{stderr}");

    let (status, stderr) = run("{sha256:.2}/{name}", "none");
    assert!(
        status == 2 && stderr.contains("line 2") && stderr.contains("the template needs `sha-256`"),
        "{stderr}"
    );
    let (status, stderr) = run("{path[9]}/{name}", "none");
    assert!(status == 2 && stderr.contains("the template needs `path[9]`"), "{stderr}");
    let (status, stderr) = run("{nosuch}/{name}", "none");
    assert!(status == 2 && stderr.contains("The fields are scheme, host,"), "{stderr}");
    assert!(stderr.contains("in this list also ") && stderr.contains("sample"), "{stderr}");
    let (status, stderr) = run("../{name}", "none");
    assert!(status == 2 && stderr.contains("a relative path"), "{stderr}");
    place.write("list.csv", format!("url,sha256\n{},{digest}\n", server.url("a/b/one.fq.gz")));
    assert_eq!(run("{sha256:.2}/{name}", "none").0, 3, "the digest is another one");
}

#[test]
fn files_with_equal_names_from_a_template_get_different_names() {
    let (server, place) = (Server::start(), Place::new());
    let lines = ["/a/one", "/b/two", "/c/three"].map(|path| {
        serde_json::json!({"url": server.put(path, path), "kind": "x", "long": "n".repeat(300) + path})
            .to_string()
    });
    place.write("list.jsonl", lines.join("\n"));
    let out = place.run(&["-i", "list.jsonl", "-d", "same", "--name-template", "{kind}/file.bin"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    for (name, content) in [("file.bin", "/a/one"), ("file (1).bin", "/b/two"), ("file (2).bin", "/c/three")]
    {
        assert_eq!(place.file(&format!("same/x/{name}")).as_deref(), Some(content.as_bytes()), "{name}");
    }
    let out = place.run(&["-i", "list.jsonl", "-d", "long", "--name-template", "{long}.bin"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let long: Vec<String> = place.files().into_iter().filter(|name| name.starts_with("long/")).collect();
    assert!(
        long.len() == 3 && long.iter().all(|name| name.len() <= 260 && name.ends_with(".bin")),
        "{long:?}"
    );

    // Names that a list gives are `name` in the template, and two equal names are a mistake.
    let named = ["a", "b"].map(|folder| {
        serde_json::json!({"url": server.put(&format!("/d/{folder}"), folder), "out": format!("{folder}/same")}).to_string()
    });
    place.write("named.jsonl", named.join("\n"));
    let out = place.run(&["-i", "named.jsonl", "-d", "named", "--name-template", "all/{name}"]);
    assert!(
        out.status == 2 && out.stderr.contains("lines 1 and 2 would have the same name"),
        "{}",
        out.stderr
    );
    let out = place.run(&["-i", "named.jsonl", "-d", "named", "--name-template", "{line}/{name}"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.file("named/2/same").as_deref(), Some(&b"b"[..]));
}

#[test]
fn of_a_file_and_a_folder_with_one_name_the_later_one_gets_a_number() {
    let server = Server::start();
    let [n, m, o] = ["a/n", "a/n/m", "a/n/o/p"].map(|path| server.put(&format!("/{path}"), path));
    let names = |urls: &[&String], more: &[&str]| {
        let place = Place::new();
        place.write("list", urls.iter().map(|url| format!("{url}\n")).collect::<String>());
        let args = [&["-i", "list", "-d", "d", "--folders", "all"], more].concat();
        let plan = place.run(&[&["plan"], &args[..]].concat());
        assert_eq!(plan.status, 0, "{}", plan.stderr);
        for run in 0..2 {
            let out = place.run(&args);
            assert_eq!(out.status, 0, "run {run}: {}", out.stderr);
        }
        let files: Vec<String> = place.files().into_iter().filter(|name| name.starts_with("d/")).collect();
        assert!(files.iter().all(|name| String::from_utf8_lossy(&plan.stdout).contains(name)), "{files:?}");
        files
    };
    for more in [&[][..], &["-j", "1"], &["--names", "url"]] {
        assert_eq!(names(&[&n, &m, &o], more), ["d/a/n", "d/a/n (1)/m", "d/a/n (1)/o/p"], "{more:?}");
        assert_eq!(names(&[&m, &n, &o], more), ["d/a/n (1)", "d/a/n/m", "d/a/n/o/p"], "{more:?}");
    }
    let more = ["--name-template", "{path}/{name}"];
    let place = Place::new();
    place.write("list", format!("{n}\n{m}\n"));
    let args = [&["-i", "list", "-d", "d", "-j", "1"], &more[..]].concat();
    for _ in 0..2 {
        let out = place.run(&args);
        assert_eq!(out.status, 0, "{}", out.stderr);
    }
    assert_eq!(place.files(), ["d/a/n", "d/a/n (1)/m", "list"]);
}
