//! Settings, read once from the environment.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `AGGREGATES_TABLE` | – | name of the table FlowAggregates |
//! | `CONTROL_TABLE` | – | name of the table FlowControl |
//! | `LOG_FORMAT` | the default (version 2) format | the flow log's `LogFormat`; several are separated by `;` |
//! | `HORIZON_DAYS` | 30 | rows older than this are counted as late and not written; 1 to 30 |

use flowlog_aws::Tables;
use flowlog_aws::env::{self, NumberError};
use flowlog_core::decode::Limits;
use flowlog_core::format::{Format, FormatError};
use flowlog_core::record::DAY_SECONDS;

/// The subscriber's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The two tables.
    pub tables: Tables,
    /// The formats that messages may have.
    pub formats: Vec<Format>,
    /// How late is too late, in seconds.
    pub horizon_seconds: i64,
    /// Bounds on one payload.
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
    /// No flow log format.
    #[error("the environment variable LOG_FORMAT is no flow log format: {0}")]
    LogFormat(#[from] FormatError),
}

impl Config {
    /// Reads the settings through `lookup`, which in production is the process environment.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let required = |name| lookup(name).ok_or(ConfigError::Missing(name));
        let days = env::number(lookup, "HORIZON_DAYS", 30, 1..=30)?;
        let formats = match lookup("LOG_FORMAT") {
            None => vec![Format::default_v2()],
            Some(text) => text
                .split(';')
                .filter(|format| !format.trim().is_empty())
                .map(Format::from_log_format)
                .collect::<Result<_, _>>()?,
        };
        if formats.is_empty() {
            return Err(FormatError::Empty.into());
        }
        Ok(Self {
            tables: Tables {
                aggregates: required("AGGREGATES_TABLE")?,
                control: required("CONTROL_TABLE")?,
            },
            formats,
            horizon_seconds: i64::try_from(days).unwrap_or(30) * DAY_SECONDS,
            limits: Limits::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(log_format: &'static str) -> Result<Config, ConfigError> {
        Config::from_lookup(&|name| match name {
            "LOG_FORMAT" => (!log_format.is_empty()).then(|| log_format.to_owned()),
            "HORIZON_DAYS" => None,
            table => Some(table.to_owned()),
        })
    }

    #[test]
    fn formats() {
        assert_eq!(with("").unwrap().formats, [Format::default_v2()]);
        assert_eq!(with("${version} ${start}; ${start} ${vpc-id}").unwrap().formats.len(), 2);
        assert_eq!(with("nonsense"), Err(ConfigError::LogFormat(FormatError::NoKnownField(1))));
        assert_eq!(with(" ; "), Err(ConfigError::LogFormat(FormatError::Empty)));
    }
}
