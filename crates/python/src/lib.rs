//! The part of the Python package that is written in Rust. It gives a [`Session`](downhaul_engine::Session)
//! of the library to Python.
//!
//! The functions and classes for users are written in Python (`python/downhaul/`). They check arguments, read
//! the environment and draw progress. The classes here are private to the package.
//!
//! Invariants:
//! - Other threads of Python run while a call waits, and the wait ends if the handler of a signal, such as
//!   Ctrl-C, raises an exception (`wait.rs`).
//! - Each session and each remote file has its own threads (`threads.rs`), and none of them calls Python.
//! - A process that was forked neither uses nor ends the session of its parent.

mod classes;
mod jobs;
mod options;
mod remote_file;
mod rows;
mod session;
mod threads;
mod wait;

use downhaul_engine::Error;
use downhaul_engine::core::show;
use pyo3::prelude::*;

pyo3::import_exception!(downhaul._errors, DownloadError);

/// Returns the exception for an error of the library.
fn exception(error: &Error) -> PyErr {
    let failure = downhaul_engine::Failure::from(error);
    DownloadError::new_err((failure.code, failure.message, failure.at))
}

/// Returns a URL, as it was given, without the parts that may be secret.
#[pyfunction]
fn shown_url(url: &str) -> String {
    show::escaped(&show::given(url)).into_owned()
}

/// Returns the number of bytes of the digest under a key of a JSON line, such as 32 for `sha256`. Returns 0
/// if the key does not show the number, and None if the key is not for digests.
#[pyfunction]
fn digest_size(key: &str) -> Option<usize> {
    downhaul_engine::core::list::digest_size(key)
}

#[pymodule]
mod _downhaul {
    #[pymodule_export]
    use crate::classes::{Core, JobHandle};
    #[pymodule_export]
    use crate::digest_size;
    #[pymodule_export]
    use crate::remote_file::{Fetch, RemoteFile};
    #[pymodule_export]
    use crate::rows::{Events, Rows};
    #[pymodule_export]
    use crate::shown_url;

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "this is the name of a version in Python")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
