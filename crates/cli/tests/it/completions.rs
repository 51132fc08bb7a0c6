//! Tests of the completion of options, values, files and commands. They run the real shells on a pseudo
//! terminal.
//!
//! A shell that is not installed is skipped. In CI, its test fails instead.

use crate::common::terminal::Terminal;
use crate::common::{Place, is_installed};
use portable_pty::CommandBuilder;

/// A shell without the user's own settings, and how to load the completions into it.
struct Shell {
    command: &'static [&'static str],
    load: &'static str,
}

const BASH: Shell = Shell {
    command: &["bash", "--norc", "--noprofile", "-i"],
    // Without the command `bind`, the possible words are listed only after a second Tab.
    load: "bind 'set show-all-if-ambiguous on'; source <(downhaul completions bash)",
};

const ZSH: Shell = Shell {
    command: &["zsh", "-f", "-i"],
    load: "autoload -Uz compinit; compinit -u -D; source <(downhaul completions zsh)",
};

const FISH: Shell = Shell {
    command: &["fish", "--no-config", "-i"],
    load: "function fish_prompt; end; downhaul completions fish | source",
};

/// Options with a fixed set of values, and their values.
const VALUES: [(&str, &[&str]); 3] = [
    ("--if-exists", &["check", "error", "overwrite", "rename", "skip", "update"]),
    ("--on-error", &["ask", "exit", "retry", "skip"]),
    ("--verify", &["auto", "find", "listed", "off", "require"]),
];

/// Typed text, and the line to which Tab completes it, or a part of this line.
const LINES: [(&str, &str); 41] = [
    ("downhaul --if-ex", "downhaul --if-exists"),
    ("downhaul --if-exists ov", "downhaul --if-exists overwrite"),
    ("downhaul --if-exists=ov", "downhaul --if-exists=overwrite"),
    ("downhaul -i li", "downhaul -i list.txt"),
    ("downhaul --input=li", "downhaul --input=list.txt"),
    ("downhaul -d bi", "downhaul -d bin/"),
    ("downhaul verif", "downhaul verify"),
    // After a URL.
    ("downhaul http://x/a --if-ex", "downhaul http://x/a --if-exists"),
    ("downhaul http://x/a --if-exists ov", "downhaul http://x/a --if-exists overwrite"),
    ("downhaul http://x/a --if-exists=ov", "downhaul http://x/a --if-exists=overwrite"),
    ("downhaul http://x/a -i li", "downhaul http://x/a -i list.txt"),
    ("downhaul http://x/a -q --if-exists overwrite http://y/b --tls-mi", "http://y/b --tls-min"),
    ("downhaul 'http://x/a?b=1&c=' --if-ex", "'http://x/a?b=1&c=' --if-exists"),
    ("downhaul http://x/a?b= --if-ex", "downhaul http://x/a?b= --if-exists"),
    ("A=1 downhaul http://x/a --if-ex", "A=1 downhaul http://x/a --if-exists"),
    ("true; downhaul http://x/a --if-ex", "true; downhaul http://x/a --if-exists"),
    // An option with two values, and options before a URL.
    ("downhaul --header-for x N:V --if-ex", "downhaul --header-for x N:V --if-exists"),
    ("downhaul --limit-rate 1M http://x/a --if-ex", "downhaul --limit-rate 1M http://x/a --if-exists"),
    // Commands, and what follows them.
    ("downhaul verify --qu", "downhaul verify --quiet"),
    ("downhaul verify li", "downhaul verify list.txt"),
    ("downhaul verify list.txt --qu", "downhaul verify list.txt --quiet"),
    ("downhaul verify list.txt -d bi", "downhaul verify list.txt -d bin/"),
    ("downhaul verify --output=bi", "downhaul verify --output=bin/"),
    ("downhaul repair list.txt --on-error=re", "downhaul repair list.txt --on-error=retry"),
    ("downhaul plan --offl", "downhaul plan --offline"),
    ("downhaul plan http://x/a --offl", "downhaul plan http://x/a --offline"),
    ("downhaul attach --dae", "downhaul attach --daemon"),
    ("downhaul daemon --list", "downhaul daemon --listen"),
    ("downhaul completions f", "downhaul completions fish"),
    ("downhaul import c", "downhaul import curl"),
    ("downhaul import curl 'curl http://x/a' --dry", "'curl http://x/a' --dry-run"),
    ("downhaul config i", "downhaul config init"),
    ("downhaul config --on-error re", "downhaul config --on-error retry"),
    ("downhaul config init --conf", "downhaul config init --config"),
    ("downhaul help da", "downhaul help daemon"),
    ("downhaul help config i", "downhaul help config init"),
    ("downhaul replay li", "downhaul replay list.txt"),
    ("downhaul list text --only o", "downhaul list text --only over"),
    ("downhaul add --mirrors http://x/a --pau", "downhaul add --mirrors http://x/a --paused"),
    ("downhaul remove 1f --fi", "downhaul remove 1f --files"),
    ("downhaul aria2c li", "downhaul aria2c list.txt"),
];

/// Typed text, words that Tab lists, and a word that it does not list.
const LISTS: [(&str, &[&str], &str); 6] = [
    ("downhaul verify -", &["--output", "--quiet", "-d", "-q"], "--pinned-pubkey"),
    ("downhaul verify list.txt -", &["--output", "--quiet", "-d", "-q"], "--pinned-pubkey"),
    ("downhaul completions ", &["bash", "elvish", "fish", "powershell", "zsh"], "verify"),
    ("downhaul http://x/a --if-exists=", &["check", "error", "overwrite", "rename"], "list.txt"),
    ("downhaul daemon --on-error ", &["retry", "skip"], "ask"),
    ("downhaul --verify=li", &["listed"], "list.txt"),
];

/// Commands that have the option `--help`.
const COMMANDS: [&str; 20] = [
    "verify",
    "repair",
    "plan",
    "replay",
    "import",
    "config",
    "config init",
    "daemon",
    "add",
    "list",
    "pause",
    "resume",
    "remove",
    "move",
    "watch",
    "logs",
    "attach",
    "completions",
    "man",
    "aria2c",
];

/// A running shell that has loaded the completions.
struct Session {
    terminal: Terminal,
    /// How often [`Session::complete`] was called.
    count: usize,
    _place: Place,
}

impl Shell {
    fn start(&self) -> Session {
        let place = Place::new();
        place.write("list.txt", "");
        place.write("bin/README", "");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_downhaul"), place.path().join("bin/downhaul"))
            .expect("links");
        let mut command = CommandBuilder::new(self.command[0]);
        command.args(&self.command[1..]);
        command.env("PATH", format!("{}/bin:/usr/bin:/bin", place.path().display()));
        // The shell gets no history, no saved state, and no settings of the user who runs the test.
        for variable in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "ZDOTDIR"] {
            command.env(variable, place.path());
        }
        let mut terminal = Terminal::start_command(&place, 150, 50, command);
        terminal.wait_for("a prompt", |text| !text.trim().is_empty());
        terminal.press(&format!("{}\n", self.load));
        Session { terminal, count: 0, _place: place }
    }

    /// Asserts that options, values, files and commands are completed.
    fn check(&self) {
        if !is_installed(self.command[0]) {
            return;
        }
        let mut session = self.start();
        for (typed, line) in LINES {
            session.assert_completes(typed, line);
        }
        for command in COMMANDS {
            for arguments in ["", " a", " a b"] {
                let line = format!("downhaul {command}{arguments} --help");
                session.assert_completes(&line[..line.len() - 1], &line);
            }
        }
        let values = VALUES.map(|(option, values)| (format!("downhaul {option} "), values, "list.txt"));
        let lists = LISTS.map(|(typed, words, other)| (typed.to_string(), words, other));
        for (typed, words, other) in values.into_iter().chain(lists) {
            let has_all = |text: &str| words.iter().all(|word| text.contains(word));
            let text = session.complete(&typed, "all values", has_all);
            assert!(!text.contains(other), "{typed} must not be followed by {other}:\n{text}");
        }
    }
}

impl Session {
    /// Types text into an empty line, presses Tab, and waits until `is` returns true for the screen.
    #[track_caller]
    fn complete(&mut self, typed: &str, what: &str, is: impl Fn(&str) -> bool) -> String {
        self.count += 1;
        // Ctrl-U removes the text that was typed before. The shell joins `rea` and `dy`, so only the output
        // of `echo`, and not the typed line, contains the word `ready`.
        self.terminal.press(&format!("\x15clear; echo rea''dy{}\n", self.count));
        self.terminal.wait_for_text(&format!("ready{}", self.count));
        self.terminal.press(&format!("{typed}\t"));
        self.terminal.wait_for(&format!("{what} after {typed:?}"), is)
    }

    /// Asserts that Tab completes the typed text to this line.
    #[track_caller]
    fn assert_completes(&mut self, typed: &str, line: &str) {
        self.complete(typed, line, |text| text.contains(line));
    }
}

#[test]
fn bash_completes_options_and_values() {
    BASH.check();
}

#[test]
fn zsh_completes_options_and_values() {
    ZSH.check();
}

#[test]
fn fish_completes_options_and_values() {
    FISH.check();
}
