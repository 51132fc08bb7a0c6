//! Reads URLs and names from the arguments.

use super::glob::{self, Expanded};
use crate::args::{self, Args};
use crate::words;
use downhaul_engine::core::error::Error;
use downhaul_engine::core::job::{self, Destination, Job};
use downhaul_engine::core::name::{self, SafeName};
use downhaul_engine::core::show;
use std::path::Path;

/// Returns the jobs of the URLs and names among the arguments.
///
/// # Errors
/// Returns what is wrong, in words for the user.
pub(super) fn jobs(args: &Args) -> Result<Vec<Job>, String> {
    let expand = |argument: &String| -> Result<Vec<Expanded>, String> {
        let urls = split_urls(argument)?.into_iter().map(|url| match args.output.glob {
            true => glob::expand(url),
            false => Ok(vec![Expanded { url: url.into(), values: Vec::new() }]),
        });
        urls.collect::<Result<Vec<_>, _>>().map(|all| all.concat())
    };
    let (urls, mut jobs) = match args.urls.as_slice() {
        [] => return Err("nothing to download: give a URL, or a list with -i".into()),
        [urls, names] if !contains_url(names) => {
            let urls = expand(urls)?;
            let jobs = with_names(&urls, names)?;
            (urls, jobs)
        }
        all => {
            let urls = all.iter().map(expand).collect::<Result<Vec<_>, _>>()?.concat();
            let jobs = urls.iter().map(|one| job_for(&one.url)).collect::<Result<_, _>>()?;
            (urls, jobs)
        }
    };
    let Some(path) = &args.output.save_as else { return Ok(jobs) };
    let name = path.to_str().filter(|name| args.output.glob && name.contains('#'));
    match jobs.as_mut_slice() {
        all if all.iter().any(|job| !matches!(job.destination, Destination::Server)) => {
            return Err("-o names the file, and FILENAMES does too: use one of them".into());
        }
        all if name.is_some() => {
            for (job, one) in all.iter_mut().zip(&urls) {
                let name = glob::name(name.unwrap_or_default(), &one.values);
                job.destination = save_as(Path::new(&name), &args.output.folder)?;
            }
        }
        [job] => job.destination = save_as(path, &args.output.folder)?,
        more => return Err(format!("-o is for a single URL, and there are {}", more.len())),
    }
    Ok(jobs)
}

/// Splits a text at the commas before `scheme://`. Other commas belong to a URL. Within braces, commas
/// separate the words of a pattern.
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

/// Returns the jobs of URLs with the given `names`, which have the form `name1,name2`.
fn with_names(urls: &[Expanded], names: &str) -> Result<Vec<Job>, String> {
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    if let Some(either) = names.iter().find(|name| job::without_scheme(name).is_some()) {
        let shown = show::escaped(either);
        return Err(format!(
            "{shown} can be a URL or a name. For the URL, write https://{shown} (or http://); for a name, write ./{shown}, \
             or use -o or -d"
        ));
    }
    if urls.len() != names.len() {
        return Err(format!("{} but {}", count(urls.len(), "URL"), count(names.len(), "name")));
    }
    let pairs = urls.iter().zip(names).enumerate();
    pairs
        .map(|(index, (one, name))| {
            let mut job = job_for(&one.url)?;
            let name = SafeName::from_person(name).map_err(|why| {
                format!("name {} ({}) is not usable: {why}", index + 1, show::escaped(name))
            })?;
            job.destination = Destination::Name(name);
            Ok(job)
        })
        .collect()
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Returns the job of a URL, which may lack its scheme.
fn job_for(text: &str) -> Result<Job, String> {
    let given = job::parse_given(text);
    if !job::has_scheme(text) {
        // Commas are allowed in URLs, so they separate URLs only before a scheme.
        if text.split(',').skip(1).any(|part| job::without_scheme(part.trim()).is_some()) {
            let shown = show::not_a_url(text);
            let shown = show::escaped(&shown);
            return Err(format!(
                "{shown} can be one URL or several: write https:// (or http://) before each"
            ));
        }
        if Path::new(text).is_file() {
            return Err(is_a_file(text, given.is_ok()));
        }
        if let Some(command) = misspelt_command(text) {
            return Err(format!(
                "{} is not a URL; did you mean the command downhaul {command}?",
                show::escaped(text)
            ));
        }
    }
    // If only the name of a host is given, the first page of that host is downloaded. In a list, such a line
    // is more likely to be a mistake.
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

fn is_a_file(text: &str, or_a_url: bool) -> String {
    let shown = show::escaped(text);
    let url = if or_a_url { format!("; for the URL, write https://{shown}") } else { String::new() };
    format!("{shown} is a file here. To download the URLs in it, use -i {shown}{url}")
}

fn bad_url(text: &str, error: &Error) -> String {
    let shown = show::not_a_url(text);
    let mut message = format!("{}: {}", show::escaped(&shown), error.kind.meaning());
    if !error.detail.is_empty() {
        message += &format!(": {}", error.detail);
    }
    message
}

/// Returns the command that a word was probably meant to be.
fn misspelt_command(word: &str) -> Option<String> {
    let command = args::command();
    let names = command.get_subcommands().map(clap::Command::get_name);
    words::misspelt(word, names).map(str::to_string)
}

/// Paths that mean standard output, as `-` does.
const STDOUT: [&str; 3] = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Paths of files that a shell opened for the command: `>(command)`.
const OPENED: [&str; 2] = ["/dev/fd/", "/proc/self/fd/"];

fn save_as(path: &Path, folder: &Path) -> Result<Destination, String> {
    let text = path.to_string_lossy();
    match text.as_ref() {
        "-" => Ok(Destination::Stdout),
        stdout if STDOUT.contains(&stdout) => Ok(Destination::Stdout),
        "" => Err("-o needs a name".into()),
        _ if text.ends_with('/') || path.file_name().is_none() => {
            Err(format!("-o names a file, and {} is a folder; use -d for the folder", path.display()))
        }
        _ if path.components().any(|part| part.as_os_str().len() > name::LONGEST) => {
            Err(format!("-o is not usable: {}", name::TOO_LONG))
        }
        opened if OPENED.iter().any(|fds| opened.starts_with(fds)) => {
            Ok(Destination::Stream(path.to_path_buf()))
        }
        // A pipe or a device is written to, and not replaced.
        _ => Ok(match folder.join(path).metadata() {
            Ok(meta) if !meta.is_file() && !meta.is_dir() => Destination::Stream(path.to_path_buf()),
            _ => Destination::Path(path.to_path_buf()),
        }),
    }
}
