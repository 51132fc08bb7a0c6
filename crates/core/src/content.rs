//! Whether what came is another kind of thing than its name promises: login pages and captive portals answer 200 with an
//! HTML page, whatever was asked for.

/// Extensions of archives, images and other media, disk images, packages and programs. Pages, texts and whatever has no
/// extension may be anything.
const BINARY: &[&str] = &[
    "7z", "apk", "appimage", "avi", "avif", "bin", "br", "bz2", "cab", "crx", "deb", "dmg", "dll", "exe",
    "flac", "gem", "gif", "gz", "heic", "img", "iso", "jar", "jpeg", "jpg", "lz", "lz4", "m4a", "mkv", "mov",
    "mp3", "mp4", "msi", "ogg", "ova", "pdf", "pkg", "png", "qcow2", "rar", "rpm", "snap", "so", "tar",
    "tgz", "tiff", "txz", "vmdk", "wasm", "wav", "webm", "webp", "whl", "xz", "zip", "zst",
];

/// How HTML pages begin, as the MIME Sniffing standard (section 7.1) has it, without those that comments share.
const PAGES: [&[u8]; 2] = [b"<!doctype html", b"<html"];

/// So many bytes of the beginning are enough to tell.
pub const ENOUGH: usize = 512;

/// Whether a file of this name (or URL) is no HTML page.
pub fn is_binary(name: &str) -> bool {
    let name = name.split(['?', '#']).next().unwrap_or_default();
    let extension =
        name.rsplit('/').next().and_then(|file| file.rsplit_once('.')).map(|(_, extension)| extension);
    extension.is_some_and(|one| BINARY.iter().any(|known| one.eq_ignore_ascii_case(known)))
}

/// Whether content that begins like this is an HTML page.
pub fn is_html(beginning: &[u8]) -> bool {
    let text = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning).trim_ascii_start();
    PAGES.iter().any(|page| text.get(..page.len()).is_some_and(|start| start.eq_ignore_ascii_case(page)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_beginnings() {
        for name in ["a.iso", "d/a.tar.GZ", "http://h/a.zip?x=.html"] {
            assert!(is_binary(name), "{name}");
        }
        for name in ["", "a", "a.html", "a.txt", "a.zip.html", "a.iso/b", "http://h/?a.zip"] {
            assert!(!is_binary(name), "{name}");
        }
        assert!(is_html(b"\xef\xbb\xbf \r\n<!DOCTYPE HTML PUBLIC") && is_html(b"<html><head>"));
        assert!(
            !is_html(b"") && !is_html(b"<htm") && !is_html(b"<?xml version") && !is_html(b"\x1f\x8b<html")
        );
    }
}
