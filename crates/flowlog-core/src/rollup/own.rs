//! Which of a record's two addresses is the interface's own, where the format does not say.
//!
//! Without `flow-direction`, direction follows from the interface's own address: AWS writes the
//! primary private address at the interface's side, so it stands in every record. If exactly one
//! of a record's addresses is private, that is it; otherwise records are held back until a second
//! one tells which of the two stays. The outcome depends on the records' order only.

use crate::record::{Address, Direction, Scope};

/// How many records of one interface may be held back before the destination is taken for its own.
pub(crate) const MAX_HELD: usize = 32;

/// What is known of an interface's own address of one family.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Own {
    #[default]
    Nothing,
    /// One of the two.
    Either(Address, Address),
    Known(Address),
}

impl Own {
    /// Learns from one record's addresses.
    pub(crate) fn learn(&mut self, src: Address, dst: Address) {
        *self = match *self {
            Self::Nothing => match (src.scope(), dst.scope()) {
                (Scope::Private, Scope::Public) => Self::Known(src),
                (Scope::Public, Scope::Private) => Self::Known(dst),
                _ if src == dst => Self::Known(src),
                _ => Self::Either(src, dst),
            },
            either => {
                *self = either;
                return self.learn_either(src, dst);
            }
        };
    }

    /// Learns that it is one of these two.
    fn learn_either(&mut self, src: Address, dst: Address) {
        *self = match *self {
            Self::Nothing => Self::Either(src, dst),
            Self::Either(a, b) => {
                let (has_a, has_b) = (a == src || a == dst, b == src || b == dst);
                match (has_a, has_b) {
                    (true, false) => Self::Known(a),
                    (false, true) => Self::Known(b),
                    _ => Self::Either(a, b),
                }
            }
            known @ Self::Known(_) => known,
        };
    }

    /// Learns what another part of the records knows.
    pub(crate) fn merge(&mut self, other: Self) {
        match other {
            Self::Nothing => {}
            Self::Either(a, b) => self.learn_either(a, b),
            Self::Known(_) => *self = other,
        }
    }

    /// Settles for the destination of the first record: most refused traffic comes in.
    pub(crate) fn settle(&mut self) {
        if let Self::Either(_, dst) = *self {
            *self = Self::Known(dst);
        }
    }

    /// The address, once it is known.
    pub(crate) fn known(&self) -> Option<Address> {
        match *self {
            Self::Known(own) => Some(own),
            Self::Nothing | Self::Either(..) => None,
        }
    }

    /// The direction of a record, `None` while it cannot be told yet.
    pub(crate) fn direction(&self, src: Address, dst: Address) -> Option<Direction> {
        match *self {
            Self::Known(own) if own == src => Some(Direction::Egress),
            Self::Known(own) if own == dst => Some(Direction::Ingress),
            Self::Known(_) => Some(Direction::Unknown),
            Self::Nothing | Self::Either(..) => None,
        }
    }
}
