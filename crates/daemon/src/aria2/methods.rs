//! Carries out the methods of aria2.
//!
//! Invariant: no method runs before its token was checked, except the two that return lists of names.
//! `system.multicall` itself needs no token, and the calls in it are checked one by one.

use super::names::{METHODS, NOTIFICATIONS};
use super::params::Params;
use super::{VERSION, status};
use crate::daemon::{Daemon, now};
use crate::entry::{Entry, State as EntryState};
use crate::fault::Fault;
use crate::gid::Gid;
use crate::item::Item;
use crate::queue::{Place, Sequence};
use crate::state::{Changed, Edit, State};
use crate::uri;
use crate::web::Token;
use serde_json::{Value, json};
use std::sync::Arc;

/// The highest number of calls in a batch. The size of a request is limited too.
const CALLS_MOST: usize = 10_000;

/// The highest number of calls of one request that return lists of names. These calls need no token, and
/// their answers are long.
const LISTS_MOST: usize = 16;

/// Carries out the calls of one request.
pub struct Caller<'a> {
    daemon: &'a Daemon,
    token: &'a Token,
    /// True if the token of a call was accepted. If the daemon has no secret, a call with any token or
    /// without a token is accepted.
    pub accepted: bool,
    /// True if a call had a wrong token, or lacked a token that it needs.
    refused: bool,
    /// The number of calls that returned a list of names.
    lists: usize,
    /// The names of the two fields of a fault within `system.multicall`: its code and its message.
    fault: (&'static str, &'static str),
}

impl<'a> Caller<'a> {
    /// Returns a caller whose calls need this token.
    pub fn new(daemon: &'a Daemon, token: &'a Token) -> Self {
        Caller { daemon, token, accepted: false, refused: false, lists: 0, fault: ("code", "message") }
    }

    /// Gives the fields of faults within `system.multicall` the names that XML-RPC demands.
    #[must_use]
    pub fn for_xml(self) -> Self {
        Caller { fault: ("faultCode", "faultString"), ..self }
    }

    /// Returns true if a call had a wrong token, or lacked a token that it needs. The answer is then delayed
    /// or replaced.
    pub fn was_refused(&self) -> bool {
        self.refused
    }

    /// Checks the size of a batch.
    ///
    /// # Errors
    /// Returns a fault if there are too many calls.
    pub fn check_batch(calls: usize) -> Result<(), Fault> {
        let fault = || Fault::refused(format!("A batch may have at most {CALLS_MOST} calls."));
        (calls <= CALLS_MOST).then_some(()).ok_or_else(fault)
    }

    /// Carries out one call.
    ///
    /// # Errors
    /// Returns the reason why the call was not carried out. If aria2 has a text for this reason, the fault
    /// has that text.
    pub fn call(&mut self, method: &str, mut params: Vec<Value>) -> Result<Value, Fault> {
        match method {
            "system.listMethods" => return self.list(&METHODS),
            "system.listNotifications" => return self.list(&NOTIFICATIONS),
            "system.multicall" => return self.multicall(&params),
            _ if !METHODS.contains(&method) => {
                return Err(Fault::refused(format!("No such method: {method}")));
            }
            _ => {}
        }
        let token = params.first().and_then(Value::as_str).and_then(|first| first.strip_prefix("token:"));
        let (given, is_right) = (token.is_some(), self.token.accepts(token));
        if given {
            params.remove(0);
        }
        // After a wrong or missing token, no token of the same request is accepted. Otherwise, one request
        // could try many tokens, because the answer to a request is delayed only once.
        if !is_right || self.refused {
            self.refused = true;
            return Err(Fault::refused("Unauthorized"));
        }
        self.accepted = true;
        self.carry_out(method, &Params(params))
    }

    /// Returns these names as a list, and counts the call.
    fn list(&mut self, names: &[&str]) -> Result<Value, Fault> {
        self.lists += 1;
        let fault = || Fault::refused(format!("A request may ask for names at most {LISTS_MOST} times."));
        (self.lists <= LISTS_MOST).then(|| json!(names)).ok_or_else(fault)
    }

    /// Carries out the calls of `system.multicall`. The answer to each call is a list with one value, or a
    /// fault.
    fn multicall(&mut self, params: &[Value]) -> Result<Value, Fault> {
        let calls = params.iter().find_map(Value::as_array);
        let calls = calls.ok_or_else(|| Fault::refused("The parameter at 0 is required but missing."))?;
        Caller::check_batch(calls.len())?;
        let answers = calls.iter().map(|call| {
            let (method, params) = (call["methodName"].as_str(), call["params"].as_array());
            let answer = match method {
                None => Err(Fault::refused("methodName is missing.")),
                Some("system.multicall") => Err(Fault::refused("Recursive system.multicall forbidden.")),
                Some(method) => self.call(method, params.cloned().unwrap_or_default()),
            };
            match answer {
                Ok(value) => json!([value]),
                Err(fault) => json!({ self.fault.0: fault.code, self.fault.1: fault.message }),
            }
        });
        Ok(answers.collect())
    }

    // This function is long because it is the list of all methods.
    fn carry_out(&self, method: &str, params: &Params) -> Result<Value, Fault> {
        let change = |change: &dyn Fn(&mut State) -> Changed<()>| self.daemon.change(change);
        match method {
            "aria2.addUri" => self.add_uri(params),
            "aria2.addMetalink" => self.add_metalink(params),
            "aria2.addTorrent" => Err(Fault::refused("downhaul does not support BitTorrent.")),
            "aria2.remove" | "aria2.forceRemove" => {
                let gid = self.gid(params)?;
                change(&|state| state.remove(gid, now()))?;
                Ok(text(gid))
            }
            "aria2.pause" | "aria2.forcePause" => {
                let gid = self.gid(params)?;
                change(&|state| state.pause(&[gid]))?;
                Ok(text(gid))
            }
            "aria2.unpause" => {
                let gid = self.gid(params)?;
                change(&|state| state.resume(&[gid]))?;
                Ok(text(gid))
            }
            "aria2.pauseAll" | "aria2.forcePauseAll" => {
                change(&State::pause_all)?;
                Ok(ok())
            }
            "aria2.unpauseAll" => {
                change(&State::resume_all)?;
                Ok(ok())
            }
            "aria2.changePosition" => self.change_position(params),
            "aria2.changeUri" => self.change_uri(params),
            "aria2.changeOption" => {
                let (gid, options) = (self.gid(params)?, params.options(1)?);
                let edit = Edit { options: Some(options), ..Edit::default() };
                change(&|state| state.edit(gid, edit.clone()))?;
                Ok(ok())
            }
            "aria2.changeGlobalOption" => {
                let options = params.global_options(0)?;
                change(&|state| state.change_all(&options))?;
                Ok(ok())
            }
            "aria2.removeDownloadResult" => {
                let gid = self.gid(params)?;
                change(&|state| state.forget(&[gid]))?;
                Ok(ok())
            }
            "aria2.purgeDownloadResult" => {
                change(&State::forget_all)?;
                Ok(ok())
            }
            "aria2.tellStatus" => {
                let (gid, keys) = (self.gid(params)?, params.optional_texts(1)?);
                self.with(gid, |state, entry| Ok(status::of(state, entry, &keys)))
            }
            "aria2.tellActive" => {
                let (state, keys) = (self.daemon.state(), params.optional_texts(0)?);
                Ok(state
                    .queue()
                    .iter(Sequence::Active)
                    .map(|entry| status::of(&state, entry, &keys))
                    .collect())
            }
            "aria2.tellWaiting" => self.tell_some(params, Sequence::Queued),
            "aria2.tellStopped" => self.tell_some(params, Sequence::Over),
            "aria2.getUris" => self.with(self.gid(params)?, |_, entry| {
                let over = || Fault::refused(format!("No URI data is available for GID#{}", entry.gid));
                (!entry.state.is_over()).then(|| status::uris(entry)).ok_or_else(over)
            }),
            "aria2.getFiles" => self.with(self.gid(params)?, |state, entry| Ok(status::files(state, entry))),
            "aria2.getServers" => self.with(self.gid(params)?, |state, entry| {
                if entry.state != EntryState::Active {
                    return Err(Fault::refused(format!("No active download for GID#{}", entry.gid)));
                }
                let (uri, speed) = (entry.shown_uris().next(), state.current(entry).speed.to_string());
                let server = json!({ "uri": uri, "currentUri": uri, "downloadSpeed": speed });
                Ok(json!([{ "index": "1", "servers": [server] }]))
            }),
            "aria2.getPeers" => {
                let gid = self.gid(params)?;
                Err(Fault::refused(format!("No peer data is available for GID#{gid}")))
            }
            "aria2.getOption" => {
                self.with(self.gid(params)?, |state, entry| Ok(state.shown_options_of(entry).into()))
            }
            "aria2.getGlobalOption" => Ok(self.daemon.state().shown_options().into()),
            "aria2.getGlobalStat" => Ok(self.global_stat()),
            "aria2.getVersion" => Ok(json!({ "version": VERSION, "enabledFeatures": features() })),
            "aria2.getSessionInfo" => Ok(json!({ "sessionId": self.daemon.state().session() })),
            // This call writes the session file. The daemon itself does not need the file, because every
            // change is in its store already.
            "aria2.saveSession" => self.daemon.save_session().map(|()| ok()),
            "aria2.shutdown" | "aria2.forceShutdown" => {
                self.daemon.stop();
                Ok(ok())
            }
            _ => Err(Fault::refused(format!("No such method: {method}"))),
        }
    }

    fn add_uri(&self, params: &Params) -> Result<Value, Fault> {
        let (uris, options, position) = (params.texts(0)?, params.options(1)?, position(params, 2)?);
        let item = Item::new(uris, options);
        let gid = self.daemon.change(|state| state.add(item, position, now()))?;
        Ok(text(gid))
    }

    /// Adds a download for each file of a Metalink document.
    fn add_metalink(&self, params: &Params) -> Result<Value, Fault> {
        let (document, options, position) = (params.text(0)?, params.options(1)?, position(params, 2)?);
        let mut items = super::json::metalink(super::json::document(document)?)?;
        // Several downloads cannot have the same identifier.
        let options = if items.len() > 1 { options.without(&["gid"]) } else { options };
        for item in &mut items {
            item.options = item.options.above(&options);
        }
        let gids = self.daemon.change(|state| state.add_document(items, position, now()))?;
        Ok(gids.into_iter().map(text).collect())
    }

    fn change_position(&self, params: &Params) -> Result<Value, Fault> {
        let (gid, number, how) = (self.gid(params)?, params.number(1)?, params.text(2)?);
        let place = match how {
            "POS_SET" => Place::FromFront(number),
            "POS_CUR" => Place::FromHere(number),
            "POS_END" => Place::FromEnd(number),
            _ => return Err(Fault::refused("Illegal argument.")),
        };
        let at = self.daemon.change(|state| state.move_to(gid, place))?;
        Ok(at.into())
    }

    /// Removes URLs of a download and adds others. Returns how many were removed and added.
    fn change_uri(&self, params: &Params) -> Result<Value, Fault> {
        let (gid, file) = (self.gid(params)?, params.number(1)?);
        let (removed, added) = (params.texts(2)?, params.texts(3)?);
        if file != 1 {
            return Err(Fault::refused(format!("fileIndex is out of range: {file}")));
        }
        let at = params.optional_number(4)?.map(|at| usize::try_from(at).unwrap_or_default());
        let counts = self.daemon.change(|state| {
            let mut uris = state.queue().get(gid).map(|entry| entry.uris.clone()).unwrap_or_default();
            let before = uris.len();
            // As in aria2, URLs that cannot be used are left out.
            let added = uri::meant(added, &uris).into_iter();
            let added: Vec<String> = added.filter_map(|one| uri::checked(&[one]).ok()?.pop()).collect();
            for removed in uri::meant(removed, &uris) {
                if let Some(at) = uris.iter().position(|other| *other == removed) {
                    uris.remove(at);
                }
            }
            let counts = (before - uris.len(), added.len());
            let at = at.unwrap_or(uris.len()).min(uris.len());
            uris.splice(at..at, added);
            let ((), effects) = state.edit(gid, Edit { uris: Some(uris), ..Edit::default() })?;
            Ok((counts, effects))
        })?;
        Ok(json!([counts.0, counts.1]))
    }

    /// Describes some downloads of a sequence. A negative offset counts from the end, and the downloads are
    /// then returned in reverse order.
    fn tell_some(&self, params: &Params, sequence: Sequence) -> Result<Value, Fault> {
        let (offset, number, keys) = (params.number(0)?, params.number(1)?, params.optional_texts(2)?);
        let number = usize::try_from(number).map_err(|_| Fault::refused("num must be at least 0."))?;
        let state = self.daemon.state();
        let describe = |entry: &Arc<Entry>| status::of(&state, entry, &keys);
        let queue = state.queue();
        Ok(match usize::try_from(offset) {
            Ok(offset) => queue.forward_from(sequence, offset).take(number).map(describe).collect(),
            Err(_) => {
                let skipped = usize::try_from(offset.unsigned_abs() - 1).unwrap_or(usize::MAX);
                queue.back_from(sequence, skipped).take(number).map(describe).collect()
            }
        })
    }

    fn global_stat(&self) -> Value {
        let state = self.daemon.state();
        let number = |sequence| state.queue().len(sequence).to_string();
        json!({
            "downloadSpeed": state.speed().to_string(),
            "uploadSpeed": "0",
            "numActive": number(Sequence::Active),
            "numWaiting": number(Sequence::Queued),
            "numStopped": number(Sequence::Over),
            "numStoppedTotal": state.ended().to_string(),
        })
    }

    /// Returns the identifier of the download that the first parameter names.
    fn gid(&self, params: &Params) -> Result<Gid, Fault> {
        Ok(self.daemon.state().queue().find(params.text(0)?)?.gid)
    }

    fn with(
        &self,
        gid: Gid,
        describe: impl FnOnce(&State, &Entry) -> Result<Value, Fault>,
    ) -> Result<Value, Fault> {
        let state = self.daemon.state();
        describe(&state, state.known(gid)?)
    }
}

/// Returns the position of a new download in the queue, if the client states one.
fn position(params: &Params, at: usize) -> Result<Option<i64>, Fault> {
    let position = params.optional_number(at)?;
    match position {
        Some(position) if position < 0 => Err(Fault::refused("Position must be greater than or equal to 0.")),
        position => Ok(position),
    }
}

/// Returns the features of downhaul for which aria2 has names.
fn features() -> [&'static str; 5] {
    ["GZip", "HTTPS", "Message Digest", "Metalink", "XML-RPC"]
}

fn text(gid: Gid) -> Value {
    gid.to_string().into()
}

fn ok() -> Value {
    "OK".into()
}
