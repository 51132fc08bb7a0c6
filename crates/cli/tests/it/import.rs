//! Commands of curl that were pasted: what they download, and what is shown of them.

use crate::common::Place;
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

#[test]
fn a_pasted_command_of_curl_downloads_what_curl_would() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    let pasted = format!(
        "curl '{url}' \\\n  -H 'accept: */*' \\\n  -H 'Range: bytes=5-' \\\n  -H $'X-One: it\\'s' \\\n  -H 'authorization: Bearer hush' \\\n  \
         -b 'a=hush' \\\n  -A 'me' \\\n  --compressed"
    );
    let windows = format!(
        "curl ^\"{url}^\" ^\r\n  -H ^\"x-one: it's^\" ^\r\n  -H ^\"authorization: Bearer hush^\" -b a=hush -A me"
    );
    for (args, input) in [
        (vec![pasted.as_str()], None),
        (vec!["import", "curl", pasted.as_str()], None),
        (vec!["import", "curl", windows.as_str(), "-x", "1"], None),
        (vec!["import", "curl"], Some(pasted.as_bytes())),
        (vec!["import", "curl", "-", "-v"], Some(windows.as_bytes())),
    ] {
        let place = Place::new();
        let out = match input {
            None => place.run(&args),
            Some(input) => place.run_with(&args, input),
        };
        place.assert_exact(&out, "f", &content("f", 1000));
        let request = server.requests().pop().expect("a request");
        let seen =
            ["x-one", "authorization", "cookie", "user-agent", "range"].map(|name| request.header(name));
        assert_eq!(seen, [Some("it's"), Some("Bearer hush"), Some("a=hush"), Some("me"), None], "{args:?}");
        assert!(!out.stderr.contains("hush") && !place.log().contains("hush"), "{}", out.stderr);
        if !args.contains(&windows.as_str()) && input != Some(windows.as_bytes()) {
            assert!(out.stderr.contains("warning: the header range is left out"), "{}", out.stderr);
        }
    }
}

#[test]
fn options_beside_a_pasted_command_win() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    let pasted = format!("curl -sSL -A theirs '{url}' -o theirs");
    for args in [
        vec![pasted.as_str(), "-o", "ours", "-A", "ours"],
        vec!["-o", "ours", "-A", "ours", pasted.as_str()],
        vec!["import", "curl", pasted.as_str(), "-o", "ours", "-A", "ours"],
    ] {
        let place = Place::new();
        let out = place.run(&args);
        place.assert_exact(&out, "ours", &content("f", 1000));
        assert_eq!(server.requests().pop().expect("a request").header("user-agent"), Some("ours"));
    }
    let place = Place::new();
    let out = place.run(&[&pasted]);
    place.assert_exact(&out, "theirs", &content("f", 1000));
}

#[test]
fn a_dry_run_shows_what_was_understood_without_secrets() {
    let place = Place::new();
    for (text, shown) in [
        (
            "curl 'https://h.example/a b?x=1' -H 'Authorization: Bearer hush' -H 'X-Key: hush' -k -o 'my file' | tar x",
            "downhaul 'https://h.example/a b?x=1' -o 'my file' -H 'Authorization: ...' -H 'X-Key: ...' --insecure\n",
        ),
        (
            "curl -LO 'https://me:hush@h.example/f?token=hush&v=1'",
            "downhaul 'https://h.example/f?token=***&v=1'\n",
        ),
        (
            "curl -s https://h.example/1 https://h.example/2",
            "downhaul https://h.example/1 https://h.example/2\n",
        ),
    ] {
        for args in [vec![text, "--dry-run"], vec!["import", "curl", text, "--dry-run"]] {
            let out = place.run(&args);
            assert_eq!(out.status, 0, "{}", out.stderr);
            assert_eq!(String::from_utf8_lossy(&out.stdout), shown);
            assert!(!out.stderr.contains("hush"), "{}", out.stderr);
            assert_eq!(
                out.stderr.contains("what follows | is left out"),
                text.contains('|'),
                "{}",
                out.stderr
            );
        }
    }
    let out = place.run(&["https://h.example/f", "-j", "3", "--dry-run"]);
    assert_eq!(
        (out.status, String::from_utf8_lossy(&out.stdout).as_ref()),
        (0, "downhaul https://h.example/f -j 3\n")
    );
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn what_cannot_be_imported_is_one_clear_line() {
    let place = Place::new();
    for (args, says) in [
        (vec!["curl https://h/a --nonsense hush -F a=hush"], "-F of curl cannot be imported"),
        (vec!["curl https://h/a --nonsense hush"], "these options of curl are not known here: --nonsense"),
        (
            vec!["curl -H \"Authorization: $TOKEN\" https://h/a"],
            "it contains $TOKEN, and only a shell knows its value",
        ),
        (
            vec!["import", "curl", "wget hush"],
            "only commands of curl can be imported, and this begins with wget",
        ),
        (vec!["import", "wget", "wget hush"], "wget"),
        (vec!["import", "curl"], "there is no command to import"),
    ] {
        let out = place.run(&args);
        assert_eq!(out.status, 2, "{args:?}: {}", out.stderr);
        assert!(out.stderr.contains(says) && !out.stderr.contains("hush"), "{args:?}: {}", out.stderr);
    }
}
