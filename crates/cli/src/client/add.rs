//! `downhaul add`.

use super::download::Download;
use super::http::Http;
use super::print;
use crate::args::client::Add;
use crate::exit::Exit;
use crate::given;
use crate::run;
use crate::words;
use downhaul_daemon::web::BODY_MOST;
use downhaul_engine::core::show;
use http::Method;
use serde_json::{Map, Value, json};
use std::io::{self, Read};
use std::path::Path;

/// Adds the URLs and the lists. If the daemon refuses one of them, the others are still added.
///
/// # Errors
/// Returns an error if the daemon cannot be reached, or an option cannot be used.
pub(super) async fn run(daemon: &Http, add: &Add) -> Result<Exit, String> {
    let options = options(add)?;
    // With `--first`, each file is put before those that were added earlier, so the last file is added first.
    let mut files: Vec<&[String]> = match add.mirrors {
        true => vec![&add.urls],
        false => add.urls.chunks(1).collect(),
    };
    if add.name.is_some() && files.len() > 1 {
        return Err(
            "-o names one file, but there are several URLs (with --mirrors, they are one file)".into()
        );
    }
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
            Err(why) => {
                let url = urls.first().map(|url| show::not_a_url(url)).unwrap_or_default();
                run::error(&format!("{}: {why}", show::escaped(&url)));
                exit = Exit::Failed;
            }
        }
    }
    for list in &add.lists {
        if let Err(why) = add_list(daemon, list, add).await {
            run::error(&format!("{}: {why}", words::path(list)));
            exit = Exit::Failed;
        }
    }
    Ok(exit)
}

async fn add_list(daemon: &Http, list: &Path, add: &Add) -> Result<(), String> {
    let path = list.to_path_buf();
    // A read from a pipe may take long, and Ctrl-C must be able to end the command meanwhile.
    let read = tokio::task::spawn_blocking(move || match path.as_os_str() == "-" {
        true => read_all(io::stdin()),
        false => read_all(std::fs::File::open(path)?),
    });
    let text = read.await.map_err(io::Error::other).flatten().map_err(|e| e.to_string())?;
    let name = list.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let query = [("name", name.as_str()), ("paused", if add.paused { "true" } else { "false" })];
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
    Ok(())
}

fn read_all(from: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    // The daemon takes no longer body.
    from.take(BODY_MOST as u64 + 1).read_to_end(&mut text)?;
    match text.len() > BODY_MOST {
        true => Err(io::Error::other("a list for the daemon has at most 2 MiB")),
        false => Ok(text),
    }
}

/// Returns the line about a new download.
fn line(added: &Value, as_json: bool) -> Result<String, String> {
    if as_json {
        return Ok(format!("{added}\n"));
    }
    let download: Download = serde_json::from_value(added.clone()).map_err(|e| e.to_string())?;
    Ok(format!("added {} {}\n", show::escaped(&download.id), download.shown_name()))
}

/// Returns the options of the new downloads, with the names of aria2.
fn options(add: &Add) -> Result<Map<String, Value>, String> {
    let headers = given::headers(&add.headers)?;
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
