//! The tests of the program from outside. Nearly all of them run the real `downhaul` in a folder of their
//! own, most of them against a server on this machine. They are all in one binary, because each binary would
//! link the whole engine again.
//!
//! `cargo test -p downhaul --test it resume::` runs the tests of one file.

mod common;

// The command line and what it reads.
#[cfg(unix)]
mod arguments;
#[cfg(unix)]
mod aria2c;
mod command_line;
#[cfg(unix)]
mod completions;
mod config;
#[cfg(unix)]
mod dedup;
mod header_file;
#[cfg(unix)]
mod hooks;
mod import;
mod left_over;
mod list_documents;
mod list_forms;
mod list_headers;
mod list_options;
mod list_tools;
mod lists;
mod memory;
mod metalink;
#[cfg(unix)]
mod names;
mod option_values;
#[cfg(unix)]
mod outputs;
#[cfg(feature = "parquet")]
mod parquet;
mod plans;
mod several_lists;
#[cfg(unix)]
mod shards;

// The network, and servers that misbehave.
#[cfg(unix)]
mod codings;
mod content;
mod cookies;
mod credentials;
#[cfg(unix)]
mod cve_classes;
#[cfg(feature = "doh")]
mod doh;
#[cfg(all(feature = "firefox", unix))]
mod firefox;
#[cfg(unix)]
mod guards;
mod header_destinations;
mod heads;
mod hidden_secrets;
mod http2;
#[cfg(unix)]
mod learning;
#[cfg(unix)]
mod leftovers;
#[cfg(unix)]
mod login_servers;
mod logins;
mod mirrors;
mod misbehaviour;
#[cfg(unix)]
mod names_and_addresses;
mod netrc;
#[cfg(unix)]
mod nginx;
mod polite;
#[cfg(unix)]
mod proxies;
#[cfg(unix)]
mod proxy_servers;
mod request_variants;
mod requests;
mod secrets;
mod several_connections;
mod stalls;
mod tls;
#[cfg(unix)]
mod tls_options;
mod tracing;

// The reports about a run, and the limits of a run.
mod archives;
mod records;
mod run_limits;

// Digests, checksum lists and signatures.
mod checksum_lists;
mod chunk_digests;
mod given_digests;
mod lock_files;
#[cfg(feature = "openpgp")]
mod openpgp;
mod signatures;
#[cfg(unix)]
mod small_files;
mod verification;

// Files on the disk, and what one run leaves for the next.
#[cfg(unix)]
mod daemon;
#[cfg(unix)]
mod disks;
#[cfg(unix)]
mod durable;
#[cfg(unix)]
mod existing;
#[cfg(unix)]
mod identity;
#[cfg(unix)]
mod in_order;
#[cfg(unix)]
mod interruptions;
mod links_and_folders;
#[cfg(unix)]
mod resume;
mod systems;
#[cfg(unix)]
mod tar_failures;
#[cfg(unix)]
mod tar_sets;
#[cfg(unix)]
mod tars;
#[cfg(unix)]
mod very_long_lists;
#[cfg(unix)]
mod warc_messages;
#[cfg(unix)]
mod warcs;

// The screen, the documents, and how the program ends.
mod book;
mod docs;
#[cfg(target_os = "linux")]
mod first_process;
#[cfg(unix)]
mod resizing;
#[cfg(unix)]
mod screen_rows;
#[cfg(unix)]
mod screen_states;
#[cfg(unix)]
mod screens;
#[cfg(unix)]
mod signals;
