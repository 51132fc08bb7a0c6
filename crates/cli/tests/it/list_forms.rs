//! Lists in the forms that programs write: tables and JSON arrays. The tests also cover the recognition of
//! the form of a list, and compressed lists.

use crate::common::{Out, Place, finish};
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use std::io::Write;
use std::process::Stdio;

pub(crate) const SIZE: u64 = 1000;

/// Puts a small file at `/d/NAME`, and returns its URL.
pub(crate) fn put(server: &Server, name: &str) -> String {
    server.put(&format!("/d/{name}"), content(name, SIZE))
}

/// Downloads a list from a file of this name, and from standard input.
pub(crate) fn both_ways(name: &str, list: &str, args: &[&str]) -> [(Place, Out); 2] {
    let (of_a_file, of_stdin) = (Place::new(), Place::new());
    of_a_file.write(name, list);
    let first = of_a_file.run(&[&["-i", name, "-d", "out"], args].concat());
    let second = of_stdin.run_with(&[&["-i", "-", "-d", "out"], args].concat(), list.as_bytes());
    [(of_a_file, first), (of_stdin, second)]
}

/// Asserts that the run succeeded, and that the folder `out` has exactly these files. Each entry is a path,
/// and the name of its content on the server.
pub(crate) fn assert_files(place: &Place, out: &Out, files: &[(&str, &str)]) {
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
    assert!(out.stderr.contains("Name a column with --columns url=COLUMN"), "{}", out.stderr);
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
fn a_comma_after_the_last_element_of_a_json_array_is_a_mistake() {
    let server = Server::start();
    let (place, a) = (Place::new(), put(&server, "a"));
    place.write("list", format!("[\n\"{a}\",\n]\n"));
    let out = place.run(&["-i", "list"]);
    assert!(out.status == 2 && server.requests().is_empty(), "{}", out.stderr);
    assert!(out.stderr.contains("line 3: a comma follows the last element of the array"), "{}", out.stderr);
}

#[test]
fn no_file_is_lost_if_a_lock_file_became_an_array_in_one_line() {
    let server = Server::start();
    let (a, b) = (put(&server, "a"), put(&server, "b"));
    let entry = |url: &str, out: &str, digit: &str| {
        format!(r#"{{"url":"{url}","out":"{out}","status":"finished","sha256":"{}"}}"#, digit.repeat(64))
    };
    let place = Place::new();
    let entries = [entry(&a, "x", "0"), entry(&b, "y", "1"), entry(&a, "x", "2")];
    for (between, says) in [("", "two files of line 1 would"), ("\n", "lines 1 and 2 would")] {
        place.write("all.json", format!("[{}, {},{between} {}]", entries[0], entries[1], entries[2]));
        let out = place.run(&["-i", "all.json"]);
        assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
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
fn a_checksum_list_in_place_of_a_list_is_recognised() {
    let place = Place::new();
    let digest = |n: u8| format!("{n:064x}");
    place.write("SHA256SUMS", format!("{}  a\n{} *b\n", digest(1), digest(2)));
    place.write("a.md5", format!("{}  a\n", &digest(1)[32..]));
    for (list, args) in [
        ("SHA256SUMS", &["repair", "SHA256SUMS"][..]),
        ("SHA256SUMS", &["-i", "SHA256SUMS"]),
        ("SHA256SUMS", &["plan", "-i", "SHA256SUMS"]),
        ("a.md5", &["repair", "a.md5"]),
    ] {
        let out = place.run(args);
        assert_eq!(out.status, 2, "{}", out.stderr);
        let says = format!("error: {list} is a checksum list, which has no URLs. ");
        assert!(out.stderr.starts_with(&says) && !out.stderr.contains("0001"), "{}", out.stderr);
        assert!(out.stderr.contains("downhaul verify") && out.stderr.contains("--checksum-file"));
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
    let aria2 = format!("# a note\n{a}\n  out=x\n");
    let package = format!("{{\n\"name\": \"set\",\n\"resources\": [{{\"path\": \"{a}\"}}]}}");
    for (list, name) in [(array, "x"), (table, "x"), (curl, "x"), (aria2, "x"), (package, "a")] {
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

#[test]
fn a_packed_list_may_have_several_members_and_no_other_bytes_after_them() {
    let server = Server::start();
    let member = |name| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(format!("{}\n", put(&server, name)).as_bytes()).expect("packs");
        gzip.finish().expect("packs")
    };
    let (place, both) = (Place::new(), [member("a"), member("b")].concat());
    place.write("list.gz", &both);
    assert_files(&place, &place.run(&["-i", "list.gz", "-d", "out"]), &[("a", "a"), ("b", "b")]);
    for (rest, says) in
        [("junk\n", "other bytes follow the gzip data of the list"), ("\u{1f}", "unexpected end of file")]
    {
        let place = Place::new();
        place.write("list.gz", [&both, rest.as_bytes()].concat());
        let out = place.run(&["-i", "list.gz"]);
        assert!(out.status == 2 && out.stderr.contains(says), "{rest:?}: {}", out.stderr);
    }
    // `--skip-bad-lines` does not leave out other bytes after the gzip data. The list is longer than the part
    // that is read before the start.
    let long = format!("{}\n", "#".repeat(100)).repeat(1000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(long.as_bytes()).expect("packs");
    let place = Place::new();
    place.write("list.gz", [gzip.finish().expect("packs"), both, b"junk\n".to_vec()].concat());
    let out = place.run(&["-i", "list.gz", "--skip-bad-lines"]);
    assert!(out.status == 2 && out.stderr.contains("other bytes follow the gzip data"), "{}", out.stderr);
}

#[test]
fn rows_of_a_report_without_a_url_are_counted_and_left_out() {
    let server = Server::start();
    let a = put(&server, "a");
    let list = format!("run\tfastq_ftp\tfastq_md5\nE1\t\t\nE2\t{a}\t\nE3\t\t\n");
    for (place, out) in both_ways("report.tsv", &list, &["--columns", "url=fastq_ftp,md5=fastq_md5"]) {
        assert_files(&place, &out, &[("a", "a")]);
        assert!(
            out.stderr.contains("2 rows of the list") && out.stderr.matches("no URL").count() == 1,
            "{}",
            out.stderr
        );
    }
}

#[test]
fn rows_that_are_the_same_are_one_file() {
    let server = Server::start();
    let (a, b) = (put(&server, "a"), put(&server, "b"));
    let digest = sha256(&content("a", SIZE));
    let list = format!("url,name,sha256\n{a},x,{digest}\n{b},y,\n{a},x,{digest}\n");
    for (place, out) in both_ways("list.csv", &list, &[]) {
        assert_files(&place, &out, &[("x", "a"), ("y", "b")]);
        assert!(out.stderr.contains("fetched once"), "{}", out.stderr);
    }
    assert_eq!(server.requests_for("/d/a").len(), 2);
    // A row without the digest, or with another URL, is another file.
    for other in [format!("{a},x,\n"), format!("{b},x,{digest}\n")] {
        let place = Place::new();
        place.write("list.csv", format!("url,name,sha256\n{a},x,{digest}\n{other}"));
        let out = place.run(&["-i", "list.csv"]);
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert!(out.stderr.contains("lines 2 and 3 would have the same name: x"), "{}", out.stderr);
    }
}

#[test]
fn a_column_with_a_comma_can_be_named_and_the_column_for_names_can_be_left_out() {
    let server = Server::start();
    let a = put(&server, "a");
    let list = format!("\"Link, raw\",name\n{a},\"Some title: of a book?\"\n");
    for (place, out) in both_ways("list.csv", &list, &["--columns", "url=\"Link, raw\",name="]) {
        assert_files(&place, &out, &[("a", "a")]);
    }
}

#[test]
fn the_limit_of_a_fetched_list_counts_unpacked_bytes() {
    let server = Server::start();
    let a = put(&server, "a");
    for (comments, status) in [(15, 0), (17, 2)] {
        let list = format!("{}{a}\n", format!("# {}\n", "x".repeat(1021)).repeat(comments << 10));
        let packed = zstd::encode_all(list.as_bytes(), 1).expect("packs");
        assert!(packed.len() < 1 << 20);
        let url = server.put(&format!("/d/list{comments}"), packed);
        let place = Place::new();
        let out = place.run(&["-i", &url, "-d", "out"]);
        assert_eq!(out.status, status, "{}", out.stderr);
        assert_eq!(out.stderr.contains("more than 16 MiB"), status == 2, "{}", out.stderr);
    }
}
