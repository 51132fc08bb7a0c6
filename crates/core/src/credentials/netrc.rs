//! Reads netrc files: the logins of a person for many machines, as ftp, curl, wget and git read them.
//!
//! Invariant: an error names a line and contains none of its text.

use crate::secret::{Login, Secret};
use std::fmt;
use url::Host;

/// The longest netrc file in bytes. Real ones have some KiB.
pub const LONGEST: usize = 1024 * 1024;

/// The logins of a netrc file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Netrc {
    /// The path of the file, for people.
    pub path: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Entry {
    /// `None` is the default.
    machine: Option<Host<String>>,
    user: Option<String>,
    password: Option<Secret>,
}

/// What is wrong with a netrc file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mistake {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl Netrc {
    /// Reads the text of a netrc file.
    ///
    /// # Errors
    /// The first line that cannot be understood.
    pub fn read(text: &str, path: &str) -> Result<Netrc, Mistake> {
        let mut words = Words { rest: text.trim_start_matches('\u{feff}'), line: 1 };
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(keyword) = words.keyword()? {
            let mistake = |why| Mistake { line: words.line, why };
            match keyword.as_str() {
                "default" => entries.push(Entry::default()),
                "macdef" => words.skip_macro(),
                "machine" => {
                    let machine = host(&words.value()?).ok_or(Mistake { line: words.line, why: NO_HOST })?;
                    entries.push(Entry { machine: Some(machine), ..Entry::default() });
                }
                "login" | "user" | "password" | "passwd" | "account" => {
                    let entry =
                        entries.last_mut().ok_or(mistake("it must come after a machine or default"))?;
                    let value = words.value()?;
                    if value.chars().any(char::is_control) {
                        return Err(Mistake { line: words.line, why: "it contains control characters" });
                    }
                    match keyword.as_str() {
                        "login" | "user" => entry.user = Some(value),
                        "account" => {}
                        _ => entry.password = Some(Secret::new(value)),
                    }
                }
                _ => {
                    return Err(mistake("machine, default, login, password, account or macdef must be here"));
                }
            }
        }
        Ok(Netrc { path: path.into(), entries })
    }

    /// Returns the login for a host, and where in the file it is, for people. The first that fits counts.
    /// With a `user`, it must be that of this user. The default is for hosts that the person gave, and
    /// `is_given` says that this is one: a redirect must not lead it to any host in the world.
    pub fn login(&self, host: &Host<&str>, user: Option<&str>, is_given: bool) -> Option<(Login, String)> {
        let fits = |entry: &&Entry| {
            let is_machine = match &entry.machine {
                Some(machine) => is_same(machine, host),
                None => is_given,
            };
            is_machine && user.is_none_or(|user| entry.user.as_deref() == Some(user))
        };
        let entry = self.entries.iter().find(fits)?;
        if entry.user.is_none() && entry.password.is_none() {
            return None;
        }
        let login = Login {
            user: entry.user.clone().unwrap_or_default(),
            password: entry.password.clone().unwrap_or_else(|| Secret::new("")),
        };
        let place = entry.machine.as_ref().map_or("default".into(), |machine| format!("machine {machine}"));
        Some((login, format!("{place} in {}", self.path)))
    }
}

const NO_HOST: &str = "what follows machine is not a host";

/// Reads the name of a machine as the host of a URL is read, so that both compare.
fn host(text: &str) -> Option<Host<String>> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match bare.parse() {
        Ok(address) => Some(Host::Ipv6(address)),
        Err(_) => Host::parse(text).ok(),
    }
}

fn is_same(machine: &Host<String>, host: &Host<&str>) -> bool {
    match (machine, host) {
        (Host::Domain(one), Host::Domain(other)) => one == other,
        (Host::Ipv4(one), Host::Ipv4(other)) => one == other,
        (Host::Ipv6(one), Host::Ipv6(other)) => one == other,
        _ => false,
    }
}

/// The words of a file, which line ends do not matter to.
struct Words<'t> {
    rest: &'t str,
    line: usize,
}

impl Words<'_> {
    /// Returns the next word where a keyword or a comment may be.
    fn keyword(&mut self) -> Result<Option<String>, Mistake> {
        loop {
            self.skip_blanks();
            if self.rest.is_empty() {
                return Ok(None);
            }
            if !self.rest.starts_with('#') {
                return self.word().map(Some);
            }
            self.skip_line();
        }
    }

    /// Returns the value after a keyword. It may begin with `#`.
    fn value(&mut self) -> Result<String, Mistake> {
        let line = self.line;
        self.skip_blanks();
        if self.rest.is_empty() {
            return Err(Mistake { line, why: "a value is missing at its end" });
        }
        self.word()
    }

    /// Reads a word, or a text in quotes, in which a backslash takes the next character as it is.
    fn word(&mut self) -> Result<String, Mistake> {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
            let (word, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Ok(word.into());
        };
        let mut word = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &quoted[at + 1..];
                    return Ok(word);
                }
                '\n' | '\r' => break,
                '\\' => match chars.next() {
                    Some((_, '\n' | '\r')) | None => break,
                    Some((_, c)) => word.push(c),
                },
                c => word.push(c),
            }
        }
        Err(Mistake { line: self.line, why: "a quote is not closed" })
    }

    /// Leaves out a macro, which ends with an empty line.
    fn skip_macro(&mut self) {
        self.skip_line();
        while !self.rest.is_empty() {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            let is_last = self.rest[..end].trim().is_empty();
            self.skip_line();
            if is_last {
                return;
            }
        }
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest.trim_start();
        let skipped = &self.rest[..self.rest.len() - rest.len()];
        self.line += skipped.matches('\n').count();
        self.rest = rest;
    }

    fn skip_line(&mut self) {
        match self.rest.find('\n') {
            Some(end) => {
                self.line += 1;
                self.rest = &self.rest[end + 1..];
            }
            None => self.rest = "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Netrc {
        Netrc::read(text, "netrc").expect("it is right")
    }

    fn login(netrc: &Netrc, host: &str, user: Option<&str>, is_given: bool) -> Option<String> {
        let url = url::Url::parse(&format!("http://{host}/")).expect("a URL");
        let (login, place) = netrc.login(&url.host().expect("a host"), user, is_given)?;
        Some(format!("{}:{} {place}", login.user, login.password.expose()))
    }

    #[test]
    fn logins_are_found_in_every_form() {
        let netrc = read(concat!(
            "# a comment with machine h\n",
            "machine h.example login ann password secret\r\n",
            "machine\tOther.Example\n\tlogin bob\n\taccount x\n\tpassword #pw # another comment\n",
            "macdef init\ncd /pub\nmachine fake login x password y\n\n",
            "machine quoted login \"a b\" password \"q\\\"u\\\\o te\"\n",
            "machine 127.0.0.1 user ip passwd v4\nmachine [::1] login ip password v6\n",
            "machine b\u{fc}cher.example login ida password \"\"\n",
            "machine only.user login me\nmachine only.password password me\nmachine nothing\n",
            "machine h.example login late password late\n",
            "default login anonymous password me@h"
        ));
        let of = |host: &str| login(&netrc, host, None, false);
        let said = |text: &str| Some(format!("{text} in netrc"));
        assert_eq!(of("h.example"), said("ann:secret machine h.example"));
        assert_eq!(of("H.EXAMPLE"), said("ann:secret machine h.example"));
        assert_eq!(of("other.example"), said("bob:#pw machine other.example"));
        assert_eq!(of("quoted"), said("a b:q\"u\\o te machine quoted"));
        assert_eq!(of("127.0.0.1"), said("ip:v4 machine 127.0.0.1"));
        assert_eq!(of("[0:0::1]"), said("ip:v6 machine [::1]"));
        assert_eq!(of("xn--bcher-kva.example"), said("ida: machine xn--bcher-kva.example"));
        assert_eq!(of("only.user"), said("me: machine only.user"));
        assert_eq!(of("only.password"), said(":me machine only.password"));
        for other in ["fake", "nothing", "sub.h.example", "h.example.", "example", "127.0.0.2"] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(login(&netrc, "else", None, true), said("anonymous:me@h default"));
        assert_eq!(login(&netrc, "h.example", Some("late"), true), said("late:late machine h.example"));
        assert_eq!(login(&netrc, "h.example", Some("eve"), true), None);
    }

    #[test]
    fn mistakes_name_their_line_and_no_text() {
        for (text, line) in [
            ("machine h\nlogin a\nhush hush\n", 3),
            ("login hush\n", 1),
            ("machine h\n\nlogin \"hush\nx\"", 3),
            ("machine h login", 1),
            ("machine\n\n", 1),
            ("machine h password \"hu\u{7}sh\"", 1),
            ("machine hu/sh login a", 1),
            ("# a\nmacdef x\n a\n\nhush", 5),
        ] {
            let mistake = Netrc::read(text, "netrc").expect_err(text);
            assert_eq!(mistake.line, line, "{text:?}: {mistake}");
            assert!(!mistake.to_string().contains("hush"), "{mistake}");
        }
        assert_eq!(read(""), read("# nothing\n"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "(machine|default|login|macdef|password|[ \"\\\\#\n]|h){0,30}") {
            let _ = Netrc::read(&text, "netrc");
        }
    }
}
