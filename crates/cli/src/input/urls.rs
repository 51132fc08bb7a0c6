//! Reads URLs and names from the arguments.

use super::glob::{self, Pattern};
use crate::args::{self, Args};
use crate::platform;
use crate::words;
use downhaul_engine::core::digest::Digest;
use downhaul_engine::core::error::{Error, ErrorKind};
use downhaul_engine::core::job::{self, Destination, Job};
use downhaul_engine::core::name::{self, SafeName};
use downhaul_engine::core::show::{self, escaped};
use std::path::{MAIN_SEPARATOR, Path, PathBuf};

/// The highest number of jobs from the arguments that are checked before the run. After a mistake in a later
/// job, only that job fails, as in a list on standard input. Checking this many jobs takes some milliseconds.
pub(super) const CHECKED_MOST: usize = 10_000;

/// The URLs and names among the arguments. Jobs are made one after the other, because patterns can stand for
/// very many of them.
#[derive(Debug)]
pub struct Arguments {
    patterns: Vec<Pattern>,
    naming: Naming,
    /// The rules for names that the user did not give.
    rules: name::Naming,
    /// The digest of `--checksum`, which is allowed only for a single file.
    digest: Option<Digest>,
}

#[derive(Debug)]
enum Naming {
    /// The server, the URL or a template gives the names.
    Server,
    /// The names in an argument, one for each URL.
    Listed(Vec<SafeName>),
    /// The name of `-o`, for a single URL.
    One(Destination),
    /// The name of `-o`, which contains a mark such as `#1`, and the folder of the files.
    Pattern(String, PathBuf),
}

impl Arguments {
    /// Reads the URLs and names.
    ///
    /// # Errors
    /// Returns what is wrong, in words for the user.
    pub(super) fn read(args: &Args) -> Result<Arguments, String> {
        if let [tool @ ("curl" | "wget"), url, ..] =
            args.urls.iter().map(String::as_str).collect::<Vec<_>>()[..]
            && contains_url(url)
        {
            let how = match tool {
                "curl" => "write it in quotes: downhaul 'curl ...'",
                _ => "leave out the word wget",
            };
            return Err(format!(
                "to use a command of {tool}, {how}. If {tool} is the name of a host, write http://{tool}"
            ));
        }
        let (urls, names) = match args.urls.as_slice() {
            [] => return Err("nothing to download: give a URL, or a list with -i".into()),
            [urls, names] if !contains_url(names) => (std::slice::from_ref(urls), Some(names)),
            all => (all, None),
        };
        let mut patterns = Vec::new();
        for argument in urls {
            let all = split_urls(argument)?.into_iter().map(|url| match args.output.glob {
                true => Pattern::read(url),
                false => Ok(Pattern::plain(url)),
            });
            patterns.extend(all.collect::<Result<Vec<_>, _>>()?);
        }
        let mut arguments =
            Arguments { patterns, naming: Naming::Server, rules: args.output.naming(), digest: None };
        arguments.naming = match (&args.output.save_as, names) {
            (Some(_), Some(_)) => {
                return Err("-o and FILENAMES both name the file: use one of them".into());
            }
            (Some(path), None) => arguments.one_name(path, args)?,
            (None, Some(names)) => Naming::Listed(listed(names, arguments.count())?),
            (None, None) => Naming::Server,
        };
        if let Some(digest) = &args.options.verification.checksum {
            if arguments.count() != 1 {
                let count = arguments.count();
                return Err(format!("--checksum is for a single URL, but there are {count} URLs"));
            }
            arguments.digest = Some(digest.clone());
        }
        Ok(arguments)
    }

    /// Reads the path that `-o` gives.
    fn one_name(&self, path: &Path, args: &Args) -> Result<Naming, String> {
        let folder = &args.output.folder;
        let Some(name) = path.to_str().filter(|name| args.output.glob && name.contains('#')) else {
            return match self.count() {
                1 => save_as(path, folder, &self.rules).map(Naming::One),
                more => Err(format!("-o is for a single URL, but there are {more} URLs")),
            };
        };
        match self.patterns.iter().find_map(|pattern| pattern.missing_in(name)) {
            Some(number) => Err(format!(
                "-o {} would give several files the same name: pattern {number} of the URL has \
                 several values, so the name must contain #{number}",
                show::escaped(name)
            )),
            None => Ok(Naming::Pattern(name.into(), folder.clone())),
        }
    }

    /// Returns the number of jobs.
    pub(super) fn count(&self) -> u64 {
        self.patterns.iter().map(Pattern::count).fold(0, u64::saturating_add)
    }

    /// Returns true if the bytes go to standard output.
    pub(super) fn is_for_stdout(&self) -> bool {
        matches!(self.naming, Naming::One(Destination::Stdout))
    }

    /// Calls `check` for each of the first [`CHECKED_MOST`] jobs, with the number of the job and the job.
    ///
    /// # Errors
    /// Returns what is wrong, in words for the user.
    pub(super) fn check(&self, check: &mut dyn FnMut(u64, &Job) -> Result<(), String>) -> Result<(), String> {
        let mut jobs = (1..).zip(self.try_jobs().take(CHECKED_MOST));
        jobs.try_for_each(|(number, job)| check(number, &*job?))
    }

    /// Returns the jobs, one after the other.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = Result<Box<Job>, Error>> {
        self.try_jobs().map(|job| job.map_err(|why| Error::new(ErrorKind::UrlInvalid, "", why)))
    }

    /// Returns the jobs. If a job cannot be made, its item is an error that says what is wrong, in words for
    /// the user.
    fn try_jobs(&self) -> impl Iterator<Item = Result<Box<Job>, String>> {
        let urls = self.patterns.iter().flat_map(Pattern::urls);
        urls.enumerate().map(|(index, one)| {
            let mut job = Box::new(job_for(&one.url)?);
            job.line = index as u64 + 1;
            match &self.naming {
                Naming::Server => {
                    job = self.rules.apply(job).map_err(|e| escaped(&e.to_string()).into_owned())?
                }
                Naming::Listed(names) => {
                    job.destination =
                        names.get(index).cloned().map_or(Destination::Server, Destination::Name);
                }
                Naming::One(destination) => job.destination = destination.clone(),
                Naming::Pattern(name, folder) => {
                    job.destination =
                        save_as(Path::new(&glob::name(name, &one.values)), folder, &self.rules)?;
                }
            }
            if let Some(digest) = &self.digest {
                job.expect(digest.clone(), "--checksum")?;
            }
            Ok(job)
        })
    }
}

/// Splits a text into URLs, at the commas before `scheme://`. Other commas belong to a URL. Commas within
/// braces never separate URLs, because they separate the words of a pattern.
///
/// # Errors
/// Returns a message for the user if one of the URLs is empty.
pub(crate) fn split_urls(text: &str) -> Result<Vec<&str>, String> {
    let mut parts = Vec::new();
    let (mut start, mut braces) = (0, 0_usize);
    for (at, c) in text.char_indices() {
        match c {
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            ',' if braces == 0 && job::has_scheme(text[at + 1..].trim_start()) => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    match parts.iter().position(|part| part.is_empty()) {
        Some(_) if parts.len() == 1 => Err("the list of URLs is empty".into()),
        Some(empty) => Err(format!("URL {} of the list is empty", empty + 1)),
        None => Ok(parts),
    }
}

fn contains_url(text: &str) -> bool {
    text.split(',').any(|part| job::has_scheme(part.trim_start()))
}

/// Reads names of the form `name1,name2`, one for each of `urls` URLs.
fn listed(names: &str, urls: u64) -> Result<Vec<SafeName>, String> {
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    if let Some(either) = names.iter().find(|name| job::without_scheme(name).is_some()) {
        let shown = show::escaped(either);
        return Err(format!(
            "{shown} can be a URL or a name. For the URL, write https://{shown} (or http://); for a name, write ./{shown}, \
             or use -o or -d"
        ));
    }
    if urls != names.len() as u64 {
        let (urls, names) = (count(urls, "URL"), count(names.len() as u64, "name"));
        return Err(format!("there are {urls} but {names}"));
    }
    let names = (1..).zip(names).map(|(number, name)| {
        SafeName::from_person(name)
            .map_err(|why| format!("name {number} ({}) is not usable: {why}", show::escaped(name)))
    });
    names.collect()
}

fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Returns the job for a URL, which may lack its scheme.
fn job_for(text: &str) -> Result<Job, String> {
    let given = job::parse_given(text);
    if !job::has_scheme(text) {
        // Commas are allowed in URLs, so they separate URLs only before a scheme.
        if text.split(',').skip(1).any(|part| job::without_scheme(part.trim()).is_some()) {
            let shown = show::not_a_url(text);
            let shown = show::escaped(&shown);
            return Err(format!(
                "{shown} can be one URL or several: write https:// (or http://) before each URL"
            ));
        }
        if Path::new(text).is_file() {
            return Err(is_a_file(text, given.is_ok()));
        }
        if given.is_err()
            && let Some(why) = of_another_tool(text)
        {
            return Err(why.into());
        }
        if given.is_err()
            && let Some(command) = corrected_command(text)
        {
            return Err(format!(
                "{} is not a URL; did you mean the command downhaul {command}?",
                show::escaped(text)
            ));
        }
    }
    // If only the name of a host is given, the first page of that host is downloaded. The lines of a list are
    // read elsewhere. A line with only the name of a host is not accepted there, because it is more likely to
    // be a mistake.
    let given = given.or_else(|error| {
        let page = Some(format!("{text}/")).filter(|_| !text.contains('/'));
        page.and_then(|page| job::without_scheme(&page))
            .map(|url| (url.clone(), url.scheme() == "https"))
            .ok_or(error)
    });
    let (url, assumed_https) = given.map_err(|e| bad_url(text, &e))?;
    let job = Job::with_digests(url).map_err(|e| bad_url(text, &e))?;
    Ok(job.with_assumed_https(assumed_https))
}

/// Returns what to do instead, if a text in place of a URL is a command of another tool, or the first word of
/// such a command.
fn of_another_tool(text: &str) -> Option<&'static str> {
    let (tool, rest) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
    match tool {
        "curl" => Some("a command of curl must be in quotes: downhaul 'curl ...'"),
        "wget" => Some("downhaul does not read commands of wget. Give the URL without wget: downhaul URL"),
        "aria2c" | "aria2" if !rest.is_empty() => {
            Some("a command of aria2 must not be in quotes: downhaul aria2c [OPTIONS] URL")
        }
        "aria2c" => Some("aria2c must be the first word: downhaul aria2c [OPTIONS] URL"),
        _ => None,
    }
}

fn is_a_file(text: &str, or_a_url: bool) -> String {
    let shown = show::escaped(text);
    let url = if or_a_url { format!("; for the URL, write https://{shown}") } else { String::new() };
    format!("{shown} is a file here. To download the URLs in it, use -i {shown}{url}")
}

fn bad_url(text: &str, error: &Error) -> String {
    let is_magnet = error.kind == ErrorKind::UrlScheme && !text.contains("://");
    let shown = if is_magnet { error.at.as_str().into() } else { show::not_a_url(text) };
    let mut message = format!("{}: {}", show::escaped(&shown), error.kind.meaning());
    if !error.detail.is_empty() {
        message += &format!(": {}", error.detail);
    }
    message
}

/// Returns the command that the user probably wanted to type, if the word is similar to a command.
fn corrected_command(word: &str) -> Option<String> {
    let command = args::command();
    let names = command.get_subcommands().map(clap::Command::get_name);
    words::corrected(word, names).map(str::to_string)
}

/// The names of standard output.
const STDOUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// The beginnings of the paths of files that a shell opened for the program, as it does for `>(command)`.
const OPENED: [&str; 2] = ["/dev/fd/", "/proc/self/fd/"];

/// Returns true if the path of `-o` is a name of standard output.
pub(crate) fn is_stdout(path: &Path) -> bool {
    STDOUT.iter().any(|name| path.as_os_str() == *name)
}

/// Returns the destination for a path that the user gave with `-o`. The path of a regular file is used
/// unchanged.
fn save_as(path: &Path, folder: &Path, rules: &name::Naming) -> Result<Destination, String> {
    let text = path.to_string_lossy();
    // A pipe or a device is written to, and not replaced.
    if let Some(opened) = platform::pipe_or_device(path, folder).filter(|_| !is_stdout(path)) {
        return Ok(Destination::Stream(opened));
    }
    match text.as_ref() {
        _ if is_stdout(path) => Ok(Destination::Stdout),
        "" => Err("-o needs a name".into()),
        // `a/.` is the folder `a`, although the last part of this path is `a`.
        _ if text.ends_with(['/', MAIN_SEPARATOR])
            || text == "."
            || text.ends_with("/.")
            || path.file_name().is_none() =>
        {
            Err(format!("-o names a file, and {} is a folder; use -d for the folder", words::path(path)))
        }
        _ if path.components().any(|part| part.as_os_str().len() > name::LONGEST) => {
            Err(format!("-o is not usable: {}", name::TOO_LONG))
        }
        text if OPENED.iter().any(|fds| text.starts_with(fds)) => Ok(Destination::Stream(path.to_path_buf())),
        _ => match name::refused_by_windows(&text) {
            Some(why) if rules.windows => Err(format!("-o {}: {why}", show::escaped(&text))),
            _ => Ok(Destination::Path(path.to_path_buf())),
        },
    }
}
