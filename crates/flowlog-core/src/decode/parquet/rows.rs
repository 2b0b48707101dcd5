//! Rows of a row group, as the values of records.

use super::column::{ColumnReader, Worth};
use crate::decode::Reason;
use crate::decode::values::Values;
use crate::record::{Address, Field};

/// Where the columns of a row group stand.
#[derive(Debug)]
pub(super) struct Places([Option<u8>; Field::ALL.len()]);

impl Places {
    pub(super) fn new(columns: &[ColumnReader]) -> Self {
        let mut places = [None; Field::ALL.len()];
        for (at, column) in (0u8..).zip(columns) {
            places[column.field() as usize] = Some(at);
        }
        Self(places)
    }

    /// The column of a field.
    pub(super) fn column<'a>(
        &self,
        columns: &'a [ColumnReader],
        field: Field,
    ) -> Option<&'a ColumnReader> {
        columns.get(usize::from(self.0[field as usize]?))
    }
}

/// One of the rows that the columns have read last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) columns: &'a [ColumnReader],
    pub(super) places: &'a Places,
    pub(super) at: usize,
}

impl<'a> Row<'a> {
    fn column(self, field: Field) -> Option<&'a ColumnReader> {
        self.places.column(self.columns, field)
    }

    fn worth(self, field: Field) -> Worth {
        self.column(field).map_or(Worth::Nothing, |column| column.worth(self.at))
    }

    fn text(self, field: Field, wrong: Reason) -> Result<Option<&'a str>, Reason> {
        match self.worth(field) {
            Worth::Nothing => Ok(None),
            Worth::Bad(reason) => Err(reason),
            Worth::Text(at, length) => {
                let text = self.column(field).and_then(|column| column.text(at, length));
                text.map(Some).ok_or(wrong)
            }
            _ => Err(wrong),
        }
    }
}

impl<'a> Values<'a> for Row<'a> {
    fn number(&self, field: Field) -> Result<Option<u64>, Reason> {
        match self.worth(field) {
            Worth::Nothing => Ok(None),
            Worth::Bad(reason) => Err(reason),
            Worth::Number(number) => Ok(Some(number)),
            _ => Err(Reason::BadNumber),
        }
    }

    fn address(&self, field: Field) -> Result<Option<Address>, Reason> {
        match self.worth(field) {
            Worth::Nothing => Ok(None),
            Worth::Bad(reason) => Err(reason),
            Worth::Address(address) => Ok(Some(address)),
            _ => Err(Reason::BadAddress),
        }
    }

    fn identifier(&self, field: Field) -> Result<Option<&'a str>, Reason> {
        self.text(field, Reason::BadIdentifier)
    }

    fn word(&self, field: Field) -> Result<Option<&'a str>, Reason> {
        self.text(field, Reason::NotText)
    }
}
