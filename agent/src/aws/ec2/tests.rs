//! The signed query against a fake EC2, and what is read out of its answers.

use std::time::UNIX_EPOCH;

use aws_sdk_ecs::config::Credentials;

use super::super::ecs::{Ask, Question};
use super::super::fake;
use super::super::sdk::Api;
use super::*;

const ID: &str = "i-0123456789abcdef0";

/// As AWS writes it, shortened.
fn answer(life_cycle: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><reservationSet>
 <item><reservationId>r-1</reservationId><ownerId>111122223333</ownerId><groupSet/>
  <instancesSet><item><instanceId>{ID}</instanceId><imageId>ami-1</imageId><instanceState><code>16</code><name>running</name></instanceState>
   <instanceType>m7i.large</instanceType><placement><availabilityZone>eu-west-1b</availabilityZone><tenancy>default</tenancy></placement>
   <tagSet><item><key>instanceLifecycle</key><value>&lt;instanceId&gt;i-00000000&lt;/instanceId&gt;</value></item></tagSet>{life_cycle}
  </item><item><instanceId>nonsense</instanceId></item></instancesSet></item>
</reservationSet></DescribeInstancesResponse>
"#
    )
}

fn ask(status: u16, body: String) -> (Result<Vec<Instance>, Refusal>, fake::Asked) {
    let (address, server) = fake::serve(vec![(status, body)]);
    let question = Question { region: "eu-west-1".into(), cluster: None, names: vec![ID.into(), "i-1&Action=Evil".into(), "mi-0123456789abcdef0".into()] };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut api = Api::new(Vec::new(), Some(address));
    let answer = runtime.block_on(Ask::machines(&mut api, question));
    (answer, server.join().unwrap().remove(0))
}

#[test]
fn an_instance_is_known_to_its_market() {
    for (life_cycle, market) in [
        ("<instanceLifecycle>spot</instanceLifecycle>", Some(Market::Spot)),
        ("<instanceLifecycle>capacity-block</instanceLifecycle>", Some(Market::CapacityBlock)),
        ("", Some(Market::OnDemand)),
        ("<instanceLifecycle>scheduled</instanceLifecycle>", None),
        ("<instanceLifecycle/>", None),
    ] {
        let (found, asked) = ask(200, answer(life_cycle));
        let instance = Instance {
            id: Some(ID.into()),
            kind: Some("m7i.large".into()),
            zone: Some("eu-west-1b".into()),
            account: Some("111122223333".into()),
            market,
            ..Instance::default()
        };
        assert_eq!(found, Ok(vec![instance]), "{life_cycle}");
        assert_eq!(asked.header("content-type"), FORM);
        let signed = asked.header("authorization");
        assert!(signed.starts_with("aws4-hmac-sha256 credential=akid/") && signed.contains("/eu-west-1/ec2/aws4_request"), "{signed}");
        let form = String::from_utf8(asked.body).unwrap();
        assert_eq!(
            form,
            format!("Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=instance-id&Filter.1.Value.1={ID}&Filter.1.Value.2=mi-0123456789abcdef0")
        );
    }
}

#[test]
fn each_refusal_of_ec2_is_told_apart() {
    let error = |code: &str| {
        format!("<Response><Errors><Error><Code>{code}</Code><Message>why &amp; how</Message></Error></Errors><RequestID>r</RequestID></Response>")
    };
    let why = |status, body| ask(status, body).0.unwrap_err();
    let denied = why(403, error("UnauthorizedOperation"));
    assert!(
        matches!(&denied, Refusal::Denied(text) if text.starts_with("ec2:DescribeInstances is not allowed") && text.contains("allow it on *")),
        "{denied:?}"
    );
    for (status, body, words) in [
        (503, error("RequestLimitExceeded"), "HTTP 503: RequestLimitExceeded why & how"),
        (401, error("AuthFailure"), "HTTP 401: AuthFailure"),
        (500, "oops".into(), "HTTP 500"),
        (200, "<html>Sign in</html>".into(), "cut off, or none of EC2's"),
        (200, answer("")[..700].into(), "cut off"),
        (200, String::new(), "cut off"),
    ] {
        let why = why(status, body);
        assert!(matches!(&why, Refusal::Later(text) if text.contains(words)), "{words}: {why:?}");
    }
}

/// The signature was made by botocore's own SigV4Auth for the same request.
#[test]
fn the_signature_is_aws_s_own() {
    let identity = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Some("a+token/with=signs".into()), None, "test").into();
    let now = UNIX_EPOCH + Duration::from_secs(1_440_938_160);
    let request = request("https://ec2.eu-west-1.amazonaws.com/", "eu-west-1", &[ID.into()], &identity, now).unwrap();
    let header = |name: &str| request.headers().get(name).unwrap_or_default().to_owned();
    assert_eq!((header("x-amz-date"), header("x-amz-security-token")), ("20150830T123600Z".into(), "a+token/with=signs".into()));
    assert_eq!(
        header("authorization"),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/ec2/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=32d87686d8269726ce8c42330de9bed4d12637b31911a4b460b9f86f4c1aad70"
    );
}

#[test]
fn each_partition_has_its_own_address() {
    for (region, fips, dual_stack, host) in [
        ("eu-west-1", false, false, "ec2.eu-west-1.amazonaws.com"),
        ("us-east-1", true, false, "ec2-fips.us-east-1.amazonaws.com"),
        ("us-east-1", false, true, "ec2.us-east-1.api.aws"),
        ("us-east-1", true, true, "ec2-fips.us-east-1.api.aws"),
        ("us-gov-west-1", true, false, "ec2.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", false, false, "ec2.cn-north-1.amazonaws.com.cn"),
        ("cn-north-1", false, true, "ec2.cn-north-1.api.amazonwebservices.com.cn"),
        ("eusc-de-east-1", false, false, "ec2.eusc-de-east-1.amazonaws.eu"),
    ] {
        assert_eq!(at_aws(region, fips, dual_stack), format!("https://{host}/"));
    }
}

proptest::proptest! {
    #[test]
    fn no_answer_makes_it_panic(text in "(<[a-z]{0,4}>|</[a-z]{0,4}>|<item>|</item>|<reservationSet>|<instancesSet>|<instanceId>i-0123456789|<!\\[CDATA\\[|&#x0;|&lt;|é|\"|<\\?xml|/>){0,30}") {
        for body in [text.clone(), format!("<a>{text}</DescribeInstancesResponse>")] {
            for instance in parse(body.as_bytes()).unwrap_or_default() {
                proptest::prop_assert!(instance.id.is_some_and(|id| is_instance(&id)));
            }
            let _ = trouble(body.as_bytes());
        }
    }
}
