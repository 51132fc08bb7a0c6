//! Reads calls and writes answers in JSON (JSON-RPC 2.0). As in aria2, the version of the protocol in a call
//! is not checked, because many clients send a wrong version. Only the members `id`, `method` and `params` of
//! a call are read.

use super::methods::Caller;
use crate::facts;
use crate::fault::Fault;
use crate::item::Item;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use downhaul_engine::core::list::metalink::Metalink;
use downhaul_engine::{Error, ErrorKind};
use serde_json::{Value, json};

/// An answer with its HTTP status.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Answers the body of a request: one call, or a batch.
pub fn answer(caller: &mut Caller<'_>, body: &[u8]) -> Answer {
    match serde_json::from_slice(body) {
        Ok(call) => answer_value(caller, &call),
        Err(_) => Answer::of(&Value::Null, Err(Fault::parse_error())),
    }
}

/// Answers one call, or a batch.
pub fn answer_value(caller: &mut Caller<'_>, call: &Value) -> Answer {
    let Value::Array(calls) = call else {
        let (id, result) = one(caller, call);
        return Answer::of(&id, result);
    };
    if let Err(fault) = Caller::check_batch(calls.len()) {
        return Answer::of(&Value::Null, Err(fault));
    }
    let answers = calls.iter().map(|call| {
        let (id, result) = one(caller, call);
        object(&id, result)
    });
    Answer { status: 200, body: answers.collect::<Value>().to_string() }
}

/// Answers the query of a GET request. The query has the name of the method, the identifier of the call, and
/// the parameters as JSON in base64. If it has no method, the parameters are a call or a batch.
pub fn answer_query(caller: &mut Caller<'_>, query: &[(String, String)]) -> Answer {
    let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let params = match value("params").map(decode).transpose() {
        Ok(params) => params,
        Err(fault) => return Answer::of(&Value::Null, Err(fault)),
    };
    let Some(method) = value("method") else {
        return match params {
            Some(batch) => answer_value(caller, &batch),
            None => Answer::of(&Value::Null, Err(Fault::invalid_request())),
        };
    };
    let mut call = json!({ "method": method, "id": value("id") });
    if let Some(params) = params {
        call["params"] = params;
    }
    answer_value(caller, &call)
}

/// Returns the notification with this method about the download with this `gid`.
pub fn notification(method: &str, gid: &str) -> String {
    json!({ "jsonrpc": "2.0", "method": method, "params": [{ "gid": gid }] }).to_string()
}

fn decode(text: &str) -> Result<Value, Fault> {
    let bytes = decode_base64(text).ok_or_else(Fault::parse_error)?;
    serde_json::from_slice(&bytes).map_err(|_| Fault::parse_error())
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    // A plus sign that a client did not encode arrives as a blank.
    let text = text.replace(' ', "+");
    BASE64_STANDARD.decode(&text).or_else(|_| BASE64_STANDARD_NO_PAD.decode(&text)).ok()
}

fn one(caller: &mut Caller<'_>, call: &Value) -> (Value, Result<Value, Fault>) {
    let Some(id) = call.get("id") else { return (Value::Null, Err(Fault::invalid_request())) };
    let Some(method) = call["method"].as_str() else { return (id.clone(), Err(Fault::invalid_request())) };
    let params = match call.get("params") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(params)) => params.clone(),
        Some(_) => return (id.clone(), Err(Fault::invalid_params())),
    };
    (id.clone(), caller.call(method, params))
}

fn object(id: &Value, result: Result<Value, Fault>) -> Value {
    match result {
        Ok(result) => json!({ "id": id, "jsonrpc": "2.0", "result": result }),
        Err(fault) => {
            json!({ "id": id, "jsonrpc": "2.0", "error": { "code": fault.code, "message": fault.message } })
        }
    }
}

impl Answer {
    fn of(id: &Value, result: Result<Value, Fault>) -> Answer {
        let status = result.as_ref().map_or_else(Fault::http_status, |_| 200);
        Answer { status, body: object(id, result).to_string() }
    }
}

/// Reads the document that a client sent in base64.
///
/// # Errors
/// Returns a fault if the text is not base64.
pub fn document(text: &str) -> Result<Vec<u8>, Fault> {
    decode_base64(text).ok_or_else(|| Fault::refused("The document is not base64."))
}

/// Returns the downloads of a Metalink document, one for each file. If the entry of a file cannot be used,
/// the reason is in [`Item::fault`].
///
/// # Errors
/// Returns a fault if the document cannot be read to its end, or has no files.
pub fn metalink(document: Vec<u8>) -> Result<Vec<Item>, Fault> {
    let items: Result<Vec<Item>, Fault> =
        Metalink::new(document).map(|(_, job)| facts::item_of_entry(job)).collect();
    let empty = || Error::new(ErrorKind::ListUnreadable, "", "the document has no files").into();
    Some(items?).filter(|items| !items.is_empty()).ok_or_else(empty)
}
