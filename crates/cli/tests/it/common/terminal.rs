//! Runs the program on a pseudo terminal, and reads its screen.

use super::{PATIENCE, Place, poll};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A program on a terminal.
pub struct Terminal {
    master: Option<Box<dyn MasterPty + Send>>,
    writer: Option<Box<dyn Write + Send>>,
    child: Box<dyn Child + Send + Sync>,
    screen: Arc<Mutex<Screen>>,
    closed: Arc<AtomicBool>,
}

struct Screen {
    parser: vt100::Parser,
    /// All bytes that were written so far.
    raw: Vec<u8>,
}

impl Terminal {
    /// Starts the program with these arguments on a terminal of this size.
    pub fn start(place: &Place, columns: u16, rows: u16, args: &[&str]) -> Terminal {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_downhaul"));
        command.args(args);
        Terminal::start_command(place, columns, rows, command)
    }

    /// Starts any command.
    pub fn start_command(place: &Place, columns: u16, rows: u16, mut command: CommandBuilder) -> Terminal {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a terminal");
        command.cwd(place.path());
        command.env("TERM", "xterm-256color");
        command.env("XDG_STATE_HOME", place.state());
        command.env("LC_ALL", "C.UTF-8");
        let child = pair.slave.spawn_command(command).expect("the program starts");
        let mut reader = pair.master.try_clone_reader().expect("a reader");
        let writer = pair.master.take_writer().expect("a writer");
        let screen = Arc::new(Mutex::new(Screen {
            parser: vt100::Parser::new(cells(rows), cells(columns), 1000),
            raw: Vec::new(),
        }));
        let seen = screen.clone();
        let closed = Arc::new(AtomicBool::new(false));
        let is_closed = closed.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read) = reader.read(&mut buffer) {
                // When this thread no longer reads, the terminal closes. The program paints often enough that
                // `read` returns soon.
                if read == 0 || is_closed.load(Ordering::Relaxed) {
                    break;
                }
                let mut screen = seen.lock().expect("no panic");
                screen.parser.process(&buffer[..read]);
                screen.raw.extend_from_slice(&buffer[..read]);
            }
        });
        Terminal { master: Some(pair.master), writer: Some(writer), child, screen, closed }
    }

    /// Returns the text that is on the screen now.
    pub fn text(&self) -> String {
        self.screen.lock().expect("no panic").parser.screen().contents()
    }

    /// Returns everything that was written so far, including control codes.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().expect("no panic").raw).into_owned()
    }

    /// Waits until the condition is true for the text of the screen, and returns that text. `what` describes
    /// the condition.
    #[track_caller]
    pub fn wait_for(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        poll(PATIENCE, || Some(self.text()).filter(|text| is(text)))
            .unwrap_or_else(|| panic!("{what} did not appear; the screen:\n{}", self.text()))
    }

    /// Waits until the screen contains this text.
    #[track_caller]
    pub fn wait_for_text(&self, what: &str) -> String {
        self.wait_for(what, |text| text.contains(what))
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        let writer = self.writer.as_mut().expect("the terminal is open");
        writer.write_all(keys.as_bytes()).and_then(|()| writer.flush()).expect("the terminal takes keys");
    }

    /// Resizes the window. Lines that are too long are cut, as in xterm. If the cursor would be below the
    /// screen, the top rows leave the screen, as on every terminal. The emulation itself would move the
    /// cursor to another line.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let mut screen = self.screen.lock().expect("no panic");
        let (row, column) = screen.parser.screen().cursor_position();
        let over = (row + 1).saturating_sub(rows);
        if over > 0 {
            let (up, to) = (row + 1 - over, column + 1);
            let bottom = screen.parser.screen().size().0;
            let scroll = format!("\x1b[{bottom};1H{}\x1b[{up};{to}H", "\n".repeat(over.into()));
            screen.parser.process(scroll.as_bytes());
        }
        screen.parser.screen_mut().set_size(cells(rows), cells(columns));
        drop(screen);
        self.master.as_ref().expect("the terminal is open").resize(size).expect("resizes");
    }

    /// Returns everything that was on the screen: the rows that were scrolled off its top, and the rows that
    /// are on it now.
    pub fn history(&self) -> String {
        let mut screen = self.screen.lock().expect("no panic");
        let screen = screen.parser.screen_mut();
        screen.set_scrollback(usize::MAX);
        let mut lines = Vec::new();
        loop {
            let behind = screen.scrollback();
            let rows: Vec<String> = screen.rows(0, screen.size().1.into()).collect();
            if behind == 0 {
                lines.extend(rows);
                return lines.join("\n");
            }
            let new = behind.min(rows.len());
            lines.extend(rows.into_iter().take(new));
            screen.set_scrollback(behind - new);
        }
    }

    #[cfg(unix)]
    pub fn pid(&self) -> rustix::process::Pid {
        let pid = self.child.process_id().expect("it runs");
        rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid")
    }

    /// Closes the terminal, as if its window was closed.
    pub fn close(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        self.writer = None;
        self.master = None;
    }

    /// Waits for the end of the program. Returns the exit status and the last screen.
    #[track_caller]
    pub fn end(&mut self) -> (u32, String) {
        let Some(status) = poll(PATIENCE, || self.child.try_wait().expect("waits")) else {
            let _ = self.child.kill();
            panic!("the program did not end; the screen:\n{}", self.text());
        };
        // The last bytes of the program may not have arrived yet.
        std::thread::sleep(Duration::from_millis(100));
        (status.exit_code(), self.text())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = self.child.kill();
        }
    }
}

fn cells(count: u16) -> std::num::NonZero<u16> {
    std::num::NonZero::new(count).expect("a terminal has rows and columns")
}
