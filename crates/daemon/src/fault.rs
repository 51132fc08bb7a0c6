//! [`Fault`]: why a call was not carried out. It has the code and the message of aria2, and often a second
//! message for clients of downhaul's own interface.

use downhaul_engine::{Error, ErrorKind};
use std::fmt;

/// The reason why a call was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The code in the answer.
    pub code: i32,
    /// The reason, in words for the user. Clients of aria2 get this message. If aria2 has a message for this
    /// fault, it is the message of aria2.
    pub message: String,
    /// The reason in the words of downhaul, for all other clients. If it is `None`, they get `message`.
    pub plain: Option<String>,
    /// True if the call names a download that does not exist.
    pub is_missing: bool,
    /// If a download cannot begin for this reason, it fails with an error of this kind.
    pub kind: ErrorKind,
}

/// The code of every fault of a method. aria2 uses no other code for such faults.
const REFUSED: i32 = 1;

/// The code of a call whose form is wrong (JSON-RPC 2.0, section 5.1).
const INVALID_REQUEST: i32 = -32600;

/// The code of a call whose parameters are not a list (JSON-RPC 2.0, section 5.1).
const INVALID_PARAMS: i32 = -32602;

/// The code of a call that cannot be read, because it is not JSON (JSON-RPC 2.0, section 5.1) or not XML-RPC.
const PARSE_ERROR: i32 = -32700;

impl Fault {
    /// Returns the fault of a method that refused a call.
    pub fn refused(message: impl Into<String>) -> Fault {
        let kind = ErrorKind::UrlInvalid;
        Fault { code: REFUSED, message: message.into(), plain: None, is_missing: false, kind }
    }

    /// Returns the fault with this message for clients that do not use the interface of aria2.
    #[must_use]
    pub fn in_words(self, plain: impl Into<String>) -> Fault {
        Fault { plain: Some(plain.into()), ..self }
    }

    /// Returns the failure of a download that cannot begin for this reason: its code and the message.
    pub fn failure(&self) -> (String, String) {
        (self.kind.code().into(), self.message.clone())
    }

    /// Returns the fault of a call that names a download that does not exist, or does not exist any more.
    pub fn missing(gid: impl fmt::Display) -> Fault {
        let fault = Fault { is_missing: true, ..Fault::refused(format!("GID {gid} is not found")) };
        fault.in_words(format!("There is no download with the ID {gid}."))
    }

    /// Returns the fault of a call that has this text in place of an identifier.
    pub fn invalid_gid(text: &str) -> Fault {
        let fault = Fault::refused(format!("Invalid GID {text}"));
        fault.in_words(format!("{text} is not an ID. An ID has up to 16 hexadecimal digits."))
    }

    /// Returns the fault of a call whose form is wrong. For example, the call has no method.
    pub fn invalid_request() -> Fault {
        Fault { code: INVALID_REQUEST, ..Fault::refused("Invalid Request.") }
    }

    /// Returns the fault of a call whose parameters are not a list.
    pub fn invalid_params() -> Fault {
        Fault { code: INVALID_PARAMS, ..Fault::refused("Invalid params.") }
    }

    /// Returns the fault of a call that cannot be read, because it is not JSON or not XML-RPC.
    pub fn parse_error() -> Fault {
        Fault { code: PARSE_ERROR, ..Fault::refused("Parse error.") }
    }

    /// Returns the HTTP status with which aria2 answers a call in JSON that has this fault.
    pub fn http_status(&self) -> u16 {
        match self.code {
            INVALID_PARAMS | PARSE_ERROR => 500,
            _ => 400,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault { kind: error.kind, ..Fault::refused(error.to_string()) }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        Fault::refused(format!("The change could not be saved: {error}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
