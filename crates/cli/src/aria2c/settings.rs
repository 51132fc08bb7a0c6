//! Makes the settings of the library from options of aria2. Most of these options have the same effect as an
//! option of downhaul, so they are translated into a command line of `downhaul daemon`, which is read as
//! usual. The other options are put into the settings directly.

use super::arguments::Refused;
use crate::args::{Args, Command, NoArgs};
use crate::daemon;
use crate::run;
use downhaul_daemon::network;
use downhaul_daemon::options::Options;
use downhaul_engine::core::proxy::NoProxy;
use downhaul_engine::core::settings::{Resume, Settings};
use std::ffi::OsString;
use std::time::Duration;

/// Options of aria2, each with the option of downhaul that takes the same value.
const SAME: [(&str, &str); 7] = [
    ("timeout", "--timeout"),
    ("connect-timeout", "--connect-timeout"),
    ("ca-certificate", "--cacert"),
    ("certificate", "--cert"),
    ("private-key", "--key"),
    ("load-cookies", "--cookies"),
    ("interface", "--interface"),
];

/// Each row has an option of aria2, one of its values, and the words of a command line of downhaul that have
/// the same effect.
const SWITCHES: [(&str, &str, &[&str]); 4] = [
    ("check-certificate", "false", &["--insecure"]),
    ("disable-ipv6", "true", &["--ipv4"]),
    ("min-tls-version", "TLSv1.3", &["--tls-min", "1.3"]),
    ("http-accept-gzip", "true", &["--decode", "auto"]),
];

/// Returns the settings, and the arguments of downhaul from which most of them come.
///
/// # Errors
/// Returns a message for the user, which says which value cannot be used. The message is empty if a secret or
/// a file with secrets could not be read. The reason was then printed already, unless the user stopped the
/// run when downhaul asked for a password.
pub(super) fn of(options: &Options) -> Result<(Settings, Args), Refused> {
    let words = words(options);
    let args = Args::read(words.into_iter().map(OsString::from)).map_err(|no_args| match no_args {
        NoArgs::Asked(why) | NoArgs::Usage(why) => Refused::value(why),
    })?;
    let args = match &args.command {
        Some(Command::Daemon(daemon)) => args.serving(daemon),
        _ => args,
    };
    // The reason was printed already. If the user stopped the run, no reason is needed.
    let args = run::with_secrets(&args).map_err(|_| Refused::new(1, ""))?;
    let mut settings = daemon::settings_of(&args).map_err(Refused::value)?;
    settings.resume = match options.is_true("continue") {
        true => Resume::Adopt,
        false => Resume::AdoptMarked,
    };
    settings.retry_wait = Duration::from_secs(options.number("retry-wait"));
    settings.keep_mtime = options.is_true("remote-time");
    settings.proxies.http = network::proxy(options, "http", settings.proxies.http).map_err(Refused::value)?;
    settings.proxies.https =
        network::proxy(options, "https", settings.proxies.https).map_err(Refused::value)?;
    if let Some(hosts) = options.get("no-proxy") {
        settings.proxies.except = NoProxy::parse(hosts);
    }
    Ok((settings, args))
}

fn words(options: &Options) -> Vec<String> {
    let mut words: Vec<String> = ["downhaul", "daemon", "--config", "none"].map(String::from).into();
    // The option and its value are one word, because a separate value could be taken for an option.
    let mut add = |option: &str, value: &str| words.push(format!("{option}={value}"));
    for (name, option) in SAME {
        if let Some(value) = options.get(name) {
            add(option, value);
        }
    }
    // aria2 counts all tries, and 0 means that there is no limit. `--retries` does not count the first try.
    let tries = options.number("max-tries");
    add(
        "--retries",
        &tries.checked_sub(1).map_or("inf".into(), |retries| retries.min(u64::from(u32::MAX)).to_string()),
    );
    if options.number("lowest-speed-limit") > 0 {
        add("--min-speed", options.value("lowest-speed-limit"));
    }
    match options.get("netrc-path") {
        _ if options.is_true("no-netrc") => words.push("--no-netrc".into()),
        Some(path) => words.push(format!("--netrc={path}")),
        None => {}
    }
    for (name, value, switch) in SWITCHES {
        if options.get(name) == Some(value) {
            words.extend(switch.iter().map(|word| (*word).to_string()));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_those_of_downhaul() {
        let mut options = Options::default();
        for (name, value) in [
            ("max-tries", "0"),
            ("timeout", "7"),
            ("check-certificate", "false"),
            ("lowest-speed-limit", "2K"),
        ] {
            options.set(name, value).expect("allowed");
        }
        let words = words(&options);
        for word in ["--retries=inf", "--timeout=7", "--insecure", "--min-speed=2048"] {
            assert!(words.iter().any(|other| other == word), "{word}: {words:?}");
        }
    }
}
