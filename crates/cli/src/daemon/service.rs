//! Tells the service manager (systemd) what the daemon does, as sd_notify(3) describes it.
//!
//! Invariant: without a service manager, nothing is sent, and nothing else changes.

use crate::platform;
use crate::settings;
use downhaul_daemon::Daemon;
use std::time::Duration;

/// The service manager that started the program, if one did.
#[derive(Clone)]
pub(super) struct Service {
    /// The path of its socket.
    socket: Option<String>,
    /// The time within which it expects a sign of life.
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

    /// Says that clients are served.
    pub(super) fn ready(&self) {
        self.tell("READY=1\nSTATUS=Serving clients");
    }

    /// Says that the configuration is read again. [`Service::ready`] follows.
    pub(super) fn reloading(&self) {
        let now = platform::monotonic_micros();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=Reading the configuration"));
    }

    /// Says that the daemon ends.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Saving the queue");
    }

    /// Gives signs of life, as long as the queue can be read.
    pub(super) async fn stay_alive(self, daemon: Daemon) {
        let Some(within) = self.watchdog else { return };
        let mut tick = tokio::time::interval(within / 2);
        loop {
            tick.tick().await;
            // A queue that stays locked is no life. The manager then starts the daemon again.
            drop(daemon.state());
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, text: &str) {
        // A manager that does not listen must not stop the daemon.
        let _ = self.socket.as_ref().map(|socket| platform::send_datagram(socket, text));
    }
}
