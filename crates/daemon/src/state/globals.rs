//! [`Globals`]: the options of the daemon.
//!
//! Invariant: options of the command line have precedence over options that clients have set in earlier runs.
//! There is one exception: a folder (`dir`) that clients have chosen has precedence over the command line, as
//! long as the folder is allowed. Options that clients have set have precedence over options of the
//! configuration. Only the options that clients have set are stored. A value that a client sets in this run
//! has precedence over all others, until the daemon reads its configuration again and the value of this
//! option in the configuration has changed.
//!
//! Most settings of the library are not options here: `downhaul daemon` passes only `-j` and `--limit-rate`
//! as options, and `downhaul aria2c` passes the options of aria2.

use crate::folders::Folders;
use crate::options::Options;

pub(super) struct Globals {
    /// The options of the command line and of the configuration that affect downloads.
    given: Options,
    /// The options that clients have set, and that are in force in this run.
    set: Options,
    /// The options that clients have set, and that are not in force, because an option of the command line
    /// has replaced them, or because the folder is no longer allowed. They are still stored.
    replaced: Options,
    /// All options that are in force in this run.
    all: Options,
}

impl Globals {
    /// Returns the options at the start of the daemon: those of the command line (`given`), those of the
    /// configuration (`configured`), and those that clients have set in earlier runs (`stored`).
    pub(super) fn new(given: &Options, configured: &Options, stored: Options, folders: &Folders) -> Globals {
        let explicit = given.without(&["dir"]);
        let mut given = given.above(configured);
        if given.get("dir").is_none() {
            // `dir` may have any text as its value, so setting it does not fail.
            let _ = given.set("dir", &folders.default().to_string_lossy());
        }
        // A folder that clients have chosen is used as long as the user allows it.
        let is_allowed = stored.get("dir").is_none_or(|folder| folders.allow(folder).is_ok());
        // The login of a proxy that the command line replaces is not sent to the new proxy.
        let dropped = stored.outside(&explicit.above(&stored));
        let set = stored.outside(&explicit).outside(&dropped);
        let set = if is_allowed { set } else { set.without(&["dir"]) };
        let all = set.above(&given);
        Globals { given: given.of_downloads(), replaced: stored.outside(&set), set, all }
    }

    pub(super) fn all(&self) -> &Options {
        &self.all
    }

    /// Returns the options of the command line and of the configuration that affect downloads. The own
    /// options of a download have precedence over them.
    pub(super) fn given(&self) -> &Options {
        &self.given
    }

    /// Returns the options that clients have set and that downloads inherit.
    pub(super) fn inherited(&self) -> Options {
        self.set.of_downloads()
    }

    /// Returns the options after a change by a client.
    pub(super) fn changed(&self, change: &Options) -> Globals {
        let all = change.above(&self.all);
        // If a client replaces a proxy, the login that clients have set for this proxy is dropped, even if
        // the command line or the configuration set the proxy.
        let dropped = self.all.outside(&all);
        Globals {
            given: self.given.clone(),
            set: change.above(&self.set.outside(&dropped)),
            replaced: self.replaced.outside(change),
            all,
        }
    }

    /// Returns the options after the daemon has read its configuration again. `change` has the options whose
    /// values in the configuration have changed. Values that clients have set for these options are
    /// forgotten.
    pub(super) fn given_anew(&self, change: &Options) -> Globals {
        Globals {
            given: change.of_downloads().above(&self.given),
            set: self.set.outside(change),
            replaced: self.replaced.outside(change),
            all: change.above(&self.all),
        }
    }

    pub(super) fn stored(&self) -> Options {
        self.set.above(&self.replaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::options;
    use std::path::Path;

    #[test]
    fn the_command_line_has_precedence_and_the_configuration_has_not() {
        let folders = Folders::everywhere(Path::new("/d"));
        let configured = options(&[("timeout", "7"), ("retry-wait", "2")]);
        let stored = options(&[("split", "4"), ("timeout", "9")]);
        let globals = Globals::new(&options(&[("split", "3")]), &configured, stored, &folders);
        assert_eq!(globals.all().value("retry-wait"), "2");
        assert_eq!((globals.all().value("split"), globals.all().value("timeout")), ("3", "9"));
        assert_eq!(globals.stored(), options(&[("split", "4"), ("timeout", "9")]));
        assert_eq!((globals.inherited(), globals.given().value("dir")), (options(&[("timeout", "9")]), "/d"));
        let changed = globals.changed(&options(&[("split", "5")]));
        assert_eq!((changed.all().value("split"), changed.stored().value("split")), ("5", "5"));
    }

    #[test]
    fn a_change_of_the_configuration_replaces_the_values_of_clients() {
        let folders = Folders::everywhere(Path::new("/d"));
        let stored = options(&[("timeout", "9"), ("retry-wait", "2")]);
        let start = Globals::new(&options(&[]), &options(&[("split", "3")]), stored, &folders);
        let client = start.changed(&options(&[("split", "5")]));
        let anew = client.given_anew(&options(&[("split", "6"), ("timeout", "8")]));
        assert_eq!((anew.all().value("split"), anew.all().value("timeout")), ("6", "8"));
        assert_eq!((anew.given().value("split"), anew.inherited()), ("6", options(&[("retry-wait", "2")])));
        assert_eq!(anew.stored(), options(&[("retry-wait", "2")]));
    }
}
