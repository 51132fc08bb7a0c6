//! Recognises content that is not what the name of the file promises.
//!
//! Login pages, warnings about viruses and captive portals answer 200 with an HTML page to any request. Code
//! hosts send a Git LFS pointer instead of the file. `promise` reads names, `look` reads the first bytes;
//! [`crate::plan`] decides which of the two counts.

mod look;
mod promise;

pub use look::{ENOUGH, Look, look};
pub use promise::{Promise, promise};
