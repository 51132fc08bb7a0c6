//! Handles SIGHUP: reads the configuration, the secret and the certificate again. Settings that can change
//! while the daemon runs are changed, and changes of other settings are reported.
//!
//! Invariant: the daemon continues if the file of the configuration, of the secret or of the certificate has
//! a mistake. It then keeps the old content of this file, and uses the new content of the other files.

use super::{listeners, options_of, secret};
use crate::args::{Args, Command, NoArgs};
use crate::run;
use downhaul_daemon::Daemon;
use downhaul_daemon::options::Options;
use downhaul_daemon::web::{Log, Token};
use downhaul_engine::tls;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

/// The settings that can change while the daemon runs.
const LIVE: [&str; 2] = ["parallel", "limit-rate"];

/// Handles SIGHUP for a running daemon.
pub(super) struct Reload<'a> {
    /// The words of the command line.
    pub(super) words: &'a [OsString],
    /// The arguments, with the last configuration that had no mistake. Of the values that changed since the
    /// start of the daemon, only those in [`LIVE`] are in effect.
    pub(super) args: Args,
    pub(super) daemon: Daemon,
    pub(super) log: Log,
    pub(super) token: Arc<Token>,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) tls: Option<tls::Server>,
}

impl Reload<'_> {
    /// Reads the configuration, the secret and the certificate again.
    pub(super) fn run(&mut self) {
        let configuration = self.configuration();
        if let Err(why) = &configuration {
            // The first line has the reason. The other lines explain how the command line is used.
            let why = why.lines().next().unwrap_or_default();
            self.report(&format!("the new configuration is not used: {why}"));
        }
        if let Some(path) = &self.secret_file {
            match secret::read(path) {
                Ok(secret) => self.token.replace(secret),
                Err(e) => self.report(&secret::unusable(path, &e)),
            }
        }
        if let Some(Err(e)) = self.tls.as_ref().map(tls::Server::reload) {
            self.report(&listeners::unusable(&e));
        }
        if configuration.is_ok() {
            self.log.add("the configuration was read again");
        }
    }

    /// Reads the configuration again, and changes the settings in [`LIVE`]. Reports the other settings that
    /// changed.
    ///
    /// # Errors
    /// Returns why the new configuration is not used, in words for the user.
    fn configuration(&mut self) -> Result<(), String> {
        let read = Args::read(self.words.to_vec()).map_err(|why| match why {
            NoArgs::Asked(text) | NoArgs::Usage(text) => text,
        })?;
        let Some(Command::Daemon(daemon)) = &read.command else { return Ok(()) };
        let new = read.serving(daemon);
        let others: Vec<String> = new.config.differences(&self.args.config);
        let others: Vec<&str> =
            others.iter().map(String::as_str).filter(|name| !LIVE.contains(name)).collect();
        if !others.is_empty() {
            self.report(&format!(
                "{} changed: restart the daemon to use the new configuration",
                others.join(", ")
            ));
        }
        let all = |args| options_of(args).map(|(given, configured)| given.above(&configured));
        let changed = changed(&all(&self.args)?, &all(&new)?);
        if changed.iter().next().is_some() {
            self.daemon.change(|state| state.given_anew(&changed)).map_err(|fault| fault.message)?;
        }
        self.args = new;
        Ok(())
    }

    fn report(&self, text: &str) {
        run::warn(text);
        self.log.add(text);
    }
}

/// Returns the options whose values differ, with their new values. An option that was removed from the
/// configuration gets its default value.
fn changed(old: &Options, new: &Options) -> Options {
    let mut changed = Options::default();
    let names = old.iter().chain(new.iter()).map(|(name, _)| name);
    for name in names.filter(|name| old.value(name) != new.value(name)) {
        // This call does not fail, because `new` contains only values that were checked.
        let _ = changed.set(name, new.value(name));
    }
    changed
}
