//! Keeps a number for each of very many hashes, in little more memory than the hashes and numbers take.
//!
//! Invariant: the entries of a shard are sorted by hash, and no hash has two entries. In this file, a shard
//! is one of the vectors among which the entries are divided.

/// The number of shards, a power of two. On average, a new entry moves half of the entries of its shard. With
/// ten million entries, this half has 20 KiB, and moving it takes less than a microsecond.
const SHARDS: usize = 4096;

/// The memory of a full shard grows by its length divided by this number. A hash map doubles its memory
/// instead, and needs the old and the new memory at once: 50 MiB for a million entries, instead of 18 MiB.
const GROWTH: usize = 8;

/// A number for each hash.
pub(super) struct Hashes {
    shards: Vec<Vec<(u64, u64)>>,
}

impl Default for Hashes {
    fn default() -> Self {
        Hashes { shards: vec![Vec::new(); SHARDS] }
    }
}

impl Hashes {
    /// Returns the number of a hash.
    pub(super) fn get(&self, hash: u64) -> Option<u64> {
        let shard = self.shards.get(shard_of(hash))?;
        let at = shard.binary_search_by_key(&hash, |entry| entry.0).ok()?;
        shard.get(at).map(|entry| entry.1)
    }

    /// Returns true if a hash has a number.
    pub(super) fn contains(&self, hash: u64) -> bool {
        self.get(hash).is_some()
    }

    /// Sets the number of a hash.
    pub(super) fn insert(&mut self, hash: u64, number: u64) {
        let Some(shard) = self.shards.get_mut(shard_of(hash)) else { return };
        match shard.binary_search_by_key(&hash, |entry| entry.0) {
            Ok(at) => shard[at].1 = number,
            Err(at) => {
                if shard.len() == shard.capacity() {
                    shard.reserve_exact(shard.len() / GROWTH + 1);
                }
                shard.insert(at, (hash, number));
            }
        }
    }

    /// Removes a hash.
    pub(super) fn remove(&mut self, hash: u64) {
        let Some(shard) = self.shards.get_mut(shard_of(hash)) else { return };
        if let Ok(at) = shard.binary_search_by_key(&hash, |entry| entry.0) {
            shard.remove(at);
        }
    }

    /// Returns the numbers of all hashes.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.shards.iter().flatten().map(|entry| entry.1)
    }
}

/// Returns the shard of a hash. All bits of a hash are equally random.
fn shard_of(hash: u64) -> usize {
    hash as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn the_hashes_behave_like_a_hash_map(changes in prop::collection::vec((0..20_u64, 0..4_u64, any::<u64>()), 0..200)) {
            let (mut hashes, mut expected) = (Hashes::default(), HashMap::new());
            for (high, low, number) in changes {
                // All of these hashes are in four shards. About one of five changes removes a hash.
                let hash = high << 60 | high << 20 | low;
                if number % 5 == 0 {
                    hashes.remove(hash);
                    expected.remove(&hash);
                } else {
                    hashes.insert(hash, number);
                    expected.insert(hash, number);
                }
                prop_assert_eq!(hashes.get(hash), expected.get(&hash).copied());
            }
            let mut all: Vec<_> = hashes.numbers().collect();
            let mut wanted: Vec<_> = expected.into_values().collect();
            all.sort_unstable();
            wanted.sort_unstable();
            prop_assert_eq!(all, wanted);
        }
    }
}
