//! A line that says what the columns are: a header line, or a flow log's `LogFormat`.

use flowlog_core::format::{Column, Format, FormatError, MAX_COLUMNS, looks_like_header};
use flowlog_core::record::Field;

/// What is read as a format keeps to the limits, has each field once, and its header line is read as
/// the same format.
pub fn header(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let by_header = Format::from_header(text, MAX_COLUMNS);
    if let Ok(format) = &by_header {
        holds(format);
        let most = format.len();
        assert_eq!(Format::from_header(text, most).as_ref(), Ok(format));
        let few = Format::from_header(text, most - 1);
        assert!(matches!(few, Err(FormatError::Empty | FormatError::TooManyColumns(..))));
    }
    if let Ok(format) = Format::from_log_format(text) {
        holds(&format);
        let fields: Vec<String> =
            format.header().split(' ').map(|name| format!("${{{name}}}")).collect();
        assert_eq!(Format::from_log_format(&fields.join(" ")), Ok(format));
    }
    if looks_like_header(text) {
        let fits = matches!(
            by_header,
            Ok(_) | Err(FormatError::Duplicate(..) | FormatError::TooManyColumns(..))
        );
        assert!(fits, "{by_header:?}");
    }
}

fn holds(format: &Format) {
    assert!((1..=MAX_COLUMNS).contains(&format.len()));
    for (at, column) in format.columns().iter().enumerate() {
        match column {
            Column::Known(field) => assert_eq!(format.position(*field), Some(at)),
            Column::Unknown(name) => assert_eq!(Field::from_name(name), None),
        }
    }
    let known = Field::ALL.iter().filter(|field| format.has(**field)).count();
    assert!(known > 0);
    assert_eq!(known + format.unknown().count(), format.len());
    assert_eq!(Format::from_header(&format.header(), MAX_COLUMNS).as_ref(), Ok(format));
    assert!(format.describe().len() < 40);
}
