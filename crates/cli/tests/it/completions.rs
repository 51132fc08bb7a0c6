//! Tests of the completion of options, values, files and commands. They run the real shells on a pseudo
//! terminal.
//!
//! A shell that is not installed is skipped, except in CI.

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
    // Without the first setting, the possible words are listed only after a second Tab.
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

impl Shell {
    /// Types text into a new shell that has loaded the completions, presses Tab, and waits until `is` returns
    /// true for the screen.
    #[track_caller]
    fn complete(&self, typed: &str, what: &str, is: impl Fn(&str) -> bool) -> String {
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
        // The shell joins the two parts of the word, so the typed line does not contain the word that is
        // waited for.
        terminal.press(&format!("{}; clear; echo lo''aded\n", self.load));
        terminal.wait_for_text("loaded");
        terminal.press(&format!("{typed}\t"));
        terminal.wait_for(what, is)
    }

    /// Asserts that Tab completes the typed text to this line.
    #[track_caller]
    fn assert_completes(&self, typed: &str, line: &str) {
        self.complete(typed, line, |text| text.contains(line));
    }

    /// Asserts that options, values, files and commands are completed.
    fn check(&self) {
        if !is_installed(self.command[0]) {
            return;
        }
        self.assert_completes("downhaul --if-ex", "downhaul --if-exists");
        self.assert_completes("downhaul --if-exists ov", "downhaul --if-exists overwrite");
        self.assert_completes("downhaul -i li", "downhaul -i list.txt");
        self.assert_completes("downhaul verif", "downhaul verify");
        for (option, values) in VALUES {
            let has_all = |text: &str| values.iter().all(|value| text.contains(value));
            let text = self.complete(&format!("downhaul {option} "), "all values", has_all);
            assert!(!text.contains("list.txt"), "{option} takes no file:\n{text}");
        }
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
