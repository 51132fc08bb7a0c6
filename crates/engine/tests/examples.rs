//! Tests that the examples do what their documentation says, with a server on this machine.

use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use std::process::Command;

/// Runs an example, and returns its output. `cargo test` builds the examples together with the tests, but
/// `cargo test --test examples` does not build them.
fn run(example: &str, args: &[&str]) -> String {
    let test = std::env::current_exe().expect("this test");
    let folder = test.ancestors().nth(2).expect("the folder of the profile").join("examples");
    let program = folder.join(example).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(program.exists(), "{} is not there: build it with `cargo build --examples`", program.display());
    let output = Command::new(program).args(args).output().expect("it starts");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    shown
}

#[test]
fn each_example_of_the_library_works() {
    let (server, folder) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let here = folder.path().to_str().expect("a path");
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("a file");

    let said = run("one_url", &[&server.url("well_behaved/5000000/one.bin"), here]);
    assert!(said.contains("one.bin: 5000000 bytes, "), "{said}");
    assert!(read("one.bin") == content("one.bin", 5_000_000));

    let urls: Vec<String> = (0..20).map(|n| server.url(&format!("well_behaved/10000/{n}.bin"))).collect();
    let args: Vec<&str> = [here].into_iter().chain(urls.iter().map(String::as_str)).collect();
    let said = run("many_with_progress", &args);
    assert!(said.ends_with("20 finished, 0 failed\n"), "{said}");
    assert!((0..20).all(|n| read(&format!("{n}.bin")) == content(&format!("{n}.bin"), 10_000)));

    let said = run("into_a_buffer", &[&server.url("well_behaved/3000000/buffer.bin")]);
    let lines = content("buffer.bin", 3_000_000).iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(said, format!("3000000 bytes, {lines} lines\n"));

    run("custom_protocol", &[here]);
    assert_eq!(read("hello.txt"), b"I am hello.\n");
}
