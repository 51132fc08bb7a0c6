//! Protection spaces. A protection space is a set of paths at one origin (scheme, host and port) that need
//! the same login (user name and password). A list of beginnings describes the set: the set has every path
//! that starts with one of the beginnings. After the server has accepted the login for one of these paths,
//! every request for a path in the set carries the login at once: the client does not wait for a challenge.

use url::{Position, Url};

/// Returns the folder of a path. The folder ends with the last slash of the path. All paths below this folder
/// are in the same protection space as the path (RFC 7617, section 2.2).
pub fn folder(path: &str) -> &str {
    path.rfind('/').map_or("/", |slash| &path[..=slash])
}

/// Returns the innermost folder that contains both paths.
pub fn common_folder<'p>(one: &'p str, other: &str) -> &'p str {
    let common = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    // The common bytes may end in the middle of a character. A slash is always a whole character, so the
    // path can be cut after it.
    let slash = one.as_bytes()[..common].iter().rposition(|&byte| byte == b'/');
    slash.map_or("/", |slash| &one[..=slash])
}

/// Returns the beginnings of the paths in the protection space of a Digest challenge (RFC 7616, section 3.3).
/// `at` is the URL that the server sent the challenge for, and `domain` has the URIs that the challenge
/// names. URIs of other origins are left out, because a server must not decide that a login is sent to
/// another origin. If `domain` is empty, the space is the whole origin.
pub fn of_domain(domain: &[String], at: &Url) -> Vec<String> {
    if domain.is_empty() {
        return vec!["/".into()];
    }
    let here = domain.iter().filter_map(|uri| at.join(uri).ok()).filter(|url| url.origin() == at.origin());
    let mut paths: Vec<String> = here.map(|url| url.path().to_string()).collect();
    // The server requires the login for `at`, so `at` must be in the space. If its path starts with none of
    // the beginnings, the folder of the path is added.
    if !paths.iter().any(|path| at.path().starts_with(path.as_str())) {
        paths.push(folder(at.path()).into());
    }
    paths
}

/// Returns the path and the query of a URL, as the first line of a request has them.
pub fn target(url: &Url) -> &str {
    &url[Position::BeforePath..Position::AfterQuery]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protection_spaces_are_folders() {
        assert_eq!(
            [folder("/a/b/c"), folder("/a/b/"), folder("/a"), folder("/")],
            ["/a/b/", "/a/b/", "/", "/"]
        );
        for (one, other, common) in [
            ("/a/1/", "/a/2/", "/a/"),
            ("/a/", "/a/b/c", "/a/"),
            ("/ab/", "/ac/", "/"),
            ("/a/b", "/a/b", "/a/"),
            ("/", "/x", "/"),
        ] {
            assert_eq!(common_folder(one, other), common, "{one} {other}");
        }
    }

    #[test]
    fn the_domain_of_a_challenge_covers_its_own_origin_only() {
        let at = Url::parse("https://h.example/a/b/f?q").expect("a URL");
        let of =
            |domain: &str| of_domain(&domain.split_whitespace().map(String::from).collect::<Vec<_>>(), &at);
        assert_eq!(of(""), ["/"]);
        assert_eq!(of("/a /x"), ["/a", "/x"]);
        assert_eq!(of("https://evil.example/ https://h.example/a/"), ["/a/"]);
        assert_eq!(of("http://h.example/"), ["/a/b/"]);
        assert_eq!(target(&at), "/a/b/f?q");
    }
}
