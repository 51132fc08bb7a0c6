//! The lines of the list of `--failed`.
//!
//! Invariant: `-i` reads a line as the job for which the line was written. In particular, the job that is
//! read requires the same digests, size and chunk hashes. Only two things are left out: names of `-o` that a
//! list cannot contain, and, if the file has a strong digest, chunk hashes that do not fit into a line. An
//! error becomes a comment, and so does a job whose requirements a line cannot contain.

use downhaul_engine::core::digest::Expected;
use downhaul_engine::core::error::Error;
use downhaul_engine::core::job::{Destination, Job};
use downhaul_engine::core::list::left_over::{self, COMMENT};
use downhaul_engine::core::list::required_keys;
use downhaul_engine::core::list::text::LONGEST_LINE;
use downhaul_engine::core::name::SafeName;
use downhaul_engine::core::secret::Secret;
use downhaul_engine::core::settings::Settings;
use downhaul_engine::core::show::{self, escaped};
use serde_json::{Map, Value};
use std::io::{self, Write};
use std::path::Path;

/// The line of one job. It is a comment if the job is an error, or if no line can contain the job.
pub(crate) struct Line {
    pub(super) text: String,
    /// What the list lacks, in words for the user: the name of a file, or a file whose job no line can
    /// contain.
    pub(super) lost: Option<String>,
}

/// Returns a job as a line of a list. An error becomes a comment. `url_name` is the name that the file gets
/// if the server states no other name. It is `None` if the URL or the job already gives this name. `settings`
/// are the settings of the session.
pub(crate) fn line(job: &Result<Box<Job>, Error>, url_name: Option<SafeName>, settings: &Settings) -> Line {
    match job {
        Ok(job) if url_name.is_none() => line_of(job, settings),
        Ok(job) => {
            let mut job = job.clone();
            job.url_name = url_name;
            line_of(&job, settings)
        }
        Err(error) => Line { text: format!("{COMMENT}{}", escaped(&error.to_string())), lost: None },
    }
}

/// Writes a comment with the number of lines that were left out because they have mistakes, if this number is
/// not 0. Without this comment, the written list could look as if all files of the input were complete.
pub(super) fn write_left_out(lines: u64, to: &mut dyn Write) -> io::Result<()> {
    match lines {
        0 => Ok(()),
        1 => writeln!(to, "{COMMENT}1 line was left out because it has a mistake"),
        lines => writeln!(to, "{COMMENT}{lines} lines were left out because they have mistakes"),
    }
}

/// Returns the line of a job. A file may have so many chunk hashes that they do not fit into a line. In this
/// case, the chunk hashes are left out if the file has a strong digest.
fn line_of(job: &Job, settings: &Settings) -> Line {
    let why = if has_contrary_digests(job) {
        "the file has two different digests of one algorithm"
    } else {
        let mut line = whole_line_of(job, settings);
        let has_strong = job.expected.iter().any(|one| one.digest.algorithm.is_strong());
        if line.text.len() > LONGEST_LINE && has_strong {
            let mut fewer = job.clone();
            fewer.chunks = None;
            line = whole_line_of(&fewer, settings);
        }
        if line.text.len() <= LONGEST_LINE {
            return line;
        }
        "the line would be too long"
    };
    let url = job.urls.first().map(show::url).unwrap_or_default();
    let lost = format!("the list has no line for the file of {url}, because {why}");
    Line { text: format!("{COMMENT}{}", escaped(&lost)), lost: Some(lost) }
}

/// Returns true if a job has two different digests of one algorithm. A document may state both. No file can
/// have both, and a list cannot contain both.
fn has_contrary_digests(job: &Job) -> bool {
    let all = &job.expected;
    all.iter().any(|one| {
        let is_contrary =
            |other: &&Expected| one.digest.algorithm == other.digest.algorithm && one.digest != other.digest;
        all.iter().any(|other| is_contrary(&other))
    })
}

/// Returns the line of a job with all its requirements.
fn whole_line_of(job: &Job, settings: &Settings) -> Line {
    let has_template = settings.naming.template.is_some();
    let mut keys = left_over::keys(job, has_template);
    let mut urls: Vec<Value> = job.urls.iter().map(|url| Value::from(url.as_str())).collect();
    match urls.len() {
        1 => keys.insert("url".into(), urls.remove(0)),
        _ => keys.insert("urls".into(), urls.into()),
    };
    let name = match &job.destination {
        Destination::Server | Destination::Writer(_) => None,
        Destination::Name(name) => Some(Ok(name.to_string())),
        Destination::Stdout => Some(Err("-".into())),
        Destination::Stream(path) => Some(Err(path.to_string_lossy().into_owned())),
        Destination::Path(path) => Some(name_of_path(path)),
    };
    if let Some(Ok(name)) = &name {
        keys.insert("out".into(), name.as_str().into());
    }
    keys.extend(options(job));
    keys.extend(required_keys::of(job));
    if !job.urls.iter().all(|url| job.is_given(settings, url)) {
        keys.insert("named_by".into(), "document".into());
    }
    for one in &job.expected {
        keys.insert(one.digest.algorithm.name().into(), one.digest.to_string().into());
    }
    let header = |(name, value): &(String, Secret)| Value::from(format!("{name}: {}", value.expose()));
    if !job.headers.0.is_empty() {
        keys.insert("headers".into(), job.headers.0.iter().map(header).collect());
    }
    let lost_name = |name| format!("the name {name} of -o is left out, because a list cannot contain it");
    Line { text: left_over::line(keys), lost: name.and_then(Result::err).map(lost_name) }
}

/// Returns the keys for the options of a job.
fn options(job: &Job) -> Map<String, Value> {
    let dir = job.folder.as_ref().map(|folder| Value::from(folder.as_str()));
    let priority = Some(job.priority).filter(|priority| *priority != 0);
    let all = [
        ("dir", dir),
        ("connections", job.connections.map(Value::from)),
        ("limit_rate", job.limit_rate.map(Value::from)),
        ("if_exists", job.if_exists.map(|what| what.name().into())),
        ("priority", priority.map(Value::from)),
        ("credentials", job.login_of.as_deref().map(Value::from)),
    ];
    all.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?))).collect()
}

/// Returns the path of `-o` as a name for a list. If the path cannot be such a name, the error is the path as
/// a text.
fn name_of_path(path: &Path) -> Result<String, String> {
    let name = path.to_str().and_then(|text| SafeName::from_person(text).ok());
    name.map(|name| name.to_string()).ok_or_else(|| path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use downhaul_engine::core::job::ChunkHashes;
    use downhaul_engine::core::list;
    use downhaul_engine::core::list::form::{Facts, Stated};
    use proptest::prelude::*;

    /// Returns the jobs of a list in this form.
    fn jobs(form: &str, text: &str) -> Vec<Job> {
        let facts = Facts { form: Stated::from_name(form), ..Facts::default() };
        let jobs = facts.form(text.as_bytes()).jobs(text.as_bytes(), &facts).expect("a list");
        jobs.map(|(_, job)| *job.unwrap_or_else(|e| panic!("{form}: {e}: {text}"))).collect()
    }

    /// Returns the job without the facts that are only for messages, and with its digests in a fixed order.
    fn comparable(mut job: Job) -> Job {
        (job.notes, job.line, job.assumed_https) = (Vec::new(), 0, false);
        if let Destination::Name(name) = &job.destination {
            // A name from a document may have been changed to be safe, and the value also contains the
            // original name.
            job.destination = Destination::Name(SafeName::from_person(name.as_str()).expect("a name"));
        }
        job.expected.iter_mut().for_each(|one| one.from = "the list".into());
        job.expected.sort_by_key(|one| one.digest.algorithm.name());
        job.chunks = job.chunks.map(|chunks| ChunkHashes { from: "the list".into(), ..chunks });
        job.is_left_over = false;
        job
    }

    /// Returns one list in each form, with all that the form can say about a file. The fields of `of` are a
    /// name, a size, a SHA-256, a SHA-1 and a small number.
    fn lists(of: &(String, u64, String, String, u64)) -> Vec<(&'static str, String)> {
        let (name, size, sha256, sha1, n) = of;
        let json = format!(
            r#"{{"urls":["http://h/a?x=1","http://m/a"],"out":"{name}","dir":"d","sha256":"{sha256}","sha1":"{sha1}","required_size":{size},"size":{size},"headers":["X-A: {n}"],"connections":{n},"limit_rate":"{n}k","if_exists":"skip","priority":-{n},"credentials":"h.example","id":{n}}}"#
        );
        let pieces = format!("<pieces length=\"{n}\" type=\"sha-1\"><hash>{sha1}</hash></pieces>");
        let only = format!("<file name=\"x/{name}\"><size>{size}</size>{pieces}<url>http://h/a</url></file>");
        let both = format!(
            "<file name=\"{name}\"><hash type=\"sha-256\">{sha256}</hash>{pieces}<url>http://h/b</url><url>http://m/b</url></file>"
        );
        vec![
            ("lines", format!("http://h/a#sha256={sha256}\thttp://m/a\t{name}\nhttp://h/b\n{json}\n")),
            ("json", format!("[{json}, \"http://h/b\"]")),
            (
                "csv",
                format!("url,out,size,sha1,id,required_size\nhttp://h/a,{name},{size},{sha1},{n},{size}\n"),
            ),
            (
                "aria2",
                format!(
                    "http://h/a\thttp://m/a\n out={name}\n dir=d\n split={n}000\n checksum=sha-256={sha256}\n max-download-limit={n}k\n header=X-A: {n}\n"
                ),
            ),
            ("curl", format!("url = \"http://h/a\"\noutput = \"{name}\"\nheader = \"X-A: {n}\"\n")),
            ("bagit", format!("http://h/a {size} data/{name}\nhttp://h/b - data/b\n")),
            (
                "datapackage",
                format!(
                    "{{\n\"resources\": [{{\"path\": \"http://h/a\", \"bytes\": {size}, \"hash\": \"sha256:{sha256}\"}}]}}"
                ),
            ),
            (
                "metalink",
                format!(
                    "<?xml version=\"1.0\"?>\n<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">{only}{both}</metalink>"
                ),
            ),
        ]
    }

    proptest! {
        #[test]
        fn a_line_is_read_as_the_job_that_it_was_written_for(
            name in "[a-z][a-z ]{0,8}[a-z]", size: u64, sha256 in "[0-9a-f]{64}", sha1 in "[0-9a-f]{40}", n in 1_u64..200
        ) {
            for (form, text) in lists(&(name, size, sha256, sha1, n)) {
                let jobs = jobs(form, &text);
                prop_assert!(!jobs.is_empty());
                for job in jobs {
                    let Line { text, lost } = line(&Ok(Box::new(job.clone())), None, &Settings::default());
                    prop_assert_eq!(lost, None);
                    let again = list::line(text.as_bytes()).expect(&text).expect(&text);
                    let (job, again) = (comparable(job), comparable(again));
                    prop_assert!(job == again, "{}: {:?} and {:?} of {}", form, job, again, text);
                }
            }
        }
    }

    #[test]
    fn a_job_that_no_line_can_contain_becomes_a_comment_and_never_a_weaker_job() {
        let document = |inside: &str| {
            format!(
                "<?xml version=\"1.0\"?>\n<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"><file name=\"a\">{inside}<url>http://h/a</url></file></metalink>"
            )
        };
        let line_of = |inside: &str| {
            line(&Ok(Box::new(jobs("metalink", &document(inside)).remove(0))), None, &Settings::default())
        };
        let hash = |byte: &str| format!("<hash type=\"sha-256\">{}</hash>", byte.repeat(32));
        let many = format!("<hash>{}</hash>", "ab".repeat(20)).repeat(30_000);
        let many = format!("<pieces length=\"1\" type=\"sha-1\">{many}</pieces>");
        for inside in [hash("ab") + &hash("cd"), many.clone()] {
            let Line { text, lost } = line_of(&inside);
            assert!(text.starts_with(COMMENT) && lost.is_some(), "{lost:?}");
        }
        // The digest of the whole file is enough, so the chunk hashes are left out.
        let Line { text, lost } = line_of(&(hash("ab") + &many));
        assert_eq!((lost, list::line(text.as_bytes()).expect("a line").expect("a job").chunks), (None, None));
    }
}
