//! Interrupts runs two hundred times at random times. Each list has equal names, equal ETags and a file that
//! changes.

use crate::common::{Place, finish, send};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use fastrand::Rng;
use rustix::process::Signal;
use std::time::Duration;

/// The number of lists, and the number of interruptions of each list.
const LISTS: u64 = 20;
const TIMES: u64 = 10;

/// The size of a file that is large enough for a journal and several interruptions.
const SIZE: u64 = 2_500_000;

/// The contents that a file of each name may have.
type Right = Vec<(String, Vec<Vec<u8>>)>;

#[test]
fn interrupted_lists_never_mix_files_or_report_a_missing_file_as_a_success() {
    std::thread::scope(|all| {
        for some in 0..4 {
            all.spawn(move || (some..LISTS).step_by(4).for_each(interrupt_one_list));
        }
    });
}

fn interrupt_one_list(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let server = Server::start();
    let place = Place::new();
    let (list, right) = list(&server, &mut rng);
    let list = place.write("list", list).to_string_lossy().into_owned();
    let args = ["-i", list.as_str(), "-d", "out", "-j", ["1", "3", "auto"][rng.usize(0..3)]];
    for _ in 0..TIMES {
        let mut child = place.start(&args);
        std::thread::sleep(Duration::from_millis(rng.u64(5..350)));
        let signal = if rng.bool() { Signal::INT } else { Signal::KILL };
        if child.try_wait().expect("waits").is_none() {
            // A run that has just ended keeps its process number until it is waited for, so this never fails.
            send(signal, &child);
        }
        let out = finish(child);
        check(seed, &place, &right, out.status == 0, &out.stderr);
    }
    for run in ["the first", "another"] {
        let out = place.run(&args);
        assert_eq!(out.status, 0, "list {seed}, {run} run to the end: {}", out.stderr);
        check(seed, &place, &right, true, &out.stderr);
    }
    let left: Vec<String> = place.files().into_iter().filter(|name| name.contains(".part")).collect();
    assert_eq!(left, Vec::<String>::new(), "list {seed}");
    assert_eq!(place.files().len(), right.len() + 1, "list {seed}: {:?}", place.files());
}

/// Returns a list and the right contents of its files. Three files have the same name, size and ETag in
/// different folders. The server gives two files the same name. One file changes.
fn list(server: &Server, rng: &mut Rng) -> (String, Right) {
    let mut lines = Vec::new();
    let mut right = Right::new();
    for (n, name) in ["mask.nii", "mask (1).nii", "mask (2).nii"].into_iter().enumerate() {
        let path = format!("rest{n}/mask.nii");
        lines.push(server.url(&format!("capped/{SIZE}/{path}?rate=3000000")));
        right.push((name.into(), vec![content(&path, SIZE)]));
    }
    let named = |n: u64| format!("named/{}/get?disposition=attachment;filename=data.csv", 900_000 + n);
    lines.extend([1, 2].map(|n| server.url(&named(n))));
    let both = vec![content("get", 900_001), content("get", 900_002)];
    right.push(("data.csv".into(), both.clone()));
    right.push(("data (1).csv".into(), both));
    let requests = rng.u64(1..6);
    lines.push(server.url(&format!("changes_after/{SIZE}/first?requests={requests}&rate=3000000")));
    right.push(("first".into(), vec![content("first", SIZE), content("changed", SIZE)]));
    (lines.join("\n"), right)
}

/// Asserts that every file that exists is right, that the two files with a name from the server differ, and
/// that all files exist if `all` is true.
#[track_caller]
fn check(seed: u64, place: &Place, right: &Right, all: bool, said: &str) {
    let there: Vec<Option<Vec<u8>>> =
        right.iter().map(|(name, _)| place.file(&format!("out/{name}"))).collect();
    for ((name, versions), bytes) in right.iter().zip(&there) {
        match bytes {
            Some(bytes) => assert!(versions.contains(bytes), "list {seed}: {name} is wrong\n{said}"),
            None => assert!(!all, "list {seed}: {name} is missing: {:?}\n{said}", place.files()),
        }
    }
    let named: Vec<&Vec<u8>> = there[3..5].iter().flatten().collect();
    assert!(named.len() < 2 || named[0] != named[1], "list {seed}: one of two files is there twice\n{said}");
}
