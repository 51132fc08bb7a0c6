//! The options for requests, logins, TLS, proxies and connections.

use crate::args::choices::{Auth, Decode, Hsts, TlsMin};
use crate::args::values::{self, BodyOption, CertOption, Header, LoginOption, Pins, SecretOption};
use clap::{Args as Group, ValueHint};
use downhaul_engine::core::job::ByteRange;
use downhaul_engine::core::names::{ConnectTo, DohServer, Interface, Resolve};
use downhaul_engine::core::secret::Secret;
use std::path::PathBuf;

/// The options for requests.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Network")]
pub struct Http {
    /// Send a header ('Name: value'), or the headers in @FILE
    ///
    /// Headers are sent to the origins (scheme, host and port) of the given URLs, and to no other origin.
    /// FILE must have one header on each line. Other users can see a header on the command line in the list
    /// of processes, but not a header in FILE.
    #[arg(short = 'H', long = "header", alias = "headers", value_name = "HEADER", value_parser = values::header_option)]
    pub headers: Vec<Header>,

    /// Send HEADER to HOST only, whether a given URL, a redirect or a document leads there
    ///
    /// HOST is a name or an address (for the default port), or has the form HOST:PORT. A document is, for
    /// example, a Metalink file or a list that is fetched from a URL. Over http, the header is sent only to
    /// http URLs that you gave and to their redirects.
    #[arg(long, num_args = 2, value_names = ["HOST", "HEADER"], value_parser = values::secret, hide_short_help = true)]
    pub header_for: Vec<Secret>,

    /// Log in to the origins of the given URLs with NAME or NAME:PASSWORD
    ///
    /// If you give no password, downhaul asks for it on the terminal. With @FILE, downhaul reads
    /// NAME:PASSWORD from the first line of FILE, so that other users cannot see the password in the list of
    /// processes. The login is sent to no other origin (scheme, host and port).
    #[arg(short = 'u', long, value_name = "LOGIN", value_parser = values::login, hide_short_help = true)]
    pub user: Option<LoginOption>,

    /// Send this bearer token, or the token in @FILE
    ///
    /// The token is sent to the origins (scheme, host and port) of the given URLs, and to no other origin.
    #[arg(long, value_name = "TOKEN", value_parser = values::token, conflicts_with = "user", hide_short_help = true)]
    pub bearer: Option<SecretOption>,

    /// Read logins from this netrc file, not from $NETRC or ~/.netrc
    ///
    /// A login is a user name and a password. The login of a host is sent only to this host, and only if the
    /// host requires a login. (With --auth basic, the servers of the given URLs get it with the first
    /// request.) It is also sent if only a redirect, or a document such as a Metalink file or a fetched list,
    /// leads to the host. Over http, a login is sent only to http URLs that you gave and to their redirects.
    /// The entry default is used only for the origins of the given URLs.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub netrc: Option<PathBuf>,

    /// Read no netrc file
    #[arg(long, conflicts_with = "netrc", hide_short_help = true)]
    pub no_netrc: bool,

    /// Choose when and how to send a login
    #[arg(long, value_name = "HOW", default_value = "auto", hide_short_help = true)]
    pub auth: Auth,

    /// Send these cookies ('NAME=VALUE; NAME=VALUE'), or the cookies in @FILE
    ///
    /// The cookies are sent to the origins (scheme, host and port) of the given URLs, and to no other origin.
    /// With @FILE, downhaul reads the cookies from the first line of FILE.
    #[arg(short = 'b', long, value_name = "COOKIES", value_parser = values::cookies, hide_short_help = true)]
    pub cookie: Vec<SecretOption>,

    /// Use the cookies in FILE, which has the Netscape format
    ///
    /// curl, wget and extensions of browsers write such files. Each cookie is sent only to the hosts and
    /// paths that FILE states for it. Cookies that servers set are always used within a run.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub cookies: Option<PathBuf>,

    /// Use the cookies of a browser: firefox, or firefox:PROFILE
    ///
    /// This option needs a build with the feature firefox.
    #[arg(long, value_name = "BROWSER", hide_short_help = true)]
    pub cookies_from_browser: Option<String>,

    /// Write the cookies of --cookies, of a browser and of servers to FILE at the end of the run
    ///
    /// The cookies of --cookie are not written. FILE has the form that --cookies reads. On Unix, only you can
    /// read it.
    #[arg(long, value_name = "FILE", value_parser = values::written_file(), value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub save_cookies: Option<PathBuf>,

    /// Send this text as the User-Agent header
    ///
    /// [default: downhaul/VERSION]
    #[arg(short = 'A', long, value_name = "TEXT", value_parser = values::header_value, hide_short_help = true)]
    pub user_agent: Option<String>,

    /// Send this URL as the Referer header to the origins of the given URLs
    #[arg(short = 'e', long, value_name = "URL", value_parser = values::referer, hide_short_help = true)]
    pub referer: Option<String>,

    /// Use this HTTP method
    ///
    /// If METHOD is not GET, or if there is a body, an interrupted download is not resumed, and a failed
    /// request is retried only if --retries is given.
    ///
    /// [default: GET, or POST if there is a body]
    #[arg(short = 'X', long, value_name = "METHOD", value_parser = values::method, hide_short_help = true)]
    pub request: Option<String>,

    /// Send this body, or the content of @FILE, with POST
    ///
    /// The body is sent to the origins (scheme, host and port) of the given URLs, and to no other origin. Its
    /// Content-Type is application/x-www-form-urlencoded, unless -H 'Content-Type: ...' gives another one. If
    /// this option is given several times, the bodies are joined with &, as in curl.
    #[arg(long, value_name = "BODY", value_parser = values::body, conflicts_with = "json", hide_short_help = true)]
    pub data: Vec<BodyOption>,

    /// Send this body, or the content of @FILE, as application/json
    ///
    /// If this option is given several times, the bodies are joined without a separator.
    #[arg(long, value_name = "BODY", value_parser = values::body, hide_short_help = true)]
    pub json: Vec<BodyOption>,

    /// Save only these bytes of each file (0-999, or 1000- to the end)
    ///
    /// The digests of whole files are not compared with these bytes.
    #[arg(
        long,
        value_name = "A-B",
        value_parser = ByteRange::read,
        allow_hyphen_values = true,
        conflicts_with_all = ["checksum", "checksum_file", "signed_by", "record", "data", "json", "request"],
        hide_short_help = true
    )]
    pub range: Option<ByteRange>,

    /// The option of curl that means `--decode auto`.
    #[arg(long, hide = true)]
    pub compressed: bool,

    /// Trust the certificates in this PEM file instead of the certificates of the system
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub cacert: Option<PathBuf>,

    /// Accept every certificate, even an invalid one
    ///
    /// Other people on the network can then read and change the download.
    #[arg(long, hide_short_help = true)]
    pub insecure: bool,

    /// Follow at most N redirects
    #[arg(long, value_name = "N", default_value_t = 20, hide_short_help = true)]
    pub max_redirects: u32,

    /// Follow redirects from https to http
    #[arg(long, hide_short_help = true)]
    pub allow_downgrade: bool,

    /// Use HTTP/1.1 only
    #[arg(long, conflicts_with = "http2", hide_short_help = true)]
    pub http1: bool,

    /// Use HTTP/2 only
    ///
    /// By default, downhaul uses HTTP/2 only for files over https that it expects to be small, because a list
    /// states a small size or because other files of the server were small. All other files are fetched over
    /// HTTP/1.1.
    #[arg(long, hide_short_help = true)]
    pub http2: bool,

    /// Choose whether to decode content that a server compressed although downhaul requested no compression
    #[arg(long, value_name = "HOW", default_value = "off", hide_short_help = true)]
    pub decode: Decode,

    /// Use IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6", hide_short_help = true)]
    pub ipv4: bool,

    /// Use IPv6 only
    #[arg(short = '6', long, hide_short_help = true)]
    pub ipv6: bool,

    /// Connect through a proxy, such as http://HOST:PORT
    ///
    /// PROXY is a URL with the scheme http, https, socks4a, socks5, socks5h or socks (which means socks5h).
    /// Without a scheme, http is used. The default port is 1080 (443 for https). With this option, the
    /// proxies of the environment (http_proxy, https_proxy and all_proxy) are not used. An empty PROXY means
    /// that no proxy is used.
    ///
    /// [default: $http_proxy, $https_proxy or $all_proxy]
    #[arg(long, value_name = "PROXY", value_parser = values::secret, value_hint = ValueHint::Url)]
    pub proxy: Option<Secret>,

    /// Connect to these hosts without a proxy (example.org,10.0.0.0/8)
    ///
    /// A name also matches all names below it, and * matches all hosts. [default: $no_proxy]
    #[arg(long, value_name = "HOSTS", hide_short_help = true)]
    pub no_proxy: Option<String>,

    /// Log in to the proxy with NAME or NAME:PASSWORD
    ///
    /// If you give no password, downhaul asks for it on the terminal. With @FILE, downhaul reads
    /// NAME:PASSWORD from the first line of FILE.
    #[arg(long, value_name = "LOGIN", value_parser = values::login, hide_short_help = true)]
    pub proxy_user: Option<LoginOption>,

    /// Send the client certificate in this PEM file to the origins of the given URLs
    ///
    /// CERT is FILE or, as in curl, FILE:PASSWORD with the password of the key. A colon in the name of FILE
    /// needs a backslash before it. FILE must also contain the certificates of the chain and, unless --key is
    /// given, the private key.
    #[arg(long, value_name = "CERT", value_parser = values::cert, value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub cert: Option<CertOption>,

    /// Read the private key of the client certificate from this PEM file
    ///
    /// If the key is encrypted, its password comes from --key-password or from --cert FILE:PASSWORD. If
    /// neither option gives the password, downhaul asks for it on the terminal.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub key: Option<PathBuf>,

    /// Decrypt the private key with this password, or the password in @FILE
    ///
    /// This password is used even if --cert FILE:PASSWORD gives another password. If the key is encrypted and
    /// neither option gives a password, downhaul asks for it on the terminal.
    #[arg(long, value_name = "PASSWORD", value_parser = values::password, hide_short_help = true)]
    pub key_password: Option<SecretOption>,

    /// Require that the hosts of the given URLs have one of these public keys
    ///
    /// KEYS has the form sha256//BASE64, as in curl. Several keys are separated by semicolons. BASE64 is the
    /// SHA-256 of a key in its DER form (SubjectPublicKeyInfo). The certificate must be valid as well, unless
    /// --insecure or --insecure-host is given. An http URL of one of these hosts is not used. A download
    /// without another URL fails.
    #[arg(long, value_name = "KEYS", value_parser = values::pins, hide_short_help = true)]
    pub pinned_pubkey: Option<Pins>,

    /// Set the oldest version of TLS that is accepted
    #[arg(long, value_name = "VERSION", default_value = "1.2", hide_short_help = true)]
    pub tls_min: TlsMin,

    /// Accept every certificate of this host (HOST or HOST:PORT)
    #[arg(long, value_name = "HOST", value_parser = values::host, hide_short_help = true)]
    pub insecure_host: Vec<String>,

    /// Connect to these addresses for HOST and PORT (HOST:PORT:ADDRESS,ADDRESS)
    ///
    /// If HOST is *, the rule is for all hosts.
    #[arg(long, value_name = "RULE", value_parser = values::resolve, allow_hyphen_values = true, hide_short_help = true)]
    pub resolve: Vec<Resolve>,

    /// Connect to HOST2 and PORT2 in place of HOST1 and PORT1 (HOST1:PORT1:HOST2:PORT2)
    ///
    /// If HOST1 is empty, the rule is for every host, and if PORT1 is empty, for every port. If HOST2 is
    /// empty, the host of the URL is used, and if PORT2 is empty, the port of the URL. The host in the URL
    /// still decides which certificate is valid, and which headers and logins are sent.
    #[arg(long, value_name = "RULE", value_parser = ConnectTo::parse, hide_short_help = true)]
    pub connect_to: Vec<ConnectTo>,

    /// Make connections from this local address, or (on Linux) through this network interface (such as eth0)
    #[arg(long, value_name = "ADDRESS", value_parser = Interface::parse, hide_short_help = true)]
    pub interface: Option<Interface>,

    /// Resolve host names with this DNS over HTTPS server instead of the system
    ///
    /// URL is an https URL (RFC 8484). The system resolves only the host name in this URL, and localhost.
    /// This option needs a build with the feature doh.
    #[arg(long, alias = "doh-url", value_name = "URL", value_parser = DohServer::parse, hide_short_help = true)]
    pub doh: Option<DohServer>,

    /// Connect to this Unix socket instead of the hosts of the URLs
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub unix_socket: Option<PathBuf>,

    /// Refuse a private address if a redirect, a document or a mirror leads to it
    ///
    /// A private address is an address of a private network or of this machine. It is refused in four cases:
    /// a host with a public address redirects to it, a URL in a document leads to it, a server offers a
    /// mirror at this address, or its host had a public address earlier in the run. A document is a Metalink
    /// file, a fetch.txt of BagIt, a data package, an RO-Crate, or a list that is fetched from a URL. A URL
    /// in a document is accepted if you gave a URL with the same origin.
    #[arg(long, hide_short_help = true)]
    pub no_private: bool,

    /// Choose whether to use https for hosts that require it (Strict-Transport-Security)
    #[arg(long, value_name = "WHEN", default_value = "on", hide_short_help = true)]
    pub hsts: Hsts,
}
