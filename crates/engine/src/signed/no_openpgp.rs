//! Replaces `openpgp.rs` in builds without OpenPGP, where OpenPGP keys are refused. Invariant:
//! [`Certificates::read`] always fails, so no other function of this file is ever called.

use downhaul_core::error::Error;
use std::io::Read;

pub(crate) enum Certificates {}

pub(crate) enum Signature {}

impl Certificates {
    pub(super) fn read(_file: &[u8]) -> Result<Certificates, &'static str> {
        Err("it is in the format of OpenPGP, which needs a build with --features openpgp")
    }

    pub(super) fn signature(&self, _file: &[u8]) -> Result<Signature, String> {
        match *self {}
    }

    pub(super) fn message(&self, _text: &[u8]) -> Result<Option<(Vec<u8>, Signature)>, String> {
        match *self {}
    }
}

impl Signature {
    pub(super) fn by(&self) -> &str {
        match *self {}
    }

    pub(super) fn check_text(&self, _text: &[u8], _at: &str) -> Result<(), Error> {
        match *self {}
    }

    pub(super) fn check_file(&self, _file: Box<dyn Read>, _at: &str) -> Result<(), Error> {
        match *self {}
    }
}
