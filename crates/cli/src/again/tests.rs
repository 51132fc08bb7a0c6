//! Tests that the command that resumes has the same arguments as the given command, but no secrets.

use super::*;
use crate::args::{Args, Header};
use clap::FromArgMatches;
use downhaul_engine::core::secret::Secret;

fn parsed<S: AsRef<str>>(words: &[S]) -> Result<(String, Again), clap::Error> {
    let mut command = crate::args::command();
    let matches = command.try_get_matches_from_mut(words.iter().map(AsRef::as_ref))?;
    let args = Args::from_arg_matches(&matches)?;
    // Debug output hides the values of headers, so they are added to it here.
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

/// Splits a command like a POSIX shell, but knows only the syntax that [`quoted`] uses.
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
        "{number}.warc.gz",
    ];
    for under in ["", "repair"] {
        let mut command = crate::args::command();
        command.build();
        let command = if under.is_empty() { &command } else { command.find_subcommand(under).expect(under) };
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
