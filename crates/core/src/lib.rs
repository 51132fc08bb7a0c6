//! The part of downhaul that **decides**: which step a file takes next, if a failure is retried, which file
//! name a server's words may become, and what is reported.
//!
//! This crate touches nothing: no sockets, no files, no clock, no random numbers, no environment
//! (`clippy.toml` beside it forbids them). It is given `now` as a [`std::time::Duration`] since the start of
//! the session, and a seed for jitter. So thousands of whole downloads can be simulated in a second.
//!
//! The modules, in the order in which data flows:
//!
//! - [`list`] reads lists of URLs, Metalinks and checksum lists. A [`job`] is one file that was asked for,
//!   and [`settings`] are those of the whole run.
//! - [`name`] turns remote text into file names.
//! - [`remote`] is what a source says of a file. [`head`] and [`http_response`] read it from HTTP.
//! - [`plan`] is the state machine of one file. It keeps account of its bytes as [`ranges`].
//! - [`concurrency`] decides how many connections a host gets. [`throttle`] reads when a host says that it
//!   gets too many requests, and [`hosts`] remembers the limits of hosts.
//! - [`journal`] is what a later run resumes from. [`identity`] decides if a file that is already here is the
//!   wanted one, and [`adopt`] reads what other tools left.
//! - [`credentials`] decides which secret may be sent where.
//! - [`digest`] and [`signature`] verify bytes. [`content`] checks that a file is what its name promises.
//! - [`error`] is what can go wrong, and [`retry`] decides if it is tried again.
//! - [`event`] is what is reported, [`lock_file`] what is recorded of a run, and [`show`] escapes text and
//!   hides secrets in URLs. A [`secret`] is a text that cannot be printed.

pub mod adopt;
pub mod concurrency;
pub mod content;
pub mod credentials;
pub mod digest;
pub mod error;
pub mod event;
pub mod head;
pub mod hosts;
pub mod http_response;
pub mod identity;
pub mod job;
pub mod journal;
pub mod list;
pub mod lock_file;
pub mod name;
pub mod plan;
pub mod ranges;
pub mod remote;
pub mod retry;
pub mod secret;
pub mod settings;
pub mod show;
pub mod signature;
pub mod throttle;
