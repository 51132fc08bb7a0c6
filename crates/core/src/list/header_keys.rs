//! Reads the keys of a JSON line that set headers for the requests of the job in this line.
//!
//! Invariant: a key with a header is removed from the keys of the line, so that the value of the header never
//! reaches an event, a lock file or the log. No error contains this value either, because it may be a secret.

use crate::error::{Error, ErrorKind};
use crate::job::{Headers, Job};
use serde_json::{Map, Value};

/// Moves the headers from the keys of a line to its job.
///
/// # Errors
/// Returns `list.line` if the value of a key has a wrong form, if a header is malformed, or if only downhaul
/// itself may set this header. Also returns `list.line` if a key such as `referer` is for a header that
/// another key sets too.
pub(super) fn take(keys: &mut Map<String, Value>, job: &mut Job) -> Result<(), Error> {
    let header = |key: &String| {
        Some((
            key.clone(),
            match super::bare(key).as_str() {
                "headers" | "header" | "httpheaders" => None,
                "referer" | "referrer" => Some("Referer"),
                "useragent" => Some("User-Agent"),
                _ => return None,
            },
        ))
    };
    let mut headers: Vec<(String, Option<&str>)> = keys.keys().filter_map(header).collect();
    // Keys such as `referer` come last, so that a second value of their header is noticed.
    headers.sort_by_key(|(_, name)| name.is_some());
    for (key, name) in headers {
        let wrong = |why: String| Error::new(ErrorKind::ListLine, "", format!("`{key}`: {why}"));
        match (name, keys.remove(&key)) {
            (_, None | Some(Value::Null)) => {}
            (None, Some(Value::Object(headers))) => {
                for (name, value) in headers {
                    let value = value.as_str().ok_or_else(|| wrong("each value must be a string".into()))?;
                    let (name, value) = Headers::check(&name, value).map_err(wrong)?;
                    job.headers.add(name, value);
                }
            }
            (None, Some(Value::Array(headers))) => {
                for header in headers {
                    let header = header.as_str().ok_or_else(|| wrong(FORMS.into()))?;
                    let (name, value) = Headers::read(header).map_err(wrong)?;
                    job.headers.add(name, value);
                }
            }
            (None, Some(Value::String(header))) => {
                let (name, value) = Headers::read(&header).map_err(wrong)?;
                job.headers.add(name, value);
            }
            (None, Some(_)) => return Err(wrong(FORMS.into())),
            (Some(name), Some(Value::String(value))) => {
                if job.headers.has(name) {
                    return Err(wrong(format!("two values are given for {name}")));
                }
                let value = if name == "Referer" { Headers::referer(&value).map_err(wrong)? } else { value };
                let (name, value) = Headers::check(name, &value).map_err(wrong)?;
                job.headers.add(name, value);
            }
            (Some(_), Some(_)) => return Err(wrong("it must be a string".into())),
        }
    }
    Ok(())
}

const FORMS: &str =
    "it must be an object with strings, a string such as \"Name: value\", or an array of such strings";

#[cfg(test)]
mod tests {
    use crate::list::line;

    fn headers(keys: &str) -> Result<Vec<String>, String> {
        let job = line(format!(r#"{{"url":"http://h/a",{keys}}}"#).as_bytes()).map_err(|e| e.to_string())?;
        let job = job.expect("a job");
        assert!(job.extra.is_empty() && !format!("{job:?}").contains("hush"), "{job:?}");
        Ok(job.headers.0.iter().map(|(name, value)| format!("{name}: {}", value.expose())).collect())
    }

    #[test]
    fn headers_are_an_object_or_an_array_and_some_have_a_key_of_their_own() {
        for (keys, expected) in [
            (r#""headers":{"X-A":"hush","x-b":" hush "}"#, vec!["X-A: hush", "x-b: hush"]),
            (r#""headers":["X-A: hush","X-A: hush"]"#, vec!["X-A: hush", "X-A: hush"]),
            (r#""http_headers":{"User-Agent":"hush"}"#, vec!["User-Agent: hush"]),
            (r#""header":"X-A: hush""#, vec!["X-A: hush"]),
            (
                r#""referer":"http://me:you@h/#x","userAgent":"hush""#,
                vec!["Referer: http://h/", "User-Agent: hush"],
            ),
            (r#""headers":null,"referer":null,"user_agent":null"#, vec![]),
            (r#""headers":{},"referer":null"#, vec![]),
        ] {
            let expected = expected.into_iter().map(String::from).collect();
            assert_eq!(headers(keys), Ok(expected), "{keys}");
        }
    }

    #[test]
    fn a_malformed_header_is_an_error_without_its_value() {
        for keys in [
            r#""headers":{"Referer":"http://hush/"},"Referer":"http://hush/2""#,
            r#""headers":["User-Agent: hush"],"User-Agent":"hush""#,
            r#""headers":{"X-A":"hush\r\nX-B: hush"}"#,
            r#""headers":{"":"hush"}"#,
            r#""headers":{"X A":"hush"}"#,
            r#""headers":{"X-A":["hush"]}"#,
            r#""headers":{"X-A":7}"#,
            r#""headers":{"Range":"hush"}"#,
            r#""headers":["hush"]"#,
            r#""headers":[{"X-A":"hush"}]"#,
            r#""headers":"hush""#,
            r#""headers":7"#,
            r#""referer":"hush""#,
            r#""referer":["hush"]"#,
            r#""user_agent":"hush\nhush""#,
            r#""user_agent":"hush","useragent":"hush""#,
            r#""headers":{"referer":"hush"},"referer":"http://hush/""#,
        ] {
            let why = headers(keys).expect_err(keys);
            assert!(!why.contains("hush") && why.contains('`'), "{keys}: {why}");
        }
    }
}
