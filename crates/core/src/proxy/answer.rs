//! Reads the answer of an HTTP proxy to CONNECT (RFC 9110, section 9.3.6).

/// The longest head of an answer that is read, in bytes. Without a limit, a proxy could fill the memory.
pub const HEAD_MOST: usize = 64 * 1024;

/// The highest number of characters of a reason that are kept. The reason is shown in one line.
const REASON_MOST: usize = 200;

/// The answer of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status of the answer. A status from 200 to 299 means that the tunnel is open.
    pub status: u16,
    /// The words after the status. They may be empty, and may contain any character.
    pub reason: String,
    /// The values of the `Proxy-Authenticate` headers, one value for each header line.
    pub challenges: Vec<Vec<u8>>,
}

impl Answer {
    /// Returns true if the tunnel is open.
    pub fn is_open(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Reads the head of an answer. `head` includes the empty line at its end.
///
/// # Errors
/// Returns what is wrong with the head, in words for the user.
pub fn read_answer(head: &[u8]) -> Result<Answer, &'static str> {
    let mut lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
    let bad = "its answer is not HTTP/1";
    let first = lines.next().and_then(|line| line.strip_prefix(b"HTTP/1.")).ok_or(bad)?;
    let first: String = first.iter().map(|&byte| char::from(byte)).collect();
    // The minor version has one digit.
    let (_, rest) = first.split_once(' ').filter(|(minor, _)| minor.len() == 1).ok_or(bad)?;
    let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let status = Some(status).filter(|status| status.len() == 3).and_then(|status| status.parse().ok());
    let status = status.filter(|status| (100..600).contains(status)).ok_or(bad)?;
    let value = |line: &[u8]| {
        let (name, value) = line.split_at(line.iter().position(|&byte| byte == b':')?);
        name.eq_ignore_ascii_case(b"proxy-authenticate").then(|| value[1..].trim_ascii().to_vec())
    };
    let reason = reason.trim().chars().take(REASON_MOST).collect();
    Ok(Answer { status, reason, challenges: lines.filter_map(value).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_and_the_challenges_of_an_answer_are_read() {
        let head = b"HTTP/1.1 407 Proxy Authentication Required\r\nVia: x\r\nPROXY-authenticate:  Basic realm=\"a\"\r\nProxy-Authenticate: Digest x\r\n\r\n";
        let answer = read_answer(head).expect("an answer");
        assert_eq!((answer.status, answer.reason.as_str()), (407, "Proxy Authentication Required"));
        assert_eq!(answer.challenges, [&b"Basic realm=\"a\""[..], b"Digest x"]);
        assert!(!answer.is_open());
        assert!(read_answer(b"HTTP/1.0 200\n\n").is_ok_and(|answer| answer.is_open()));
        assert!(read_answer(b"HTTP/1.1 200 \r\n\r\n").is_ok_and(|answer| answer.reason.is_empty()));
    }

    #[test]
    fn a_text_that_is_not_http_is_refused() {
        for head in
            ["", "\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/2 200\r\n", "HTTP/1.1 20\r\n", "HTTP/1.1 +20 x\r\n"]
        {
            assert!(read_answer(head.as_bytes()).is_err(), "{head:?}");
        }
        assert!(read_answer(&[0xff; 100]).is_err());
    }
}
