//! Nothing that a run leaves or shows contains a secret: not the screen, the log, the events, the journal,
//! the lock file, the file with the limits of hosts, the reports, the extended attributes, or the names of
//! files.
//!
//! All secrets contain one word, and every output is searched for this word and for its encoded forms.

use crate::common::terminal::Terminal;
use crate::common::{Place, finish, send, wait_until};
use crate::secrets::net::{ELSEWHERE, HOME, Net};
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, Engine};
use portable_pty::CommandBuilder;
use rustix::process::Signal;
use std::fs;
use std::path::Path;

/// The word that is in every secret.
const WORD: &str = "hushhush";

/// Returns the forms in which the word could be shown.
fn forms() -> Vec<String> {
    let hex: String = WORD.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = WORD.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let backwards: String = WORD.chars().rev().collect();
    let mut forms = vec![WORD.to_string(), hex, percent, backwards];
    // A text in base64 looks different at each of three offsets. The characters at its ends depend on what
    // stands beside it.
    for before in 0..3 {
        let encoded = BASE64_STANDARD_NO_PAD.encode("x".repeat(before) + WORD);
        let first = (before * 8).div_ceil(6);
        forms.push(encoded[first..(before + WORD.len()) * 8 / 6].to_string());
    }
    forms
}

/// Fails if a text has a secret.
#[track_caller]
fn assert_hides(what: &str, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let lower = text.to_lowercase();
    for form in forms() {
        let found = text.find(&form).or(lower.find(&form));
        assert_eq!(found, None, "{form:?} is in {what}:\n{text}");
    }
}

/// Fails if a file below this folder, its name or its extended attributes have a secret.
#[track_caller]
fn assert_files_hide(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let shown = path.display().to_string();
        assert_hides("the name of a file", shown.as_bytes());
        // Files that the user wrote, and files that are documented to contain secrets.
        let is_input = ["keys", "failed", "saved"].iter().any(|name| path.ends_with(name));
        if is_input {
            continue;
        }
        if path.is_dir() {
            assert_files_hide(&path);
            continue;
        }
        assert_hides(&shown, &fs::read(&path).expect("reads"));
        for name in ["user.xdg.origin.url", "user.downhaul.origin"] {
            let mut value = [0; 4096];
            if let Ok(length) = rustix::fs::getxattr(&path, name, &mut value) {
                assert_hides(&format!("{name} of {shown}"), &value[..length]);
            }
        }
    }
}

/// Returns a place with files that contain secrets, and the options that use all of these files.
fn place_with_secrets(net: &Net) -> (Place, Vec<String>) {
    let place = Place::new();
    let (certificate, key) = net.authority.pem_pair();
    place.write("keys/ca.pem", net.authority.pem());
    place.write("keys/cert.pem", certificate + &key);
    place.write("keys/netrc", format!("machine else.test login me password {WORD}-netrc\n"));
    place.write("keys/cookies", format!("files.lab.example\tFALSE\t/\tTRUE\t0\ta\t{WORD}-file\n"));
    place.write("keys/headers", format!("X-From-File: {WORD}-header-file\n"));
    place.write(
        "keys/config.toml",
        "[host.\"files.lab.example\"]\nheader = ['X-Rule: env:RULE', 'X-File-Rule: @keys/rule']\n",
    );
    place.write("keys/rule", format!("{WORD}-rule-file"));
    let options = [
        "--cacert",
        "keys/ca.pem",
        "--cert",
        "keys/cert.pem",
        "--netrc",
        "keys/netrc",
        "--cookies",
        "keys/cookies",
        "--save-cookies",
        "saved",
        "--config",
        "keys/config.toml",
        "-H",
        &format!("X-Harmless-Name: {WORD}-header"),
        "-H",
        "@keys/headers",
        "--header-for",
        "else.test",
        &format!("X-For: {WORD}-for"),
        "--cookie",
        &format!("a={WORD}-cookie"),
        "--proxy",
        &format!("http://me:{WORD}-proxy@{}", net.proxy()),
        "--failed",
        "failed",
        "--retries",
        "1",
        "--on-error",
        "retry",
        "--xattr",
        "-o",
        "f",
    ];
    (place, options.map(String::from).to_vec())
}

/// Options with a login, of which a run may have only one.
const LOGINS: [&[&str]; 3] = [
    &["--user", "me:hushhush-user"],
    &["--bearer", "hushhush-bearer"],
    &["-H", "Authorization: Basic bWU6aHVzaGh1c2gtYmFzaWM="],
];

/// Returns the URL of a file on [`HOME`], with a login, a token and a signature in it.
fn url(target: &str) -> String {
    let also = if target.contains('?') { '&' } else { '?' };
    let home = HOME.replace("://", &format!("://me:{WORD}-userinfo@"));
    format!("{home}/{target}{also}token={WORD}-token&X-Amz-Signature={WORD}-signature")
}

/// Returns files whose downloads end in different ways.
fn targets() -> Vec<String> {
    let elsewhere = |target: &str| {
        let to = format!("{ELSEWHERE}/{target}&sig={WORD}-location");
        let to: String = url::form_urlencoded::byte_serialize(to.as_bytes()).collect();
        format!("redirect/1/f?to={to}")
    };
    let asks = "status=401&header=WWW-Authenticate: Basic realm=%22x%22";
    vec![
        format!("headers/2000000/f?Set-Cookie=c={WORD}-set"),
        format!("status/1000/f?{asks}"),
        "status/1000/f?status=403".into(),
        elsewhere("well_behaved/1000/f?x=1"),
        elsewhere("status/1000/f?status=403"),
        elsewhere(&format!("status/1000/f?{}", asks.replace(' ', "+"))),
        "fails_always/1000/f?status=503".into(),
        "truncated_body_always/2000000/f".into(),
        "checksum_wrong/1000/f".into(),
        "no_such_sin/1000/f".into(),
    ]
}

fn command(place: &Place, arguments: &[String]) -> std::process::Command {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = place.command(&arguments);
    for (name, value) in environment() {
        command.env(name, value);
    }
    command
}

fn environment() -> [(&'static str, String); 3] {
    [
        ("RULE", format!("{WORD}-rule")),
        ("https_proxy", format!("http://me:{WORD}-environment@127.0.0.1:9")),
        ("DOWNHAUL_REFERER", format!("https://me:{WORD}-referer@h.example/?token={WORD}-referer")),
    ]
}

#[test]
fn no_output_of_a_run_has_a_secret_however_it_ends() {
    let net = Net::start();
    let modes: [&[&str]; 3] = [
        &["-vv", "--explain", "--http1"],
        &["--progress", "json", "--record", "lock", "--http1"],
        &["--progress", "plain", "--verify", "find"],
    ];
    for (number, target) in targets().into_iter().enumerate() {
        let (place, options) = place_with_secrets(&net);
        let mode = modes[number % modes.len()];
        for more in [mode, LOGINS[number % LOGINS.len()]] {
            let more = more.iter().map(ToString::to_string).collect();
            let out = finish(
                command(&place, &[vec![url(&target)], options.clone(), more].concat())
                    .spawn()
                    .expect("the program starts"),
            );
            assert_ne!(out.status, 2, "{target}: {}", out.stderr);
            assert_hides("standard output", &out.stdout);
            assert_hides("standard error", out.stderr.as_bytes());
            assert_files_hide(place.path());
            assert_files_hide(place.state());
        }
    }
}

#[test]
fn ctrl_c_leaves_no_secret() {
    let net = Net::start();
    let (place, options) = place_with_secrets(&net);
    let more = ["-vv".into(), "--explain".into(), "--http1".into()].to_vec();
    let target = url("capped/8000000/f?rate=1000000");
    let child = command(&place, &[vec![target], options, more].concat()).spawn().expect("the program starts");
    wait_until("some bytes are there", || {
        fs::metadata(place.path().join("f.part")).is_ok_and(|file| file.len() > 200_000)
    });
    send(Signal::INT, &child);
    let out = finish(child);
    assert_eq!(out.status, 130, "{}", out.stderr);
    assert_hides("standard output", &out.stdout);
    assert_hides("standard error", out.stderr.as_bytes());
    assert!(place.files().iter().any(|name| name.contains(".part")), "{:?}", place.files());
    assert_files_hide(place.path());
    assert_files_hide(place.state());
}

#[test]
fn a_screen_with_bars_and_a_question_has_no_secret() {
    let net = Net::start();
    let (place, options) = place_with_secrets(&net);
    let target = url("headers/3000000/f?break=1").replace("headers", "truncated_body_always");
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_downhaul"));
    let options: Vec<String> =
        options.into_iter().map(|one| if one == "retry" { "ask".into() } else { one }).collect();
    command.args([vec![target, "--http1".into()], options].concat());
    for (name, value) in environment() {
        command.env(name, value);
    }
    let mut terminal = Terminal::start_command(&place, 100, 30, command);
    terminal.wait_for_text("exit (e)?");
    terminal.press("e");
    terminal.end();
    assert_hides("the screen", terminal.raw().as_bytes());
    assert_files_hide(place.path());
}

#[test]
fn reports_about_settings_have_no_secret() {
    let net = Net::start();
    let (place, options) = place_with_secrets(&net);
    let options: Vec<String> = options.into_iter().filter(|one| one != "-o" && one != "f").collect();
    let curl = format!(
        "curl '{}' -H 'Authorization: Bearer {WORD}-bearer' -b 'a={WORD}' -u 'me:{WORD}' -x 'http://me:{WORD}@h:1'",
        url("f")
    );
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    for arguments in [
        [words(&["config"]), options.clone(), words(LOGINS[0])].concat(),
        [words(&["config"]), options.clone(), words(LOGINS[1])].concat(),
        [vec![url("f"), "--dry-run".into()], options.clone(), words(LOGINS[2])].concat(),
        vec![curl.clone(), "--dry-run".into()],
        words(&["import", "curl", "--dry-run", &curl]),
    ] {
        let out = finish(command(&place, &arguments).spawn().expect("the program starts"));
        assert_hides(&format!("what {} prints", arguments[0]), &out.stdout);
        assert_hides("standard error", out.stderr.as_bytes());
        assert!(out.stdout.len() + out.stderr.len() > 20, "the program printed something");
    }
}

/// The text that a crash report or a debugger could contain, if a program uses the library.
#[test]
fn debug_output_of_the_library_has_no_secret() {
    use downhaul_engine::core::job::Job;
    use downhaul_engine::core::secret::{Login, Secret};
    use downhaul_engine::core::settings::Settings;
    let mut settings = Settings::default();
    let login = || Login { user: "me".into(), password: Secret::new(format!("{WORD}-password")) };
    settings.headers = [("Authorization", format!("Bearer {WORD}"))].into_iter().collect();
    settings.headers_for = vec![("h".into(), "X".into(), Secret::new(WORD))];
    settings.user = Some(login());
    settings.bearer = Some(Secret::new(WORD));
    let job = Job::given(&url("f")).expect("a URL").with_header("X-Key", WORD).with_credentials("me", WORD);
    let text = format!("{settings:?}\n{settings:#?}\n{job:?}\n{job:#?}");
    assert!(text.contains("files.lab.example"), "{text}");
    assert_hides("debug output", text.as_bytes());
    assert_eq!(BASE64_STANDARD.encode(format!("me:{WORD}-basic")), "bWU6aHVzaGh1c2gtYmFzaWM=");
}

#[test]
fn the_search_finds_every_form() {
    for form in [
        "x hushhush x".to_string(),
        BASE64_STANDARD.encode("me:hushhush"),
        BASE64_STANDARD.encode("you:hushhush-x"),
        BASE64_STANDARD.encode("a hushhush"),
        "6875736868757368".into(),
        "%68%75%73%68%68%75%73%68".into(),
    ] {
        assert!(std::panic::catch_unwind(|| assert_hides("a text", form.as_bytes())).is_err(), "{form}");
    }
}
