//! Protection spaces: the paths of an origin for which one login holds, so that it is sent without being
//! asked for again.

use url::{Position, Url};

/// Returns the folder of a path: all up to its last slash. Whatever is below it is in the same protection
/// space as the path (RFC 7617, section 2.2).
pub fn folder(path: &str) -> &str {
    path.rfind('/').map_or("/", |slash| &path[..=slash])
}

/// Returns the innermost folder that has both paths in it.
pub fn common_folder<'p>(one: &'p str, other: &str) -> &'p str {
    let common = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    // What two paths have in common ends in the middle of a character only where it ends in the middle of a
    // segment.
    let slash = one.as_bytes()[..common].iter().rposition(|&byte| byte == b'/');
    slash.map_or("/", |slash| &one[..=slash])
}

/// Returns the paths of the protection space that a Digest challenge of `at` names (RFC 7616, section 3.3).
/// Paths of other origins are left out: a server does not say where else a login goes. If it names none, the
/// whole origin is one space.
pub fn of_domain(domain: &[String], at: &Url) -> Vec<String> {
    if domain.is_empty() {
        return vec!["/".into()];
    }
    let here = domain.iter().filter_map(|uri| at.join(uri).ok()).filter(|url| url.origin() == at.origin());
    let mut paths: Vec<String> = here.map(|url| url.path().to_string()).collect();
    // The server asked here, so it is in the space whatever the list says.
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
    fn spaces_are_folders() {
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
    fn a_domain_is_for_its_own_origin_only() {
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
