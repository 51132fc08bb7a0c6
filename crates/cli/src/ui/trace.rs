//! Shows the output of `-vv`: each event that the engine or the daemon traces, as one line on standard error.
//! While there is a screen, the lines are printed above the bars ([`above`]).

use super::above;
use crate::args::Args;
use crate::printer::{Paint, Style};
use crate::settings;
use downhaul_engine::core::show;
use std::fmt::{self, Write};
use std::time::Instant;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// Starts to show what the engine and the daemon trace, if the arguments have `-vv`.
pub(crate) fn start(args: &Args) {
    if args.options.reporting.verbose > 1 {
        let paint = Paint(settings::output_settings(args, false).color);
        let layer = Lines { paint, start: Instant::now() };
        // This call fails only if there is a subscriber already. The program sets a subscriber only here, and
        // only once.
        let _ = tracing::subscriber::set_global_default(Registry::default().with(layer));
    }
}

/// The layer of the subscriber that turns events into lines.
struct Lines {
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
        above::show_or_leave_out(self.paint.show(Style::Note, &show::escaped(&line)));
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
