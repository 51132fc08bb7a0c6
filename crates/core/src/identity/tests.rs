//! Tests of origins, records and existing files.

use super::*;
use crate::remote::Validator;
use proptest::prelude::*;
use std::time::{Duration, SystemTime};
use url::Url;

fn by(key: &Key, url: &str) -> Origin {
    Origin::of(&Url::parse(url).expect("a URL"), key)
}

fn origin(url: &str) -> Origin {
    by(&Key::default(), url)
}

fn relation(one: &str, other: &str) -> Relation {
    origin(one).hashes.compare(origin(other).hashes)
}

#[test]
fn another_scheme_host_or_path_is_another_file() {
    let one = "http://h/REST1/mask.nii";
    for other in [
        "https://h/REST1/mask.nii",
        "http://g/REST1/mask.nii",
        "http://h:81/REST1/mask.nii",
        "http://h/REST2/mask.nii",
        "http://h/REST1/mask.nii?x=1",
        "http://u@h/REST1/mask.nii",
    ] {
        assert_eq!(relation(one, other), Relation::Different, "{other}");
        assert!(!origin(one).may_resume(origin(other)), "{other}");
    }
    for same in ["http://h:80/REST1/mask.nii", "http://H/REST1/mask.nii#part", "http://h/x/../REST1/mask.nii"]
    {
        assert_eq!(relation(one, same), Relation::Same, "{same}");
    }
    assert_eq!(relation("http://u:a@h/f", "http://u:b@h/f"), Relation::Same, "only the password differs");
}

#[test]
fn a_url_with_another_signature_is_the_same_file_and_any_other_change_is_not() {
    for (one, other) in [
        ("?X-Amz-Date=1&X-Amz-Signature=a", "?X-Amz-Date=2&X-Amz-Signature=b"),
        ("?v=1&Expires=5&Signature=a&Key-Pair-Id=k", "?v=1&Expires=6&Signature=b&Key-Pair-Id=k"),
        ("?sv=1&se=2&sr=b&sp=r&sig=a", "?sv=1&se=3&sr=b&sp=r&sig=b"),
        ("?x-goog-expires=1", ""),
    ] {
        let (one, other) = (format!("https://h/f{one}"), format!("https://h/f{other}"));
        assert_eq!(relation(&one, &other), Relation::SignedDifferently, "{one}");
        assert!(origin(&one).may_resume(origin(&other)));
    }
    for (one, other) in [("?id=1", "?id=2"), ("?id=1", ""), ("?signed=1", "?signed=2"), ("?a&b", "?b&a")] {
        let (one, other) = (format!("https://h/f{one}"), format!("https://h/f{other}"));
        assert_eq!(relation(&one, &other), Relation::Different, "{one}");
    }
}

#[test]
fn with_different_keys_only_the_urls_without_secrets_can_be_compared() {
    let key = Key::new([7; 32]);
    let url = "http://h/f?key=secret";
    let (ours, theirs) = (origin(url), by(&key, url));
    assert_eq!(ours.hashes.compare(theirs.hashes), Relation::Unknown);
    assert!(ours.may_resume(theirs) && ours.tag() == theirs.tag());
    assert!(!ours.may_resume(by(&key, "http://h/g?key=secret")));
    assert!(
        !ours.may_resume(origin("http://h/f?key=other")),
        "with the same key, hidden values are compared too"
    );
    assert_eq!(format!("{key:?}"), "Key(***)");
}

#[test]
fn a_finished_file_is_recognised_until_it_is_changed() {
    let at = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5);
    let here = origin("http://h/f?X-Amz-Signature=1");
    let record = Record::new(here, 10, at, at, &Validator::Etag("\"a\"".into()));
    let existing =
        ExistingFile { size: 10, modified: Some(at), record: Some(record.clone()), further: Vec::new() };
    assert_eq!(existing.recognise(&[origin("http://g/f"), here]), Recognised::Ours(&record));
    assert_eq!(
        existing.recognise(&[origin("http://h/f?X-Amz-Signature=2")]),
        Recognised::SignedDifferently(&record)
    );
    assert_eq!(existing.recognise(&[origin("http://h/g")]), Recognised::OtherUrl);
    // The clock of Windows counts in steps of 100 ns.
    let touched = ExistingFile { modified: Some(at + Duration::from_nanos(100)), ..existing.clone() };
    let by_another_key = ExistingFile {
        record: Some(Record::new(
            by(&Key::new([7; 32]), "http://h/f?X-Amz-Signature=1"),
            10,
            at,
            at,
            &Validator::Unknown,
        )),
        ..existing.clone()
    };
    let grown = ExistingFile { size: 11, ..existing.clone() };
    for changed in [touched, grown, by_another_key, ExistingFile { record: None, ..existing.clone() }] {
        assert_eq!(changed.recognise(&[here]), Recognised::Unknown);
    }
    assert_eq!(record.day(), "2023-11-14");
    assert!(record.to_bytes().len() < 60, "the record fits into the inode");
}

proptest! {
    #[test]
    fn records_are_read_as_they_were_written_and_no_bytes_cause_a_panic(
        size: u64, seconds in 0..4_000_000_000u64, nanos in 0..1_000_000_000u32, garbage: Vec<u8>,
    ) {
        let at = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
        let record = Record::new(origin("http://h/f"), size, at, at, &Validator::Unknown);
        prop_assert_eq!(Record::from_bytes(&record.to_bytes()), Some(record));
        let _ = Record::from_bytes(&garbage);
    }
}

#[test]
fn a_parameter_that_signs_only_together_with_others_says_which_file_is_meant_if_it_is_alone() {
    for parameter in ["token", "sig", "st", "se", "sp", "sv", "expires", "signature", "policy"] {
        let (one, other) = (format!("https://h/f?{parameter}=1"), format!("https://h/f?{parameter}=2"));
        assert_eq!(relation(&one, &other), Relation::Different, "{parameter}");
    }
}

#[test]
fn urls_that_differ_only_in_their_signature_are_the_same_place() {
    let is_same = |one: &str, other: &str| is_same_place(one, &Url::parse(other).expect("a URL"), None);
    let given = Url::parse("https://h/f?key=secret").expect("a URL");
    assert!(is_same_place("https://h/f?key=***", &given, Some(origin(given.as_str()))), "the job's own URL");
    assert!(is_same("https://h/f?X-Amz-Date=***", "https://h/f?X-Amz-Date=2&X-Amz-Signature=b"));
    assert!(!is_same("https://h/f?key=***", "https://h/f?key=secret"), "the hidden values may differ");
    assert!(!is_same("https://h/v1/f", "https://h/v2/f"));
    assert!(!is_same("https://g/f", "https://h/f"));
    assert!(!is_same("", "https://h/f"));
}
