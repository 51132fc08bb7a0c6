//! Lists of other programs: input files of aria2, configuration files of curl, and lists with digests behind
//! the URLs, as pip and conda write them.

use crate::common::Place;
use crate::list_forms::{SIZE, assert_files, both_ways, put};
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};

#[test]
fn an_input_file_of_aria2_is_a_list() {
    let server = Server::start();
    let (a, b) = (put(&server, "a"), put(&server, "b"));
    let digest = sha256(&content("a", SIZE));
    let list = format!(
        "{a}\n out=a_1.0_all.deb\n dir=/var/cache/apt\n checksum=sha-256={digest}\n gid=0123456789abcdef\n{b}\n"
    );
    for (place, out) in both_ways("aria2.list", &list, &[]) {
        assert_files(&place, &out, &[("var/cache/apt/a_1.0_all.deb", "a"), ("b", "b")]);
        assert!(out.stderr.contains("sha-256 from the list"), "{}", out.stderr);
    }
}

/// In aria2, the login then comes from the netrc file.
#[test]
fn a_password_without_a_user_name_in_an_input_file_of_aria2_is_ignored_with_a_warning() {
    let server = Server::start();
    let (a, b) = (put(&server, "a"), put(&server, "b"));
    let list = format!("{a}\n http-passwd=hush\n{b}\n http-passwd=hush\n http-user=ann\n");
    for (place, out) in both_ways("aria2.list", &list, &[]) {
        assert_files(&place, &out, &[("a", "a"), ("b", "b")]);
        let note = "the option `http-passwd` of aria2 in the list is ignored";
        assert_eq!(out.stderr.matches(note).count(), 1, "{}", out.stderr);
        assert!(!out.stderr.contains("hush"), "{}", out.stderr);
    }
}

/// Without the option, the file would have another name, or its digest would not be verified.
#[test]
fn a_file_with_an_option_that_cannot_be_read_is_not_downloaded() {
    let server = Server::start();
    let (a, b) = (put(&server, "a"), put(&server, "b"));
    let wrong = "0".repeat(64);
    let list = [
        format!("{a}\n  out=M").as_bytes(),
        b"\xfcller",
        format!("\n  checksum=sha-256={wrong}\n{b}\n  out=b\n").as_bytes(),
    ]
    .concat();
    for more in [&[][..], &["--skip-bad-lines"]] {
        let place = Place::new();
        place.write("list", &list);
        let out = place.run(&[&["-i", "list", "-d", "out"], more].concat());
        assert!(out.stderr.contains("in line 2: it is not UTF-8"), "{}", out.stderr);
        match more {
            [] => assert_eq!(out.status, 2, "{}", out.stderr),
            _ => assert_files(&place, &out, &[("b", "b")]),
        }
    }
}

/// apt-fast and other scripts write such lists: the folder is absolute, and names come from the URLs.
#[test]
fn the_folders_of_an_input_file_of_aria2_are_below_the_output_folder() {
    let server = Server::start();
    let (a, b, c) = (put(&server, "1/f.deb"), put(&server, "2/f.deb"), put(&server, "3/f.deb"));
    let digest = sha256(&content("1/f.deb", SIZE));
    let list = format!(
        "{a}\t{a}?mirror\n checksum=sha-256={digest}\n dir=/var/cache/apt/apt-fast\n out=one_1.0_amd64.deb\n\
         {b}\n dir=/var/cache/apt/apt-fast\n{c}\n dir=./other/\n{c}?2\n dir=.\n"
    );
    server.put("/d/3/f.deb?2", content("3/f.deb", SIZE));
    for (place, out) in both_ways("apt-fast.list", &list, &["--names", "url"]) {
        assert_files(
            &place,
            &out,
            &[
                ("var/cache/apt/apt-fast/one_1.0_amd64.deb", "1/f.deb"),
                ("var/cache/apt/apt-fast/f.deb", "2/f.deb"),
                ("other/f.deb", "3/f.deb"),
                ("f.deb", "3/f.deb"),
            ],
        );
        // A second run finds the files.
        let requests = server.requests().len();
        place.write("again", &list);
        let out = place.run(&["-i", "again", "-d", "out"]);
        assert!(out.status == 0 && server.requests().len() - requests <= 4, "{}", out.stderr);
        assert_eq!(place.files().iter().filter(|path| path.starts_with("out/")).count(), 4);
    }
    let place = Place::new();
    place.write("list", format!("{a}\n  dir=../x\n"));
    let out = place.run(&["-i", "list"]);
    assert!(out.status == 2 && out.stderr.contains("lead out"), "{}", out.stderr);
}

#[test]
fn a_configuration_file_of_curl_is_a_list() {
    let server = Server::start();
    let (a, b) = (put(&server, "a"), put(&server, "b"));
    let list = format!(
        "# two files\nurl = \"{a}\"\noutput = \"x y\"\nheader = \"X-Test: 1\"\nurl = {b}\nremote-name\n"
    );
    for (place, out) in both_ways("curl.txt", &list, &[]) {
        assert_files(&place, &out, &[("x y", "a"), ("b", "b")]);
    }
    assert!(server.requests().iter().all(|request| request.header("x-test").is_some()));
}

#[test]
fn the_folder_and_the_rate_of_a_section_of_curl_are_used() {
    let server = Server::start();
    let (a, b) = (put(&server, "a"), put(&server, "b"));
    let list = format!(
        "-sSLo x\nurl = {a}\noutput-dir = /tmp/sub\nlimit-rate = 2M\ncreate-dirs\nnext\n-O\nurl = {b}\n"
    );
    for (place, out) in both_ways("curl.txt", &list, &[]) {
        assert_files(&place, &out, &[("tmp/sub/x", "a"), ("b", "b")]);
        assert!(!out.stderr.contains("ignored"), "{}", out.stderr);
    }
    let place = Place::new();
    place.write("list", format!("url = {a}\n-sx http://proxy:1\n"));
    let out = place.run(&["-i", "list"]);
    assert!(out.status == 2 && out.stderr.contains("the option `x` of curl (in line 2)"), "{}", out.stderr);
}

#[test]
fn a_warning_says_which_names_and_sections_of_a_configuration_file_of_curl_have_no_url() {
    let server = Server::start();
    let (a, b) = (put(&server, "a"), put(&server, "b"));
    let names = "its names from line 4 on are ignored";
    let section = "the section from line 2 of the list on has no URL";
    for (list, notes) in [
        (format!("url = {a}\noutput = x\nurl = {b}\noutput = y\n"), &[][..]),
        (format!("url = {a}\noutput = x\nlocation\noutput = y\n-O\n"), &[names]),
        (format!("location\noutput = y\nheader = \"X-A: 1\"\nnext\nurl = {a}\n-o x\n"), &[section]),
        (format!("url = {a}\n-o x\nnext\nretry = 3\n"), &["the section from line 4 of the list on"]),
        // Nothing is lost.
        (format!("url = {a}\n-o x\nnext\nlocation\nnext\n"), &[]),
    ] {
        for (place, out) in both_ways("curl.txt", &list, &[]) {
            let both = [("x", "a"), ("y", "b")];
            assert_files(&place, &out, if list.contains(&b) { &both[..] } else { &both[..1] });
            assert_eq!(out.stderr.matches("ignored").count(), notes.len(), "{list}: {}", out.stderr);
            for note in notes {
                assert!(out.stderr.contains(*note), "{note}: {}", out.stderr);
            }
        }
    }
}

#[test]
fn digests_behind_the_urls_are_those_of_pip_and_conda() {
    let server = Server::start();
    let (a, b, c) = (put(&server, "a-1.0-py3.whl"), put(&server, "b-2.conda"), put(&server, "c.tar.bz2"));
    let hash = |name: &str| sha256(&content(name, SIZE));
    let pip = format!("# pip download --no-deps\n{a}#sha256={}\n", hash("a-1.0-py3.whl"));
    // `conda list --explicit --sha256` writes the digits alone.
    let conda = format!(
        "# This file may be used to create an environment using:\n# $ conda create --name <env> --file <this file>\n\
         # platform: linux-64\n@EXPLICIT\n{b}#{}\n{c}#{}\n",
        hash("b-2.conda"),
        hash("c.tar.bz2"),
    );
    let names = [("b-2.conda", "b-2.conda"), ("c.tar.bz2", "c.tar.bz2")];
    for (list, files) in [(&pip, &[("a-1.0-py3.whl", "a-1.0-py3.whl")][..]), (&conda, &names[..])] {
        for (place, out) in both_ways("list.txt", list, &[]) {
            assert_files(&place, &out, files);
            assert_eq!(out.stderr.matches("sha-256 from the URL").count(), files.len(), "{}", out.stderr);
        }
    }
    // An MD5 is compared too.
    let wrong = conda.replace(&hash("b-2.conda"), "d41d8cd98f00b204e9800998ecf8427e");
    let cut = conda.replace(&hash("b-2.conda"), "sha256=abc");
    for (list, status, says) in [(wrong, 3, "md5"), (cut, 2, "line 5: ")] {
        let place = Place::new();
        place.write("list", list);
        let out = place.run(&["-i", "list", "-d", "out"]);
        assert!(out.status == status && out.stderr.contains(says), "{}: {}", out.status, out.stderr);
        assert!(place.file("out/b-2.conda").is_none());
    }
}
