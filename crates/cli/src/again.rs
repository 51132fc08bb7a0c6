//! Writes the command that runs the same download again.
//!
//! Invariant: the command contains every argument that clap found on the command line, and nothing else. Only
//! secret values, and options of other tools that change nothing, are left out. New options therefore need no
//! change in this file. The repeated run never verifies less than the first one.

use crate::args::{Deadline, is_foreign};
use crate::secrets;
use crate::stdin;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use downhaul_engine::core::show;

/// The command that runs the same download again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Again {
    /// The command cannot be shown, because part of it is secret or cannot be pasted, or because something
    /// was read from standard input or from a pipe.
    #[default]
    Unshown,
    /// The command for a POSIX shell, and the names of the headers and options whose values were left out.
    Command(String, Vec<String>),
}

impl Again {
    /// Returns the command that is equal to the command line of the user, except for what is left out.
    pub(crate) fn of(command: &Command, matches: &ArgMatches) -> Again {
        let (words, command, matches) = innermost(command, matches);
        match Given::of(command, matches, false) {
            Some(given) => given.into_command(words),
            None => Again::Unshown,
        }
    }

    /// Returns a text that introduces the command, and the command. The command is empty if it cannot be
    /// shown.
    pub(crate) fn to_resume(&self) -> (String, String) {
        match self {
            Again::Unshown => ("To resume, run the same command again.".into(), String::new()),
            Again::Command(command, hidden) if hidden.is_empty() => {
                ("To resume:".into(), format!(" {command}"))
            }
            Again::Command(command, hidden) => {
                let names = hidden.join(", ");
                (format!("To resume, with your own value for {names}:"), format!(" {command}"))
            }
        }
    }

    /// Returns the command as the program understood it, for `--dry-run`. That option and all secrets are
    /// left out.
    pub(crate) fn shown(command: &Command, matches: &ArgMatches) -> String {
        let (words, command, matches) = innermost(command, matches);
        let mut given = Given::of(command, matches, true).unwrap_or_default();
        given.options.retain(|(long, _)| long != "dry-run");
        match given.into_command(words) {
            Again::Command(command, _) => command,
            Again::Unshown => String::new(),
        }
    }

    /// Returns the command that repairs the files in the list of `-i`. The command has all given options that
    /// `repair` also accepts. Returns `Unshown` unless exactly one list and no URL was given, and if the
    /// command cannot be shown.
    pub(crate) fn repairing(command: &Command, matches: &ArgMatches) -> Again {
        let Some(repair) = command.find_subcommand("repair") else { return Again::Unshown };
        let mut given = match Given::of(command, matches, false) {
            Some(given) if matches.subcommand().is_none() && given.positionals.is_empty() => given,
            _ => return Again::Unshown,
        };
        given.options.retain(|(long, _)| repair.get_arguments().any(|arg| arg.get_long() == Some(long)));
        // A repair is for one list.
        let lists: Vec<_> = matches.get_raw("input").into_iter().flatten().collect();
        let [list] = lists[..] else { return Again::Unshown };
        let Some(list) = list.to_str() else { return Again::Unshown };
        given.positionals.push(list.into());
        given.into_command(vec![command.get_name().into(), repair.get_name().into()])
    }
}

/// Returns the names of the program and of its subcommand, and the definition and the arguments of that
/// subcommand. If no subcommand was given, the definition and the arguments are those of the program.
pub(crate) fn innermost<'c>(
    mut command: &'c Command,
    mut matches: &'c ArgMatches,
) -> (Vec<String>, &'c Command, &'c ArgMatches) {
    let mut words = vec![command.get_name().to_string()];
    while let Some((name, inner)) = matches.subcommand()
        && let Some(found) = command.find_subcommand(name)
    {
        words.push(name.into());
        (command, matches) = (found, inner);
    }
    (words, command, matches)
}

/// The parts of the command line that can be shown.
#[derive(Default)]
struct Given {
    /// Each option: its long name, and its text with the values.
    options: Vec<(String, String)>,
    positionals: Vec<String>,
    /// The names of the headers and options whose values were left out.
    left_out: Vec<String>,
}

impl Given {
    /// Returns the arguments that the user gave. If part of the command line cannot be shown, the result
    /// depends on `is_hiding`: if it is true, that part is shown without its secrets, and the command cannot
    /// be pasted. If it is false, the result is `None`.
    fn of(command: &Command, matches: &ArgMatches, is_hiding: bool) -> Option<Given> {
        let mut given = Given::default();
        for arg in command.get_arguments() {
            let id = arg.get_id().as_str();
            if matches.value_source(id) != Some(ValueSource::CommandLine) || is_foreign(id) {
                continue;
            }
            if !is_hiding && id == "deadline" && is_over_later(matches) {
                continue;
            }
            let long = arg.get_long().unwrap_or_default().to_string();
            if !arg.get_action().takes_values() {
                let times = match arg.get_action() {
                    ArgAction::Count => matches.get_count(id),
                    _ => 1,
                };
                given.options.extend((0..times).map(|_| (long.clone(), name(arg))));
                continue;
            }
            for values in matches.get_raw_occurrences(id).into_iter().flatten() {
                let mut shown = Vec::new();
                for (place, value) in values.enumerate() {
                    let value = value.to_string_lossy();
                    let value = match can_be_shown(arg, &value) {
                        true => value.into_owned(),
                        false if is_hiding => show::escaped(&secrets::shown(arg, place, &value)).into_owned(),
                        false => return None,
                    };
                    let (value, hidden) = secrets::without(arg, place, &value);
                    given.left_out.extend(hidden);
                    shown.push(value);
                }
                match arg.is_positional() {
                    true => given.positionals.extend(shown),
                    false => {
                        let options = given_option(arg, &shown).into_iter();
                        given.options.extend(options.map(|option| (long.clone(), option)));
                    }
                }
            }
        }
        Some(given)
    }

    /// Returns the command that begins with these words.
    fn into_command(self, mut words: Vec<String>) -> Again {
        let looks_like_an_option = |word: &String| word.starts_with('-') && word != "-";
        let divided = self.positionals.iter().any(looks_like_an_option);
        let positionals: Vec<String> = self.positionals.iter().map(|word| quoted(word)).collect();
        let options = self.options.into_iter().map(|(_, option)| option);
        match divided {
            true => words.extend(options.chain(["--".into()]).chain(positionals)),
            false => words.extend(positionals.into_iter().chain(options)),
        }
        Again::Command(words.join(" "), self.left_out)
    }
}

/// Returns true if the deadline is a point in time. A later run needs another one.
fn is_over_later(matches: &ArgMatches) -> bool {
    let value = matches.get_raw("deadline").and_then(|mut values| values.next_back()?.to_str());
    value.is_some_and(Deadline::passes)
}

fn can_be_shown(arg: &Arg, value: &str) -> bool {
    !value.chars().any(show::is_unsafe_to_show) && !secrets::is_unshown(arg, value) && !is_passing(arg, value)
}

/// Returns the texts of an option with its values. An option that takes several values at once is followed by
/// all of them. Any other option is repeated for each value.
fn given_option(arg: &Arg, values: &[String]) -> Vec<String> {
    let takes = arg.get_num_args().map_or(1, |count| count.max_values());
    let one = |values: &[String]| match values {
        // A value that looks like an option must be joined to its option with `=`.
        [value] if value.starts_with('-') && value != "-" => {
            format!("--{}={}", arg.get_long().unwrap_or_default(), quoted(value))
        }
        values => {
            let quoted: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            format!("{} {}", name(arg), quoted.join(" "))
        }
    };
    values.chunks(takes.max(1)).map(one).collect()
}

/// Returns `-x`, or `--long` if there is no short form.
pub(crate) fn name(arg: &Arg) -> String {
    match (arg.get_short(), arg.get_long()) {
        (Some(short), _) => format!("-{short}"),
        (None, long) => format!("--{}", long.unwrap_or_default()),
    }
}

/// Returns true if a later run cannot read the value again, because the value is read from standard input or
/// from a pipe that the shell opened for this command.
fn is_passing(arg: &Arg, value: &str) -> bool {
    let file = value.trim_start_matches('@');
    stdin::is_read_by(arg, value)
        || ["/dev/stdin", "/dev/fd/", "/proc/self/fd/"].iter().any(|opened| file.starts_with(opened))
}

/// Quotes a word for a POSIX shell, if that is necessary.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Header};
    use clap::FromArgMatches;
    use downhaul_engine::core::secret::Secret;

    fn parsed<S: AsRef<str>>(words: &[S]) -> Result<(String, Again), clap::Error> {
        let mut command = crate::args::command();
        let matches = command.try_get_matches_from_mut(words.iter().map(AsRef::as_ref))?;
        let args = Args::from_arg_matches(&matches)?;
        // Debug output hides the values of headers.
        let http = &args.options.http;
        let lines = http.headers.iter().filter_map(|header| match header {
            Header::Line(_, value) => Some(value),
            Header::File(_) => None,
        });
        let values: Vec<&str> = lines.chain(&http.header_for).map(Secret::expose).collect();
        Ok((format!("{args:?} {values:?}"), Again::of(&command, &matches)))
    }

    fn again(words: &[&str]) -> Option<String> {
        match parsed(&[&["downhaul"], words].concat()).expect("parses").1 {
            Again::Command(command, _) => Some(command),
            Again::Unshown => None,
        }
    }

    /// Splits a command as a POSIX shell does, as far as [`quoted`] uses its syntax.
    fn split(command: &str) -> Vec<String> {
        let (mut words, mut within, mut escaped) = (vec![String::new()], false, false);
        for c in command.chars() {
            match c {
                _ if std::mem::take(&mut escaped) => words.last_mut().expect("a word").push(c),
                '\'' => within = !within,
                '\\' if !within => escaped = true,
                ' ' if !within => words.push(String::new()),
                _ => words.last_mut().expect("a word").push(c),
            }
        }
        words
    }

    // This function is long because it has a value for each kind of option.
    #[test]
    fn every_option_comes_back() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let pin = format!("sha256//{}=", "A".repeat(43));
        let plausible = [
            "5",
            "auto",
            "it's a 'name'",
            "-x",
            "Accept: text/plain",
            "404",
            "https://h/",
            "5-9",
            &digest,
            &pin,
            "h:80:127.0.0.1",
            "h:80:g:81",
            "url=a",
            "{shard}.tar",
        ];
        for under in ["", "repair"] {
            let mut command = crate::args::command();
            command.build();
            let command =
                if under.is_empty() { &command } else { command.find_subcommand(under).expect(under) };
            for arg in command.get_arguments() {
                let id = arg.get_id().as_str();
                if ["help", "short_help", "version"].contains(&id) {
                    continue;
                }
                let of_its_own: Vec<String> =
                    arg.get_possible_values().iter().map(|one| one.get_name().to_string()).collect();
                let values = of_its_own.iter().map(String::as_str).chain(plausible);
                let given = |value: &str| {
                    let option = match (arg.is_positional(), arg.get_action().takes_values()) {
                        (true, _) => value.to_string(),
                        (false, _) if id == "header_for" => "--header-for".to_string(),
                        (false, true) => format!("--{}={value}", arg.get_long().expect("a long name")),
                        (false, false) => format!("--{}", arg.get_long().expect("a long name")),
                    };
                    let mut words = vec!["downhaul".to_string()];
                    words.extend(Some(under.to_string()).filter(|under| !under.is_empty()));
                    words.push(option);
                    if id == "header_for" {
                        words.extend(["other.example:8080".to_string(), value.to_string()]);
                    }
                    if !arg.is_positional() && id != "input" {
                        words.push("http://h/a,b".into());
                    }
                    words
                };
                let tried: Vec<_> = values.filter_map(|value| parsed(&given(value)).ok()).collect();
                assert!(!tried.is_empty(), "this test has no valid value for {id}: add one");
                for (args, again) in tried {
                    let Again::Command(command, left_out) = again else { panic!("{id} is not shown") };
                    if !left_out.is_empty() {
                        assert!(secrets::may_be_secret(arg), "{id}");
                        continue;
                    }
                    let (repeated, _) = parsed(&split(&command)).unwrap_or_else(|e| panic!("{command}: {e}"));
                    assert_eq!(repeated, args, "{id}: {command}");
                }
            }
        }
    }

    #[test]
    fn a_repair_command_has_the_given_options_that_repair_accepts() {
        let repair = |words: &[&str]| {
            let command = crate::args::command();
            let matches = command.clone().try_get_matches_from([&["downhaul"], words].concat());
            match Again::repairing(&command, &matches.expect("parses")) {
                Again::Command(command, _) => Some(command),
                Again::Unshown => None,
            }
        };
        assert_eq!(
            repair(&["-i", "my list", "-d", "x", "-j2", "--if-exists", "check", "-H", "DNT: 1"]).as_deref(),
            Some("downhaul repair 'my list' -d x -j 2 -H 'DNT: 1'")
        );
        for without in [&["http://h/a"][..], &["-i", "-"], &["repair", "l"]] {
            assert_eq!(repair(without), None, "{without:?}");
        }
    }

    #[test]
    fn the_login_of_a_proxy_is_left_out() {
        assert_eq!(
            again(&["http://h/a", "--proxy", "socks5://p:9", "--proxy-user", "ann:hush"]),
            Some("downhaul http://h/a --proxy socks5://p:9 --proxy-user ann:...".into())
        );
        for (given, shown) in [
            ("http://u:p@h:1", "http://...@h:1"),
            ("u:p@h", "...@h"),
            ("u:p@q@h:1", "...@h:1"),
            ("u@h:1", "...@h:1"),
            ("https://u:p@h/", "https://...@h/"),
            ("h:1", "h:1"),
            ("", "''"),
        ] {
            let shown = format!("downhaul http://h/a --proxy {shown}");
            assert_eq!(again(&["http://h/a", "--proxy", given]), Some(shown));
        }
        assert_eq!(
            again(&["http://h/a", "--proxy-user", "@login"]),
            Some("downhaul http://h/a --proxy-user @login".into())
        );
    }

    #[test]
    fn commands_can_be_pasted_and_hold_no_secrets() {
        assert_eq!(
            again(&["http://h/a?b&c", "it's", "-x", "4", "-d", "x y"]),
            Some(r"downhaul 'http://h/a?b&c' 'it'\''s' -d 'x y' -x 4".into())
        );
        assert_eq!(
            again(&["-i", "list", "--retries", "0", "-4"]),
            Some("downhaul -i list --retries 0 -4".into())
        );
        assert_eq!(
            again(&["http://h/a", "-H", "Authorization: Basic x", "-H", "Accept: a/b"]),
            Some("downhaul http://h/a -H 'Authorization: ...' -H 'Accept: a/b'".into())
        );
        assert_eq!(
            again(&["http://h/a", "--retry-on", "404,403", "--retry-on", "410", "-x1", "-x", "2"]),
            Some("downhaul http://h/a -x 2 --retry-on 404 --retry-on 403 --retry-on 410".into())
        );
        assert_eq!(
            again(&["http://h/a", "--header-for", "g:1", "Cookie: hush", "--header-for", "h", "DNT: 1"]),
            Some("downhaul http://h/a --header-for g:1 'Cookie: ...' --header-for h 'DNT: 1'".into())
        );
        assert_eq!(again(&["http://h/a", "-H", "@x y"]), Some("downhaul http://h/a -H '@x y'".into()));
        let digest = "0123456789abcdef".repeat(4);
        assert_eq!(
            again(&[&format!("http://h/a#sha256={digest}"), "-H", "@my headers"]),
            Some(format!("downhaul 'http://h/a#sha256={digest}' -H '@my headers'"))
        );
        assert_eq!(
            again(&["-i", "l", "http://h/a", "-i", "m", "--replace", "ftp://=https://"]),
            Some("downhaul http://h/a -i l -i m --replace ftp://=https://".into())
        );
        assert_eq!(again(&["repair", "l", "-j", "4"]), Some("downhaul repair l -j 4".into()));
        for unshown in [
            &["http://h/a?token=secret"][..],
            &["http://h/a,http://u:p@h/b"],
            &["h.example/a?sig=abc"],
            &["http://u:p@h:x/"],
            &["-i", "-"],
            &["repair", "-"],
            &["http://h/a", "--data", "@-"],
            &["http://h/a", "-u", "@-"],
            &["http://h/a", "-H", "@-"],
            &["http://h/a", "--header-for", "g", "@-"],
            &["http://h/a", "--bearer", "@-"],
            &["http://h/a", "-b", "@-"],
            &["http://h/a", "--cookies", "-"],
            &["http://h/a", "--checksum-file", "-"],
            &["-i", "https://h/list?sig=abc"],
            &["http://h/a", "--checksum-file", "https://h/SUMS?token=abc"],
            &["http://h/a", "-o", "a\u{1b}"],
            &["http://h/a", "-o", "/dev/fd/63"],
            &["http://h/a", "-H", "@/dev/fd/63"],
            &["-i", "/dev/stdin"],
            &["http://h/a#access_token=hush"],
        ] {
            assert_eq!(again(unshown), None, "{unshown:?}");
        }
    }
}
