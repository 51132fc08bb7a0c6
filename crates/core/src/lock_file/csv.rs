//! Lock files as tables (RFC 4180), for programs that read tables. The first row has the names of the
//! columns. Each further row has the same facts as a JSON line, except for the key `record`.
//!
//! Invariant: every row has a cell for each column, and [`read`] can read each row that [`row`] wrote for an
//! entry with a status.

use super::{Entry, Status, digest_key};
use crate::digest::{Algorithm, Digest};
use crate::event::rfc3339;
use serde_json::Value;

/// The columns before the columns of the digests.
const COLUMNS: [&str; 14] = [
    "status",
    "url",
    "out",
    "path",
    "size",
    "error",
    "http_status",
    "tries",
    "date",
    "seconds",
    "fetched",
    "final_url",
    "validator",
    "extra",
];

/// Returns the first row of a table, without a line end.
pub fn header() -> String {
    let digests = Algorithm::all().map(digest_key);
    COLUMNS.iter().map(ToString::to_string).chain(digests).collect::<Vec<_>>().join(",")
}

/// Returns the row of an entry, without a line end after it.
pub fn row(entry: &Entry) -> String {
    fn number(number: Option<impl ToString>) -> String {
        number.map(|number| number.to_string()).unwrap_or_default()
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let extra = match entry.extra.is_empty() {
        true => String::new(),
        false => Value::Object(entry.extra.clone()).to_string(),
    };
    let cells = [
        entry.status.map(|status| status.name().to_string()).unwrap_or_default(),
        entry.url.clone(),
        entry.out.clone(),
        entry.path.clone(),
        number(entry.size),
        text(&entry.error),
        number(entry.http_status),
        number(entry.tries),
        rfc3339::text(entry.date),
        number(entry.seconds),
        number(entry.fetched),
        text(&entry.final_url),
        text(&entry.validator),
        extra,
    ];
    let digests = Algorithm::all().map(|one| {
        let hex = entry.digests.get(&digest_key(one)).and_then(Value::as_str);
        hex.unwrap_or_default().to_string()
    });
    cells.into_iter().chain(digests).map(quoted).collect::<Vec<_>>().join(",")
}

/// Reads a row. Returns `None` if the row does not have one cell for each column, or if a cell other than
/// `extra` cannot be read. If the cell `extra` cannot be read, it counts as empty.
pub fn read(row: &str) -> Option<Entry> {
    let cells = cells(row);
    if cells.len() != COLUMNS.len() + Algorithm::all().count() {
        return None;
    }
    fn number<T: std::str::FromStr>(cell: &str) -> Option<Option<T>> {
        if cell.is_empty() { Some(None) } else { cell.parse().ok().map(Some) }
    }
    let text = |cell: &String| Some(cell.clone()).filter(|cell| !cell.is_empty());
    let digests = Algorithm::all().zip(&cells[COLUMNS.len()..]).filter(|(_, hex)| !hex.is_empty());
    let digest = |(one, hex): (Algorithm, &String)| {
        Digest::from_hex(one, hex).map(|_| (digest_key(one), Value::from(hex.as_str())))
    };
    Some(Entry {
        status: Some(Status::from_name(&cells[0])?),
        url: cells[1].clone(),
        out: cells[2].clone(),
        path: cells[3].clone(),
        size: number(&cells[4])?,
        error: text(&cells[5]),
        http_status: number(&cells[6])?,
        tries: number(&cells[7])?,
        date: rfc3339::read(&cells[8])?,
        seconds: number(&cells[9])?,
        fetched: number(&cells[10])?,
        final_url: text(&cells[11]),
        validator: text(&cells[12]),
        record: None,
        extra: serde_json::from_str(&cells[13]).unwrap_or_default(),
        digests: digests.map(digest).collect::<Option<_>>()?,
    })
}

/// Returns true if a quotation in this text has no end. The line after the text then belongs to the same row.
pub fn is_open(text: &[u8]) -> bool {
    text.iter().filter(|byte| **byte == b'"').count() % 2 == 1
}

fn quoted(cell: String) -> String {
    let is_plain = !cell.contains(['"', ',', '\n', '\r']) && cell.trim() == cell;
    if is_plain { cell } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
}

fn cells(row: &str) -> Vec<String> {
    let (mut cells, mut in_quotation) = (vec![String::new()], false);
    let mut rest = row.chars().peekable();
    while let Some(c) = rest.next() {
        let cell = cells.last_mut();
        match c {
            '"' if in_quotation && rest.peek() == Some(&'"') => {
                rest.next();
                cell.into_iter().for_each(|cell| cell.push('"'));
            }
            '"' => in_quotation = !in_quotation,
            ',' if !in_quotation => cells.push(String::new()),
            c => cell.into_iter().for_each(|cell| cell.push(c)),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::form::Facts;
    use proptest::prelude::*;

    fn entry(text: &str) -> Entry {
        Entry {
            url: "http://h/a,b".into(),
            out: text.into(),
            path: text.into(),
            size: Some(5),
            date: 1_795_333_200_123,
            status: Some(Status::Finished),
            seconds: Some(0.25),
            tries: Some(1),
            extra: [("id".to_string(), text.into())].into_iter().collect(),
            digests: [("sha256".to_string(), Value::from("ab".repeat(32)))].into_iter().collect(),
            ..Entry::default()
        }
    }

    #[test]
    fn a_table_is_a_list_without_its_failed_files() {
        let failed = Entry { status: Some(Status::Failed), error: Some("net.reset".into()), ..entry("z") };
        let table = format!("{}\n{}\n{}\n", header(), row(&entry("x, \"y\"")), row(&failed));
        let facts = Facts { name: "set.csv".into(), ..Facts::default() };
        let form = facts.form(table.as_bytes());
        let jobs: Vec<_> = form.jobs(std::io::Cursor::new(table), &facts).expect("a table").collect();
        let [(_, Ok(job))] = &jobs[..] else { panic!("{jobs:?}") };
        assert_eq!((job.destination.given_name().as_deref(), job.expected.len()), (Some("x, \"y\""), 1));
        assert_eq!((job.extra.get("id"), job.is_recorded), (Some(&Value::from("x, \"y\"")), true));
    }

    proptest! {
        #[test]
        fn a_row_is_read_as_it_was_written(text in "[a \",\n\r=é]{0,20}") {
            let written = row(&entry(&text));
            prop_assert!(!is_open(written.as_bytes()));
            prop_assert_eq!(read(&written), Some(entry(&text)));
        }

        #[test]
        fn no_row_causes_a_panic(text in "[a\",\n0-9]{0,100}") {
            let _ = read(&text);
        }
    }
}
