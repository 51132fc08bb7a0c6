//! [`Params`]: the parameters of a call, by position.

use crate::fault::Fault;
use crate::options::Options;
use serde_json::Value;

/// The parameters of a call, without the token. The first parameter has the position 0. The methods return a
/// fault if a parameter has a wrong type, or if a required parameter is missing. An optional parameter that
/// is `null` counts as missing.
pub struct Params(pub Vec<Value>);

impl Params {
    /// Returns the text at a position.
    pub fn text(&self, at: usize) -> Result<&str, Fault> {
        self.required(at)?.as_str().ok_or_else(|| wrong_type(at))
    }

    /// Returns the whole number at a position. Some clients send it as a text.
    pub fn number(&self, at: usize) -> Result<i64, Fault> {
        number(self.required(at)?).ok_or_else(|| wrong_type(at))
    }

    /// Returns the whole number at a position, if there is one.
    pub fn optional_number(&self, at: usize) -> Result<Option<i64>, Fault> {
        self.optional(at).map(|value| number(value).ok_or_else(|| wrong_type(at))).transpose()
    }

    /// Returns the texts of the list at a position. Items that are not texts are left out, as in aria2.
    pub fn texts(&self, at: usize) -> Result<Vec<String>, Fault> {
        let list = self.required(at)?.as_array().ok_or_else(|| wrong_type(at))?;
        Ok(list.iter().filter_map(Value::as_str).map(String::from).collect())
    }

    /// Returns the texts of the list at a position. If there is no such parameter, returns no texts.
    pub fn optional_texts(&self, at: usize) -> Result<Vec<String>, Fault> {
        if self.optional(at).is_some() { self.texts(at) } else { Ok(Vec::new()) }
    }

    /// Returns the options of a download at a position. If there is no such parameter, returns no options.
    pub fn options(&self, at: usize) -> Result<Options, Fault> {
        self.options_with(at, Options::of_download)
    }

    /// Returns the options of the daemon at a position. If there is no such parameter, returns no options.
    pub fn global_options(&self, at: usize) -> Result<Options, Fault> {
        self.options_with(at, Options::from_client)
    }

    fn options_with(
        &self,
        at: usize,
        read: impl Fn(&Value) -> Result<Options, Fault>,
    ) -> Result<Options, Fault> {
        match self.optional(at) {
            None => Ok(Options::default()),
            Some(value @ Value::Object(_)) => read(value),
            Some(_) => Err(wrong_type(at)),
        }
    }

    fn optional(&self, at: usize) -> Option<&Value> {
        self.0.get(at).filter(|value| !value.is_null())
    }

    fn required(&self, at: usize) -> Result<&Value, Fault> {
        let missing = || Fault::refused(format!("The parameter at {at} is required but missing."));
        self.0.get(at).ok_or_else(missing)
    }
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn wrong_type(at: usize) -> Fault {
    Fault::refused(format!("The parameter at {at} has wrong type."))
}
