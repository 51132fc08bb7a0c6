//! Turns arguments and lists into jobs, and finds their mistakes. The module `check` says which mistakes are
//! found before the first file is requested.
//!
//! The input of a run has one or more parts: the arguments, and each list of `-i`. Their jobs are numbered in
//! this order.

mod all_names;
mod bytes;
mod check;
mod checked;
mod clashes;
mod glob;
mod list;
mod mistakes;
mod packed;
#[cfg(feature = "parquet")]
mod parquet;
mod pass;
mod rest;
mod so_far;
mod sorter;
mod stream;
mod urls;

pub(crate) use bytes::bytes;
pub use checked::Checked;
pub(crate) use checked::Count;
pub(crate) use glob::looks_like_pattern;
pub(crate) use list::lines;
pub use list::{List, Opened};
pub(crate) use packed::plain_name;
pub(crate) use rest::{Ended, Rest, Whole};
pub(crate) use so_far::SoFar;
pub use stream::Stream;
pub use urls::Arguments;
pub(crate) use urls::{is_stdout, split_urls};

use crate::args::Args;
use crate::outputs;
use crate::settings;
use crate::shards::Shards;
use crate::survey::Survey;
use crate::words;
use downhaul_engine::core::job;
use downhaul_engine::core::shard::Shard;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The reason why a list has no jobs, in words for the user.
pub(crate) const HAS_NO_URL: &str = "it has no URL of a file to download";

/// The input that the jobs come from, in the order of the jobs.
pub struct Input {
    pub(crate) parts: Vec<Part>,
    /// The state of the check of long lists, if the check ends during the run.
    pub(crate) check: Option<Arc<SoFar>>,
}

/// A part of the input: the arguments, or a list.
#[derive(Debug)]
pub enum Part {
    Arguments(Arc<Arguments>),
    /// A list that was checked, or whose check ends during the run.
    List(Checked),
    /// Standard input, a pipe or a device. It is read during the run.
    Stream(Stream),
}

impl Input {
    /// Returns the number of jobs, if it is known already.
    pub(crate) fn count(&self) -> Option<u64> {
        self.parts.iter().map(Part::count).try_fold(0_u64, |all, count| Some(all.saturating_add(count?)))
    }

    /// Returns true if the arguments name a single file whose bytes go to standard output.
    pub(crate) fn is_for_stdout(&self) -> bool {
        let is_it = |part: &Part| matches!(part, Part::Arguments(arguments) if arguments.is_for_stdout());
        self.parts.iter().any(is_it)
    }

    /// Returns the first list that can be read only once.
    pub(crate) fn stream(&self) -> Option<&Stream> {
        self.parts.iter().find_map(|part| match part {
            Part::Stream(stream) => Some(stream),
            Part::Arguments(_) | Part::List(..) => None,
        })
    }
}

impl Part {
    pub(crate) fn count(&self) -> Option<u64> {
        match self {
            Part::Arguments(arguments) => Some(arguments.count()),
            Part::List(checked) => checked.count.if_known(),
            Part::Stream(_) => None,
        }
    }
}

/// Returns the URLs of the lists that are given by URLs.
pub fn list_urls(args: &Args) -> impl Iterator<Item = &str> {
    args.output.input.iter().filter_map(|list| list_url(list))
}

fn list_url(list: &Path) -> Option<&str> {
    list.to_str().filter(|list| job::has_scheme(list))
}

/// A list of `-i`, before it is checked.
enum Given {
    List(List),
    Stream(Stream),
}

/// Returns the jobs of the arguments and the lists, and the survey of their URLs. `fetched` has the lists at
/// the URLs of [`list_urls`], in the same order. Also returns the rest of the check of long lists, if the
/// check ends during the run.
///
/// # Errors
/// Returns what is wrong, in words for the user. It is a usage error.
pub fn of(args: &Args, fetched: Vec<List>) -> Result<(Input, Survey, Option<Rest>), String> {
    let mut survey = Survey::default();
    survey.shards = Shards::of(&args.lists, settings::variable)?;
    let shard = survey.shards.as_ref().map(|shards| shards.shard);
    let has_lists = !args.output.input.is_empty();
    if has_lists && args.options.verification.checksum.is_some() {
        return Err(
            "--checksum is for a single URL. For a list, use --checksum-file or digests in the list".into()
        );
    }
    if shard.is_some() && !args.urls.is_empty() {
        return Err("--shard divides the lists of -i, and not the URLs in the arguments".into());
    }
    let is_replaced = |failed: &PathBuf| args.output.input.iter().any(|list| outputs::is_same(list, failed));
    if shard.is_some() && args.options.failure.failed.as_ref().is_some_and(is_replaced) {
        return Err(
            "--failed would replace the list, which also has the files of other shards. Give another file"
                .into(),
        );
    }
    let arguments = arguments(args)?.map(Arc::new);
    let mut fetched = fetched.into_iter();
    let mut given = Vec::new();
    for path in &args.output.input {
        let list = list_url(path).and_then(|_| fetched.next()).map(Given::List);
        given.push(match list {
            Some(list) => list,
            None => opened(path, args, shard)?,
        });
    }
    let lists = given.iter().filter_map(|one| match one {
        Given::List(list) => Some(list.clone()),
        Given::Stream(_) => None,
    });
    let lists: Vec<List> = lists.collect();
    let has_streams = lists.len() < given.len();
    if let Some(shards) = survey.shards.as_mut().filter(|_| has_streams) {
        shards.has_streams();
    }
    let (checked, rest) = check::all(args, arguments.as_deref(), lists, has_streams, &mut survey)?;
    let mut checked = checked.into_iter();
    let lists = given.into_iter().filter_map(|one| match one {
        Given::List(_) => checked.next().map(Part::List),
        Given::Stream(stream) => Some(Part::Stream(stream)),
    });
    let parts = arguments.map(Part::Arguments).into_iter().chain(lists).collect();
    let check = rest.as_ref().map(Rest::so_far);
    Ok((Input { parts, check }, survey, rest))
}

/// Returns the URLs and names among the arguments, or `None` if the download has only lists.
///
/// # Errors
/// Returns what is wrong, in words for the user.
pub(crate) fn arguments(args: &Args) -> Result<Option<Arguments>, String> {
    let is_only_lists = !args.output.input.is_empty() && args.urls.is_empty();
    if is_only_lists { Ok(None) } else { Arguments::read(args).map(Some) }
}

/// Returns the list at a path, which is not a URL. If the list can be read only once, it is opened here.
fn opened(path: &Path, args: &Args, shard: Option<Shard>) -> Result<Given, String> {
    let stream = Stream::open(path, &args.lists, args.output.naming(), shard)
        .map_err(|e| format!("the list {} cannot be read: {e}", words::path(path)))?;
    Ok(stream.map_or_else(|| Given::List(List::file(path.into(), &args.lists)), Given::Stream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use downhaul_engine::core::job::Destination;

    fn jobs(args: &[&str]) -> Result<Vec<(String, String)>, String> {
        let args = Args::try_parse_from(["downhaul"].iter().chain(args)).map_err(|e| e.to_string())?;
        match of(&args, Vec::new())?.0.parts.remove(0) {
            Part::Arguments(arguments) => Ok(arguments
                .jobs()
                .map(|job| {
                    let job = job.expect("it was checked");
                    let name = match &job.destination {
                        Destination::Name(name) => name.to_string(),
                        other => format!("{other:?}"),
                    };
                    (job.urls[0].to_string(), name)
                })
                .collect()),
            other => Err(format!("{other:?}")),
        }
    }

    fn pair(url: &str, name: &str) -> (String, String) {
        (url.into(), name.into())
    }

    #[test]
    fn arguments_may_have_several_forms() {
        assert_eq!(
            jobs(&["http://h/a , http://h/b", "x, y z"]),
            Ok(vec![pair("http://h/a", "x"), pair("http://h/b", "y z")])
        );
        assert_eq!(
            jobs(&["http://h/a,1,http://h/b", "x,y"]),
            Ok(vec![pair("http://h/a,1", "x"), pair("http://h/b", "y")])
        );
        assert_eq!(
            jobs(&["http://h/a", "http://h/b"]),
            Ok(vec![pair("http://h/a", "Server"), pair("http://h/b", "Server")])
        );
        assert_eq!(jobs(&["http://h/a,http://h/b"]).map(|all| all.len()), Ok(2));
        // URLs without a scheme, and names that are not URLs.
        assert_eq!(jobs(&["example.com/a"]), Ok(vec![pair("https://example.com/a", "Server")]));
        assert_eq!(jobs(&["example.com"]), Ok(vec![pair("https://example.com/", "Server")]));
        assert_eq!(jobs(&["localhost:1/a", "x"]), Ok(vec![pair("http://localhost:1/a", "x")]));
        assert_eq!(
            jobs(&["example.com/a", "http://h/b", "h.example/c"]).map(|all| all.len()),
            Ok(3),
            "three arguments are all URLs"
        );
        for (given, name) in [
            ("file.txt", "file.txt"),
            ("sub/file.txt", "sub/file.txt"),
            ("v1.2/file", "v1.2/file"),
            ("./data.io/x", "data.io/x"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(jobs(&["http://h/a", given]), Ok(vec![pair("http://h/a", name)]), "{given}");
        }
        assert_eq!(jobs(&["http://h/a", "-o", "-"]), Ok(vec![pair("http://h/a", "Stdout")]));
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (args, says) in [
            (&["http://h/a,http://h/b", "x"][..], "2 URLs but 1 name"),
            (&["http://h/a", "x,y"], "1 URL but 2 names"),
            (&["http://h/a,http://h/b", "x,"], "name 2 () is not usable: it is empty"),
            (&["http://h/a,http://h/b", "x,x"], "files 1 and 2 would have the same name: x"),
            (
                &["http://h/a,http://h/b", "x,x.part"],
                "files 1 and 2 would clash, because the partial file or the journal of one file would have the name of the other file: x.part",
            ),
            (&["http://h/a", "../x"], "lead out of the output folder"),
            (&["", "x"], "the list of URLs is empty"),
            (&[",http://h/a"], "URL 1 of the list is empty"),
            (&["example"], "a URL begins with https://"),
            (
                &["example.com/a,example.com/b"],
                "can be one URL or several: write https:// (or http://) before each URL",
            ),
            (&["curl", "http://h/a"], "write it in quotes: downhaul 'curl ...'"),
            (&["wget http://h/a"], "Give the URL without wget"),
            (&["aria2c http://h/a"], "must not be in quotes: downhaul aria2c"),
            (&["magnet:?xt=urn:btih:0"], "the magnet link: only http and https are supported"),
            (&["verfy"], "did you mean the command downhaul verify?"),
            (&["repare", "list"], "did you mean the command downhaul repair?"),
            (&["Cargo.toml"], "is a file here. To download the URLs in it, use -i Cargo.toml"),
            (
                &["http://h/a", "www.example.com/f2"],
                "www.example.com/f2 can be a URL or a name. For the URL, write https://www.",
            ),
            (&["http://h/a", "data.io/x"], "for a name, write ./data.io/x, or use -o or -d"),
            (&["http://h/a", "localhost/x"], "localhost/x can be a URL or a name"),
            (&["http://h/a", "10.0.0.1:8080"], "10.0.0.1:8080 can be a URL or a name"),
            (&["http://h/a,http://h/b", "x, data.io/x"], "data.io/x can be a URL or a name"),
            (&["example.com/a", "example.com/b"], "example.com/b can be a URL or a name"),
            (&["ftp://h/a"], "only http and https"),
            (&[], "nothing to download"),
            (&["http://h/a", "http://h/b", "-o", "x"], "-o is for a single URL, but there are 2 URLs"),
            (&["http://h/a", "-o", "dir/"], "is a folder"),
            (&["http://h/a", "x", "-o", "y"], "use one of them"),
        ] {
            let error = jobs(args).expect_err(says);
            assert!(error.contains(says), "{args:?}: {error}");
        }
    }
}
