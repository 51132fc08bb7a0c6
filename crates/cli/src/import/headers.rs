//! Lists the names of headers that are left out of an imported command.

/// Headers that downhaul sets itself, or that would change which bytes are downloaded.
pub(super) const OURS: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "proxy-connection",
    "range",
    "te",
];

/// Headers that would change the form of the HTTP message.
pub(super) const OF_THE_MESSAGE: [&str; 3] = ["trailer", "transfer-encoding", "upgrade"];
