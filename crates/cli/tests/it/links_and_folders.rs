//! Tests of symbolic links, folders and pipes at the path of a file that a run writes.

use crate::common::Place;
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

const SIZE: u64 = 10_000;

fn file() -> Vec<u8> {
    content("file", SIZE)
}

fn url(server: &Server) -> String {
    server.url(&format!("well_behaved/{SIZE}/file"))
}

#[test]
fn a_folder_with_the_name_of_the_file_is_an_error_with_if_exists_error_or_a_given_name() {
    let server = Server::start();
    let place = Place::new();
    std::fs::create_dir(place.path().join("file")).expect("a folder");
    let out = place.run(&[&url(&server), "--if-exists", "error"]);
    assert_ne!(out.status, 0, "{}", out.stderr);
    assert!(out.stderr.contains("a folder is where the file should be"), "{}", out.stderr);
    let out = place.run(&[&url(&server), "-o", "file"]);
    assert_ne!(out.status, 0, "{}", out.stderr);
    assert!(out.stderr.contains("a folder is where the file should be"), "{}", out.stderr);
    let named = format!("named/{SIZE}/x?disposition=attachment%3B%20filename%3Dfile");
    let out = place.run(&[&server.url(&named), "--if-exists", "error"]);
    assert_ne!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.files(), Vec::<String>::new());
    // Without these options, the file gets another name.
    let out = place.run(&[&url(&server)]);
    place.assert_exact(&out, "file (1)", &file());
}

#[test]
#[cfg(unix)]
fn a_broken_symbolic_link_counts_as_an_existing_file() {
    let server = Server::start();
    let url = url(&server);
    let url = url.as_str();
    let place = Place::new();
    std::os::unix::fs::symlink("nowhere", place.path().join("file")).expect("a link");
    for (if_exists, status, says) in [
        ("skip", 0, "already exists: it is a symbolic link that leads nowhere"),
        ("check", 1, "it is a symbolic link that leads nowhere"),
        ("update", 1, "it is a symbolic link that leads nowhere"),
        ("error", 1, "it is a symbolic link that leads nowhere"),
    ] {
        for more in [&[][..], &["-o", "file"]] {
            let out = place.run(&[&[url, "--if-exists", if_exists][..], more].concat());
            assert_eq!(out.status, status, "{if_exists}: {}", out.stderr);
            assert!(out.stderr.contains(says), "{if_exists}: {}", out.stderr);
        }
    }
    assert_eq!(server.requests().len(), 0, "nothing is fetched for that");
    assert_eq!(place.files(), ["file"]);

    let out = place.run(&[url, "--if-exists", "rename"]);
    place.assert_exact(&out, "file (1)", &file());

    let place = Place::new();
    std::os::unix::fs::symlink("nowhere", place.path().join("file")).expect("a link");
    let out = place.run(&[url, "--if-exists", "overwrite"]);
    place.assert_exact(&out, "file", &file());
    assert!(!place.path().join("nowhere").exists(), "the link was replaced");
}

#[test]
fn a_folder_below_the_output_folder_is_created_for_each_file_of_a_run() {
    let server = Server::start();
    let url = url(&server);
    for option in ["--record", "--archive", "--failed", "--save-cookies"] {
        for (folder, path) in [
            ("data", "data/written"),
            ("data", "data/sub/written"),
            ("./data", "data/written"),
            ("data/", "./data/sub/written"),
        ] {
            let place = Place::new();
            // On macOS, the folder for temporary files is below a link.
            let root = place.path().canonicalize().expect("a path");
            let whole = if cfg!(unix) { root.join(path) } else { place.path().join(path) };
            for (path, name) in [(path, "file"), (whole.to_str().expect("text"), "again")] {
                let out = place.run(&[&url, name, "-d", folder, option, path]);
                place.assert_exact(&out, &format!("{folder}/{name}"), &file());
                assert!(place.file(path).is_some(), "{option} {path}: {:?}", place.files());
                std::fs::remove_dir_all(place.path().join("data")).expect("removed");
            }
            // A mistyped folder elsewhere is not created.
            for other in ["other/written", "data/../other/written"] {
                let out = place.run(&[&url, "-d", "data", option, other]);
                assert!(out.status == 5 && !place.path().join("other").exists(), "{option}: {}", out.stderr);
            }
            let out = place.run(&[&url, option, "other/written"]);
            assert!(out.status == 5 && !place.path().join("other").exists(), "{option}: {}", out.stderr);
        }
    }
}

#[cfg(unix)]
#[test]
fn files_that_are_written_at_the_end_replace_no_link_and_no_pipe() {
    let server = Server::start();
    let url = url(&server);
    let place = Place::new();
    for (option, name) in [("--save-cookies", "jar"), ("--failed", "failed"), ("--record", "lock")] {
        let (link, target) = (place.path().join(name), place.path().join(format!("{name}.target")));
        std::fs::write(&target, "").expect("writes");
        std::os::unix::fs::symlink(&target, &link).expect("a link");
        let out = place.run(&[&url, option, name, "--if-exists", "overwrite"]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert!(std::fs::symlink_metadata(&link).expect("it is there").is_symlink(), "{option}");
        let is_written = std::fs::metadata(&target).expect("it is there").len() > 0;
        assert_eq!(is_written, option != "--failed", "{option}");
    }
    // The program's standard output is a pipe.
    let out = Place::new().run(&[&url, "--save-cookies", "/dev/fd/1", "-q"]);
    assert!(out.status == 0 && out.stdout.starts_with(b"# Netscape"), "{}", out.stderr);
    let out = Place::new().run(&[&url, "--record", "/dev/fd/1", "-q"]);
    assert!(out.status != 0 && out.stderr.contains("not a regular file"), "{}", out.stderr);
}
