//! What downhaul **decides**: which step a file takes next, whether a failure is tried again, what a
//! server's words may become on disk, and what is told to whoever watches.
//!
//! This crate touches nothing: no sockets, no files, no clock, no random, no environment (`clippy.toml`
//! beside it holds that wall). It is handed `now` as a [`std::time::Duration`] since the session's start
//! and a seed for jitter, so that thousands of whole downloads can be simulated in a second.
//!
//! Read in the order that data flows: [`job`] what was asked, [`list`] text into jobs, [`name`] remote text
//! into file names, [`remote`] what a source says of a file, read from HTTP by [`head`] and [`http_response`], [`plan`] the state machine of one file with its [`ranges`] and its
//! [`concurrency`], [`retry`] whether to try again, [`journal`] what a later run may go on with, [`identity`] whether what lies
//! here is this file, [`adopt`] what other tools leave, [`digest`] and [`signature`] what was proven, [`content`] whether it is what its name promises,
//! [`event`] what is told, [`lock_file`] what is kept of a run, [`error`] what can go wrong.

pub mod adopt;
pub mod concurrency;
pub mod content;
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
pub mod settings;
pub mod show;
pub mod signature;
pub mod throttle;
