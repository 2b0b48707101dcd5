//! The process environment: the one place that reads it.

use std::ops::RangeInclusive;

/// The value of an environment variable; an empty one counts as unset, because a template can only
/// leave a parameter empty, not out.
#[expect(clippy::disallowed_methods, reason = "main hands this function to Config::from_lookup")]
pub fn process(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A setting that is no number in its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the environment variable {name} is {value:?}, expected a whole number from {} to {}",
    .range.start(),
    .range.end()
)]
pub struct NumberError {
    /// Which variable.
    pub name: &'static str,
    /// What it is.
    pub value: String,
    /// What it may be.
    pub range: RangeInclusive<u64>,
}

/// A number in `range`; `default` where the variable is not set.
pub fn number(
    lookup: &dyn Fn(&str) -> Option<String>,
    name: &'static str,
    default: u64,
    range: RangeInclusive<u64>,
) -> Result<u64, NumberError> {
    let Some(value) = lookup(name) else { return Ok(default) };
    let parsed = value.parse().ok().filter(|number| range.contains(number));
    parsed.ok_or(NumberError { name, value, range })
}

/// The present in epoch seconds.
#[expect(clippy::disallowed_methods, reason = "main hands this function to the handler's app")]
pub fn now() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_epoch.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
