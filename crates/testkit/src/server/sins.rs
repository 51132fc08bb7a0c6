//! The list of all sins. A sin is a kind of misbehaviour. Each sin over HTTP/1.1 has a script of the same
//! name here, which answers one request and returns true if the connection stays open. The sins over HTTP/2
//! (`h2_...`) are in `h2.rs`.
//!
//! A script that misbehaves only once checks the number of earlier requests for the same target. If its
//! comment says only what the first request gets, later requests get the file as usual. The query of the URL
//! has the parameters of a script. In comments, `?rate=N` means the parameter `rate`.

mod body;
mod coded;
mod dance;
mod digests;
mod headers;
mod logins;
mod pace;
pub(super) mod quotas;
mod ranges;
mod status;
mod versions;

pub use coded::encode;

use super::exchange::Exchange;
use super::h2;
use std::io;

/// A script answers a request. It returns true if the connection can be used for another request.
type Script = fn(&mut Exchange) -> io::Result<bool>;

/// All scripts for HTTP/1.1, by the name of the sin.
const SINS: &[(&str, Script)] = &[
    ("well_behaved", well_behaved),
    ("no_validator", versions::no_validator),
    ("no_ranges", ranges::no_ranges),
    ("truncated_body", body::truncated_body),
    ("truncated_body_always", body::truncated_body_always),
    ("truncated_body_without_ranges", body::truncated_body_without_ranges),
    ("truncated_chunked_body", body::truncated_chunked_body),
    ("reset_in_mid_body", body::reset_in_mid_body),
    ("chunked_body", body::chunked_body),
    ("endless_chunk_size", body::endless_chunk_size),
    ("body_longer_than_announced", body::body_longer_than_announced),
    ("no_length", body::no_length),
    ("gzip_although_identity", headers::gzip_although_identity),
    ("gzip_when_continued", headers::gzip_when_continued),
    ("chosen_by", versions::chosen_by),
    ("changed_when_continued", versions::changed_when_continued),
    ("wrong_range_when_continued", ranges::wrong_range_when_continued),
    ("busy_once", status::busy_once),
    ("busy_always", status::busy_always),
    ("fails_once", status::fails_once),
    ("fails_always", status::fails_always),
    ("status", status::status),
    ("get_only", status::get_only),
    ("head_says_nothing", status::head_says_nothing),
    ("expired_link", status::expired_link),
    ("picks_mirrors", status::picks_mirrors),
    ("redirect", status::redirect),
    ("redirect_chain", status::redirect_chain),
    ("slow_first_byte", pace::slow_first_byte),
    ("slow_first_byte_once", pace::slow_first_byte_once),
    ("one_byte_a_second", pace::one_byte_a_second),
    ("silence_in_mid_body", pace::silence_in_mid_body),
    ("silence_in_mid_body_once", pace::silence_in_mid_body_once),
    ("pause_in_first_body", pace::pause_in_first_body),
    ("slow", pace::slow),
    ("without_validator", versions::without_validator),
    ("grows", body::grows),
    ("capped", pace::capped),
    ("silent_connection", pace::silent_connection),
    ("crawling_connection", pace::crawling_connection),
    ("refuses_the_fifth", status::refuses_the_fifth),
    ("one_request_only", status::one_request_only),
    ("gone_after_half", status::gone_after_half),
    ("ranges_ignored", ranges::ranges_ignored),
    ("ranges_ignored_later", ranges::ranges_ignored_later),
    ("wrong_part", ranges::wrong_part),
    ("superset", ranges::superset),
    ("unknown_total", ranges::unknown_total),
    ("second_connection_gets", ranges::second_connection_gets),
    ("changes_after", versions::changes_after),
    ("changes_always", versions::changes_always),
    ("shrinks", versions::shrinks),
    ("page_at_first", versions::page_at_first),
    ("huge_headers", headers::huge_headers),
    ("folded_header", headers::folded_header),
    ("two_lengths", headers::two_lengths),
    ("negative_length", headers::negative_length),
    ("huge_length", headers::huge_length),
    ("nul_in_header", headers::nul_in_header),
    ("cr_in_header", headers::cr_in_header),
    ("coded", coded::coded),
    ("head_as_given", headers::head_as_given),
    ("everything_as_a_part", ranges::everything_as_a_part),
    ("linked", digests::linked),
    ("named", headers::named),
    ("headers", headers::headers),
    ("text", headers::text),
    ("part_digests", digests::part_digests),
    ("limits_requests", quotas::limits_requests),
    ("bans", quotas::bans),
    ("says_too_much", quotas::says_too_much),
    ("uses_up_the_quota", quotas::uses_up_the_quota),
    ("login", logins::login),
    ("cookie_wall", dance::cookie_wall),
    ("granule", dance::granule),
    ("authorize", dance::authorize),
    ("callback", dance::callback),
    ("checksum", digests::checksum),
    ("checksum_wrong", digests::checksum_wrong),
    ("checksum_malformed", digests::checksum_malformed),
    ("checksum_after_a_break", digests::checksum_after_a_break),
];

/// Returns the names of all sins.
pub fn names() -> Vec<&'static str> {
    SINS.iter().map(|(name, _)| *name).chain(h2::SINS.iter().copied()).collect()
}

/// Answers with the script of this name, or with 404 if there is no such sin. If a sin of HTTP/2 is requested
/// over HTTP/1.1, the file is sent without misbehaviour.
pub(super) fn answer(sin: &str, mut exchange: Exchange) -> io::Result<bool> {
    match SINS.iter().find(|(name, _)| *name == sin) {
        Some((_, script)) => script(&mut exchange),
        None if h2::SINS.contains(&sin) => well_behaved(&mut exchange),
        None => exchange.respond("404 Not Found", &[], b"no such sin\n"),
    }
}

/// Answers with the bytes that a test stored at this path.
pub(super) fn answer_with(bytes: &[u8], mut exchange: Exchange) -> io::Result<bool> {
    exchange.respond("200 OK", &[], bytes)
}

fn well_behaved(x: &mut Exchange) -> io::Result<bool> {
    x.file(&[])
}
