//! Reads calls and writes answers in XML (XML-RPC, <http://xmlrpc.com/spec.md>).
//!
//! A value becomes the value that a call in JSON would have. Texts, numbers, booleans, base64, lists and
//! structures are read, because clients of aria2 send them. A value of another type is read as a text. Every
//! text in an answer is marked as `<string>`, because some clients need it.

use super::methods::Caller;
use crate::fault::Fault;
use quick_xml::escape::escape;
use quick_xml::events::Event;
use quick_xml::reader::Reader;
use serde_json::{Map, Value};
use std::fmt::Write;

/// The deepest nesting of elements that is read.
const DEEPEST: usize = 128;

/// Answers a call. Faults are answers too, so the HTTP status is always 200.
pub fn answer(caller: &mut Caller<'_>, body: &[u8]) -> String {
    let answer = read(body).and_then(|(method, params)| caller.call(&method, params));
    let mut text = String::from("<?xml version=\"1.0\"?><methodResponse>");
    match answer {
        Ok(value) => {
            text.push_str("<params><param>");
            write(&mut text, &value);
            text.push_str("</param></params>");
        }
        Err(fault) => {
            let fault = serde_json::json!({ "faultCode": fault.code, "faultString": fault.message });
            text.push_str("<fault>");
            write(&mut text, &fault);
            text.push_str("</fault>");
        }
    }
    text + "</methodResponse>"
}

/// Appends a value as XML.
fn write(to: &mut String, value: &Value) {
    to.push_str("<value>");
    // Writing to a text cannot fail.
    let _ = match value {
        Value::Null => write!(to, "<string></string>"),
        Value::Bool(value) => write!(to, "<boolean>{}</boolean>", u8::from(*value)),
        Value::Number(number) => write!(to, "<int>{number}</int>"),
        Value::String(text) => write!(to, "<string>{}</string>", escape(text)),
        Value::Array(items) => {
            to.push_str("<array><data>");
            items.iter().for_each(|item| write(to, item));
            write!(to, "</data></array>")
        }
        Value::Object(members) => {
            to.push_str("<struct>");
            for (name, value) in members {
                let _ = write!(to, "<member><name>{}</name>", escape(name));
                write(to, value);
                to.push_str("</member>");
            }
            write!(to, "</struct>")
        }
    };
    to.push_str("</value>");
}

/// Reads a call: the method and its parameters.
fn read(body: &[u8]) -> Result<(String, Vec<Value>), Fault> {
    let text = std::str::from_utf8(body).map_err(|_| Fault::parse_error())?;
    let call = Element::read(text).ok_or_else(Fault::parse_error)?;
    let method = call.child("methodName").map(|name| name.text.trim().to_string());
    let method = method.filter(|method| !method.is_empty()).ok_or_else(Fault::invalid_request)?;
    let params = call.child("params").into_iter().flat_map(|params| params.children("param"));
    let values = params.map(|param| param.child("value").map(|value| value.value()).unwrap_or_default());
    Ok((method, values.collect()))
}

/// An element of a document, with its text and its elements.
#[derive(Default)]
struct Element {
    name: String,
    text: String,
    elements: Vec<Element>,
}

impl Element {
    /// Reads the call in a document. Returns `None` if the document is not well-formed, is nested too deeply,
    /// has a document type, or has no call.
    fn read(text: &str) -> Option<Element> {
        let mut reader = Reader::from_str(text);
        let mut open = vec![Element::default()];
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) if open.len() <= DEEPEST => {
                    let name = start.local_name().into_inner().to_string();
                    open.push(Element { name, ..Element::default() });
                }
                Event::Start(_) => return None,
                Event::End(_) => {
                    let ended = open.pop()?;
                    open.last_mut()?.elements.push(ended);
                }
                Event::Empty(empty) => {
                    let name = empty.local_name().into_inner().to_string();
                    open.last_mut()?.elements.push(Element { name, ..Element::default() });
                }
                Event::Text(text) => open.last_mut()?.text.push_str(&text),
                Event::GeneralRef(name) => open.last_mut()?.text.push(reference(&name)?),
                Event::CData(text) => open.last_mut()?.text.push_str(&text),
                Event::Eof => break,
                // A document type could define texts of any size, so it is not allowed.
                Event::DocType(_) => return None,
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            }
        }
        let root = open.pop().filter(|_| open.is_empty())?;
        root.elements.into_iter().find(|element| element.name == "methodCall")
    }

    fn child(&self, name: &str) -> Option<&Element> {
        self.elements.iter().find(|element| element.name == name)
    }

    fn children<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Element> {
        self.elements.iter().filter(move |element| element.name == name)
    }

    /// Returns the value in an element `value`. A value without a type is a text.
    fn value(&self) -> Value {
        let Some(typed) = self.elements.first() else { return self.text.as_str().into() };
        match typed.name.as_str() {
            "int" | "i4" | "i8" => typed.text.trim().parse::<i64>().map_or(Value::Null, Value::from),
            "boolean" => (typed.text.trim() == "1").into(),
            "double" => typed.text.trim().parse::<f64>().map_or(Value::Null, Value::from),
            "array" => {
                let data = typed.child("data").into_iter().flat_map(|data| data.children("value"));
                data.map(Element::value).collect()
            }
            "struct" => {
                let members = typed.children("member").filter_map(|member| {
                    Some((member.child("name")?.text.clone(), member.child("value")?.value()))
                });
                Value::Object(members.collect::<Map<_, _>>())
            }
            // The methods read base64 themselves, as they do in JSON. Line ends in base64 have no meaning.
            "base64" => typed.text.split_whitespace().collect::<String>().into(),
            _ => typed.text.as_str().into(),
        }
    }
}

/// Returns the character for the name of a reference, such as `amp` or `#x62`. Returns `None` if the name is
/// not known.
fn reference(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(params: &str) -> Option<Vec<Value>> {
        let text = format!(
            "<?xml version=\"1.0\"?>\n<methodCall>\n <methodName> m </methodName>\n <params>{params}</params>\n</methodCall>"
        );
        read(text.as_bytes()).ok().map(|(_, params)| params)
    }

    #[test]
    fn values_are_the_same_as_in_json() {
        let params = "<param><value>a &amp; &#x62;</value></param><param>\n<value> <int>-3</int> </value></param>
            <param><value><array><data><value><string>x</string></value><value><boolean>1</boolean></value></data></array></value></param>
            <param><value><struct><member><name>k</name><value><base64>YQ ==</base64></value></member></struct></value></param>
            <param><value><string/></value></param>";
        let expected = vec![json!("a & b"), json!(-3), json!(["x", true]), json!({ "k": "YQ==" }), json!("")];
        assert_eq!(call(params), Some(expected));
        let mut text = String::new();
        write(&mut text, &json!({ "a<": ["&", 1, true] }));
        assert_eq!(
            text,
            "<value><struct><member><name>a&lt;</name><value><array><data><value><string>&amp;</string></value>\
             <value><int>1</int></value><value><boolean>1</boolean></value></data></array></value></member></struct></value>"
        );
    }

    #[test]
    fn a_document_that_is_wrong_or_dangerous_is_refused() {
        for text in [
            "",
            "<methodCall>",
            "<other/>",
            "<methodCall><params/></methodCall>",
            "x",
            "<!DOCTYPE m [<!ENTITY a \"b\">]><methodCall><methodName>m</methodName></methodCall>",
            "<methodCall><methodName>&a;</methodName></methodCall>",
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        let deep = "<value><array><data>".repeat(1000);
        assert!(call(&format!("<param>{deep}</param>")).is_none());
    }
}
