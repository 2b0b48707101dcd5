//! Items in DynamoDB's JSON (`{"m":{"N":"2"},"b":{"B":"AgE…"}}`), which is how an embedded engine keeps them.
//!
//! What they mean is said once, where those of the SDK are read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flowlog_core::store::{LedgerEntry, PartialItem, StoreError, SummaryItem};
use serde::Deserialize;

use crate::items::{Attribute, Attributes, to_ledger, to_partial, to_summary};

/// A partial.
pub fn partial(json: &str) -> Result<PartialItem, StoreError> {
    to_partial(item(json)?)
}

/// A summary.
pub fn summary(json: &str) -> Result<SummaryItem, StoreError> {
    to_summary(item(json)?)
}

/// A ledger entry.
pub fn ledger(json: &str) -> Result<LedgerEntry, StoreError> {
    to_ledger(item(json)?)
}

/// An item: its attributes by name.
type Stored<'a> = BTreeMap<&'a str, Value<'a>>;

/// An attribute; only texts can have something in them that JSON escapes.
#[derive(Deserialize)]
enum Value<'a> {
    #[serde(borrow)]
    S(Cow<'a, str>),
    N(&'a str),
    B(&'a str),
}

impl<'a> Attributes<'a> for Stored<'a> {
    fn take(&mut self, name: &str) -> Option<Attribute<'a>> {
        Some(match self.remove(name)? {
            Value::S(text) => Attribute::S(text),
            Value::N(number) => Attribute::N(number.into()),
            Value::B(text) => STANDARD.decode(text).map_or(Attribute::Other, Attribute::B),
        })
    }

    fn has(&self, name: &str) -> bool {
        self.contains_key(name)
    }
}

fn item(json: &str) -> Result<Stored<'_>, StoreError> {
    serde_json::from_str(json).map_err(|error| StoreError::Corrupt {
        key: format!("an item of {} bytes", json.len()),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use flowlog_core::store::contract;

    use super::*;

    #[test]
    fn a_partial_is_read_and_damage_is_not() {
        let expected = contract::partial("eni-0a", 1, "object", 2);
        let json = format!(
            r#"{{"pk":{{"S":"{}"}},"sk":{{"S":"{}"}},"m":{{"N":"1"}},"t":{{"S":"P"}},
                "ar":{{"N":"3"}},"ap":{{"N":"30"}},"ab":{{"N":"18446744073709551612"}},
                "rr":{{"N":"2"}},"rp":{{"N":"20"}},"rb":{{"N":"18446744073709551613"}},
                "or":{{"N":"0"}},"op":{{"N":"0"}},"ob":{{"N":"18446744073709551615"}},
                "b":{{"B":"AAEC/wI="}}}}"#,
            expected.pk(),
            expected.sk()
        );
        assert_eq!(partial(&json).unwrap(), expected);
        for (from, to) in [("AAEC/wI=", "AAEC/wI"), ("\"B\"", "\"BS\""), ("\"N\":\"3\"", "\"N\":3")]
        {
            let damaged = json.replacen(from, to, 1);
            assert_ne!(damaged, json);
            assert!(matches!(partial(&damaged), Err(StoreError::Corrupt { .. })), "{damaged}");
        }
    }
}
