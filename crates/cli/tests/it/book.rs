//! Tests that the documents agree with the program and with each other: every option is described, and every
//! link has a target.

use crate::common::Place;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Returns the text of a document, by its path in the repository.
fn text(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Returns the paths of the Markdown files in the root folder and in `docs/`.
fn documents() -> Vec<PathBuf> {
    let of = |folder: &str| {
        let entries = fs::read_dir(root().join(folder)).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names.map(|name| Path::new(folder).join(name)).collect::<Vec<_>>()
    };
    let mut all = [of(""), of("docs")].concat();
    all.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    assert!(all.len() > 10, "{all:?}");
    all
}

/// Returns the names of the long options in these texts, without their dashes.
fn options<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let words = lines.flat_map(|line| line.split([' ', ',', '`']));
    let long = words.filter_map(|word| word.strip_prefix("--"));
    long.map(|word| word.split(|c| !is_name(c)).next().unwrap_or_default().to_string())
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn every_option_of_a_download_is_described_and_no_other() {
    let place = Place::new();
    let help = String::from_utf8(place.run(&["--help"]).stdout).expect("UTF-8");
    let heads = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    // The help describes an option after two blanks or on the next line.
    let in_help = options(heads.map(|line| line.split("  ").next().unwrap_or_default()));
    let page = text(Path::new("docs/cli.md"));
    let cells = page.lines().filter(|line| line.starts_with("| `-"));
    let in_page = options(cells.map(|line| line.split(" | ").next().unwrap_or_default()));

    let without_help: BTreeSet<String> =
        in_help.into_iter().filter(|name| !["help", "version"].contains(&name.as_str())).collect();
    assert!(without_help.len() > 30, "{without_help:?}");
    let missing: Vec<_> = without_help.difference(&in_page).collect();
    assert!(missing.is_empty(), "not in docs/cli.md: {missing:?}");
    let gone: Vec<_> = in_page.difference(&without_help).collect();
    assert!(gone.is_empty(), "docs/cli.md describes options that --help does not have: {gone:?}");
}

#[test]
fn every_link_in_the_documents_has_a_target() {
    for document in documents() {
        let text = text(&document);
        let folder = document.parent().expect("a folder");
        for (n, after) in text.split("](").skip(1).enumerate() {
            let link = after.split(')').next().unwrap_or_default();
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { document.clone() } else { folder.join(file) };
            let place = format!("link {} of {}: {link}", n + 1, document.display());
            assert!(root().join(&target).exists(), "{place}");
            assert!(!document.starts_with("docs") || !file.starts_with(".."), "{place} leaves the book");
            assert!(heading.is_empty() || headings(&target).contains(heading), "{place}: no such heading");
        }
    }
}

/// Returns the headings of a document in the form that links use.
fn headings(document: &Path) -> BTreeSet<String> {
    let text = text(document);
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#'));
    let slug = |title: &str| {
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    titles.map(slug).collect()
}

#[test]
fn every_page_is_in_the_book() {
    let summary = text(Path::new("docs/SUMMARY.md"));
    for document in documents() {
        let Ok(page) = document.strip_prefix("docs") else { continue };
        let page = page.to_string_lossy();
        assert!(
            page == "SUMMARY.md" || summary.contains(&format!("]({page})")),
            "{page} is not in docs/SUMMARY.md"
        );
    }
}

/// Returns the paths of all files below a folder, relative to it.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(one) = folders.pop() {
        for entry in fs::read_dir(one).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(folder).expect("below it").to_path_buf()),
            }
        }
    }
    found
}

/// Returns the files (`name.rs`) and folders (`name/`) that a text names.
fn names_in(text: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_./".contains(c);
    let words = text.split(|c| !is_name(c)).filter(|word| word.ends_with(".rs") || word.ends_with('/'));
    words.map(|word| word.trim_start_matches("./")).collect()
}

#[test]
fn the_files_that_architecture_md_names_exist() {
    let page = text(Path::new("ARCHITECTURE.md"));
    let words = || page.split('`').filter(|word| word.split('/').nth(1) == Some("src"));
    assert!(words().count() > 20);
    for word in words() {
        assert!(root().join("crates").join(word).exists(), "ARCHITECTURE.md names {word}");
    }
}

#[test]
fn the_page_about_the_code_names_the_files_of_the_sources() {
    let map = text(Path::new("docs/files.md"));
    for part in ["core", "engine", "daemon", "cli", "python", "testkit"] {
        let folder = format!("crates/{part}/src/\n");
        let tree = map.split(&folder).nth(1).expect("the map of each crate").split("```").next();
        let tree: String =
            tree.unwrap_or_default().lines().take_while(|line| line.starts_with("  ")).collect();
        let named = names_in(&tree);
        let files = files_below(&root().join("crates").join(part).join("src"));
        for name in &named {
            let is_there = |file: &PathBuf| match name.strip_suffix('/') {
                Some(folder) => file.parent().is_some_and(|parent| parent.ends_with(folder)),
                None => file.ends_with(name),
            };
            assert!(files.iter().any(is_there), "docs/files.md names {name} in {folder}");
        }
        for file in &files {
            let whole = |name: &std::ffi::OsStr| name.to_string_lossy().into_owned();
            let folders = file.parent().into_iter().flat_map(|parent| parent.iter());
            let name = whole(file.file_name().expect("a name"));
            let is_named = named.contains(name.as_str())
                || folders.map(whole).any(|one| named.contains(format!("{one}/").as_str()))
                || ["lib.rs", "tests.rs"].contains(&name.as_str());
            assert!(is_named, "{} of {folder} is not in docs/files.md", file.display());
        }
    }
}

#[test]
fn the_tests_that_the_page_on_security_names_exist() {
    fn sources(folder: &Path, all: &mut String) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                sources(&path, all);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                *all += &fs::read_to_string(&path).expect("a text");
            }
        }
    }
    let mut all = String::new();
    sources(&root().join("crates"), &mut all);
    let page = text(Path::new("docs/security.md"));
    let (_, table) = page.split_once("## Mistakes that other programs made").expect("a section");
    let cells = table.lines().filter_map(|line| line.trim_end_matches(" |").rsplit_once(" | "));
    let named: BTreeSet<&str> = cells.flat_map(|(_, tests)| tests.split('`').skip(1).step_by(2)).collect();
    assert!(named.len() > 50, "{named:?}");
    // Each kind of mistake has a test, or its row says that there is no protection.
    for row in table.lines().filter(|line| line.contains("| CVE-")) {
        assert!(row.contains("**not protected**") != row.ends_with("` |"), "{row}");
    }
    let missing: Vec<_> = named.iter().filter(|name| !all.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "there are no such tests: {missing:?}");
}
