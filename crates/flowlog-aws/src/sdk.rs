//! The SDK's configuration, from the environment and nothing else.
//!
//! `aws-config` and its chain of providers are left out: Lambda gives region and credentials in the
//! environment, start-up is counted in milliseconds, and a laptop fills the same variables by
//! `aws configure export-credentials --format env`.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as CredentialsFuture;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_smithy_http_client::Builder as HttpClientBuilder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
pub use aws_types::SdkConfig;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

/// Attempts at one request, the first included.
const ATTEMPTS: u32 = 5;
/// The variable that overrides every service's endpoint, and the stem of those for one service.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";
/// Services that have an override of their own: the SDK's id, and what follows the stem.
const SERVICES: [(&str, &str); 5] = [
    ("DynamoDB", "AWS_ENDPOINT_URL_DYNAMODB"),
    ("DynamoDB Streams", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"),
    ("EC2", "AWS_ENDPOINT_URL_EC2"),
    ("S3", "AWS_ENDPOINT_URL_S3"),
    ("SNS", "AWS_ENDPOINT_URL_SNS"),
];

/// The configuration that these variables describe: `AWS_REGION` (or `AWS_DEFAULT_REGION`),
/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, and as overrides
/// `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL_DYNAMODB_STREAMS`,
/// `AWS_ENDPOINT_URL_EC2`, `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL_SNS`.
pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> SdkConfig {
    let region = lookup("AWS_REGION").or_else(|| lookup("AWS_DEFAULT_REGION"));
    let endpoints =
        Endpoints(SERVICES.iter().filter_map(|(id, name)| Some((*id, lookup(name)?))).collect());
    let tls = Provider::Rustls(CryptoMode::Ring);
    let mut config = base()
        .http_client(HttpClientBuilder::new().tls_provider(tls).build_https())
        .credentials_provider(SharedCredentialsProvider::new(Environment::read(lookup)))
        .region(region.map(Region::new))
        .service_config(endpoints);
    config.set_endpoint_url(lookup(ENDPOINT));
    config.build()
}

/// The configuration for a server on this machine, over plain HTTP and with no secret.
pub fn local(endpoint: &str) -> SdkConfig {
    without_secret()
        .http_client(HttpClientBuilder::new().build_http())
        .endpoint_url(endpoint)
        .build()
}

/// The status and the body of a response; `None` from a database that is closed.
pub type Answer = Pin<Box<dyn Future<Output = Option<(u16, String)>> + Send>>;

/// The configuration for a database in this process: `ask` is given an operation's name and a request's body, and
/// nothing goes over a network, where others could ask, too.
pub fn in_process(ask: impl Fn(&str, &[u8]) -> Answer + Send + Sync + 'static) -> SdkConfig {
    let client = InProcess(Arc::new(ask));
    // The SDK wants an address to sign for.
    without_secret().http_client(client).endpoint_url("http://in-process.invalid").build()
}

fn without_secret() -> aws_types::sdk_config::Builder {
    let credentials = Credentials::new("local", "local", None, None, "local");
    base()
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region(Region::new("us-east-1"))
}

type Ask = dyn Fn(&str, &[u8]) -> Answer + Send + Sync;

/// Requests that a function answers.
#[derive(Clone)]
struct InProcess(Arc<Ask>);

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

impl HttpClient for InProcess {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let refused = |why: &str| ConnectorError::user(why.into());
        let target = request.headers().get("x-amz-target");
        let Some(operation) = target.and_then(|target| target.rsplit('.').next()) else {
            return HttpConnectorFuture::ready(Err(refused("no request to DynamoDB")));
        };
        let Some(body) = request.body().bytes() else {
            return HttpConnectorFuture::ready(Err(refused("a body that streams")));
        };
        let answer = (self.0)(operation, body);
        HttpConnectorFuture::new(async move {
            let closed = || ConnectorError::io("the database is closed".into());
            let (status, body) = answer.await.ok_or_else(closed)?;
            let status =
                StatusCode::try_from(status).map_err(|e| ConnectorError::user(e.into()))?;
            Ok(HttpResponse::new(status, SdkBody::from(body)))
        })
    }
}

/// What does not depend on where it runs. Standard retries, not adaptive ones, which would slow
/// every partition down for a single hot one.
fn base() -> aws_types::sdk_config::Builder {
    let retries = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(Duration::from_millis(100))
        .with_max_backoff(Duration::from_secs(5));
    // Within a function's minute: an attempt that hangs leaves time for others.
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .read_timeout(Duration::from_secs(10))
        .operation_attempt_timeout(Duration::from_secs(12))
        .operation_timeout(Duration::from_secs(40))
        .build();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .retry_config(retries)
        .timeout_config(timeouts)
}

/// Whether S3 is asked at another address than AWS's: an emulator, which has no host per bucket.
pub(crate) fn has_s3_endpoint(config: &SdkConfig) -> bool {
    own_endpoint(config, "S3").is_some() || config.endpoint_url().is_some()
}

/// Where EC2 is, without a slash at the end; there is no SDK of it here to know. `None` without a region.
pub(crate) fn ec2_endpoint(config: &SdkConfig) -> Option<String> {
    let other = own_endpoint(config, "EC2").or_else(|| config.endpoint_url().map(str::to_owned));
    let region = config.region()?.as_ref();
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    let endpoint = other.unwrap_or_else(|| format!("https://ec2.{region}.amazonaws.com{china}"));
    Some(endpoint.trim_end_matches('/').to_owned())
}

fn own_endpoint(config: &SdkConfig, service: &'static str) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id(service).env(ENDPOINT).profile("endpoint_url");
    config.service_config()?.load_config(key.build().ok()?)
}

/// Endpoint overrides by the SDK's service id.
#[derive(Debug)]
struct Endpoints(BTreeMap<&'static str, String>);

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        (key.env() == ENDPOINT).then(|| self.0.get(key.service_id()).cloned())?
    }
}

/// Credentials from the environment, which do not change while the process lives: Lambda retires
/// the sandbox before they expire.
#[derive(Debug)]
struct Environment(Option<Credentials>);

impl Environment {
    fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let key = lookup("AWS_ACCESS_KEY_ID").zip(lookup("AWS_SECRET_ACCESS_KEY"));
        Self(key.map(|(id, secret)| {
            Credentials::new(id, secret, lookup("AWS_SESSION_TOKEN"), None, "environment")
        }))
    }
}

impl ProvideCredentials for Environment {
    fn provide_credentials<'a>(&'a self) -> CredentialsFuture<'a>
    where
        Self: 'a,
    {
        CredentialsFuture::ready(self.0.clone().ok_or_else(|| {
            CredentialsError::not_loaded(
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set; \
                 `aws configure export-credentials --format env` prints them",
            )
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_by_service_and_s3_knows() {
        let lookup = |pairs: &'static [(&str, &str)]| {
            move |name: &str| {
                pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
            }
        };
        let none = from_lookup(&lookup(&[("AWS_DEFAULT_REGION", "eu-west-1")]));
        assert_eq!(none.region().unwrap().as_ref(), "eu-west-1");
        assert!(!has_s3_endpoint(&none));
        let dynamodb = from_lookup(&lookup(&[("AWS_ENDPOINT_URL_DYNAMODB", "http://db")]));
        assert!(!has_s3_endpoint(&dynamodb), "only the database is elsewhere");
        let s3 = from_lookup(&lookup(&[("AWS_ENDPOINT_URL_S3", "http://s3")]));
        assert!(has_s3_endpoint(&s3));
        let every = from_lookup(&lookup(&[("AWS_ENDPOINT_URL", "http://all")]));
        assert!(has_s3_endpoint(&every));
    }
}
