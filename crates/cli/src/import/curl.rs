//! Translates the options of a command of curl into options of downhaul.
//!
//! Invariant: every option is translated, or left out with a note, or refused. Only options that request what
//! downhaul always does are left out without a note.

use super::options::{self, Data, To};
use super::shell::Split;

/// A translated command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Translation {
    /// The words of the command line, without the name of the program.
    pub(super) words: Vec<String>,
    /// Notes about what was left out, in words for the user.
    pub(super) notes: Vec<String>,
}

/// Translates the words of a command, without the name `curl`.
///
/// # Errors
/// Returns the options that cannot be translated, in words for the user.
pub(super) fn translate(split: Split) -> Result<Translation, String> {
    let mut reader = Reader::default();
    let mut words = split.words.into_iter();
    let mut only_urls = false;
    while let Some(word) = words.next() {
        match word.strip_prefix('-') {
            _ if only_urls => reader.urls.push(word),
            Some("") | None => reader.urls.push(word),
            Some("-") => only_urls = true,
            Some(name) => match name.strip_prefix('-') {
                Some(name) => reader.long(name, &mut words)?,
                None => reader.short(name, &mut words)?,
            },
        }
    }
    if let Some(into) = split.into.filter(|into| !into.is_empty()) {
        reader.outputs.push(Some(into));
    }
    if let Some(rest) = split.rest {
        let operator = rest.split_whitespace().next().unwrap_or_default().to_string();
        reader
            .translation
            .notes
            .push(format!("what follows {operator} is left out: only the command of curl is understood"));
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    translation: Translation,
    urls: Vec<String>,
    /// The values of `-o`, and `None` for each `-O`, in their order.
    outputs: Vec<Option<String>>,
    data: Vec<(Data, String)>,
    method: Option<String>,
    has_content_type: bool,
    is_get: bool,
    query: Vec<String>,
    refused: Vec<String>,
}

impl Reader {
    fn long(&mut self, name: &str, words: &mut impl Iterator<Item = String>) -> Result<(), String> {
        let found = options::TABLE.iter().find(|(_, names, ..)| names.contains(&name));
        // In curl, each flag has an opposite that begins with `--no-`.
        let negates = name
            .strip_prefix("no-")
            .is_some_and(|name| options::TABLE.iter().any(|row| row.1.contains(&name)));
        let Some((_, _, takes_value, to)) = found else {
            match negates {
                true => self.left_out(&format!("--{name}")),
                false => self.refused.push(format!("--{name}")),
            }
            return Ok(());
        };
        let value =
            if *takes_value { Some(words.next().ok_or(format!("--{name} lacks its value"))?) } else { None };
        self.option(&format!("--{name}"), *to, value.unwrap_or_default())
    }

    /// Reads short options such as `-sLo NAME`. They are several letters, and the last one may take a value.
    fn short(&mut self, letters: &str, words: &mut impl Iterator<Item = String>) -> Result<(), String> {
        for (at, letter) in letters.char_indices() {
            let name = format!("-{letter}");
            let Some((_, _, takes_value, to)) = options::TABLE.iter().find(|row| row.0 == Some(letter))
            else {
                // The unknown option may take a value, so the letters after it cannot be read.
                self.refused.push(name);
                return Ok(());
            };
            if !takes_value {
                self.option(&name, *to, String::new())?;
                continue;
            }
            let rest = &letters[at + letter.len_utf8()..];
            let value = match rest.is_empty() {
                true => words.next().ok_or(format!("{name} lacks its value"))?,
                false => rest.to_string(),
            };
            return self.option(&name, *to, value);
        }
        Ok(())
    }

    fn option(&mut self, name: &str, to: To, value: String) -> Result<(), String> {
        match to {
            To::Anyway => {}
            To::LeftOut => self.left_out(name),
            To::Flag(flag) => self.add(format!("--{flag}")),
            To::Option(option) => self.add(format!("--{option}={value}")),
            To::Words(words) => words.iter().for_each(|word| self.add((*word).into())),
            To::Refused(why) => return Err(format!("{name} of curl cannot be imported: {why}")),
            To::Url => self.urls.push(value),
            To::Output => self.outputs.push(Some(value)),
            To::RemoteName => self.outputs.push(None),
            To::Header => self.header(&value),
            // A value with `=` contains cookies. Any other value is a file with cookies.
            To::Cookie if value.contains('=') => self.add(format!("--cookie={value}")),
            To::Cookie if value.is_empty() => {}
            To::Cookie => self.add(format!("--cookies={value}")),
            To::Method => self.method = Some(value),
            To::Data(kind) => self.data.push((kind, value)),
            To::Get => self.is_get = true,
            To::UrlQuery => self.query.push(value),
            To::Referer => match value.strip_suffix(";auto").unwrap_or(&value) {
                "" => self.left_out(name),
                url => self.add(format!("--referer={url}")),
            },
            To::Continue if value == "-" => {}
            To::Continue => return Err(format!("{name} {value} of curl cannot be imported: only -C - can")),
        }
        Ok(())
    }

    fn add(&mut self, word: String) {
        self.translation.words.push(word);
    }

    fn left_out(&mut self, name: &str) {
        self.translation.notes.push(format!("{name} of curl is left out"));
    }

    fn header(&mut self, header: &str) {
        let name = header.split([':', ';']).next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_ours =
            options::OURS.contains(&name.as_str()) || options::OF_THE_MESSAGE.contains(&name.as_str());
        // Browsers show the pseudo-headers of HTTP/2, such as `:authority`.
        let is_pseudo = header.starts_with(':');
        let is_removal = header.strip_suffix(':').is_some_and(|name| !name.contains(':'));
        if header.starts_with('@') {
            self.add(format!("--header={header}"));
        } else if is_ours || is_pseudo || is_removal {
            let shown =
                if is_pseudo { header.split(':').nth(1).map(|name| format!(":{name}")) } else { None };
            let shown = shown.unwrap_or(name);
            self.translation.notes.push(format!("the header {shown} is left out"));
        } else {
            self.has_content_type |= name == "content-type";
            // The form `Name;` is a header without a value.
            match header.strip_suffix(';').filter(|name| !name.contains(':')) {
                Some(name) => self.add(format!("--header={name}:")),
                None => self.add(format!("--header={header}")),
            }
        }
    }

    fn finish(mut self) -> Result<Translation, String> {
        if !self.refused.is_empty() {
            return Err(format!("these options of curl are not known here: {}", self.refused.join(", ")));
        }
        if self.urls.is_empty() {
            return Err("the command of curl has no URL".into());
        }
        self.body()?;
        let query = self.query.join("&");
        if !query.is_empty() {
            self.urls.iter_mut().for_each(|url| *url = with_query(url, &query));
        }
        self.names()?;
        Ok(self.translation)
    }

    /// Makes the body of the request from the data. With `-G`, the data is added to the query instead.
    fn body(&mut self) -> Result<(), String> {
        let mut parts = Vec::new();
        let data = std::mem::take(&mut self.data);
        let is_json = data.iter().any(|(kind, _)| *kind == Data::Json);
        for (kind, value) in &data {
            parts.push(match kind {
                Data::Raw => value.clone(),
                Data::UrlEncoded => url_encoded(value)?,
                _ if value.starts_with('@') && data.len() > 1 => {
                    return Err("several bodies of which one is a file cannot be imported".into());
                }
                _ => value.clone(),
            });
        }
        if self.is_get {
            if parts.iter().any(|part| part.starts_with('@')) {
                return Err("-G with a file cannot be imported".into());
            }
            self.query.append(&mut parts);
        }
        let method =
            self.method.take().filter(|method| method != if parts.is_empty() { "GET" } else { "POST" });
        if let Some(method) = method {
            self.add(format!("--request={method}"));
        }
        if parts.is_empty() {
            return Ok(());
        }
        let body = parts.join(if is_json { "" } else { "&" });
        // In `--data-raw`, a `@` at the beginning is not the name of a file.
        let is_raw = matches!(data.as_slice(), [(Data::Raw, _), ..]);
        if is_raw && body.starts_with('@') {
            return Err(
                "a body that begins with @ cannot be imported: write it into a file for --data @FILE".into(),
            );
        }
        self.add(format!("--{}={body}", if is_json { "json" } else { "data" }));
        Ok(())
    }

    /// Adds the URLs and their names.
    fn names(&mut self) -> Result<(), String> {
        let urls = std::mem::take(&mut self.urls);
        let names: Vec<String> = self.outputs.iter().flatten().cloned().collect();
        match (urls.len(), names.as_slice()) {
            (_, []) => {}
            (1, [name]) => self.add(format!("--save-as={name}")),
            (count, names) if count == names.len() && names.iter().all(|name| !name.contains(',')) => {
                let joined = (urls.join(","), names.join(","));
                self.translation.words.extend(["--".into(), joined.0, joined.1]);
                return Ok(());
            }
            (count, names) => {
                return Err(format!(
                    "{count} URLs with {} names (-o) cannot be imported at once",
                    names.len()
                ));
            }
        }
        self.add("--".into());
        self.translation.words.extend(urls);
        Ok(())
    }
}

fn with_query(url: &str, query: &str) -> String {
    let (url, fragment) = url.split_once('#').map_or((url, None), |(url, fragment)| (url, Some(fragment)));
    let sign = if url.contains('?') { '&' } else { '?' };
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    format!("{url}{sign}{query}{fragment}")
}

/// Encodes the value of `--data-urlencode`, which has the form `content`, `=content` or `name=content`.
fn url_encoded(value: &str) -> Result<String, String> {
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
