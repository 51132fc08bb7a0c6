//! Reads files that the user gives, such as checksum lists, keys and headers, before anything is downloaded.

use crate::args::{self, Args, Header};
use crate::words;
use downhaul_engine::check_keys;
use downhaul_engine::core::job::{self, Headers};
use downhaul_engine::core::list::checksums::{self, Checksums};
use downhaul_engine::core::list::text::Lines;
use downhaul_engine::core::secret::Secret;
use downhaul_engine::core::settings::ChecksumList;
use downhaul_engine::core::show;
use downhaul_engine::core::signature::{self, Key, Keys};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The longest file with headers, in bytes. Common servers accept at most some tens of KiB of headers, so a
/// file with useful headers is shorter.
const LONGEST_HEADERS: usize = 256 * 1024;

/// Reads the value of `--checksum-file`. If it is the path of a list, reads the list. With `keys`, also
/// reads the signature beside the list, if there is one. If the value is the URL of a list, only the URL is
/// returned.
///
/// # Errors
/// Returns why the list cannot be used, in words for the user.
pub(crate) fn checksums(text: &str, keys: Option<&Keys>) -> Result<ChecksumList, String> {
    if job::has_scheme(text) {
        return job::parse_url(text)
            .map(ChecksumList::Url)
            .map_err(|e| show::escaped(&e.to_string()).into_owned());
    }
    let path = Path::new(text);
    let list = read(path, checksums::LONGEST)
        .map_err(|e| format!("the checksum list {} cannot be read: {e}", show::escaped(text)))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if Checksums::read(&list, &name).has_no_digest() {
        return Err(format!("no line of {} has a digest", show::escaped(text)));
    }
    let mut signature = None;
    for ending in keys.map(Keys::list_endings).unwrap_or_default() {
        let mut beside = path.as_os_str().to_owned();
        beside.push(ending);
        match read(Path::new(&beside), signature::LONGEST) {
            Ok(text) => {
                signature = Some((format!("{name}{ending}"), text));
                break;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => {
                return Err(format!("{} cannot be read: {e}", words::path(Path::new(&beside))));
            }
        }
    }
    Ok(ChecksumList::Text { name, text: list, signature })
}

/// Reads the value of `--signed-by`: a key, or a file with keys.
///
/// # Errors
/// Returns why the value cannot be used, in words for the user.
pub(crate) fn keys(text: &str) -> Result<Keys, String> {
    Key::read(text).map(Keys::Minisign).or_else(|not_a_key| {
        let file = read(Path::new(text), signature::LONGEST_KEYS).map_err(|e| {
            let text = show::escaped(text);
            format!("--signed-by {text}: {not_a_key}, and it is not a file that can be read ({e})")
        })?;
        let keys = Keys::read(&file).and_then(|keys| check_keys(&keys).map(|()| keys));
        keys.map_err(|why| format!("the key in {}: {why}", show::escaped(text)))
    })
}

/// Returns the arguments with the content of header files in place of `-H @FILE`. A file may be a pipe, so it
/// is read only once.
///
/// # Errors
/// Returns what is wrong with a file, as [`headers`] does.
pub(crate) fn with_headers(args: &Args) -> Result<Args, String> {
    let mut args = args.clone();
    let headers = headers("-H", &args.options.http.headers)?;
    args.options.http.headers = headers.into_iter().map(|(name, value)| Header::Line(name, value)).collect();
    Ok(args)
}

/// Returns the headers of an option, including those in files. Blank lines of a file and lines that begin
/// with `#` are left out. `option` is the name of the option, for error messages.
///
/// # Errors
/// Returns what is wrong with a file. The content of the file may be secret, so the text shows nothing of it
/// except the name of a header that only downhaul sets.
pub(crate) fn headers(option: &str, given: &[Header]) -> Result<Vec<(String, Secret)>, String> {
    let mut headers = Vec::new();
    for one in given {
        match one {
            Header::Line(name, value) => headers.push((name.clone(), value.clone())),
            Header::File(path) => headers.extend(headers_of(option, path)?),
        }
    }
    Ok(headers)
}

/// Returns the headers of `--header-for`, each with its host.
///
/// # Errors
/// Returns what is wrong with a host or a header. The text contains neither the wrong host nor the header,
/// except the name of a header that only downhaul sets.
pub(crate) fn headers_for(options: &[Secret]) -> Result<Vec<(String, String, Secret)>, String> {
    let mut all = Vec::new();
    for pair in options.chunks_exact(2) {
        // The text is not shown, because the user may have typed a header in place of the host.
        let host = args::host(pair[0].expose().trim()).map_err(|_| {
            "--header-for: the first value must be a host or HOST:PORT, before the header".to_string()
        })?;
        let header =
            args::header_option(pair[1].expose()).map_err(|why| format!("--header-for {host}: {why}"))?;
        let headers = headers(&format!("--header-for {host}"), &[header])?;
        all.extend(headers.into_iter().map(|(name, value)| (host.clone(), name, value)));
    }
    Ok(all)
}

fn headers_of(option: &str, path: &Path) -> Result<Vec<(String, Secret)>, String> {
    let shown = words::file_of_secret(path);
    let text =
        read(path, LONGEST_HEADERS).map_err(|e| format!("{option} @{shown}: it cannot be read: {e}"))?;
    let mut headers = Vec::new();
    for (number, line) in (1..).zip(Lines::new(text.as_slice())) {
        let line = line.ok().and_then(|line| String::from_utf8(line).ok());
        let header = match line.as_deref().map(str::trim) {
            Some(line) if line.is_empty() || line.starts_with('#') => continue,
            Some(line) => Headers::read(line),
            None => Err("it is not UTF-8".into()),
        };
        let (name, value) = header.map_err(|why| format!("{option} @{shown}: line {number}: {why}"))?;
        headers.push((name, Secret::new(value)));
    }
    match headers.is_empty() {
        true => Err(format!("{option} @{shown}: it contains no header")),
        false => Ok(headers),
    }
}

/// Reads a file that is not longer than `longest` bytes. `-` is standard input.
///
/// # Errors
/// Returns why the file cannot be read. A longer file is an error.
pub(crate) fn read(path: &Path, longest: usize) -> io::Result<Vec<u8>> {
    let file: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path)?),
    };
    let mut bytes = Vec::new();
    file.take(longest as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > longest {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {longest} bytes")));
    }
    Ok(bytes)
}
