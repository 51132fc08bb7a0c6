//! Reads any bytes as a line of a list and as a line of a lock file. This must not panic. The job of a list
//! must have URLs and complete digests. The entry of a lock file must be the same after it was written and
//! read again. Also reads any bytes as a text of several lines. The lines must contain no line ends.
#![no_main]

use downhaul_core::list::{self, text::Lines};
use downhaul_core::lock_file::Entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(job)) = list::line(bytes) {
        assert!(!job.urls.is_empty());
        assert!(job.expected.iter().all(|one| one.digest.bytes.len() == one.digest.algorithm.size()));
    }
    for line in Lines::new(bytes).flatten() {
        assert!(!line.iter().any(|byte| matches!(byte, b'\n' | b'\r')));
        let _ = list::line(&line);
    }
    if let Some(entry) = Entry::from_json(&String::from_utf8_lossy(bytes)) {
        assert_eq!(Entry::from_json(&entry.to_json()), Some(entry));
    }
});
