//! `downhaul list`: a table that fits the terminal.

use super::download::{self, Download};
use super::http::{Failed, Http};
use super::print;
use crate::args::client::List;
use crate::exit::Exit;
use crate::platform;
use crate::ui::units;
use clap::ValueEnum;
use http::Method;
use serde_json::Value;
use std::fmt::Write;

/// The columns between the identifier and the name. On a narrow terminal, columns are left out, beginning
/// with the last one.
const COLUMNS: [(&str, Cell); 5] = [
    ("state", |download| match (download.state.as_str(), download.position) {
        (state @ ("waiting" | "paused"), Some(position)) => format!("{state} {}", position + 1),
        (state, _) => state.into(),
    }),
    ("done", |download| share(download).map(|share| format!("{share}%")).unwrap_or_default()),
    ("speed", |download| match download.speed {
        0 => String::new(),
        speed => units::rate(speed as f64),
    }),
    ("size", |download| download.total.map(units::bytes).unwrap_or_default()),
    ("left", |download| download.seconds_left.map(|left| units::clock(left as f64)).unwrap_or_default()),
];

type Cell = fn(&Download) -> String;

/// The smallest width of the column for names, in columns of the terminal. If less room is left for the
/// names, the other columns are left out, beginning with the last one. Only the identifiers are always shown
/// beside the names.
const NAME: usize = 20;

/// The highest number of downloads in one answer of the daemon.
const MOST: usize = 10_000;

pub(super) async fn run(daemon: &Http, list: &List) -> Result<Exit, String> {
    let (found, all) = find(daemon, list).await?;
    if list.json {
        print(&found.iter().map(|one| format!("{one}\n")).collect::<String>())?;
        return Ok(Exit::Success);
    }
    let downloads: Vec<Download> = download::read(found.into())?;
    let mut text = table(&downloads, platform::columns_of_stdout());
    let more = all.saturating_sub(downloads.len());
    if more > 0 {
        let _ = writeln!(text, "... and {more} more (-n {all} shows all)");
    }
    if all == 0 {
        text += "no downloads\n";
    } else if list.search.is_none() && list.only.is_none() {
        let summary = daemon.call(Method::GET, "/summary", None).await?;
        text += &sums(&summary);
    }
    print(&text)?;
    Ok(Exit::Success)
}

/// Returns the downloads to show, and the number of all downloads that match. One answer of the daemon may
/// have only some of them, so several requests may be sent.
async fn find(daemon: &Http, list: &List) -> Result<(Vec<Value>, usize), Failed> {
    let mut found = Vec::new();
    loop {
        let path = path(list, found.len());
        let answer = daemon.call(Method::GET, &path, None).await?;
        let part = daemon.list(&answer, "downloads")?;
        found.extend_from_slice(part);
        let all = answer["count"].as_u64().and_then(|all| usize::try_from(all).ok()).unwrap_or_default();
        if part.is_empty() || found.len() >= all.min(list.limit) {
            return Ok((found, all));
        }
    }
}

/// Returns the path of the request for the downloads from this offset on.
fn path(list: &List, offset: usize) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &(list.limit - offset).min(MOST).to_string());
    query.append_pair("offset", &offset.to_string());
    if let Some(search) = &list.search {
        query.append_pair("search", search);
    }
    // The daemon's interface uses the same words for the sequences as the option `--only`.
    if let Some(sequence) = list.only.and_then(|only| only.to_possible_value()) {
        query.append_pair("sequence", sequence.get_name());
    }
    format!("/downloads?{}", query.finish())
}

/// Returns the line that says how many downloads are active, queued and over.
fn sums(summary: &Value) -> String {
    let number = |name: &str| summary[name].as_u64().unwrap_or_default();
    let speed = units::rate(number("speed") as f64);
    format!("{} active ({speed}), {} queued, {} over\n", number("active"), number("queued"), number("over"))
}

/// Returns the table. `columns` is the width of the terminal. If it is known, no line is wider than the
/// terminal, unless the identifiers alone need more room.
fn table(downloads: &[Download], columns: Option<usize>) -> String {
    if downloads.is_empty() {
        return String::new();
    }
    let digits = download::digits(downloads.iter().map(|download| download.id.as_str()));
    let mut cells: Vec<Vec<String>> = COLUMNS
        .iter()
        .map(|(head, cell)| [head.to_string()].into_iter().chain(downloads.iter().map(cell)).collect())
        .collect();
    let width = |cells: &Vec<String>| cells.iter().map(|cell| units::width(cell)).max().unwrap_or(0);
    let before =
        |cells: &[Vec<String>]| cells.iter().map(|cells| width(cells) + 2).sum::<usize>() + digits + 2;
    // A column without any value is left out.
    cells.retain(|cells| cells.iter().skip(1).any(|cell| !cell.is_empty()));
    while columns.is_some_and(|columns| before(&cells) + NAME > columns) && !cells.is_empty() {
        cells.pop();
    }
    let room = columns.map(|columns| columns.saturating_sub(before(&cells) + 1).max(1));
    let widths: Vec<usize> = cells.iter().map(width).collect();
    let mut text = String::new();
    for row in 0..=downloads.len() {
        let download = row.checked_sub(1).map(|at| &downloads[at]);
        let id = download.map_or("id", |download| download::short(&download.id, digits));
        let _ = write!(text, "{id:digits$}");
        for (index, (cells, width)) in cells.iter().zip(&widths).enumerate() {
            let cell = match index {
                0 => units::fit(&cells[row], *width),
                _ => units::right(&cells[row], *width),
            };
            let _ = write!(text, "  {cell}");
        }
        let name = download.map_or("name".into(), name);
        let name = room.map_or(name.clone(), |room| units::fit(&name, room));
        let _ = writeln!(text, "  {}", name.trim_end());
    }
    text
}

/// Returns the text of the column for names: the name of the download, and a note in parentheses if the
/// download failed or waits. The note has the code of the failure, and for a wait also the end of the wait.
fn name(download: &Download) -> String {
    let note = match &download.error {
        Some(error) if download.state == "error" => Some(error.code.clone()),
        _ => download.wait(),
    };
    match note {
        Some(note) => format!("{} ({note})", download.shown_name()),
        None => download.shown_name(),
    }
}

fn share(download: &Download) -> Option<u64> {
    let total = download.total.filter(|total| *total > 0)?;
    Some(u64::try_from(u128::from(download.completed) * 100 / u128::from(total)).unwrap_or(100).min(100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn downloads() -> Vec<Download> {
        let all = json!([
            { "id": "f0ca990000000001", "state": "active", "name": "a.iso", "total": 4 << 20,
              "completed": 1 << 20, "speed": 1 << 20, "seconds_left": 3 },
            { "id": "0000000000000002", "state": "waiting", "position": 0, "completed": 0, "speed": 0,
              "name": "a-rather-long-name-that-does-not-fit-into-a-narrow-terminal.tar.gz" },
            { "id": "1000000000000003", "state": "error", "name": "\u{1b}[31mred", "completed": 0, "speed": 0,
              "error": { "code": "http.not_found", "message": "404" } },
        ]);
        serde_json::from_value(all).expect("downloads")
    }

    #[test]
    fn the_table_shows_what_is_known() {
        let text = table(&downloads(), None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "id      state      done       speed      size   left  name");
        assert_eq!(lines[1], "f0ca99  active      25%  1.00 MiB/s  4.00 MiB  00:03  a.iso");
        assert!(lines[2].starts_with("000000  waiting 1 ") && lines[2].ends_with(".tar.gz"), "{text}");
        assert!(lines[3].ends_with(" (http.not_found)") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn the_table_fits_every_terminal() {
        for columns in 10..120 {
            let text = table(&downloads(), Some(columns));
            let widest = text.lines().map(units::width).max().unwrap_or(0);
            assert!(widest <= columns.max(12), "{columns}:\n{text}");
        }
    }
}
