//! Tests of names: examples, and properties of the names that are made from any text.

use super::*;
use crate::job::Job;
use crate::show;
use proptest::prelude::*;

fn server(text: &str) -> String {
    SafeName::from_server(text).map(|name| name.path).unwrap_or_default()
}

fn windows(text: &str) -> String {
    SafeName::from_person(text).expect("safe").for_windows().path
}

#[test]
fn dangerous_names_become_harmless_and_other_names_are_unchanged() {
    for (text, expected) in [
        ("a.txt", "a.txt"),
        ("../../etc/passwd", "___.._etc_passwd"),
        (".bashrc", "_bashrc"),
        ("-rf", "_rf"),
        ("-.-x-.y", "___x-.y"),
        ("..", ""),
        ("/abs", "_abs"),
        ("C:\\windows\\x", "C:_windows_x"),
        ("a\u{1b}[31mb", "a_[31mb"),
        ("a\u{202e}gpj.exe", "a_gpj.exe"),
        ("nul\0x", "nul_x"),
        ("CON", "CON"),
        ("con.txt", "con.txt"),
        ("what? \"a\" <b> | c*: d", "what? \"a\" <b> | c*: d"),
        ("  spaced name.txt. ", "spaced name.txt."),
        ("", ""),
        ("...", ""),
        (" . ", ""),
    ] {
        assert_eq!(server(text), expected, "{text:?}");
    }
}

#[test]
fn windows_gets_names_that_it_accepts() {
    for (text, expected) in [
        ("a.txt", "a.txt"),
        ("ab:c?.txt", "ab_c_.txt"),
        ("what \"a\" <b>|c*", "what _a_ _b__c_"),
        ("x. .", "x___"),
        ("con.txt", "_con.txt"),
        ("CON", "_CON"),
        ("nul .tar.gz", "_nul .tar.gz"),
        ("COM1.log", "_COM1.log"),
        ("lpt².log", "_lpt².log"),
        ("conout$", "_conout$"),
        ("contact.txt", "contact.txt"),
        ("com10", "com10"),
        ("aux/prn.d/a:b", "_aux/_prn.d/a_b"),
    ] {
        assert_eq!(windows(text), expected, "{text:?}");
    }
}

#[test]
fn paths_that_windows_would_not_accept_or_would_change_are_refused() {
    for path in [
        "a.txt",
        "d/a.txt",
        "d\\a.txt",
        "C:\\d\\a.txt",
        "c:/d/a",
        "C:",
        "./a",
        "../a",
        "\\\\server\\share$\\a",
        "\\\\?\\C:\\d\\a",
        "a b",
        ".hidden",
        "contact",
        "com10",
        "console.log",
        "",
    ] {
        assert_eq!(refused_by_windows(path), None, "{path}");
    }
    for (path, why) in [
        ("a|b", "`|`"),
        ("d*/a", "`*`"),
        ("ab:c", "`:`"),
        ("a:b", "after a drive"),
        ("C:a.txt", "after a drive"),
        ("C:\\d\\a:b", "`:`"),
        ("a\tb", "control characters"),
        ("x.", "dots and blanks"),
        ("x ", "dots and blanks"),
        ("d./x", "dots and blanks"),
        ("...", "dots and blanks"),
        ("CON", "device of this name"),
        ("aux.txt", "device of this name"),
        ("C:\\d\\nul.tar.gz", "device of this name"),
        ("d/LPT1", "device of this name"),
        ("\\\\.\\PhysicalDrive0", "it is a device"),
        ("//./COM1", "it is a device"),
    ] {
        assert!(refused_by_windows(path).is_some_and(|said| said.contains(why)), "{path}");
    }
}

#[test]
fn long_names_are_cut_before_the_extension_and_stay_different() {
    let long = |end: &str| "x".repeat(4096) + end;
    let (one, other) = (server(&long("1.tar.gz")), server(&long("2.tar.gz")));
    assert_eq!((one.len(), other.len()), (LONGEST, LONGEST));
    assert!(one != other && one.ends_with(".tar.gz") && other.ends_with(".tar.gz"));
    assert!(server(&"é".repeat(4096)).len() <= LONGEST);
    assert_eq!(server(&("a.".to_string() + &"y".repeat(4096))).len(), LONGEST);
    assert_eq!(server(&"x".repeat(LONGEST)), "x".repeat(LONGEST), "a name that fits is not cut");
}

#[test]
fn the_name_for_a_url_is_its_last_segment() {
    for (url, expected) in [
        ("http://h/a/b.iso?x=1#y", "b.iso"),
        ("http://h/", "index.html"),
        ("http://h", "index.html"),
        ("http://h/dir/", "index.html"),
        ("http://h/a%20b%2Fc%252e.txt", "a b_c%2e.txt"),
        ("http://h/%2e%2e%2fx", "___x"),
        ("http://h/a%3Ab", "a:b"),
    ] {
        let name = SafeName::from_url(&Url::parse(url).expect("a URL"));
        assert_eq!(name.as_str(), expected, "{url}");
    }
}

#[test]
fn a_changed_name_has_a_note() {
    let note = |text: &str| SafeName::from_server(text).and_then(|name| name.note()).unwrap_or_default();
    assert_eq!(note(" a.txt "), "");
    assert_eq!(note(".bashrc"), "its name \".bashrc\" is not safe here, and was changed");
    assert!(note(&"x".repeat(300)).ends_with("x...\" is longer than the disk allows, and was cut"));
    let name = SafeName::from_person("ab:c").expect("safe");
    assert_eq!(name.note(), None);
    assert_eq!(name.for_windows().original(), Some("ab:c"));
    assert_eq!(name.for_windows().numbered(1, NumberForm::Parentheses).original(), Some("ab:c"));
}

#[test]
fn a_listed_file_is_searched_under_every_name_that_a_run_may_give_it() {
    assert_eq!(forms("a.txt"), ["a.txt"]);
    assert_eq!(forms("a:b"), ["a:b", "a_b"]);
    assert_eq!(forms("d/.x"), ["d/.x", "d/_x"]);
    assert_eq!(forms("con.txt"), ["con.txt", "_con.txt"]);
    assert_eq!(forms("/abs"), ["/abs"]);
    assert_eq!(forms("../x"), ["../x"]);
}

#[test]
fn names_of_the_user_may_have_folders_but_stay_below_the_output_folder() {
    assert_eq!(SafeName::from_person("a/./b//c.txt").map(|n| n.path), Ok("a/b/c.txt".into()));
    for bad in ["", "/a", "../a", "a/../b", "a\0", "a/", ".", &"x".repeat(256)] {
        assert!(SafeName::from_person(bad).is_err(), "{bad:?}");
    }
    assert_eq!(SafeName::from_person(".profile").map(|n| n.path), Ok(".profile".into()));
}

#[test]
fn names_of_publishers_may_have_folders_and_are_made_safe() {
    let name = |text: &str| SafeName::from_publisher(text).map(|name| name.path);
    assert_eq!(name("en/i386/x.iso"), Ok("en/i386/x.iso".into()));
    assert_eq!(name(".ssh/.x"), Ok("_ssh/_x".into()));
    assert_eq!(name("a\u{1b}[2J/-b"), Ok("a_[2J/_b".into()));
    for bad in ["../x", "a/../../b", "/etc/passwd", "a/.../b", "", "a/"] {
        assert!(name(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn numbers_are_put_before_the_extension() {
    let safe = |text: &str| SafeName::from_person(text).expect("safe");
    let numbered = |text: &str, n| safe(text).numbered(n, NumberForm::Parentheses).path;
    assert_eq!(numbered("a/b.txt", 1), "a/b (1).txt");
    assert_eq!(numbered("b.tar.gz", 2), "b (2).tar.gz");
    assert_eq!(numbered("x.nii.gz", 1), "x (1).nii.gz");
    assert_eq!(numbered(".profile", 1), ".profile (1)");
    for (name, base) in [("b (1).txt", "b.txt"), ("b (1).nii.gz", "b.nii.gz"), (".profile (1)", ".profile")] {
        assert_eq!(unnumbered(name, NumberForm::Parentheses), Some((base.to_string(), 1)));
    }
    for name in ["b.txt", "b (0).txt", "b (01).txt", "b(1).txt", " (1).txt", "b (x).txt", "b (1) .txt"] {
        assert_eq!(unnumbered(name, NumberForm::Parentheses), None, "{name}");
    }
}

#[test]
fn numbers_of_aria2_are_put_before_the_last_dot() {
    for (name, with_number) in
        [("a.bin", "a.1.bin"), ("a.tar.gz", "a.tar.1.gz"), ("a", "a.1"), (".profile", ".profile.1")]
    {
        let safe = SafeName::from_person(name).expect("safe");
        assert_eq!(safe.numbered(1, NumberForm::Dot).path, with_number);
        assert_eq!(unnumbered(with_number, NumberForm::Dot), Some((name.to_string(), 1)));
    }
    for name in ["a.bin", "a.01.bin", "a.0.bin", "a", "1"] {
        assert_eq!(unnumbered(name, NumberForm::Dot), None, "{name}");
    }
}

/// Returns true if a name is one visible component that is short enough and has no characters that control a
/// terminal.
fn is_one_safe_component(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len())
        && !name.starts_with(['.', '-'])
        && !name.contains(['/', '\\', '\0'])
        && !name.chars().any(show::is_unsafe_to_show)
}

fn windows_takes(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len())
        && !name.contains(['<', '>', ':', '"', '/', '\\', '|', '?', '*'])
        && !name.ends_with(['.', ' '])
        && !name.contains(char::is_control)
}

/// Texts that servers may send: any text, and text with many characters that are special in names.
fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[-. a-z/:*?\\\\]{0,12}",
        "(con|aux|nul|com1|lpt²|x)[. ]{0,2}(txt|tar\\.gz)?",
        ("[a-zé.]{0,300}", 0..400_usize).prop_map(|(text, more)| text + &"ü".repeat(more)),
    ]
}

#[test]
fn a_number_fits_into_a_name_with_a_very_long_part_after_its_last_dot() {
    let name = SafeName::from_server(&format!("é.{}", "ü".repeat(120))).expect("a name");
    let numbered = name.numbered(1000, NumberForm::Dot);
    assert!(is_one_safe_component(numbered.as_str()), "{numbered}");
    assert!(numbered.as_str().ends_with(".1000"), "{numbered}");
}

proptest! {
    #[test]
    fn any_text_from_a_server_becomes_one_safe_component(text in words()) {
        if let Some(name) = SafeName::from_server(&text) {
            prop_assert!(is_one_safe_component(name.as_str()), "{name}");
            let again = SafeName::from_server(name.as_str());
            prop_assert_eq!(again.as_ref().map(SafeName::as_str), Some(name.as_str()), "a second cleaning changes nothing");
        }
    }

    #[test]
    fn a_url_gives_one_safe_component(path in "(/|%2[ef]|%00|%ff|%e9|[a-z.:]){0,40}", host in "[a-z]{1,5}(\\.[a-z]{2})?") {
        let url = Url::parse(&format!("http://{host}/{path}")).expect("a URL");
        prop_assert!(is_one_safe_component(SafeName::from_url(&url).as_str()));
        for (folders, windows) in [(Folders::Last(2), false), (Folders::All, true), (Folders::Host, false)] {
            let naming = Naming { folders, windows, ..Naming::default() };
            let name = naming.name_for(&Job::new(url.clone()), None).expect("a name");
            prop_assert!(name.as_str().split('/').all(is_one_safe_component), "{name}");
        }
    }

    #[test]
    fn windows_accepts_the_form_for_windows_and_the_form_is_stable(text in words()) {
        for name in [SafeName::from_server(&text), SafeName::from_person(&text).ok()].into_iter().flatten() {
            let form = name.for_windows();
            prop_assert!(form.as_str().split('/').all(windows_takes), "{form}");
            for part in name.as_str().split('/').chain(form.as_str().split('/')) {
                prop_assert_eq!(clean::refused_by_windows(part).is_none(), clean::for_windows(part) == part);
            }
            prop_assert_eq!(form.for_windows().path, form.path);
        }
    }

    #[test]
    fn two_different_names_that_are_too_long_stay_different(
        one in "[a-z.]{0,20}", other in "[a-z.]{0,20}", front in any::<bool>(), length in 256..2000_usize,
    ) {
        let long = |end: &str| {
            let padding = "x".repeat(length);
            if front { format!("{end}{padding}") } else { format!("{padding}{end}") }
        };
        let (one, other) = (long(&one), long(&other));
        // Two names that differ only in dots at the beginning are not compared.
        let distinct = one.trim_start_matches('.') != other.trim_start_matches('.');
        prop_assert!(!distinct || server(&one) != server(&other));
    }

    #[test]
    fn numbered_names_fit_and_differ(text in words(), n in 1..100_000_u32, dot in any::<bool>()) {
        let form = if dot { NumberForm::Dot } else { NumberForm::Parentheses };
        if let Some(name) = SafeName::from_server(&text) {
            let (one, other) = (name.numbered(n, form), name.numbered(n + 1, form));
            prop_assert!(is_one_safe_component(one.as_str()), "{one}");
            prop_assert!(one.path != other.path && one.path != name.path);
        }
    }

    #[test]
    fn no_name_of_a_person_or_publisher_leaves_the_folder(text in words()) {
        for name in [SafeName::from_person(&text), SafeName::from_publisher(&text)].into_iter().flatten() {
            prop_assert!(!name.path.starts_with('/') && !name.path.split('/').any(|p| p == ".." || p.is_empty()));
        }
    }
}
