//! Names of interfaces, by EC2.
//!
//! Two questions, `DescribeNetworkInterfaces` and `DescribeTags`, in EC2's query protocol over the
//! SDK's own orchestrator. EC2's SDK crate is left out: it would take longer to build than everything
//! else together. What is not answered in time is not asked again for a while, and never holds an
//! alert up.

mod xml;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use flowlog_core::alert::{Directory, LookUp, Subject};
use flowlog_core::detect::Identity;
use flowlog_core::record::Address;
use futures_util::future::try_join3;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{Instant, timeout};

use crate::error::{CallError, chain};
use crate::{env, sdk};

/// EC2's interface has this version since 2016.
const VERSION: &str = "2016-11-15";
/// All questions of one look-up together.
const PATIENCE: Duration = Duration::from_secs(1);
/// An answer holds for so long; that nothing is known, for as long as a spell.
const HOLDS: Duration = Duration::from_hours(1);
/// At most so many look-ups in a spell, and none for a spell after one that failed.
const MOST: u32 = 10;
const SPELL: Duration = Duration::from_mins(5);
/// Subjects that are remembered.
const REMEMBERED: usize = 1_000;

/// Everybody whom a subject may mean.
type Known = BTreeMap<Subject, Vec<Identity>>;

/// EC2 as a directory. Not shared between threads.
#[derive(Debug)]
pub struct Ec2Directory {
    config: SdkConfig,
    known: RefCell<BTreeMap<Subject, (Instant, Vec<Identity>)>>,
    /// When the spell began, and how many look-ups it had.
    spell: Cell<(Instant, u32)>,
}

impl Ec2Directory {
    /// Asks with this configuration.
    pub fn new(config: &SdkConfig) -> Self {
        Self {
            config: config.clone(),
            known: RefCell::default(),
            spell: Cell::new((Instant::now(), 0)),
        }
    }

    /// Whether one more look-up may be made.
    fn may_ask(&self) -> bool {
        let (mut begun, mut asked) = self.spell.get();
        if begun.elapsed() >= SPELL {
            (begun, asked) = (Instant::now(), 0);
        }
        let may = asked < MOST;
        self.spell.set((begun, asked.saturating_add(u32::from(may))));
        may
    }

    async fn ask(&self, subjects: &[Subject]) -> Result<Known, CallError> {
        let ids = subjects.iter().filter_map(|subject| match subject {
            Subject::Interface(id) => Some(id.clone()),
            Subject::Address(_) => None,
        });
        let addresses = |v6: bool| {
            subjects.iter().filter_map(move |subject| match subject {
                Subject::Address(address) if matches!(address, Address::V6(_)) == v6 => {
                    Some(address.to_string())
                }
                _ => None,
            })
        };
        // Filters, not ids: an unknown id would be an error.
        let asked = try_join3(
            self.interfaces("network-interface-id", ids.collect()),
            self.interfaces("addresses.private-ip-address", addresses(false).collect()),
            self.interfaces("ipv6-addresses.ipv6-address", addresses(true).collect()),
        );
        let (by_id, by_v4, by_v6) = asked.await?;
        let mut interfaces: Vec<xml::Interface> =
            by_id.into_iter().chain(by_v4).chain(by_v6).collect();
        interfaces.sort();
        interfaces.dedup();
        let mut instances: Vec<String> = interfaces.iter().map(|i| i.instance_id.clone()).collect();
        instances.retain(|id| !id.is_empty());
        instances.sort();
        instances.dedup();
        let tags = self.tags(instances).await?;
        let of = |subject: &Subject| {
            let its = interfaces.iter().filter(|interface| interface.is(subject));
            (subject.clone(), its.map(|interface| interface.identity(&tags)).collect())
        };
        Ok(subjects.iter().map(of).collect())
    }

    async fn interfaces(
        &self,
        filter: &str,
        values: Vec<String>,
    ) -> Result<Vec<xml::Interface>, CallError> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self.call("DescribeNetworkInterfaces", &[(filter, values)]).await?;
        xml::interfaces(&answer).map_err(|e| CallError::new("DescribeNetworkInterfaces", chain(&e)))
    }

    /// Names and owners of instances.
    async fn tags(&self, instances: Vec<String>) -> Result<xml::Tags, CallError> {
        if instances.is_empty() {
            return Ok(xml::Tags::default());
        }
        let keys = xml::KEYS.map(str::to_owned).to_vec();
        let filters = [("resource-id", instances), ("key", keys)];
        let answer = self.call("DescribeTags", &filters).await?;
        xml::tags(&answer).map_err(|e| CallError::new("DescribeTags", chain(&e)))
    }

    /// One question; the answer's text.
    async fn call(
        &self,
        action: &'static str,
        filters: &[(&str, Vec<String>)],
    ) -> Result<String, CallError> {
        let failed = |detail: String| CallError::new(action, detail);
        let endpoint = sdk::ec2_endpoint(&self.config)
            .ok_or_else(|| failed("no region is configured".to_owned()))?;
        let http = self.config.http_client().ok_or_else(|| failed("no HTTP client".to_owned()))?;
        let request = self.sign(&endpoint, form(action, filters)).await.map_err(failed)?;
        let operation = Operation::builder()
            .service_name("EC2")
            .operation_name(action)
            .http_client(http)
            .endpoint_url(&endpoint)
            .no_auth()
            .no_retry()
            .serializer(|request: Signed| request.into_request())
            .deserializer(|response: &HttpResponse| text(response))
            .build();
        operation.invoke(request).await.map_err(|error| failed(chain(&error)))
    }

    async fn sign(&self, endpoint: &str, body: String) -> Result<Signed, String> {
        let provider = self.config.credentials_provider().ok_or("no credentials")?;
        let credentials = provider.provide_credentials().await.map_err(|e| chain(&e))?;
        let identity = credentials.into();
        let region = self.config.region().map_or("us-east-1", |region| region.as_ref());
        let now = Duration::from_secs(u64::try_from(env::now()).unwrap_or(0));
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("ec2")
            .time(UNIX_EPOCH + now)
            .settings(SigningSettings::default())
            .build()
            .map_err(|e| chain(&e))?
            .into();
        let uri = format!("{endpoint}/");
        let headers = [("content-type", FORM)];
        let body_bytes = SignableBody::Bytes(body.as_bytes());
        let request = SignableRequest::new("POST", uri.as_str(), headers.into_iter(), body_bytes)
            .map_err(|e| chain(&e))?;
        let (instructions, _) = sign(request, &params).map_err(|e| chain(&e))?.into_parts();
        let signed =
            instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Signed { headers: signed.collect(), body })
    }
}

impl Directory for Ec2Directory {
    fn look_up<'a>(&'a self, subjects: &'a [Subject]) -> LookUp<'a> {
        Box::pin(async move {
            let missing: Vec<Subject> = {
                let mut known = self.known.borrow_mut();
                known.retain(|_, (until, _)| Instant::now() < *until);
                subjects.iter().filter(|subject| !known.contains_key(*subject)).cloned().collect()
            };
            if !missing.is_empty() && self.may_ask() {
                let answer = timeout(PATIENCE, self.ask(&missing)).await;
                let answer = answer
                    .unwrap_or_else(|_| Err(CallError::new("EC2", "no answer within a second")));
                match answer {
                    Ok(mut found) => {
                        let mut known = self.known.borrow_mut();
                        if known.len() + missing.len() > REMEMBERED {
                            known.clear();
                        }
                        for subject in missing {
                            let all = found.remove(&subject).unwrap_or_default();
                            let holds = if all.is_empty() { SPELL } else { HOLDS };
                            known.insert(subject, (Instant::now() + holds, all));
                        }
                    }
                    Err(error) => {
                        tracing::warn!(error = %error, "alerts show ids, not names, for five minutes");
                        self.spell.set((Instant::now(), MOST));
                    }
                }
            }
            let known = self.known.borrow();
            let of = |subject: &Subject| Some((subject.clone(), known.get(subject)?.1.clone()));
            subjects.iter().filter_map(of).collect()
        })
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Filters are numbered from one, and so are the values of each.
fn form(action: &str, filters: &[(&str, Vec<String>)]) -> String {
    let mut form = format!("Action={action}&Version={VERSION}");
    for (n, (name, values)) in (1..).zip(filters) {
        // Writing to a String cannot fail.
        let _ = write!(form, "&Filter.{n}.Name={name}");
        for (m, value) in (1..).zip(values) {
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
            let _ = write!(form, "&Filter.{n}.Value.{m}={value}");
        }
    }
    form
}

/// A request that has its signature.
#[derive(Debug)]
struct Signed {
    headers: Vec<(String, String)>,
    body: String,
}

impl Signed {
    fn into_request(self) -> Result<HttpRequest, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = HttpRequest::new(SdkBody::from(self.body));
        request.set_method("POST")?;
        request.set_uri("/")?;
        let headers = request.headers_mut();
        headers.try_append("content-type", FORM)?;
        for (name, value) in self.headers {
            headers.try_append(name, value)?;
        }
        Ok(request)
    }
}

/// The text of an answer, or what was wrong.
fn text(response: &HttpResponse) -> Result<String, OrchestratorError<CallError>> {
    let body = response.body().bytes().unwrap_or_default();
    let text = String::from_utf8_lossy(body).into_owned();
    if response.status().is_success() {
        return Ok(text);
    }
    // Codes are words; what else EC2 says may name people.
    let code = xml::error_code(&text).unwrap_or_else(|| "no error code".to_owned());
    let detail = format!("{code} (HTTP {})", response.status().as_u16());
    Err(OrchestratorError::operation(CallError::new("EC2", detail)))
}

#[cfg(test)]
mod tests;
