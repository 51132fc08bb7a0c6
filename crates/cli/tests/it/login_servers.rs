//! Logins at real servers: Basic and Digest of Apache, and Basic of nginx, over HTTP/1.1 and HTTP/2.
//!
//! If one of these servers is not installed, its test prints a note and is skipped, except in CI, which
//! installs both.

use crate::common::Place;
use crate::common::daemon::Daemon;
use downhaul_testkit::content;
use downhaul_testkit::server::tls::Authority;

/// The number of files, in three folders.
const FILES: u64 = 30;

/// The folder in which Debian has the modules of Apache.
const MODULES: &str = "/usr/lib/apache2/modules";

fn name_of(n: u64) -> String {
    format!("folder{}/{n}.bin", n % 3)
}

fn write_files(folder: &Place) {
    for n in 0..FILES {
        folder.write(&format!("www/{}", name_of(n)), content(&n.to_string(), 1000 * (n + 1)));
    }
}

fn apache() -> Option<Daemon> {
    Daemon::start("apache2", |folder, port| {
        // The same files are behind Basic and behind Digest.
        write_files(folder);
        // The SHA-1 of the password, and the MD5 of user, realm and password.
        folder.write("basic", "me:{SHA}HyHjC/2o54DBcrn3W367/BjmyHk=\n");
        folder.write("digest", "me:here:587f8fd52cab8bb7be9fdd1653b7f3fc\n");
        let here = folder.path().display();
        let modules: String = [
            "mpm_event",
            "authn_core",
            "authn_file",
            "authz_core",
            "authz_user",
            "auth_basic",
            "auth_digest",
            "alias",
        ]
        .map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"))
        .concat();
        let config = format!(
            "{modules}
             ServerRoot {here}\nPidFile {here}/pid\nListen 127.0.0.1:{port}\nServerName 127.0.0.1\nUser www-data
             ErrorLog {here}/error.log\nDefaultRuntimeDir {here}\nCustomLog {here}/seen.log \"%>s %U\"
             Alias /basic {here}/www\nAlias /digest {here}/www\n
             <Location /basic>\nAuthType Basic\nAuthName here\nAuthUserFile {here}/basic\nRequire valid-user\n</Location>
             <Location /digest>\nAuthType Digest\nAuthName here\nAuthUserFile {here}/digest\nRequire valid-user
             </Location>\n"
        );
        let config = folder.write("apache.conf", config);
        vec!["-D".into(), "FOREGROUND".into(), "-f".into(), config.display().to_string()]
    })
}

#[test]
fn apache_accepts_basic_and_digest_and_asks_once_for_each_connection_at_most() {
    let Some(apache) = apache() else { return };
    for scheme in ["basic", "digest"] {
        let before = apache.text("seen.log").len();
        let place = Place::new();
        let base = format!("http://127.0.0.1:{}/{scheme}", apache.port);
        place.write("list", (0..FILES).map(|n| format!("{base}/{} {n}\n", name_of(n))).collect::<String>());
        let out = place.run(&["-i", "list", "-j4", "--retries", "0", "--user", "me:hush"]);
        assert_eq!(out.status, 0, "{scheme}: {}\n{}", out.stderr, apache.text("error.log"));
        for n in 0..FILES {
            assert_eq!(place.file(&n.to_string()), Some(content(&n.to_string(), 1000 * (n + 1))), "{n}");
        }
        let seen = apache.text("seen.log").split_off(before);
        let refused = seen.lines().filter(|line| line.starts_with("401")).count();
        assert!((1..=6).contains(&refused), "{scheme}: {refused} challenges\n{seen}");
        let place = Place::new();
        let url = format!("{base}/{}", name_of(0));
        let out = place.run(&[&url, "--user", "me:wrong", "--on-error", "skip"]);
        place.assert_failed(&out, 1, "the server did not accept the user name and password from --user");
    }
    // A large file is downloaded over several connections. Its URL has the login.
    let size = 6_000_000;
    apache.folder.write("www/large", content("large", size));
    let place = Place::new();
    let url = format!("http://me:hush@127.0.0.1:{}/digest/large", apache.port);
    let out = place.run(&[&url, "-x4", "--retries", "0"]);
    place.assert_exact(&out, "large", &content("large", size));
}

#[test]
fn nginx_accepts_basic_over_every_version_of_http() {
    let authority = Authority::default();
    let place = Place::new();
    let started = Daemon::nginx(|folder, port| {
        write_files(folder);
        let (certificate, key) = authority.pem_pair();
        folder.write("cert.pem", certificate);
        folder.write("key.pem", key);
        folder.write("passwords", "me:{PLAIN}hush\n");
        let here = folder.path().display();
        format!(
            "log_format seen '$status $server_protocol'; access_log {here}/seen.log seen;
             auth_basic here; auth_basic_user_file {here}/passwords;
             ssl_certificate {here}/cert.pem; ssl_certificate_key {here}/key.pem;
             server {{ listen 127.0.0.1:{port} ssl http2; }}"
        )
    });
    let Some(nginx) = started else { return };
    let authority_file = place.state().join("ca.pem");
    std::fs::write(&authority_file, authority.pem()).expect("writes");
    let base = format!("https://127.0.0.1:{}", nginx.port);
    place.write("list", (0..FILES).map(|n| format!("{base}/{} {n}\n", name_of(n))).collect::<String>());
    for (version, protocol) in [("--http1", "HTTP/1.1"), ("--http2", "HTTP/2.0")] {
        let before = nginx.text("seen.log").len();
        let ca = authority_file.to_str().expect("UTF-8");
        let args = ["-i", "list", "-j4", "--retries", "0", "--user", "me:hush", "--cacert", ca, version];
        let out = place.run(&[&args[..], &["--if-exists", "overwrite"]].concat());
        assert_eq!(out.status, 0, "{version}: {}", out.stderr);
        for n in 0..FILES {
            assert_eq!(place.file(&n.to_string()), Some(content(&n.to_string(), 1000 * (n + 1))), "{n}");
        }
        let seen = nginx.text("seen.log").split_off(before);
        assert!(seen.lines().all(|line| line.ends_with(protocol)), "{seen}");
        let refused = seen.lines().filter(|line| line.starts_with("401")).count();
        assert!((1..=6).contains(&refused), "{version}: {refused} challenges\n{seen}");
    }
}
