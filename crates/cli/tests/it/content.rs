//! Responses that are not the data that the name of the file suggests: HTML pages and Git LFS pointers.

use crate::common::{Out, Place};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use downhaul_testkit::sha256;

const PAGE: &str = "\n<!-- saved -->\n<!DOCTYPE html><title>Log in</title>";

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

/// Returns the URL of a text under this name.
fn text(server: &Server, name: &str, body: &str, more: &[(&str, &str)]) -> String {
    let mut url = url::Url::parse(&server.url(&format!("text/0/{name}"))).expect("a URL");
    url.query_pairs_mut().append_pair("body", body).extend_pairs(more);
    url.into()
}

/// Downloads over an old file, which must stay if the new file is refused.
fn over_old(name: &str, args: &[&str]) -> (Place, Out) {
    let place = Place::new();
    place.write(name, "old");
    let out = place.run(&[args, &["--if-exists", "overwrite"]].concat());
    (place, out)
}

#[track_caller]
fn assert_refused(place: &Place, out: &Out, name: &str, says: &str) {
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert!(out.stderr.contains(says), "expected {says:?} in:\n{}", out.stderr);
    assert_eq!((place.files(), place.file(name)), (vec![name.to_string()], Some(b"old".to_vec())));
}

const HTML: &[(&str, &str)] = &[("type", "text/html; charset=utf-8")];

#[test]
fn a_page_instead_of_a_data_file_is_a_failure_and_is_not_saved() {
    let server = Server::start();
    let names = [
        "x.zip",
        "x.hdf",
        "x.nc",
        "x.h5",
        "x.tif",
        "x.bam",
        "x.safetensors",
        "x.gguf",
        "x.parquet",
        "x.csv",
        "x.json",
        "x.conda",
        "x.TAR.GZ",
        "x.pdf",
        "x.mp4",
        "x.jpg",
        "x.exe",
        "x.docx",
    ];
    for name in names {
        for more in [HTML, &[]] {
            let (place, out) = over_old(name, &[&text(&server, name, PAGE, more)]);
            assert_refused(&place, &out, name, "the server sent an HTML page instead of the file");
            assert!(out.stderr.contains("--accept-html"), "{}", out.stderr);
        }
    }
}

#[test]
fn every_common_beginning_of_a_page_is_recognised() {
    let server = Server::start();
    let wide: &[(&str, &str)] = &[("wide", "1")];
    for (body, more) in [
        ("<HTML><BODY>", &[][..]),
        ("<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC>", &[]),
        ("\u{feff}<!doctype html>", &[]),
        (PAGE, wide),
        ("<script>location='/login'</script>", HTML),
        ("<head><title>Quota", HTML),
        ("<body>", HTML),
    ] {
        let (place, out) = over_old("x.nii.gz", &[&text(&server, "x.nii.gz", body, more)]);
        assert_refused(&place, &out, "x.nii.gz", "the server sent an HTML page");
    }
}

#[test]
fn a_page_is_saved_if_the_user_accepts_it_or_the_name_may_be_that_of_a_page() {
    let server = Server::start();
    let saved = |name: &str, args: &[&str]| {
        let place = Place::new();
        let out = place.run(args);
        place.assert_exact(&out, name, PAGE.as_bytes());
        assert!(!out.stderr.contains("warning"), "{}", out.stderr);
    };
    for name in ["x.html", "x", "x.txt", "x.php", "x.xml", "x.xls", "page.html.gz", "x.unheard"] {
        saved(name, &[&text(&server, name, PAGE, HTML)]);
    }
    let url = text(&server, "x.zip", PAGE, HTML);
    saved("x.zip", &[&url, "--accept-html"]);
    saved("x.zip", &[&url, "--verify", "off"]);
    saved("login.html", &[&url, "-o", "login.html"]);
    // A given digest shows that the user wants exactly this file.
    saved("x.zip", &[&url, "--checksum", &format!("sha256:{}", sha256(PAGE.as_bytes()))]);
}

#[test]
fn a_digest_beside_a_page_does_not_make_the_page_acceptable() {
    let server = Server::start();
    let url = server.put("/d/x.zip", PAGE);
    server.put("/d/x.zip.sha256", sha256(PAGE.as_bytes()));
    for verify in ["require", "listed", "find"] {
        let (place, out) = over_old("x.zip", &[&url, "--verify", verify]);
        assert_refused(&place, &out, "x.zip", "the server sent an HTML page");
    }
}

#[test]
fn data_is_saved_even_if_the_server_says_that_it_is_a_page() {
    let server = Server::start();
    for (name, body) in [("x.csv", "a,b\n1,2\n"), ("x.svg", "<?xml version='1.0'?><svg/>"), ("x.json", "{}")]
    {
        let place = Place::new();
        let out = place.run(&[&text(&server, name, body, HTML)]);
        place.assert_exact(&out, name, body.as_bytes());
        assert!(out.stderr.contains("the server says that the file is an HTML page"), "{}", out.stderr);
        let out = place.run(&[&text(&server, name, body, &[]), "-o", "plain"]);
        assert!(out.status == 0 && !out.stderr.contains("warning"), "{}", out.stderr);
    }
    // A fragment of HTML is a page only if its Content-Type says so.
    let place = Place::new();
    let out = place.run(&[&text(&server, "x.csv", "<b>,<i>\n", &[])]);
    place.assert_exact(&out, "x.csv", b"<b>,<i>\n");
    let place = Place::new();
    let out = place.run(&[&server.url("well_behaved/2000000/x.zip")]);
    place.assert_exact(&out, "x.zip", &content("x.zip", 2_000_000));
}

#[test]
fn a_page_on_standard_output_is_a_failure() {
    let server = Server::start();
    let place = Place::new();
    let out = place.run(&[&text(&server, "x.tar.xz", PAGE, HTML), "-o", "-"]);
    assert_eq!(
        (out.status, &*out.stdout),
        (3, PAGE.as_bytes()),
        "the page was written before it was recognised"
    );
    assert!(out.stderr.contains("the server sent an HTML page"), "{}", out.stderr);
    let out = place.run(&[&text(&server, "x.html", PAGE, HTML), "-o", "-"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
}

#[test]
fn a_redirect_to_a_page_fails_if_the_requested_name_is_that_of_data() {
    let server = Server::start();
    let login = server.put("/login", PAGE);
    let place = Place::new();
    let out = place.run(&[&server.url(&format!("redirect/0/x.iso?to={login}"))]);
    place.assert_failed(&out, 3, "the server sent an HTML page");
    // A text file may contain a page. But the download fails if a redirect leads to a URL with the name of a
    // page.
    let login = server.put("/login.html", PAGE);
    for name in ["x.txt", "x.xml", "x.md"] {
        let redirect = server.url(&format!("redirect/0/{name}?to={login}"));
        let out = place.run(&[&redirect]);
        place.assert_failed(&out, 3, "the server sent an HTML page");
        let (place, out) = over_old(name, &[&text(&server, name, PAGE, HTML)]);
        place.assert_exact(&out, name, PAGE.as_bytes());
    }
}

#[test]
fn a_git_lfs_pointer_instead_of_a_data_file_is_a_failure() {
    let server = Server::start();
    let url = text(&server, "model.safetensors", POINTER, &[("type", "text/plain")]);
    let (place, out) = over_old("model.safetensors", &[&url]);
    assert_refused(
        &place,
        &out,
        "model.safetensors",
        "the server sent a Git LFS pointer instead of the file",
    );
    for option in ["--accept-html", "--verify=off"] {
        let place = Place::new();
        let out = place.run(&[&url, option]);
        place.assert_exact(&out, "model.safetensors", POINTER.as_bytes());
    }
    let place = Place::new();
    let out = place.run(&[&text(&server, "pointer.txt", POINTER, &[])]);
    place.assert_exact(&out, "pointer.txt", POINTER.as_bytes());
}

#[test]
fn if_a_mirror_sends_a_page_the_next_mirror_is_used() {
    let server = Server::start();
    let place = Place::new();
    let page = text(&server, "x.zip", PAGE, HTML);
    place.write("list", format!("{page}\t{}\tx.zip\n", server.url("well_behaved/5000/file")));
    let out = place.run(&["-i", "list"]);
    place.assert_exact(&out, "x.zip", &content("file", 5000));
}
