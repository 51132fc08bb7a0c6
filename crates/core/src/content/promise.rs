//! Decides which content the ending of a file name promises.
//!
//! This file is long because of the table of endings. Its logic is one function.

/// Endings of files that cannot be an HTML page: archives, packages, programs, images, audio, video, fonts,
/// documents, tables, scientific and machine learning data, and signatures. They are sorted and in lower
/// case.
///
/// Endings of files that may be a page are not in this list: `.doc` and `.xls` (many programs export tables
/// as HTML under these names), the endings in [`PAGES`] and [`TEXTS`], and all unknown endings.
const DATA: &[&str] = &[
    "2bit",
    "7z",
    "aac",
    "aar",
    "aif",
    "aiff",
    "amr",
    "ape",
    "apk",
    "appimage",
    "arj",
    "arrow",
    "asc",
    "avi",
    "avif",
    "avro",
    "bag",
    "bai",
    "bam",
    "bash",
    "bat",
    "bcf",
    "bcl",
    "bed",
    "bib",
    "bigwig",
    "bin",
    "blend",
    "bmp",
    "br",
    "bw",
    "bz2",
    "cab",
    "cbr",
    "cbz",
    "cdf",
    "cif",
    "ckpt",
    "class",
    "cmd",
    "conda",
    "cpio",
    "cr2",
    "crai",
    "cram",
    "crate",
    "crt",
    "crx",
    "csi",
    "css",
    "csv",
    "czi",
    "dat",
    "db",
    "db3",
    "dbf",
    "dcm",
    "deb",
    "dicom",
    "djvu",
    "dll",
    "dmg",
    "dng",
    "docm",
    "docx",
    "dta",
    "duckdb",
    "dwg",
    "e57",
    "edf",
    "egg",
    "elf",
    "eot",
    "epub",
    "exe",
    "fa",
    "fai",
    "fasta",
    "fastq",
    "fcs",
    "feather",
    "fif",
    "fits",
    "flac",
    "flatpak",
    "fna",
    "fq",
    "fz",
    "gbff",
    "gbk",
    "gem",
    "geojson",
    "gff",
    "gff3",
    "ggml",
    "gguf",
    "gif",
    "glb",
    "gltf",
    "gpg",
    "gpkg",
    "grb",
    "grb2",
    "grd",
    "grib",
    "grib2",
    "gtf",
    "gz",
    "gzi",
    "h5",
    "h5ad",
    "hdf",
    "hdf4",
    "hdf5",
    "hdr",
    "he5",
    "heic",
    "heif",
    "hepmc",
    "hex",
    "icns",
    "ico",
    "ics",
    "img",
    "ipa",
    "ipk",
    "ipynb",
    "iso",
    "jar",
    "jp2",
    "jpeg",
    "jpg",
    "js",
    "json",
    "jsonl",
    "jxl",
    "keras",
    "kml",
    "kmz",
    "las",
    "laz",
    "lhe",
    "lif",
    "loom",
    "lz",
    "lz4",
    "lzma",
    "lzo",
    "m3u8",
    "m4a",
    "m4b",
    "m4v",
    "mat",
    "mcap",
    "md5",
    "mdb",
    "meta4",
    "mgf",
    "mid",
    "midi",
    "minisig",
    "mjs",
    "mkv",
    "mobi",
    "mov",
    "mp3",
    "mp4",
    "mpeg",
    "mpg",
    "mrc",
    "msi",
    "msix",
    "mtx",
    "mzml",
    "nc",
    "nc4",
    "nd2",
    "ndjson",
    "nii",
    "npy",
    "npz",
    "nrrd",
    "nupkg",
    "obj",
    "odp",
    "ods",
    "odt",
    "oga",
    "ogg",
    "ogv",
    "onnx",
    "opus",
    "orc",
    "otf",
    "ova",
    "parquet",
    "pb",
    "pbf",
    "pcap",
    "pcapng",
    "pcd",
    "pdb",
    "pdf",
    "pem",
    "pickle",
    "pkg",
    "pkl",
    "ply",
    "png",
    "pptx",
    "prj",
    "ps",
    "ps1",
    "psd",
    "pt",
    "pth",
    "py",
    "pyc",
    "qcow2",
    "rar",
    "raw",
    "rda",
    "rdata",
    "rds",
    "rom",
    "root",
    "rpm",
    "rtf",
    "safetensors",
    "sam",
    "sav",
    "sh",
    "sha1",
    "sha256",
    "sha512",
    "shp",
    "sig",
    "slp",
    "snap",
    "so",
    "sql",
    "sqlite",
    "sqlite3",
    "squashfs",
    "sra",
    "srt",
    "step",
    "stl",
    "stp",
    "svg",
    "swf",
    "sys",
    "tar",
    "tbi",
    "tbz",
    "tbz2",
    "tflite",
    "tgz",
    "tif",
    "tiff",
    "toml",
    "torrent",
    "ts",
    "tsv",
    "ttf",
    "txz",
    "tzst",
    "usdz",
    "vcf",
    "vdi",
    "vhd",
    "vhdx",
    "vmdk",
    "vrt",
    "vtk",
    "vtt",
    "vtu",
    "war",
    "warc",
    "wasm",
    "wav",
    "weba",
    "webm",
    "webp",
    "whl",
    "wim",
    "wma",
    "wmv",
    "woff",
    "woff2",
    "xapk",
    "xar",
    "xlsb",
    "xlsm",
    "xlsx",
    "xpi",
    "xyz",
    "xz",
    "yaml",
    "yml",
    "z",
    "zarr",
    "zim",
    "zip",
    "zipx",
    "zst",
];

/// Endings of files that are web pages, or often are. They are sorted and in lower case. A compressed page
/// (`page.html.gz`) counts as a page too, because a server may send it decoded.
const PAGES: &[&str] = &["asp", "aspx", "cgi", "htm", "html", "jsp", "mhtml", "php", "shtml", "xht", "xhtml"];

/// Endings of texts, which may contain a web page. They are sorted and in lower case.
const TEXTS: &[&str] = &["md", "txt", "xml"];

/// Endings of compressed files. They are sorted.
const COMPRESSIONS: &[&str] = &["br", "bz2", "gz", "lz", "lz4", "lzma", "xz", "z", "zst"];

/// The content that the ending of a name promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// The file cannot be a web page.
    Data,
    /// The file is a web page, or may be one.
    Page,
    /// The file is a text, which may contain a web page.
    Text,
    /// The ending does not show the kind of the file.
    Nothing,
}

/// Returns the content that a name, or the path of a URL, promises.
pub fn promise(name: &str) -> Promise {
    let mut parts = name.rsplit('/').next().unwrap_or_default().rsplit('.');
    let (last, before) = (parts.next().unwrap_or_default(), parts.next());
    // A name without a dot has no ending.
    let Some(before) = before else { return Promise::Nothing };
    let is_compressed = parts.next().is_some() && has(COMPRESSIONS, last);
    let is = |table| has(table, last) || is_compressed && has(table, before);
    if is(PAGES) {
        Promise::Page
    } else if is(TEXTS) {
        Promise::Text
    } else if has(DATA, last) {
        Promise::Data
    } else {
        Promise::Nothing
    }
}

/// Returns true if an ending is in a table. The case of its letters is ignored.
fn has(table: &[&str], ending: &str) -> bool {
    let ending = || ending.bytes().map(|byte| byte.to_ascii_lowercase());
    table.binary_search_by(|one| one.bytes().cmp(ending())).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_tables_are_sorted_and_in_lower_case() {
        for table in [DATA, PAGES, TEXTS, COMPRESSIONS] {
            assert!(
                table.is_sorted_by(|a, b| a < b),
                "{:?}",
                table.iter().zip(table.iter().skip(1)).find(|(a, b)| a >= b)
            );
        }
        assert!(PAGES.iter().chain(TEXTS).all(|ending| DATA.binary_search(ending).is_err()));
    }

    #[test]
    fn the_ending_of_a_name_promises_data_a_page_a_text_or_nothing() {
        for name in [
            "a.iso",
            "d/a.tar.GZ",
            "x.hdf",
            "m.safetensors",
            "t.csv",
            "t.json",
            "x.fastq.gz",
            "/d/install.sh",
        ] {
            assert_eq!(promise(name), Promise::Data, "{name}");
        }
        for name in ["a.html", "a.HTM", "a.zip.html", "page.html.gz", "a.php"] {
            assert_eq!(promise(name), Promise::Page, "{name}");
        }
        for name in ["notes.txt", "notes.txt.gz", "a.XML", "README.md"] {
            assert_eq!(promise(name), Promise::Text, "{name}");
        }
        for name in ["", "a", "zip", "a.iso/b", "a.xls", "a.doc", "a.unheard-of", "a."] {
            assert_eq!(promise(name), Promise::Nothing, "{name}");
        }
        assert_eq!(promise("html.gz"), Promise::Data);
    }

    proptest! {
        #[test]
        fn no_name_causes_a_panic(name in ".{0,40}") {
            promise(&name);
        }
    }
}
