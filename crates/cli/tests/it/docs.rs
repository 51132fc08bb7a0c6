//! The reference pages are made from the code: this fails when they are not what the code says.
//! `BLESS=1 cargo test -p downhaul --test it docs::` writes them.

use downhaul::{ENVIRONMENT, EXIT_STATUSES};
use downhaul_engine::core::error::{Blame, ErrorKind, Retry};
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
fn errors() {
    let mut text = String::from(
        "# Errors\n\nGenerated from `crates/core/src/error.rs`. The codes are stable: scripts may rely on them. *Tried \
         again*: by itself within `--retries`; only when a person says so; or never. *Status*: what the failure \
         contributes to the exit status, see [exit.md](exit.md).\n\n| code | meaning | tried again | status |\n|---|---|---|---|\n",
    );
    for kind in ErrorKind::ALL {
        let retry = match kind.retry() {
            Retry::Again => "yes",
            Retry::Person => "on a person's word",
            Retry::Never => "no",
        };
        let status = match kind.blame() {
            Blame::Remote | Blame::Request => 1,
            Blame::Content => 3,
            Blame::Disk => 5,
            Blame::Stopped => {
                text += &format!("| `{}` | {} | {retry} | 4, 75 or 130 |\n", kind.code(), kind.meaning());
                continue;
            }
        };
        text += &format!("| `{}` | {} | {retry} | {status} |\n", kind.code(), kind.meaning());
    }
    check("errors.md", &text);
}

#[test]
fn exit_statuses() {
    let mut text = String::from(
        "# Exit statuses\n\nGenerated from `crates/cli/src/exit.rs`.\n\n| status | meaning |\n|---|---|\n",
    );
    for (_, status, meaning) in EXIT_STATUSES {
        text += &format!("| {status} | {meaning} |\n");
    }
    let mut order = EXIT_STATUSES;
    order.sort_by_key(|(exit, _, _)| *exit);
    let order: Vec<String> = order.iter().map(|(_, status, _)| status.to_string()).collect();
    text += &format!("\nWhere several apply, the first of these counts: {}.\n", order.join(", "));
    check("exit.md", &text);
}

#[test]
fn environment() {
    let mut text = String::from(
        "# Environment\n\nGenerated from `crates/cli/src/settings.rs`.\n\n| variable | effect |\n|---|---|\n",
    );
    for (name, effect) in ENVIRONMENT {
        text += &format!("| {name} | {effect} |\n");
    }
    check("environment.md", &text);
}

#[test]
fn every_kind_of_event_is_described() {
    let text = fs::read_to_string(page("events.md")).expect("docs/events.md");
    for kind in [
        "queued", "started", "resumed", "retrying", "question", "verified", "finished", "skipped", "failed",
        "summary", "progress",
    ] {
        assert!(text.contains(&format!("| `{kind}` |")), "{kind} is not in docs/events.md");
    }
}
