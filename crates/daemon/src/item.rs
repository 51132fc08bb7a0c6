//! [`Item`]: a download that is to be added to the queue.

use crate::facts::Facts;
use crate::fault::Fault;
use crate::options::Options;

/// A download that is to be added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// The URLs of the file. Several URLs are mirrors.
    pub uris: Vec<String>,
    /// The options of the download.
    pub options: Options,
    /// The facts about the file from a list or a document.
    pub facts: Option<Facts>,
    /// The reason why the item cannot be downloaded. Only an entry of a document may have such a reason.
    pub fault: Option<Fault>,
}

impl Item {
    /// Returns a download with these URLs and options.
    pub fn new(uris: Vec<String>, options: Options) -> Item {
        Item { uris, options, ..Item::default() }
    }
}
