//! Resource policies, as far as a service's way in depends on them.
//!
//! This is no IAM engine. It answers one question: is there a statement that lets this service do this
//! to that resource, under conditions that are met as far as they can be judged here?

use serde_json::{Map, Value, json};

use super::account::text;

/// What a service wants to do.
pub(super) struct Wish<'a> {
    /// `delivery.logs.amazonaws.com`; `*` for whoever comes by an endpoint.
    pub(super) service: &'a str,
    /// `s3:PutObject`.
    pub(super) action: &'a str,
    /// An ARN; empty where the policy's owner is the only resource.
    pub(super) resource: &'a str,
    /// Values of condition keys that are known, keys in lower case. Other keys count as met.
    pub(super) context: &'a [(&'a str, &'a str)],
}

/// The statements of a policy.
#[derive(Debug, Clone, Default)]
pub(super) struct Policy {
    pub(super) statements: Vec<Value>,
    /// Its version and its name, if it has any.
    rest: Map<String, Value>,
}

impl Policy {
    /// Reads a policy's JSON text, or JSON that it was taken for; nothing is no statement.
    pub(super) fn read(document: &Value) -> Self {
        let parsed = document.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let document = parsed.as_ref().unwrap_or(document);
        let statements = match &document["Statement"] {
            Value::Array(list) => list.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        };
        let mut rest = document.as_object().cloned().unwrap_or_default();
        rest.remove("Statement");
        Self { statements, rest }
    }

    /// The text of this policy with more statements. Those that are there stay as they are, whatever they are
    /// called: a name that is taken gets a number.
    pub(super) fn with(&self, more: Vec<Value>) -> String {
        let mut statements = self.statements.clone();
        for mut statement in more {
            let name = text(&statement["Sid"]).to_owned();
            let taken = |name: &str| statements.iter().any(|s| text(&s["Sid"]) == name);
            // One more number than there are statements: not all of them can be taken.
            let numbers = 2..statements.len() + 3;
            let free = numbers.map(|n| format!("{name}{n}")).find(|numbered| !taken(numbered));
            if taken(&name) {
                statement["Sid"] = free.into();
            }
            statements.push(statement);
        }
        let mut whole = self.rest.clone();
        whole.entry("Version").or_insert_with(|| json!("2012-10-17"));
        whole.insert("Statement".to_owned(), statements.into());
        Value::Object(whole).to_string()
    }

    /// Whether a statement allows it.
    pub(super) fn allows(&self, wish: &Wish<'_>) -> bool {
        self.allowing(wish).next().is_some()
    }

    /// The statements that allow it.
    pub(super) fn allowing<'s>(&'s self, wish: &'s Wish<'s>) -> impl Iterator<Item = &'s Value> {
        self.statements.iter().filter(move |s| text(&s["Effect"]) == "Allow" && applies(s, wish))
    }

    /// The statements that forbid it, but for those that ask for TLS.
    pub(super) fn denying<'s>(&'s self, wish: &'s Wish<'s>) -> impl Iterator<Item = &'s Value> {
        self.statements
            .iter()
            .filter(move |s| text(&s["Effect"]) == "Deny" && !about_tls(s) && applies(s, wish))
    }

    /// Whether a statement turns away what comes without TLS.
    pub(super) fn insists_on_tls(&self) -> bool {
        self.statements.iter().any(|s| text(&s["Effect"]) == "Deny" && about_tls(s))
    }
}

fn about_tls(statement: &Value) -> bool {
    let condition = statement["Condition"].to_string().to_ascii_lowercase();
    condition.contains("aws:securetransport") || condition.contains("s3:tlsversion")
}

fn applies(statement: &Value, wish: &Wish<'_>) -> bool {
    let principal = &statement["Principal"];
    let known = any(principal, |p| p == "*")
        || any(&principal["Service"], |p| p == wish.service)
        || any(&principal["AWS"], |p| p == "*")
        // A policy of an endpoint may name people; who they are is not known here.
        || wish.service == "*";
    let action = any(&statement["Action"], |pattern| {
        like(&pattern.to_ascii_lowercase(), &wish.action.to_ascii_lowercase())
    });
    let resource =
        wish.resource.is_empty() || any(&statement["Resource"], |p| like(p, wish.resource));
    known && action && resource && conditions_met(&statement["Condition"], wish.context)
}

fn conditions_met(condition: &Value, context: &[(&str, &str)]) -> bool {
    let Some(operators) = condition.as_object() else { return true };
    operators.iter().all(|(operator, keys)| {
        let positive = ["StringEquals", "StringLike", "ArnEquals", "ArnLike"]
            .iter()
            .any(|known| operator.trim_end_matches("IfExists") == *known);
        let Some(keys) = keys.as_object().filter(|_| positive) else { return true };
        keys.iter().all(|(key, wanted)| {
            let key = key.to_ascii_lowercase();
            let known = context.iter().find(|(name, _)| *name == key);
            known.is_none_or(|(_, value)| any(wanted, |pattern| like(pattern, value)))
        })
    })
}

/// Whether a text, or one of a list of texts, is such.
fn any(value: &Value, such: impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(one) => such(one),
        Value::Array(list) => list.iter().any(|item| such(text(item))),
        _ => false,
    }
}

/// IAM's patterns: `*` is any run of characters, `?` any one.
pub(super) fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last star stood, and up to where it has swallowed.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, swallowed)) = star {
            star = Some((at, swallowed + 1));
            p = at + 1;
            t = swallowed + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_are_those_of_iam() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbb", false),
            ("a*b*c", "aXbYbZc", true),
            ("s3:Get?bject", "s3:GetObject", true),
            ("?", "", false),
            ("abc", "abcd", false),
            ("**", "x", true),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_statement_allows_what_it_names_under_its_conditions() {
        let policy = Policy::read(&json!(
            json!({"Statement": {
                "Effect": "Allow",
                "Principal": {"Service": ["x.amazonaws.com", "delivery.logs.amazonaws.com"]},
                "Action": "s3:Put*",
                "Resource": ["arn:aws:s3:::b/AWSLogs/1/*"],
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": ["1", "2"], "s3:x-amz-acl": "own"},
                    "ArnLike": {"AWS:SourceArn": "arn:aws:logs:*:1:*"},
                },
            }})
            .to_string()
        ));
        let wish = Wish {
            service: "delivery.logs.amazonaws.com",
            action: "s3:PutObject",
            resource: "arn:aws:s3:::b/AWSLogs/1/x.gz",
            context: &[("aws:sourceaccount", "1"), ("aws:sourcearn", "arn:aws:logs:r:1:*")],
        };
        assert!(policy.allows(&wish));
        assert!(!policy.allows(&Wish { service: "y.amazonaws.com", ..wish }));
        assert!(!policy.allows(&Wish { action: "s3:GetObject", ..wish }));
        assert!(!policy.allows(&Wish { resource: "arn:aws:s3:::b/AWSLogs/2/x", ..wish }));
        assert!(!policy.allows(&Wish { context: &[("aws:sourceaccount", "3")], ..wish }));
        assert!(
            !policy.allows(&Wish { context: &[("aws:sourcearn", "arn:aws:s3:r:1:*")], ..wish })
        );
        assert!(!Policy::read(&Value::Null).allows(&wish));
        assert!(!policy.insists_on_tls());
    }

    #[test]
    fn what_is_added_replaces_nothing() {
        let theirs = json!({"Sid": "Ours", "Effect": "Allow", "Action": "s3:GetObject"});
        let document = json!({"Version": "2008-10-17", "Id": "theirs", "Statement": theirs});
        let ours = json!({"Sid": "Ours", "Effect": "Deny"});
        let both = Policy::read(&document).with(vec![ours.clone(), ours]);
        let both: Value = serde_json::from_str(&both).unwrap();
        let expected = json!({"Version": "2008-10-17", "Id": "theirs", "Statement": [
            theirs, {"Sid": "Ours2", "Effect": "Deny"}, {"Sid": "Ours3", "Effect": "Deny"},
        ]});
        assert_eq!(both, expected);
        let first: Value = serde_json::from_str(&Policy::default().with(Vec::new())).unwrap();
        assert_eq!(first, json!({"Version": "2012-10-17", "Statement": []}));
    }

    #[test]
    fn a_refusal_without_tls_is_none_of_what_is_sent() {
        let deny = |condition: Value| {
            Policy::read(
                &json!({"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*",
                "Resource": "*", "Condition": condition}]}),
            )
        };
        let wish = Wish { service: "s", action: "s3:PutObject", resource: "r", context: &[] };
        let tls = deny(json!({"Bool": {"aws:SecureTransport": "false"}}));
        assert_eq!((tls.denying(&wish).count(), tls.insists_on_tls()), (0, true));
        let other =
            deny(json!({"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}));
        assert_eq!((other.denying(&wish).count(), other.insists_on_tls()), (1, false));
    }
}
