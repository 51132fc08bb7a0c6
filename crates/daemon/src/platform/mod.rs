//! The parts of the daemon that depend on the operating system.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub use other::{create_private, make_private, number_of};
#[cfg(unix)]
pub use unix::{create_private, make_private, number_of};
