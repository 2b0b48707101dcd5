//! Against canned answers, and against somebody who does not answer.

use std::net::TcpListener;

use super::*;
use crate::replay::{Canned, Wire};

fn interface(id: &str, address: &str, instance: &str, tags: &str) -> String {
    format!(
        "<item><networkInterfaceId>{id}</networkInterfaceId><ownerId>123456789012</ownerId><vpcId>vpc-{id}</vpcId><description>Interface for NAT Gateway nat-1</description>\
         <attachment><attachmentId>a</attachmentId><instanceId>{instance}</instanceId></attachment>\
         <groupSet><item><groupId>sg-1</groupId></item></groupSet>\
         <privateIpAddressesSet><item><privateIpAddress>{address}</privateIpAddress><primary>true</primary></item></privateIpAddressesSet>\
         <ipv6AddressesSet><item><ipv6Address>fd00:0::9</ipv6Address></item></ipv6AddressesSet>\
         <tagSet>{tags}</tagSet></item>"
    )
}

fn interfaces(items: &str) -> Canned {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeNetworkInterfacesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>r</requestId><networkInterfaceSet>{items}</networkInterfaceSet></DescribeNetworkInterfacesResponse>"
    );
    (200, Vec::new(), body)
}

fn tags(items: &[(&str, &str, &str)]) -> Canned {
    let items: Vec<String> = items
        .iter()
        .map(|(resource, key, value)| {
            format!("<item><resourceId>{resource}</resourceId><resourceType>instance</resourceType><key>{key}</key><value>{value}</value></item>")
        })
        .collect();
    (
        200,
        Vec::new(),
        format!("<DescribeTagsResponse><tagSet>{}</tagSet></DescribeTagsResponse>", items.concat()),
    )
}

fn id(text: &str) -> Subject {
    Subject::Interface(text.to_owned())
}

fn address(text: &str) -> Subject {
    Subject::Address(Address::parse(text).unwrap())
}

#[tokio::test]
async fn interfaces_addresses_and_the_tags_of_instances() {
    let name = "<item><key>Name</key><value>edge &amp; &lt;b&gt;</value></item>";
    let wire = Wire::new([
        interfaces(&interface("eni-1", "10.0.0.5", "i-1", name)),
        interfaces(&interface("eni-2", "10.1.0.9", "i-2", "")),
        tags(&[("i-1", "Name", "not this"), ("i-1", "Owner", "shop"), ("i-2", "Name", "batch")]),
    ]);
    let directory = Ec2Directory::new(&wire.config());
    let wanted = [id("eni-1"), address("10.1.0.9")];
    let found = directory.look_up(&wanted).await;
    let identity = |interface: &str, instance: &str, name: &str, owner: &str| Identity {
        interface_id: interface.to_owned(),
        account_id: "123456789012".to_owned(),
        vpc_id: format!("vpc-{interface}"),
        instance_id: instance.to_owned(),
        name: name.to_owned(),
        owner: owner.to_owned(),
        description: "Interface for NAT Gateway nat-1".to_owned(),
    };
    assert_eq!(found[&wanted[0]], [identity("eni-1", "i-1", "edge & <b>", "shop")]);
    assert_eq!(found[&wanted[1]], [identity("eni-2", "i-2", "batch", "")]);

    let asked = wire.asked();
    let bodies: Vec<&str> = asked.iter().map(|asked| asked.body.as_str()).collect();
    let version = "Version=2016-11-15&Filter.1.Name";
    assert_eq!(
        bodies,
        [
            format!(
                "Action=DescribeNetworkInterfaces&{version}=network-interface-id&Filter.1.Value.1=eni%2D1"
            ),
            format!(
                "Action=DescribeNetworkInterfaces&{version}=addresses.private-ip-address&Filter.1.Value.1=10%2E1%2E0%2E9"
            ),
            format!(
                "Action=DescribeTags&{version}=resource-id&Filter.1.Value.1=i%2D1&Filter.1.Value.2=i%2D2\
                     &Filter.2.Name=key&Filter.2.Value.1=Name&Filter.2.Value.2=Owner&Filter.2.Value.3=owner"
            ),
        ]
    );
    for one in &asked {
        assert_eq!(
            (one.method.as_str(), one.uri.as_str()),
            ("POST", "https://ec2.eu-west-1.amazonaws.com/")
        );
        let signature = one.header("authorization").unwrap();
        assert!(signature.starts_with("AWS4-HMAC-SHA256 Credential=id/"), "{signature}");
        assert!(
            signature.contains(
                "/eu-west-1/ec2/aws4_request, SignedHeaders=content-type;host;x-amz-date"
            )
        );
    }
    // Remembered: nothing is asked.
    assert_eq!(directory.look_up(&wanted).await.len(), 2);
    assert_eq!(wire.asked().len(), 0);
}

#[tokio::test]
async fn an_address_of_two_vpcs_is_both_interfaces() {
    let both = [interface("eni-1", "10.0.0.5", "", ""), interface("eni-2", "10.0.0.5", "", "")];
    let wire = Wire::new([interfaces(&both.concat())]);
    let directory = Ec2Directory::new(&wire.config());
    for _ in 0..2 {
        let found = directory.look_up(&[address("10.0.0.5")]).await;
        let vpcs = found.values().flatten().map(|who| who.vpc_id.as_str());
        assert_eq!(vpcs.collect::<Vec<_>>(), ["vpc-eni-1", "vpc-eni-2"]);
    }
    assert_eq!(wire.asked().len(), 1, "that is remembered, too; and no instance, no tags");
}

#[tokio::test]
async fn ipv6_is_compared_by_value() {
    let wire = Wire::new([interfaces(&interface("eni-1", "10.0.0.5", "", ""))]);
    let found = Ec2Directory::new(&wire.config()).look_up(&[address("fd00::9")]).await;
    assert_eq!(found[&address("fd00::9")].len(), 1);
    assert!(
        wire.asked()[0].body.contains("ipv6-addresses.ipv6-address&Filter.1.Value.1=fd00%3A%3A9")
    );
}

#[tokio::test]
async fn what_fails_is_not_asked_again_for_a_while() {
    let denied = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>arn:aws:sts::1:x</Message></Error></Errors></Response>";
    for answer in [
        (403, Vec::new(), denied.to_owned()),
        (
            200,
            Vec::new(),
            "<DescribeNetworkInterfacesResponse><networkInterfaceSet><item>".to_owned(),
        ),
        (200, Vec::new(), "not XML".to_owned()),
        (500, Vec::new(), String::new()),
    ] {
        let wire = Wire::new([answer.clone()]);
        let directory = Ec2Directory::new(&wire.config());
        for subject in ["eni-1", "eni-2", "eni-1"] {
            assert_eq!(directory.look_up(&[id(subject)]).await, BTreeMap::new(), "{answer:?}");
        }
        assert_eq!(wire.asked().len(), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn a_storm_asks_ten_times_in_five_minutes() {
    let wire = Wire::serving(|_| Some(interfaces("")));
    let directory = Ec2Directory::new(&wire.config());
    for n in 0..10_000 {
        directory.look_up(&[id(&format!("eni-{n}"))]).await;
    }
    assert_eq!(wire.asked().len(), 10);
}

#[tokio::test]
async fn who_does_not_answer_is_waited_for_a_second_and_once() {
    let deaf = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let config = sdk::local(&format!("http://{}", deaf.local_addr().unwrap()));
    let directory = Ec2Directory::new(&config);
    let began = Instant::now();
    for n in 0..1_000 {
        assert_eq!(directory.look_up(&[id(&format!("eni-{n}"))]).await, BTreeMap::new());
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}
