//! Tests of the configuration: its file, the environment, profiles, and what each layer may decide.

use crate::common::{Out, Place, finish};
use downhaul_testkit::content;
use downhaul_testkit::server::{Request, Server};

/// Runs the program with these variables in its environment.
fn run(place: &Place, variables: &[(&str, &str)], args: &[&str]) -> Out {
    finish(place.command(args).envs(variables.iter().copied()).spawn().expect("the program starts"))
}

/// Downloads a file and returns the User-Agent of its request.
#[track_caller]
fn agent(server: &Server, place: &Place, variables: &[(&str, &str)], args: &[&str]) -> String {
    let url = server.url("well_behaved/10/f");
    let out = run(place, variables, &[&[url.as_str(), "--if-exists", "overwrite"], args].concat());
    place.assert_exact(&out, "f", &content("f", 10));
    let request: Request = server.requests().pop().expect("a request");
    request.header("user-agent").unwrap_or_default().to_string()
}

/// Returns the lines of `downhaul config`: key, value, origin.
#[track_caller]
fn report(out: &Out) -> Vec<(String, String, String)> {
    assert_eq!(out.status, 0, "{}", out.stderr);
    let text = String::from_utf8(out.stdout.clone()).expect("UTF-8");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let cells = lines.map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim));
    let rows = cells.map(|mut cells| {
        let mut next = || cells.next().unwrap_or_default().to_string();
        (next(), next(), next())
    });
    rows.collect()
}

#[test]
fn the_command_line_has_precedence_over_the_environment_the_profile_and_the_file() {
    let server = Server::start();
    let place = Place::new();
    let file = place.write("c.toml", "user-agent = 'top'\n[profile.one]\nuser-agent = 'profile'\n");
    let file = file.to_str().expect("UTF-8");
    let by_file = [("DOWNHAUL_CONFIG", file)];
    let by_variable = [("DOWNHAUL_CONFIG", file), ("DOWNHAUL_USER_AGENT", "variable")];
    assert_eq!(agent(&server, &place, &by_file, &[]), "top");
    assert_eq!(agent(&server, &place, &by_file, &["--profile", "one"]), "profile");
    assert_eq!(agent(&server, &place, &by_variable, &["--profile", "one"]), "variable");
    assert_eq!(agent(&server, &place, &by_variable, &["-A", "option"]), "option");
    assert!(agent(&server, &place, &by_file, &["--config", "none"]).starts_with("downhaul/"));
    let profile = [("DOWNHAUL_PROFILE", "one")];
    assert_eq!(agent(&server, &place, &profile, &["--config", file]), "profile");
}

#[test]
fn the_file_is_found_in_the_folder_of_configurations() {
    let server = Server::start();
    let place = Place::new();
    place.write("home/.config/downhaul/config.toml", "user-agent = 'home'\n");
    place.write("xdg/downhaul/config.toml", "user-agent = 'xdg'\n");
    // The current folder may belong to other people. Its file is read only if the user names it.
    place.write("downhaul.toml", "user-agent = 'here'\n");
    let path = |name: &str| place.path().join(name).to_string_lossy().into_owned();
    let (home, xdg) = (path("home"), path("xdg"));
    if cfg!(target_os = "linux") {
        assert_eq!(agent(&server, &place, &[("HOME", &home)], &[]), "home");
    }
    assert_eq!(agent(&server, &place, &[("HOME", &home), ("XDG_CONFIG_HOME", &xdg)], &[]), "xdg");
    assert_eq!(agent(&server, &place, &[("HOME", &home)], &["--config", "downhaul.toml"]), "here");
}

#[test]
fn a_lower_layer_never_contradicts_a_higher_one() {
    let place = Place::new();
    let file = "http2 = true\nno-xattr = true\nquiet = true\nverify = 'find'\nexplain = true\n[profile.p]\nexplain = false\n";
    place.write("c.toml", file);
    let args = ["config", "--config", "c.toml", "--http1", "--xattr", "-v", "--profile", "p"];
    let rows = report(&run(&place, &[("DOWNHAUL_VERIFY", "listed")], &args));
    let row = |name: &str| {
        let row = rows.iter().find(|(key, ..)| key == name).unwrap_or_else(|| panic!("{name}: {rows:?}"));
        (row.1.as_str(), row.2.as_str())
    };
    assert_eq!(row("http1"), ("true", "command line"));
    assert_eq!(row("http2"), ("false", "default"));
    assert_eq!(row("no-xattr"), ("false", "default"));
    assert_eq!(row("quiet"), ("false", "default"));
    assert_eq!(row("verbose"), ("1", "command line"));
    assert_eq!(row("verify"), ("listed", "DOWNHAUL_VERIFY in the environment"));
    assert_eq!(row("explain"), ("false", "c.toml:7 (profile p)"));
    assert_eq!(row("retries"), ("3", "default"));
    // A download with these layers is not refused either.
    let server = Server::start();
    let out = place.run(&[&server.url("well_behaved/10/f"), "--config", "c.toml", "--http1", "-v"]);
    place.assert_exact(&out, "f", &content("f", 10));
}

#[test]
fn every_kind_of_value_reaches_its_option() {
    let server = Server::start();
    let place = Place::new();
    place.write(
        "c.toml",
        "headers = ['X-One: 1', 'X-Two: 2']\nretries = 0\nretry-on = [404, 403]\ntimeout = '5s'\nlimit-rate = \"9M\"\n\
         insecure = false\nverbose = 1\nparallel = 'auto'\nlog = 'none'\noutput = '~/out'\n",
    );
    let home = place.path().to_string_lossy().into_owned();
    let url = server.url("well_behaved/1000/f");
    let out = run(&place, &[("HOME", &home)], &[&url, "--config", "c.toml"]);
    place.assert_exact(&out, "out/f", &content("f", 1000));
    let request = server.requests().pop().expect("a request");
    assert_eq!((request.header("x-one"), request.header("x-two")), (Some("1"), Some("2")));
    assert_eq!(place.log(), "");
    // Booleans and lists can also come from the environment. A list replaces the list of the file.
    let variables =
        [("DOWNHAUL_HEADER", "X-Three: 3\nX-Four: 4"), ("DOWNHAUL_EXPLAIN", "true"), ("DOWNHAUL_LOG", "l")];
    let out = run(&place, &variables, &[&url, "--config", "c.toml", "-d", "."]);
    place.assert_exact(&out, "f", &content("f", 1000));
    let request = server.requests().pop().expect("a request");
    assert_eq!((request.header("x-one"), request.header("x-four")), (None, Some("4")));
    assert!(out.stderr.contains("connection") && place.file("l").is_some(), "{}", out.stderr);
    // An option of the command line replaces an option that contradicts it.
    place.write("more.toml", "continue = true\n");
    let out = run(&place, &[], &[&url, "--config", "more.toml", "--range", "0-9", "-o", "part"]);
    place.assert_exact(&out, "part", &content("f", 1000)[..10]);
    // `downhaul repair` uses the configuration too.
    let sha = downhaul_testkit::sha256(&content("f", 1000));
    place.write("list", format!("{{\"url\":\"{url}\",\"sha256\":\"{sha}\"}}\n"));
    let out = place.run(&["repair", "list", "--config", "c.toml", "--if-exists", "x"]);
    assert_eq!(out.status, 2, "{}", out.stderr);
    place.write("f", "damaged");
    let out = place.run(&["repair", "list", "--config", "c.toml", "-d", "."]);
    place.assert_exact(&out, "f", &content("f", 1000));
    assert_eq!(server.requests().pop().expect("a request").header("x-one"), Some("1"));
}

// This function is long because it is a list of mistakes.
#[test]
fn every_mistake_in_the_configuration_gets_one_clear_line() {
    let place = Place::new();
    for (text, says) in [
        ("\nparalel = 8\n", "c.toml:2: paralel is not the name of an option; did you mean parallel?"),
        ("limit_rate = 8\n", "c.toml:1: limit_rate is not the name of an option; did you mean limit-rate?"),
        ("nonsense = 8\n", "c.toml:1: nonsense is not the name of an option"),
        ("parallel = 'many'\n", "c.toml:1: parallel: \"many\": it must be auto or a number from 1 to 1024"),
        ("parallel = true\n", "c.toml:1: parallel: it must be a number or a text in quotes, not true"),
        (
            "parallel = 2026-11-27\n",
            "c.toml:1: parallel: it must be a number or a text in quotes, not a date",
        ),
        ("parallel = [1, 2]\n", "c.toml:1: parallel: it must be one value, not a list"),
        ("verify = 'hard'\n", "c.toml:1: verify: \"hard\": it must be auto, find, listed, require or off"),
        ("max-per-host = 5000\n", "c.toml:1: max-per-host: \"5000\": 5000 is not in 1..=1024"),
        ("insecure = 'yes'\n", "c.toml:1: insecure: it must be true or false"),
        ("verbose = 'yes'\n", "c.toml:1: verbose: it must be a number from 0 to 9, or true or false"),
        ("header = ['X']\n", "c.toml:1: header: it must have the form 'Name: value'"),
        ("header = ['Range: bytes=0-']\n", "c.toml:1: header: Range is set by downhaul itself"),
        ("http1 = true\nhttp2 = true\n", "c.toml:2: http2 cannot be set together with http1 (c.toml:1)"),
        ("save-as = 'x'\n", "c.toml:1: save-as cannot be set here: it names one file"),
        ("profile = 'x'\n", "c.toml:1: profile cannot be set here: it chooses a section [profile.NAME]"),
        ("[profile]\nretries = 1\n", "c.toml:2: profile is a kind of section: write [profile.\"NAME\"]"),
        ("[network]\nretries = 1\n", "c.toml:1: there is no section [network]"),
        ("[profiles.x]\nretries = 1\n", "c.toml:1: there is no section [profiles]; did you mean profile?"),
        ("[profile.x]\nretrys = 1\n", "c.toml:2: retrys is not the name of an option; did you mean retries?"),
        (
            "[host.example.org]\nheaders = []\n",
            "a name with dots is written in quotes, as in [host.\"example.org\"]",
        ),
        ("retries = 1\nretries = 2\n", "c.toml:2: duplicate key"),
        ("retries = \n", "c.toml:1: "),
        ("\n\nheader = [\"X: 1\n", "c.toml:3: "),
    ] {
        place.write("c.toml", text);
        let out = place.run(&["http://127.0.0.1:1/", "--config", "c.toml"]);
        assert_eq!(out.status, 2, "{text}: {}", out.stderr);
        let (first, rest) = out.stderr.split_once('\n').expect("a line");
        assert!(first.contains(says), "{text}: {first}");
        assert_eq!(rest, "For more information, try 'downhaul --help'.\n", "{text}");
    }
    let variable =
        |name: &str, value: &str| run(&place, &[(name, value)], &["http://127.0.0.1:1/", "--retries", "0"]);
    let out = variable("DOWNHAUL_PARALLEL", "many");
    let says = "DOWNHAUL_PARALLEL in the environment: \"many\": it must be auto or a number from 1 to 1024";
    assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
    // A variable with an unknown name may belong to another program, so it is only a warning.
    let out = variable("DOWNHAUL_PARALEL", "8");
    let says = "DOWNHAUL_PARALEL in the environment has no effect: paralel is not the name of an option; did you mean parallel?";
    assert!(out.status == 1 && out.stderr.contains(says), "{}", out.stderr);
    for (args, says) in [
        (["--config", "none.toml"], "there is no configuration file none.toml"),
        (["--profile", "x"], "there is no profile x: the configuration has no section [profile.x]"),
    ] {
        let out = place.run(&[&["http://127.0.0.1:1/"], &args[..]].concat());
        assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
    }
    place.write("c.toml", "[profile.fast]\n[profile.slow]\n");
    for (name, says) in
        [("fest", "did you mean fast?"), ("x", "there is no profile x; there are: fast, slow")]
    {
        let out = place.run(&["http://127.0.0.1:1/", "--config", "c.toml", "--profile", name]);
        assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
    }
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_shown() {
    let place = Place::new();
    for text in [
        "header = ['Authorization: Bearer hunter2']\n",
        "header = ['cookie: a=hunter2']\n",
        "header = ['X-Api-Key: hunter2']\n",
        "[host.\"example.org\"]\nheaders = ['Private-Token: hunter2']\n",
        "[profile.x]\nheader = 'Proxy-Authorization: Basic hunter2'\n",
        "[host.\"http://me:hunter2@example.org\"]\nconnections = 1\n",
        "checksum-file = 'https://example.org/SUMS?token=hunter2'\n",
        "checksum-file = 'https://me:hunter2@example.org/SUMS'\n",
        "header = 'Range: hunter2'\n",
        "header = 'hunter2'\n",
        "header = \"hunter2\n",
    ] {
        place.write("c.toml", text);
        let out = place.run(&["http://127.0.0.1:1/", "--config", "c.toml"]);
        assert_eq!(out.status, 2, "{text}: {}", out.stderr);
        assert!(!out.stderr.contains("hunter2"), "{}", out.stderr);
        assert_eq!(out.stderr.lines().count(), 2, "{}", out.stderr);
        if text.contains("Bearer") {
            assert!(
                out.stderr.contains("c.toml:1: header: this file must not contain a secret"),
                "{}",
                out.stderr
            );
        }
    }
}

#[test]
fn secrets_come_from_files_and_from_the_environment() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("well_behaved/10/f");
    place.write("all", "Authorization: Bearer hunter2\n");
    place.write("key", "hunter2\n");
    for header in [
        "@all",
        "env:WHOLE",
        "Authorization: env:VALUE",
        "Authorization: @key",
        "@~/all",
        "Authorization: @~/key",
    ] {
        place.write("c.toml", format!("header = ['{header}', 'X-One: 1']\n"));
        let value = if header.ends_with("key") { "hunter2" } else { "Bearer hunter2" };
        let home = place.path().to_string_lossy().into_owned();
        let variables = [
            ("WHOLE", "Authorization: Bearer hunter2"),
            ("VALUE", "Bearer hunter2"),
            ("HOME", home.as_str()),
        ];
        let out = run(&place, &variables, &[&url, "--config", "c.toml", "--if-exists", "overwrite", "-v"]);
        place.assert_exact(&out, "f", &content("f", 10));
        assert_eq!(
            server.requests().pop().expect("a request").header("authorization"),
            Some(value),
            "{header}"
        );
        // The report shows the values as they are in the file.
        let shown = run(&place, &variables, &["config", "--config", "c.toml"]);
        let rows = report(&shown);
        assert!(
            rows.contains(&("header".into(), format!("{header}, X-One: 1"), "c.toml:1".into())),
            "{rows:?}"
        );
        for text in [out.stderr, place.log(), String::from_utf8(shown.stdout).expect("UTF-8")] {
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
    place.write("c.toml", "header = ['env:WHOLE']\n");
    let out = place.run(&[&url, "--config", "c.toml"]);
    assert!(
        out.status == 2 && out.stderr.contains("c.toml:1: the environment variable WHOLE is not set"),
        "{}",
        out.stderr
    );
    // A profile that is not used needs none of its secrets.
    place.write("c.toml", "[profile.x]\nheader = ['env:WHOLE']\n");
    let out = place.run(&[&url, "--config", "c.toml", "--if-exists", "overwrite"]);
    place.assert_exact(&out, "f", &content("f", 10));
}

#[test]
fn the_report_hides_secrets_of_the_command_line_and_of_the_environment() {
    let place = Place::new();
    let args = [
        "config",
        "-H",
        "Authorization: Bearer hunter2",
        "--checksum-file",
        "https://a:hunter2@h/S?sig=hunter2",
    ];
    let out = run(&place, &[], &args);
    let rows = report(&out);
    assert!(
        rows.contains(&("header".into(), "Authorization: ...".into(), "command line".into())),
        "{rows:?}"
    );
    assert!(!String::from_utf8_lossy(&out.stdout).contains("hunter2"));
    let out = run(&place, &[("DOWNHAUL_HEADER", "Authorization: hunter2\nX-Key: hunter2")], &["config"]);
    let rows = report(&out);
    let row = (
        "header".into(),
        "Authorization: ..., X-Key: ...".into(),
        "DOWNHAUL_HEADER in the environment".into(),
    );
    assert!(rows.contains(&row), "{rows:?}");
    assert!(!String::from_utf8_lossy(&out.stdout).contains("hunter2"));
}

#[test]
fn a_value_that_turns_out_to_be_unusable_is_named_with_its_origin() {
    let place = Place::new();
    place.write("c.toml", "\nuser = 'ann'\n");
    for (variables, args, says) in [
        (&[][..], &["--config", "c.toml"][..], "error: c.toml:2: user ann has no password"),
        (
            &[("DOWNHAUL_PROXY", "foo://h")],
            &[],
            "error: DOWNHAUL_PROXY in the environment: the scheme of a proxy URL must be one of",
        ),
        (&[], &["--proxy", "foo://h"], "error: --proxy: the scheme of a proxy URL must be one of"),
    ] {
        let out = run(&place, variables, &[&["http://127.0.0.1:1/"], args].concat());
        assert!(out.status == 2 && out.stderr.contains(says), "{}", out.stderr);
    }
}

#[test]
fn init_writes_a_file_that_changes_nothing_and_never_replaces_one() {
    let place = Place::new();
    let home = place.path().to_string_lossy().into_owned();
    let variables = [("XDG_CONFIG_HOME", home.as_str())];
    let before = report(&run(&place, &variables, &["config"]));
    let out = run(&place, &variables, &["config", "init"]);
    assert!(out.status == 0 && out.stderr.contains("downhaul/config.toml"), "{}", out.stderr);
    let file = place.file("downhaul/config.toml").expect("a file");
    let text = String::from_utf8(file.clone()).expect("UTF-8");
    assert!(text.contains("\n#retries = 3\n") && text.contains("DOWNHAUL_PARALLEL"), "{text}");
    // A default that is only a description is not written as a value.
    for described in [
        "The default is 2; auto for more than 16 files.\n#parallel = \"\"",
        "The default is downhaul/VERSION.\n#user-agent = \"\"",
        "$no_proxy.\n#no-proxy = \"\"",
    ] {
        assert!(text.contains(described), "{text}");
    }
    assert_eq!(report(&run(&place, &variables, &["config"])), before);
    // Each key is accepted when its line is no longer a comment. Lines without a value and lines with `env:`
    // are left out.
    for line in text.lines().filter(|line| {
        line.starts_with('#') && !line.starts_with("# ") && !line.ends_with("\"\"") && !line.contains("env:")
    }) {
        place.write("one.toml", line.trim_start_matches('#'));
        let out = place.run(&["config", "--config", "one.toml"]);
        assert_eq!(out.status, 0, "{line}: {}", out.stderr);
    }
    place.write("downhaul/config.toml", "retries = 9\n");
    let out = run(&place, &variables, &["config", "init"]);
    assert!(out.status == 1 && out.stderr.contains("exists already and was not changed"), "{}", out.stderr);
    assert_eq!(place.file("downhaul/config.toml").as_deref(), Some(&b"retries = 9\n"[..]));
    let out = place.run(&["config", "init", "--config", "new/c.toml"]);
    assert!(out.status == 0 && place.file("new/c.toml") == Some(file), "{}", out.stderr);
}

#[test]
fn init_ends_with_the_status_for_local_failures_if_the_file_cannot_be_written() {
    let place = Place::new();
    place.write("f", "mine");
    // The folder of the configuration file cannot be made, because it would have the name of a file.
    let out = place.run(&["config", "init", "--config", "f/c.toml"]);
    assert!(out.status == 5 && out.stderr.contains("f/c.toml could not be written"), "{}", out.stderr);
    assert_eq!(place.file("f").as_deref(), Some(&b"mine"[..]));
}

#[test]
fn some_commands_do_not_read_the_configuration() {
    let place = Place::new();
    place.write("downhaul/config.toml", "nonsense\n");
    let home = place.path().to_string_lossy().into_owned();
    let variables = [("XDG_CONFIG_HOME", home.as_str()), ("DOWNHAUL_PARALLEL", "nonsense")];
    for args in [&["man"][..], &["completions", "bash"], &["--help"], &["-h"], &["--version"]] {
        assert_eq!(run(&place, &variables, args).status, 0, "{args:?}");
    }
    place.write("SUMS", format!("{}  downhaul/config.toml\n", downhaul_testkit::sha256(b"nonsense\n")));
    assert_eq!(run(&place, &variables, &["verify", "SUMS"]).status, 0);
    assert_eq!(run(&place, &variables[..1], &["http://127.0.0.1:1/"]).status, 2);
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_write_to_is_not_read_unless_it_is_named() {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start();
    let place = Place::new();
    let file = place.write("downhaul/config.toml", "user-agent = 'mine'\n");
    set_permissions(&file, Permissions::from_mode(0o666)).expect("a mode");
    let home = place.path().to_string_lossy().into_owned();
    let variables = [("XDG_CONFIG_HOME", home.as_str())];
    let out = run(&place, &variables, &[&server.url("well_behaved/10/f")]);
    assert!(out.status == 2 && out.stderr.contains("all users may write to the file"), "{}", out.stderr);
    assert!(server.requests().is_empty());
    assert_eq!(agent(&server, &place, &[], &["--config", "downhaul/config.toml"]), "mine");
    let out = place.run(&["config", "--config", "downhaul/config.toml"]);
    assert!(
        out.stderr.contains("warning: downhaul/config.toml: all users may write to the file"),
        "{}",
        out.stderr
    );
    set_permissions(&file, Permissions::from_mode(0o664)).expect("a mode");
    assert_eq!(agent(&server, &place, &variables, &[]), "mine");
}

/// Returns a value of a header in the last request.
fn last_header(server: &Server, name: &str) -> Option<String> {
    server.requests().pop().expect("a request").header(name).map(String::from)
}

#[test]
fn headers_of_a_section_go_to_its_host_and_to_no_other() {
    let (server, other) = (Server::start(), Server::start());
    let place = Place::new();
    let file = |pattern: &str| {
        let text = format!("[host.\"{pattern}\"]\nheader = ['X-Key: env:KEY', 'X-One: 1']\n");
        place.write("c.toml", text);
    };
    let secret = [("KEY", "hunter2")];
    let url = server.url("well_behaved/10/f");
    let fetch = |url: &str, more: &[&str]| {
        let out = run(
            &place,
            &secret,
            &[&[url, "-o", "f", "--config", "c.toml", "--if-exists", "overwrite"], more].concat(),
        );
        place.assert_exact(&out, "f", &content("f", 10));
        out
    };
    // The headers are sent over http only if the name of the section begins with `http://`.
    file(&format!("127.0.0.1:{}", server.port()));
    let out = fetch(&url, &[]);
    assert_eq!(last_header(&server, "x-key"), None);
    let says = format!("are not sent to http://127.0.0.1:{}", server.port());
    assert!(out.stderr.contains(&says) && !out.stderr.contains("hunter2"), "{}", out.stderr);
    file(&format!("http://127.0.0.1:{}", server.port()));
    let out = fetch(&url, &[]);
    assert!(!out.stderr.contains("warning"), "{}", out.stderr);
    assert_eq!(last_header(&server, "x-key").as_deref(), Some("hunter2"));
    // Headers of the command line are sent too, and have precedence.
    fetch(&url, &["-H", "X-Two: 2", "-H", "x-one: mine"]);
    let all = ["x-key", "x-one", "x-two"].map(|name| last_header(&server, name));
    assert_eq!(all, ["hunter2", "mine", "2"].map(|value| Some(value.to_string())));
    // Another port is another server.
    fetch(&other.url("well_behaved/10/f"), &[]);
    assert_eq!(last_header(&other, "x-key"), None);
    // A redirect of another server leads to the host.
    let to = format!("redirect/10/f?to={url}");
    fetch(&other.url(&to), &[]);
    assert_eq!(last_header(&other, "x-key"), None);
    assert_eq!(last_header(&server, "x-key").as_deref(), Some("hunter2"));
    // A redirect of the host leads to another server.
    let to = format!("redirect/10/f?to={}", other.url("well_behaved/10/f"));
    fetch(&server.url(&to), &[]);
    assert_eq!(last_header(&server, "x-key").as_deref(), Some("hunter2"));
    assert_eq!(last_header(&other, "x-key"), None);
    let last = other.requests().pop().expect("a request");
    assert_eq!(last.target, "/well_behaved/10/f", "the redirect was followed");
}

#[test]
fn limits_of_a_section_apply_to_its_host_and_the_command_line_has_precedence() {
    let place = Place::new();
    for (more, most) in [("", 3..=5), ("max-per-host = 1\n", 1..=1)] {
        let server = Server::start();
        let host = format!("127.0.0.1:{}", server.port());
        let text = format!("connections = 1\n[host.\"{host}\"]\nconnections = 3\nlimit-rate = '90M'\n{more}");
        place.write("c.toml", text);
        let url = server.url("capped/6000000/f?rate=1000000");
        let out = place.run(&[&url, "--config", "c.toml", "--if-exists", "overwrite"]);
        place.assert_exact(&out, "f", &content("f", 6_000_000));
        // A connection that is slower than the others may be replaced.
        assert!(most.contains(&server.most_open()), "{more}{}", server.most_open());
    }
    let variables = [("DOWNHAUL_LIMIT_RATE", "1G")];
    let shown = run(&place, &variables, &["config", "--config", "c.toml", "-x", "7"]);
    let rows = report(&shown);
    let row =
        |name: &str| rows.iter().filter(|row| row.0 == name).map(|row| row.1.as_str()).collect::<Vec<_>>();
    assert_eq!(
        (row("connections"), row("limit-rate"), row("max-per-host")),
        (vec!["7"], vec!["1G"], vec!["64", "1"])
    );
}

#[test]
fn a_limit_of_a_section_slows_down_its_host() {
    let server = Server::start();
    let place = Place::new();
    let text = format!("[host.\"127.0.0.1:{}\"]\nlimit-rate = '500k'\n", server.port());
    place.write("c.toml", text);
    let url = server.url("well_behaved/1024000/f");
    let out = place.run(&[&url, "--config", "c.toml"]);
    place.assert_exact(&out, "f", &content("f", 1_024_000));
    assert!(out.took.as_secs_f64() > 1.5, "{:?}", out.took);
}

#[test]
fn mistakes_in_sections_for_hosts_get_one_clear_line() {
    let place = Place::new();
    for (text, says) in [
        ("[host.\"*\"]\n", "c.toml:1: *: it must be like example.org"),
        ("[host.\"*.com\"]\n", "c.toml:1: *.com: the names below com belong to many owners"),
        ("[host.\"*.co.uk\"]\n", "c.toml:1: *.co.uk: the names below co.uk belong to many owners"),
        ("\n[host.\"http://h/path\"]\n", "c.toml:2: http://h/path: it must be like"),
        (
            "[host.h]\nverify = 'off'\n",
            "c.toml:2: verify cannot be set for one host; these can: connections,",
        ),
        (
            "[host.h]\nconections = 1\n",
            "c.toml:2: conections is not the name of an option; did you mean connections?",
        ),
        (
            "[host.h]\nconnections = 'auto'\n",
            "c.toml:2: connections: it must be a number in a section for hosts",
        ),
        ("[host.h]\nheader = '@none'\n", "c.toml:2: header @none: it cannot be read"),
        (
            "[host.h]\nuser = 'env:A'\n\nbearer = 'env:B'\n",
            "c.toml:4: bearer cannot be set together with user (c.toml:2)",
        ),
    ] {
        place.write("c.toml", text);
        let out = place.run(&["http://127.0.0.1:1/", "--config", "c.toml"]);
        assert!(out.status == 2 && out.stderr.contains(says), "{text}: {}", out.stderr);
        assert_eq!(out.stderr.lines().count(), 2, "the second line names --help: {}", out.stderr);
    }
    // Only the suffixes of ICANN are refused. Names in the network of a home or of a company are in no list
    // of public suffixes, and `github.io` is the suffix of a company.
    let names = ["*.lan", "*.local", "*.a", "*.lan:8443", "*.github.io"];
    place.write("c.toml", names.map(|name| format!("[host.\"{name}\"]\nconnections = 1\n")).concat());
    let out = place.run(&["config", "--config", "c.toml"]);
    let shown = String::from_utf8_lossy(&out.stdout);
    assert!(names.iter().all(|name| shown.contains(&format!("[host.\"{name}\"]"))), "{shown}{}", out.stderr);
    place.write("c.toml", "[host.h]\nheader = 'X: env:NOT_SET'\n");
    let out = place.run(&["config", "--config", "c.toml"]);
    let says = "warning: c.toml:2: the environment variable NOT_SET is not set: header has no effect";
    assert!(out.status == 0 && out.stderr.contains(says), "{}", out.stderr);
}

#[test]
fn the_bearer_of_a_section_wins_over_the_netrc_file() {
    let (server, place) = (Server::start(), Place::new());
    let section = format!("[host.\"http://127.0.0.1:{}\"]\nbearer = 'env:TOKEN'\n", server.port());
    place.write("c.toml", section);
    place.write("netrc", "machine 127.0.0.1 login me password hush\n");
    let url = server.url("well_behaved/10/f");
    for more in [&["--auth", "basic"][..], &[]] {
        let always = [url.as_str(), "--config", "c.toml", "--netrc", "netrc", "--if-exists", "overwrite"];
        let out = run(&place, &[("TOKEN", "hunter2")], &[&always[..], more].concat());
        place.assert_exact(&out, "f", &content("f", 10));
        assert_eq!(last_header(&server, "authorization").as_deref(), Some("Bearer hunter2"), "{more:?}");
    }
}

#[test]
fn logins_and_proxies_of_a_section_are_for_its_host() {
    let (server, proxy, other) = (Server::start(), Server::start(), Server::start());
    let place = Place::new();
    let secret = [("TOKEN", "hunter2"), ("LOGIN", "me:hunter2"), ("PROXY", "http://me:hunter2@127.0.0.1:9")];
    let fetch = |url: &str, text: &str, args: &[&str]| {
        place.write("c.toml", format!("[host.\"http://127.0.0.1:{}\"]\n{text}\n", server.port()));
        let always = [url, "-o", "f", "--config", "c.toml", "--if-exists", "overwrite", "--retries", "0"];
        let out = run(&place, &secret, &[&always[..], args].concat());
        assert!(!out.stderr.contains("hunter2") && !place.log().contains("hunter2"), "{}", out.stderr);
        out
    };
    let (url, elsewhere) = (server.url("well_behaved/10/f"), other.url("well_behaved/10/f"));
    let seen = |server: &Server| last_header(server, "authorization");
    place.write("login", "me:hunter2\n");
    place.write("token", "hunter2\n");
    for (text, args, sent) in [
        ("bearer = 'env:TOKEN'", &[][..], Some("Bearer hunter2")),
        ("bearer = '@token'", &[], Some("Bearer hunter2")),
        ("user = 'env:LOGIN'", &["--auth", "basic"], Some("Basic bWU6aHVudGVyMg==")),
        ("user = '@login'", &["--auth", "basic"], Some("Basic bWU6aHVudGVyMg==")),
        ("bearer = 'env:TOKEN'", &["--bearer", "mine"], Some("Bearer mine")),
    ] {
        let out = fetch(&url, text, args);
        place.assert_exact(&out, "f", &content("f", 10));
        assert_eq!(seen(&server).as_deref(), sent, "{text} {args:?}");
        if args.first() != Some(&"--bearer") {
            fetch(&elsewhere, text, args);
            assert_eq!(seen(&other), None, "{text}");
        }
    }
    // A test server stands for the proxy. The target of a request to a proxy is the whole URL.
    let through = format!("proxy = 'http://127.0.0.1:{}'", proxy.port());
    fetch(&url, &through, &[]);
    assert_eq!(
        (proxy.requests().len(), proxy.requests().pop().map(|one| one.target)),
        (1, Some(url.clone()))
    );
    fetch(&elsewhere, &through, &[]);
    fetch(&url, &through, &["--proxy", ""]);
    let out = fetch(&url, "proxy = ''", &[]);
    place.assert_exact(&out, "f", &content("f", 10));
    assert_eq!(proxy.requests().len(), 1);
    // Messages about mistakes show no secret.
    for (text, says) in [
        ("bearer = 'hunter2'", "a secret"),
        ("user = 'me:hunter2'", "a secret"),
        ("proxy = 'http://me:hunter2@h'", "a secret"),
        ("user = 'me'", "user: it must be NAME:PASSWORD, from env:NAME or @FILE"),
        ("bearer = '@none'", "@none"),
    ] {
        let out = fetch(&url, text, &[]);
        assert!(out.status == 2 && out.stderr.contains(says), "{text}: {}", out.stderr);
    }
    let out = run(&place, &secret, &["config", "--config", "c.toml"]);
    assert_eq!(out.status, 2);
    place.write("c.toml", "[host.h]\nproxy = 'env:PROXY'\nuser = 'env:LOGIN'\n");
    let rows = report(&run(&place, &secret, &["config", "--config", "c.toml"]));
    assert!(rows.contains(&("proxy".into(), "env:PROXY".into(), "c.toml:2".into())), "{rows:?}");
}
