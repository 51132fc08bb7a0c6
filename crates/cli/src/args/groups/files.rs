//! The options for lists, and for the files on the disk.

use crate::args::choices::{Dedup, IfExists, IfLocked, Names, ShardBy, Sync};
use crate::args::values::{self, ShardOption};
use clap::{Args as Group, ValueHint};
use downhaul_engine::core::containers::{Bounds, ContainerNames};
use downhaul_engine::core::job::Url;
use downhaul_engine::core::list::addresses::Replacement;
use downhaul_engine::core::list::columns::Columns;
use downhaul_engine::core::list::form::Stated;
use downhaul_engine::core::name::{Folders, Template};
use std::path::PathBuf;

/// The options for the lists to read, and for how the files are named and saved.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Save files into this folder
    ///
    /// The folder is created if it does not exist.
    #[arg(short = 'd', long = "output", value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,

    /// Save a single file as NAME (- is standard output)
    ///
    /// This option is for a single URL, or for a pattern of --glob if NAME contains #1. NAME may be any path.
    /// If it is a relative path, it is below the folder of -d. If NAME is a pipe or a device, the bytes are
    /// written to it in order.
    #[arg(short = 'o', long, value_name = "NAME", value_hint = ValueHint::FilePath)]
    pub save_as: Option<PathBuf>,

    /// Read URLs and names from LIST (- is standard input)
    ///
    /// LIST is a file or a URL. It has a URL or a JSON object in each line, or it is a CSV or TSV table, a
    /// JSON array, a Metalink file, or a list of another program (see --list-format). This option can be
    /// repeated.
    #[arg(short = 'i', long, value_name = "LIST", value_hint = ValueHint::FilePath, conflicts_with = "save_as")]
    pub input: Vec<PathBuf>,

    /// Expand {a,b} and [1-10] in URLs, as curl does
    ///
    /// Other forms of ranges are [001-100], [a-z], and [0-100:10] with a step. In the name that -o gives, #1
    /// stands for the value of the first pattern, and #2 for the value of the second one. The URLs in
    /// lists are not expanded.
    #[arg(long, hide_short_help = true)]
    pub glob: bool,

    /// Choose where file names come from
    ///
    /// If no name is found in this way, the file is called index.html.
    #[arg(long, value_name = "FROM", default_value = "auto", hide_short_help = true)]
    pub names: Names,

    /// Save each file below the last N folders of its URL
    ///
    /// N can also be all or host. With all, each file is saved below all folders of its URL. With host, these
    /// folders are below a folder with the name of the host (and its port, unless it is the default port).
    #[arg(long, value_name = "N", default_value = "0", value_parser = values::folders, hide_short_help = true)]
    pub folders: Folders,

    /// Make the names of files from a template, such as {host}/{path[-2:]}/{sha256:.2}/{name}
    ///
    /// The fields are scheme, host, port, path (the folders of the URL), name, stem, ext, query[KEY], line
    /// (the number of the line), the name of an algorithm such as sha256 (the digest in the list or the URL),
    /// and any other column or key of the list. path[-2:] means the last two folders, :.2 means the first two
    /// characters, and :05 puts zeros before a number until it has five digits. If the list gives a name for
    /// the file, the field name contains this name.
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "folders", hide_short_help = true)]
    pub name_template: Option<Template>,

    /// Put the files into tars with names such as data-{shard:05}.tar
    ///
    /// {shard} is the number of a tar, from 0 on. It is not the number of --shard. The tars have the form of
    /// WebDataset: beside each file, they have a member whose name ends in .json, with the URL, the digests
    /// and what the list states about the file. If NAME is a relative path, it is below the folder of -d.
    /// Until a tar is complete, its name ends in .part.
    #[arg(long, value_name = "NAME", value_parser = values::tar_names, conflicts_with_all = ["save_as", "adopt"], hide_short_help = true)]
    pub to_tar: Option<ContainerNames>,

    /// Begin another tar when a file would make the current one larger than SIZE (such as 500M or 2G)
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = values::container_size, hide_short_help = true)]
    pub tar_size: u64,

    /// Begin another tar when the current one has N files
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), hide_short_help = true)]
    pub tar_count: Option<u64>,

    /// Put the responses of servers into WARCs with names such as web-{number:05}.warc.gz
    ///
    /// {number} is the number of a WARC, from 0 on. The format is WARC/1.1. For each file, a WARC has the
    /// response, the request without secrets, the redirects, and a description in JSON with the URL, the
    /// digests and what the list states about the file. Each file is verified before it is put into a WARC.
    /// If NAME is a relative path, it is below the folder of -d. Until a WARC is complete, its name ends in
    /// .part.
    #[arg(long, value_name = "NAME", value_parser = values::warc_names, conflicts_with_all = ["save_as", "adopt", "to_tar"], hide_short_help = true)]
    pub to_warc: Option<ContainerNames>,

    /// Begin another WARC when a file would make the current one larger than SIZE (such as 500M or 2G)
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = values::container_size, hide_short_help = true)]
    pub warc_size: u64,

    /// Begin another WARC when the current one has N files
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), hide_short_help = true)]
    pub warc_count: Option<u64>,

    /// Use only names that Windows also accepts (always on Windows)
    #[arg(long, default_value_t = cfg!(windows), hide_short_help = true)]
    pub windows_names: bool,

    /// Use the time of the download as the modification time, and not the server's Last-Modified
    #[arg(long, hide_short_help = true)]
    pub no_mtime: bool,

    /// Store the URL, without secrets, in the extended attribute user.xdg.origin.url of each file
    #[arg(long, hide_short_help = true)]
    pub xattr: bool,

    /// Store nothing in extended attributes
    ///
    /// By default, downhaul stores a record in an extended attribute of each file. The record has a hash of
    /// the URL and the request. A later run recognises the file by its record, and sends no request for it.
    #[arg(long, conflicts_with = "xattr", hide_short_help = true)]
    pub no_xattr: bool,

    /// Choose which files to force to the disk before they get their final name
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_short_help = true)]
    pub sync: Sync,
}

impl Output {
    /// Returns the names and the bounds of the containers, if the files are put into containers.
    pub fn containers(&self) -> Option<(&ContainerNames, Bounds)> {
        let tars = Bounds { size: self.tar_size, count: self.tar_count };
        let warcs = Bounds { size: self.warc_size, count: self.warc_count };
        let to_tar = self.to_tar.as_ref().map(|names| (names, tars));
        to_tar.or(self.to_warc.as_ref().map(|names| (names, warcs)))
    }
}

/// The options for lists.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Lists")]
pub struct Lists {
    /// State the form of the list
    ///
    /// Without this option, the form is recognised by the content of the list or the name of its file. FORM
    /// is lines (URLs or JSON objects, one on each line), json (a JSON array, or JSON objects on lines), csv
    /// or tsv (tables), aria2 (an input file of aria2), curl (a configuration file of curl), bagit
    /// (fetch.txt), datapackage (datapackage.json or RO-Crate) or metalink.
    #[arg(long, value_name = "FORM", value_parser = values::list_format(), hide_short_help = true)]
    pub list_format: Option<Stated>,

    /// Say which columns of a table have the URLs and other facts
    ///
    /// The form is KEY=COLUMN, with commas between several pairs, as in url=fastq_ftp,md5=fastq_md5. KEY is
    /// url, out, size, the name of a digest algorithm, or any other key of a JSON line. Columns with common
    /// names, such as link and filename, are found without this option. KEY= means that no column has this
    /// fact. A COLUMN with a comma must be in quotation marks.
    #[arg(long, value_name = "COLUMNS", value_parser = Columns::read, hide_short_help = true)]
    pub columns: Option<Columns>,

    /// Resolve relative addresses in lists against URL
    ///
    /// With this option, every address without a scheme is relative. For a data package or an RO-Crate that
    /// is fetched from a URL, that URL is the default.
    #[arg(long, value_name = "URL", value_parser = values::url, hide_short_help = true)]
    pub base: Option<Url>,

    /// Replace a text in every address of a list (can be repeated)
    ///
    /// In each address, TO replaces the first FROM. For example, ftp://=https:// changes the scheme. FROM
    /// ends at the first =.
    #[arg(long, value_name = "FROM=TO", value_parser = Replacement::read, hide_short_help = true)]
    pub replace: Vec<Replacement>,

    /// Leave out the lines of a list that have mistakes
    ///
    /// A warning names these lines. Without this option, a line with a mistake ends the run, usually before
    /// the first download. In a list on standard input, and in a Metalink file, a data package, an RO-Crate
    /// or a fetch.txt, only the download with the mistake fails.
    #[arg(long, hide_short_help = true)]
    pub skip_bad_lines: bool,

    /// Download only shard K of N of the list
    ///
    /// N runs, each with a different K from 1 to N, download the whole list. With auto, K and N come from the
    /// environment variables of Slurm or torchrun. With auto/N, K comes from the environment variables of
    /// Kubernetes, Slurm or torchrun. A shard that is complete is not downloaded again.
    #[arg(long, value_name = "K/N", value_parser = values::shard, hide_short_help = true)]
    pub shard: Option<ShardOption>,

    /// Choose what divides a list into shards
    #[arg(long, value_name = "WHAT", default_value = "job", hide_short_help = true)]
    pub shard_by: ShardBy,
}

/// The options for existing files.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Existing files")]
pub struct Existing {
    /// Choose what to do if the file exists already
    #[arg(long, value_name = "WHAT", default_value = "check")]
    pub if_exists: IfExists,

    /// Choose what to do if another run is working on the file
    #[arg(long, value_name = "WHAT", default_value = "fail", hide_short_help = true)]
    pub if_locked: IfLocked,

    /// Continue a file that another tool left unfinished
    #[arg(short = 'c', long = "continue", conflicts_with = "no_resume")]
    pub adopt: bool,

    /// Ignore the partial files of earlier runs, and download from the beginning
    #[arg(long, hide_short_help = true)]
    pub no_resume: bool,

    /// Skip the files that earlier runs have added to this archive
    ///
    /// FILE is a SQLite database of all files that were ever downloaded with this option. These files are
    /// skipped without a request, even if they are no longer on the disk. The archive knows a file by its
    /// URL, or by a strong digest (such as a SHA-256) that the list states.
    #[arg(long, value_name = "FILE", value_parser = values::written_file(), value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub archive: Option<PathBuf>,

    /// Store files with the same digest only once
    ///
    /// A strong digest of a file (such as a SHA-256) may be known before the download, for example from the
    /// list. If this run or the archive has a file with this digest, the new file is made from that file
    /// without a download. Other files are compared by their SHA-256 after their download.
    #[arg(long, value_name = "HOW", default_value = "off", hide_short_help = true)]
    pub dedup: Dedup,
}
