//! The documents that people wrote agree with the program and with each other: every option is described, and
//! every link leads somewhere.

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

/// Returns the paths of all documents.
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
fn every_option_is_described() {
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
fn every_link_leads_somewhere() {
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

/// Returns the headings of a document as links name them.
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
