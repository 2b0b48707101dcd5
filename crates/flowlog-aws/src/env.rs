//! The process environment: the one place that reads it.

/// The value of an environment variable; an empty one counts as unset, because a template can only
/// leave a parameter empty, not out.
#[expect(clippy::disallowed_methods, reason = "main hands this function to Config::from_lookup")]
pub fn process(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The present in epoch seconds.
#[expect(clippy::disallowed_methods, reason = "main hands this function to the handler's app")]
pub fn now() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_epoch.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
