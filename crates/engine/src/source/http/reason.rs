//! Finds the reason that a server gives for a refusal, in addition to the status. The reason may be in a
//! header, or in a JSON or XML body. A header may also show that the server requires a browser. The result is
//! one line. The screen and the log escape this line before they show it.

use http::HeaderMap;
use serde_json::Value;

/// The highest number of characters of a reason. A longer reason is cut, so that it fits on the screen.
const LONGEST: usize = 200;

/// Headers in which object stores, model hubs and Artifactory send a reason.
const HEADERS: [&str; 3] = ["x-error-message", "x-amz-error-message", "x-error"];

/// Headers of services that keep programs away from a server, with the names of the services. Such a header
/// shows that the service, not the server, sent the response.
const CHALLENGES: [(&str, &str); 2] = [("x-amzn-waf-action", "AWS WAF"), ("cf-mitigated", "Cloudflare")];

/// Keys under which JSON bodies have a reason, the most useful one first. `detail` and `title` are from RFC
/// 9457.
const KEYS: [&str; 6] = ["message", "detail", "error_description", "error", "errors", "title"];

/// Returns the reason that a response gives, in one line of at most 200 characters. Returns `None` if the
/// response gives no reason that this module can find.
pub(super) fn of(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let header =
        |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let challenge = CHALLENGES
        .iter()
        .find_map(|(name, from)| header(name).map(|action| format!("{from} requires a browser ({action})")));
    let text = String::from_utf8_lossy(body);
    let said = challenge
        .or_else(|| HEADERS.iter().find_map(|name| header(name)))
        .or_else(|| serde_json::from_str(text.trim()).ok().and_then(|json| in_json(&json)))
        .or_else(|| in_xml(&text))?;
    let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut = line.char_indices().nth(LONGEST).map_or(line.len(), |(at, _)| at);
    Some(line[..cut].to_string()).filter(|line| !line.is_empty())
}

/// Returns the text under one of the [`KEYS`], also within nested values such as `{"error": {"message":
/// ...}}` and `{"errors": [{...}]}`.
fn in_json(value: &Value) -> Option<String> {
    match value {
        Value::Object(map) => KEYS.iter().find_map(|key| match map.get(*key)? {
            Value::String(text) => Some(text.clone()),
            inner => in_json(inner),
        }),
        Value::Array(all) => match all.first()? {
            Value::String(text) => Some(text.clone()),
            inner => in_json(inner),
        },
        _ => None,
    }
}

/// Returns the text of the element `<Message>`, which S3 and similar services send.
fn in_xml(text: &str) -> Option<String> {
    let (_, after) = text.split_once("<Message>")?;
    let (message, _) = after.split_once("</Message>")?;
    Some(message.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn reasons_are_found_wherever_servers_put_them() {
        for (body, reason) in [
            (r#"{"message": "No  such\nkey"}"#, Some("No such key")),
            (r#"{"error": "invalid_token", "error_description": "It has expired"}"#, Some("It has expired")),
            (r#"{"error": {"code": 403, "message": "Quota exceeded"}}"#, Some("Quota exceeded")),
            (r#"{"errors": [{"status": 404, "message": "Not here"}]}"#, Some("Not here")),
            (
                "<?xml version='1.0'?><Error><Code>X</Code><Message>Request has expired</Message></Error>",
                Some("Request has expired"),
            ),
            ("<html><body>Forbidden</body></html>", None),
            ("sorry", None),
            (r#"{"message": ""}"#, None),
            (r#"{"ok": false}"#, None),
        ] {
            assert_eq!(of(&HeaderMap::new(), body.as_bytes()).as_deref(), reason, "{body}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-error-message", HeaderValue::from_static("This model is gated"));
        assert_eq!(of(&headers, b"{}").as_deref(), Some("This model is gated"));
        headers.insert("cf-mitigated", HeaderValue::from_static("challenge"));
        assert_eq!(of(&headers, b"").as_deref(), Some("Cloudflare requires a browser (challenge)"));
        let long = format!("{{\"message\": \"{}\"}}", "ä".repeat(1000));
        assert_eq!(of(&HeaderMap::new(), long.as_bytes()).map(|line| line.chars().count()), Some(LONGEST));
    }
}
