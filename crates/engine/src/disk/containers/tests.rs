//! Tests of the tars: names and sizes of every kind, and tars that were cut or damaged, or cannot be read.

use super::*;
use downhaul_core::digest::Algorithm;
use downhaul_core::lock_file::{self, Entry, Status};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

const PATTERN: &str = "t-{shard}.tar";

fn open(folder: &Path) -> Result<Containers, Error> {
    let names = ContainerNames::read(Form::Tar, PATTERN).expect("a pattern");
    let bounds = Bounds { size: 1 << 20, count: None };
    let output = folder.to_path_buf();
    Containers::open(ContainerOptions { output, names, numbers: Numbers::ALL, bounds, waits: false })
}

/// Returns how a file with these bytes is added.
fn how(data: &[u8]) -> Publishing {
    let mut hashers = crate::hashers::Hashers::new(&[Algorithm::Sha256]);
    hashers.update(&[data]);
    let digests = hashers.finish().into_iter().map(|one| (one.algorithm.name().into(), one.to_string()));
    let digests = lock_file::by_key(&digests.collect::<BTreeMap<_, _>>());
    let about = Entry { status: Some(Status::Finished), tries: Some(1), digests, ..Entry::default() };
    Publishing {
        size: data.len() as u64,
        replace: false,
        accepts_same: true,
        continues: false,
        modified: None,
        sync: Sync::Auto,
        attach: None,
        about: Some(Box::new(about)),
        transcript: None,
    }
}

fn save(tars: &Containers, target: &Path, data: &[u8]) -> bool {
    let identity = Identity { origins: Vec::new(), has_strong_digest: false };
    tars.save(target, &identity, &[Bytes::copy_from_slice(data)], &how(data))
}

fn read(tars: &Containers, target: &Path) -> Option<Vec<u8>> {
    tars.look(target).expect("looks")?;
    let mut bytes = Vec::new();
    tars.open(target).expect("opens").read_to_end(&mut bytes).expect("reads");
    Some(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn after_a_cut_the_whole_files_before_it_are_there_and_the_others_can_be_added(
        files in prop::collection::btree_map("[a-cä]{1,2}[.][b-d]|[ab][.][b-z]|[a-b]{60,120}[.]x|[a-b]{1,2}/[a-b.]{1,3}[.]y", 0..3000_usize, 1..8),
        cut in 0..10_000_u64, damage in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let paths: Vec<(PathBuf, Vec<u8>)> =
            files.iter().map(|(name, size)| (folder.path().join(name), name.bytes().cycle().take(*size).collect())).collect();
        let part = folder.path().join("t-0.tar.part");
        let mut ends = Vec::new();
        let tars = open(folder.path()).expect("opens");
        for (path, data) in &paths {
            prop_assert!(save(&tars, path, data));
            prop_assert!(!save(&tars, path, data), "a file is added once");
            ends.push(fs::metadata(&part).expect("a tar").len());
        }
        prop_assert!(open(folder.path()).is_err_and(|e| e.kind == ErrorKind::FileLocked));
        tars.end(false).expect("ends");
        drop(tars);

        let cut = cut.min(*ends.last().expect("a file"));
        match damage {
            true => {
                let mut bytes = fs::read(&part).expect("a tar");
                bytes[usize::try_from(cut).expect("small")..].fill(0);
                fs::write(&part, bytes).expect("writes");
            }
            false => fs::File::options().write(true).open(&part).expect("a tar").set_len(cut).expect("cuts"),
        }
        // A tar that is shorter than one header is not recognised as a tar of downhaul.
        prop_assume!(cut == 0 || cut >= 512);
        let tars = open(folder.path()).expect("opens");
        for ((path, data), end) in paths.iter().zip(&ends) {
            let there = read(&tars, path);
            let is_whole = *end <= cut;
            // The last bytes of a file in the tar only fill up a block with zeros. So a file may still be
            // whole, even if the cut or the damage begins within these bytes.
            prop_assert!(there.as_ref() == Some(data) || (there.is_none() && !is_whole), "{path:?}");
            if there.is_none() {
                prop_assert!(save(&tars, path, data));
            }
        }
        tars.end(true).expect("ends");
        drop(tars);
        let tars = open(folder.path()).expect("opens");
        for (path, data) in &paths {
            let there = read(&tars, path);
            prop_assert_eq!(there.as_ref(), Some(data));
            prop_assert!(tars.location(path).starts_with(folder.path().join("t-0.tar")));
        }
    }
}

/// A folder can be opened, but reading it is an error of the system.
#[cfg(unix)]
#[test]
fn a_container_that_cannot_be_read_does_not_count_as_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let unreadable = Arc::new(fs::File::open(folder.path()).expect("opens"));
    let empty = Arc::new(tempfile::tempfile().expect("a file"));
    for form in [Form::Tar, Form::Warc] {
        let scan = |file: &fs::File| form::scan(form, file, 10_000, |_| 0);
        assert!(scan(&unreadable).is_err_and(|e| e.raw_os_error().is_some()), "{form:?}");
        assert!(form::is_intact(form, &unreadable, 0).is_err_and(|e| e.raw_os_error().is_some()), "{form:?}");
        assert!(scan(&empty).is_ok_and(|found| found.all.is_empty() && !found.is_ended), "{form:?}");
        assert!(form::is_intact(form, &empty, 0).is_ok_and(|is| !is), "{form:?}");
    }
}

#[test]
fn a_file_without_the_servers_time_counts_as_changed_when_it_was_downloaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let tars = open(folder.path()).expect("opens");
    let downloaded = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_333_200_123);
    let of_server = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_480);
    for (name, modified, changed) in [
        ("a.x", None, downloaded),
        ("b.x", Some(SystemTime::UNIX_EPOCH), downloaded),
        ("c.x", Some(of_server), of_server),
    ] {
        let target = folder.path().join(name);
        let mut how = Publishing { modified, ..how(b"bytes") };
        how.about.as_mut().expect("an entry").date = 1_795_333_200_123;
        let identity = Identity { origins: Vec::new(), has_strong_digest: false };
        assert!(tars.save(&target, &identity, &[Bytes::from_static(b"bytes")], &how));
        let there = tars.look(&target).expect("looks").expect("a file");
        assert_eq!(there.file.modified, Some(changed), "{name}");
    }
}

#[test]
fn a_partial_file_belongs_to_the_file_whose_name_it_begins_with() {
    for (file, is_side) in [
        ("a.jpg.part", true),
        ("a.jpg.part.journal", true),
        ("a.jpg.0123abcd.part", true),
        ("a.jpg.b.part", false),
        ("a.jpg", false),
        ("b.jpg.part", false),
    ] {
        assert_eq!(is_side_file(Path::new(file), Path::new("a.jpg")), is_side, "{file}");
    }
    // In the names of these partial files, a hash replaces the end of the file's name.
    let (one, other) = ("x".repeat(250), "x".repeat(249) + "y");
    let (one, other) = (Path::new(&one), Path::new(&other));
    for sides in [side_files(one), tagged_side_files(one, "0123abcd")] {
        for side in sides.all() {
            assert!(is_side_file(side, one) && !is_side_file(side, other), "{side:?}");
        }
    }
}
