//! Turns arguments and lists into jobs. Finds all mistakes that can be found before the first request.

mod clashes;
mod glob;
mod list;
mod packed;
mod stream;
mod urls;

pub(crate) use glob::looks_like_pattern;
pub use list::{Checked, List, Opened};
pub(crate) use list::{HAS_NO_URL, lines};
pub use stream::Stream;
pub use urls::Arguments;
pub(crate) use urls::{is_stdout, split_urls};

use crate::args::Args;
use crate::settings;
use crate::survey::Survey;
use crate::words;
use downhaul_engine::core::job;
use std::sync::Arc;

/// The input that the jobs come from.
#[derive(Debug)]
pub enum Input {
    /// The arguments.
    Arguments(Arc<Arguments>),
    /// A list that was checked.
    List(Checked),
    /// Standard input, or a pipe. It is read during the run.
    Stream(Stream),
}

impl Input {
    /// Returns the number of jobs, if it is known before the run.
    pub(crate) fn count(&self) -> Option<u64> {
        match self {
            Input::Arguments(arguments) => Some(arguments.count()),
            Input::List(checked) => Some(checked.count),
            Input::Stream(_) => None,
        }
    }

    /// Returns true if the bytes of the file go to standard output.
    pub(crate) fn is_for_stdout(&self) -> bool {
        matches!(self, Input::Arguments(arguments) if arguments.is_for_stdout())
    }

    /// Returns the list, if it is read during the run.
    pub(crate) fn stream(&self) -> Option<&Stream> {
        match self {
            Input::Stream(stream) => Some(stream),
            Input::Arguments(_) | Input::List(..) => None,
        }
    }
}

/// Returns the URL of the list, if the list is given by a URL.
pub fn list_url(args: &Args) -> Option<&str> {
    args.output.input.as_ref()?.to_str().filter(|list| job::has_scheme(list))
}

/// Returns the jobs of the arguments, and the survey of their URLs. `fetched` is the list at [`list_url`].
///
/// # Errors
/// Returns what is wrong, in words for the user. It is a usage error.
pub fn of(args: &Args, fetched: Option<List>) -> Result<(Input, Survey), String> {
    let mut survey = Survey::default();
    if let Some(list) = &args.output.input {
        if args.options.verification.checksum.is_some() {
            return Err(
                "--checksum is for a single URL. For a list, use --checksum-file or digests in the list"
                    .into(),
            );
        }
        let opened = Stream::open(list, &args.lists)
            .map_err(|e| format!("the list {} cannot be read: {e}", words::path(list)))?;
        if let Some(stream) = opened {
            return Ok((Input::Stream(stream), survey));
        }
        let list = fetched.unwrap_or_else(|| List::file(list.clone(), &args.lists));
        return Ok((Input::List(list::check(list, settings::naming(args), &mut survey)?), survey));
    }
    let arguments = Arguments::read(args)?;
    arguments.check(&mut survey)?;
    Ok((Input::Arguments(Arc::new(arguments)), survey))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use downhaul_engine::core::job::Destination;

    fn jobs(args: &[&str]) -> Result<Vec<(String, String)>, String> {
        let args = Args::try_parse_from(["downhaul"].iter().chain(args)).map_err(|e| e.to_string())?;
        match of(&args, None)?.0 {
            Input::Arguments(arguments) => Ok(arguments
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
    fn the_forms_of_arguments() {
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
            "three are no list of names"
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
    fn mistakes_are_named() {
        for (args, says) in [
            (&["http://h/a,http://h/b", "x"][..], "2 URLs but 1 name"),
            (&["http://h/a", "x,y"], "1 URL but 2 names"),
            (&["http://h/a,http://h/b", "x,"], "name 2 () is not usable: it is empty"),
            (&["http://h/a,http://h/b", "x,x"], "files 1 and 2 would have the same name: x"),
            (&["http://h/a,http://h/b", "x,x.part"], "files 1 and 2 would have the same name: x.part"),
            (&["http://h/a", "../x"], "leads out of the output folder"),
            (&["", "x"], "the list of URLs is empty"),
            (&[",http://h/a"], "URL 1 of the list is empty"),
            (&["example"], "a URL begins with https://"),
            (
                &["example.com/a,example.com/b"],
                "can be one URL or several: write https:// (or http://) before each",
            ),
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
