//! The one call of the EC2 API that Tare makes, DescribeInstances, signed here: AWS's own crate for EC2 costs minutes of every build. Asked like any other call of
//! the SDK: the same credentials, connector and proxy, and the same variables for an endpoint of one's own.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_sdk_ecs::config::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_xml::decode::{Document, ScopedDecoder, try_data};
use aws_types::service_config::ServiceConfigKey;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, USER_AGENT};

use collector::snapshot::{Instance, Market};

use super::ecs::Refusal;
use super::sdk::{is_set, refusal};
use super::{DESCRIBE_INSTANCES, http, is_instance, partition};

/// The version of the API.
const VERSION: &str = "2016-11-15";
const CONNECT: Duration = Duration::from_secs(2);
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// What EC2 knows of these instances; one that it does not know is left out.
pub(super) async fn describe(config: &SdkConfig, region: &str, ids: &[String]) -> Result<Vec<Instance>, Refusal> {
    let failed = |why: &str| refusal(&DESCRIBE_INSTANCES, None, why, is_set);
    let credentials = config.credentials_provider().ok_or_else(|| failed("no credentials"))?;
    let credentials = credentials.provide_credentials().await.map_err(|error| failed(&format!("credentials: {error}")))?;
    let request = request(&endpoint(config, region), region, ids, &credentials.into(), SystemTime::now()).map_err(|why| failed(&why))?;
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT).build();
    let answer = http::connector(settings).call(request).await.map_err(|error| failed(&error.to_string()))?;
    let status = answer.status().as_u16();
    let body = http::body(answer).await.map_err(|why| failed(&why))?;
    match status {
        200 => parse(&body).map_err(|why| failed(&why)),
        _ => {
            let (code, message) = trouble(&body);
            Err(refusal(&DESCRIBE_INSTANCES, code.as_deref(), &format!("HTTP {status}: {} {message}", code.as_deref().unwrap_or_default()), is_set))
        }
    }
}

/// A filter finds what is there and stays silent about the rest; a list of ids is refused whole where one is unknown.
fn form(ids: &[String]) -> String {
    let values = ids.iter().filter(|id| is_instance(id)).enumerate().map(|(at, id)| format!("&Filter.1.Value.{}={id}", at + 1));
    format!("Action=DescribeInstances&Version={VERSION}&Filter.1.Name=instance-id{}", values.collect::<String>())
}

fn request(endpoint: &str, region: &str, ids: &[String], identity: &Identity, now: SystemTime) -> Result<HttpRequest, String> {
    let body = form(ids);
    let agent = concat!("tare/", env!("CARGO_PKG_VERSION"));
    let mut request = Request::post(endpoint).header(CONTENT_TYPE, FORM).header(USER_AGENT, agent).body(SdkBody::from(body.clone())).map_err(words)?;
    let parameters = v4::SigningParams::builder().identity(identity).region(region).name("ec2").time(now).settings(SigningSettings::default());
    let parameters = parameters.build().map_err(words)?.into();
    let signable = SignableRequest::new("POST", endpoint, [("content-type", FORM)].into_iter(), SignableBody::Bytes(body.as_bytes())).map_err(words)?;
    let (instructions, _) = sign(signable, &parameters).map_err(words)?.into_parts();
    instructions.apply_to_request_http1x(&mut request);
    HttpRequest::try_from(request).map_err(words)
}

fn words(error: impl std::error::Error) -> String {
    error.to_string()
}

/// Where EC2 is: where the user says, or at AWS. Source: "Amazon EC2 endpoints and quotas"; AWS SDKs, "Service-specific endpoints".
fn endpoint(config: &SdkConfig, region: &str) -> String {
    let key = ServiceConfigKey::builder().service_id("EC2").env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok();
    let own = key.and_then(|key| config.service_config()?.load_config(key)).or_else(|| config.endpoint_url().map(str::to_owned));
    let own = own.map(|url| if url.splitn(4, '/').count() < 4 { url + "/" } else { url });
    own.unwrap_or_else(|| at_aws(region, config.use_fips() == Some(true), config.use_dual_stack() == Some(true)))
}

fn at_aws(region: &str, fips: bool, dual_stack: bool) -> String {
    let (v4, both) = match partition(Some(region)) {
        "aws-cn" => ("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        "aws-eusc" => ("amazonaws.eu", "api.amazonwebservices.eu"),
        _ => ("amazonaws.com", "api.aws"),
    };
    // All of GovCloud is FIPS, under the plain name.
    let fips = if fips && (dual_stack || partition(Some(region)) != "aws-us-gov") { "-fips" } else { "" };
    format!("https://ec2{fips}.{region}.{}/", if dual_stack { both } else { v4 })
}

/// ```xml
/// <DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet><item><ownerId>111122223333</ownerId><instancesSet><item>
///   <instanceId>i-0a1b</instanceId><instanceType>m7i.large</instanceType><placement><availabilityZone>us-east-1b</availabilityZone></placement>
///   <instanceLifecycle>spot</instanceLifecycle>
/// ```
/// Errors: words for a person.
pub fn parse(body: &[u8]) -> Result<Vec<Instance>, String> {
    const END: &[u8] = b"DescribeInstancesResponse>";
    if !body.trim_ascii_end().ends_with(END) {
        return Err("the answer is cut off, or none of EC2's".into());
    }
    let mut document = Document::try_from(body).map_err(words)?;
    let mut root = document.root_element().map_err(words)?;
    let mut found = Vec::new();
    within(&mut root, "reservationSet", |reservations| {
        within(reservations, "item", |reservation| {
            let (mut account, first) = (None, found.len());
            while let Some(mut tag) = reservation.next_tag() {
                match tag.start_el().local() {
                    "ownerId" => account = word(&mut tag),
                    "instancesSet" => within(&mut tag, "item", |item| found.extend(instance(item))),
                    _ => {}
                }
            }
            let account: Option<std::sync::Arc<str>> = account.map(Into::into);
            for instance in &mut found[first..] {
                instance.account = account.clone();
            }
        });
    });
    Ok(found)
}

/// `None` without an id. An instance without a life cycle is bought on demand.
fn instance(item: &mut ScopedDecoder<'_, '_>) -> Option<Instance> {
    let mut instance = Instance { market: Some(Market::OnDemand), ..Instance::default() };
    while let Some(mut tag) = item.next_tag() {
        match tag.start_el().local() {
            "instanceId" => instance.id = word(&mut tag).filter(|id| is_instance(id)).map(Into::into),
            "instanceType" => instance.kind = word(&mut tag).map(Into::into),
            "placement" => within(&mut tag, "availabilityZone", |zone| instance.zone = word(zone).map(Into::into)),
            "instanceLifecycle" => {
                instance.market = match word(&mut tag).as_deref() {
                    Some("spot") => Some(Market::Spot),
                    Some("capacity-block") => Some(Market::CapacityBlock),
                    _ => None,
                }
            }
            _ => {}
        }
    }
    instance.id.is_some().then_some(instance)
}

/// Each child of this name.
fn within(parent: &mut ScopedDecoder<'_, '_>, name: &str, mut each: impl FnMut(&mut ScopedDecoder<'_, '_>)) {
    while let Some(mut tag) = parent.next_tag() {
        if tag.start_el().local() == name {
            each(&mut tag);
        }
    }
}

/// A word as AWS names things: short, plain and without blanks.
fn word(tag: &mut ScopedDecoder<'_, '_>) -> Option<String> {
    let text = try_data(tag).ok()?;
    ((1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))).then(|| text.into_owned())
}

/// `<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>…`: the code and the message.
pub fn trouble(body: &[u8]) -> (Option<String>, String) {
    let (mut code, mut message) = (None, String::new());
    let Ok(mut document) = Document::try_from(body) else { return (code, message) };
    let Ok(mut root) = document.root_element() else { return (code, message) };
    within(&mut root, "Errors", |errors| {
        within(errors, "Error", |error| {
            while let Some(mut tag) = error.next_tag() {
                match tag.start_el().local() {
                    "Code" => code = word(&mut tag),
                    "Message" => message = try_data(&mut tag).unwrap_or_default().into_owned(),
                    _ => {}
                }
            }
        });
    });
    drop(root);
    (code, message)
}

#[cfg(test)]
mod tests;
