//! Emulates a wide-area line between two network namespaces, with a rate, a round trip, losses and a
//! drop-tail queue. Real programs use it with real TCP (CUBIC). The emulator is for kernels without netem,
//! and for machines whose global settings must not change.
//!
//! `link MBIT RTT_MS LOSS_PERCENT [QUEUE_MS [SECONDS]]`: the default queue is 100 ms. The program prints the
//! address and the namespace of each end. It runs for SECONDS (600 by default), unless its standard input
//! closes or it is killed before:
//!
//! ```text
//! near 10.77.0.2 /proc/4711/fd/4
//! far 10.77.0.1 /proc/4711/fd/6
//! ```
//!
//! `nsenter --net=/proc/4711/fd/4 curl http://10.77.0.1/` runs curl at the near end. The namespaces have no
//! name. They disappear when the last process in them ends, even if this program was killed. Several lines
//! can exist at the same time.
//!
//! The program needs Linux, root, `/dev/net/tun` and `ip`. Each direction has two threads. The first thread
//! takes packets from the device, drops some of them, and computes when each of the other packets arrives.
//! The second thread delivers the packets at these times.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::process::Command;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// The length of the buffer for one packet. No IP packet is longer than 65,535 bytes. The MTU of the
/// devices is 1500, which is common on the internet.
const PACKET: usize = 65536;
/// The number of packets that may wait inside a device for the thread that takes them. 10,000 packets are 0.4
/// s at 300 Mbit/s. The thread is never that late, so only the emulated queue drops packets.
const DEVICE_QUEUE: &str = "10000";
/// The bytes that TCP may have in flight on one connection. 300 Mbit/s, 80 ms and a queue of 100 ms need
/// 6.75 MB. The kernel also counts its own data about the packets, which has at most about the same size.
/// So with 32 MiB, the line limits the speed, and not the buffer.
const SOCKET_BUFFER: &str = "33554432";
/// The default length of the queue, and the default lifetime of the line in seconds. 100 ms is a common size
/// of the buffers of access lines.
const QUEUE_MS: f64 = 100.0;
const SECONDS: f64 = 600.0;

/// The properties of the line in one direction.
#[derive(Clone, Copy)]
struct Line {
    bits_per_second: f64,
    delay: Duration,
    loss: f64,
    queue: Duration,
}

/// One end of the line, in a namespace of its own.
struct End {
    address: &'static str,
    device: File,
    namespace: File,
}

fn main() {
    let numbers: Option<Vec<f64>> = std::env::args().skip(1).map(|arg| arg.parse().ok()).collect();
    let (line, seconds) = match numbers.as_deref() {
        Some([mbit, rtt, loss, rest @ ..]) if *mbit > 0.0 && rest.len() <= 2 => (
            Line {
                bits_per_second: mbit * 1e6,
                delay: Duration::from_secs_f64(rtt / 2e3),
                loss: loss / 100.0,
                queue: Duration::from_secs_f64(rest.first().unwrap_or(&QUEUE_MS) / 1e3),
            },
            *rest.get(1).unwrap_or(&SECONDS),
        ),
        _ => {
            eprintln!("link MBIT RTT_MS LOSS_PERCENT [QUEUE_MS [SECONDS]]");
            std::process::exit(2);
        }
    };
    let near = end("10.77.0.2");
    let far = end("10.77.0.1");
    for (from, to, seed) in [(&far, &near, 1), (&near, &far, 2)] {
        let (from, to) = (copy(&from.device), copy(&to.device));
        let (send, receive) = mpsc::channel();
        thread::spawn(move || take(from, line, seed, &send));
        thread::spawn(move || hand_over(to, &receive));
    }
    for (name, end) in [("near", &near), ("far", &far)] {
        println!("{name} {} /proc/{}/fd/{}", end.address, std::process::id(), end.namespace.as_raw_fd());
    }
    thread::spawn(move || {
        thread::sleep(Duration::from_secs_f64(seconds));
        std::process::exit(0);
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("standard input");
}

/// Returns a new namespace with a device in it. A thread makes it, because each thread has its own
/// namespaces.
fn end(address: &'static str) -> End {
    thread::spawn(move || {
        // SAFETY: the call uses no memory, and changes only this thread, which ends here.
        let unshared = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        must(unshared, "a namespace (are you root?)");
        let namespace = File::open("/proc/thread-self/ns/net").expect("its own namespace");
        let device = OpenOptions::new().read(true).write(true).open("/dev/net/tun").expect("/dev/net/tun");
        name_it(device.as_raw_fd());
        ip("link set lo up");
        ip(&format!("link set line mtu 1500 txqueuelen {DEVICE_QUEUE} up"));
        ip(&format!("address add {address} dev line"));
        // The route sets the congestion control. A setting of the namespace could choose only an algorithm
        // that the machine allows to all users.
        ip(&format!("route add 10.77.0.0/24 dev line src {address} congctl cubic"));
        // The kernel must not remember the properties of a peer. Otherwise one run would influence the next
        // run.
        for (name, value) in [
            ("tcp_no_metrics_save", "1"),
            ("tcp_wmem", &format!("4096 65536 {SOCKET_BUFFER}")),
            ("tcp_rmem", &format!("4096 131072 {SOCKET_BUFFER}")),
        ] {
            fs::write(format!("/proc/sys/net/ipv4/{name}"), value).expect(name);
        }
        End { address, device, namespace }
    })
    .join()
    .expect("an end of the line")
}

/// Turns the open descriptor into a device named `line` that passes whole IP packets.
fn name_it(device: RawFd) {
    // SAFETY: an `ifreq` of zeros is valid, and TUNSETIFF reads and writes only this `ifreq`.
    let named = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(*b"line") {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        libc::ioctl(device, libc::TUNSETIFF as _, &mut request)
    };
    must(named, "TUNSETIFF");
}

/// Takes packets from a device. Drops the packets that the line loses and the packets for which the queue
/// is full, and passes the other packets on with the times of their arrival.
fn take(mut from: File, line: Line, seed: u64, to: &Sender<(Instant, Vec<u8>)>) {
    let mut random = Random(seed);
    let mut buffer = vec![0; PACKET];
    let mut idle_at = Instant::now();
    loop {
        let length = from.read(&mut buffer).expect("a packet");
        // The queue has the bytes that the line has not sent yet.
        let now = Instant::now();
        let begins = idle_at.max(now);
        if begins - now > line.queue || random.unit() < line.loss {
            continue;
        }
        idle_at = begins + Duration::from_secs_f64(length as f64 * 8.0 / line.bits_per_second);
        if to.send((idle_at + line.delay, buffer[..length].to_vec())).is_err() {
            return;
        }
    }
}

/// Delivers each packet at its time. A sleep may be 0.05 ms too long. Several packets are then delivered
/// together.
fn hand_over(mut to: File, line: &Receiver<(Instant, Vec<u8>)>) {
    for (arrives, packet) in line {
        let wait = arrives.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        // A full device drops the packet, as a line would.
        let _ = to.write(&packet);
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014), so that the losses are the same in every run.
struct Random(u64);

impl Random {
    /// Returns a number from 0 (included) to 1 (excluded).
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Runs `ip` in the namespace of this thread.
fn ip(what: &str) {
    let status = Command::new("ip").args(what.split(' ')).status().expect("ip");
    assert!(status.success(), "ip {what}: {status}");
}

fn copy(device: &File) -> File {
    device.try_clone().expect("a second descriptor")
}

fn must(result: libc::c_int, what: &str) {
    assert!(result == 0, "{what}: {}", std::io::Error::last_os_error());
}
