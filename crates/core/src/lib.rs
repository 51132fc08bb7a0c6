//! This crate is the part of downhaul that **decides**: what a download does next, whether a failure is
//! retried, which file name is made from a name that a server sent, and what is reported.
//!
//! This crate has no side effects. It uses no sockets, files, clock, random numbers or environment variables
//! (its `clippy.toml` forbids them). Callers pass in the time and a seed for random waits. Therefore a test
//! can simulate thousands of whole downloads quickly.
//!
//! The modules, in the order in which data flows:
//!
//! - [`list`] reads lists of URLs, Metalink documents and checksum lists. A [`job`] is one file to download,
//!   and [`settings`] are the options of the whole run.
//! - [`name`] makes file names from the texts of servers, URLs, lists and users. [`listed_names`] finds names
//!   that only one file of a list has.
//! - [`remote`] has the facts that a source states about a file. [`head`] and [`http_response`] read these
//!   facts from HTTP responses.
//! - [`plan`] is the state machine of one job. It keeps track of the bytes of the file with [`ranges`].
//!   [`preview`] has the additional code for `downhaul plan`.
//! - [`concurrency`] decides how many connections a host gets. [`throttle`] decides what to do if a host says
//!   that it gets too many requests. [`hosts`] keeps the facts that runs learned about hosts.
//! - [`journal`] lists the written bytes of a partial file, so that a later run can resume it. [`identity`]
//!   decides if a file that exists already is the wanted file. [`adopt`] decides which ranges are complete in
//!   a file that another tool left unfinished.
//! - [`digest`] and [`signature`] are for verification. [`content`] checks that the content of a file matches
//!   its name.
//! - [`credentials`] decides which secret may be sent where. [`curl_options`] lists the options of curl with
//!   their translations.
//! - [`calendar`] converts times to dates, and dates to times.
//! - [`address`] recognises the addresses of private networks, and [`hsts`] has the hosts that requested
//!   https. `public_suffix` finds names such as `co.uk`, below which many owners have hosts.
//! - [`host_rules`] has options for some hosts only. If a list is divided among several runs, [`shard`]
//!   decides which jobs belong to each run.
//! - [`names`] decides to which addresses, and from which interface, connections to a host are made.
//! - [`proxy`] decides which proxy a URL goes through.
//! - [`error`] is the list of all failures, and [`retry`] has the limits of retries. [`rate`] reads rates.
//!   [`run_limits`] decides when a run starts no more jobs.
//! - [`event`] has the events of a session, and [`lock_file`] lists the files of a run. [`archive`] decides
//!   which files were fetched by earlier runs, and [`dedup`] decides which files have the same bytes.
//!   [`containers`] makes the names of tars and WARCs that have the files of a run, and decides when they are
//!   full. [`warc`] makes the texts of WARC records, and a [`transcript`] has the requests and responses of a
//!   file. [`show`] escapes text and hides secrets in URLs. A [`secret`] is a text that cannot be printed.

pub mod address;
pub mod adopt;
pub mod archive;
pub mod calendar;
pub mod concurrency;
pub mod containers;
pub mod content;
pub mod credentials;
pub mod curl_options;
pub mod dedup;
pub mod digest;
pub mod error;
pub mod event;
pub mod head;
pub mod host_rules;
pub mod hosts;
pub mod hsts;
pub mod http_response;
pub mod identity;
pub mod job;
pub mod journal;
pub mod list;
pub mod listed_names;
pub mod lock_file;
pub mod name;
pub mod names;
pub mod plan;
pub mod preview;
pub mod proxy;
mod public_suffix;
pub mod ranges;
pub mod rate;
pub mod remote;
pub mod retry;
pub mod run_limits;
pub mod secret;
pub mod settings;
pub mod shard;
pub mod show;
pub mod signature;
pub mod throttle;
pub mod transcript;
mod unique_keys;
pub mod warc;
