//! Translates a command of curl into a command of downhaul. [`curl_options`] has the table of the options.
//!
//! Invariant: every option is translated, left out with a note, or refused. An option is left out without a
//! note only if it changes nothing, for example because downhaul always does what the option requests.

use super::body;
use super::headers;
use super::shell::Split;
use crate::input;
use downhaul_engine::core::curl_options::{self, Data, Scheme, To};
use std::path::Path;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Translation {
    /// The words of the command line, without the name of the program.
    pub(super) words: Vec<String>,
    /// Notes about the parts of the command that were left out, in words for the user.
    pub(super) notes: Vec<String>,
}

/// Translates the words of a command, without the name `curl`.
///
/// # Errors
/// Returns why the command cannot be translated, in words for the user.
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
    reader.rest(split.rest.as_deref().unwrap_or_default())?;
    reader.finish()
}

#[derive(Default)]
struct Reader {
    translation: Translation,
    urls: Vec<String>,
    /// The values of `-o`, and `None` for each `-O`, in their order. The file of `> FILE` comes last.
    outputs: Vec<Option<String>>,
    data: Vec<(Data, String)>,
    method: Option<String>,
    has_accept: bool,
    is_get: bool,
    /// The value of the header `Host`, which is never empty.
    host: Option<String>,
    has_login: bool,
    schemes: Vec<Scheme>,
    has_cookie_file: bool,
    no_patterns: bool,
    query: Vec<String>,
    refused: Vec<String>,
}

impl Reader {
    /// Reads the text after the command. A second command of curl is refused, because its files would not be
    /// downloaded. Any other text is left out with a note, and so is any command after a `|`. An operator
    /// alone, such as `;`, needs no note.
    fn rest(&mut self, rest: &str) -> Result<(), String> {
        let operator = rest.split_whitespace().next().unwrap_or_default();
        let after = rest.trim_start_matches(['|', ';', '&', ' ', '\n']);
        if super::is_of_curl(after) && !rest.starts_with('|') {
            return Err("there are several commands of curl: import each command separately".into());
        }
        if !after.is_empty() {
            self.translation
                .notes
                .push(format!("what follows {operator} is left out: only the command of curl is understood"));
        }
        Ok(())
    }

    fn long(&mut self, name: &str, words: &mut impl Iterator<Item = String>) -> Result<(), String> {
        let found = curl_options::TABLE.iter().find(|(_, names, ..)| names.contains(&name));
        // In curl, each flag has an opposite that begins with `--no-`.
        let negates = name
            .strip_prefix("no-")
            .is_some_and(|name| curl_options::TABLE.iter().any(|row| row.1.contains(&name)));
        let Some((_, _, takes_value, to)) = found else {
            match negates {
                true => self.left_out(&format!("--{name}")),
                // The text after `=` may be a secret.
                false => self.refused.push(format!("--{}", name.split('=').next().unwrap_or_default())),
            }
            return Ok(());
        };
        let value =
            if *takes_value { Some(words.next().ok_or(format!("--{name} lacks its value"))?) } else { None };
        self.option(&format!("--{name}"), *to, value.unwrap_or_default())
    }

    /// Reads short options such as `-sLo NAME`. Each letter is an option. If an option takes a value, its
    /// value is the text after its letter, or the next word if no text follows.
    fn short(&mut self, letters: &str, words: &mut impl Iterator<Item = String>) -> Result<(), String> {
        for (at, letter) in letters.char_indices() {
            let name = format!("-{letter}");
            let Some((_, _, takes_value, to)) = curl_options::TABLE.iter().find(|row| row.0 == Some(letter))
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
            To::Option("proxy-user" | "bearer") if value.starts_with('@') => {
                return Err(begins_with_at(name));
            }
            // If the value begins with `-`, curl removes addresses that an earlier transfer stored. A run of
            // downhaul has no such addresses.
            To::Option("resolve") if value.starts_with('-') => {}
            // In curl, these limits are off if they are 0.
            To::Option("limit-rate" | "max-time" | "connect-timeout" | "timeout" | "min-speed")
                if value == "0" => {}
            To::Option(option) => self.add(format!("--{option}={value}")),
            To::Words(words) => words.iter().for_each(|word| self.add((*word).into())),
            To::Refused(why) => return Err(format!("{name} of curl cannot be imported: {why}")),
            To::Proxy(scheme) => {
                let host = value.split_once("://").map_or(value.as_str(), |(_, host)| host);
                self.add(format!("--proxy={scheme}://{host}"));
            }
            To::GivenUrl => self.urls.push(value),
            To::User => {
                self.has_login = true;
                self.add(format!("--user={}", literal(name, value)?));
            }
            To::Scheme(scheme) => self.schemes.push(scheme),
            To::NoPatterns => self.no_patterns = true,
            To::CookieJar if value == "-" || value == "/dev/null" => self.left_out(name),
            To::CookieJar => self.add(format!("--save-cookies={value}")),
            To::Output => self.outputs.push(Some(value)),
            To::RemoteName => self.outputs.push(None),
            To::Header => self.header(&value),
            // A value with `=` contains cookies. Any other value is the name of a file with cookies.
            To::Cookie if value.contains('=') => self.add(format!("--cookie={}", literal(name, value)?)),
            To::Cookie if value.is_empty() || value == "/dev/null" => {}
            To::Cookie => self.cookie_file(name, &value)?,
            To::Method => self.method = Some(value),
            To::Data(kind) => self.data.push((kind, value)),
            To::Get => self.is_get = true,
            To::UrlQuery => self.query.push(match value.strip_prefix('+') {
                Some(encoded) => encoded.into(),
                None => body::url_encoded(&value)?,
            }),
            To::Referer => match value.strip_suffix(";auto").unwrap_or(&value) {
                "" => self.left_out(name),
                url => self.add(format!("--referer={url}")),
            },
            To::Continue if value == "-" => {}
            To::Continue => {
                return Err(format!(
                    "{name} {value} of curl cannot be imported: only '-C -' can be imported"
                ));
            }
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
            headers::OURS.contains(&name.as_str()) || headers::OF_THE_MESSAGE.contains(&name.as_str());
        // Browsers show the pseudo-headers of HTTP/2 (such as `:authority`) among the headers, so users paste
        // them too.
        let is_pseudo = header.starts_with(':');
        let is_removal = header.strip_suffix(':').is_some_and(|name| !name.contains(':'));
        let is_host = name == "host";
        let value = header.split_once(':').map(|(_, value)| value.trim()).filter(|value| !value.is_empty());
        if let Some(host) = value.filter(|_| is_host) {
            self.host = Some(host.into());
        } else if header.starts_with('@') {
            self.add(format!("--header={header}"));
        } else if is_ours || is_pseudo || is_removal || is_host {
            let shown =
                if is_pseudo { header.split(':').nth(1).map(|name| format!(":{name}")) } else { None };
            let shown = shown.unwrap_or(name);
            self.translation.notes.push(format!("the header {shown} is left out"));
        } else {
            self.has_accept |= name == "accept";
            // The form `Name;` is a header without a value.
            match header.strip_suffix(';').filter(|name| !name.contains(':')) {
                Some(name) => self.add(format!("--header={name}:")),
                None => self.add(format!("--header={header}")),
            }
        }
    }

    fn finish(mut self) -> Result<Translation, String> {
        if !self.refused.is_empty() {
            return Err(format!("downhaul does not know these options of curl: {}", self.refused.join(", ")));
        }
        if self.urls.is_empty() {
            return Err("the command of curl has no URL".into());
        }
        self.schemes();
        self.urls.iter_mut().for_each(|url| *url = with_scheme(url));
        if self.has_login {
            // In curl, the user name and password of `-u` replace those in a URL.
            self.urls.iter_mut().for_each(|url| *url = without_login(url));
        }
        self.host_header();
        self.body()?;
        let has_patterns = !self.no_patterns && self.urls.iter().any(|url| url.contains(['{', '[']));
        if has_patterns {
            self.add("--glob".into());
        }
        let query = self.query.join("&");
        if !query.is_empty() {
            // curl looks for patterns only in the URLs of the command, and not in the query that it adds.
            let query = if has_patterns { body::without_patterns(&query) } else { query };
            self.urls.iter_mut().for_each(|url| *url = body::with_query(url, &query));
        }
        if self.urls.iter().any(|url| input::split_urls(url).is_ok_and(|urls| urls.len() > 1)) {
            return Err("a URL that contains another URL after a comma cannot be imported: write it into a list for -i".into());
        }
        self.names(has_patterns)?;
        Ok(self.translation)
    }

    /// Adds the method and the body of the request. With `-G`, the data is added to the query instead.
    fn body(&mut self) -> Result<(), String> {
        let data = std::mem::take(&mut self.data);
        if self.is_get {
            if data.iter().any(|(kind, value)| *kind != Data::Raw && value.starts_with('@')) {
                return Err("-G with a file cannot be imported".into());
            }
            for (kind, value) in &data {
                self.query.push(body::part(*kind, value)?);
            }
        }
        let has_body = !data.is_empty() && !self.is_get;
        let method = self.method.take().filter(|method| method != if has_body { "POST" } else { "GET" });
        if let Some(method) = method {
            self.add(format!("--request={method}"));
        }
        if !has_body {
            return Ok(());
        }
        let is_json = data.iter().any(|(kind, _)| *kind == Data::Json);
        if is_json && !self.has_accept {
            self.add("--header=Accept: application/json".into());
        }
        let body = body::joined(&data)?;
        self.add(format!("--{}={body}", if is_json { "json" } else { "data" }));
        Ok(())
    }

    /// Chooses when and with which scheme the user name and the password are sent. If no option chooses a
    /// scheme, curl sends them in the first request, with Basic.
    fn schemes(&mut self) {
        let schemes = self.schemes.as_slice();
        let has_login = self.has_login || self.urls.iter().any(|url| authority(url).contains('@'));
        let is_only = |scheme| !schemes.is_empty() && schemes.iter().all(|one| *one == scheme);
        if is_only(Scheme::Basic) || schemes.is_empty() && has_login {
            self.add("--auth=basic".into());
        } else if is_only(Scheme::Digest) {
            self.add("--auth=digest".into());
        }
    }

    /// Leaves out a `Host` header that names the host of the URLs, because downhaul sends such a header
    /// itself. A command that a browser copies has such a header. Any other `Host` header is kept.
    fn host_header(&mut self) {
        let Some(host) = self.host.take() else { return };
        let without_port = |text: &str| {
            text.strip_suffix(":443").or_else(|| text.strip_suffix(":80")).unwrap_or(text).to_string()
        };
        let names_it = |url: &String| {
            let named = authority(url).rsplit('@').next().unwrap_or_default();
            without_port(named).eq_ignore_ascii_case(&without_port(&host))
        };
        if !self.urls.iter().all(names_it) {
            self.add(format!("--header=Host: {host}"));
        }
    }

    /// Translates `-b FILE`. If the file is missing, the option is left out with a note, because in curl, a
    /// missing file is no error: `-c` may write the file at the end of the run.
    fn cookie_file(&mut self, name: &str, file: &str) -> Result<(), String> {
        if std::mem::replace(&mut self.has_cookie_file, true) {
            return Err(format!("several cookie files ({name}) cannot be imported"));
        }
        match Path::new(file).try_exists() {
            Ok(false) => {
                self.translation.notes.push(format!("the cookie file that {name} names does not exist"))
            }
            _ => self.add(format!("--cookies={file}")),
        }
        Ok(())
    }

    /// Adds the URLs and their names.
    fn names(&mut self, has_patterns: bool) -> Result<(), String> {
        let urls = std::mem::take(&mut self.urls);
        let names: Vec<String> = self.outputs.iter().flatten().cloned().collect();
        match (urls.len(), names.as_slice()) {
            (_, []) => {}
            (1, [name]) => self.add(format!("--save-as={name}")),
            (count, names)
                if count == names.len() && !has_patterns && names.iter().all(|name| !name.contains(',')) =>
            {
                let joined = (urls.join(","), names.join(","));
                self.translation.words.extend(["--".into(), joined.0, joined.1]);
                return Ok(());
            }
            (count, names) => {
                return Err(format!(
                    "{count} URLs with {} names (-o) cannot be imported together",
                    names.len()
                ));
            }
        }
        self.add("--".into());
        self.translation.words.extend(urls);
        Ok(())
    }
}

/// Returns the part of a URL that has the user name, the password, the host and the port.
fn authority(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, after)| after);
    after.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Returns a URL with its scheme. Like curl, guesses a missing scheme from the name of the host: ftp if the
/// name begins with `ftp.`, and http otherwise.
fn with_scheme(url: &str) -> String {
    let is_ftp = url.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("ftp."));
    match url.find(['/', '?', '#']) {
        Some(end) if url[..end].ends_with(':') && url[end..].starts_with("//") => url.into(),
        _ => format!("{}://{url}", if is_ftp { "ftp" } else { "http" }),
    }
}

fn without_login(url: &str) -> String {
    let authority = authority(url);
    let host = authority.rsplit('@').next().unwrap_or_default();
    url.replacen(authority, host, 1)
}

/// Returns the value. A value that begins with `@` is an error, because it names a file in downhaul, but not
/// in curl.
fn literal(name: &str, value: String) -> Result<String, String> {
    if value.starts_with('@') { Err(begins_with_at(name)) } else { Ok(value) }
}

fn begins_with_at(name: &str) -> String {
    format!("the value of {name} begins with @, which cannot be imported: write it into a file")
}
