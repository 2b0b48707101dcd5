//! Settings, read once from the environment.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `AGGREGATES_TABLE` | – | name of the table FlowAggregates |
//! | `CONTROL_TABLE` | – | name of the table FlowControl |
//! | `HORIZON_DAYS` | 30 | rows older than this are counted as late and not written; 1 to 30 |
//! | `MAX_OUTPUT_BYTES` | 4294967296 | most bytes that one object may inflate to |
//! | `MAX_OUTPUT_RATIO` | 200 | most bytes that one compressed byte may inflate to, 1 MiB aside |
//! | `MAX_ROW_GROUP_BYTES` | 150994944 | most bytes of memory for a Parquet row group |

use flowlog_aws::Tables;
use flowlog_aws::env::{self, NumberError};
use flowlog_core::decode::Limits;
use flowlog_core::record::DAY_SECONDS;

/// The parser's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The two tables.
    pub tables: Tables,
    /// How late is too late, in seconds.
    pub horizon_seconds: i64,
    /// Bounds on one object.
    pub limits: Limits,
}

/// A setting that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not set.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// Not a number in its range.
    #[error(transparent)]
    Number(#[from] NumberError),
}

impl Config {
    /// Reads the settings through `lookup`, which in production is the process environment.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let required = |name| lookup(name).ok_or(ConfigError::Missing(name));
        let days = env::number(lookup, "HORIZON_DAYS", 30, 1..=30)?;
        Ok(Self {
            tables: Tables {
                aggregates: required("AGGREGATES_TABLE")?,
                control: required("CONTROL_TABLE")?,
            },
            horizon_seconds: i64::try_from(days).unwrap_or(30) * DAY_SECONDS,
            limits: Limits::configured(|name, default, range| {
                env::number(lookup, name, default, range)
            })?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "AGGREGATES_TABLE" => Some("a".to_owned()),
            "CONTROL_TABLE" => Some("c".to_owned()),
            "HORIZON_DAYS" => Some("7".to_owned()),
            "MAX_OUTPUT_BYTES" => Some("1000".to_owned()),
            "MAX_OUTPUT_RATIO" => Some("3".to_owned()),
            "MAX_ROW_GROUP_BYTES" => Some("5".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn reads_and_refuses() {
        let config = Config::from_lookup(&lookup).unwrap();
        assert_eq!((config.tables.control.as_str(), config.horizon_seconds), ("c", 604_800));
        let expected = Limits { output: 1000, ratio: 3, row_group: 5, ..Limits::default() };
        assert_eq!(config.limits, expected);
        assert_eq!(Config::from_lookup(&|_| None), Err(ConfigError::Missing("AGGREGATES_TABLE")));
        for (variable, value) in
            [("HORIZON_DAYS", "31"), ("MAX_OUTPUT_RATIO", "0"), ("MAX_OUTPUT_BYTES", "4 GiB")]
        {
            let wrong =
                |name: &str| if name == variable { Some(value.to_owned()) } else { lookup(name) };
            let error = Config::from_lookup(&wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("{variable} is {value:?}")), "{error}");
        }
    }
}
