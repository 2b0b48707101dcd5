//! Records, packets and bytes: the exact part of a roll-up.

use serde::{Deserialize, Serialize};

use crate::prefetch::prefetch;
use crate::record::{Action, Direction, Scope};

/// Records, packets and bytes. Additions saturate at `u64::MAX`, which no AWS account reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Flow records.
    pub records: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Sums {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.records = self.records.saturating_add(other.records);
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    /// No records.
    pub fn is_zero(&self) -> bool {
        self.records == 0
    }
}

/// Sums by action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionTotals {
    /// `ACCEPT`.
    pub accept: Sums,
    /// `REJECT`.
    pub reject: Sums,
    /// Rows whose format has no action, or that say `-`.
    pub other: Sums,
}

impl ActionTotals {
    /// Whether there was no record, of whatever action.
    pub fn is_zero(&self) -> bool {
        [self.accept, self.reject, self.other].iter().all(Sums::is_zero)
    }
}

impl ActionTotals {
    /// The sums of one action.
    pub fn of(&mut self, action: Action) -> &mut Sums {
        match action {
            Action::Accept => &mut self.accept,
            Action::Reject => &mut self.reject,
            Action::Other => &mut self.other,
        }
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.accept.add(&other.accept);
        self.reject.add(&other.reject);
        self.other.add(&other.other);
    }
}

/// Sums by action, direction and scope of the remote address: a short list sorted by key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakdown(Vec<(BreakdownKey, Sums)>);

/// What [`Breakdown`] sums by.
pub type BreakdownKey = (Action, Direction, Scope);

impl Breakdown {
    /// Adds to one key.
    pub fn add(&mut self, key: BreakdownKey, sums: &Sums) {
        match self.0.binary_search_by_key(&key, |(k, _)| *k) {
            Ok(at) => self.0[at].1.add(sums),
            Err(at) => self.0.insert(at, (key, *sums)),
        }
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        for (key, sums) in &other.0 {
            self.add(*key, sums);
        }
    }

    /// The entries, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (BreakdownKey, &Sums)> {
        self.0.iter().map(|(key, sums)| (*key, sums))
    }

    /// Sums by action alone.
    pub fn by_action(&self) -> ActionTotals {
        let mut totals = ActionTotals::default();
        for ((action, ..), sums) in &self.0 {
            totals.of(*action).add(sums);
        }
        totals
    }
}

/// The breakdowns of all cells while records are added. Most cells have few keys, and a stranger can make
/// many cells: so each has a block for every action and direction that it has met.
#[derive(Debug)]
pub(super) struct Blocks {
    /// By cell.
    places: Vec<Places>,
    blocks: Vec<[Sums; 3]>,
}

/// Where the sums of one cell are: the block of an action and direction, by scope; 0 is none.
type Places = [[u32; 3]; 3];

impl Default for Blocks {
    fn default() -> Self {
        // What stands at no place.
        Self { places: Vec::new(), blocks: vec![[Sums::default(); 3]] }
    }
}

impl Blocks {
    /// One cell more.
    pub(super) fn push_cell(&mut self) {
        self.places.push(Places::default());
    }

    /// Adds to one key of a cell.
    #[expect(clippy::inline_always, reason = "a call costs about as much as its body")]
    #[inline(always)]
    pub(super) fn add(&mut self, cell: u32, key: BreakdownKey, sums: &Sums) {
        let (action, direction, scope) = key;
        let place = &mut self.places[cell as usize][action as usize][direction as usize];
        if *place == 0 {
            *place = u32::try_from(self.blocks.len()).unwrap_or(0);
            self.blocks.push([Sums::default(); 3]);
        }
        self.blocks[*place as usize][scope as usize].add(sums);
    }

    /// Asks memory for what accepted records of this direction are added to.
    #[inline]
    pub(super) fn touch(&self, cell: u32, direction: Direction) {
        let place = self.places[cell as usize][Action::Accept as usize][direction as usize];
        prefetch(&self.blocks[place as usize][Scope::Public as usize], |sums| sums.records);
    }

    /// The keys of a cell that were added to, in order.
    pub(super) fn breakdown(&self, cell: u32) -> Breakdown {
        let of = &self.places[cell as usize];
        let mut breakdown = Breakdown::default();
        for action in [Action::Accept, Action::Reject, Action::Other] {
            for direction in [Direction::Ingress, Direction::Egress, Direction::Unknown] {
                let block = &self.blocks[of[action as usize][direction as usize] as usize];
                for scope in [Scope::Private, Scope::Public, Scope::Unknown] {
                    let sums = &block[scope as usize];
                    if !sums.is_zero() {
                        breakdown.0.push(((action, direction, scope), *sums));
                    }
                }
            }
        }
        breakdown
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.blocks.truncate(1);
    }
}
