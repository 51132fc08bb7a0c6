//! Writes the man page. It has the text of `--help`, the exit statuses and the environment variables.

use crate::args;
use crate::exit::TABLE;
use crate::settings::ENVIRONMENT;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// Returns the page in the roff format.
pub(crate) fn page() -> String {
    let man = Man::new(args::command());
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
        more.text([roman(meaning)]);
    }
    // Writing to a vector does not fail.
    let _ = man.render(&mut page).and_then(|()| more.to_writer(&mut page));
    String::from_utf8_lossy(&page).into_owned()
}
