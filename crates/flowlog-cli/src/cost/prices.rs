//! Prices in US dollars: list prices of us-east-1 without free tiers or discounts ([`PRICES_OF`]).

/// Of when and where the prices are, and what they are worth.
pub const PRICES_OF: &str = "2026-11-25, us-east-1, mostly from memory and not checked";

/// Delivery of vended logs to S3, by GB of a month: up to 10, 30, 50 TB and beyond (CloudWatch pricing).
pub(super) const DELIVERY_TIERS: [(f64, f64); 4] =
    [(10_000.0, 0.25), (20_000.0, 0.15), (20_000.0, 0.075), (f64::INFINITY, 0.05)];
/// Conversion to Parquet at delivery, a GB (CloudWatch pricing; as quoted, not verified).
pub(super) const PARQUET_GB: f64 = 0.035;
/// Vended logs into CloudWatch Logs, standard class, same tiers (CloudWatch pricing).
pub(super) const LOGS_TIERS: [(f64, f64); 4] =
    [(10_000.0, 0.50), (20_000.0, 0.25), (20_000.0, 0.10), (f64::INFINITY, 0.05)];
/// Lambda, x86: a GB-second, and a million requests (Lambda pricing).
pub(super) const LAMBDA_GB_SECOND: f64 = 0.000_016_666_7;
pub(super) const LAMBDA_MILLION: f64 = 0.20;
/// DynamoDB on demand: a million write and read units, a GB-month (DynamoDB pricing since 2024-11).
pub(super) const WRITE_MILLION: f64 = 0.625;
pub(super) const READ_MILLION: f64 = 0.125;
pub(super) const TABLE_GB_MONTH: f64 = 0.25;
/// Continuous backups of both tables, a GB-month (DynamoDB pricing).
pub(super) const BACKUP_GB_MONTH: f64 = 0.20;
/// S3 standard: a GB-month, a million GETs (S3 pricing).
pub(super) const S3_GB_MONTH: f64 = 0.023;
pub(super) const S3_GET_MILLION: f64 = 0.40;
/// SQS standard queue, a million requests (SQS pricing).
pub(super) const SQS_MILLION: f64 = 0.40;
/// CloudWatch: an alarm, a metric and a dashboard a month, a GB of logs (CloudWatch pricing).
pub(super) const ALARM_MONTH: f64 = 0.10;
pub(super) const METRIC_MONTH: f64 = 0.30;
pub(super) const DASHBOARD_MONTH: f64 = 3.0;
pub(super) const LOGS_GB: f64 = 0.50;
/// What CloudWatch Logs keeps, a GB-month as it packs it (CloudWatch pricing).
pub(super) const LOGS_GB_MONTH: f64 = 0.03;
/// X-Ray, a million traces recorded (X-Ray pricing).
pub(super) const TRACES_MILLION: f64 = 5.0;
/// A NAT gateway, a GB processed either way (VPC pricing).
pub(crate) const NAT_GB: f64 = 0.045;
/// An interface endpoint, a GB and an hour in one zone (`PrivateLink` pricing).
pub(crate) const INTERFACE_ENDPOINT_GB: f64 = 0.01;
pub(crate) const INTERFACE_ENDPOINT_HOUR: f64 = 0.01;
/// A GB between two zones of a Region, charged at both ends (EC2 data transfer pricing).
pub(crate) const ZONE_GB: f64 = 0.02;
/// Athena, a TB scanned (Athena pricing).
pub(super) const ATHENA_TB: f64 = 5.0;
/// A vended SIEM, a GB ingested: Microsoft Sentinel, pay as you go. Quotations differ (2.46 to 5.20).
pub(super) const SIEM_GB: f64 = 4.30;
