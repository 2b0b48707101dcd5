//! Settings, read once from the environment.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `AGGREGATES_TABLE` | – | name of the table FlowAggregates |
//! | `CONTROL_TABLE` | – | name of the table FlowControl |
//! | `TOPIC_ARN` | – | SNS topic for alerts |
//! | `ALERT_COOLDOWN_SECONDS` | 3600 | the same alert is not repeated for so long |
//! | `ALERT_BUDGET_PER_HOUR` | 20 | notifications per hour; a quarter is kept for high severity |
//! | `ALERT_CHAT` | `no` | `yes`: HTTPS subscribers are a chat, and get its custom notifications |
//! | `ALERT_NAMES` | `no` | `yes`: EC2 is asked who interfaces and addresses are |
//! | `RULES` | – | a rules file (TOML); without it the one that `flowlog rules put` stored |

use flowlog_aws::Tables;
use flowlog_core::alert::Policy;

/// The alerter's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The two tables.
    pub tables: Tables,
    /// Where alerts go.
    pub topic_arn: String,
    /// How often.
    pub policy: Policy,
    /// HTTPS subscribers are a chat.
    pub chat: bool,
    /// EC2 may be asked for names.
    pub names: bool,
    /// A rules file.
    pub rules: Option<String>,
}

/// A setting that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not set.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// Not a number.
    #[error("the environment variable {0} is {1:?}, expected a whole number from 0 to 1000000")]
    Number(&'static str, String),
}

impl Config {
    /// Reads the settings through `lookup`, which in production is the process environment.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let required = |name| lookup(name).ok_or(ConfigError::Missing(name));
        let number = |name, default: u32| match lookup(name) {
            None => Ok(default),
            Some(text) => {
                text.parse().ok().filter(|n| *n <= 1_000_000).ok_or(ConfigError::Number(name, text))
            }
        };
        let budget = number("ALERT_BUDGET_PER_HOUR", Policy::default().budget_per_hour)?;
        Ok(Self {
            tables: Tables {
                aggregates: required("AGGREGATES_TABLE")?,
                control: required("CONTROL_TABLE")?,
            },
            topic_arn: required("TOPIC_ARN")?,
            policy: Policy {
                cooldown: i64::from(number("ALERT_COOLDOWN_SECONDS", 3600)?),
                budget_per_hour: budget,
                reserved_for_high: budget / 4,
                ..Policy::default()
            },
            chat: lookup("ALERT_CHAT").is_some_and(|text| text == "yes"),
            names: lookup("ALERT_NAMES").is_some_and(|text| text == "yes"),
            rules: lookup("RULES").filter(|text| !text.trim().is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_refuses() {
        let config = Config::from_lookup(&|name| match name {
            "ALERT_COOLDOWN_SECONDS" => Some("60".to_owned()),
            "ALERT_BUDGET_PER_HOUR" => None,
            other => Some(other.to_lowercase()),
        });
        let config = config.unwrap();
        assert_eq!((config.policy.cooldown, config.policy.budget_per_hour), (60, 20));
        assert_eq!(config.topic_arn, "topic_arn");
        assert_eq!(config.policy.reserved_for_high, 5);
        assert_eq!((config.chat, config.names), (false, false));
        assert_eq!(config.rules.as_deref(), Some("rules"));
        assert_eq!(
            Config::from_lookup(&|_| Some("-1".to_owned())).unwrap_err(),
            ConfigError::Number("ALERT_BUDGET_PER_HOUR", "-1".to_owned())
        );
    }
}
