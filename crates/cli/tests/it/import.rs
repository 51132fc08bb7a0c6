//! Tests of pasted commands of curl: what they download, and what messages show of them.

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
fn a_body_of_the_user_replaces_every_body_of_a_pasted_command() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    for (pasted, option, media_type) in [
        ("-d theirs=1 --data-raw theirs=2", "--json", "application/json"),
        ("--json '{\"theirs\":1}'", "--data", "application/x-www-form-urlencoded"),
        ("-d theirs=1", "--data", "application/x-www-form-urlencoded"),
    ] {
        let place = Place::new();
        let out = place.run(&[&format!("curl {pasted} {url}"), option, "[1]"]);
        place.assert_exact(&out, "f", &content("f", 1000));
        let sent = server.requests().pop().expect("a request");
        assert_eq!((sent.method.as_str(), sent.body.as_slice()), ("POST", &b"[1]"[..]), "{pasted} {option}");
        assert_eq!(sent.header("content-type"), Some(media_type), "{pasted} {option}");
    }
}

#[test]
fn an_option_of_the_user_replaces_pasted_options_that_it_excludes() {
    let place = Place::new();
    for (pasted, option, shown) in [
        ("--oauth2-bearer hush", &["-u", "me:hush"][..], "-u me:..."),
        ("-u me:hush", &["--bearer", "hush"], "--bearer ... --auth basic"),
        ("--http2-prior-knowledge", &["--http1"], "--http1"),
        ("-6", &["-4"], "-4"),
        ("-x http://theirs:1 -U me:hush", &["--proxy", "http://ours:2"], "--proxy http://ours:2"),
        ("--netrc-file theirs", &["--no-netrc"], "--no-netrc"),
        ("-o theirs", &["--to-tar", "t-{shard:05}.tar"], "--to-tar 't-{shard:05}.tar'"),
    ] {
        let pasted = format!("curl {pasted} https://h.example/f");
        for args in [&[pasted.as_str(), "--dry-run"][..], &["import", "curl", &pasted, "--dry-run"]] {
            let out = place.run(&[args, option].concat());
            assert_eq!(out.status, 0, "{args:?}: {}", out.stderr);
            let command = format!("downhaul https://h.example/f {shown}\n");
            assert_eq!(String::from_utf8_lossy(&out.stdout), command, "{args:?}");
        }
    }
    // A run that left out either the body or the range would download something else. A run with a list that
    // left out the name would save the file elsewhere.
    for (pasted, option) in
        [("-d a=1", ["--range", "0-9"]), ("-r 0-9", ["--data", "a=1"]), ("-o theirs", ["-i", "list"])]
    {
        let pasted = format!("curl {pasted} https://h.example/f");
        let out = place.run(&[&[pasted.as_str(), "--dry-run"][..], &option].concat());
        assert!(out.status == 2 && out.stderr.contains("cannot be used with"), "{pasted}: {}", out.stderr);
    }
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
            "downhaul 'https://h.example/f?token=***&v=1' --auth basic\n",
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
fn a_pasted_host_header_without_a_value_is_left_out_with_a_warning() {
    let place = Place::new();
    for header in ["Host:", "host: ", "Host;"] {
        let out = place.run(&[&format!("curl https://h.example/f -H '{header}'"), "--dry-run"]);
        let printed = String::from_utf8_lossy(&out.stdout);
        assert_eq!((out.status, printed.as_ref()), (0, "downhaul https://h.example/f\n"), "{}", out.stderr);
        assert!(out.stderr.contains("warning: the header host is left out"), "{header}: {}", out.stderr);
    }
}

#[test]
fn a_pasted_command_uses_the_scheme_and_the_login_that_curl_would_use() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f").replace("http://", "http://x:y@");
    let place = Place::new();
    let command = format!("curl {url} -u o:p");
    let out = place.run(&[&command]);
    place.assert_exact(&out, "f", &content("f", 1000));
    let sent = server.requests().pop().expect("a request");
    assert_eq!(sent.header("authorization"), Some("Basic bzpw"), "the login o:p is sent");
    let out = place.run(&[&command, "--dry-run"]);
    let shown = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(shown.contains(" -u o:... "), "{shown}");
    let out = place.run(&["curl h.example:8443/f", "--dry-run"]);
    assert_eq!(String::from_utf8_lossy(&out.stdout), "downhaul http://h.example:8443/f\n");
}

/// A dry run refuses a command that a run refuses because of its arguments.
#[test]
fn a_dry_run_without_a_download_is_an_error() {
    let place = Place::new();
    for (args, why) in [
        (&["--dry-run"][..], "nothing to download"),
        (&["-d", "x", "--dry-run"], "nothing to download"),
        (&["plan", "--dry-run"], "nothing to download"),
        (&["http://h.example/a,http://h.example/b", "x", "--dry-run"], "2 URLs but 1 name"),
        (
            &["plan", "http://h.example/a", "http://h.example/b", "-o", "x", "--dry-run"],
            "-o is for a single URL",
        ),
    ] {
        let out = place.run(args);
        assert!(out.status == 2 && out.stderr.contains(why), "{args:?}: {}", out.stderr);
        assert!(out.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_dry_run_of_a_repair_changes_nothing() {
    let server = Server::start();
    let place = Place::new();
    place.write("list", format!("{} f\n", server.url("well_behaved/1000/f")));
    let out = place.run(&["repair", "list", "-d", "x", "--dry-run", "-u", "me:hush"]);
    let shown = String::from_utf8_lossy(&out.stdout);
    assert_eq!((out.status, &*shown), (0, "downhaul repair list -d x -u me:...\n"), "{}", out.stderr);
    assert_eq!((server.requests().len(), place.files()), (0, vec!["list".to_string()]));
}

#[test]
fn a_command_that_cannot_be_imported_gets_an_error_of_one_line() {
    let place = Place::new();
    for (args, says) in [
        (vec!["curl https://h/a --nonsense hush -F a=hush"], "-F of curl cannot be imported"),
        (
            vec!["curl https://h/a --nonsense hush"],
            "downhaul does not know these options of curl: --nonsense",
        ),
        (
            vec!["curl -H \"Authorization: $TOKEN\" https://h/a"],
            "it contains $TOKEN, and only a shell knows its value",
        ),
        (
            vec!["import", "curl", "wget hush"],
            "only commands of curl can be imported, but the text begins with wget",
        ),
        (vec!["import", "wget", "wget hush"], "wget"),
        (vec!["import", "curl"], "there is no command to import"),
    ] {
        let out = place.run(&args);
        assert_eq!(out.status, 2, "{args:?}: {}", out.stderr);
        assert!(out.stderr.contains(says) && !out.stderr.contains("hush"), "{args:?}: {}", out.stderr);
    }
}

#[test]
fn a_command_on_standard_input_is_never_cut() {
    let server = Server::start();
    let place = Place::new();
    let mut command = format!("curl {} -H 'X-Long: ", server.url("well_behaved/10/f")).into_bytes();
    command.resize((1 << 20) + 1, b'x');
    let out = place.run_with(&["import", "curl"], &command);
    let says = "the command on standard input cannot be read: it is longer than 1048576 bytes";
    assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
    let out = place.run_with(&["import", "curl"], b"curl http://h/\xe4");
    assert!(out.status == 2 && out.stderr.contains("is not UTF-8"), "{}", out.stderr);
    let out = place.run_with(&["import", "curl", "-H", "@-"], b"curl http://h/");
    let says = "read only once, and the imported command and -H @- both read it";
    assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
    assert!(server.requests().is_empty());
}

#[test]
fn patterns_in_the_urls_of_a_pasted_command_are_expanded_as_curl_does() {
    let server = Server::start();
    let pattern = server.url("well_behaved/1000/f[1-2]");
    for (command, names) in [
        (format!("curl -O '{pattern}'"), ["f1", "f2"]),
        // Browsers write a backslash before ordinary brackets.
        (format!("curl -O '{pattern}?a\\[\\]=1'"), ["f1", "f2"]),
        (format!("curl -o 'n#1' '{pattern}'"), ["n1", "n2"]),
        (
            format!(
                "curl -O '{{{},{}}}'",
                server.url("well_behaved/1000/f1"),
                server.url("well_behaved/1000/f2")
            ),
            ["f1", "f2"],
        ),
    ] {
        let place = Place::new();
        let out = place.run(&[&command]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        for (name, asked) in names.iter().zip(["f1", "f2"]) {
            assert_eq!(place.file(name), Some(content(asked, 1000)), "{command}");
        }
    }
    let place = Place::new();
    place.run(&["-q", "--retries", "0", &format!("curl -g '{pattern}'")]);
    assert_eq!(server.requests().pop().expect("a request").target, "/well_behaved/1000/f[1-2]");
}

#[test]
fn a_pasted_login_is_sent_at_once_unless_curl_would_wait() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    let with_login = url.replace("http://", "http://me:hush@");
    for (command, at_once) in [
        (format!("curl -u me:hush {url}"), true),
        (format!("curl --basic -u me:hush {url}"), true),
        (format!("curl {with_login}"), true),
        (format!("curl --anyauth -u me:hush {url}"), false),
        (format!("curl --digest -u me:hush {url}"), false),
    ] {
        let place = Place::new();
        let out = place.run(&[&command]);
        place.assert_exact(&out, "f", &content("f", 1000));
        let sent = server.requests().pop().expect("a request").header("authorization").map(String::from);
        assert_eq!(sent.as_deref(), at_once.then_some("Basic bWU6aHVzaA=="), "{command}");
    }
}

#[test]
fn a_file_of_pasted_data_is_sent_without_its_line_ends() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    for (option, body) in
        [("-d @post", "k=vf=1"), ("-d a=b -d @post", "a=b&k=vf=1"), ("--data-binary @post", "k=v\r\nf=1\n")]
    {
        let place = Place::new();
        place.write("post", "k=v\r\nf=1\n");
        let out = place.run(&[&format!("curl {option} {url}")]);
        assert_eq!((out.status, place.file("f")), (0, Some(content("f", 1000))), "{}", out.stderr);
        let sent = server.requests().pop().expect("a request").body;
        assert_eq!(String::from_utf8_lossy(&sent), body, "{option}");
    }
}

#[test]
fn http2_of_a_pasted_command_falls_back_to_http1() {
    let server = Server::start();
    let place = Place::new();
    let out = place.run(&[&format!("sudo /usr/bin/curl --http2 {} ;", server.url("well_behaved/1000/f"))]);
    place.assert_exact(&out, "f", &content("f", 1000));
    assert!(!out.stderr.contains("left out"), "{}", out.stderr);
}
