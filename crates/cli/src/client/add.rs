//! `downhaul add`.

use super::download::{self, Download};
use super::http::{Failed, Http};
use super::print;
use crate::args::client::Add;
use crate::exit::Exit;
use crate::given;
use crate::input;
use crate::run;
use crate::words;
use downhaul_daemon::web::BODY_MOST;
use downhaul_engine::core::show;
use http::Method;
use serde_json::{Map, Value, json};
use std::io;
use std::path::Path;

/// Adds the URLs and the lists. If the daemon refuses one of them, the other URLs and lists are still added.
///
/// # Errors
/// Returns an error if a call fails with [`Failed::Lost`], or if nothing can be printed.
pub(super) async fn run(daemon: &Http, add: &Add, options: &Map<String, Value>) -> Result<Exit, String> {
    // With `--first`, the daemon puts each new download at the beginning of its queue. To keep the order of
    // the arguments, the last download is added first.
    let mut files: Vec<&[String]> = match add.mirrors {
        true => vec![&add.urls],
        false => add.urls.chunks(1).collect(),
    };
    if add.first {
        files.reverse();
    }
    let mut exit = Exit::Success;
    for urls in files {
        let mut new = json!({ "urls": urls, "options": options, "paused": add.paused });
        if add.first {
            new["position"] = 0.into();
        }
        match daemon.call(Method::POST, "/downloads", Some(&new)).await {
            Ok(added) => print(&line(&added, add.json)?)?,
            Err(Failed::Lost(why)) => return Err(why),
            Err(Failed::Missing(why) | Failed::Refused(why)) => {
                let url = urls.first().map(|url| show::not_a_url(url)).unwrap_or_default();
                run::error(&format!("{}: {why}", show::escaped(&url)));
                exit = Exit::Failed;
            }
        }
    }
    for list in &add.lists {
        match add_list(daemon, list, add).await {
            Ok(()) => {}
            Err(Failed::Lost(why)) => return Err(why),
            Err(Failed::Missing(why) | Failed::Refused(why)) => {
                run::error(&format!("{}: {why}", words::path(list)));
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}

async fn add_list(daemon: &Http, list: &Path, add: &Add) -> Result<(), Failed> {
    if list.to_str().is_some_and(|list| list.contains("://")) {
        let why = "a list at a URL cannot be added: download it first. The URL of a Metalink document can be added without -i";
        return Err(Failed::Refused(why.into()));
    }
    let path = list.to_path_buf();
    // The list is read on another thread, because a read from a pipe may take long, and Ctrl-C must be able
    // to end the command during this time.
    let read = tokio::task::spawn_blocking(move || input::bytes(&path, BODY_MOST as u64));
    let text = read.await.map_err(io::Error::other).flatten().map_err(|e| match e.kind() {
        io::ErrorKind::FileTooLarge => "the list is too long: the daemon accepts at most 2 MiB".to_string(),
        _ => e.to_string(),
    })?;
    let name = list.file_name().unwrap_or_default().to_string_lossy();
    let query = [("name", input::plain_name(&name)), ("paused", if add.paused { "true" } else { "false" })];
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let body = Some(("text/plain", text));
    let added = daemon.call_with(Method::POST, &format!("/lists?{query}"), body).await?;
    for id in daemon.list(&added, "ids")?.iter().filter_map(Value::as_str) {
        match add.json {
            true => {
                let download = daemon.call(Method::GET, &format!("/downloads/{id}"), None).await?;
                print(&format!("{download}\n"))?;
            }
            false => print(&format!("added {}\n", show::escaped(id)))?,
        }
    }
    // If some entries of a document cannot be used, the daemon adds them as downloads that failed, and
    // reports them as mistakes.
    let mistakes: Vec<&str> = daemon.list(&added, "mistakes")?.iter().filter_map(Value::as_str).collect();
    match mistakes.is_empty() {
        true => Ok(()),
        false => Err(Failed::Refused(show::escaped(&mistakes.join("; ")).into_owned())),
    }
}

/// Returns the line that is printed for a new download.
fn line(added: &Value, as_json: bool) -> Result<String, String> {
    if as_json {
        return Ok(format!("{added}\n"));
    }
    let download: Download = download::read(added.clone())?;
    Ok(format!("added {} {}\n", show::escaped(&download.id), download.shown_name()))
}

/// Returns the options of the new downloads. Each key is the name that aria2 has for the option.
pub(super) fn options(add: &Add) -> Result<Map<String, Value>, String> {
    let of_one = [("-o", add.name.is_some()), ("--checksum", add.checksum.is_some())];
    if add.urls.len() > 1
        && !add.mirrors
        && let Some((option, _)) = of_one.iter().find(|(_, is_given)| *is_given)
    {
        let why =
            "is for one file, but there are several URLs (use --mirrors if all of them have the same file)";
        return Err(format!("{option} {why}"));
    }
    let headers = given::headers("-H", &add.headers)?;
    let headers: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.expose())).collect();
    let checksum = add.checksum.as_ref();
    let all = [
        ("dir", add.folder.clone()),
        ("out", add.name.clone()),
        ("checksum", checksum.map(|digest| format!("{}={digest}", digest.algorithm.name()))),
        ("max-download-limit", add.limit_rate.map(|rate| rate.to_string())),
    ];
    let mut options: Map<String, Value> =
        all.into_iter().filter_map(|(name, value)| Some((name.into(), value?.into()))).collect();
    if !headers.is_empty() {
        options.insert("header".into(), headers.into());
    }
    Ok(options)
}
