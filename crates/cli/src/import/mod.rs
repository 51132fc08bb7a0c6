//! Translates commands of other tools that a user pasted, such as those that a browser copies. The translated
//! commands are words of the command line of downhaul.

mod body;
mod curl;
mod headers;
mod shell;

use crate::args;
use crate::given;
use crate::printer;
use clap::ArgMatches;
use curl::Translation;
use downhaul_engine::core::show;
use std::ffi::OsString;
use std::path::Path;

/// The longest command on standard input, in bytes. A command that a browser copies with all cookies has some
/// tens of KiB.
const LONGEST: usize = 1 << 20;

/// The words of the command line for a pasted command, and the notes for the user.
pub(crate) struct Imported {
    pub(crate) words: Vec<OsString>,
    pub(crate) notes: Vec<String>,
    /// True if the command came from standard input. In this case, no option can read standard input.
    pub(crate) was_on_stdin: bool,
}

/// Translates the pasted command in a command line of the form `downhaul 'curl ...'`, `downhaul plan 'curl
/// ...'` or `downhaul import curl 'curl ...'`. If `import` has no command or `-`, the pasted command is read
/// from standard input. Returns `None` for any other command line. Options of downhaul in the command line
/// have precedence over the options of the pasted command.
///
/// # Errors
/// Returns why the command cannot be used, in words for the user. The text contains no values of options.
pub(crate) fn translated(words: &[OsString], matches: &ArgMatches) -> Result<Option<Imported>, String> {
    let (given, others) = match matches.subcommand() {
        None => match the_command_of_curl(matches) {
            Some(text) => (Some(text.clone()), without(words, &[text])),
            None => return Ok(None),
        },
        Some(("plan", given)) => match the_command_of_curl(given) {
            Some(text) => (Some(text.clone()), without(words, &[text])),
            None => return Ok(None),
        },
        Some(("import", given)) => {
            let tool = given.get_one::<String>("tool").cloned().unwrap_or_default();
            let given = given.get_one::<String>("text").cloned();
            let taken = ["import", tool.as_str()].into_iter().chain(given.as_deref()).collect::<Vec<_>>();
            let others = without(words, &taken);
            (given.filter(|text| text != "-"), others)
        }
        Some(_) => return Ok(None),
    };
    let was_on_stdin = given.is_none();
    let text = given.map_or_else(read, Ok)?;
    let Translation { words: translated, notes } = translate(&text)?;
    let urls = translated.iter().position(|word| word == "--").unwrap_or(translated.len());
    let (options, urls) = translated.split_at(urls);
    let options = args::without_overridden(options, &args::command(), matches);
    let mut others = others.into_iter();
    let before = others.by_ref().take(if matches.subcommand_name() == Some("plan") { 2 } else { 1 });
    let before: Vec<OsString> = before.collect();
    let words = before.into_iter().chain(options.iter().map(OsString::from)).chain(others);
    let words = words.chain(urls.iter().map(OsString::from)).collect();
    Ok(Some(Imported { words, notes, was_on_stdin }))
}

/// Returns the argument in the place of the URLs, if it is the only such argument and is a command of curl.
fn the_command_of_curl(matches: &ArgMatches) -> Option<&String> {
    let mut urls = matches.get_many::<String>("urls")?;
    urls.next().filter(|text| urls.next().is_none() && is_of_curl(text))
}

/// Words that can stand before the name of a program and do not change what the program downloads.
const BEFORE: [&str; 4] = ["sudo", "time", "command", "exec"];

fn without_prompt(text: &str) -> &str {
    // Editors of Windows write a byte order mark.
    let text = text.trim_start_matches('\u{feff}').trim_start();
    ["$ ", "# ", "% "].iter().find_map(|prompt| text.strip_prefix(prompt)).unwrap_or(text).trim_start()
}

/// Returns true for the name of curl, which can have a path before it.
fn is_curl(word: &str) -> bool {
    matches!(word.rsplit(['/', '\\']).next(), Some("curl" | "curl.exe"))
}

/// Returns true if a text begins like a command of curl.
pub(crate) fn is_of_curl(text: &str) -> bool {
    let mut words = without_prompt(text).split_whitespace();
    let name = words.find(|word| !BEFORE.contains(word));
    name.is_some_and(is_curl) && words.next().is_some()
}

fn translate(text: &str) -> Result<Translation, String> {
    let mut split = shell::split(without_prompt(text).trim())
        .map_err(|why| format!("the command cannot be imported: {why}"))?;
    while split.words.first().is_some_and(|word| BEFORE.contains(&word.as_str())) {
        split.words.remove(0);
    }
    match split.words.first().map(String::as_str) {
        Some(name) if is_curl(name) => split.words.remove(0),
        Some(other) => {
            let shown = show::not_a_url(other);
            return Err(format!(
                "only commands of curl can be imported, but the text begins with {}",
                show::escaped(&shown)
            ));
        }
        None => return Err("there is no command to import".into()),
    };
    curl::translate(split)
}

/// Splits a command into words by the quotes of a POSIX shell. Returns `None` if the text has more than one
/// command, or has a redirection other than `<` and `>>`, which are errors.
///
/// # Errors
/// Returns what is wrong, such as text that only a shell can replace, or a quote that is not closed.
pub(crate) fn split_words(text: &str) -> Result<Option<Vec<String>>, String> {
    let split = shell::split_posix(text)?;
    Ok(Some(split.words).filter(|_| split.into.is_none() && !split.redirects && split.rest.is_none()))
}

fn read() -> Result<String, String> {
    printer::ask_for_input(&format!("Paste the command, then press Enter and {}.", printer::END_OF_INPUT));
    let bytes = given::read(Path::new("-"), LONGEST)
        .map_err(|e| format!("the command on standard input cannot be read: {e}"))?;
    String::from_utf8(bytes).map_err(|_| "the command on standard input is not UTF-8".into())
}

/// Returns the words of a command line without the first occurrence of each of the `taken` words. The name of
/// the program is always kept.
fn without(words: &[OsString], taken: &[&str]) -> Vec<OsString> {
    let mut words = words.to_vec();
    for one in taken {
        if let Some(at) = words.iter().skip(1).position(|word| word == one) {
            words.remove(at + 1);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        translate(text).unwrap_or_else(|why| panic!("{text}: {why}")).words.join(" ")
    }

    // This function is long because it is a list of commands.
    #[test]
    fn commands_are_translated() {
        for (text, translation) in [
            ("curl https://h/a", "-- https://h/a"),
            ("curl -LOJ https://h/a -fsS", "-- https://h/a"),
            ("curl -sLo x https://h/a", "--save-as=x -- https://h/a"),
            ("curl -o- https://h/a", "--save-as=- -- https://h/a"),
            ("curl https://h/a > x", "--save-as=x -- https://h/a"),
            ("curl -o a https://h/1 -o b https://h/2", "-- https://h/1,https://h/2 a,b"),
            ("curl -O https://h/1 -O https://h/2", "-- https://h/1 https://h/2"),
            ("curl --url https://h/a -- -x", "-- https://h/a http://-x"),
            (
                "curl 'h/a' -H 'X-A: 1' -H 'Empty;' -A me",
                "--header=X-A: 1 --header=Empty: --user-agent=me -- http://h/a",
            ),
            (
                "curl h/a -b 'a=1; b=2' -b Cargo.toml -c out",
                "--cookie=a=1; b=2 --cookies=Cargo.toml --save-cookies=out -- http://h/a",
            ),
            (
                "curl h/a -u me:pw -x p:1 -k --compressed",
                "--user=me:pw --proxy=p:1 --insecure --decode=auto --auth=basic -- http://h/a",
            ),
            ("curl h/a -e 'http://r;auto' --http2", "--referer=http://r -- http://h/a"),
            ("curl h/a -d a=1 --data-raw b=2 -X POST", "--data=a=1&b=2 -- http://h/a"),
            (
                "curl h/a --json '{}' -X PUT",
                "--request=PUT --header=Accept: application/json --json={} -- http://h/a",
            ),
            ("curl h/a?x=1#f -G -d a=1 --data-urlencode 'b=c d'", "-- http://h/a?x=1&a=1&b=c%20d#f"),
            ("curl -X GET h/a -C -", "-- http://h/a"),
            ("curl --data-binary @body h/a", "--data=@body -- http://h/a"),
            ("curl h/{a,b} -G -d 'x=[1]'", r"--glob -- http://h/{a,b}?x=\[1\]"),
            ("curl -g h/{a,b}", "-- http://h/{a,b}"),
            ("curl h/a --url-query 'b=c&d' --url-query +e=f&g", "-- http://h/a?b=c%26d&e=f&g"),
            ("curl https://u:p@h/a", "--auth=basic -- https://u:p@h/a"),
            ("curl https://x:y@h/a@b -u o:p", "--user=o:p --auth=basic -- https://h/a@b"),
            ("curl h:8080/a?u=http://b", "-- http://h:8080/a?u=http://b"),
            ("curl {http,https}://h/a", "--glob -- {http,https}://h/a"),
            ("curl ftp.h/a", "-- ftp://ftp.h/a"),
            ("curl --resolve -h:80 --resolve h:80:127.0.0.1 h/a", "--resolve=h:80:127.0.0.1 -- http://h/a"),
            ("curl -u u:p --anyauth h/a", "--user=u:p -- http://h/a"),
            ("curl --http2-prior-knowledge h/a", "--http2 -- http://h/a"),
            ("curl --socks5-hostname p:1 h/a", "--proxy=socks5h://p:1 -- http://h/a"),
            ("curl -E 'c\\:d.pem:pw' h/a", r"--cert=c\:d.pem:pw -- http://h/a"),
            ("curl -b /nonexistent/jar -c /dev/null -m 0 h/a", "-- http://h/a"),
            ("curl -H 'Host: h' https://h:443/a", "-- https://h:443/a"),
            ("curl -H 'Host: v' https://h/a", "--header=Host: v -- https://h/a"),
            ("sudo /usr/bin/curl h/a ;", "-- http://h/a"),
            ("\u{feff}curl h/a", "-- http://h/a"),
            ("$ curl h/a", "-- http://h/a"),
            ("curl.exe h/a", "-- http://h/a"),
        ] {
            assert_eq!(words(text), translation, "{text}");
        }
    }

    #[test]
    fn each_option_of_curl_becomes_an_option_that_exists() {
        use downhaul_engine::core::curl_options;

        let command = crate::args::command();
        let has = |name: &str| command.get_arguments().any(|arg| arg.get_long() == Some(name));
        for (_, names, _, to) in curl_options::TABLE {
            let becomes = match to {
                curl_options::To::Flag(name) | curl_options::To::Option(name) => vec![*name],
                curl_options::To::Words(words) => words
                    .iter()
                    .map(|word| word.trim_start_matches('-').split('=').next().unwrap_or_default())
                    .collect(),
                _ => continue,
            };
            assert!(becomes.iter().all(|name| has(name)), "{names:?}: {becomes:?}");
        }
    }

    #[test]
    fn notes_name_each_part_that_is_left_out() {
        let text = "curl h/a -H 'Range: bytes=0-' -H 'accept-encoding: gzip' -H ':authority: h' -H 'Accept:' -v -D x | tar x";
        let translation = translate(text).expect("a command");
        assert_eq!(translation.words, ["--", "http://h/a"]);
        let notes = translation.notes.join("\n");
        for one in [
            "header range",
            "header accept-encoding",
            "header :authority",
            "header accept ",
            "-v of curl",
            "-D of curl",
            "follows |",
        ] {
            assert!(notes.contains(one), "{one}: {notes}");
        }
    }

    #[test]
    fn errors_name_options_without_their_values() {
        for (text, says) in [
            ("curl h/a --nonsense hush -?", "does not know these options of curl: --nonsense, -?"),
            ("curl -F a=hush h/a", "-F of curl cannot be imported"),
            ("curl -I h/a", "-I of curl cannot be imported"),
            ("curl h/a --next h/b", "--next of curl cannot be imported"),
            ("curl -L", "has no URL"),
            ("curl h/a -o", "-o lacks its value"),
            ("curl -C 5 h/a", "only '-C -' can"),
            ("curl --user=hush h/a", "does not know these options of curl: --user"),
            ("curl -u @hush h/a", "begins with @"),
            ("curl h/a ; curl h/b", "import each command separately"),
            ("curl h/a,https://b/c", "after a comma"),
            ("curl -d @- h/a < hush", "it contains <"),
            ("curl h/a >> hush", "it contains >>"),
            ("curl -o a h/a h/b", "2 URLs with 1 names"),
            ("wget hush", "only commands of curl can be imported, but the text begins with wget"),
            ("curl --data-raw @hush h/a", "a body that begins with @"),
        ] {
            let error = translate(text).expect_err(text);
            assert!(error.contains(says) && !error.contains("hush"), "{text}: {error}");
        }
    }
}
