//! Whose bytes they are: what each record adds, and what it must not.

use super::*;
use crate::record::Direction;

fn at(address: &str) -> Address {
    Address::parse(address).unwrap()
}

fn record(ends: [&str; 4], bytes: u64) -> Record<'static> {
    let [src, dst, pkt_src, pkt_dst] = ends.map(at);
    Record {
        srcaddr: Some(src),
        dstaddr: Some(dst),
        pkt_srcaddr: Some(pkt_src),
        pkt_dstaddr: Some(pkt_dst),
        bytes,
        action: Action::Accept,
        start: Some(100),
        end: Some(160),
        ..Record::empty()
    }
}

const HOST: &str = "10.0.1.5";
const GATEWAY: &str = "10.0.0.10";
const FAR: &str = "52.216.9.35";

#[test]
fn each_byte_through_a_gateway_counts_once() {
    let mut transfer = Transfer::default();
    let s3 = Some("S3");
    for record in [
        // The host's own interface, then the gateway's four records, then the host's again.
        Record { pkt_dst_aws_service: s3, ..record([HOST, FAR, HOST, FAR], 10) },
        Record { pkt_dst_aws_service: s3, ..record([HOST, GATEWAY, HOST, FAR], 10) },
        Record { pkt_dst_aws_service: s3, ..record([GATEWAY, FAR, GATEWAY, FAR], 10) },
        Record { pkt_src_aws_service: s3, ..record([FAR, GATEWAY, FAR, GATEWAY], 700) },
        Record { pkt_src_aws_service: s3, ..record([GATEWAY, HOST, FAR, HOST], 700) },
        Record { pkt_src_aws_service: s3, ..record([FAR, HOST, FAR, HOST], 700) },
        // A pod behind its node, answered by a stranger; and something refused.
        record([FAR, "10.0.1.6", FAR, "100.64.0.9"], 5),
        Record { action: Action::Reject, ..record([HOST, GATEWAY, HOST, "203.0.113.9"], 1) },
        record([HOST, GATEWAY, HOST, "203.0.113.9"], 3),
    ] {
        transfer.record(&record);
    }
    let of = |sent, received| Bytes { sent, received };
    let services =
        BTreeMap::from([("S3".to_owned(), of(10, 700)), (INTERNET.to_owned(), of(3, 0))]);
    let nat = transfer.nat();
    assert_eq!(nat.clients, BTreeMap::from([(at(HOST), services)]));
    assert_eq!((nat.presumed, nat.on_the_way), (0, 0));
    assert_eq!(transfer.span, Some((100, 160)));
    assert_eq!((transfer.records, transfer.without_nat, transfer.without_zones), (8, 0, 8));

    let mut twice = transfer.clone();
    twice.merge(transfer);
    assert_eq!(twice.nat().clients[&at(HOST)]["S3"], of(20, 1400));
    assert_eq!((twice.records, twice.without_zones), (16, 16));
}

/// A host's packets pass a transit gateway and a firewall, then the hub's NAT gateway.
fn by_transit_gateway() -> [Record<'static>; 12] {
    const SPOKE: &str = "10.0.9.9";
    const HUB: &str = "10.5.9.9";
    const FIREWALL: &str = "10.5.8.8";
    [
        record([HOST, FAR, HOST, FAR], 10),
        record([HOST, SPOKE, HOST, FAR], 10),
        record([HUB, FAR, HOST, FAR], 10),
        record([HOST, FIREWALL, HOST, FAR], 10),
        record([FIREWALL, FAR, HOST, FAR], 10),
        // The firewall looks for updates.
        record([FIREWALL, FAR, FIREWALL, FAR], 1),
        record([HOST, GATEWAY, HOST, FAR], 10),
        record([GATEWAY, FAR, GATEWAY, FAR], 10),
        record([FAR, GATEWAY, FAR, GATEWAY], 20),
        record([GATEWAY, HOST, FAR, HOST], 20),
        record([FAR, HUB, FAR, HOST], 20),
        record([SPOKE, HOST, FAR, HOST], 20),
    ]
}

#[test]
fn what_else_hands_packets_on_is_no_nat_gateway() {
    let all = by_transit_gateway();
    let summed = |records: &mut dyn Iterator<Item = &Record<'static>>| {
        let mut transfer = Transfer::default();
        for record in records {
            transfer.record(record);
        }
        transfer
    };
    // In whatever order.
    for transfer in [summed(&mut all.iter()), summed(&mut all.iter().rev())] {
        let nat = transfer.nat();
        assert_eq!(nat.clients[&at(HOST)][INTERNET], Bytes { sent: 10, received: 20 });
        assert_eq!((nat.clients.len(), nat.presumed, nat.on_the_way), (1, 0, 40));
    }
    // The hub has no flow log: the attachment in the spoke stands for its gateway.
    let mut spoke = [0, 1, 11].map(|n| &all[n]).into_iter();
    let nat = summed(&mut spoke).nat();
    assert_eq!(nat.clients[&at(HOST)][INTERNET], Bytes { sent: 10, received: 20 });
    assert_eq!((nat.presumed, nat.on_the_way), (30, 0));
}

#[test]
fn a_regional_gateway_tells_what_it_is() {
    let mut transfer = Transfer::default();
    let regional = Some("nat-0a1b2c3d4e5f60718");
    let leg = Record { resource_id: regional, ..record([HOST, GATEWAY, HOST, FAR], 10) };
    transfer.record(&leg);
    transfer.record(&record([HOST, "10.0.9.9", HOST, FAR], 10));
    let nat = transfer.nat();
    assert_eq!(nat.clients[&at(HOST)][INTERNET].sent, 10);
    assert_eq!((nat.presumed, nat.on_the_way), (0, 10));
}

#[test]
fn both_ways_to_a_gateway_in_another_zone_are_counted() {
    let of = |ends, bytes, zone, direction| Record {
        az_id: Some(zone),
        flow_direction: Some(direction),
        ..record(ends, bytes)
    };
    let (host, gateway) = ("use1-az2", "use1-az1");
    let mut transfer = Transfer::default();
    for record in [
        of([HOST, FAR, HOST, FAR], 100, host, Direction::Egress),
        of([HOST, GATEWAY, HOST, FAR], 100, gateway, Direction::Ingress),
        of([GATEWAY, FAR, GATEWAY, FAR], 100, gateway, Direction::Egress),
        of([FAR, GATEWAY, FAR, GATEWAY], 7, gateway, Direction::Ingress),
        of([GATEWAY, HOST, FAR, HOST], 7, gateway, Direction::Egress),
        of([FAR, HOST, FAR, HOST], 7, host, Direction::Ingress),
        // Something of the gateway's network is asked by the host itself.
        of([HOST, GATEWAY, HOST, GATEWAY], 1, host, Direction::Egress),
    ] {
        transfer.record(&record);
    }
    let zones = transfer.zones();
    let found: Vec<_> =
        zones.crossings.iter().map(|c| (c.from.1.as_str(), c.to.0, c.bytes)).collect();
    assert_eq!(found, [(host, at(GATEWAY), 101), (gateway, at(HOST), 7)]);
    assert_eq!((zones.within, zones.unknown), (0, 0));
}

#[test]
fn records_that_cannot_tell_are_counted() {
    let mut transfer = Transfer::default();
    let whole = Record {
        az_id: Some("use1-az1"),
        flow_direction: Some(Direction::Egress),
        ..record([HOST, FAR, HOST, FAR], 1)
    };
    transfer.record(&whole);
    transfer.record(&Record { pkt_srcaddr: None, ..whole });
    transfer.record(&Record { az_id: None, ..whole });
    transfer.record(&Record { flow_direction: None, pkt_dstaddr: None, ..whole });
    transfer.record(&Record { action: Action::Reject, pkt_dstaddr: None, ..whole });
    assert_eq!((transfer.records, transfer.without_nat, transfer.without_zones), (4, 2, 2));
}

#[test]
fn zones_are_learned_from_both_ends() {
    let (a, b, c) = ("10.0.1.5", "10.0.2.5", "10.9.0.1");
    let egress = |from, to, zone, path| Record {
        az_id: Some(zone),
        flow_direction: Some(Direction::Egress),
        traffic_path: path,
        ..record([from, to, from, to], 100)
    };
    let ingress = |from, to, zone| Record {
        flow_direction: Some(Direction::Ingress),
        ..egress(from, to, zone, None)
    };
    let mut transfer = Transfer::default();
    for record in [
        egress(a, b, "use1-az1", Some(1)),
        ingress(a, b, "use1-az2"),
        egress(b, a, "use1-az2", Some(4)),
        // Another Region, the Internet, and somebody who is not in the records.
        egress(a, c, "use1-az1", Some(5)),
        egress(a, FAR, "use1-az1", Some(8)),
        egress(a, "10.0.3.3", "use1-az1", None),
    ] {
        transfer.record(&record);
    }
    let zones = transfer.zones();
    assert_eq!(zones.crossings.iter().map(|c| c.bytes).collect::<Vec<_>>(), [100, 100]);
    assert_eq!(zones.crossings[0].from.1, "use1-az1");
    assert_eq!((zones.within, zones.unknown), (0, 100));
}

/// Two VPCs with the same addresses, in whatever order their records come.
#[test]
fn addresses_of_two_vpcs_are_told_apart() {
    let (a, b) = ("10.0.1.5", "10.0.2.5");
    let of = |vpc: Option<&'static str>, receiver: &'static str, bytes: u64| {
        let egress = Record {
            vpc_id: vpc,
            az_id: Some("use1-az1"),
            flow_direction: Some(Direction::Egress),
            traffic_path: Some(1),
            ..record([a, b, a, b], bytes)
        };
        let direction = Some(Direction::Ingress);
        let ingress = Record { az_id: Some(receiver), flow_direction: direction, ..egress };
        let mut transfer = Transfer::default();
        transfer.record(&egress);
        transfer.record(&ingress);
        transfer
    };
    let both = |first: &Transfer, second: &Transfer| {
        let mut both = first.clone();
        both.merge(second.clone());
        both.zones()
    };
    let one = of(Some("vpc-a"), "use1-az1", 100);
    let two = of(Some("vpc-c"), "use1-az2", 500);
    for zones in [both(&one, &two), both(&two, &one)] {
        let found: Vec<_> = zones.crossings.iter().map(|c| (c.to.1.as_str(), c.bytes)).collect();
        assert_eq!((found, zones.within, zones.unknown), (vec![("use1-az2", 500)], 100, 0));
        assert!(zones.ambiguous.is_empty());
    }
    let one = of(None, "use1-az1", 100);
    let two = of(None, "use1-az2", 500);
    for zones in [both(&one, &two), both(&two, &one)] {
        assert_eq!((zones.crossings.len(), zones.within, zones.unknown), (0, 0, 600));
        assert_eq!(zones.ambiguous, BTreeSet::from([at(b)]));
    }
}

#[test]
fn forged_addresses_are_summed_up() {
    let mut transfer = Transfer::default();
    for n in 0..u32::try_from(ADDRESSES).unwrap() + 10 {
        let host = Address::V4((0x0a00_0000 + n).into());
        let record = Record { srcaddr: Some(host), ..record([HOST, GATEWAY, HOST, FAR], 1) };
        transfer.record(&record);
    }
    let nat = transfer.nat();
    assert_eq!((nat.clients.len(), nat.other_clients.sent), (ADDRESSES, 10));
}
