//! Items as DynamoDB has them: the core's values ⇄ attribute maps.
//!
//! Reading takes an item apart, so that a blob is moved and not copied. What cannot be read is
//! [`StoreError::Corrupt`]: it was written by something else, or by a later version.

use std::borrow::Cow;
use std::str::FromStr;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flowlog_core::rollup::{ActionTotals, Sums};
use flowlog_core::store::item::{self, Claim, Completion};
use flowlog_core::store::summary::{Part, SummaryError};
use flowlog_core::store::{
    DirectoryEntry, LedgerEntry, LedgerState, PartialItem, Series, StateItem, StoreError,
    SummaryItem,
};

/// An item, as the SDK has it.
#[expect(clippy::disallowed_types, reason = "the SDK's own type; its order never leaves here")]
pub(crate) type Item = std::collections::HashMap<String, AttributeValue>;

/// A string attribute.
pub(crate) fn s(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number attribute.
pub(crate) fn n(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A key of either table.
pub(crate) fn key(pk: impl Into<String>, sk: impl Into<String>) -> Item {
    Item::from([("pk".to_owned(), s(pk)), ("sk".to_owned(), s(sk))])
}

fn with<const N: usize>(mut item: Item, attributes: [(&str, AttributeValue); N]) -> Item {
    item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
    item
}

/// Names of the readable totals: accepted, rejected, other.
const TOTALS: [[&str; 3]; 3] = [["ar", "ap", "ab"], ["rr", "rp", "rb"], ["or", "op", "ob"]];

pub(crate) fn of_partial(partial: &PartialItem) -> Item {
    let mut item = with(
        key(partial.pk(), partial.sk()),
        [
            ("t", s("P")),
            ("m", n(partial.mapping)),
            ("b", AttributeValue::B(Blob::new(partial.blob.clone()))),
            ("ttl", n(partial.ttl())),
        ],
    );
    let ActionTotals { accept, reject, other } = &partial.totals;
    for (names, sums) in TOTALS.into_iter().zip([accept, reject, other]) {
        for (name, value) in names.into_iter().zip([sums.records, sums.packets, sums.bytes]) {
            item.insert(name.to_owned(), n(value));
        }
    }
    item
}

pub(crate) fn to_partial<'a>(item: impl Attributes<'a>) -> Result<PartialItem, StoreError> {
    let mut reader = Reader::new(item);
    let named = Series::parse_pk(reader.pk()?).zip(Part::parse_sk(reader.sk()?));
    let named = named.filter(|((_, day), part)| *day == part.window.day());
    let ((series, _), Part { window, batch, chunk }) =
        named.ok_or_else(|| reader.corrupt("no key of a partial"))?;
    let mut sums = [Sums::default(); 3];
    for (sums, [records, packets, bytes]) in sums.iter_mut().zip(TOTALS) {
        sums.records = reader.number(records)?;
        sums.packets = reader.number(packets)?;
        sums.bytes = reader.number(bytes)?;
    }
    let [accept, reject, other] = sums;
    Ok(PartialItem {
        series,
        window,
        batch,
        chunk,
        mapping: reader.number("m")?,
        totals: ActionTotals { accept, reject, other },
        blob: reader.bytes("b")?,
    })
}

pub(crate) fn of_summary(summary: &SummaryItem) -> Item {
    let item = with(
        key(summary.pk(), summary.sk()),
        [
            ("t", s("S")),
            ("v", n(summary.version)),
            ("ids", AttributeValue::B(Blob::new(summary.packed_parts()))),
            ("w", AttributeValue::B(Blob::new(summary.packed_windows()))),
            ("b", AttributeValue::B(Blob::new(summary.blob.clone()))),
            ("ttl", n(summary.ttl())),
        ],
    );
    if summary.whole { with(item, [("f", n(1))]) } else { item }
}

pub(crate) fn to_summary<'a>(item: impl Attributes<'a>) -> Result<SummaryItem, StoreError> {
    let mut reader = Reader::new(item);
    let named = Series::parse_pk(reader.pk()?).zip(SummaryItem::parse_sk(reader.sk()?));
    let ((series, _), hour) = named.ok_or_else(|| reader.corrupt("no key of a summary"))?;
    let (ids, windows) = (reader.bytes("ids")?, reader.bytes("w")?);
    let parts = SummaryItem::unpack_parts(hour, &ids);
    let windows = SummaryItem::unpack_windows(&windows);
    let corrupt = |error: SummaryError| reader.corrupt(&error.to_string());
    Ok(SummaryItem {
        series,
        hour,
        parts: parts.map_err(corrupt)?,
        windows: windows.map_err(corrupt)?,
        version: reader.number("v")?,
        blob: reader.bytes("b")?,
        whole: reader.has("f"),
    })
}

pub(crate) fn of_directory(entry: &DirectoryEntry) -> Item {
    with(key(entry.pk(), entry.sk()), [("t", s("D")), ("ttl", n(entry.ttl()))])
}

pub(crate) fn of_claim(claim: &Claim) -> Item {
    let item = with(
        key(item::ledger_pk(claim.batch), item::LEDGER_SK),
        [
            ("st", s(LedgerState::Claimed.letter())),
            ("m", n(claim.mapping)),
            ("et", s(&claim.etag)),
            ("k", s(&claim.origin)),
            ("ttl", n(claim.ttl)),
        ],
    );
    match claim.horizon {
        Some(horizon) => with(item, [("hz", n(horizon))]),
        None => item,
    }
}

/// The entry of a quarantined delivery in their list, if that is what the ledger's item says.
pub(crate) fn of_quarantine(ledger: Item) -> Result<Option<Item>, StoreError> {
    let mut reader = Reader::new(ledger);
    if reader.text("st")? != LedgerState::Quarantined.letter() {
        return Ok(None);
    }
    let ttl: i64 = reader.number("ttl")?;
    let batch = reader.pk()?.strip_prefix("O#");
    let batch = batch.ok_or_else(|| reader.corrupt("no key of a ledger entry"))?;
    Ok(Some(with(key(item::QUARANTINE_PK, batch), [("t", s("Q")), ("ttl", n(ttl))])))
}

pub(crate) fn to_ledger<'a>(item: impl Attributes<'a>) -> Result<LedgerEntry, StoreError> {
    let mut reader = Reader::new(item);
    let state = reader.text("st")?;
    let state = LedgerState::from_letter(&state)
        .ok_or_else(|| reader.corrupt(&format!("unknown state {state:?}")))?;
    let completion = if reader.has("h") { Some(to_completion(&mut reader)?) } else { None };
    Ok(LedgerEntry {
        state,
        mapping: reader.number("m")?,
        etag: reader.text("et")?,
        origin: reader.text("k")?,
        horizon: reader.optional_number("hz")?,
        completion,
        reason: reader.has("q").then(|| reader.text("q")).transpose()?,
    })
}

fn to_completion<'a>(
    reader: &mut Reader<'a, impl Attributes<'a>>,
) -> Result<Completion, StoreError> {
    let counts = reader.text("c")?;
    Ok(Completion {
        counts: serde_json::from_str(&counts).map_err(|e| reader.corrupt(&format!("c: {e}")))?,
        partials: reader.number("np")?,
        digest: reader.text("h")?,
    })
}

pub(crate) fn of_state(state: &StateItem) -> Item {
    with(
        key(item::state_pk(&state.kind), &state.subject),
        [("v", n(state.version)), ("b", s(&state.body)), ("ttl", n(state.ttl))],
    )
}

pub(crate) fn to_state(item: Item) -> Result<StateItem, StoreError> {
    let mut reader = Reader::new(item);
    let kind = reader.pk()?.strip_prefix("A#").map(str::to_owned);
    Ok(StateItem {
        kind: kind.ok_or_else(|| reader.corrupt("no key of a state"))?,
        subject: reader.sk()?.to_owned(),
        version: reader.number("v")?,
        body: reader.text("b")?,
        ttl: reader.number("ttl")?,
    })
}

/// An item whose attributes can be taken out of it.
pub(crate) trait Attributes<'a> {
    /// The attribute of this name, which is then gone.
    fn take(&mut self, name: &str) -> Option<Attribute<'a>>;

    /// Whether it is there.
    fn has(&self, name: &str) -> bool;
}

/// The kinds of attributes that our items have.
pub(crate) enum Attribute<'a> {
    /// A string.
    S(Cow<'a, str>),
    /// A number.
    N(Cow<'a, str>),
    /// Binary.
    B(Vec<u8>),
    /// Anything else.
    Other,
}

impl Attributes<'static> for Item {
    fn take(&mut self, name: &str) -> Option<Attribute<'static>> {
        Some(match self.remove(name)? {
            AttributeValue::S(text) => Attribute::S(text.into()),
            AttributeValue::N(number) => Attribute::N(number.into()),
            AttributeValue::B(blob) => Attribute::B(blob.into_inner()),
            _ => Attribute::Other,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.contains_key(name)
    }
}

/// Takes an item apart; every error names the item's key.
pub(crate) struct Reader<'a, A> {
    item: A,
    key: [Option<Cow<'a, str>>; 2],
}

impl<'a, A: Attributes<'a>> Reader<'a, A> {
    pub(crate) fn new(mut item: A) -> Self {
        let key = ["pk", "sk"].map(|name| match item.take(name)? {
            Attribute::S(text) => Some(text),
            _ => None,
        });
        Self { item, key }
    }

    pub(crate) fn pk(&self) -> Result<&str, StoreError> {
        self.key[0].as_deref().ok_or_else(|| self.corrupt("pk should be a string"))
    }

    pub(crate) fn sk(&self) -> Result<&str, StoreError> {
        self.key[1].as_deref().ok_or_else(|| self.corrupt("sk should be a string"))
    }

    fn text(&mut self, name: &str) -> Result<String, StoreError> {
        match self.item.take(name) {
            Some(Attribute::S(text)) => Ok(text.into_owned()),
            other => Err(self.wrong(name, "a string", other.as_ref())),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.item.has(name)
    }

    fn bytes(&mut self, name: &str) -> Result<Vec<u8>, StoreError> {
        match self.item.take(name) {
            Some(Attribute::B(bytes)) => Ok(bytes),
            other => Err(self.wrong(name, "binary", other.as_ref())),
        }
    }

    fn number<T: FromStr>(&mut self, name: &str) -> Result<T, StoreError> {
        match self.optional_number(name)? {
            Some(number) => Ok(number),
            None => Err(self.wrong(name, "a number", None)),
        }
    }

    fn optional_number<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, StoreError> {
        let Some(value) = self.item.take(name) else { return Ok(None) };
        let number = match &value {
            Attribute::N(text) => text.parse().ok(),
            _ => None,
        };
        number.map(Some).ok_or_else(|| self.wrong(name, "a number in range", Some(&value)))
    }

    /// Says what is there by its type only: values are not for error messages.
    fn wrong(&self, name: &str, expected: &str, found: Option<&Attribute<'_>>) -> StoreError {
        let found = match found {
            None => "absent",
            Some(Attribute::S(_)) => "a string",
            Some(Attribute::N(_)) => "another number",
            Some(_) => "of another type",
        };
        self.corrupt(&format!("{name} should be {expected} and is {found}"))
    }

    pub(crate) fn corrupt(&self, reason: &str) -> StoreError {
        let [pk, sk] = self.key.each_ref().map(|part| part.as_deref().unwrap_or("?"));
        StoreError::Corrupt { key: format!("{pk}/{sk}"), reason: reason.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowlog_core::store::contract;

    /// `name=value` of every attribute, sorted: what is stored, for people.
    fn listed(item: &Item) -> Vec<String> {
        let mut lines: Vec<String> = item
            .iter()
            .map(|(name, value)| match value {
                AttributeValue::S(text) => format!("{name} S {text}"),
                AttributeValue::N(number) => format!("{name} N {number}"),
                AttributeValue::B(blob) => format!("{name} B {:?}", blob.as_ref()),
                other => panic!("{other:?}"),
            })
            .collect();
        lines.sort();
        lines
    }

    /// What is in the tables of every installation. A change here needs a migration.
    #[test]
    fn golden_items() {
        let partial = contract::partial("eni-0a", 1, "object", 2);
        let batch = partial.batch;
        assert_eq!(
            listed(&of_partial(&partial)),
            [
                "ab N 18446744073709551612",
                "ap N 30",
                "ar N 3",
                "b B [0, 1, 2, 255, 2]",
                "m N 1",
                "ob N 18446744073709551615",
                "op N 0",
                "or N 0",
                "pk S E#fl-c0#eni-0a#20261101",
                "rb N 18446744073709551613",
                "rp N 20",
                "rr N 2",
                &format!("sk S W1793491500#P#{batch}#002"),
                "t S P",
                "ttl N 1796515800",
            ]
        );
        let claim = contract::claim("object");
        assert_eq!(
            listed(&of_claim(&claim)),
            [
                "et S etag-1",
                "hz N 1790899200",
                "k S s3://contract/object",
                "m N 1",
                &format!("pk S O#{batch}"),
                "sk S L",
                "st S C",
                "ttl N 1796947200",
            ]
        );
        let source =
            DirectoryEntry::Source { day: "20261101".to_owned(), source: partial.series.source };
        let directory = of_directory(&source);
        assert_eq!(
            listed(&directory),
            ["pk S D", "sk S 20261101#fl-c0", "t S D", "ttl N 1828137600"]
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let partial = contract::partial("eni-0a", 1, "object", 1234);
        assert_eq!(to_partial(of_partial(&partial)).unwrap(), partial);
        let entry = to_ledger(of_claim(&contract::claim("object"))).unwrap();
        assert_eq!((entry.state, entry.completion), (LedgerState::Claimed, None));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let mut item = of_partial(&contract::partial("eni-0a", 1, "object", 1));
        item.insert("m".to_owned(), n(256));
        let error = to_partial(item).unwrap_err();
        assert!(!error.is_retryable());
        let text = error.to_string();
        assert!(text.contains("E#fl-c0#eni-0a#20261101/W1793491500#P#"), "{text}");
        assert!(text.ends_with("m should be a number in range and is another number"), "{text}");

        let mut item = of_claim(&contract::claim("object"));
        item.insert("st".to_owned(), s("Z"));
        assert!(matches!(to_ledger(item), Err(StoreError::Corrupt { .. })));
    }
}
