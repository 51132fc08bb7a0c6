//! The secret of the daemon: where it is stored, who may read it, and how the first start makes it.
//!
//! Invariant: the secret is never on the command line and is never printed. On Unix, the file with the secret
//! is not used if other users have rights to it, or if it belongs to another user (except root).

use super::in_state_folder;
use crate::args;
use crate::platform;
use crate::settings;
use crate::words;
use downhaul_daemon::web::Token;
use downhaul_engine::core::secret::Secret;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The environment variable with the secret.
const VARIABLE: &str = "DOWNHAUL_DAEMON_SECRET";

/// The longest secret with the blanks around it, in bytes. The rest of a longer file is not read.
const LONGEST: u64 = 64 * 1024;

/// Returns the token that clients must send, and the file that has the secret. The file is `None` with
/// `--no-secret`, or if the secret comes from the environment, which is used only without `--secret-file`.
/// In all other cases, if the file does not exist, this function makes a secret and writes it into the file.
///
/// # Errors
/// Returns why the secret cannot be read or made, in words for the user.
pub(super) fn token(daemon: &args::Daemon) -> Result<(Token, Option<PathBuf>), String> {
    if daemon.no_secret {
        return Ok((Token::new(None), None));
    }
    if daemon.secret_file.is_none()
        && let Some(secret) = in_environment()
    {
        return Ok((Token::new(Some(secret)), None));
    }
    let path = std::path::absolute(in_state_folder(daemon.secret_file.clone(), "daemon-secret")?)
        .map_err(|e| format!("--secret-file: {e}"))?;
    let secret = match read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => make(&path),
        read => read,
    };
    let secret = secret.map_err(|e| unusable(&path, &e))?;
    Ok((Token::new(Some(secret)), Some(path)))
}

/// Returns the secret in the environment.
pub(crate) fn in_environment() -> Option<Secret> {
    settings::variable(VARIABLE).map(Secret::new)
}

/// Reads the secret in a file.
///
/// # Errors
/// Returns why the file cannot be read, or why it must not be used.
pub(crate) fn read(path: &Path) -> io::Result<Secret> {
    if platform::is_link_of_another_user(path) {
        return Err(io::Error::other("the file is a symbolic link of another user"));
    }
    let file = File::open(path)?;
    if let Some(why) = platform::why_not_private(&file)? {
        return Err(io::Error::other(why));
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    match text.trim() {
        "" => Err(io::Error::other("the file is empty")),
        secret => Ok(Secret::new(secret)),
    }
}

/// Returns the message about a file with a secret that cannot be used.
pub(crate) fn unusable(path: &Path, error: &io::Error) -> String {
    format!("the secret in {} cannot be used: {error}", words::path(path))
}

/// Makes a secret, and writes it into a new file that only the user may read.
fn make(path: &Path) -> io::Result<Secret> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        platform::make_private_folder(folder)?;
    }
    let secret = Token::random().ok_or_else(|| io::Error::other("the system gives no random bytes"))?;
    platform::write_new(path, format!("{secret}\n").as_bytes(), platform::FOR_THE_OWNER)?;
    Ok(Secret::new(secret))
}
