//! Client certificates, pinned keys, the oldest allowed version of TLS, and hosts whose certificates are not
//! verified. Most of these options are for some servers only, and change nothing on connections to other
//! servers.

use crate::common::daemon::Daemon;
use crate::common::terminal::Terminal;
use crate::common::{Out, Place};
use base64::prelude::{BASE64_STANDARD, Engine};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use downhaul_testkit::server::tls::{Authority, Flaw, self_signed};

/// Returns a place with the certificate of an authority, and a client certificate that this authority
/// signed.
fn place_with(authority: &Authority) -> Place {
    let place = Place::new();
    place.write("keys/ca.pem", authority.pem());
    let (certificate, key) = authority.pem_pair();
    place.write("keys/cert.pem", &certificate);
    place.write("keys/key.pem", &key);
    place.write("keys/both.pem", certificate + &key);
    place
}

const CA: [&str; 2] = ["--cacert", "keys/ca.pem"];
const CERT: [&str; 4] = ["--cert", "keys/cert.pem", "--key", "keys/key.pem"];

#[track_caller]
fn assert_has(place: &Place, out: &Out, name: &str, size: u64) {
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(place.file(name).as_deref() == Some(&content(name, size)), "{name} is not exact");
}

#[track_caller]
fn assert_refused(place: &Place, out: &Out, code: &str, says: &[&str]) {
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(place.log().contains(code), "expected {code}:\n{}", place.log());
    for text in says {
        assert!(out.stderr.contains(text), "expected {text:?} in:\n{}", out.stderr);
    }
}

#[test]
fn a_client_certificate_is_shown_to_the_servers_of_given_urls_only() {
    let authority = Authority::default();
    let asks = || authority.config_for_clients(false);
    for server in [Server::start_tls as fn(_) -> _, |config| Server::start_h2(Some(config))] {
        let (given, other) = (server(asks()), server(asks()));
        let place = place_with(&authority);
        let target = other.url("capped/3000000/b?rate=2000000");
        place.write(
            "list",
            [
                given.url("capped/3000000/a?rate=2000000"),
                given.url(&format!("redirect/0/b?to={}", target.replace('?', "%3F"))),
                given.url("well_behaved/1000/c"),
            ]
            .join("\n"),
        );
        let out = place.run(&[&["-i", "list", "-x", "3", "-j", "1"], &CA[..], &CERT].concat());
        for (name, size) in [("a", 3_000_000), ("b", 3_000_000), ("c", 1000)] {
            assert_has(&place, &out, name, size);
        }
        assert_eq!(given.identified(), given.handshakes().0, "each connection to the given server");
        assert!(given.identified() > 0);
        assert_eq!(other.identified(), 0, "the other server asked, too");
    }
}

#[test]
fn a_document_does_not_choose_where_the_client_certificate_is_shown() {
    let authority = Authority::default();
    let (lists, named) = (Server::start(), Server::start_tls(authority.config_for_clients(false)));
    let list = lists.put("/list", named.url("well_behaved/1000/a") + "\n");
    let place = place_with(&authority);
    let out = place.run(&[&["-i", list.as_str()], &CA[..], &CERT].concat());
    assert_has(&place, &out, "a", 1000);
    assert_eq!(named.identified(), 0);
}

#[test]
fn a_server_that_requires_a_client_certificate_gets_it_in_every_form() {
    let authority = Authority::default();
    let server = Server::start_tls(authority.config_for_clients(true));
    let url = server.url("well_behaved/1000/f");
    for form in
        [&CERT[..], &["--cert", "keys/both.pem"], &["--cert", "keys/both.pem", "--key", "keys/both.pem"]]
    {
        let place = place_with(&authority);
        let out = place.run(&[&[url.as_str()], &CA[..], form].concat());
        assert_has(&place, &out, "f", 1000);
    }
    let stranger = Authority::default();
    let place = place_with(&authority);
    let out = place.run(&[&[url.as_str(), "--on-error", "skip"], &CA[..]].concat());
    assert_refused(
        &place,
        &out,
        "tls.client_refused",
        &[
            "the server requires a client certificate, and got none that it accepts",
            "no client certificate was sent",
            "--cert FILE",
        ],
    );
    assert!(!out.stderr.contains("retries)"), "the answer is final: {}", out.stderr);
    let place = place_with(&stranger);
    place.write("keys/ca.pem", authority.pem());
    let out = place.run(&[&[url.as_str(), "--on-error", "skip"], &CA[..], &CERT].concat());
    let says = ["it did not accept the certificate of --cert (for localhost, issued by "];
    assert_refused(&place, &out, "tls.client_refused", &says);
    // A redirect leads to a server that does not get the certificate.
    let first = Server::start_tls(authority.config(Flaw::None));
    let redirect = first.url(&format!("redirect/0/f?to={url}"));
    let place = place_with(&authority);
    let out = place.run(&[&[redirect.as_str(), "--on-error", "skip"], &CA[..], &CERT].concat());
    let says = ["no client certificate was sent, because --cert is only for the origins of the given URLs"];
    assert_refused(&place, &out, "tls.client_refused", &says);
}

#[test]
fn a_client_certificate_that_cannot_be_used_is_said_before_anything_is_sent() {
    let authority = Authority::default();
    let server = Server::start_tls(authority.config_for_clients(true));
    let place = place_with(&authority);
    let (_, other_key) = authority.pem_pair();
    place.write("keys/other.pem", other_key);
    place.write("keys/text.pem", "no certificate\n");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    place.write("keys/encrypted.pem", encrypted);
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    place.write("keys/old.pem", old);
    for (cert, key, says) in [
        ("keys/none.pem", None, "No such file"),
        ("keys/text.pem", None, "the file holds no certificate in PEM form"),
        ("keys/cert.pem", None, "the file holds no private key; --key names the file of the key"),
        ("keys/cert.pem", Some("keys/cert.pem"), "the file holds no private key in PEM form"),
        (
            "keys/cert.pem",
            Some("keys/other.pem"),
            "the key does not belong to the certificate in keys/cert.pem",
        ),
        ("keys/cert.pem", Some("keys/encrypted.pem"), "its password is not known. --key-password @FILE"),
        ("keys/cert.pem", Some("keys/old.pem"), "openssl pkey -in FILE -out plain.pem"),
    ] {
        let url = server.url("well_behaved/9/f");
        let key = key.map_or(Vec::new(), |key| vec!["--key", key]);
        let out = place.run(&[&[url.as_str(), "--cert", cert], &key[..], &CA].concat());
        assert_eq!(out.status, 2);
        assert!(out.stderr.contains(says), "{cert} {key:?}: {}", out.stderr);
        let option = if key.is_empty() { format!("--cert {cert}: ") } else { format!("--key {}: ", key[1]) };
        assert!(out.stderr.contains(&option), "{}", out.stderr);
    }
    assert_eq!(server.handshakes().0, 0);
}

/// OpenSSL writes the keys, in each form that its options choose.
#[test]
fn an_encrypted_key_needs_its_password() {
    let authority = Authority::default();
    let server = Server::start_tls(authority.config_for_clients(true));
    let url = server.url("well_behaved/1000/f");
    let place = place_with(&authority);
    place.write("keys/password", "h\u{fc}sh\n");
    for form in ["", " -v2 aes-128-cbc -v2prf hmacWithSHA1", " -v2 aes-192-cbc -v2prf hmacWithSHA512 -iter 9"]
    {
        let line = format!("pkcs8 -topk8 -in key.pem -out sealed.pem -passout file:password{form}");
        if openssl(&place, &line).is_none() {
            return;
        }
        let cert = ["--cert", "keys/cert.pem", "--key", "keys/sealed.pem", "--if-exists", "overwrite"];
        let run = |password: &[&str]| place.run(&[&[url.as_str()], &CA[..], &cert, password].concat());
        assert_has(&place, &run(&["--key-password", "h\u{fc}sh"]), "f", 1000);
        assert_has(&place, &run(&["--key-password", "@keys/password"]), "f", 1000);
        let out = run(&["--key-password", "wrong"]);
        let says = "--key keys/sealed.pem: the password of the key is wrong";
        assert!(out.status == 2 && out.stderr.contains(says), "{form}: {}", out.stderr);
        assert!(!out.stderr.contains("h\u{fc}sh") && !place.log().contains("h\u{fc}sh"), "{}", out.stderr);
    }
    // This key is not in base64, so its form is not known.
    let damaged = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n!\n-----END ENCRYPTED PRIVATE KEY-----\n";
    place.write("keys/damaged.pem", damaged);
    let cert = ["--cert", "keys/cert.pem", "--key", "keys/damaged.pem", "--key-password", "x"];
    let out = place.run(&[&[url.as_str()], &CA[..], &cert].concat());
    let says = "the key is malformed, or encrypted in a form that is not supported";
    assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
    // The key may be in the file of the certificate, and the program asks for the password on the terminal.
    let sealed = place.file("keys/sealed.pem").expect("a key");
    place.write("keys/all.pem", [place.file("keys/cert.pem").expect("a certificate"), sealed].concat());
    let args = [url.as_str(), "--cert", "keys/all.pem", "-o", "g", CA[0], CA[1]];
    let mut terminal = Terminal::start(&place, 80, 24, &args);
    terminal.wait_for_text("Password of keys/all.pem:");
    terminal.press("h\u{fc}sh\r");
    assert_eq!(terminal.end().0, 0, "{}", terminal.text());
    assert_eq!(place.file("g"), Some(content("f", 1000)));
    assert!(!terminal.raw().contains("h\u{fc}sh"));
}

#[test]
fn a_client_certificate_of_x509_version_1_is_accepted() {
    let authority = Authority::default();
    let server = Server::start_tls(authority.config(Flaw::None));
    let place = place_with(&authority);
    for line in [
        "req -newkey rsa:2048 -nodes -keyout old.key -out old.csr -subj /CN=ann",
        "x509 -req -in old.csr -signkey old.key -out old.pem",
    ] {
        if openssl(&place, line).is_none() {
            return;
        }
    }
    let cert = ["--cert", "keys/old.pem", "--key", "keys/old.key"];
    let out = place.run(&[&[server.url("well_behaved/1000/f").as_str()], &CA[..], &cert].concat());
    assert_has(&place, &out, "f", 1000);
    // A key of another certificate is noticed before the first request.
    let before = server.handshakes().0;
    let (_, other_key) = authority.pem_pair();
    place.write("keys/other.pem", other_key);
    let cert = ["--cert", "keys/old.pem", "--key", "keys/other.pem"];
    let out = place.run(&[&[server.url("well_behaved/1000/g").as_str()], &CA[..], &cert].concat());
    let says = "--key keys/other.pem: the key does not belong to the certificate in keys/old.pem";
    assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
    assert_eq!(server.handshakes().0, before);
}

/// Runs `openssl` in the folder `keys` of a place. Returns `None` if it is not installed.
fn openssl(place: &Place, line: &str) -> Option<()> {
    let mut openssl = std::process::Command::new("openssl");
    let out = openssl.args(line.split(' ')).current_dir(place.path().join("keys")).output().ok()?;
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(())
}

#[test]
fn short_keys_need_insecure_and_certificates_of_x509_version_1_need_insecure_or_cacert() {
    let place = Place::new();
    place.write("keys/f", "");
    let keys = place.path().join("keys");
    for (key, is_short) in
        [("rsa:1024", true), ("rsa:2048", false), ("ec -pkeyopt ec_paramgen_curve:P-384", false)]
    {
        let request = format!("req -newkey {key} -nodes -keyout s.key -out s.csr -subj /CN=127.0.0.1");
        let sign = "x509 -req -in s.csr -signkey s.key -out s.pem";
        if openssl(&place, &request).and_then(|()| openssl(&place, sign)).is_none() {
            return;
        }
        let served = Daemon::nginx(|folder, port| {
            folder.write("www/f", content("f", 1000));
            format!(
                "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {0}/s.pem; ssl_certificate_key {0}/s.key;
                 ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers DEFAULT@SECLEVEL=0; }}",
                keys.display()
            )
        });
        let Some(served) = served else { return };
        let url = format!("https://127.0.0.1:{}/f", served.port);
        let run = |options: &[&str]| {
            let common = ["--if-exists", "overwrite", "--on-error", "skip"];
            place.run(&[&[url.as_str()], &common[..], options].concat())
        };
        for options in [&["--insecure"][..], &["--insecure-host", "127.0.0.1"]] {
            assert_has(&place, &run(options), "f", 1000);
        }
        let out = run(&["--cacert", "keys/s.pem"]);
        match is_short {
            true => assert_refused(&place, &out, "tls.", &[]),
            false => assert_has(&place, &out, "f", 1000),
        }
        assert_refused(&place, &run(&[]), "tls.", &[]);
        // The server must prove that it has the pinned key. With TLS 1.3, the library cannot verify this
        // proof for short keys.
        openssl(&place, "pkey -in s.key -pubout -outform DER -out s.der").expect("it was there");
        let right = pin_of(&place.file("keys/s.der").expect("a key"));
        assert_refused(&place, &run(&["--insecure", "--pinned-pubkey", &pin_of(b"other")]), "tls.pin", &[]);
        let out = run(&["--insecure", "--pinned-pubkey", &right]);
        match is_short {
            true => assert_refused(&place, &out, "tls.untrusted", &[]),
            false => assert_has(&place, &out, "f", 1000),
        }
    }
}

#[test]
fn files_with_certificates_are_read_in_every_form_that_openssl_reads() {
    let authority = Authority::default();
    let server = Server::start_tls(authority.config(Flaw::None));
    let place = place_with(&authority);
    let (pem, cert) = (authority.pem(), authority.pem_pair());
    place.write("keys/bom.pem", format!("\u{feff}{pem}"));
    place.write("keys/crlf.pem", pem.replace('\n', "\r\n"));
    place.write("keys/bom-both.pem", format!("\u{feff}{}\u{feff}{}", cert.0, cert.1));
    let mut files = vec!["keys/bom.pem", "keys/crlf.pem"];
    if openssl(&place, "x509 -in ca.pem -trustout -addtrust serverAuth -out trusted.pem").is_some() {
        files.push("keys/trusted.pem");
    }
    for file in files {
        let out =
            place.run(&[&server.url("well_behaved/1000/f"), "--cacert", file, "--if-exists", "overwrite"]);
        assert_has(&place, &out, "f", 1000);
    }
    let asks = Server::start_tls(authority.config_for_clients(true));
    let cert = ["--cert", "keys/bom-both.pem"];
    let out = place.run(&[&[asks.url("well_behaved/1000/g").as_str()], &CA[..], &cert].concat());
    assert_has(&place, &out, "g", 1000);
}

/// Returns the pin of the certificate in a PEM file, as `openssl` computes it.
fn pin(pem: &str) -> String {
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = BASE64_STANDARD.decode(base64).expect("base64");
    let certificate = rustls::pki_types::CertificateDer::from(der);
    let parsed = rustls::server::ParsedCertificate::try_from(&certificate).expect("a certificate");
    pin_of(&parsed.subject_public_key_info())
}

/// Returns the pin of a key.
fn pin_of(key: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key);
    format!("sha256//{}", BASE64_STANDARD.encode(digest))
}

#[test]
fn a_pinned_key_is_required_of_the_given_hosts_in_addition_to_a_valid_certificate() {
    let (pem, config) = self_signed("127.0.0.1", &["127.0.0.1", "localhost"], Flaw::None);
    let (other_pem, other_config) = self_signed("127.0.0.1", &["127.0.0.1", "localhost"], Flaw::None);
    let (server, other) = (Server::start_h2(Some(config)), Server::start_tls(other_config));
    let (right, wrong) = (pin(&pem), pin(&other_pem));
    let place = Place::new();
    place.write("keys/both.pem", pem + &other_pem);
    let trusted = ["--cacert", "keys/both.pem", "--if-exists", "overwrite", "--on-error", "skip"];
    let url = server.url("well_behaved/1000/f");
    for (pins, more, is_right) in [
        (right.clone(), &trusted[..], true),
        (format!("{wrong};{right}"), &trusted, true),
        (wrong.clone(), &trusted, false),
        (wrong.clone(), &["--insecure", "--if-exists", "overwrite", "--on-error", "skip"], false),
        (right.clone(), &["--insecure", "--if-exists", "overwrite"], true),
        (
            wrong.clone(),
            &["--cacert", "keys/both.pem", "--http2", "--if-exists", "overwrite", "--on-error", "skip"],
            false,
        ),
    ] {
        let out = place.run(&[&[url.as_str(), "--pinned-pubkey", &pins], more].concat());
        match is_right {
            true => assert_has(&place, &out, "f", 1000),
            false => {
                assert_refused(&place, &out, "tls.pin", &["is not one of the pinned keys", &right]);
                assert!(out.stderr.contains("before you change --pinned-pubkey"), "{}", out.stderr);
            }
        }
    }
    // A right pin does not make a wrong certificate right.
    let out = place.run(&[&url, "--pinned-pubkey", &right, "--if-exists", "overwrite", "--on-error", "skip"]);
    assert_refused(&place, &out, "tls.untrusted", &[]);
    // The host that a redirect leads to has another key.
    let to = other.url("well_behaved/1000/f").replace("127.0.0.1", "localhost");
    let redirect = server.url(&format!("redirect/0/f?to={to}"));
    let out = place.run(&[&[redirect.as_str(), "--pinned-pubkey", &right], &trusted[..]].concat());
    assert_has(&place, &out, "f", 1000);
    // The same host on another port must have a pinned key.
    let redirect = server.url(&format!("redirect/0/f?to={}", other.url("well_behaved/1000/f")));
    let out = place.run(&[&[redirect.as_str(), "--pinned-pubkey", &right], &trusted[..]].concat());
    assert_refused(&place, &out, "tls.pin", &[&wrong]);
}

#[test]
fn a_pinned_key_is_required_of_a_given_host_whatever_leads_there() {
    let names = &["127.0.0.1", "localhost"];
    let (pem, config) = self_signed("127.0.0.1", names, Flaw::None);
    let (other_pem, other_config) = self_signed("127.0.0.1", names, Flaw::None);
    let (server, other) = (Server::start_tls(config), Server::start_tls(other_config));
    let right = pin(&pem);
    let place = Place::new();
    place.write("keys/both.pem", pem + &other_pem);
    let args = ["--pinned-pubkey", &right, "--cacert", "keys/both.pem", "--on-error", "skip"];
    // The redirect of one given host leads to another given host, at another port.
    let given = server.url("well_behaved/1000/g").replace("127.0.0.1", "localhost");
    let to = other.url("well_behaved/1000/f").replace("127.0.0.1", "localhost");
    let out =
        place.run(&[&[server.url(&format!("redirect/0/f?to={to}")).as_str(), &given], &args[..]].concat());
    assert_refused(&place, &out, "tls.pin", &[]);
    assert_eq!(place.file("g"), Some(content("g", 1000)));
    // A document of a given host names another port of this host.
    let list = server.put("/list", other.url("well_behaved/1000/h") + "\n");
    let out = place.run(&[&["-i", list.as_str()], &args[..]].concat());
    assert_refused(&place, &out, "tls.pin", &[]);
    assert!(other.requests().is_empty());
}

#[test]
fn a_malformed_pinned_key_is_a_usage_error() {
    let place = Place::new();
    for pins in ["", "sha256//", "sha256//AAAA", "md5//AAAA", "key.pem", "sha256//AAAA;sha256//BBBB"] {
        let out = place.run(&["https://h.example/", &format!("--pinned-pubkey={pins}")]);
        assert_eq!(out.status, 2, "{pins}: {}", out.stderr);
    }
}

#[test]
fn the_oldest_version_of_tls_can_be_raised() {
    let authority = Authority::default();
    let server = Server::start_tls(authority.config_of_version(&rustls::version::TLS12));
    let url = server.url("well_behaved/1000/f");
    let place = place_with(&authority);
    let out = place.run(&[&[url.as_str(), "--tls-min", "1.3", "--on-error", "skip"], &CA[..]].concat());
    let says = ["--tls-min 1.3 allows no older version", "Leave out --tls-min 1.3"];
    assert_refused(&place, &out, "tls.outdated", &says);
    assert!(!out.stderr.contains("needs an update"), "{}", out.stderr);
    let out = place.run(&[&[url.as_str(), "--tls-min", "1.2"], &CA[..]].concat());
    assert_has(&place, &out, "f", 1000);
    let server = Server::start_tls(authority.config_of_version(&rustls::version::TLS13));
    let out =
        place.run(&[&[server.url("well_behaved/1000/g").as_str(), "--tls-min", "1.3"], &CA[..]].concat());
    assert_has(&place, &out, "g", 1000);
}

#[test]
fn the_certificates_of_one_host_can_be_accepted_unverified() {
    let server = Server::start_tls(Authority::default().config(Flaw::Expired));
    let (here, there) = (
        server.url("well_behaved/1000/f"),
        server.url("well_behaved/1000/f").replace("127.0.0.1", "localhost"),
    );
    let with_port = format!("127.0.0.1:{}", server.port());
    for (url, host, is_accepted) in [
        (&here, "127.0.0.1", true),
        (&here, with_port.as_str(), true),
        (&here, "127.0.0.1:1", false),
        (&here, "localhost", false),
        (&there, "LOCALHOST", true),
        (&there, "127.0.0.1", false),
    ] {
        let place = Place::new();
        let out = place.run(&[url, "--insecure-host", host, "--on-error", "skip"]);
        match is_accepted {
            true => assert_has(&place, &out, "f", 1000),
            false => assert_refused(&place, &out, "tls.", &[]),
        }
    }
}

#[test]
fn a_refused_certificate_is_described() {
    let (pem, config) = self_signed("any", &["127.0.0.1", "files.example"], Flaw::None);
    let server = Server::start_tls(config);
    let place = Place::new();
    let out = place.run(&[&server.url("well_behaved/9/f"), "--on-error", "skip"]);
    assert_refused(
        &place,
        &out,
        "tls.untrusted",
        &["trusted authority: it is self-signed, it is for files.example", "issued by any", "valid until "],
    );
    assert!(!out.stderr.contains("not supported"), "{}", out.stderr);
    drop(pem);
    let server = Server::start_tls(Authority::default().config(Flaw::WrongHost));
    let out = place.run(&[&server.url("well_behaved/9/f"), "--on-error", "skip"]);
    assert_refused(&place, &out, "tls.untrusted", &["other.example"]);
}

#[test]
fn the_variables_of_openssl_say_where_trusted_certificates_are() {
    let authority = Authority::default();
    let server = Server::start_tls(authority.config(Flaw::None));
    let place = place_with(&authority);
    // In a folder of `SSL_CERT_DIR`, the name of a certificate is the hash of its subject. All files whose
    // names have this form are read.
    place.write("folder/0123abcd.0", authority.pem());
    for (variable, path, is_trusted) in [
        ("SSL_CERT_FILE", "keys/ca.pem", true),
        ("SSL_CERT_DIR", "folder", true),
        ("SSL_CERT_FILE", "keys/cert.pem", false),
    ] {
        let url = server.url("well_behaved/1000/f");
        let mut command = place.command(&[&url, "--if-exists", "overwrite", "--on-error", "skip"]);
        command.env(variable, place.path().join(path));
        let out = crate::common::finish(command.spawn().expect("the program starts"));
        match is_trusted {
            true => assert_has(&place, &out, "f", 1000),
            false => assert_refused(&place, &out, "tls.untrusted", &[]),
        }
    }
}

#[test]
fn nginx_gets_the_client_certificate_with_every_version_of_tls() {
    let authority = Authority::default();
    let place = place_with(&authority);
    let root = place.path().join("keys");
    for version in ["TLSv1.2", "TLSv1.3"] {
        let started = Daemon::nginx(|folder, port| {
            folder.write("www/f", content("f", 300_000));
            let (keys, here) = (root.display(), folder.path().display());
            format!(
                "log_format seen '$ssl_client_verify $server_protocol'; access_log {here}/seen.log seen;
                 ssl_certificate {keys}/cert.pem; ssl_certificate_key {keys}/key.pem; ssl_protocols {version};
                 ssl_client_certificate {keys}/ca.pem; ssl_verify_client on; ssl_session_cache shared:a:1m;
                 server {{ listen 127.0.0.1:{port} ssl http2; }}"
            )
        });
        let Some(nginx) = started else { return };
        let url = format!("https://127.0.0.1:{}/f", nginx.port);
        for more in [&[][..], &["--http2"]] {
            let args = [&[url.as_str(), "--if-exists", "overwrite"], &CA[..], &CERT, more].concat();
            let out = place.run(&args);
            assert_has(&place, &out, "f", 300_000);
        }
        let seen = nginx.text("seen.log");
        assert!(seen.contains("SUCCESS HTTP/1.1") && seen.contains("SUCCESS HTTP/2.0"), "{seen}");
        let other = Place::new();
        let ca = root.join("ca.pem");
        let out = other.run(&[&url, "--cacert", ca.to_str().expect("UTF-8"), "--on-error", "skip"]);
        assert_eq!(out.status, 1, "{}", out.stderr);
        // nginx makes the connection and refuses the request.
        assert!(out.stderr.contains("400 Bad Request"), "{}", out.stderr);
    }
}

#[test]
fn apache_gets_the_client_certificate_with_every_version_of_tls() {
    let authority = Authority::default();
    let place = place_with(&authority);
    let root = place.path().join("keys");
    for version in ["TLSv1.2", "TLSv1.3"] {
        let started = Daemon::start("apache2", |folder, port| {
            folder.write("www/f", content("f", 300_000));
            let (keys, here) = (root.display(), folder.path().display());
            // Debian has the modules of Apache in this folder.
            let modules: String = ["mpm_event", "authz_core", "socache_shmcb", "ssl"]
                .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
                .concat();
            let config = format!(
                "{modules}
                 ServerRoot {here}\nPidFile {here}/pid\nListen 127.0.0.1:{port}\nServerName 127.0.0.1\nUser www-data
                 DocumentRoot {here}/www\nErrorLog {here}/error.log\nDefaultRuntimeDir {here}
                 CustomLog {here}/seen.log \"%{{SSL_CLIENT_VERIFY}}x %{{SSL_PROTOCOL}}x\"
                 SSLEngine on\nSSLProtocol {version}\nSSLSessionCache shmcb:{here}/sessions(512000)
                 SSLCertificateFile {keys}/cert.pem\nSSLCertificateKeyFile {keys}/key.pem
                 SSLCACertificateFile {keys}/ca.pem\nSSLVerifyClient require\n"
            );
            let config = folder.write("apache.conf", config);
            vec!["-D".into(), "FOREGROUND".into(), "-f".into(), config.display().to_string()]
        });
        let Some(apache) = started else { return };
        let url = format!("https://127.0.0.1:{}/f", apache.port);
        let out = place.run(&[&[url.as_str(), "--if-exists", "overwrite"], &CA[..], &CERT].concat());
        assert_has(&place, &out, "f", 300_000);
        let seen = apache.text("seen.log");
        assert!(seen.contains(&format!("SUCCESS {version}")), "{seen}");
        let other = Place::new();
        let ca = root.join("ca.pem");
        let args = [&url, "--cacert", ca.to_str().expect("UTF-8"), "--on-error", "skip", "--retries", "0"];
        let out = other.run(&args);
        // Apache ends the handshake. In TLS 1.2 its alert is the same as for ciphers that it refuses.
        let code = if version == "TLSv1.3" { "tls.client" } else { "[tls." };
        assert_refused(&other, &out, code, &[]);
    }
}

#[test]
fn a_variable_that_names_no_trusted_certificates_is_an_error_that_names_it() {
    let server = Server::start_tls(Authority::default().config(Flaw::None));
    let place = Place::new();
    place.write("empty", "no certificate\n");
    place.write("folder/f", "");
    let run = |variable: &str, value: &str, args: &[&str]| {
        let mut command = place.command(args);
        command.env(variable, place.path().join(value));
        crate::common::finish(command.spawn().expect("the program starts"))
    };
    let url = server.url("well_behaved/1000/f");
    for (variable, value, says) in [
        ("SSL_CERT_FILE", "missing", "SSL_CERT_FILE in the environment: "),
        ("SSL_CERT_FILE", "empty", "empty: it has no certificate in PEM form"),
        ("SSL_CERT_DIR", "folder", "folder: it has no certificate in PEM form"),
    ] {
        let out = run(variable, value, &[&url]);
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert!(out.stderr.contains(says) && out.stderr.contains(variable), "{}", out.stderr);
    }
    assert!(server.requests().is_empty());
    // A run that needs no certificates gets a warning.
    let plain = Server::start();
    let out = run("SSL_CERT_FILE", "missing", &[&plain.url("well_behaved/1000/f")]);
    assert!(out.status == 0 && out.stderr.contains("warning: SSL_CERT_FILE"), "{}", out.stderr);
    let out = run("SSL_CERT_FILE", "missing", &[&url, "--insecure", "--if-exists", "overwrite"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
}

#[test]
fn options_of_tls_do_not_silently_lose_their_effect_over_http() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    let pin = format!("sha256//{}", BASE64_STANDARD.encode([0; 32]));
    for list in [false, true] {
        let place = Place::new();
        place.write("list", &url);
        let input = if list { vec!["-i", "list"] } else { vec![url.as_str()] };
        let out = place.run(&[&input[..], &["--pinned-pubkey", &pin]].concat());
        assert_refused(&place, &out, "tls.pin", &["over http, a server does not prove", "Write https://"]);
    }
    assert!(server.requests().is_empty());
    let place = place_with(&Authority::default());
    let out = place.run(&[&[url.as_str(), "--cert", "keys/both.pem"][..]].concat());
    assert_has(&place, &out, "f", 1000);
    assert_eq!(out.stderr.matches("warning: --cert is not sent over http").count(), 1, "{}", out.stderr);
}
