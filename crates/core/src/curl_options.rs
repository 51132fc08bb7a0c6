//! Has the table of the options of curl, with their translations. The table is used to read a pasted curl
//! command, and to read a curl configuration file that is given as a list.

/// The translation of an option.
#[derive(Clone, Copy)]
pub enum To {
    /// The option is not needed: downhaul always does what the option requests, or the option makes no
    /// difference for the files.
    Anyway,
    /// downhaul can download the file without the option. The option is left out with a note.
    LeftOut,
    /// An option of downhaul without a value.
    Flag(&'static str),
    /// An option of downhaul with the same value.
    Option(&'static str),
    /// These words replace the option. Its value is left out.
    Words(&'static [&'static str]),
    /// The option cannot be translated. The text gives the reason.
    Refused(&'static str),
    /// The option `--proxy`. The text is the scheme of the proxy's URL.
    Proxy(&'static str),
    // The following options need more than a new name.
    /// A URL.
    GivenUrl,
    /// A user name and a password.
    User,
    /// A way to log in that the command allows.
    Scheme(Scheme),
    /// Brackets and braces in URLs are not patterns.
    NoPatterns,
    /// A file in which curl saves the cookies.
    CookieJar,
    /// The name of a file.
    Output,
    /// The name comes from the URL.
    RemoteName,
    /// A header.
    Header,
    /// Cookies, or a file with them.
    Cookie,
    /// The method of the request.
    Method,
    /// The body of the request.
    Data(Data),
    /// The body becomes the query of the URL.
    Get,
    /// A part of the query of the URL.
    UrlQuery,
    /// The header `Referer`.
    Referer,
    /// The offset at which the download is continued.
    Continue,
}

/// A way to log in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP Basic.
    Basic,
    /// HTTP Digest.
    Digest,
    /// The strongest way that the server offers.
    Any,
}

/// The way in which the value of an option becomes the body of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// `@FILE` stands for the content of a file, without its line ends and NUL bytes.
    Text,
    /// `@FILE` stands for the content of a file, with its line ends.
    Binary,
    /// `@` has no special meaning.
    Raw,
    /// The value is percent-encoded.
    UrlEncoded,
    /// The value is JSON, or `@FILE` for the content of a file.
    Json,
}

/// A row of [`TABLE`]: the short name, the long names, true if the option takes a value, and the translation.
pub type Row = (Option<char>, &'static [&'static str], bool, To);

/// Returns the row of an option. `name` is written without the dashes at its beginning. A name of one letter
/// is a short name.
pub fn row(name: &str) -> Option<&'static Row> {
    let mut letters = name.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => TABLE.iter().find(|row| row.0 == Some(letter)),
        _ => TABLE.iter().find(|row| row.1.contains(&name)),
    }
}

/// All options of curl that downhaul knows.
pub const TABLE: &[Row] = &[
    (None, &["url"], true, To::GivenUrl),
    (Some('o'), &["output"], true, To::Output),
    (Some('O'), &["remote-name"], false, To::RemoteName),
    (Some('H'), &["header"], true, To::Header),
    (Some('b'), &["cookie"], true, To::Cookie),
    (Some('X'), &["request"], true, To::Method),
    (Some('d'), &["data", "data-ascii"], true, To::Data(Data::Text)),
    (None, &["data-binary"], true, To::Data(Data::Binary)),
    (None, &["data-raw"], true, To::Data(Data::Raw)),
    (None, &["data-urlencode"], true, To::Data(Data::UrlEncoded)),
    (None, &["json"], true, To::Data(Data::Json)),
    (Some('G'), &["get"], false, To::Get),
    (None, &["url-query"], true, To::UrlQuery),
    (Some('e'), &["referer"], true, To::Referer),
    (Some('C'), &["continue-at"], true, To::Continue),
    // downhaul has an option for most of the following options, often under another name.
    (Some('u'), &["user"], true, To::User),
    (None, &["oauth2-bearer"], true, To::Option("bearer")),
    (Some('A'), &["user-agent"], true, To::Option("user-agent")),
    (Some('c'), &["cookie-jar"], true, To::CookieJar),
    (Some('x'), &["proxy"], true, To::Option("proxy")),
    (Some('U'), &["proxy-user"], true, To::Option("proxy-user")),
    (None, &["socks4a"], true, To::Proxy("socks4a")),
    (None, &["socks5"], true, To::Proxy("socks5")),
    // The proxy resolves the names of hosts.
    (None, &["socks5-hostname"], true, To::Proxy("socks5h")),
    (None, &["proxy-basic", "proxy-anyauth"], false, To::Anyway),
    (
        None,
        &["proxy-digest"],
        false,
        To::Refused("the proxy chooses between Basic and Digest, and with Basic it gets the password itself"),
    ),
    (None, &["noproxy"], true, To::Option("no-proxy")),
    (None, &["netrc-file"], true, To::Option("netrc")),
    // With a netrc file, curl sends the login immediately, as it does with -u.
    (Some('n'), &["netrc", "netrc-optional", "basic"], false, To::Scheme(Scheme::Basic)),
    (None, &["anyauth"], false, To::Scheme(Scheme::Any)),
    (None, &["digest"], false, To::Scheme(Scheme::Digest)),
    (Some('k'), &["insecure"], false, To::Flag("insecure")),
    (Some('E'), &["cert"], true, To::Option("cert")),
    (None, &["key"], true, To::Option("key")),
    (None, &["pass"], true, To::Option("key-password")),
    (None, &["cacert"], true, To::Option("cacert")),
    (None, &["pinnedpubkey"], true, To::Option("pinned-pubkey")),
    (Some('1'), &["tlsv1", "tlsv1.0", "tlsv1.1"], false, To::Anyway),
    (None, &["tlsv1.2"], false, To::Words(&["--tls-min=1.2"])),
    (None, &["tlsv1.3"], false, To::Words(&["--tls-min=1.3"])),
    (None, &["resolve"], true, To::Option("resolve")),
    (None, &["connect-to"], true, To::Option("connect-to")),
    (None, &["interface"], true, To::Option("interface")),
    (None, &["doh-url"], true, To::Option("doh")),
    (None, &["unix-socket"], true, To::Option("unix-socket")),
    (Some('4'), &["ipv4"], false, To::Flag("ipv4")),
    (Some('6'), &["ipv6"], false, To::Flag("ipv6")),
    (None, &["http1.1"], false, To::Flag("http1")),
    // `--http2` of curl is only a preference. curl uses HTTP/1.1 if the server does not support HTTP/2.
    (None, &["http2"], false, To::Anyway),
    (None, &["http2-prior-knowledge"], false, To::Flag("http2")),
    (None, &["compressed"], false, To::Words(&["--decode=auto"])),
    (Some('r'), &["range"], true, To::Option("range")),
    (None, &["limit-rate"], true, To::Option("limit-rate")),
    (Some('m'), &["max-time"], true, To::Option("max-time")),
    (None, &["connect-timeout"], true, To::Option("connect-timeout")),
    (Some('y'), &["speed-time"], true, To::Option("timeout")),
    (Some('Y'), &["speed-limit"], true, To::Option("min-speed")),
    (None, &["retry"], true, To::Option("retries")),
    (None, &["max-redirs"], true, To::Option("max-redirects")),
    (None, &["output-dir"], true, To::Option("output")),
    (None, &["skip-existing"], false, To::Words(&["--if-exists=skip"])),
    (None, &["parallel-max"], true, To::Option("parallel")),
    (None, &["no-clobber"], false, To::Words(&["--if-exists=rename"])),
    (None, &["clobber"], false, To::Words(&["--if-exists=overwrite"])),
    // Unlike this option, `--on-error exit` of downhaul also prevents retries.
    (None, &["fail-early"], false, To::LeftOut),
    // downhaul always does what most of these options request. The other options make no difference for the
    // files.
    (Some('L'), &["location"], false, To::Anyway),
    (Some('J'), &["remote-header-name"], false, To::Anyway),
    (None, &["remote-name-all"], false, To::Anyway),
    (Some('R'), &["remote-time"], false, To::Anyway),
    (Some('f'), &["fail", "fail-with-body"], false, To::Anyway),
    (Some('s'), &["silent"], false, To::Anyway),
    (Some('S'), &["show-error"], false, To::Anyway),
    (Some('#'), &["progress-bar", "no-progress-meter", "no-silent"], false, To::Anyway),
    (Some('g'), &["globoff"], false, To::NoPatterns),
    (Some('Z'), &["parallel", "parallel-immediate"], false, To::Anyway),
    (
        Some('N'),
        &["no-buffer", "tcp-nodelay", "tcp-fastopen", "no-keepalive", "no-sessionid"],
        false,
        To::Anyway,
    ),
    (None, &["create-dirs", "remove-on-error", "retry-connrefused"], false, To::Anyway),
    (None, &["retry-all-errors", "ssl-reqd", "ssl", "no-alpn", "tr-encoding"], false, To::Anyway),
    (Some('q'), &["disable"], false, To::Anyway),
    // downhaul can download the file without these options.
    (Some('v'), &["verbose"], false, To::LeftOut),
    (
        Some('i'),
        &["include", "show-headers", "path-as-is", "http3", "http3-only", "location-trusted"],
        false,
        To::LeftOut,
    ),
    (
        None,
        &["trace-time", "styled-output", "proxytunnel", "post301", "post302", "post303"],
        false,
        To::LeftOut,
    ),
    (Some('D'), &["dump-header"], true, To::LeftOut),
    (Some('w'), &["write-out"], true, To::LeftOut),
    (
        None,
        &["trace", "trace-ascii", "stderr", "retry-delay", "retry-max-time", "keepalive-time"],
        true,
        To::LeftOut,
    ),
    (
        None,
        &["ciphers", "tls13-ciphers", "curves", "tls-max", "happy-eyeballs-timeout-ms"],
        true,
        To::LeftOut,
    ),
    // These options are refused. Their texts say why, or what to do instead.
    (Some('I'), &["head"], false, To::Refused("downhaul downloads files, and -I asks for headers only")),
    (Some('F'), &["form", "form-string"], true, To::Refused("downhaul cannot send multipart forms")),
    (Some('T'), &["upload-file"], true, To::Refused("downhaul cannot upload files")),
    (
        Some('K'),
        &["config"],
        true,
        To::Refused("the file contains options of curl; import the command without this file"),
    ),
    (Some(':'), &["next"], false, To::Refused("import each command separately")),
    (Some('0'), &["http1.0", "http0.9"], false, To::Refused("downhaul uses HTTP/1.1 or newer")),
    (None, &["negotiate", "ntlm"], false, To::Refused("this way to log in is not supported")),
    (None, &["aws-sigv4"], true, To::Refused("signed requests are not supported")),
    (Some('z'), &["time-cond"], true, To::Refused("use --if-exists update")),
    (None, &["preproxy"], true, To::Refused("two proxies, one behind the other, are not supported")),
    (None, &["socks4"], true, To::Refused("SOCKS 4 is supported only as socks4a://, for example with -x")),
];
