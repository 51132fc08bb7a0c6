//! Runs a command and measures it: `timed SECONDS OUTPUT COMMAND...`. Standard output goes to the file
//! OUTPUT.
//!
//! Prints wall seconds, processor seconds, peak memory in bytes, voluntary and involuntary context switches,
//! and how the command ended: with its exit status, with `killed` if a signal ended it, or with `cut` if this
//! program killed it after SECONDS. A process inherits the peak memory of the process that forked it. So this
//! is a separate, small program, whose peak memory is 2 MiB. A script that started the command itself would
//! use more memory than most tools. The command ends when this program ends, and this program ends when its
//! parent ends.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

static CUT: AtomicBool = AtomicBool::new(false);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [seconds, output, program, args @ ..] = args.as_slice() else {
        panic!("timed SECONDS OUTPUT COMMAND...")
    };
    let longest = Duration::from_secs(seconds.parse().expect("SECONDS"));
    end_with_parent().expect("prctl");
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stderr(Stdio::null()).stdout(File::create(output).expect("OUTPUT"));
    // SAFETY: the function makes one system call, which uses no memory and no lock.
    unsafe { command.pre_exec(end_with_parent) };
    let begin = Instant::now();
    let process = command.spawn().expect("the command").id() as libc::pid_t;
    thread::spawn(move || {
        thread::sleep(longest);
        CUT.store(true, Ordering::Relaxed);
        // SAFETY: the call uses no memory. The id still belongs to the command, since this process ends right
        // after the command.
        unsafe { libc::kill(process, libc::SIGKILL) };
    });
    let mut status = 0;
    // SAFETY: a `rusage` of zeros is valid, and the call writes only within the two variables.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::wait4(process, &mut status, 0, &mut usage), process);
        usage
    };
    let wall = begin.elapsed().as_secs_f64();
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let processor = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    let ended = match (CUT.load(Ordering::Relaxed), libc::WIFEXITED(status)) {
        (true, _) => "cut".to_string(),
        (false, true) => libc::WEXITSTATUS(status).to_string(),
        (false, false) => "killed".to_string(),
    };
    let (peak, voluntary, involuntary) = (usage.ru_maxrss * 1024, usage.ru_nvcsw, usage.ru_nivcsw);
    println!("{wall} {processor} {peak} {voluntary} {involuntary} {ended}");
}

/// Makes the kernel kill this process when its parent ends.
fn end_with_parent() -> io::Result<()> {
    // SAFETY: the call uses no memory.
    let set = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
