//! [`Mistakes`]: the mistakes in a list, as texts for the user.

use crate::given;
use downhaul_engine::core::list::checksums::{self, Checksums};
use std::path::Path;

/// The most mistakes in a list that are shown. The others are only counted.
const MISTAKES_SHOWN: usize = 10;

#[derive(Default)]
pub(super) struct Mistakes {
    /// The mistakes that were found first, at most [`MISTAKES_SHOWN`].
    first: Vec<String>,
    count: usize,
}

impl Mistakes {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a mistake, if there is one.
    pub(super) fn add(&mut self, checked: Result<(), String>) {
        let Err(mistake) = checked else { return };
        self.count += 1;
        if self.first.len() < MISTAKES_SHOWN {
            self.first.push(mistake);
        }
    }

    /// Returns the mistakes as lines, if there are any.
    pub(super) fn result(self) -> Result<(), String> {
        let Mistakes { first: mut shown, count } = self;
        if count == 0 {
            return Ok(());
        }
        if count > shown.len() {
            shown.push(format!("... and {} more", count - shown.len()));
        }
        Err(format!("\n  {}", shown.join("\n  ")))
    }
}

/// Returns true if a file is a checksum list: most of its lines have a digest, and none of them has a URL.
pub(super) fn is_checksum_list(path: &Path) -> bool {
    let Ok(text) = given::read(path, checksums::LONGEST) else { return false };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let sums = Checksums::read(&text, &name);
    sums.entries().len() > sums.unread() && !text.windows(3).any(|part| part == b"://")
}
