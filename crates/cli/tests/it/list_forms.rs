//! Lists in the forms that other programs write: tables, JSON arrays, input files of aria2, configuration
//! files of curl, bags, data packages and RO-Crates.

use crate::common::{Out, Place, finish};
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use std::io::Write;
use std::process::Stdio;

const SIZE: u64 = 1000;

/// Puts a small file at `/d/NAME`, and returns its URL.
fn put(server: &Server, name: &str) -> String {
    server.put(&format!("/d/{name}"), content(name, SIZE))
}

/// Downloads a list from a file of this name, and from standard input.
fn both_ways(name: &str, list: &str, args: &[&str]) -> [(Place, Out); 2] {
    let (of_a_file, of_stdin) = (Place::new(), Place::new());
    of_a_file.write(name, list);
    let first = of_a_file.run(&[&["-i", name, "-d", "out"], args].concat());
    let second = of_stdin.run_with(&[&["-i", "-", "-d", "out"], args].concat(), list.as_bytes());
    [(of_a_file, first), (of_stdin, second)]
}

/// Checks that each of these files has the content that the server has under the same or another name.
fn assert_files(place: &Place, out: &Out, files: &[(&str, &str)]) {
    assert_eq!(out.status, 0, "{}", out.stderr);
    for (path, name) in files {
        place.assert_exact(out, &format!("out/{path}"), &content(name, SIZE));
    }
    assert_eq!(place.files().iter().filter(|path| path.starts_with("out/")).count(), files.len());
}

#[test]
fn a_table_of_a_spreadsheet_is_a_list() {
    let server = Server::start();
    let (a, b) = (put(&server, "a"), put(&server, "b"));
    let digest = sha256(&content("b", SIZE));
    for list in [
        format!(
            "\u{feff}Sample;Download URL;File Name;SHA256\r\n1;{a};\"x;1.bin\";\r\n\r\n\"2\r\n3\";{b};;{digest}\r\n;;;\r\n"
        ),
        format!("sample\tlink\tfilename\tsha256\n1\t{a}\tx;1.bin\n2\t{b}\t\t{digest}\n"),
        format!("sha256,url,out\n,{a},x;1.bin\n{digest},{b},\n"),
    ] {
        for (place, out) in both_ways("list.txt", &list, &[]) {
            assert_files(&place, &out, &[("x;1.bin", "a"), ("b", "b")]);
            assert!(out.stderr.contains("sha-256 from the list"), "{}", out.stderr);
        }
    }
}

#[test]
fn a_report_of_the_european_nucleotide_archive_is_a_list() {
    let server = Server::start();
    let host = |url: String| url.strip_prefix("http://").expect("http").to_string();
    let urls = ["r1.gz", "r2.gz", "r3.gz"].map(|name| host(put(&server, name)));
    let list = format!(
        "run_accession\tfastq_ftp\tfastq_sha256\tfastq_bytes\n\
         E1\t{};{}\t{};{}\t{SIZE};{SIZE}\nE2\t{}\t{}\t{SIZE}\n",
        urls[0],
        urls[1],
        sha256(&content("r1.gz", SIZE)),
        sha256(&content("r2.gz", SIZE)),
        urls[2],
        sha256(&content("r3.gz", SIZE)),
    );
    let columns = ["--columns", "url=fastq_ftp,sha256=fastq_sha256,size=fastq_bytes"];
    for (place, out) in both_ways("filereport.tsv", &list, &columns) {
        assert_files(&place, &out, &[("r1.gz", "r1.gz"), ("r2.gz", "r2.gz"), ("r3.gz", "r3.gz")]);
        assert_eq!(out.stderr.matches("sha-256 from the list").count(), 3, "{}", out.stderr);
    }
    let place = Place::new();
    place.write("filereport.tsv", &list);
    let out = place.run(&["-i", "filereport.tsv"]);
    assert_eq!((out.status, server.requests().len()), (2, 6), "{}", out.stderr);
    assert!(out.stderr.contains("Name it with --columns url=COLUMN"), "{}", out.stderr);
    let out = place.run(&["-i", "filereport.tsv", "--columns", "url=fastq"]);
    assert!(
        out.stderr.contains("there is no column `fastq`. The columns are: run_accession"),
        "{}",
        out.stderr
    );
}

#[test]
fn a_json_array_is_a_list() {
    let server = Server::start();
    let (a, b) = (put(&server, "a"), put(&server, "b"));
    let list = format!("[\n  {{\"url\": \"{a}\", \"out\": \"x\"}},\n  \"{b}\"\n]\n");
    for (place, out) in both_ways("list", &list, &[]) {
        assert_files(&place, &out, &[("x", "a"), ("b", "b")]);
    }
}

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
fn a_bag_a_data_package_and_an_ro_crate_are_lists() {
    let server = Server::start();
    let (a, b) = (put(&server, "a"), put(&server, "b"));
    let digest = sha256(&content("a", SIZE));
    let bag = format!("{a} {SIZE} data/a\n{b} - data/x/b\n");
    let package = format!(
        "{{\n\"resources\": [{{\"path\": \"{a}\", \"bytes\": {SIZE}, \"hash\": \"sha256:{digest}\"}}, {{\"path\": \"b\"}}]}}"
    );
    let part = format!(
        "{{\"@id\": \"{a}\", \"@type\": \"File\", \"contentSize\": \"{SIZE}\", \"sha256\": \"{digest}\"}}"
    );
    let crate_ = format!(
        "{{\n\"@context\": \"https://w3id.org/ro/crate/1.1/context\",\n\"@graph\": [{part}, {{\"@id\": \"b\", \"@type\": \"File\"}}]}}"
    );
    for (name, list, files) in [
        ("fetch.txt", bag, [("data/a", "a"), ("data/x/b", "b")]),
        ("datapackage.json", package, [("a", "a"), ("b", "b")]),
        ("ro-crate-metadata.json", crate_, [("a", "a"), ("b", "b")]),
    ] {
        for (place, out) in both_ways(name, &list, &["--base", &server.url("d/list")]) {
            assert_files(&place, &out, &files);
        }
        // Relative paths in a list that is fetched begin at its URL.
        let url = server.put(&format!("/d/{name}"), list.into_bytes());
        let place = Place::new();
        assert_files(&place, &place.run(&["-i", &url, "-d", "out"]), &files);
    }
}

#[test]
fn lines_with_mistakes_are_refused_or_left_out() {
    let server = Server::start();
    let (a, b) = (put(&server, "a"), put(&server, "b"));
    for list in [
        format!("url,md5\n{a},\nftp://h/x,\n{b},zz\n{b},\n"),
        format!("{a}\nftp://h/x\n{{\"url\":\"{b}\",\"md5\":\"zz\"}}\n{b}\n"),
    ] {
        let place = Place::new();
        place.write("list", &list);
        let before = server.requests().len();
        let out = place.run(&["-i", "list", "-d", "out"]);
        assert_eq!((out.status, server.requests().len()), (2, before), "{}", out.stderr);
        assert!(
            out.stderr.contains("has mistakes:") && out.stderr.contains("32 hexadecimal"),
            "{}",
            out.stderr
        );
        for (place, out) in both_ways("list", &list, &["--skip-bad-lines"]) {
            assert_files(&place, &out, &[("a", "a"), ("b", "b")]);
            assert!(out.stderr.contains("left out") && out.stderr.contains("ftp"), "{}", out.stderr);
        }
    }
}

#[test]
fn a_list_never_decides_that_a_file_is_replaced() {
    let server = Server::start();
    let a = put(&server, "a");
    let list = server.put("/d/list", format!("{a}\n  out=mine\n  allow-overwrite=true\n").into_bytes());
    for existing in ["check", "skip", "error"] {
        let place = Place::new();
        place.write("mine", "mine");
        place.run(&["-i", &list, "--if-exists", existing]);
        assert_eq!(place.file("mine").as_deref(), Some(&b"mine"[..]), "{existing}");
    }
}

#[test]
fn rows_that_cannot_be_read_are_never_lost() {
    let server = Server::start();
    let (a, b) = (put(&server, "a"), put(&server, "b"));
    let place = Place::new();
    place.write("open.csv", format!("url,out\n{a},\"a.bin\n{b},b.bin\n"));
    for args in [&["-i", "open.csv"][..], &["-i", "open.csv", "--skip-bad-lines"]] {
        let out = place.run(args);
        assert_eq!((out.status, server.requests().len()), (2, 0), "{}", out.stderr);
        assert!(out.stderr.contains("line 2: a quotation begins here and has no end"), "{}", out.stderr);
    }
    place.write("bad.csv", "url\nnonsense\nftp://h/a\n");
    let out = place.run(&["-i", "bad.csv", "--skip-bad-lines"]);
    assert_eq!(out.status, 2);
    assert!(out.stderr.contains("every line of the list bad.csv has a mistake"), "{}", out.stderr);
}

#[test]
fn the_form_of_a_list_from_a_slow_pipe_is_recognised() {
    let server = Server::start();
    let a = put(&server, "a");
    let array = format!("[\n{{\"url\":\"{a}\",\"out\":\"x\"}}\n]\n");
    let table = format!("\nurl,out\n{a},x\n");
    let curl = format!("# a note\nurl = \"{a}\"\noutput = x\n");
    let package = format!("{{\n\"name\": \"set\",\n\"resources\": [{{\"path\": \"{a}\"}}]}}");
    for (list, name) in [(array, "x"), (table, "x"), (curl, "x"), (package, "a")] {
        let place = Place::new();
        let mut command = place.command(&["-i", "-", "-d", "out"]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let mut pipe = child.stdin.take().expect("a pipe");
        for part in list.split_inclusive('\n') {
            pipe.write_all(part.as_bytes()).expect("writes");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        drop(pipe);
        let out = finish(child);
        assert_files(&place, &out, &[(name, "a")]);
    }
}

#[test]
fn the_form_of_a_list_can_be_stated() {
    let server = Server::start();
    let a = put(&server, "a");
    let place = Place::new();
    // Without the option, the name says that this is a table.
    place.write("list.csv", format!("{a} x\n"));
    assert_eq!(place.run(&["-i", "list.csv"]).status, 2);
    let out = place.run(&["-i", "list.csv", "--list-format", "lines", "-d", "out"]);
    assert_files(&place, &out, &[("x", "a")]);
}

#[test]
fn a_packed_list_is_unpacked() {
    let server = Server::start();
    let a = put(&server, "a");
    let list = format!("url,name\n{a},x\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(list.as_bytes()).expect("packs");
    let zstandard = zstd::encode_all(list.as_bytes(), 1).expect("packs");
    for (name, packed) in [("list.csv.gz", gzip.finish().expect("packs")), ("list.CSV.zst", zstandard)] {
        let (of_a_file, of_stdin) = (Place::new(), Place::new());
        of_a_file.write(name, &packed);
        assert_files(&of_a_file, &of_a_file.run(&["-i", name, "-d", "out"]), &[("x", "a")]);
        assert_files(&of_stdin, &of_stdin.run_with(&["-i", "-", "-d", "out"], &packed), &[("x", "a")]);
        let cut = Place::new();
        cut.write(name, &packed[..packed.len() - 5]);
        let out = cut.run(&["-i", name]);
        assert_eq!(out.status, 2, "{}", out.stderr);
    }
}
