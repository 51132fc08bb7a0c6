//! Tests that the reference pages in `docs/` agree with the code. Most of the pages, or their tables, are
//! made from the code. `BLESS=1 cargo test -p downhaul --test it docs::` writes the pages.

use downhaul::{ConfigKey, ENVIRONMENT, EXIT_STATUSES, Exit};
use downhaul_engine::Summary;
use downhaul_engine::core::error::{Blame, ErrorKind, Retry};
use downhaul_engine::core::event::EventKind;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

fn page(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).join(name)
}

#[track_caller]
fn check(name: &str, wanted: &str) {
    #[expect(clippy::disallowed_methods, reason = "the way to write the pages")]
    let bless = std::env::var("BLESS").is_ok();
    if bless {
        fs::write(page(name), wanted).expect("writes");
    }
    let found = fs::read_to_string(page(name)).unwrap_or_default();
    assert!(found == wanted, "docs/{name} is not what the code says; run with BLESS=1 to write it");
}

#[test]
fn the_page_of_errors_is_what_the_code_says() {
    let mut text = String::from(
        "# Errors\n\nGenerated from `crates/core/src/error.rs`. The codes are stable, so scripts may rely on \
         them.\n\n*Retried* says if downhaul usually tries again: `yes` (up to `--retries` times, unless `--on-error` says\n\
         otherwise), `if you choose to` (only if you choose to retry when downhaul asks), or `no` (never).\n\
         *Status* is the exit status that the failure leads to (see [exit.md](exit.md)). If a run is stopped,\n\
         the status depends on what stopped it. It is 1 if the run ends because the retries of another file\n\
         are used up (`Maximum retries reached`).\n\n\
         | code | meaning | retried | status |\n|---|---|---|---|\n",
    );
    for kind in ErrorKind::ALL {
        let retry = match kind.retry() {
            Retry::Again => "yes",
            Retry::Person => "if you choose to",
            Retry::Never => "no",
        };
        let status = match kind.blame() {
            // The exit status depends on what stopped the run.
            Blame::Stopped => {
                let [closed, first, second, last] =
                    [Exit::Failed, Exit::Chosen, Exit::Terminated, Exit::Interrupted].map(Exit::status);
                format!("{closed}, {first}, {second} or {last}")
            }
            blame => {
                let mut summary = Summary::default();
                summary.blames.push(blame);
                Exit::of(&summary).status().to_string()
            }
        };
        // Only a program that uses the library can pass such a header to a session.
        let more = if *kind == ErrorKind::UrlInvalid { ", or a header cannot be sent" } else { "" };
        text += &format!("| `{}` | {}{more} | {retry} | {status} |\n", kind.code(), kind.meaning());
    }
    check("errors.md", &text);
}

#[test]
fn the_page_of_exit_statuses_is_what_the_code_says() {
    let mut text = String::from(
        "# Exit statuses\n\nGenerated from `crates/cli/src/exit.rs`.\n\n| status | meaning |\n|---|---|\n",
    );
    for (_, status, meaning) in EXIT_STATUSES {
        text += &format!("| {status} | {meaning} |\n");
    }
    let mut order = EXIT_STATUSES;
    order.sort_by_key(|(exit, _, _)| *exit);
    let order: Vec<String> = order.iter().map(|(_, status, _)| status.to_string()).collect();
    text +=
        &format!("\nIf several statuses apply, the first one in this order is used: {}.\n", order.join(", "));
    check("exit.md", &text);
}

#[test]
fn the_page_of_environment_variables_is_what_the_code_says() {
    let mut text = String::from(
        "# Environment\n\nGenerated from `crates/cli/src/settings.rs`.\n\n| variable | effect |\n|---|---|\n",
    );
    for (name, effect) in ENVIRONMENT {
        text += &format!("| {name} | {effect} |\n");
    }
    check("environment.md", &text);
}

/// The table of the keys is the end of the page. People wrote the rest of the page.
#[test]
fn the_table_of_configuration_keys_is_complete() {
    const HEAD: &str = "| key | value | default | in a host section | meaning |\n|---|---|---|---|---|\n";
    let page = fs::read_to_string(page("config.md")).expect("docs/config.md");
    let (mut text, _) =
        page.split_once(HEAD).map(|(text, rest)| (text.to_string(), rest)).expect("the table");
    text += HEAD;
    for ConfigKey { name, values, default, meaning, is_of_hosts, .. } in downhaul::config_keys() {
        let default = if default.is_empty() { default } else { format!("`{default}`") };
        let hosts = if is_of_hosts { "yes" } else { "" };
        text += &format!("| `{name}` | {values} | {default} | {hosts} | {meaning} |\n").replace("  ", " ");
    }
    check("config.md", &text);
}

/// Returns the kinds of events. The error of the parser lists them when it is given an unknown kind.
fn kinds_of_events() -> BTreeSet<String> {
    let error = serde_json::from_str::<EventKind>(r#"{"kind":"no such kind"}"#).expect_err("no such kind");
    // The first word in backquotes is the kind that was given.
    let kinds: BTreeSet<String> = error.to_string().split('`').skip(3).step_by(2).map(String::from).collect();
    assert!(kinds.contains("queued") && kinds.contains("summary"), "{error}");
    kinds
}

#[test]
fn every_kind_of_event_is_described_and_no_other() {
    let text = fs::read_to_string(page("events.md")).expect("docs/events.md");
    let rows = text.split("| kind | meaning | fields |").nth(1).expect("a table of the kinds");
    let names = rows.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let described: BTreeSet<String> = names.map(String::from).collect();
    let mut kinds = kinds_of_events();
    // Progress is not an event: it has no number and may be dropped.
    kinds.insert("progress".into());
    assert_eq!(described, kinds, "the rows of docs/events.md, and the kinds");
}
