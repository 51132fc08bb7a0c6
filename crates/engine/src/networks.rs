//! Keeps the networks of a session. A network is a way to reach servers, with settings of its own, such as
//! its proxies and time limits. Each job uses one network.
//!
//! Invariant: network 0 has the settings of the session. Networks are never removed. The program replaces a
//! network only if no job uses it.

use crate::checksum_discovery::ChecksumDiscovery;
use crate::source::Sources;
use downhaul_core::settings::Settings;
use std::sync::{Arc, PoisonError, RwLock};

#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) settings: Arc<Settings>,
    pub(crate) sources: Arc<Sources>,
    /// Fetches checksum lists and signatures over this network, in the same way as files.
    pub(crate) checksums: Arc<ChecksumDiscovery>,
}

impl Network {
    fn new(settings: Arc<Settings>, sources: Sources) -> Network {
        let checksums = Arc::new(ChecksumDiscovery::new(settings.clone(), sources.clone()));
        Network { settings, sources: Arc::new(sources), checksums }
    }
}

pub(crate) struct Networks {
    own: Network,
    /// The networks that were added. The first of these has the number 1.
    added: RwLock<Vec<Network>>,
}

impl Networks {
    pub(crate) fn new(settings: Arc<Settings>, sources: Sources) -> Networks {
        Networks { own: Network::new(settings, sources), added: RwLock::default() }
    }

    /// Returns true if there is a network with this number.
    pub(crate) fn has(&self, number: u32) -> bool {
        let added = self.added.read().unwrap_or_else(PoisonError::into_inner).len();
        usize::try_from(number).is_ok_and(|number| number <= added)
    }

    /// Returns the network with this number. If the number is unknown, returns network 0, but the session
    /// accepts no job with an unknown number.
    pub(crate) fn get(&self, number: u32) -> Network {
        let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let added = self.added.read().unwrap_or_else(PoisonError::into_inner);
        at.and_then(|at| added.get(at)).unwrap_or(&self.own).clone()
    }

    /// Forgets, for all networks, which checksum lists could not be fetched.
    pub(crate) fn forget_failures(&self) {
        let added = self.added.read().unwrap_or_else(PoisonError::into_inner);
        added.iter().chain([&self.own]).for_each(|network| network.checksums.forget_failures());
    }

    /// Replaces a network that was added. Does nothing if the number is unknown or 0.
    pub(crate) fn replace(&self, number: u32, settings: Settings, sources: Sources) {
        let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let mut added = self.added.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(network) = at.and_then(|at| added.get_mut(at)) {
            *network = Network::new(self.with_checks(settings), sources);
        }
    }

    /// Adds a network, and returns its number.
    pub(crate) fn add(&self, settings: Settings, sources: Sources) -> u32 {
        let mut added = self.added.write().unwrap_or_else(PoisonError::into_inner);
        added.push(Network::new(self.with_checks(settings), sources));
        u32::try_from(added.len()).unwrap_or_default()
    }

    /// Returns the settings of a network, with the session's settings about digests and signatures. A file
    /// must be verified in the same way over each network.
    fn with_checks(&self, settings: Settings) -> Arc<Settings> {
        let own = &self.own.settings;
        let settings = settings.with_verify(own.verify).with_checksums(own.checksums.clone());
        Arc::new(settings.with_single(own.single).with_signed_by(own.signed_by.clone()))
    }
}
