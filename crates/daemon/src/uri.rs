//! Checks the URLs that clients send. Clients see URLs without secrets, so this module also finds the
//! complete URL for a URL that a client sends back.
//!
//! Invariant: a URL that is shown has no secret: no user name, no password, and no value that looks like a
//! secret.

use crate::fault::Fault;
use downhaul_engine::core::job::parse_given;
use downhaul_engine::core::show;

/// Checks the URLs that a client sent for one file, and returns them without blanks around them.
///
/// # Errors
/// Returns a fault if there is no URL, or if one of the URLs cannot be used.
pub fn checked(uris: &[String]) -> Result<Vec<String>, Fault> {
    if uris.is_empty() {
        return Err(Fault::refused("URI is not provided."));
    }
    uris.iter().map(|uri| one(uri.trim())).collect()
}

fn one(uri: &str) -> Result<String, Fault> {
    let (url, _) = parse_given(uri)?;
    let in_path = |before: &str| url.path().contains(&format!("{before}{}", show::HIDDEN));
    if url.query().is_some_and(|query| query.contains(show::HIDDEN))
        || ["=", ";", "/"].into_iter().any(in_path)
    {
        let why = "A secret was left out of the URL";
        return Err(Fault::refused(format!("{why} ({}): send the complete URL.", show::HIDDEN)));
    }
    Ok(uri.into())
}

/// Returns the URLs that a client means. Clients see the known URLs without their secrets, so a text that
/// equals a URL as it is shown stands for the complete URL. A text that equals a complete known URL stands
/// for that URL. No two texts stand for the same known URL.
pub fn meant(mut uris: Vec<String>, known: &[String]) -> Vec<String> {
    let mut left: Vec<&String> = known.iter().collect();
    let mut others = Vec::new();
    for uri in &mut uris {
        match left.iter().position(|one| *one == uri) {
            Some(at) => drop(left.remove(at)),
            None => others.push(uri),
        }
    }
    for uri in others {
        if let Some(at) = left.iter().position(|one| show::given(one) == **uri) {
            uri.clone_from(left.remove(at));
        }
    }
    uris
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_and_a_client_may_send_back_what_it_saw() {
        for (uri, expected) in [
            ("http://h/a?x=1", "http://h/a?x=1"),
            ("h.example/a", "h.example/a"),
            ("http://me:hush@h/a?token=hush&x=1#hush", "http://h/a?token=***&x=1"),
            ("ftp://me:hush@h/?token=hush", "ftp://h/"),
        ] {
            assert_eq!(show::given(uri), expected);
        }
        let known = ["http://me:hush@h/a".to_string()];
        assert_eq!(
            meant(vec!["http://h/a".into(), "http://h/b".into()], &known),
            ["http://me:hush@h/a", "http://h/b"]
        );
        let two = ["http://h/a?token=1", "http://me:hush@h/b", "http://h/a?token=2", "http://h/b"];
        let (shown, two) = (["http://h/a?token=***"; 2].map(String::from), two.map(String::from));
        assert_eq!(meant(shown.into(), &two), ["http://h/a?token=1", "http://h/a?token=2"]);
        assert_eq!(meant(vec!["http://h/b".into()], &two), ["http://h/b"]);
        assert_eq!(checked(&[" http://h/a\n".into()]).expect("a URL"), ["http://h/a"]);
        for wrong in
            ["", " ", "ftp://h/", "http://", "http://h/?token=***", "http://h/a;***", "http://h/get/***"]
        {
            assert!(checked(&[wrong.into()]).is_err(), "{wrong}");
        }
    }
}
