//! Reads any bytes as a Metalink document. This must not panic. The jobs must have URLs, complete digests,
//! and names that stay below the output folder.
#![no_main]

use downhaul_core::job::Destination;
use downhaul_core::list::metalink::{self, Metalink};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = metalink::begins(bytes);
    for (line, job) in Metalink::new(bytes.to_vec()) {
        assert!(line >= 1 && line <= bytes.len() as u64 + 1);
        let Ok(job) = job else { continue };
        assert!(!job.urls.is_empty() && job.urls.len() <= metalink::MOST_URLS);
        assert!(job.expected.iter().all(|one| one.digest.bytes.len() == one.digest.algorithm.size()));
        let Destination::Name(name) = job.destination else { panic!("a job without a name") };
        assert!(!name.as_str().split('/').any(|part| part.is_empty() || part.starts_with('.')));
    }
});
