//! Writes the man page. It has the text of `--help`, the exit statuses and the environment variables.

use crate::args;
use crate::exit::TABLE;
use crate::settings::ENVIRONMENT;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// Returns the page in the roff format.
pub(crate) fn page() -> String {
    // clap_mangen leaves out the text of an option that the short help does not show.
    let man = Man::new(args::command().mut_args(|option| option.hide_short_help(false)));
    let mut page = Vec::new();
    let mut more = Roff::new();
    more.control("SH", ["EXIT STATUS"]);
    for (_, status, meaning) in TABLE {
        more.control("TP", []);
        more.text([bold(status.to_string())]);
        more.text([roman(meaning)]);
    }
    more.control("SH", ["ENVIRONMENT"]);
    for (name, meaning) in ENVIRONMENT {
        more.control("TP", []);
        more.text([bold(name)]);
        // The documentation is not installed beside the page, so the link to it is left out.
        more.text([roman(meaning.replace(" (see [config.md](config.md))", ""))]);
    }
    // Writing to a vector does not fail.
    let _ = man.render(&mut page).and_then(|()| more.to_writer(&mut page));
    String::from_utf8_lossy(&page).lines().map(with_command).collect()
}

/// Returns the line with its end. clap_mangen names a page for each command, such as `downhaul-plan(1)`. Such
/// pages do not exist, so the line names the command instead.
fn with_command(line: &str) -> String {
    let command = line.strip_prefix("downhaul\\-").and_then(|rest| rest.strip_suffix("(1)"));
    command.map_or_else(|| format!("{line}\n"), |command| format!("downhaul {command}\n"))
}
