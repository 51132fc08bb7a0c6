//! Makes the body or the query of a request from the data options of a curl command, such as `-d`.

use crate::given;
use downhaul_engine::core::curl_options::Data;
use downhaul_engine::core::show;
use std::path::Path;

/// The longest file of `-d @FILE` that is read, in bytes. Its content becomes an argument of the command
/// line.
const LONGEST: usize = 16 << 20;

/// Returns the value of `--data` or `--json` for the body that curl sends. This is the body itself, or
/// `@FILE` if the body is a single file that is sent unchanged.
///
/// # Errors
/// Returns why the data cannot be imported. The text does not contain the data.
pub(super) fn joined(data: &[(Data, String)]) -> Result<String, String> {
    let is_file =
        |(kind, value): &(Data, String)| matches!(kind, Data::Binary | Data::Json) && value.starts_with('@');
    match data {
        [one] if is_file(one) => return Ok(one.1.clone()),
        all if all.iter().any(is_file) => {
            return Err(
                "several data options cannot be imported if --data-binary or --json names a file".into()
            );
        }
        _ => {}
    }
    let parts = data.iter().map(|(kind, value)| part(*kind, value)).collect::<Result<Vec<_>, _>>()?;
    let is_json = data.iter().any(|(kind, _)| *kind == Data::Json);
    let body = parts.join(if is_json { "" } else { "&" });
    match body.starts_with('@') {
        true => {
            Err("a body that begins with @ cannot be imported: write it into a file for --data @FILE".into())
        }
        false => Ok(body),
    }
}

/// Returns one part of a body or a query.
///
/// # Errors
/// Returns why the data cannot be imported. The text does not contain the data.
pub(super) fn part(kind: Data, value: &str) -> Result<String, String> {
    match (kind, value.strip_prefix('@')) {
        (Data::Text, Some(file)) => text(file),
        (Data::UrlEncoded, _) => url_encoded(value),
        _ => Ok(value.into()),
    }
}

/// Reads the file of `-d @FILE`. curl leaves out all line ends and null bytes in the file.
///
/// # Errors
/// Returns why the file cannot be imported. Standard input cannot be imported: downhaul reads it only when it
/// sends the request, and then keeps its line ends, but curl leaves them out.
fn text(file: &str) -> Result<String, String> {
    if file == "-" {
        return Err(
            "-d @- cannot be imported, because curl leaves out the line ends of standard input, and downhaul does not: use --data-binary @-".into()
        );
    }
    let bytes = given::read(Path::new(file), LONGEST)
        .map_err(|e| format!("-d @{}: it cannot be read: {e}", show::escaped(file)))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("-d @{}: it is not UTF-8, so use --data-binary", show::escaped(file)))?;
    Ok(text.replace(['\r', '\n', '\0'], ""))
}

/// Returns a query in which braces and brackets are ordinary characters for `--glob`.
pub(super) fn without_patterns(query: &str) -> String {
    let escaped = |c: char| if "{}[]".contains(c) { format!("\\{c}") } else { c.into() };
    query.chars().map(escaped).collect()
}

/// Adds a query to a URL.
pub(super) fn with_query(url: &str, query: &str) -> String {
    let (url, fragment) = url.split_once('#').map_or((url, None), |(url, fragment)| (url, Some(fragment)));
    let sign = if url.contains('?') { '&' } else { '?' };
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    format!("{url}{sign}{query}{fragment}")
}

/// Encodes the value of `--data-urlencode`, which has the form `content`, `=content` or `name=content`.
///
/// # Errors
/// Returns an error if the value has the form `@file` or `name@file`.
pub(super) fn url_encoded(value: &str) -> Result<String, String> {
    let byte = |byte: u8| match byte {
        plain if plain.is_ascii_alphanumeric() || b"-._~".contains(&plain) => char::from(plain).to_string(),
        other => format!("%{other:02X}"),
    };
    let encoded = |text: &str| text.bytes().map(byte).collect::<String>();
    match value.split_once('=') {
        Some(("", content)) => Ok(encoded(content)),
        Some((name, content)) => Ok(format!("{name}={}", encoded(content))),
        None if value.contains('@') => Err("--data-urlencode with a file cannot be imported".into()),
        None => Ok(encoded(value)),
    }
}
