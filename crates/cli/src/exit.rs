//! The exit statuses, in one table.
//!
//! Invariant: 0 means that all files are complete and passed their checks.

use downhaul_engine::Summary;
use downhaul_engine::core::error::Blame;
use std::process::ExitCode;

/// The ways in which a run can end, in the order of importance. If several of them apply, the first one is
/// used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// A usage error.
    Usage,
    /// The user chose to exit after a failure, or `--on-error exit` ended the run.
    Chosen,
    /// Ctrl-C stopped the run.
    Interrupted,
    /// SIGTERM or SIGHUP stopped the run, the parent process ended (`--stop-with-parent`), or a limit of the
    /// run was reached before all downloads had started.
    Terminated,
    /// A local file or folder could not be used, or an output of the run could not be written.
    Disk,
    /// A file failed verification.
    Mismatch,
    /// A file or a list could not be downloaded, another run was working on a file, or the program that reads
    /// standard output ended too early. The status is the same if the user chose to skip the file after its
    /// failure.
    Failed,
    /// All files are complete.
    Success,
}

/// The exit statuses and their meanings. `docs/exit.md` and the man page are made from this table.
pub const TABLE: [(Exit, u8, &str); 8] = [
    (Exit::Success, 0, "all files are complete and passed their checks"),
    (
        Exit::Failed,
        1,
        "a file or a list could not be downloaded, another run was working on a file, or the program that reads \
         standard output ended too early. The status is the same if you chose to skip the file after its failure",
    ),
    (
        Exit::Usage,
        2,
        "usage error: the command line, the configuration or a list has a mistake. Nothing was downloaded, unless \
         the mistake is far down in a very long list",
    ),
    (Exit::Mismatch, 3, "a file failed verification"),
    (Exit::Chosen, 4, "you chose to exit, or `--on-error exit` ended the run"),
    (
        Exit::Disk,
        5,
        "a local file or folder could not be used, for example because the disk is full, or an output of the run, \
         such as standard output or the list of `--failed`, could not be written",
    ),
    (
        Exit::Terminated,
        75,
        "SIGTERM, SIGHUP or the end of the parent process (`--stop-with-parent`) stopped the run, or the limit of \
         `--max-total` or `--deadline` was reached before all downloads had started. To resume, run the same \
         command again (without a `--deadline` that is a date in the past)",
    ),
    (Exit::Interrupted, 130, "Ctrl-C stopped the run. To resume, run the same command again"),
];

impl Exit {
    /// Returns the exit status.
    pub fn status(self) -> u8 {
        TABLE.iter().find(|(exit, _, _)| *exit == self).map_or(1, |(_, status, _)| *status)
    }

    /// Returns how a run ends if one of its failures has this blame.
    pub(crate) fn of_blame(blame: Blame) -> Exit {
        match blame {
            Blame::Disk => Exit::Disk,
            Blame::Content => Exit::Mismatch,
            Blame::Remote | Blame::Request | Blame::Stopped => Exit::Failed,
        }
    }

    /// Returns how a run ended, as far as its summary shows this. The summary has no information about
    /// signals. If the program that reads the output of `-o -` closed the pipe, the result is
    /// [`Exit::Failed`]. Otherwise, the result depends on the failures, on the files that were left to
    /// another run, on the limits of the run, and on a stop after a failure.
    pub fn of(summary: &Summary) -> Exit {
        if summary.output_closed {
            return Exit::Failed;
        }
        // A file that was left to another run may be incomplete.
        let without_failures = if summary.left > 0 { Exit::Failed } else { Exit::Success };
        let failures = summary.blames.iter().copied().map(Exit::of_blame).min().unwrap_or(without_failures);
        let failures = if summary.reached.is_some() { failures.min(Exit::Terminated) } else { failures };
        if summary.stopped_on_error { failures.min(Exit::Chosen) } else { failures }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.status())
    }
}

/// Ends the program immediately, without waiting for the run.
#[expect(clippy::disallowed_methods, reason = "the only place that ends the program at once")]
pub(crate) fn at_once(exit: Exit) -> ! {
    std::process::exit(i32::from(exit.status()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_important_end_decides_the_exit_status() {
        let all = |blames: &[Blame]| {
            let mut summary = Summary::default();
            summary.blames = blames.to_vec();
            Exit::of(&summary).status()
        };
        assert_eq!(all(&[]), 0);
        assert_eq!(all(&[Blame::Remote]), 1);
        assert_eq!(all(&[Blame::Remote, Blame::Content]), 3);
        assert_eq!(all(&[Blame::Content, Blame::Disk, Blame::Remote]), 5);
        let order: Vec<u8> = {
            let mut exits = TABLE.map(|(exit, _, _)| exit);
            exits.sort_unstable();
            exits.iter().map(|exit| exit.status()).collect()
        };
        assert_eq!(order, [2, 4, 130, 75, 5, 3, 1, 0]);
    }
}
