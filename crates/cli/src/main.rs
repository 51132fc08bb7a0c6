//! The `downhaul` program. All of it is in the library, so that the demo and the tests can call it.

fn main() -> std::process::ExitCode {
    downhaul::main_with(std::env::args_os())
}
