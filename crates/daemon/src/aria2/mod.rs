//! Implements the interface of aria2 (`man aria2c`, RPC INTERFACE) as the clients of aria2 expect it.
//!
//! - [`methods`] carries out a call; [`status`] describes downloads;
//! - [`json`] and [`xml`] are the two forms of calls and answers.
//!
//! Where the manual and the program aria2 1.36 differ, this interface does what the program does. Clients
//! compare the texts of the faults.

pub mod json;
pub mod methods;
mod names;
mod params;
pub mod status;
pub mod xml;

pub use json::metalink;

/// The version that clients see. Some clients demand at least 1.34.0, and they understand only numbers.
pub const VERSION: &str = "1.37.0";
