//! Shows the output of `-vv`: each event that the engine traces, as one line on standard error.
//!
//! Invariant: while there is a screen, only the screen prints the lines, so that they do not damage the bars.
//! At most [`MOST_LINES`] lines wait for the screen.

use crate::args::Args;
use crate::printer::{self, Paint, Style};
use crate::settings;
use downhaul_engine::core::show;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// The most lines that wait for the screen. The screen takes the waiting lines at each event, and about ten
/// times a second without events. A person cannot read more lines in that time. So many lines of usual length
/// take less than a megabyte of memory.
const MOST_LINES: usize = 4096;

/// The lines of `-vv`. Without `-vv`, there are no lines.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    held: bool,
    lines: Vec<String>,
    left_out: usize,
}

impl Trace {
    /// Starts to show what the engine traces, if the arguments have `-vv`.
    pub(crate) fn of(args: &Args) -> Trace {
        match args.options.reporting.verbose {
            0 | 1 => Trace::default(),
            _ => Trace::start(Paint(settings::output_settings(args, false).color)),
        }
    }

    fn start(paint: Paint) -> Trace {
        let trace = Trace::default();
        let layer = Lines { trace: trace.clone(), paint, start: Instant::now() };
        // This call fails only if there is a subscriber already. The program sets a subscriber only here, and
        // only once.
        let _ = tracing::subscriber::set_global_default(Registry::default().with(layer));
        trace
    }

    /// From now on, keeps the lines until the screen takes them.
    pub(crate) fn hold(&self) {
        self.waiting().held = true;
    }

    /// Returns the waiting lines. If some lines were left out, the last line says how many.
    pub(crate) fn take(&self) -> Vec<String> {
        let mut waiting = self.waiting();
        let mut lines = std::mem::take(&mut waiting.lines);
        let left_out = std::mem::take(&mut waiting.left_out);
        if left_out > 0 {
            lines.push(format!("... {left_out} lines were left out"));
        }
        lines
    }

    /// Prints the waiting lines. From now on, each line is printed immediately, because the screen has ended.
    pub(crate) fn release(&self) {
        self.waiting().held = false;
        self.take().iter().for_each(|line| printer::err(&format!("{line}\n")));
    }

    fn show(&self, line: String) {
        let mut waiting = self.waiting();
        if !waiting.held {
            drop(waiting);
            printer::err(&format!("{line}\n"));
        } else if waiting.lines.len() < MOST_LINES {
            waiting.lines.push(line);
        } else {
            waiting.left_out += 1;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The layer of the subscriber that turns events into lines.
struct Lines {
    trace: Trace,
    paint: Paint,
    start: Instant,
}

/// The number of a job, which is stored with the span of the job.
struct JobNumber(u64);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    // Other crates also send events. These events are not shown, because they may contain secrets.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let is_wanted = metadata.target().starts_with("downhaul") && *metadata.level() <= Level::DEBUG;
        if is_wanted { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut number = JobNumber(0);
        attributes.record(&mut number);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(number);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let topic = event.metadata().target().rsplit("::").next().unwrap_or_default();
        let mut line = format!("{:9.3}", self.start.elapsed().as_secs_f64());
        let mut spans = context.event_scope(event).into_iter().flatten();
        let job = spans.find_map(|span| span.extensions().get::<JobNumber>().map(|job| job.0));
        // Writing to a string does not fail.
        let _ = job.map(|job| write!(line, " #{job}"));
        let _ = write!(line, " {topic}:");
        event.record(&mut Fields(&mut line));
        self.trace.show(self.paint.show(Style::Note, &show::escaped(&line)));
    }
}

impl Visit for JobNumber {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "id" {
            self.0 = value;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Appends the fields of an event to a line.
struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {}={value}", field.name());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
