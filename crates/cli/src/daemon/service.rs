//! Tells the service manager (systemd) the state of the daemon, as sd_notify(3) describes it.
//!
//! Invariant: without a service manager, nothing is sent, and nothing else changes.

use crate::platform;
use crate::settings;
use downhaul_daemon::Daemon;
use std::time::Duration;

/// The service manager that started the program, if there is one.
#[derive(Clone)]
pub(super) struct Service {
    /// The path of the manager's socket.
    socket: Option<String>,
    /// The longest time between two messages that the manager allows, or `None` if it expects no regular
    /// messages.
    watchdog: Option<Duration>,
}

impl Service {
    /// Returns the service manager that the environment names.
    pub(super) fn of_environment() -> Service {
        let is_ours = |process: String| process.parse() == Ok(std::process::id());
        let micros = settings::variable("WATCHDOG_USEC").and_then(|micros| micros.parse().ok());
        let micros = micros.filter(|_| settings::variable("WATCHDOG_PID").is_none_or(is_ours));
        Service {
            socket: settings::variable("NOTIFY_SOCKET"),
            watchdog: micros.filter(|micros| *micros > 0).map(Duration::from_micros),
        }
    }

    /// Tells the manager that clients are served.
    pub(super) fn ready(&self) {
        self.tell("READY=1\nSTATUS=Serving clients");
    }

    /// Tells the manager that the daemon begins to read its configuration again. When this is done, the
    /// caller must call [`Service::ready`].
    pub(super) fn reloading(&self) {
        let now = platform::monotonic_micros();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=Reading the configuration"));
    }

    /// Tells the manager that the daemon is about to end.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Saving the queue");
    }

    /// Sends the regular messages that the manager expects, as long as the queue of the daemon can be read.
    pub(super) async fn stay_alive(self, daemon: Daemon) {
        let Some(within) = self.watchdog else { return };
        let mut tick = tokio::time::interval(within / 2);
        loop {
            tick.tick().await;
            // If the queue stays locked, no further message is sent, and the manager restarts the daemon.
            drop(daemon.state());
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, text: &str) {
        // An error is ignored, because the daemon must also run if the manager does not listen.
        let _ = self.socket.as_ref().map(|socket| platform::send_datagram(socket, text));
    }
}
