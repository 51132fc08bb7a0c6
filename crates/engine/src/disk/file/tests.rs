//! Tests that partial files on a real disk are kept and found again, adopted, locked and published.

use super::*;
use crate::disk::{Beginning, Publishing, digests};
use bytes::Bytes;
use downhaul_core::adopt::{Adopted, OVERLAP};
use downhaul_core::digest::Algorithm;
use downhaul_core::identity::Origin;
use downhaul_core::settings::{Resume, Sync};
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

static FOREVER: AtomicU64 = AtomicU64::new(u64::MAX);

const SMALL: Beginning<'static> = Beginning { journal: None, keep: false, size: None, algorithms: &[] };

static NOBODY: Identity = Identity { origins: Vec::new(), has_strong_digest: true };

fn how(resume: Resume) -> Opening<'static> {
    Opening { resume, identity: &NOBODY, fresh: false, small: false, mark: true }
}

fn plainly(size: u64) -> Publishing {
    Publishing {
        size,
        replace: false,
        accepts_same: false,
        continues: false,
        modified: None,
        sync: Sync::Auto,
        attach: None,
        about: None,
        transcript: None,
    }
}

fn open(target: &Path) -> (Box<dyn Part>, Option<Found>) {
    Files.open_part(target, how(Resume::Auto)).expect("opens")
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<String> = names.map(|one| one.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_partial_file_with_a_journal_is_kept_and_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("name");
    let (part, found) = open(&target);
    assert_eq!(found, None);
    let generation =
        part.begin(Beginning { journal: Some(b"downhaul journal 0,"), ..SMALL }).expect("begins");
    part.write_at(generation, 3, &[Bytes::from_static(b"abc")], &FOREVER).expect("writes");
    part.append_to_journal(generation, b"entry").expect("adds to the journal");
    drop(part);
    assert_eq!(names(folder.path()), ["name.part", "name.part.journal"]);
    let (part, found) = open(&target);
    assert_eq!(found, Some(Found::Journal(b"downhaul journal 0,entry".to_vec())));
    let mut bytes = [0; 9];
    assert_eq!(part.read_at(0, &mut bytes).expect("reads"), 6);
    assert_eq!(&bytes[..6], b"\0\0\0abc");
    // The partial file is started again. A write for the earlier generation then fails.
    let again = part.begin(Beginning { journal: Some(b"downhaul journal 1,"), ..SMALL }).expect("begins");
    part.write_at(again - 1, 0, &[Bytes::from_static(b"old")], &FOREVER).expect_err("too late");
    part.append_to_journal(again - 1, b"old").expect_err("too late");
    // A write of a worker that was stopped is too late as well.
    part.write_at(again, 0, &[Bytes::from_static(b"old")], &AtomicU64::new(0)).expect_err("too late");
    // A worker does not write beyond the end of its segment, even if that end became smaller after the worker
    // had started.
    let cut =
        part.write_at(again, 5, &[Bytes::from_static(b"xy"), Bytes::from_static(b"z")], &AtomicU64::new(5));
    assert_eq!(cut, Ok(false));
    part.write_at(again, 0, &[Bytes::from_static(b"n")], &FOREVER).expect("writes");
    assert_eq!(fs::read(folder.path().join("name.part.journal")).expect("is there"), b"downhaul journal 1,");
    part.publish(&target, plainly(1)).expect("publishes");
    // On some systems, the old name stays until the file is closed.
    drop(part);
    assert_eq!(names(folder.path()), ["name"]);
    assert_eq!(fs::read(&target).expect("is there"), b"n");
}

#[test]
fn a_partial_file_whose_journal_cannot_be_replaced_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("name");
    let part = open(&target).0;
    let generation =
        part.begin(Beginning { journal: Some(b"downhaul journal 0,"), ..SMALL }).expect("begins");
    part.write_at(generation, 0, &[Bytes::from_static(b"abc")], &FOREVER).expect("writes");
    part.append_to_journal(generation, b"entry,").expect("adds to the journal");
    drop(part);
    let (part, found) = open(&target);
    assert!(found.is_some());
    // A folder has the name of the new journal.
    fs::create_dir(folder.path().join("name.part.journal.new")).expect("a folder");
    part.rewrite_journal(b"downhaul journal 1,").expect_err("it cannot be replaced");
    drop(part);
    assert_eq!(open(&target).1, Some(Found::Journal(b"downhaul journal 0,entry,".to_vec())));
    fs::remove_dir(folder.path().join("name.part.journal.new")).expect("a folder");
    // A new journal can replace a journal that is open for reading.
    let part = open(&target).0;
    part.rewrite_journal(b"downhaul journal 1,").expect("replaces");
    drop(part);
    assert_eq!(fs::read(folder.path().join("name.part.journal")).expect("is there"), b"downhaul journal 1,");
}

/// Neither file shows that downhaul made it: the partial file has no mark, and the other file is not a
/// journal.
#[test]
fn files_with_the_names_of_side_files_that_downhaul_did_not_make_are_not_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("name");
    let usual = side_files(&target);
    for journal in ["the user's notes", "downhaul journals of 2024"] {
        fs::write(&usual.part, "the user's bytes").expect("writes");
        fs::write(&usual.journal, journal).expect("writes");
        let (part, found) = open(&target);
        assert_eq!(found, None);
        part.begin(Beginning { journal: Some(b"downhaul journal 0,"), ..SMALL }).expect("begins");
        drop(part);
        assert_eq!(fs::read(&usual.part).expect("is there"), b"the user's bytes");
        assert_eq!(fs::read(&usual.journal).expect("is there"), journal.as_bytes());
    }
    // A journal of another format shows that downhaul made both files.
    fs::write(&usual.journal, "downhaul journal 1\n").expect("writes");
    let (part, _) = open(&target);
    part.begin(SMALL).expect("begins");
    assert_eq!(fs::read(&usual.part).expect("is there"), b"");
}

#[test]
fn a_file_that_another_tool_left_is_copied_and_its_end_is_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("name");
    let old: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(&target, &old).expect("writes");
    let (part, found) = Files.open_part(&target, how(Resume::Adopt)).expect("opens");
    assert_eq!(found, Adopted::prefix(200_000).map(Found::Adopted));
    let generation = part.begin(Beginning { keep: true, journal: Some(b"start,"), ..SMALL }).expect("begins");
    let from = 200_000 - OVERLAP;
    let mut other = old[from as usize..][..100].to_vec();
    other[50] += 1;
    let wrong = part.write_at(generation, from, &[Bytes::from(other)], &FOREVER).expect_err("differs");
    assert_eq!(wrong.kind, ErrorKind::ResumeDamaged);
    assert!(wrong.detail.contains(&format!("differ at byte {}", from + 50)), "{}", wrong.detail);
    let end = Bytes::copy_from_slice(&old[from as usize..]);
    part.write_at(generation, from, &[end, Bytes::from_static(b"more")], &FOREVER).expect("agrees");
    let journal = fs::read(folder.path().join("name.part.journal")).expect("is there");
    assert!(
        journal.len() > b"start,".len(),
        "the old bytes are recorded after their last bytes matched those of the server"
    );
    drop(part);
    fs::write(folder.path().join("name.aria2"), b"").expect("writes");
    remove(&folder.path().join("name.part.journal"));
    let refused = Files.open_part(&target, how(Resume::Adopt)).err().map(|e| e.kind);
    assert_eq!(refused, Some(ErrorKind::ResumeRefused));
}

#[test]
fn a_part_file_is_locked_and_becomes_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("sub/name");
    let part = open(&target).0;
    let locked = Files.open_part(&target, how(Resume::Auto)).err().map(|e| e.kind);
    assert_eq!(locked, Some(ErrorKind::FileLocked));
    let generation = part.begin(SMALL).expect("begins");
    let write = |offset, data: &[&'static [u8]]| {
        let data: Vec<Bytes> = data.iter().map(|some| Bytes::from_static(some)).collect();
        part.write_at(generation, offset, &data, &FOREVER).expect("writes")
    };
    assert!(write(2, &[b"llo ", b"", b"the"]));
    // The first write of a byte counts, even if the next write overlaps it.
    assert!(!write(0, &[b"he", b"XXXXXXX", b"re"]));
    part.publish(
        &target,
        Publishing { modified: Some(SystemTime::UNIX_EPOCH), sync: Sync::Always, ..plainly(11) },
    )
    .expect("publishes");
    part.write_at(generation, 0, &[Bytes::from_static(b"late")], &FOREVER).expect_err("too late");
    part.discard();
    assert_eq!(fs::read(&target).expect("is there"), b"hello there");
    assert_eq!(
        Files.look(&target).expect("looks").expect("is there").file.modified,
        Some(SystemTime::UNIX_EPOCH)
    );
    // On some systems, the old name stays until the file is closed.
    drop(part);
    assert!(!side_files(&target).part.exists());
}

#[test]
fn an_existing_file_is_replaced_only_on_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("name");
    let part = open(&target).0;
    fs::write(&target, b"old").expect("writes");
    assert_eq!(part.publish(&target, plainly(0)).map_err(|e| e.kind), Err(ErrorKind::FileExists));
    assert_eq!(fs::read(&target).expect("is there"), b"old");
    part.publish(&target, Publishing { replace: true, ..plainly(0) }).expect("replaces");
    assert_eq!(fs::read(&target).expect("is there"), b"");
}

#[cfg(unix)]
#[test]
fn a_planted_link_is_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, victim) = (folder.path().join("name"), folder.path().join("victim"));
    fs::write(&victim, b"precious").expect("writes");
    std::os::unix::fs::symlink(&victim, side_files(&target).part).expect("links");
    // downhaul did not make the link, so the partial file has another name.
    let part = open(&target).0;
    part.discard();
    assert_eq!(fs::read(&victim).expect("is there"), b"precious");
    assert!(side_files(&target).part.is_symlink());
}

#[test]
fn digests_of_a_finished_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("abc");
    fs::write(&path, b"abc").expect("writes");
    let digests = digests(&Files, &path, &[Algorithm::Sha256, Algorithm::Sha1]).expect("hashes");
    // Both digests of "abc" are in NIST's example values for FIPS 180.
    assert_eq!(digests[0].to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(digests[1].to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

#[test]
fn the_file_of_another_job_is_kept_if_the_own_one_has_a_tag() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("name");
    let key = identity::Key::new([7; 32]);
    let origin = Origin::of(&url::Url::parse("http://localhost/name").expect("a URL"), &key);
    let unfinished = |side: &SideFiles| {
        let file = File::create_new(&side.part).expect("creates");
        platform::attach(&file, RECORD, &[UNFINISHED])
    };
    let (usual, own) = (side_files(&target), tagged_side_files(&target, &origin.tag()));
    if !unfinished(&usual) || !unfinished(&own) {
        return; // This file system stores no extended attributes.
    }
    delete_left(&target, &[origin]).expect("deletes");
    assert_eq!(names(folder.path()), ["name.part"]);
    delete_left(&target, &[origin]).expect("deletes");
    assert!(names(folder.path()).is_empty());
}
