//! Reads netrc files. Such a file has the user names and passwords of a person for many machines. ftp, curl,
//! wget and git read these files too.
//!
//! Invariant: an error names the line of the mistake, and contains no text of this line.

use super::Mistake;
use crate::secret::{Login, Secret};
use url::Host;

/// The longest netrc file that is read, in bytes. Real files have some KiB.
pub const LONGEST: usize = 1024 * 1024;

/// The logins of a netrc file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Netrc {
    /// The path of the file, for messages.
    pub path: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Entry {
    /// The host of the entry. `None` means that this is the entry `default`.
    machine: Option<Host<String>>,
    user: Option<String>,
    password: Option<Secret>,
    /// True if a part of the entry cannot be understood. The entry then gives no login for its host.
    is_wrong: bool,
}

impl Netrc {
    /// Reads the text of a netrc file.
    ///
    /// # Errors
    /// Returns the first mistake.
    pub fn read(text: &str, path: &str) -> Result<Netrc, Mistake> {
        let (netrc, mistakes) = Netrc::read_what_is_right(text, path);
        mistakes.into_iter().next().map_or(Ok(netrc), Err)
    }

    /// Reads the text of a netrc file. Returns its logins and its mistakes. An entry with a mistake gives no
    /// login. An unknown word is such a mistake, because the words after it may belong to another machine.
    pub fn read_what_is_right(text: &str, path: &str) -> (Netrc, Vec<Mistake>) {
        let words = Words { rest: text.trim_start_matches('\u{feff}'), line: 1 };
        let mut reader = Reader { words, entries: Vec::new(), place: Place::Outside, mistakes: Vec::new() };
        while reader.next() {}
        (Netrc { path: path.into(), entries: reader.entries }, reader.mistakes)
    }

    /// Returns the login for a host, and, for messages, its place in the file. The first entry that matches
    /// is used. If this entry has a mistake, or neither a user name nor a password, there is no login. If
    /// `user` is not `None`, only an entry with this user name matches. `is_given` is true if the user of the
    /// program named this host, for example in a URL. The entry `default` is used only for such a host.
    /// Without this rule, a redirect could send the login of `default` to any host.
    pub fn login(&self, host: &Host<&str>, user: Option<&str>, is_given: bool) -> Option<(Login, String)> {
        let fits = |entry: &&Entry| {
            let is_machine = match &entry.machine {
                Some(machine) => is_same(machine, host),
                None => is_given,
            };
            is_machine && user.is_none_or(|user| entry.user.as_deref() == Some(user))
        };
        let entry = self.entries.iter().find(fits)?;
        if entry.is_wrong || (entry.user.is_none() && entry.password.is_none()) {
            return None;
        }
        let login = Login {
            user: entry.user.clone().unwrap_or_default(),
            password: entry.password.clone().unwrap_or_else(|| Secret::new("")),
        };
        let place = entry.machine.as_ref().map_or("default".into(), |machine| format!("machine {machine}"));
        Some((login, format!("{place} in {}", self.path)))
    }

    /// Returns the login of the machine with this name. The entry `default` is not used.
    pub fn login_of(&self, machine: &str) -> Option<Login> {
        let login = match host(machine)? {
            Host::Domain(name) => self.login(&Host::Domain(&name), None, false),
            Host::Ipv4(address) => self.login(&Host::Ipv4(address), None, false),
            Host::Ipv6(address) => self.login(&Host::Ipv6(address), None, false),
        };
        login.map(|(login, _)| login)
    }
}

const NO_HOST: &str = "the word after machine is not a host";
const UNKNOWN: &str = "this line has an unknown word. The known words are machine, port, default, login, user, password, passwd, account and macdef";

/// Reads the name of a machine in the same way as the host of a URL, so that the two can be compared.
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

/// The part of the file that the next word belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The text before the first entry.
    Outside,
    /// The last entry that was read.
    Entry,
    /// An entry that is left out, because it has no usable host.
    LeftOut,
}

struct Reader<'t> {
    words: Words<'t>,
    entries: Vec<Entry>,
    place: Place,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    /// Reads a keyword and its value. Returns false if there is no further keyword in the file.
    fn next(&mut self) -> bool {
        let read = match self.words.keyword() {
            Ok(None) => return false,
            Ok(Some(keyword)) => self.after(&keyword.to_ascii_lowercase()),
            Err(mistake) => Err(mistake),
        };
        if let Err(mistake) = read {
            self.mistakes.push(mistake);
            if let Some(entry) = self.entries.last_mut().filter(|_| self.place == Place::Entry) {
                entry.is_wrong = true;
            }
        }
        true
    }

    /// Reads the text that follows a keyword.
    fn after(&mut self, keyword: &str) -> Result<(), Mistake> {
        let line = self.words.line;
        match keyword {
            "default" => self.begin(None),
            "macdef" => self.words.skip_macro(),
            "machine" => {
                self.place = Place::LeftOut;
                let name = self.words.value()?;
                let machine = host(&name).ok_or(Mistake { line: self.words.line, why: NO_HOST })?;
                self.begin(Some(machine));
            }
            "login" | "user" | "password" | "passwd" | "account" | "port" => {
                let value = self.words.value()?;
                if self.place == Place::Outside {
                    return Err(Mistake {
                        line,
                        why: "a login, password, account or port must follow a machine or default",
                    });
                }
                let mistake = |why| Err(Mistake { line: self.words.line, why });
                if value.contains(char::REPLACEMENT_CHARACTER) {
                    return mistake("the value is not UTF-8");
                }
                if value.chars().any(char::is_control) {
                    return mistake("the value contains control characters");
                }
                let Some(entry) = self.entries.last_mut().filter(|_| self.place == Place::Entry) else {
                    return Ok(());
                };
                match keyword {
                    "login" | "user" => entry.user = Some(value),
                    "password" | "passwd" => entry.password = Some(Secret::new(value)),
                    _ => {}
                }
            }
            // This entry is left out, and its mistake is recorded already.
            _ if self.place == Place::LeftOut => {}
            _ => return Err(Mistake { line, why: UNKNOWN }),
        }
        Ok(())
    }

    fn begin(&mut self, machine: Option<Host<String>>) {
        self.entries.push(Entry { machine, ..Entry::default() });
        self.place = Place::Entry;
    }
}

/// The words of a file that are not read yet. A line end separates words, as a blank does.
struct Words<'t> {
    rest: &'t str,
    line: usize,
}

impl Words<'_> {
    /// Returns the next word at a place where a keyword or a comment may be. Comments are skipped. Returns
    /// `None` at the end of the file.
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
            return Err(Mistake { line, why: "the value after the last word of the file is missing" });
        }
        // On a later line, the word `machine` begins the next entry, and is not a value. If it were read as
        // the value, the login of the next machine would be taken for the login of this machine.
        let next = self.rest.split_whitespace().next().unwrap_or_default();
        if self.line > line && next.eq_ignore_ascii_case("machine") {
            return Err(Mistake { line, why: "the value after the last word of this line is missing" });
        }
        self.word()
    }

    /// Reads a word, or a text in quotes. In quotes, the character after a backslash has no special meaning.
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
        let line = self.line;
        self.skip_line();
        Err(Mistake { line, why: "a quote is not closed" })
    }

    /// Skips a macro. A macro ends with an empty line.
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
        Netrc::read(text, "netrc").expect("the file is right")
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

    #[test]
    fn entries_with_mistakes_are_left_out_and_the_others_are_used() {
        let good = "machine h login ann password x\n";
        for (bad, mistakes) in [
            ("machine other.host:8080 login a password b\n", 1),
            ("machine https://git.host/x login a password b\n", 1),
            ("machine other login a port 993 password b\n", 0),
            ("machine other login a unknown word password b\n", 2),
            ("machine other login\n", 1),
            ("machine other login a password\n", 1),
            ("machine\n", 1),
            ("machine other login a password \u{fffd}\n", 1),
            ("machine other login \"a\n", 1),
            ("login a password b\n", 2),
            ("\"\n", 1),
        ] {
            // Words that follow an entry belong to this entry.
            let behind = if bad.starts_with("machine") { bad } else { "" };
            for (text, mistakes) in [
                (format!("{bad}{good}"), mistakes),
                (format!("{good}{behind}"), mistakes * behind.len().min(1)),
            ] {
                let (netrc, found) = Netrc::read_what_is_right(&text, "netrc");
                assert_eq!(found.len(), mistakes, "{text}: {found:?}");
                assert_eq!(login(&netrc, "h", None, true), Some("ann:x machine h in netrc".into()), "{text}");
                let is_left_out = found.is_empty() || login(&netrc, "other", None, true).is_none();
                assert!(is_left_out, "{text}");
            }
        }
        let (netrc, _) = Netrc::read_what_is_right(
            "MACHINE h LOGIN ann PASSWORD \"x\ndefault login a password b",
            "netrc",
        );
        assert_eq!(
            login(&netrc, "h", None, true),
            None,
            "half a login is not used, and neither is the default"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "(machine|default|login|macdef|password|[ \"\\\\#\n]|h){0,30}") {
            let _ = Netrc::read(&text, "netrc");
        }
    }
}
