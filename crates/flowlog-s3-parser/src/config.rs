//! Settings, read once from the environment.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `AGGREGATES_TABLE` | – | name of the table FlowAggregates |
//! | `CONTROL_TABLE` | – | name of the table FlowControl |
//! | `HORIZON_DAYS` | 30 | rows older than this are counted as late and not written; 1 to 30 |
//! | `MAX_OUTPUT_BYTES` | 4294967296 | most bytes that one object may inflate to |

use flowlog_aws::Tables;
use flowlog_core::decode::Limits;

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
    #[error("the environment variable {name} is {value:?}, expected {expected}")]
    Invalid {
        /// Which.
        name: &'static str,
        /// What it is.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl Config {
    /// Reads the settings through `lookup`, which in production is the process environment.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let required = |name| lookup(name).ok_or(ConfigError::Missing(name));
        let number = |name, default: u64, range: std::ops::RangeInclusive<u64>, expected| {
            let Some(value) = lookup(name) else { return Ok(default) };
            let parsed = value.parse().ok().filter(|n| range.contains(n));
            parsed.ok_or(ConfigError::Invalid { name, value, expected })
        };
        let days = number("HORIZON_DAYS", 30, 1..=30, "a number of days from 1 to 30")?;
        let limits = Limits::default();
        Ok(Self {
            tables: Tables {
                aggregates: required("AGGREGATES_TABLE")?,
                control: required("CONTROL_TABLE")?,
            },
            horizon_seconds: i64::try_from(days).unwrap_or(30) * 86_400,
            limits: Limits {
                output: number(
                    "MAX_OUTPUT_BYTES",
                    limits.output,
                    1..=u64::MAX,
                    "a positive number of bytes",
                )?,
                ..limits
            },
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
            _ => None,
        }
    }

    #[test]
    fn reads_and_refuses() {
        let config = Config::from_lookup(&lookup).unwrap();
        assert_eq!((config.tables.control.as_str(), config.horizon_seconds), ("c", 604_800));
        assert_eq!(Config::from_lookup(&|_| None), Err(ConfigError::Missing("AGGREGATES_TABLE")));
        let wrong =
            |name: &str| if name == "HORIZON_DAYS" { Some("31".to_owned()) } else { lookup(name) };
        assert!(Config::from_lookup(&wrong).unwrap_err().to_string().contains("\"31\""));
    }
}
