//! Tests which spans and events a subscriber of `tracing` gets from the library.

use downhaul_engine::{Job, Session, Settings};
use downhaul_testkit::server::Server;
use downhaul_testkit::server::tls::{self, Flaw};
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Collects all events of the library as lines of text.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<String>>>);

impl Collector {
    fn add(&self, line: String) {
        self.0.lock().expect("no panic").push(line);
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).expect("a string");
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("downhaul")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = Text("span".into());
        span.record(&mut text);
        self.add(text.0);
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(event.metadata().target().into());
        event.record(&mut text);
        self.add(text.0);
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn connections_tls_requests_retries_and_decisions_are_traced_without_secrets() {
    let collector = Collector::default();
    tracing::subscriber::set_global_default(collector.clone()).expect("the first subscriber");
    let (pem, config) = tls::self_signed("127.0.0.1", &["127.0.0.1"], Flaw::None);
    let (server, folder) = (Server::start_tls(config), tempfile::tempdir().expect("a folder"));
    let cacert = folder.path().join("ca.pem");
    std::fs::write(&cacert, pem).expect("a file");
    let settings = Settings::default().with_output(folder.path()).with_cacert(Some(cacert));
    let session = Session::start(settings).expect("it starts");
    // The first request fails. The file is large enough for several connections.
    let url = server.url("fails_once/3000000/f?token=t0ken-value").replace("://", "://user:pa55word@");
    let job = Job::given(&url).expect("a URL").with_header("X-Key", "header-value");
    session.add(job).await.expect("a session");
    assert_eq!(session.finish().await.finished, 1);

    let lines = collector.0.lock().expect("no panic").clone();
    let text = lines.join("\n");
    for words in [
        "span id=1",
        "downhaul::net message=connecting address=127.0.0.1:",
        "downhaul::net message=completed the TLS handshake version=Some(TLSv1_3)",
        "downhaul::net message=sending the request url=",
        "downhaul::net message=received the head of the response url=",
        "downhaul::retry message=waiting before a retry error=\"http.server\"",
        "downhaul::concurrency message=assigned bytes to a connection",
        "downhaul::disk message=began a journal",
        "downhaul::disk message=forced the file to the disk",
    ] {
        assert!(text.contains(words), "no {words} in:\n{text}");
    }
    for secret in ["pa55word", "t0ken-value", "header-value"] {
        assert!(!text.contains(secret), "{secret} is traced:\n{text}");
    }
}
