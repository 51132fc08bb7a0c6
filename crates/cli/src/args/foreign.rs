//! Options of curl, wget and aria2, which users of these tools may type.
//!
//! If downhaul always does what an option requests, the option is accepted and changes nothing. All other
//! options in this file are refused, with a message that says what to do instead. Neither the help nor the
//! completions show the options in this file.

use clap::{Arg, ArgAction, ArgMatches, Command};

/// What downhaul does with an option of another tool.
enum Here {
    /// downhaul always does what the option requests.
    Anyway,
    /// If the value of the option is the first text, downhaul always does what the option requests. If the
    /// option has any other value, the second text says what to do instead.
    AnywayFor(&'static str, &'static str),
    /// The text says what to do instead.
    Instead(&'static str),
}

use Here::{Anyway, AnywayFor, Instead};

/// The short name, the long names, the name of the value (if the option takes one), and what downhaul does
/// with the option.
type Row = (Option<char>, &'static [&'static str], Option<&'static str>, Here);

const TABLE: &[Row] = &[
    // Options that downhaul does not need.
    (Some('O'), &["remote-name", "remote-name-all"], None, Anyway),
    (Some('L'), &["location", "trust-server-names"], None, Anyway),
    (Some('J'), &["remote-header-name", "content-disposition"], None, Anyway),
    (Some('f'), &["fail", "fail-with-body"], None, Anyway),
    (Some('S'), &["show-error", "show-progress"], None, Anyway),
    (Some('R'), &["remote-time"], None, Anyway),
    (Some('Z'), &["progress-bar"], None, Anyway),
    (Some('g'), &["globoff"], None, Anyway),
    (None, &["create-dirs", "remove-on-error", "http1.1-or-later"], None, Anyway),
    (
        Some('C'),
        &["continue-at"],
        Some("OFFSET"),
        AnywayFor("-", "downhaul finds by itself where to continue, so leave this option out"),
    ),
    // Most of these options have another name in downhaul.
    (Some('s'), &["silent", "no-verbose"], None, Instead("use -q for curl's -s; leave out aria2's -s N")),
    (Some('k'), &["no-check-certificate"], None, Instead("use --insecure")),
    (Some('E'), &["certificate"], Some("FILE"), Instead("use --cert FILE")),
    (None, &["private-key"], Some("FILE"), Instead("use --key FILE")),
    (None, &["pinnedpubkey"], Some("KEYS"), Instead("use --pinned-pubkey KEYS")),
    (None, &["tlsv1.2"], None, Anyway),
    (None, &["tlsv1.3"], None, Instead("use --tls-min 1.3")),
    (Some('P'), &["directory-prefix", "output-dir", "dir"], Some("DIR"), Instead("use -d DIR")),
    (None, &["output-document", "out"], Some("FILE"), Instead("use -o FILE")),
    (None, &["input-file"], Some("FILE"), Instead("use -i FILE")),
    (None, &["no-clobber", "skip-existing"], None, Instead("use --if-exists skip")),
    (Some('z'), &["time-cond", "conditional-get"], Some("FILE"), Instead("use --if-exists update")),
    (Some('K'), &[], Some("FILE"), Instead("use -i FILE for a list of URLs, and --config FILE for settings")),
    (None, &["fail-early"], None, Instead("use --on-error exit")),
    (None, &["no-parent"], None, Anyway),
    (
        Some('n'),
        &[],
        None,
        Instead(
            "the netrc file is read without an option (curl's -n), and --if-exists skip keeps files (wget's -nc)",
        ),
    ),
    (Some('N'), &["timestamping"], None, Instead("use --if-exists update")),
    (None, &["allow-overwrite", "clobber"], None, Instead("use --if-exists overwrite")),
    (None, &["auto-file-renaming"], None, Instead("use --if-exists rename")),
    (
        None,
        &["resume", "continue-download"],
        None,
        Instead("run the same command again to resume (-c continues a file that another tool left)"),
    ),
    (Some('t'), &["tries", "retry", "max-tries"], Some("N"), Instead("use --retries N")),
    (Some('T'), &["read-timeout", "speed-time"], Some("SECS"), Instead("use --timeout SECS")),
    (
        Some('m'),
        &["mirror"],
        None,
        Instead("use --max-time SECS for curl's -m; downhaul does not mirror sites"),
    ),
    (
        Some('U'),
        &[],
        Some("TEXT"),
        Instead("use --proxy-user NAME:PASSWORD for curl's -U, or -A TEXT for wget's -U"),
    ),
    (
        None,
        &[
            "proxy-password",
            "proxy-passwd",
            "all-proxy-user",
            "all-proxy-passwd",
            "http-proxy-user",
            "https-proxy-user",
        ],
        Some("LOGIN"),
        Instead("use --proxy-user NAME:PASSWORD, or --proxy-user @FILE"),
    ),
    (None, &["ask-password"], None, Instead("use --user NAME, and downhaul asks for the password")),
    (None, &["socks4"], Some("HOST"), Instead("use --proxy socks4a://HOST:PORT")),
    (None, &["http2-prior-knowledge"], None, Instead("use --http2")),
    (None, &["location-trusted"], None, Instead("use --header-for HOST HEADER")),
    (
        None,
        &["capath", "ca-directory", "proxy-cacert"],
        Some("PATH"),
        Instead("use --cacert FILE, or the environment variable SSL_CERT_DIR"),
    ),
    (None, &["pass"], Some("PASSWORD"), Instead("use --key-password PASSWORD, or --key-password @FILE")),
    (Some('G'), &["get"], None, Instead("write the data into the query of the URL")),
    (None, &["load-cookies"], Some("FILE"), Instead("use --cookies FILE")),
    (None, &["cookie-jar"], Some("FILE"), Instead("use --save-cookies FILE")),
    (None, &["keep-session-cookies"], None, Anyway),
    (None, &["background"], None, Instead("put & at the end of the command")),
    (
        None,
        &["http-user", "http-password", "http-passwd", "password"],
        Some("LOGIN"),
        Instead("use --user NAME:PASSWORD, or --user @FILE"),
    ),
    (None, &["oauth2-bearer"], Some("TOKEN"), Instead("use --bearer TOKEN, or --bearer @FILE")),
    (None, &["basic", "auth-no-challenge", "http-auth-challenge"], None, Instead("use --auth basic")),
    (None, &["digest"], None, Instead("use --auth digest")),
    (None, &["anyauth"], None, Anyway),
    (None, &["netrc-file"], Some("FILE"), Instead("use --netrc FILE")),
    (None, &["netrc-optional"], None, Anyway),
    (None, &["all-proxy", "http-proxy", "https-proxy"], Some("URL"), Instead("use --proxy URL")),
    (None, &["socks4a"], Some("HOST"), Instead("use --proxy socks4a://HOST:PORT")),
    (None, &["socks5"], Some("HOST"), Instead("use --proxy socks5://HOST:PORT")),
    (None, &["socks5-hostname"], Some("HOST"), Instead("use --proxy socks5h://HOST:PORT")),
    (None, &["bind-address", "bind-interfaces"], Some("ADDRESS"), Instead("use --interface ADDRESS")),
    (None, &["noproxy"], Some("HOSTS"), Instead("use --no-proxy HOSTS")),
    (None, &["proxy-basic", "proxy-anyauth"], None, Anyway),
    (
        None,
        &["proxy-digest"],
        None,
        Instead(
            "leave this option out. The proxy then chooses between Basic and Digest. With Basic, the proxy gets the password itself",
        ),
    ),
    (None, &["max-redirs", "max-redirect"], Some("N"), Instead("use --max-redirects N")),
    (None, &["parallel-max", "max-concurrent-downloads"], Some("N"), Instead("use -j N")),
    (None, &["max-connection-per-server", "split"], Some("N"), Instead("use -x N")),
    (None, &["http1.1"], None, Instead("use --http1")),
    (None, &["speed-limit", "lowest-speed-limit"], Some("RATE"), Instead("use --min-speed RATE")),
    (None, &["max-overall-download-limit"], Some("RATE"), Instead("use --limit-rate RATE")),
    (
        None,
        &["max-download-limit"],
        Some("RATE"),
        Instead("use --limit-rate RATE for all files together, or \"limit_rate\" in a list for one file"),
    ),
    (
        Some('r'),
        &["recursive"],
        None,
        Instead("use --range A-B for curl's -r; downhaul does not download sites"),
    ),
    (Some('I'), &["spider", "head"], None, Instead("downhaul cannot request the headers without the file")),
    (None, &["method"], Some("METHOD"), Instead("use --request METHOD")),
    (
        None,
        &["data-raw", "data-binary", "data-ascii", "data-urlencode", "post-data", "body-data"],
        Some("DATA"),
        Instead("use --data DATA"),
    ),
    (None, &["post-file", "body-file"], Some("FILE"), Instead("use --data @FILE")),
    (
        Some('F'),
        &["form", "upload-file"],
        Some("DATA"),
        Instead("downhaul cannot send multipart forms or upload files"),
    ),
    (None, &["ca-certificate"], Some("FILE"), Instead("use --cacert FILE")),
    (
        None,
        &["check-certificate"],
        Some("BOOL"),
        AnywayFor("true", "use --insecure to accept every certificate"),
    ),
    (Some('w'), &["write-out"], Some("FORMAT"), Instead("use --progress json")),
    (Some('a'), &["append-output"], Some("FILE"), Instead("use --log FILE")),
];

/// The prefix of the identifiers of these options in clap.
const ID: &str = "foreign:";

/// Adds the options of this file to the program and to its command `plan`, as hidden options.
pub(super) fn add(command: Command) -> Command {
    with_options(command).mut_subcommand("plan", with_options)
}

fn with_options(mut command: Command) -> Command {
    for row in TABLE {
        for name in names(row) {
            let mut arg = Arg::new(format!("{ID}{name}")).hide(true);
            arg = match row.2 {
                None => arg.action(ArgAction::Count),
                Some(name) => arg.action(ArgAction::Append).value_name(name).allow_hyphen_values(true),
            };
            command = command.arg(match name.strip_prefix("--") {
                Some(long) => arg.long(long.to_string()),
                None => arg.short(row.0),
            });
        }
    }
    command
}

/// Returns the names of an option as a user types them. Each name is a separate argument in clap, so that a
/// message can say which name was given.
fn names((short, long, ..): &Row) -> impl Iterator<Item = String> {
    short.map(|short| format!("-{short}")).into_iter().chain(long.iter().map(|long| format!("--{long}")))
}

/// Returns true if the identifier belongs to an option in this file.
pub(crate) fn is_foreign(id: &str) -> bool {
    id.starts_with(ID)
}

/// Returns the message about a refused option, if one was given.
pub(super) fn refusal(matches: &ArgMatches) -> Option<String> {
    let matches = matches.subcommand_matches("plan").unwrap_or(matches);
    let refused = |(name, (_, _, value, here)): (String, &Row)| {
        let id = format!("{ID}{name}");
        let values: Vec<String> = match value {
            None if matches.get_count(&id) == 0 => return None,
            None => Vec::new(),
            Some(_) => matches.get_many::<String>(&id)?.cloned().collect(),
        };
        match here {
            Anyway => None,
            AnywayFor(only, _) if values.iter().all(|value| value == only) => None,
            AnywayFor(_, instead) | Instead(instead) => {
                Some(format!("{name} is an option of other tools. Here, {instead}"))
            }
        }
    };
    TABLE.iter().flat_map(|row| names(row).map(move |name| (name, row))).find_map(refused)
}

/// Returns what to do instead of an option that clap refused, if the option is in this file. clap refuses
/// such an option after a command other than `plan`.
pub(super) fn instead_of(option: &str) -> Option<&'static str> {
    let name = option.split('=').next().unwrap_or(option);
    let is_it = |(short, long, _, _): &&Row| match name.strip_prefix("--") {
        Some(name) => long.contains(&name),
        None => short.is_some_and(|short| name.strip_prefix('-') == Some(&short.to_string())),
    };
    match TABLE.iter().find(is_it)?.3 {
        Anyway => Some("downhaul always does this, so leave this option out"),
        AnywayFor(_, instead) | Instead(instead) => Some(instead),
    }
}
