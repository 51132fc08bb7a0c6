//! Completes the logins of options: reads them from files, and asks for passwords on the terminal. A login is
//! a user name and its password.
//!
//! Invariant: no message contains a password or a token.

use crate::args::{self, Args, Header, LoginOption, SecretOption};
use crate::cookies;
use crate::given;
use crate::platform::{self, Hidden};
use crate::settings;
use crate::words;
use downhaul_engine::core::credentials::challenge::Schemes;
use downhaul_engine::core::credentials::netrc::{self, Netrc};
use downhaul_engine::core::error::{Error, ErrorKind};
use downhaul_engine::core::job::{Headers, Job};
use downhaul_engine::core::secret::{Login, Secret};
use downhaul_engine::core::settings::Settings;
use downhaul_engine::core::show;
use downhaul_engine::needs_password;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// The longest file with a login, a password, a token or cookies, in bytes. The longest common tokens have
/// some KiB.
const LONGEST: usize = 64 * 1024;

/// The reason why there is no login.
pub(crate) enum NoLogin {
    /// The login cannot be used. The text says why, in words for the user.
    Unusable(String),
    /// The user pressed Ctrl-C, or Ctrl-D on an empty line.
    Interrupted,
}

/// Returns the arguments with complete logins, and warnings for the user. If a login is not complete, it is
/// read from a file (`@FILE`), or the user types its password. A file may be a pipe, so it is read only once.
///
/// # Errors
/// Returns why a login, headers or cookies cannot be used, for example because no terminal can show the
/// question for a password. Returns [`NoLogin::Interrupted`] if the user ended such a question.
pub(crate) fn with_logins(args: &Args) -> Result<(Args, Vec<String>), NoLogin> {
    let mut notes = open_to_others(&args.options.http);
    let mut args = given::with_headers(args).map_err(NoLogin::Unusable)?;
    let config = args.config.clone();
    let called = |option| config.called(option);
    let http = &mut args.options.http;
    for (name, option) in [("--user", &mut http.user), ("--proxy-user", &mut http.proxy_user)] {
        if let Some(given) = option.take() {
            *option = Some(LoginOption::Whole(whole(&called(name), given)?));
        }
    }
    if let Some(SecretOption::File(path)) = &http.bearer {
        http.bearer = Some(token_of(path).map_err(NoLogin::Unusable)?);
    }
    http.key_password = key_password(http)?;
    for option in &mut http.cookie {
        if let SecretOption::File(path) = option {
            *option = cookies_of(path).map_err(NoLogin::Unusable)?;
        }
    }
    args.netrc = netrc(&args, &mut notes).map_err(NoLogin::Unusable)?;
    args.cookies = cookies::read(&args, &mut notes).map_err(NoLogin::Unusable)?;
    Ok((args, notes))
}

/// Returns warnings about files with secrets to which other users have rights.
fn open_to_others(http: &args::Http) -> Vec<String> {
    let open = secret_files(http).into_iter().filter(|(_, path)| platform::others_have_rights(path));
    let warning = |(name, path): (&str, PathBuf)| {
        let shown = words::path(&path);
        format!("other users have rights to the file {shown} of {name}: chmod 600 makes it private")
    };
    open.map(warning).collect()
}

/// Returns the files with secrets, each with the option that names it. Netrc files and cookie files are left
/// out, because the warnings about them are made where they are read.
pub(crate) fn secret_files(http: &args::Http) -> Vec<(&'static str, PathBuf)> {
    let logins = [("--user", &http.user), ("--proxy-user", &http.proxy_user)];
    let logins = logins.into_iter().filter_map(|(name, option)| match option {
        Some(LoginOption::File(path)) => Some((name, path.clone())),
        _ => None,
    });
    let secrets = [("--bearer", &http.bearer), ("--key-password", &http.key_password)];
    let secrets = secrets.into_iter().filter_map(|(name, option)| Some((name, option.as_ref()?)));
    let secrets = secrets.chain(http.cookie.iter().map(|option| ("--cookie", option)));
    let secrets = secrets.filter_map(|(name, option)| match option {
        SecretOption::File(path) => Some((name, path.clone())),
        SecretOption::Text(_) => None,
    });
    let headers = http.headers.iter().filter_map(|header| match header {
        Header::File(path) => Some(("-H", path.clone())),
        Header::Line(..) => None,
    });
    let for_hosts = http.header_for.iter().skip(1).step_by(2);
    let for_hosts = for_hosts.filter_map(|header| header.expose().strip_prefix('@'));
    let for_hosts = for_hosts.map(|path| ("--header-for", PathBuf::from(path)));
    // Without --key, the file of the certificate also has the private key.
    let key = match (&http.key, &http.cert) {
        (Some(key), _) => Some(("--key", key.clone())),
        (None, Some(cert)) => Some(("--cert", cert.file.clone())),
        (None, None) => None,
    };
    logins.chain(secrets).chain(headers).chain(for_hosts).chain(key).collect()
}

/// Returns the path of the netrc file of the run. The default file may be missing.
pub(crate) fn netrc_file(http: &args::Http) -> Option<PathBuf> {
    http.netrc.clone().or_else(|| settings::netrc_path().filter(|_| !http.no_netrc))
}

/// Reads the netrc file. The default file may be missing, and a mistake in the default file only causes a
/// warning. Other tools also write this file, so its entries without a mistake are used.
fn netrc(args: &Args, notes: &mut Vec<String>) -> Result<Option<Netrc>, String> {
    let http = &args.options.http;
    let is_named = http.netrc.is_some();
    let Some(path) = netrc_file(http) else { return Ok(None) };
    let shown = words::file_of_secret(&path);
    let text = match given::read(&path, netrc::LONGEST) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound && !is_named => return Ok(None),
        Err(e) => {
            return unusable(format!("the netrc file {shown} cannot be read: {e}"), is_named, notes);
        }
    };
    let netrc = if is_named {
        let text = String::from_utf8(text).map_err(|_| format!("the netrc file {shown} is not UTF-8"))?;
        Netrc::read(&text, &shown).map_err(|mistake| format!("the netrc file {shown}: {mistake}"))?
    } else {
        let (netrc, mistakes) = Netrc::read_what_is_right(&String::from_utf8_lossy(&text), &shown);
        notes.extend(left_out(&format!("the netrc file {shown}"), &mistakes));
        netrc
    };
    if platform::others_have_rights(&path) {
        notes.push(format!("other users have rights to the netrc file {shown}: chmod 600 makes it private"));
    }
    Ok(Some(netrc))
}

/// Returns the warning about mistakes in a file whose other parts are used.
pub(crate) fn left_out(file: &str, mistakes: &[impl Display]) -> Option<String> {
    let first = mistakes.first()?;
    Some(match mistakes.len() {
        1 => format!("{file}: {first}. This part of the file is ignored"),
        2 => format!(
            "{file}: {first}. This part of the file is ignored, and so is 1 other part with a mistake"
        ),
        all => format!(
            "{file}: {first}. This part of the file is ignored, and so are {} other parts with mistakes",
            all - 1
        ),
    })
}

/// Returns the error about a netrc file that the user named. For the default file, the error becomes a
/// warning.
fn unusable(why: String, was_named: bool, notes: &mut Vec<String>) -> Result<Option<Netrc>, String> {
    if was_named {
        return Err(why);
    }
    notes.push(format!("{why}. No login is taken from it"));
    Ok(None)
}

/// Puts the logins and cookies of the arguments into the settings.
pub(crate) fn apply(args: &Args, settings: &mut Settings) {
    let http = &args.options.http;
    settings.user = login(http.user.as_ref());
    settings.bearer = token(http.bearer.as_ref());
    settings.netrc = args.netrc.clone();
    settings.cookies = args.cookies.clone();
    settings.cookies_given = cookies_given(&http.cookie);
    settings.schemes = match http.auth {
        args::Auth::Auto => Schemes::Any,
        args::Auth::Basic => Schemes::Basic,
        args::Auth::Digest => Schemes::Digest,
    };
}

/// The key `credentials` in a line of a list is the name of a section `[host."NAME"]` of the configuration,
/// or of a `machine` in the netrc file. This function adds the login of that section or machine, and the
/// headers of that section, to the job of the line. The login is sent only to the origins of the URLs in this
/// line.
///
/// # Errors
/// Returns `list.line` if there is no such login, or if it cannot be used for the job, for example because it
/// may not be sent to a URL.
pub(crate) fn with_login_of(mut job: Box<Job>, settings: &Settings) -> Result<Box<Job>, Error> {
    let Some(name) = job.login_of.take() else { return Ok(job) };
    let at = show::url(&job.urls[0]);
    let bad = |why: String| Err(Error::new(ErrorKind::ListLine, &at, format!("`credentials`: {why}")));
    let section = settings.for_hosts.all().iter().find(|(pattern, _)| pattern.to_string() == name);
    let (user, bearer, headers) = match section {
        Some((_, options)) => (options.user.clone(), options.bearer.clone(), options.headers.clone()),
        None => {
            let login = settings.netrc.as_ref().and_then(|netrc| netrc.login_of(&name));
            (login, None, Headers::default())
        }
    };
    if user.is_none() && bearer.is_none() && headers.0.is_empty() {
        return bad(match section {
            Some(_) => format!("the section [host.\"{name}\"] has no login, token or header"),
            None => format!(
                "there is no section [host.\"{name}\"], and no login for the machine {name} in the netrc file"
            ),
        });
    }
    // Over http, other people on the network could read the login. Therefore the login of a section is sent
    // over http only if the name of the section begins with `http://`. The name of a machine in the netrc
    // file has no scheme. So its login may be sent over http, as for all http URLs that the user gave.
    if section.is_some() && !name.starts_with("http://") && job.urls.iter().any(|url| url.scheme() == "http")
    {
        return bad(format!("the login of [host.\"{name}\"] is not sent over http"));
    }
    if user.is_some() && settings.schemes == Schemes::Digest {
        return bad("with --auth digest, no password is sent".into());
    }
    // If the line and the section have a header with the same name, only the header of the line is sent.
    let adds: Vec<_> = headers.0.into_iter().filter(|(name, _)| !job.headers.has(name)).collect();
    job.headers.0.extend(adds);
    if (user.is_some() || bearer.is_some()) && job.headers.has("Authorization") {
        return bad("the line or the section already has a header Authorization".into());
    }
    match (user, bearer) {
        (Some(login), _) => *job = job.with_credentials(&login.user, login.password.expose()),
        (None, Some(token)) => {
            *job = job.with_header("Authorization", format!("Bearer {}", token.expose()));
        }
        (None, None) => {}
    }
    Ok(job)
}

/// Reads the files with the login and the token of a section for hosts. The user is not asked for a password,
/// because a run may not need these hosts.
pub(crate) fn of_section(http: &mut args::Http) -> Result<(), String> {
    if let Some(option) = http.user.take() {
        http.user = match option {
            LoginOption::Name(_) => {
                return Err("user: it must be NAME:PASSWORD, from env:NAME or @FILE".into());
            }
            option => match whole("user", option) {
                Ok(login) => Some(LoginOption::Whole(login)),
                Err(NoLogin::Unusable(why)) => return Err(why),
                Err(NoLogin::Interrupted) => None,
            },
        };
    }
    if let Some(SecretOption::File(path)) = &http.bearer {
        http.bearer = Some(token_of(path)?);
    }
    Ok(())
}

/// Returns the login of `--user` or `--proxy-user`, if it is complete.
pub(crate) fn login(option: Option<&LoginOption>) -> Option<Login> {
    match option {
        Some(LoginOption::Whole(login)) => Some(login.clone()),
        _ => None,
    }
}

/// Returns the token of `--bearer` or the password of `--key-password`, if it is not in a file.
pub(crate) fn token(option: Option<&SecretOption>) -> Option<Secret> {
    match option {
        Some(SecretOption::Text(token)) => Some(token.clone()),
        _ => None,
    }
}

/// Returns the complete login of the option with the name `called`.
fn whole(called: &str, option: LoginOption) -> Result<Login, NoLogin> {
    let name = match option {
        LoginOption::Whole(login) => return Ok(login),
        LoginOption::Name(name) => name,
        LoginOption::File(path) => {
            let form = "NAME:PASSWORD, without control characters";
            return first_line(called, &path, form, |line| match args::login(line) {
                Ok(LoginOption::Whole(login)) => Some(login),
                _ => None,
            })
            .map_err(NoLogin::Unusable);
        }
    };
    match platform::ask_hidden(&format!("Password of {}: ", show::escaped(&name))) {
        Hidden::Line(password) => Ok(Login { user: name, password: Secret::new(password) }),
        Hidden::Interrupted => Err(NoLogin::Interrupted),
        Hidden::NoTerminal => Err(NoLogin::Unusable(format!(
            "{called} {name} has no password, and there is no terminal to ask for it: give {name}:PASSWORD, or \
             @FILE with NAME:PASSWORD in FILE",
            name = show::escaped(&name)
        ))),
    }
}

/// Returns the password of the key of the client certificate. If the key is encrypted and no password is
/// given, the user types it. Without a terminal, no password is returned, and the engine reports the error.
fn key_password(http: &args::Http) -> Result<Option<SecretOption>, NoLogin> {
    match &http.key_password {
        Some(SecretOption::File(path)) => {
            let read = |line: &str| Some(SecretOption::Text(Secret::new(line)));
            return first_line("--key-password", path, "a password", read)
                .map(Some)
                .map_err(NoLogin::Unusable);
        }
        Some(given) => return Ok(Some(given.clone())),
        None => {}
    }
    if let Some(password) = http.cert.as_ref().and_then(|cert| cert.password.clone()) {
        return Ok(Some(SecretOption::Text(password)));
    }
    let encrypted =
        http.key.as_ref().or(http.cert.as_ref().map(|cert| &cert.file)).filter(|file| needs_password(file));
    let Some(file) = encrypted else { return Ok(None) };
    match platform::ask_hidden(&format!("Password of {}: ", words::path(file))) {
        Hidden::Line(password) => Ok(Some(SecretOption::Text(Secret::new(password)))),
        Hidden::Interrupted => Err(NoLogin::Interrupted),
        Hidden::NoTerminal => Ok(None),
    }
}

fn token_of(path: &Path) -> Result<SecretOption, String> {
    first_line("--bearer", path, "a token, without blanks", |line| secret(args::token(line.trim())))
}

fn cookies_of(path: &Path) -> Result<SecretOption, String> {
    first_line("--cookie", path, "NAME=VALUE; NAME=VALUE", |line| secret(args::cookies(line)))
}

/// Returns the secret that was read from a file. Returns `None` if the text in the file is not valid, or if
/// this text has the form `@FILE` again.
fn secret(option: Result<SecretOption, String>) -> Option<SecretOption> {
    option.ok().filter(|option| matches!(option, SecretOption::Text(_)))
}

/// Returns the cookies of `--cookie`, in the form of the header `Cookie`.
fn cookies_given(options: &[SecretOption]) -> Option<Secret> {
    let texts = options.iter().filter_map(|option| match option {
        SecretOption::Text(text) => Some(text),
        SecretOption::File(_) => None,
    });
    Secret::joined(texts, "; ")
}

/// Reads the first line of the file that an option names. `form` describes in words what the line must be.
///
/// # Errors
/// Returns what is wrong, in words for the user. The text contains no part of the file.
fn first_line<T>(
    option: &str,
    path: &Path,
    form: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, String> {
    let wrong = |why: &str| format!("{option} @{}: {why}", words::file_of_secret(path));
    let text = given::read(path, LONGEST).map_err(|e| wrong(&format!("it cannot be read: {e}")))?;
    let text = String::from_utf8(text).map_err(|_| wrong("it is not UTF-8"))?;
    let line = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default();
    read(line).ok_or_else(|| wrong(&format!("the first line must be {form}")))
}
