//! Recognises content that does not match the name of the file.
//!
//! Login pages, virus warnings and captive portals send a status of 200 and an HTML page for any request.
//! Code hosts may send a Git LFS pointer instead of the file. `promise` reads names, and `look` reads the
//! first bytes. The engine calls both functions, and [`crate::plan`] decides how a job reacts.

mod look;
mod promise;

pub use look::{ENOUGH, Look, look};
pub use promise::{Promise, promise};
