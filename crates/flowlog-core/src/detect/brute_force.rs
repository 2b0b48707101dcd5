//! D4 `brute-force`: many short accepted connections from one source to a login port.
//!
//! Records of at most 30 packets to SSH, Telnet, RDP, VNC, `WinRM` (and to databases, if the source is
//! public) in half an hour. A window with more records of longer flows than of short ones means that somebody got in
//! to work, and starts the count anew; fewer of them are somebody else's behind the same address, or a cover. An idle session makes a short record in each capture window, at most five in a
//! window of ours; so windows with so few do not count. A range of approved bastions belongs on the
//! allow-list. A load balancer's health check of such a port (the handshake and its end: four packets, some 216 bytes) guesses
//! nothing: towards us an SSH or TLS key exchange alone takes more than [`BruteForce::bytes`] (RFC 4253, sections 4.2 and
//! 7.1: a version line, a KEXINIT of at least 100 bytes, then keys and a request, each packet with 40 bytes of TCP/IP
//! or more; with what clients offer 700 and up). Where passwords go in the clear (FTP, Telnet, VNC, databases) half of
//! it is enough. ATT&CK T1110; modelled on Zeek's ssh/detect-bruteforcing.

use super::{BruteForce, Cause, Finding, History, Rule, Severity, Target, Why};
use super::{finding::is_internal, is_own, shown};
use crate::record::{WINDOW_SECONDS, Window};
use crate::rollup::TalkerKey;

/// Windows in 30 minutes.
const HALF_HOUR: i64 = 6;
/// So many short records in a window may be one idle session in one-minute records.
const IDLE: u64 = 6;
/// Where people log in.
const LOGIN: [u16; 7] = [21, 22, 23, 3389, 5900, 5985, 5986];
/// Of all these, where a key exchange comes before the password.
const ENCRYPTED: [u16; 4] = [22, 3389, 5985, 5986];
/// Databases: inside, short connections to them are how applications work.
const DATABASES: [u16; 5] = [1433, 1521, 3306, 5432, 27017];

impl BruteForce {
    pub(super) fn evaluate(&self, history: &History, at: Window) -> Vec<Finding> {
        let Some(now) = history.windows.get(&at) else { return Vec::new() };
        if !self.enabled {
            return Vec::new();
        }
        let mut findings = Vec::new();
        for (key, service) in now.services.iter() {
            let outside = !is_internal(&key.remote);
            let watched = LOGIN.contains(&key.port) || (outside && DATABASES.contains(&key.port));
            if !watched || service.short_flows <= IDLE || !is_own(history, at, key, service) {
                continue;
            }
            let value = self.short_flows(history, at, key);
            if value < self.flows.div_ceil(2) {
                continue;
            }
            let severity = if value < self.flows { Severity::Recorded } else { self.severity };
            findings.push(Finding {
                source: Some(key.remote),
                target: Some(Target { host: None, port: Some(key.port) }),
                evidence: Why {
                    measure: "short accepted flows to a login port".into(),
                    value,
                    threshold: self.flows,
                    seconds: HALF_HOUR * WINDOW_SECONDS,
                    sources: 1,
                    ports: vec![key.port],
                    rejected: now.totals().reject.records,
                    skipdata: history.skipdata(at, HALF_HOUR),
                    records: shown(now, |row| row.srcaddr == Some(key.remote)),
                    ..Why::default()
                },
                ..Finding::new(
                    Rule::BruteForce,
                    severity,
                    Cause::PasswordGuessing,
                    &history.interface_id,
                    at,
                )
            });
        }
        findings
    }

    /// Short records since the last window of longer ones, in windows that have more than idling and
    /// health checks explain.
    fn short_flows(&self, history: &History, at: Window, key: &TalkerKey) -> u64 {
        let bytes = if ENCRYPTED.contains(&key.port) { self.bytes } else { self.bytes / 2 };
        let mut sum: u64 = 0;
        for (_, rollup) in history.last(at, HALF_HOUR) {
            let Some(service) = rollup.services.get(key) else { continue };
            if service.flows - service.short_flows.min(service.flows) >= service.short_flows {
                sum = 0;
            } else if service.short_flows > IDLE
                && service.bytes_in >= bytes.saturating_mul(service.flows)
            {
                sum = sum.saturating_add(service.short_flows);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{services, window};
    use super::*;

    fn find(source: &str, port: u16, windows: &[(u64, u64)]) -> Vec<Severity> {
        let mut history = History::default();
        let mut at = window(0);
        for (n, (flows, short)) in (0..).zip(windows) {
            at = window(n);
            let bytes = 1_500 * flows;
            history.add(at, &services(&[(source, port, *flows, *short, bytes, bytes)]));
        }
        BruteForce::default().evaluate(&history, at).iter().map(|f| f.severity).collect()
    }

    #[test]
    fn thirty_short_flows_to_a_login_port() {
        assert_eq!(find("203.0.113.9", 22, &[(15, 15), (15, 15)]), [Severity::Notify]);
        assert_eq!(find("203.0.113.9", 22, &[(14, 14), (15, 15)]), [Severity::Recorded]);
        assert_eq!(find("203.0.113.9", 22, &[(7, 7), (7, 7)]), []);
        assert_eq!(find("10.0.0.9", 22, &[(40, 40)]), [Severity::Notify]);
        assert_eq!(find("2001:db8::9", 3_389, &[(40, 40)]), [Severity::Notify]);
        assert_eq!(find("203.0.113.9", 5_432, &[(40, 40)]), [Severity::Notify]);
        assert_eq!(find("10.0.0.9", 5_432, &[(40, 40)]), [], "applications do that");
        assert_eq!(find("203.0.113.9", 2_049, &[(40, 40)]), [], "nobody logs in there");
    }

    #[test]
    fn a_session_starts_the_count_anew_and_idling_is_no_attempt() {
        assert_eq!(find("203.0.113.9", 22, &[(20, 20), (9, 1), (20, 20)]), [Severity::Recorded]);
        assert_eq!(find("203.0.113.9", 22, &[(21, 20), (21, 20)]), [Severity::Notify], "a cover");
        assert_eq!(find("203.0.113.9", 22, &[(5, 5); 6]), []);
        assert_eq!(find("203.0.113.9", 22, &[(6, 6); 6]), []);
    }

    #[test]
    fn half_an_hour_is_six_windows() {
        let mut steady = vec![(7, 7); 4];
        assert_eq!(find("203.0.113.9", 22, &steady), [Severity::Recorded]);
        steady.push((7, 7));
        assert_eq!(find("203.0.113.9", 22, &steady), [Severity::Notify]);
        let spread = [(20, 20), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (14, 14)];
        assert_eq!(find("203.0.113.9", 22, &spread), []);
    }

    #[test]
    fn a_health_check_is_no_guess() {
        let found = |port: u16, bytes: u64| {
            let mut history = History::default();
            let row = ("10.0.1.10", port, 40, 40, 40 * bytes, 40 * 153);
            history.add(window(0), &services(&[row]));
            BruteForce::default().evaluate(&history, window(0)).len()
        };
        for port in LOGIN {
            assert_eq!(found(port, 216), 0, "{port}: a network load balancer's");
        }
        assert_eq!((found(22, 499), found(22, 500), found(3_389, 499)), (0, 1, 0));
        assert_eq!((found(21, 249), found(21, 250)), (0, 1), "without a key exchange");
    }
}
