//! The account as the checks see it: a stack's names, and whoever answers questions.

use std::collections::BTreeMap;

use serde_json::Value;

use super::cli::{Aws, Refused, command};

/// A deployed stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stack {
    pub(super) name: String,
    pub(super) partition: String,
    pub(super) region: String,
    pub(super) account: String,
    pub(super) status: String,
    pub(super) outputs: BTreeMap<String, String>,
    pub(super) parameters: BTreeMap<String, String>,
}

/// Outputs without which a stack is none of ours.
const NEEDED: [&str; 13] = [
    "LogBucketName",
    "RejectLogGroupName",
    "AggregatesTable",
    "ControlTable",
    "AlertTopicArn",
    "IngestQueueUrl",
    "IngestDeadLettersUrl",
    "CwlSubscriberFailuresUrl",
    "AnomalyAlerterFailuresUrl",
    "S3ParserFunctionName",
    "CwlSubscriberFunctionName",
    "AnomalyAlerterFunctionName",
    "LogFormat",
];

/// Why there is nothing to check.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoStack {
    /// AWS did not say.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It is another stack.
    #[error(
        "the stack {stack} has no output {output}: it is not flowlog's, or was never deployed to its \
         end (`aws cloudformation describe-stack-events --stack-name {stack}`)"
    )]
    NotOurs {
        /// Its name.
        stack: String,
        /// The first output that is missing.
        output: &'static str,
    },
    /// Its ARN cannot be read.
    #[error("AWS describes the stack {0} in a way that cannot be understood")]
    Odd(String),
}

impl Stack {
    /// Looks the stack up.
    pub(super) fn find(aws: &dyn Aws, name: &str) -> Result<Self, NoStack> {
        let answer = aws.ask(&["cloudformation", "describe-stacks", "--stack-name", name])?;
        let stack = &answer["Stacks"][0];
        // arn:aws:cloudformation:us-east-1:123456789012:stack/flowlog/…
        let arn: Vec<&str> = text(&stack["StackId"]).split(':').collect();
        let [_, partition, _, region, account, ..] = arn[..] else {
            return Err(NoStack::Odd(name.to_owned()));
        };
        let pairs = |list: &Value, key: &str, value: &str| {
            list_of(list)
                .iter()
                .map(|pair| (text(&pair[key]).to_owned(), text(&pair[value]).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let found = Self {
            name: name.to_owned(),
            partition: partition.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            status: text(&stack["StackStatus"]).to_owned(),
            outputs: pairs(&stack["Outputs"], "OutputKey", "OutputValue"),
            parameters: pairs(&stack["Parameters"], "ParameterKey", "ParameterValue"),
        };
        match NEEDED.into_iter().find(|output| found.output(output).is_empty()) {
            Some(output) => Err(NoStack::NotOurs { stack: name.to_owned(), output }),
            None => Ok(found),
        }
    }

    /// An output's value, empty if there is none.
    pub(super) fn output(&self, name: &str) -> &str {
        self.outputs.get(name).map_or("", String::as_str)
    }

    /// A parameter's value, empty if there is none.
    pub(super) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    pub(super) fn bucket(&self) -> &str {
        self.output("LogBucketName")
    }

    /// The bucket that flowlog was attached to, if any.
    pub(super) fn existing_bucket(&self) -> Option<&str> {
        Some(self.parameter("ExistingBucketName")).filter(|name| !name.is_empty())
    }

    /// The line that deploys this stack with one parameter changed, from a clone. By `make`, which deploys
    /// functions into what they were built for; whatever it and the shells would take for their own is
    /// kept from them.
    pub(super) fn deploy(&self, parameter: &str, value: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
        let word = if !value.is_empty() && value.chars().all(plain) {
            format!("{parameter}={value}")
        } else {
            // For the shell that `make` starts, then for `make`.
            let mut word = format!("{parameter}=\"{value}\"");
            for special in ["\\", "\"", "$", "`"] {
                word = word.replace(special, &format!("\\{special}"));
            }
            format!("\"{}\"", word.replace('$', "$$"))
        };
        let stack = format!("STACK={}", self.name);
        let mut words = vec!["make", "deploy", &stack];
        if self.parameter("Architecture") == "arm64" {
            words.push("ARCHITECTURE=arm64");
        }
        let arguments = format!("--parameter-overrides {word}");
        format!("{} ARGS={}", command(&words), command(&[&arguments]))
    }

    /// The ARN of a bucket, or of keys in it (`bucket/key*`).
    pub(super) fn bucket_arn(&self, path: &str) -> String {
        format!("arn:{}:s3:::{path}", self.partition)
    }

    /// An ARN of this account and Region.
    pub(super) fn arn(&self, service: &str, resource: &str) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

/// What a check is given.
pub(super) struct Account<'a> {
    pub(super) aws: &'a dyn Aws,
    pub(super) stack: Stack,
    /// The present, in epoch seconds.
    pub(super) now: i64,
}

impl Account<'_> {
    pub(super) fn ask(&self, words: &[&str]) -> Result<Value, Refused> {
        self.aws.ask(words)
    }

    /// The deployed configuration of a function that this output names.
    pub(super) fn function(&self, output: &str) -> Result<Value, Refused> {
        let name = self.stack.output(output);
        self.ask(&["lambda", "get-function-configuration", "--function-name", name])
    }

    /// The attributes of a queue that this output names.
    pub(super) fn queue(&self, output: &str) -> Result<Value, Refused> {
        let url = self.stack.output(output);
        let asked = ["sqs", "get-queue-attributes", "--queue-url", url, "--attribute-names", "All"];
        Ok(self.ask(&asked)?["Attributes"].take())
    }
}

/// A text, empty if it is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A list, empty if it is none.
pub(crate) fn list_of(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A number, which SQS writes as text.
pub(super) fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| text(value).parse().ok()).unwrap_or(0)
}
