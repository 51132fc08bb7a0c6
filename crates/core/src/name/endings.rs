//! Finds the extension of a name. Numbers are put before the extension (`x (1).nii.gz`), and long names are
//! cut before it.

/// The longest extension in bytes, with its dots. Longer text after a dot is not an extension. For example,
/// the long extension `.bedgraph.lzma.minisig` has 22 bytes.
const LONGEST: usize = 24;

/// Endings of compressed files. If an ending of [`COMPRESSED`] comes before one of these endings, both
/// together are the extension.
const COMPRESSIONS: &[&str] = &["br", "bz2", "gz", "lz", "lz4", "lzma", "lzo", "xz", "z", "zst"];

/// Endings of files that are often compressed: archives, disk images, brain scans, genetic sequences, tables,
/// texts.
const COMPRESSED: &[&str] = &[
    "bcf", "bed", "bedgraph", "cpio", "csv", "dat", "dump", "embl", "fa", "faa", "fasta", "fastq", "ffn",
    "fna", "fq", "gb", "gbff", "gbk", "geojson", "gff", "gff3", "gtf", "html", "img", "iso", "json", "jsonl",
    "log", "maf", "man", "md", "mgh", "mtx", "nc", "ndjson", "nii", "npy", "nq", "nt", "obo", "owl", "pdb",
    "pgn", "ps", "qcow2", "raw", "rdf", "sam", "sdf", "sql", "svg", "tar", "tex", "tsv", "ttl", "txt", "vcf",
    "vmdk", "warc", "wat", "wet", "wig", "xml", "yaml", "yml",
];

/// Endings of files that belong to another file, such as indexes (samtools, tabix) and signatures. The name
/// of the other file comes before the ending.
const BESIDE: &[&str] = &["asc", "bai", "crai", "csi", "fai", "gzi", "minisig", "sig", "tbi"];

/// Splits a name before its extension. Examples of results are `("archive", ".tar.gz")`, `("photo", ".jpg")`,
/// `("README", "")`, `(".profile", "")` and `("calls", ".vcf.gz.tbi")`. The first part is empty only if the
/// name is empty.
pub(crate) fn split_extension(file: &str) -> (&str, &str) {
    let Some((stem, last)) = split_last(file) else { return (file, "") };
    let before = match split_last(stem) {
        Some((shorter, before)) if is_one_of(last, COMPRESSIONS) && is_one_of(before, COMPRESSED) => shorter,
        Some(_) if is_one_of(last, BESIDE) => split_extension(stem).0,
        _ => stem,
    };
    match file.len() - before.len() {
        0..=LONGEST => file.split_at(before.len()),
        _ => file.split_at(stem.len()),
    }
}

/// Splits a name at its last dot, if the text after the dot may be an extension.
fn split_last(file: &str) -> Option<(&str, &str)> {
    let (stem, last) = file.rsplit_once('.')?;
    let extension = 1..LONGEST;
    (!stem.is_empty() && extension.contains(&last.len()) && !last.contains(char::is_whitespace))
        .then_some((stem, last))
}

fn is_one_of(ending: &str, table: &[&str]) -> bool {
    table.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_endings_of_two_parts_are_one_extension() {
        for (stem, ending) in [
            ("archive", ".tar.gz"),
            ("ARCHIVE", ".TAR.ZST"),
            ("brain", ".nii.gz"),
            ("reads_1", ".fastq.gz"),
            ("reads_1", ".fq.bz2"),
            ("calls", ".vcf.gz"),
            ("calls", ".vcf.gz.tbi"),
            ("x", ".bam.bai"),
            ("crawl", ".warc.gz"),
            ("a", ".tar.gz.asc"),
            ("linux-6.1", ".tar.xz"),
            ("v1.2", ".gz"),
            ("photo.2024", ".jpg"),
            ("photo", ".jpg"),
            ("README", ""),
            (".profile", ""),
            ("tar", ".gz"),
            ("", ""),
            ("name.", ""),
            ("Dr. Who", ""),
            ("x.a-name-with-a-dot-near-its-beginning", ""),
        ] {
            assert_eq!(split_extension(&format!("{stem}{ending}")), (stem, ending));
        }
    }
}
