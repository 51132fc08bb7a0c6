//! Writes the records of a WARC, each as one member of gzip.

use super::super::open::{Content, is_short};
use super::super::window::each_buffer;
use super::{FIELD, HEADER, JSON, LENGTH_AT};
use crate::clock;
use crate::disk::{READ, platform};
use crate::hashers::Hashers;
use downhaul_core::digest::Algorithm;
use downhaul_core::lock_file::Entry;
use downhaul_core::transcript::{Exchange, Transcript};
use downhaul_core::warc::{self, END};
use flate2::{Compression, GzBuilder};
use std::fs::File;
use std::io::{self, Write};
use std::time::SystemTime;

/// A record with a file is compressed only if the compressed form of its beginning has at most this
/// percentage of the length of the beginning. Pictures, videos and archives are compressed already.
const WORTH_IT: usize = 95;

/// The number of bytes at the beginning of a record that are compressed as a test. The result decides if the
/// whole record is compressed. The headers of the record are part of its beginning, because they can be
/// longer than the file, and can be compressed.
const BEGINNING: usize = 64 * 1024;

/// The highest number of bytes that the headers of two records need, without the URLs in them.
const HEADERS_MOST: u64 = 2 * 1024;

/// The data for the records of one file.
pub(in super::super) struct Records<'a> {
    pub(in super::super) entry: &'a Entry,
    pub(in super::super) transcript: Option<&'a Transcript>,
    pub(in super::super) content: &'a Content<'a>,
    pub(in super::super) size: u64,
}

impl Records<'_> {
    /// Returns the number of bytes that the records need at most.
    pub(in super::super) fn length_most(&self) -> u64 {
        let of_one =
            |one: &Exchange| one.url.len() * 3 + one.request.len() + one.response.len() + one.body.len();
        let (messages, pairs) = match self.transcript {
            Some(all) => {
                let exchanges = all.redirects.iter().chain([&all.file]);
                (exchanges.map(of_one).sum(), all.redirects.len() as u64 + 2)
            }
            None => (self.resource_url().len() * 2, 1),
        };
        let described = self.entry.to_json().len();
        // Bytes that cannot be compressed are stored in blocks, each with 5 more bytes (RFC 1951, section
        // 3.2.4). One byte more for each KiB is enough, unless the blocks are shorter than 5 KiB.
        let bytes = self.size.saturating_add((messages + described) as u64);
        bytes.saturating_add(bytes / 1024).saturating_add(HEADERS_MOST * pairs)
    }

    /// Returns the URL for the record of a file that has no transcript.
    fn resource_url(&self) -> &str {
        self.entry.final_url.as_ref().unwrap_or(&self.entry.url)
    }

    /// Writes the records into a WARC at an offset. Returns the offset after them.
    pub(in super::super) fn write(&self, warc: &File, at: u64) -> io::Result<u64> {
        let mut to = Writer { warc, at };
        match self.transcript {
            Some(transcript) => {
                for redirect in &transcript.redirects {
                    let id = to.redirect(redirect)?;
                    to.request(redirect, &id)?;
                }
                let exchange = &transcript.file;
                let id = self.write_response(&mut to, exchange)?;
                to.request(exchange, &id)?;
                self.describe(&mut to, &id, &exchange.url, exchange.at)?;
            }
            None => {
                let url = self.resource_url();
                let (id, at) = (identifier(), clock::wall());
                let fields = Fields::new(&id, at).with("WARC-Target-URI", url);
                let fields = fields.with("Content-Type", "application/octet-stream");
                to.record("resource", fields, Block { head: &[], content: self.content, size: self.size })?;
                self.describe(&mut to, &id, url, at)?;
            }
        }
        Ok(to.at)
    }

    fn write_response(&self, to: &mut Writer<'_>, exchange: &Exchange) -> io::Result<String> {
        let id = identifier();
        let head = warc::whole_head(&exchange.response, Some(self.size));
        let fields = Fields::of(&id, exchange).with("Content-Type", warc::RESPONSE);
        to.record("response", fields, Block { head: &head, content: self.content, size: self.size })?;
        Ok(id)
    }

    fn describe(&self, to: &mut Writer<'_>, of: &str, url: &str, at: SystemTime) -> io::Result<()> {
        let fields = Fields::new(&identifier(), at).with("WARC-Target-URI", url);
        let fields = fields.with("WARC-Concurrent-To", of).with("Content-Type", JSON);
        to.small("metadata", fields, self.entry.to_json().as_bytes())
    }
}

/// Returns the first record of a WARC with this name.
pub(in super::super) fn beginning(name: &str) -> io::Result<Vec<u8>> {
    let block = format!(
        "software: downhaul/{}\r\nformat: WARC File Format 1.1\r\nconformsTo: \
         http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/\r\n",
        env!("CARGO_PKG_VERSION")
    );
    let fields = Fields::new(&identifier(), clock::wall()).with("WARC-Filename", name);
    let fields = fields
        .with("Content-Type", "application/warc-fields")
        .digest("WARC-Block-Digest", &[block.as_bytes()]);
    let header = warc::header("warcinfo", &fields.as_pairs(), block.len() as u64);
    compressed(&[&header[..], block.as_bytes(), END].concat(), Compression::default())
}

fn identifier() -> String {
    warc::identifier([clock::random(), clock::random()])
}

/// The fields in the header of a record.
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn new(id: &str, at: SystemTime) -> Fields {
        Fields(vec![("WARC-Record-ID", id.into()), ("WARC-Date", warc::date(at))])
    }

    fn of(id: &str, exchange: &Exchange) -> Fields {
        let fields = Fields::new(id, exchange.at).with("WARC-Target-URI", &exchange.url);
        let fields = fields.with("WARC-Protocol", exchange.protocol);
        match exchange.ip {
            Some(ip) => fields.with("WARC-IP-Address", &ip.to_string()),
            None => fields,
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Fields {
        self.0.push((name, value.into()));
        self
    }

    /// If `is_cut` is true, marks the record as one that does not have the whole body of its message.
    fn cut(self, is_cut: bool) -> Fields {
        if is_cut { self.with("WARC-Truncated", "unspecified") } else { self }
    }

    /// Adds a field with the SHA-1 of these bytes, because other programs for WARCs write and compare
    /// SHA-1.
    fn digest(self, name: &'static str, bytes: &[&[u8]]) -> Fields {
        let mut hashers = Hashers::new(&[Algorithm::Sha1]);
        hashers.update(bytes);
        self.finished(name, hashers)
    }

    fn finished(self, name: &'static str, hashers: Hashers) -> Fields {
        let digest = hashers.finish().into_iter().next().map(|one| one.bytes).unwrap_or_default();
        self.with(name, &format!("sha1:{}", warc::base32(&digest)))
    }

    fn as_pairs(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}

/// The block of a record: the head of a message, and the bytes of a file.
struct Block<'a> {
    head: &'a [u8],
    content: &'a Content<'a>,
    size: u64,
}

/// Writes records to a WARC, one after the other.
struct Writer<'f> {
    warc: &'f File,
    /// The offset of the next record.
    at: u64,
}

impl Writer<'_> {
    /// Writes the record of a redirect, and returns the identifier of the record.
    fn redirect(&mut self, exchange: &Exchange) -> io::Result<String> {
        let id = identifier();
        let size = Some(exchange.body.len() as u64).filter(|_| !exchange.is_cut);
        let head = warc::whole_head(&exchange.response, size);
        let fields = Fields::of(&id, exchange).with("Content-Type", warc::RESPONSE).cut(exchange.is_cut);
        let fields = fields.digest("WARC-Payload-Digest", &[exchange.body.as_slice()]);
        self.small("response", fields, &[head, exchange.body.clone()].concat())?;
        Ok(id)
    }

    /// Writes the request for a response with this identifier. A body of the request is left out, because it
    /// may be secret.
    fn request(&mut self, exchange: &Exchange, response: &str) -> io::Result<()> {
        let fields = Fields::of(&identifier(), exchange).with("WARC-Concurrent-To", response);
        let fields = fields.with("Content-Type", warc::REQUEST).cut(exchange.had_body);
        self.small("request", fields, &exchange.request)
    }

    /// Writes a record with a block that is in memory.
    fn small(&mut self, kind: &str, fields: Fields, block: &[u8]) -> io::Result<()> {
        let fields = fields.digest("WARC-Block-Digest", &[block]);
        let header = warc::header(kind, &fields.as_pairs(), block.len() as u64);
        let member = compressed(&[&header[..], block, END].concat(), Compression::default())?;
        let length = member.len() as u64;
        platform::write_all_at(self.warc, self.at, &[member.into()])?;
        self.at += length;
        Ok(())
    }

    /// Writes a record with a file. The file is read twice, because its digests are written before its bytes.
    fn record(&mut self, kind: &str, fields: Fields, block: Block<'_>) -> io::Result<()> {
        let Block { head, content, size } = block;
        let (mut of_block, mut of_payload) =
            (Hashers::new(&[Algorithm::Sha1]), Hashers::new(&[Algorithm::Sha1]));
        of_block.update(&[head]);
        let mut beginning = [&warc::header(kind, &fields.as_pairs(), size)[..], head].concat();
        each_buffer(&mut content.reader(size), |bytes| {
            let room = BEGINNING.saturating_sub(beginning.len());
            beginning.extend_from_slice(&bytes[..bytes.len().min(room)]);
            of_block.update(&[bytes]);
            of_payload.update(&[bytes]);
            Ok(())
        })?;
        let fields =
            fields.finished("WARC-Payload-Digest", of_payload).finished("WARC-Block-Digest", of_block);
        let header = warc::header(kind, &fields.as_pairs(), head.len() as u64 + size);
        let to = At { file: self.warc, at: self.at };
        let to = io::BufWriter::with_capacity(READ, to);
        let mut gzip = GzBuilder::new().extra(extra()).write(to, level(&beginning)?);
        gzip.write_all(&header)?;
        gzip.write_all(head)?;
        let mut done = 0;
        each_buffer(&mut content.reader(size), |bytes| {
            done += bytes.len() as u64;
            gzip.write_all(bytes)
        })?;
        if done != size {
            return Err(is_short());
        }
        gzip.write_all(END)?;
        let end = gzip.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.at;
        let length = (end - self.at).to_le_bytes().to_vec();
        platform::write_all_at(self.warc, self.at + LENGTH_AT as u64, &[length.into()])?;
        self.at = end;
        Ok(())
    }
}

/// Returns the level at which a record with this beginning is compressed. If the compression would save too
/// little, the record is not compressed.
fn level(beginning: &[u8]) -> io::Result<Compression> {
    let small = compressed(beginning, Compression::fast())?;
    let is_worth_it = small.len() * 100 <= beginning.len() * WORTH_IT;
    Ok(if is_worth_it { Compression::default() } else { Compression::none() })
}

/// Returns a member of gzip that contains these bytes.
fn compressed(bytes: &[u8], level: Compression) -> io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().extra(extra()).write(Vec::new(), level);
    gzip.write_all(bytes)?;
    let mut member = gzip.finish()?;
    let length = (member.len() as u64).to_le_bytes();
    member[LENGTH_AT..HEADER].copy_from_slice(&length);
    Ok(member)
}

/// Returns the extra field of a member of gzip whose length is not known yet.
fn extra() -> Vec<u8> {
    [&FIELD[..], &[0; 8]].concat()
}

/// Writes to a file at an offset. The position that the system keeps for the open file is not used.
struct At<'f> {
    file: &'f File,
    at: u64,
}

impl Write for At<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        platform::write_all_at(self.file, self.at, &[bytes.to_vec().into()])?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
