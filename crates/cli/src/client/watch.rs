//! `downhaul watch`: prints events, and waits for downloads.

use super::change::path;
use super::download::{self, Download};
use super::http::{Failed, Http};
use super::print;
use crate::args::client::Watch;
use crate::exit::Exit;
use downhaul_engine::core::show;
use http::Method;
use jiff::Zoned;
use serde_json::Value;
use std::collections::BTreeMap;

/// Prints events. If identifiers are given, returns when these downloads are over.
///
/// # Errors
/// Returns an error if a given identifier belongs to no download, if the daemon ends or a call to it fails,
/// or if nothing can be printed.
pub(super) async fn run(daemon: &Http, watch: &Watch) -> Result<Exit, String> {
    // The events are requested before the states of the downloads, so that no end of a download is missed
    // between the two requests.
    let mut events = daemon.events().await?;
    let mut wanted: BTreeMap<String, Option<bool>> = BTreeMap::new();
    for id in &watch.ids {
        let found = look(daemon, id).await;
        let download = found.map_err(|why| format!("{}: {}", show::escaped(id), String::from(why)))?;
        let is_new = wanted.insert(download.id.clone(), success(&download)).is_none();
        if is_new && download.is_over() && !watch.json {
            print(&line(&download.state, &download))?;
        }
    }
    loop {
        if !wanted.is_empty() && wanted.values().all(Option::is_some) {
            let all = wanted.values().all(|success| *success == Some(true));
            return Ok(if all { Exit::Success } else { Exit::Failed });
        }
        let event = events.next().await?;
        let kind = event["kind"].as_str().unwrap_or_default();
        if kind == "missed" {
            for (id, ended) in wanted.iter_mut().filter(|(_, ended)| ended.is_none()) {
                *ended = match look(daemon, id).await {
                    Err(Failed::Missing(_)) => Some(false),
                    found => success(&found?),
                };
            }
        }
        let id = event["id"].as_str().unwrap_or_default();
        if !watch.ids.is_empty() && !wanted.contains_key(id) {
            continue;
        }
        let download = of_event(&event);
        if watch.json {
            print(&format!("{event}\n"))?;
        } else if let Some(download) = &download {
            print(&line(kind, download))?;
        } else if kind == "gone" {
            let id = show::escaped(download::short(id, 16));
            print(&format!("{} gone       {id}\n", Zoned::now().strftime("%H:%M:%S")))?;
        }
        if let Some(ended) = wanted.get_mut(id) {
            *ended = match &download {
                Some(download) => success(download),
                // The download was removed from the queue or from the history. If it had ended before, its
                // outcome does not change.
                None => ended.or(Some(false)),
            };
        }
    }
}

/// Returns the download that an event describes, or `None` if the event does not describe a download.
pub(super) fn of_event(event: &Value) -> Option<Download> {
    serde_json::from_value(event["download"].clone()).ok()
}

async fn look(daemon: &Http, id: &str) -> Result<Download, Failed> {
    Ok(download::read(daemon.call(Method::GET, &path(id), None).await?)?)
}

/// Returns true if the download is complete, false if it ended otherwise, and `None` if it has not ended.
fn success(download: &Download) -> Option<bool> {
    download.is_over().then(|| download.state == "complete")
}

fn line(kind: &str, download: &Download) -> String {
    let id = show::escaped(download::short(&download.id, 16)).into_owned();
    let kind = if kind == "changed" { &download.state } else { kind };
    let outcome = if download.is_over() { download.outcome() } else { String::new() };
    let outcome = if outcome.is_empty() { outcome } else { format!(": {outcome}") };
    let at = Zoned::now().strftime("%H:%M:%S").to_string();
    format!("{at} {:10} {id} {}{outcome}\n", show::escaped(kind), download.shown_name())
}
