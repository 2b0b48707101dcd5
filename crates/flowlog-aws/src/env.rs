//! The process environment: the one place that reads it.

/// The value of an environment variable; an empty one counts as unset, because a template can only
/// leave a parameter empty, not out.
#[expect(clippy::disallowed_methods, reason = "main hands this function to Config::from_lookup")]
pub fn process(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
