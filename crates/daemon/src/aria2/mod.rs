//! Implements the interface of aria2 (`man aria2c`, RPC INTERFACE) as the clients of aria2 expect it.
//!
//! - [`methods`] carries out a call; [`status`] describes downloads;
//! - [`json`] and [`xml`] are the two forms of calls and answers.
//!
//! Where the manual and the program aria2 1.36 differ, this interface does what the program does. Some
//! clients recognise a fault by its text, so each fault has the text of aria2 if there is one.

pub mod json;
pub mod methods;
mod names;
mod params;
pub mod status;
pub mod xml;

pub use json::metalink;

/// The version of aria2 that clients see. Some clients demand at least 1.34.0, and cannot read a version that
/// has letters.
pub const VERSION: &str = "1.37.0";
