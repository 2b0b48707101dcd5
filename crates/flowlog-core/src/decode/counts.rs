//! What became of every line: the conservation law `read = parsed + nodata + skipdata + Σ rejected + late`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($variant:ident $code:literal $doc:literal,)*) => {
        /// Why a line is no record. The code is stable: scripts, metrics and the ledger carry it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason {
            $(#[doc = concat!("`", $code, "`: ", $doc)] $variant,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable code, in snake case.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// One sentence for people.
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $doc,)* }
            }
        }
    };
}

reasons! {
    TooFewFields "too_few_fields" "fewer fields than the format has",
    TooManyFields "too_many_fields" "more fields than the format has",
    LineTooLong "line_too_long" "longer than the line limit",
    NotText "not_text" "bytes that are no UTF-8 text, or control characters",
    BadNumber "bad_number" "a number field that is no number in its range",
    BadAddress "bad_address" "an address field that is no IPv4, IPv6 or MAC address",
    BadAction "bad_action" "an action other than ACCEPT or REJECT",
    BadLogStatus "bad_log_status" "a log-status other than OK, NODATA or SKIPDATA",
    BadIdentifier "bad_identifier" "an id with characters that AWS does not use, or too long",
    BadDirection "bad_direction" "a flow-direction other than ingress or egress",
    NoTimestamp "no_timestamp" "neither start nor end, so no window",
    StartAfterEnd "start_after_end" "start later than end",
    FormatMismatch "format_mismatch" "does not fit the configured format",
}

/// What became of the lines of one object or payload. Blank lines, `#` lines and header lines are
/// not `read`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Lines that should be records.
    pub read: u64,
    /// Records with log-status OK that were rolled up.
    pub parsed: u64,
    /// NODATA records.
    pub nodata: u64,
    /// SKIPDATA records.
    pub skipdata: u64,
    /// Lines that are no records, by reason.
    pub rejected: BTreeMap<Reason, u64>,
    /// Records older than the horizon: not rolled up.
    pub late: u64,
}

impl Counts {
    /// Adds those of another object.
    pub fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.parsed += other.parsed;
        self.nodata += other.nodata;
        self.skipdata += other.skipdata;
        self.late += other.late;
        for (reason, n) in &other.rejected {
            *self.rejected.entry(*reason).or_default() += n;
        }
    }

    /// Counts one rejected line.
    pub fn reject(&mut self, reason: Reason) {
        *self.rejected.entry(reason).or_default() += 1;
    }

    /// Rejected lines of every reason.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// The conservation law.
    pub fn balances(&self) -> bool {
        self.read == self.parsed + self.nodata + self.skipdata + self.rejected_total() + self.late
    }
}
