//! Finds out which users listen on a port of this machine, from the tables of Linux (`man 5 proc`).
//!
//! Invariant: if no listener is found, for example because the tables cannot be read, the port counts as a
//! port of another user.

use std::fs;

/// The state of a socket that listens.
const LISTENS: &str = "0A";

const ROOT: u32 = 0;

/// Returns true if only programs of this user or of `root` listen on this port, and at least one program
/// does.
pub(super) fn is_ours(port: Option<u16>) -> bool {
    let (Some(port), Some(user)) = (port, user()) else { return false };
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let users: Vec<u32> =
        tables.iter().flat_map(|table| table.lines()).filter_map(|line| user_of(line, port)).collect();
    !users.is_empty() && users.iter().all(|one| *one == user || *one == ROOT)
}

/// Returns the effective user ID of this process.
fn user() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1)?.parse().ok())
}

/// Returns the user ID of the socket in this line of a table, if the socket listens on the port.
fn user_of(line: &str, port: u16) -> Option<u32> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let is_it = *fields.get(3)? == LISTENS && u16::from_str_radix(local, 16) == Ok(port);
    fields.get(7).filter(|_| is_it)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_the_user_of_a_listener() {
        let line =
            "   0: 0100007F:1A90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1";
        assert_eq!(user_of(line, 6800), Some(1000));
        assert_eq!(user_of(line, 6801), None);
        assert_eq!(user_of(&line.replace(" 0A ", " 01 "), 6800), None);
        assert_eq!(user_of("  sl  local_address rem_address   st", 6800), None);
    }
}
