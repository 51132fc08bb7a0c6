//! Makes the settings of the engine and of the output from the options and the environment. Apart from
//! libraries, only this file reads the environment.
//!
//! This file is long because it has a place for each option and each variable.

use crate::args::{self, Args, Color, Progress};
use crate::asks::{self, Asks};
use crate::containers;
use crate::given;
use crate::logins;
use crate::printer::Paint;
use crate::proxies;
use crate::state;
use downhaul_engine::core::dedup::Dedup;
use downhaul_engine::core::job::Headers;
use downhaul_engine::core::preview::Preview;
use downhaul_engine::core::run_limits::RunLimits;
use downhaul_engine::core::secret::Secret;
use downhaul_engine::core::settings::{
    Attributes, Family, HttpVersion, OnError, Resume, Settings, Sync, TlsVersion, Verify,
};
use downhaul_engine::core::show::escaped;
use std::io::IsTerminal;
use std::path::PathBuf;

/// The environment variables that `docs/environment.md` and the man page describe, and their effects. The
/// variables of systemd and the variables that `--shard auto` reads are described elsewhere.
pub const ENVIRONMENT: [(&str, &str); 15] = [
    (
        "DOWNHAUL_PARALLEL, DOWNHAUL_LIMIT_RATE and so on",
        "The variable sets the option of the same name, unless the command line sets it (see [config.md](config.md)).",
    ),
    (
        "DOWNHAUL_CONFIG, DOWNHAUL_PROFILE",
        "They name the configuration file and its profile, unless `--config` and `--profile` do.",
    ),
    (
        "DOWNHAUL_LOG",
        "It names the log, unless `--log` does. With `none`, no log is written. The default is \
         `download_log.txt`, or no log with `-o -`.",
    ),
    (
        "DOWNHAUL_DAEMON_SECRET",
        "The value is the secret that clients of `downhaul daemon` must send, unless `--secret-file` or `--no-secret` is \
         given. `downhaul add`, `list` and the other commands for a running daemon send this secret, unless they are \
         given `--secret-file`.",
    ),
    (
        "DOWNHAUL_DAEMON",
        "The value is the URL of the daemon for `downhaul add`, `list` and the other commands for a running daemon, unless `--daemon` names another URL.",
    ),
    ("NO_COLOR", "If it is set and not empty, `--color auto` uses no colours (see no-color.org)."),
    ("TERM", "If it is `dumb`, `--progress auto` draws no bars, and `--color auto` uses no colours."),
    (
        "LC_ALL, LC_CTYPE, LANG",
        "The first of these variables that is set states the encoding of the terminal. If this encoding is not UTF-8, \
         or if none of the variables is set, bars are drawn in ASCII.",
    ),
    (
        "http_proxy, https_proxy, all_proxy (also in capitals)",
        "`http_proxy` names the proxy for `http` URLs, and `https_proxy` names the proxy for `https` URLs. If the \
         variable for the scheme of a URL names no proxy, `all_proxy` is used. With `--proxy`, none of these three variables is used. \
         `HTTP_PROXY` is ignored if `REQUEST_METHOD` is set, because in a CGI program the client chooses the value of `HTTP_PROXY`.",
    ),
    ("no_proxy, NO_PROXY", "They name the hosts that need no proxy, unless `--no-proxy` is given."),
    (
        "SSL_CERT_FILE, SSL_CERT_DIR",
        "They name trusted certificates, which replace the certificates of the system. On Windows and macOS, these variables are not used.",
    ),
    (
        "XDG_STATE_HOME, HOME (Windows: LOCALAPPDATA)",
        "Data for later runs is in the folder for state. This is the folder `downhaul` in `$XDG_STATE_HOME`, or else \
         in `$HOME/.local/state` (macOS: `$HOME/Library/Application Support`). The file `hosts.json` in it has what \
         earlier runs learned about hosts (see `--no-learn`). The file `key` has the secret key for the hashes of URLs, which \
         are stored with downloaded files. The files `daemon-secret` (the secret), `daemon.db` \
         (the queue) and `daemon.json` (the address, for clients) belong to `downhaul daemon`.",
    ),
    (
        "XDG_CONFIG_HOME, HOME (Windows: APPDATA)",
        "The configuration is `downhaul/config.toml` in `$XDG_CONFIG_HOME`, or else in `$HOME/.config` (macOS: \
         `$HOME/Library/Application Support`). `downhaul aria2c` reads `~/.aria2/aria2.conf`, or else \
         `aria2/aria2.conf` in `$XDG_CONFIG_HOME` or `$HOME/.config`.",
    ),
    (
        "NETRC",
        "It names the netrc file, unless `--netrc` does. The default is `.netrc` in the home folder (Windows: `_netrc`).",
    ),
    ("TZ", "It sets the time zone of the log, and of a time of `--deadline` that states no zone."),
];

#[derive(Debug, Clone)]
pub(crate) struct OutputSettings {
    pub(crate) progress: Shown,
    /// True if the cursor of the terminal can be moved, so that lines can be painted again.
    pub(crate) repaints: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    pub(crate) explain: bool,
    pub(crate) color: bool,
    pub(crate) unicode: bool,
    pub(crate) log: Option<PathBuf>,
}

/// The kind of output during the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Bars,
    Plain,
    Json,
    Nothing,
}

/// Returns the settings of a run. `to_stdout` is true if the bytes go to standard output. `can_ask` is true
/// if the user can be asked. `file_limit` is the number of files and connections that may be open.
///
/// # Errors
/// Returns an error if some options contradict each other, or if the value of an option cannot be used.
//
// This function is long because it goes through all options, one after the other.
pub(crate) fn resolve(
    args: &Args,
    to_stdout: bool,
    can_ask: bool,
    file_limit: usize,
) -> Result<(Settings, OutputSettings), String> {
    if to_stdout && args.options.reporting.progress == Progress::Json {
        return Err("-o - and --progress json both write to standard output".into());
    }
    if to_stdout && args.options.verification.record.is_some() {
        return Err("-o - gives the file no name, and --record needs one".into());
    }
    let repairs = matches!(args.command, Some(args::Command::Repair(_)));
    if args.options.verification.verify == args::Verify::Off {
        let asked = [
            ("repair", repairs),
            ("--checksum", args.options.verification.checksum.is_some()),
            ("--checksum-file", args.options.verification.checksum_file.is_some()),
            ("--signed-by", args.options.verification.signed_by.is_some()),
        ];
        if let Some((option, _)) = asked.iter().find(|(_, given)| *given) {
            return Err(format!("{option} requires verification, and --verify off turns it off"));
        }
    }
    let output = output_settings(args, to_stdout);
    let defaults = Settings::default();
    if let Some(why) =
        asks::contradiction(args).or_else(|| containers::contradiction(args)).or_else(|| plan_of_dedup(args))
    {
        return Err(why);
    }
    let on_error = match args.options.failure.on_error {
        None if Asks::is_special(args) && !args.has_retries => OnError::Retry,
        // Without a terminal, or with `--progress json`, the user is not asked.
        Some(args::OnError::Ask) | None if output.progress == Shown::Json || !can_ask => OnError::Retry,
        Some(args::OnError::Ask) | None => OnError::Ask,
        Some(args::OnError::Retry) => OnError::Retry,
        Some(args::OnError::Skip) => OnError::Skip,
        Some(args::OnError::Exit) => OnError::Exit,
    };
    let parallel = args.options.work.parallel.unwrap_or(Some(crate::survey::FEW_AT_ONCE)).map(usize::from);
    let signed_by = args.options.verification.signed_by.as_deref().map(given::keys).transpose()?;
    let checksums = args.options.verification.checksum_file.as_deref();
    let checksums = checksums.map(|list| given::checksums(list, signed_by.as_ref()));
    let mut settings = Settings::default();
    settings.output = args.output.folder.clone();
    settings.naming = args.output.naming();
    settings.if_exists = args.existing.if_exists.into();
    settings.if_locked = args.existing.if_locked.into();
    settings.keep_mtime = !args.output.no_mtime;
    settings.attributes = match (args.output.no_xattr, args.output.xattr) {
        (true, _) => Attributes::None,
        (_, true) => Attributes::Url,
        _ => Attributes::Record,
    };
    settings.preview = args.plan().map(|plan| if plan.offline { Preview::Offline } else { Preview::Ask });
    let key = if settings.preview.is_some() { state::existing_key } else { state::key };
    settings.key = state_folder().and_then(|folder| key(&folder)).unwrap_or_default();
    settings.parallel = parallel;
    settings.limit_rate = args.options.work.limit_rate;
    settings.limits = RunLimits {
        max_total: args.options.work.max_total,
        deadline: args.options.work.deadline.map(args::Deadline::left),
    };
    settings.connections = args.options.work.connections.map(usize::from);
    settings.max_per_host = usize::from(args.options.work.max_per_host);
    // If the user set the number of files at once, there is at least one connection for each of these files,
    // unless the connections would use more than a quarter of the file descriptors.
    settings.max_connections = parallel.unwrap_or(0).max(defaults.max_connections).min(file_limit / 4).max(1);
    // `continue` in the configuration does not apply to a range.
    let adopts = args.existing.adopt && args.options.http.range.is_none();
    settings.resume = match (repairs, args.existing.no_resume, adopts) {
        (true, ..) => Resume::Repair,
        (_, true, _) => Resume::Forget,
        (_, _, true) => Resume::Adopt,
        _ => Resume::Auto,
    };
    settings.sync = match args.output.sync {
        args::Sync::Auto => Sync::Auto,
        args::Sync::Always => Sync::Always,
        args::Sync::Never => Sync::Never,
    };
    settings.verify = match args.options.verification.verify {
        args::Verify::Auto => Verify::Auto,
        args::Verify::Find => Verify::Find,
        args::Verify::Listed => Verify::Listed,
        args::Verify::Require => Verify::Require,
        args::Verify::Off => Verify::Off,
    };
    settings.keeps_transcripts = args.output.to_warc.is_some();
    settings.accept_html = args.options.verification.accept_html;
    settings.checksums = checksums.transpose()?;
    // The value is set later, when the input is known.
    settings.single = false;
    settings.signed_by = signed_by;
    settings.mirrors = args.options.verification.mirrors == args::Mirrors::Auto;
    settings.dedup = args.existing.dedup.into();
    // These options need the digest of each file: the lock file and the archive store it, `--dedup` uses it
    // to find files with the same bytes, and the description of a file in a container contains it.
    settings.record = args.options.verification.record.is_some()
        || args.existing.archive.is_some()
        || args.output.containers().is_some()
        || settings.dedup != Dedup::Off;
    // A request that may change something on the server is sent again only if the user gave `--retries`.
    let once = Asks::is_special(args) && !args.has_retries;
    settings.retries = if once { 0 } else { args.options.failure.retries };
    settings.retry_on = args.options.failure.retry_on.clone();
    settings.on_error = on_error;
    settings.timeout = args.options.failure.timeout;
    settings.connect_timeout = args.options.failure.connect_timeout;
    settings.max_time = args.options.failure.max_time;
    settings.min_bytes_a_minute =
        args.options.failure.min_speed.map_or(defaults.min_bytes_a_minute, |rate| rate.saturating_mul(60));
    settings.http_version = match (args.options.http.http1, args.options.http.http2) {
        (true, _) => HttpVersion::One,
        (_, true) => HttpVersion::Two,
        _ => HttpVersion::Auto,
    };
    settings.headers = Headers(given::headers("-H", &args.options.http.headers)?);
    settings
        .headers
        .0
        .extend(args.options.http.referer.iter().map(|url| ("Referer".to_string(), Secret::new(url))));
    settings.headers_for = given::headers_for(&args.options.http.header_for)?;
    settings.for_hosts = args.config.host_rules();
    logins::apply(args, &mut settings);
    settings.decode = args.options.http.decode == args::Decode::Auto || args.options.http.compressed;
    settings.user_agent = args.options.http.user_agent.clone().unwrap_or(defaults.user_agent);
    settings.cacert = args.options.http.cacert.clone();
    settings.insecure = args.options.http.insecure;
    settings.max_redirects = args.options.http.max_redirects;
    settings.allow_downgrade = args.options.http.allow_downgrade;
    settings.family = match (args.options.http.ipv4, args.options.http.ipv6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        _ => Family::Any,
    };
    settings.client_certificate = args.options.http.cert.as_ref().map(|cert| cert.file.clone());
    settings.client_key = args.options.http.key.clone();
    settings.client_key_password = logins::token(args.options.http.key_password.as_ref());
    settings.pinned_keys =
        args.options.http.pinned_pubkey.as_ref().map(|pins| pins.0.clone()).unwrap_or_default();
    settings.tls_min = match args.options.http.tls_min {
        args::TlsMin::V12 => TlsVersion::V12,
        args::TlsMin::V13 => TlsVersion::V13,
    };
    settings.insecure_hosts = args.options.http.insecure_host.clone();
    settings.resolve = args.options.http.resolve.clone();
    settings.connect_to = args.options.http.connect_to.clone();
    settings.interface = args.options.http.interface.clone();
    if args.options.http.doh.is_some() && cfg!(not(feature = "doh")) {
        return Err("--doh: this build lacks the feature doh".into());
    }
    settings.doh = args.options.http.doh.clone();
    settings.refuse_private = args.options.http.no_private;
    settings.hsts = args.options.http.hsts == args::Hsts::On;
    settings.unix_socket = args.options.http.unix_socket.clone();
    settings.proxies =
        proxies::of(&args.options.http).map_err(|why| match why.strip_prefix("--proxy: ") {
            Some(rest) => format!("{}: {rest}", args.config.called("--proxy").trim_end_matches(':')),
            None => why,
        })?;
    settings.proxies.for_hosts = args.config.host_rules();
    settings.hosts =
        state_folder().filter(|_| !args.options.work.no_learn).map(|folder| folder.join("hosts.json"));
    settings.reserved = output
        .log
        .iter()
        .chain(&args.options.verification.record)
        .chain(&args.existing.archive)
        .chain(&args.options.failure.failed)
        .chain(&args.options.http.save_cookies)
        .cloned()
        .collect();
    // Standard input may be a file that a download could replace.
    let path = |list: &PathBuf| if list.as_os_str() == "-" { "/dev/stdin".into() } else { list.clone() };
    settings.lists = args.output.input.iter().map(path).collect();
    Ok((settings, output))
}

/// Returns a hint if the folder of `-d` does not exist, and if its name looks like the name of a file or like
/// the body of a request. In curl, the value of `-d` is the body of a request. With `-q`, there is no hint.
pub(crate) fn folder_hint(args: &Args) -> Option<String> {
    let folder = &args.output.folder;
    let name = folder.file_name()?.to_str()?;
    let is_body = name.starts_with(['{', '@']) || name.contains('=');
    if is_body && !args.options.reporting.quiet && !folder.exists() {
        return Some(format!("-d names the folder, here {}/. To send a body, use --data", escaped(name)));
    }
    let ending = folder.extension()?.to_str()?;
    // A folder may have a name such as `v1.2`. A name whose ending has a letter is probably the name of a
    // file.
    let is_ending = ending.len() <= 5
        && ending.chars().all(|c| c.is_ascii_alphanumeric())
        && ending.chars().any(|c| c.is_ascii_alphabetic());
    let is_single = args.urls.len() == 1 && args.output.save_as.is_none();
    (is_single && is_ending && !args.options.reporting.quiet && !folder.exists()).then(|| {
        let name = escaped(name);
        format!("-d names the folder, so the file is saved in {name}/. To name the file, use -o {name}")
    })
}

/// Returns the settings of the output. `replay` needs no other settings.
pub(crate) fn output_settings(args: &Args, to_stdout: bool) -> OutputSettings {
    let screen = is_screen(&std::io::stderr());
    let log = match args.options.reporting.log.clone() {
        Some(path) => Some(path).filter(|path| path.as_os_str() != "none"),
        None if to_stdout => None,
        // This name was the default of the first version, and scripts rely on it.
        None => Some(PathBuf::from("download_log.txt")),
    };
    let progress = match args.options.reporting.progress {
        Progress::Auto if screen && args.options.reporting.quiet => Shown::Nothing,
        Progress::Auto if screen => Shown::Bars,
        Progress::Auto => Shown::Plain,
        // Bars need a terminal, because they are drawn by moving its cursor.
        Progress::Bars if std::io::stderr().is_terminal() => Shown::Bars,
        Progress::Bars | Progress::Plain => Shown::Plain,
        Progress::Json => Shown::Json,
        Progress::None => Shown::Nothing,
    };
    OutputSettings {
        progress,
        repaints: screen || progress == Shown::Bars,
        quiet: args.options.reporting.quiet,
        verbose: args.options.reporting.verbose > 0,
        explain: args.options.reporting.explain,
        color: colours(args, screen),
        unicode: ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(env).is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        }),
        log,
    }
}

/// Returns true if a command without bars shows a line while it works. If standard output is not a terminal,
/// a program that reads the output may use the terminal, so there is no line.
pub(crate) fn shows_work(output: &OutputSettings) -> bool {
    output.progress == Shown::Bars && std::io::stdout().is_terminal()
}

pub(crate) fn paint_for_stdout(args: &Args) -> Paint {
    Paint(colours(args, is_screen(&std::io::stdout())))
}

fn colours(args: &Args, screen: bool) -> bool {
    match args.options.reporting.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => screen && env("NO_COLOR").is_none(),
    }
}

/// Returns true if an output is a terminal with a cursor that can be moved.
fn is_screen(output: &impl IsTerminal) -> bool {
    output.is_terminal() && env("TERM").as_deref() != Some("dumb")
}

/// Returns the folder for data that is kept between runs, as the XDG Base Directory Specification or the
/// convention of the system says. Returns `None` if the environment names no such folder.
pub(crate) fn state_folder() -> Option<PathBuf> {
    folder_of_ours("XDG_STATE_HOME", ".local/state", "LOCALAPPDATA")
}

/// Returns the folder for the configuration, by the same rules as [`state_folder`].
pub(crate) fn config_folder() -> Option<PathBuf> {
    folder_of_ours("XDG_CONFIG_HOME", ".config", "APPDATA")
}

/// Returns the folder `downhaul` in the folder that `variable` names, or else in the folder `below_home`
/// below the home folder (on macOS `Library/Application Support`). On Windows, only the variable `on_windows`
/// is used.
fn folder_of_ours(variable: &str, below_home: &str, on_windows: &str) -> Option<PathBuf> {
    let folder = if cfg!(windows) {
        folder(on_windows)
    } else {
        let usual = if cfg!(target_os = "macos") { "Library/Application Support" } else { below_home };
        folder(variable).or_else(|| Some(home()?.join(usual)))
    };
    Some(folder?.join("downhaul"))
}

/// Returns the path of the netrc file that is read by default. The file may be missing.
pub(crate) fn netrc_path() -> Option<PathBuf> {
    let usual = if cfg!(windows) { "_netrc" } else { ".netrc" };
    env("NETRC").map(PathBuf::from).or_else(|| Some(home()?.join(usual)))
}

pub(crate) fn home() -> Option<PathBuf> {
    folder(if cfg!(windows) { "USERPROFILE" } else { "HOME" })
}

pub(crate) fn temporary_folder() -> PathBuf {
    std::env::temp_dir()
}

/// Returns the folder that a variable names. Returns `None` for a relative path, because the XDG Base
/// Directory Specification says that relative paths must be ignored.
pub(crate) fn folder(variable: &str) -> Option<PathBuf> {
    env(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Returns the value of a variable. A value that is empty or not valid Unicode counts as not set.
pub(crate) fn variable(name: &str) -> Option<String> {
    env(name)
}

/// Returns the variables whose names begin with `prefix`, sorted by name. Variables that are empty or not
/// valid Unicode are left out.
pub(crate) fn variables(prefix: &str) -> Vec<(String, String)> {
    let all = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut ours: Vec<_> =
        all.filter(|(name, value)| name.starts_with(prefix) && !value.is_empty()).collect();
    ours.sort();
    ours
}

#[expect(clippy::disallowed_methods, reason = "the environment is read here, and nowhere else")]
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns why there is no plan with `--dedup`, in words for the user. Returns `None` if the command is not a
/// plan, or has no `--dedup`. A plan cannot know which files are made from other files, because this
/// depends on the order in which the downloads end, and on digests that are known only then.
fn plan_of_dedup(args: &Args) -> Option<String> {
    (args.plan().is_some() && args.existing.dedup != args::Dedup::Off).then(|| {
        "a plan cannot say which files --dedup makes from other files. With --dedup off, the plan shows all downloads of a run without --dedup"
            .into()
    })
}
