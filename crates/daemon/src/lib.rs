//! The daemon of downhaul. If its queue of downloads is in a database, the queue survives a kill at any
//! moment. Clients of aria2 can use the daemon, and so can clients of downhaul's own interface.
//!
//! - [`daemon`] runs the queue with a session of the library; [`state`], [`queue`] and [`store`] hold the
//!   queue;
//! - [`session_file`] reads and writes queues as aria2 does;
//! - [`aria2`] has the methods of aria2, with their JSON and XML forms;
//! - [`web`] receives the calls of clients, and refuses those that must not be answered.
//!
//! Invariant: this crate never prints and never reads the environment. Only the program `downhaul` does so.

pub mod aria2;
pub mod codes;
pub mod daemon;
pub mod entry;
pub mod facts;
pub mod fault;
pub mod folders;
pub mod gid;
pub mod item;
pub mod job;
pub mod live;
pub mod network;
pub mod options;
mod platform;
pub mod queue;
pub mod session_file;
pub mod state;
pub mod store;
pub mod uri;
pub mod web;

pub use daemon::{Config, Daemon};
