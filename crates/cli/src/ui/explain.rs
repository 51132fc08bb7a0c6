//! Writes the output of `--explain`: what took the time of a run, what limited the speed of each download,
//! and why connections were added or dropped.

use super::units;
use downhaul_engine::core::concurrency::{RequestLimit, Step, StepReason};
use downhaul_engine::core::show::escaped;
use downhaul_engine::{Explanation, FileStory, Limiter, Spent, Summary};
use std::time::Duration;

/// The number of entries of a long list that are shown at its beginning, and also at its end.
const ENDS: usize = 5;

/// Returns the lines that are shown. Each of them ends with a line feed.
pub(crate) fn text(summary: &Summary, verbose: bool) -> String {
    let Explanation { hosts, request_limits, at_once, files, proxies } = &summary.explanation;
    let mut out = String::new();
    if !files.is_empty() {
        let which = match files.len() as u64 == summary.finished {
            true => String::new(),
            false => format!(" for the {} files that took longest", files.len()),
        };
        out += &format!("Where the time went{which} (sums over all connections of a file):\n");
    }
    out += &folded(files.iter().map(story).collect(), verbose);
    for proxy in proxies {
        out += &format!("Connections went through the proxy {}.\n", escaped(proxy));
    }
    for (host, limit) in request_limits {
        out += &format!("Limit of requests to {}:\n{}", escaped(host), request_limit(limit));
    }
    for (host, steps) in hosts {
        out += &format!("Connections to {}:\n", escaped(host));
        out += &folded(steps.iter().map(|step| line(step, "connections")).collect(), verbose);
    }
    if !at_once.is_empty() {
        out += "Files at once:\n";
        // The goodput of these steps is not shown, because it is not a speed. To choose the number of files
        // at once, the controller counts each file as its size plus 16 KiB (`FILE_COUNTS` in the core).
        let steps = at_once.iter().map(|step| line(&Step { goodput: 0.0, ..*step }, "files"));
        out += &folded(steps.collect(), verbose);
    }
    if out.is_empty() {
        out += "Nothing was downloaded, so there is nothing to explain.\n";
    }
    out
}

/// Returns the entries of a list as one text. If the list is long, the entries in its middle are left out,
/// unless `verbose` is true (`-v`).
fn folded(entries: Vec<String>, verbose: bool) -> String {
    if verbose || entries.len() <= 2 * ENDS + 1 {
        return entries.concat();
    }
    let (first, last) = (&entries[..ENDS], &entries[entries.len() - ENDS..]);
    let more = entries.len() - 2 * ENDS;
    format!("{}  ... {more} more (-v shows all)\n{}", first.concat(), last.concat())
}

fn story(file: &FileStory) -> String {
    let FileStory { name, bytes, took, connections, spent, limit } = file;
    let (size, took) = (units::bytes(*bytes), units::took(took.as_secs_f64()));
    let over = match connections {
        1 => "1 connection".to_string(),
        n => format!("up to {n} connections"),
    };
    let (name, limit) = (escaped(name), limited_by(*limit));
    format!("  {name}: {size} in {took} over {over}. Limit: {limit}\n    {}\n", stages(spent))
}

fn stages(spent: &Spent) -> String {
    let all = [
        ("name lookup", spent.name),
        ("connecting", spent.connect),
        ("TLS handshake", spent.tls),
        ("request until response", spent.first_byte),
        ("receiving the body", spent.body),
        ("of the body: waiting for the rate limit", spent.limit),
        ("of the body: waiting for the disk", spent.disk),
        ("of the body: waiting for the digest", spent.hash),
        ("digest after the last byte", spent.verify),
        ("final name", spent.publish),
    ];
    let measurable = all.iter().filter(|(_, time)| *time >= Duration::from_millis(1));
    let shown: Vec<String> =
        measurable.map(|(stage, time)| format!("{stage} {:.3} s", time.as_secs_f64())).collect();
    if shown.is_empty() { "every stage took less than a millisecond".into() } else { shown.join(", ") }
}

fn limited_by(limit: Limiter) -> &'static str {
    match limit {
        Limiter::Rate => "--limit-rate",
        Limiter::Waits => {
            "the time in which no request was sent: pauses that the host required or that follow a failure, a limit of requests to the host, other files that came first, or bytes on the disk that were checked"
        }
        Limiter::FirstByte => "the server; the wait for the response was longer than the transfer",
        Limiter::Disk => "the disk",
        Limiter::Processor => "the processor, which computes digests",
        Limiter::Named => "the number of connections that -x allows",
        Limiter::Refused => "the host, which refused more connections",
        Limiter::Punished => "the host, which was slower with more connections",
        Limiter::Line => "the network or the server; more connections were not faster",
        Limiter::EachConnection => {
            "the speed of each connection; the server limits it, or the network loses packets"
        }
        Limiter::Unknown => {
            "unknown; the download ended before more connections were tried, or it could use only one connection"
        }
    }
}

/// Returns the lines about a limit of requests. Requests for further connections of a file do not count.
fn request_limit(limit: &RequestLimit) -> String {
    let rate =
        |rate: f64| format!("at most {} requests for files in a second", (rate * 100.0).round() / 100.0);
    let known = limit.known.map(|known| {
        let rate = rate(known);
        format!("  {rate} at first, as an earlier run found (with --no-learn, this is not used)\n")
    });
    format!("{}  {} at the end\n", known.unwrap_or_default(), rate(limit.now))
}

/// Returns the line about a change of the number of connections or of files at once. `what` is "connections"
/// or "files".
fn line(step: &Step, what: &str) -> String {
    let why = match step.why {
        StepReason::FarHost => format!("the host is far away, so several {what} start at once"),
        StepReason::Remembered => "this number was the best in an earlier run".into(),
        StepReason::Arrived => format!("the first {what} arrived"),
        StepReason::TryMore => format!("trying more {what}"),
        StepReason::Better => "this number was faster".into(),
        StepReason::NoGain => format!("more {what} were hardly faster"),
        StepReason::TryFewer => format!("trying fewer {what}"),
        StepReason::Refused => format!("the host refused more {what}"),
        StepReason::Collapse => format!("more {what} were slower in total"),
    };
    let at = match step.goodput {
        unknown if unknown <= 0.0 => String::new(),
        goodput => format!(" ({} {what} reached {})", step.from, units::rate(goodput)),
    };
    format!("  after {}: {} -> {}, {why}{at}\n", units::took(step.at.as_secs_f64()), step.from, step.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_without_any_facts_has_nothing_to_explain() {
        let nothing = "Nothing was downloaded, so there is nothing to explain.\n";
        assert_eq!(text(&Summary::default(), false), nothing);
        let (mut of_proxy, mut of_limit) = (Summary::default(), Summary::default());
        of_proxy.explanation.proxies.push("http://p:1".into());
        let limit = RequestLimit { known: None, now: 1.0 };
        of_limit.explanation.request_limits.push(("h".into(), limit));
        for summary in [of_proxy, of_limit] {
            let shown = text(&summary, false);
            assert!(!shown.is_empty() && !shown.contains(nothing), "{shown}");
        }
    }
}
