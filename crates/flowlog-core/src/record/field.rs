//! The 54 VPC fields (v2–v5, v7–v11) and the 36 transit gateway fields (v6), 72 names in all.
//!
//! Source: AWS, *Flow log records* in the Amazon VPC user guide and *Transit Gateway Flow Logs
//! records* in the transit gateway guide.

/// Which kind of flow log has a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// VPC, subnet and interface flow logs only.
    Vpc,
    /// Transit gateway flow logs only.
    TransitGateway,
    /// Both.
    Both,
}

macro_rules! fields {
    ($($variant:ident $name:literal $since:literal $family:ident,)*) => {
        /// A field of a flow log record, by AWS's name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Field {
            $(#[doc = concat!("`", $name, "`, since version ", stringify!($since), ".")] $variant,)*
        }

        impl Field {
            /// Every field, in AWS's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// AWS's name in text, with hyphens.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The version of the format that brought the field.
            pub fn since(self) -> u8 {
                match self { $(Self::$variant => $since,)* }
            }

            /// Which kind of flow log has it.
            pub fn family(self) -> Family {
                match self { $(Self::$variant => Family::$family,)* }
            }

            /// The field of this name: with hyphens (text) or underscores (Parquet, Athena).
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ if name.contains('_') => Self::from_hyphenated(&name.replace('_', "-")),
                    _ => None,
                }
            }

            fn from_hyphenated(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

fields! {
    Version "version" 2 Both,
    AccountId "account-id" 2 Both,
    InterfaceId "interface-id" 2 Vpc,
    Srcaddr "srcaddr" 2 Both,
    Dstaddr "dstaddr" 2 Both,
    Srcport "srcport" 2 Both,
    Dstport "dstport" 2 Both,
    Protocol "protocol" 2 Both,
    Packets "packets" 2 Both,
    Bytes "bytes" 2 Both,
    Start "start" 2 Both,
    End "end" 2 Both,
    Action "action" 2 Vpc,
    LogStatus "log-status" 2 Both,
    VpcId "vpc-id" 3 Vpc,
    SubnetId "subnet-id" 3 Vpc,
    InstanceId "instance-id" 3 Vpc,
    TcpFlags "tcp-flags" 3 Both,
    Type "type" 3 Both,
    PktSrcaddr "pkt-srcaddr" 3 Vpc,
    PktDstaddr "pkt-dstaddr" 3 Vpc,
    Region "region" 4 Both,
    AzId "az-id" 4 Vpc,
    SublocationType "sublocation-type" 4 Vpc,
    SublocationId "sublocation-id" 4 Vpc,
    PktSrcAwsService "pkt-src-aws-service" 5 Both,
    PktDstAwsService "pkt-dst-aws-service" 5 Both,
    FlowDirection "flow-direction" 5 Both,
    TrafficPath "traffic-path" 5 Vpc,
    EcsClusterArn "ecs-cluster-arn" 7 Vpc,
    EcsClusterName "ecs-cluster-name" 7 Vpc,
    EcsContainerInstanceArn "ecs-container-instance-arn" 7 Vpc,
    EcsContainerInstanceId "ecs-container-instance-id" 7 Vpc,
    EcsContainerId "ecs-container-id" 7 Vpc,
    EcsSecondContainerId "ecs-second-container-id" 7 Vpc,
    EcsServiceName "ecs-service-name" 7 Vpc,
    EcsTaskDefinitionArn "ecs-task-definition-arn" 7 Vpc,
    EcsTaskArn "ecs-task-arn" 7 Vpc,
    EcsTaskId "ecs-task-id" 7 Vpc,
    RejectReason "reject-reason" 8 Vpc,
    ResourceId "resource-id" 9 Vpc,
    EncryptionStatus "encryption-status" 10 Vpc,
    InstanceTag "instance-tag" 11 Vpc,
    InstanceTag2 "instance-tag-2" 11 Vpc,
    InterfaceTag "interface-tag" 11 Vpc,
    InterfaceTag2 "interface-tag-2" 11 Vpc,
    AsgTag "asg-tag" 11 Vpc,
    AsgTag2 "asg-tag-2" 11 Vpc,
    InterfaceType "interface-type" 11 Vpc,
    NextHopInterfaceId "next-hop-interface-id" 11 Vpc,
    NextHopSubnetId "next-hop-subnet-id" 11 Vpc,
    NextHopAzId "next-hop-az-id" 11 Vpc,
    NextHopVpcId "next-hop-vpc-id" 11 Vpc,
    NextHopInterfaceType "next-hop-interface-type" 11 Vpc,
    ResourceType "resource-type" 6 TransitGateway,
    TgwId "tgw-id" 6 TransitGateway,
    TgwAttachmentId "tgw-attachment-id" 6 TransitGateway,
    TgwSrcVpcAccountId "tgw-src-vpc-account-id" 6 TransitGateway,
    TgwDstVpcAccountId "tgw-dst-vpc-account-id" 6 TransitGateway,
    TgwSrcVpcId "tgw-src-vpc-id" 6 TransitGateway,
    TgwDstVpcId "tgw-dst-vpc-id" 6 TransitGateway,
    TgwSrcSubnetId "tgw-src-subnet-id" 6 TransitGateway,
    TgwDstSubnetId "tgw-dst-subnet-id" 6 TransitGateway,
    TgwSrcEni "tgw-src-eni" 6 TransitGateway,
    TgwDstEni "tgw-dst-eni" 6 TransitGateway,
    TgwSrcAzId "tgw-src-az-id" 6 TransitGateway,
    TgwDstAzId "tgw-dst-az-id" 6 TransitGateway,
    TgwPairAttachmentId "tgw-pair-attachment-id" 6 TransitGateway,
    PacketsLostNoRoute "packets-lost-no-route" 6 TransitGateway,
    PacketsLostBlackhole "packets-lost-blackhole" 6 TransitGateway,
    PacketsLostMtuExceeded "packets-lost-mtu-exceeded" 6 TransitGateway,
    PacketsLostTtlExpired "packets-lost-ttl-expired" 6 TransitGateway,
}

impl Field {
    /// AWS's name in Parquet and Athena, with underscores.
    pub fn parquet_name(self) -> String {
        self.name().replace('-', "_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_counts_hold() {
        let count = |family| Field::ALL.iter().filter(|f| f.family() == family).count();
        assert_eq!(count(Family::Vpc) + count(Family::Both), 54);
        assert_eq!(count(Family::TransitGateway) + count(Family::Both), 36);
        for field in Field::ALL {
            assert_eq!(Field::from_name(field.name()), Some(*field));
            assert_eq!(Field::from_name(&field.parquet_name()), Some(*field));
        }
        assert_eq!(Field::from_name("Version"), None);
    }
}
