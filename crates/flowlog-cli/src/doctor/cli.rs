//! Questions to AWS, put through AWS's own command.
//!
//! The doctor asks ten services some forty questions. `aws` speaks to all of them, and it knows
//! profiles, single sign-on, assumed roles and `AWS_ENDPOINT_URL` just as whoever runs it has set them
//! up. It is read from only: every call describes, gets, lists, filters or queries.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use flowlog_aws::env;
use serde_json::Value;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no command `aws`.
    #[error(
        "the AWS CLI is not installed: there is no command `aws` on the PATH. Get it from \
         https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html, \
         or by `pip install awscli`"
    )]
    NoCommand,
    /// AWS answered with an error.
    #[error("`aws {call}` was refused: {code}: {message}")]
    ByAws {
        /// Service and operation.
        call: String,
        /// AWS's code of the error, such as `AccessDenied`.
        code: String,
        /// What AWS says about it.
        message: String,
    },
    /// `aws` asked nobody, or got no answer: no credentials, no Region, no network.
    #[error("`aws {call}` could not ask: {message}")]
    ByCommand {
        /// Service and operation.
        call: String,
        /// What `aws` says about it.
        message: String,
    },
}

impl Refused {
    /// Whether AWS's error has one of these codes.
    pub(super) fn is(&self, codes: &[&str]) -> bool {
        matches!(self, Self::ByAws { code, .. } if codes.contains(&code.as_str()))
    }
}

/// What answers.
pub(crate) trait Aws: Sync {
    /// The JSON that `aws <words>` prints; null if it prints nothing.
    fn ask(&self, words: &[&str]) -> Result<Value, Refused>;
}

/// The command `aws`.
pub(crate) struct Cli;

impl Aws for Cli {
    fn ask(&self, words: &[&str]) -> Result<Value, Refused> {
        let mut command = Command::new("aws");
        command.args(words).args(["--output", "json"]);
        command.args(["--cli-connect-timeout", "10", "--cli-read-timeout", "60"]);
        // No pager and no questions: nobody is there. Few repetitions: somebody waits.
        command.env("AWS_PAGER", "").env("AWS_CLI_AUTO_PROMPT", "off").env("AWS_MAX_ATTEMPTS", "3");
        // The first version of the command knows the second variable only.
        if let Some(region) = env::process("AWS_REGION") {
            command.env("AWS_DEFAULT_REGION", region);
        }
        // For SQS the first version does not know this variable either.
        if let Some(url) = env::process("AWS_ENDPOINT_URL") {
            command.args(["--endpoint-url", &url]);
        }
        let call = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        let output = command.stdin(Stdio::null()).output().map_err(|error| match error.kind() {
            ErrorKind::NotFound => Refused::NoCommand,
            _ => Refused::ByCommand { call: call.clone(), message: error.to_string() },
        })?;
        if !output.status.success() {
            return Err(refusal(call, &String::from_utf8_lossy(&output.stderr)));
        }
        if output.stdout.trim_ascii().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&output.stdout).map_err(|error| Refused::ByCommand {
            call,
            message: format!("its answer is no JSON: {error}"),
        })
    }
}

/// Reads what `aws` says when it fails:
/// `An error occurred (Code) when calling the X operation (reached max retries: 2): Message`.
fn refusal(call: String, text: &str) -> Refused {
    let parsed = text.split_once("An error occurred (").and_then(|(_, rest)| {
        let (code, rest) = rest.split_once(')')?;
        let (_, rest) = rest.split_once(" operation")?;
        let (_, message) = rest.split_once(": ")?;
        // The count of retries has a colon of its own.
        let message = match message.split_once("): ") {
            Some((_, after)) if rest.starts_with(" (") => after,
            _ => message,
        };
        Some((code.to_owned(), message.trim().to_owned()))
    });
    match parsed {
        Some((code, message)) => Refused::ByAws { call, code, message },
        None => Refused::ByCommand {
            call,
            message: text.split_whitespace().collect::<Vec<_>>().join(" "),
        },
    }
}

type Answer = Arc<OnceLock<Result<Value, Refused>>>;

/// Asks every question once: what several checks want to know is one call.
pub(crate) struct Once<'a> {
    aws: &'a dyn Aws,
    known: Mutex<BTreeMap<String, Answer>>,
}

impl<'a> Once<'a> {
    pub(crate) fn new(aws: &'a dyn Aws) -> Self {
        Self { aws, known: Mutex::default() }
    }
}

impl Aws for Once<'_> {
    fn ask(&self, words: &[&str]) -> Result<Value, Refused> {
        let key = words.join("\u{0}");
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = Arc::clone(known.entry(key).or_default());
        drop(known);
        answer.get_or_init(|| self.aws.ask(words)).clone()
    }
}

/// A command line that a shell takes as these words.
pub(crate) fn command(words: &[&str]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+#%".contains(c);
    if !word.is_empty() && !word.starts_with('#') && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn errors_are_read_as_both_versions_of_the_command_write_them() {
        let said = |text: &str| match refusal("sqs get".to_owned(), text) {
            Refused::ByAws { code, message, .. } => (code, message),
            other => (String::new(), other.to_string()),
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let one = "\nAn error occurred (ValidationError) when calling the DescribeStacks \
                   operation: Stack with id x does not exist\n";
        assert_eq!(said(one), pair("ValidationError", "Stack with id x does not exist"));
        let two = "\naws: [ERROR]: An error occurred (Throttling) when calling the X operation \
                   (reached max retries: 2): Rate: too (high): now\n";
        assert_eq!(said(two), pair("Throttling", "Rate: too (high): now"));
        let three = "\nUnable to locate credentials.\n  Run aws configure.\n";
        let expected =
            "`aws sqs get` could not ask: Unable to locate credentials. Run aws configure.";
        assert_eq!(said(three), pair("", expected));
    }

    #[test]
    fn a_question_is_asked_once() {
        struct Counting(AtomicUsize);
        impl Aws for Counting {
            fn ask(&self, words: &[&str]) -> Result<Value, Refused> {
                self.0.fetch_add(1, Ordering::Relaxed);
                Ok(Value::from(words.len()))
            }
        }
        let counting = Counting(AtomicUsize::new(0));
        let once = Once::new(&counting);
        for _ in 0..3 {
            assert_eq!(once.ask(&["a", "b"]), Ok(Value::from(2)));
            assert_eq!(once.ask(&["a b"]), Ok(Value::from(1)));
        }
        assert_eq!(counting.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(command(&["aws", "s3://b/k", "", "a b"]), "aws s3://b/k '' 'a b'");
        assert_eq!(command(&["it's", "$(x)", "#1", "*"]), r"'it'\''s' '$(x)' '#1' '*'");
    }
}
