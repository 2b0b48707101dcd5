//! The interface-windows of a recording, within a budget of memory.
//!
//! Of each interface and window the encoded roll-ups are kept (at most 8 KiB each), so that rules can
//! look at them once every file has been read. When the budget is spent, the interfaces that have the
//! fewest records are let go, and an interface that takes a quarter of the budget loses its oldest
//! windows: a stranger who invents interfaces or times cannot take more, and what is left out is
//! counted and summed.

use std::collections::BTreeMap;
use std::convert::identity;

use flowlog_core::record::Window;
use flowlog_core::rollup::{ActionTotals, BlobError, Fold, Mapping, Rollup};

/// About how many bytes are held of a recording.
const BUDGET: usize = 64 << 20;
/// The same of one file, while its rows take memory, too. The largest that AWS delivers (75 MB) needs less,
/// unless it is of thousands of interfaces.
const OF_A_FILE: usize = 12 << 20;
/// Bytes of an interface beside its windows, with what judging it takes.
const INTERFACE_COST: usize = 1_536;
/// Bytes of a window beside its roll-ups, with its line of the report.
const WINDOW_COST: usize = 288;
/// Roll-ups of one interface and window are folded into one when they take so many bytes.
const FOLDED: usize = 16 << 10;

/// Roll-ups by interface and window.
#[derive(Debug)]
pub(super) struct Held {
    interfaces: BTreeMap<String, Interface>,
    budget: usize,
    used: usize,
    left_out: LeftOut,
}

#[derive(Debug, Default)]
struct Interface {
    records: u64,
    used: usize,
    windows: BTreeMap<Window, Blobs>,
}

/// Encoded roll-ups, each behind its length.
#[derive(Debug, Default)]
struct Blobs(Vec<u8>);

/// What was let go. One that came in several parts is counted for each part that was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Interface-windows.
    pub interface_windows: u64,
    /// Of them, those in which AWS reported skipped records.
    pub with_skipdata: u64,
    /// Of them, those that saw only NODATA.
    pub only_nodata: u64,
    /// Their sums by action; exact.
    pub totals: ActionTotals,
    /// The most records that an interface had when it was let go, or one that is held may miss.
    pub most_records: u64,
    /// First and last window.
    pub span: Option<(Window, Window)>,
}

impl Default for Held {
    fn default() -> Self {
        Self::within(BUDGET)
    }
}

impl Held {
    /// Nothing yet, and a budget of so many bytes.
    fn within(budget: usize) -> Self {
        Self { interfaces: BTreeMap::new(), budget, used: 0, left_out: LeftOut::default() }
    }

    /// The same for one file, which counts for nothing if it breaks off.
    pub(super) fn of_a_file() -> Self {
        Self::within(OF_A_FILE)
    }

    /// Takes in one roll-up.
    pub(super) fn add(
        &mut self,
        interface_id: &str,
        window: Window,
        rollup: Rollup,
    ) -> Result<(), BlobError> {
        if !self.interfaces.contains_key(interface_id) {
            self.interfaces.insert(interface_id.to_owned(), Interface::default());
            self.used += INTERFACE_COST;
        }
        let Some(interface) = self.interfaces.get_mut(interface_id) else { return Ok(()) };
        let before = interface.used;
        let records = records(&rollup);
        interface.add(window, &rollup.into_encoded(Mapping::CURRENT), records)?;
        // Folding may have made it less.
        self.used = self.used + interface.used - before;
        if self.used > self.budget {
            self.shed()?;
        }
        Ok(())
    }

    /// Takes in everything that another has.
    pub(super) fn absorb(&mut self, other: Self) -> Result<(), BlobError> {
        self.left_out.absorb(&other.left_out);
        for (interface_id, theirs) in other.interfaces {
            match self.interfaces.entry(interface_id) {
                std::collections::btree_map::Entry::Vacant(place) => {
                    self.used += INTERFACE_COST + theirs.used;
                    place.insert(theirs);
                }
                std::collections::btree_map::Entry::Occupied(mut mine) => {
                    let mine = mine.get_mut();
                    self.used -= mine.used.min(self.used);
                    mine.records = mine.records.saturating_add(theirs.records);
                    for (window, blobs) in theirs.windows {
                        for blob in blobs.iter() {
                            mine.add(window, blob, 0)?;
                        }
                    }
                    self.used += mine.used;
                }
            }
            if self.used > self.budget {
                self.shed()?;
            }
        }
        Ok(())
    }

    /// What was let go.
    pub(super) fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// Every interface, in order.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.interfaces.keys().map(String::as_str)
    }

    /// How many there are, and how many interface-windows.
    pub(super) fn lengths(&self) -> (u64, u64) {
        let windows = self.interfaces.values().map(|one| one.windows.len() as u64).sum();
        (self.interfaces.len() as u64, windows)
    }

    /// The roll-ups of an interface, one for each window, in order.
    pub(super) fn windows_of(
        &self,
        interface_id: &str,
    ) -> impl Iterator<Item = Result<(Window, Rollup), BlobError>> {
        let windows = self.interfaces.get(interface_id).into_iter().flat_map(|one| &one.windows);
        windows.map(|(window, blobs)| Ok((*window, blobs.folded()?)))
    }

    /// Of the roll-up of an interface and window, what `part` takes of each that it is folded from.
    pub(super) fn part(
        &self,
        interface_id: &str,
        window: Window,
        part: impl Fn(Rollup) -> Rollup,
    ) -> Result<Rollup, BlobError> {
        let blobs = self.interfaces.get(interface_id).and_then(|one| one.windows.get(&window));
        blobs.map_or_else(|| Ok(Rollup::default()), |blobs| blobs.folded_of(part))
    }

    /// Every window that has records, with its interfaces.
    pub(super) fn by_window(&self) -> BTreeMap<Window, Vec<&str>> {
        let mut windows: BTreeMap<Window, Vec<&str>> = BTreeMap::new();
        for (interface_id, interface) in &self.interfaces {
            for window in interface.windows.keys() {
                windows.entry(*window).or_default().push(interface_id);
            }
        }
        windows
    }

    /// Lets go of what is lightest, until half of the budget is free.
    fn shed(&mut self) -> Result<(), BlobError> {
        for interface in self.interfaces.values_mut() {
            interface.forget(self.budget / 4, &mut self.left_out)?;
        }
        let cost = |one: &Interface| INTERFACE_COST + one.used;
        let mut heaviest: Vec<(u64, usize)> =
            self.interfaces.values().map(|one| (one.records, cost(one))).collect();
        heaviest.sort_unstable_by(|a, b| b.cmp(a));
        let half = self.budget / 2;
        let mut spent = 0;
        let over = heaviest.iter().find(|(_, cost)| {
            spent += cost;
            spent > half
        });
        let bar = over.map_or(0, |(records, _)| *records);
        let heavier = heaviest.iter().take_while(|(records, _)| *records > bar);
        self.used = heavier.map(|(_, cost)| cost).sum();
        let mut shed = Vec::new();
        // Among equals those stay that come first.
        self.interfaces.retain(|_, one| {
            let stays = one.records > bar || (one.records == bar && self.used + cost(one) <= half);
            if stays && one.records == bar {
                self.used += cost(one);
            }
            if !stays {
                shed.push(std::mem::take(one));
            }
            stays
        });
        self.left_out.most_records = self.left_out.most_records.saturating_add(bar);
        for (window, blobs) in shed.into_iter().flat_map(|one| one.windows) {
            self.left_out.count(window, &blobs.folded()?);
        }
        Ok(())
    }
}

/// Lines that a roll-up is made of.
fn records(rollup: &Rollup) -> u64 {
    let totals = rollup.totals();
    [
        totals.accept.records,
        totals.reject.records,
        totals.other.records,
        rollup.nodata,
        rollup.skipdata,
    ]
    .into_iter()
    .fold(0, u64::saturating_add)
}

impl Interface {
    fn add(&mut self, window: Window, blob: &[u8], records: u64) -> Result<(), BlobError> {
        self.records = self.records.saturating_add(records);
        let blobs = self.windows.entry(window).or_insert_with(|| {
            self.used += WINDOW_COST;
            Blobs::default()
        });
        let before = blobs.0.len();
        blobs.push(blob);
        if blobs.0.len() > FOLDED {
            let mut folded = Blobs::default();
            folded.push(&blobs.folded()?.into_encoded(Mapping::CURRENT));
            *blobs = folded;
        }
        self.used = self.used - before + blobs.0.len();
        Ok(())
    }

    /// Lets go of the oldest windows, down to so many bytes.
    fn forget(&mut self, most: usize, left_out: &mut LeftOut) -> Result<(), BlobError> {
        while self.used > most
            && let Some((window, blobs)) = self.windows.pop_first()
        {
            self.used -= (WINDOW_COST + blobs.0.len()).min(self.used);
            let rollup = blobs.folded()?;
            self.records = self.records.saturating_sub(records(&rollup));
            left_out.count(window, &rollup);
        }
        Ok(())
    }
}

impl Blobs {
    /// A roll-up's bytes; there are at most 8 KiB of them.
    fn push(&mut self, blob: &[u8]) {
        let Ok(length) = u16::try_from(blob.len()) else { return };
        self.0.reserve_exact(2 + blob.len());
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(blob);
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let (blob, after) = after.split_at_checked(u16::from_le_bytes(*length).into())?;
            rest = after;
            Some(blob)
        })
    }

    /// All of them as one.
    fn folded(&self) -> Result<Rollup, BlobError> {
        self.folded_of(identity)
    }

    /// A part of each of them as one.
    fn folded_of(&self, part: impl Fn(Rollup) -> Rollup) -> Result<Rollup, BlobError> {
        let mut rollups = self.iter().map(|blob| Rollup::decode(blob).map(&part));
        let mut fold = Fold::from(rollups.next().transpose()?.unwrap_or_default());
        for rollup in rollups {
            fold.add(&rollup?);
        }
        Ok(fold.finish())
    }
}

impl LeftOut {
    fn count(&mut self, window: Window, rollup: &Rollup) {
        let totals = rollup.totals();
        self.interface_windows += 1;
        self.with_skipdata += u64::from(rollup.skipdata > 0);
        self.only_nodata += u64::from(is_silent(&totals) && rollup.skipdata == 0);
        self.totals.add(&totals);
        self.stretch(window, window);
    }

    fn absorb(&mut self, other: &Self) {
        self.interface_windows += other.interface_windows;
        self.with_skipdata += other.with_skipdata;
        self.only_nodata += other.only_nodata;
        self.totals.add(&other.totals);
        self.most_records = self.most_records.saturating_add(other.most_records);
        if let Some((from, to)) = other.span {
            self.stretch(from, to);
        }
    }

    fn stretch(&mut self, from: Window, to: Window) {
        let (first, last) = self.span.unwrap_or((from, to));
        self.span = Some((first.min(from), last.max(to)));
    }
}

/// No record of any action.
pub(crate) fn is_silent(totals: &ActionTotals) -> bool {
    totals.accept.is_zero() && totals.reject.is_zero() && totals.other.is_zero()
}

#[cfg(test)]
mod tests {
    use flowlog_core::record::{Action, Direction, Scope};
    use flowlog_core::rollup::Sums;

    use super::*;

    fn window(n: i64) -> Window {
        Window::of(1_793_491_200).unwrap().forward(n)
    }

    fn rollup(records: u64) -> Rollup {
        let mut rollup = Rollup::default();
        let sums = Sums { records, packets: 2 * records, bytes: 40 * records };
        rollup.breakdown.add((Action::Reject, Direction::Ingress, Scope::Public), &sums);
        rollup
    }

    /// Sums over what is held and what was let go, and how many interface-windows those are.
    fn all(held: &Held) -> (ActionTotals, u64) {
        let left_out = held.left_out();
        let (mut totals, mut windows) = (left_out.totals, left_out.interface_windows);
        for (_, _, found) in rollups(held) {
            totals.add(&found.totals());
            windows += 1;
        }
        (totals, windows)
    }

    fn rollups(held: &Held) -> Vec<(String, Window, Rollup)> {
        let of =
            |id| held.windows_of(id).map(move |one| one.map(|(w, r)| (String::from(id), w, r)));
        held.interfaces().flat_map(of).map(Result::unwrap).collect()
    }

    #[test]
    fn forged_interfaces_push_out_one_another_and_every_sum_stays() {
        let mut held = Held::within(256 << 10);
        for n in 0..5_000_u64 {
            held.add(&format!("eni-{n}"), window(0), rollup(1)).unwrap();
            if n % 100 == 0 {
                held.add("eni-real", window(n.cast_signed() / 100), rollup(300)).unwrap();
            }
            assert!(held.used <= 256 << 10);
        }
        let (interfaces, _) = held.lengths();
        assert!((20..200).contains(&interfaces), "{interfaces} interfaces are held");
        let real: Vec<_> = held.windows_of("eni-real").map(Result::unwrap).collect();
        assert_eq!(real.len(), 50, "the heaviest is held whole");
        assert!(real.iter().all(|(_, rollup)| rollup.totals().reject.records == 300));
        let left_out = held.left_out();
        assert!(left_out.most_records > 0 && left_out.totals.reject.records > 4_000);
        assert_eq!(left_out.span, Some((window(0), window(0))));
        let (totals, windows) = all(&held);
        assert_eq!((totals.reject.records, windows), (20_000, 5_050));
    }

    #[test]
    fn forged_times_push_out_the_oldest_of_their_own_interface() {
        let mut held = Held::within(256 << 10);
        held.add("eni-real", window(3), rollup(1)).unwrap();
        for n in 0..20_000 {
            held.add("eni-forged", window(n), rollup(1)).unwrap();
        }
        assert_eq!(held.part("eni-real", window(3), identity).unwrap(), rollup(1));
        assert_eq!(held.part("eni-forged", window(19_999), identity).unwrap(), rollup(1));
        assert_eq!(all(&held).0.reject.records, 20_001);
    }

    #[test]
    fn many_parts_of_one_window_are_folded() {
        let mut held = Held::default();
        for _ in 0..5_000 {
            held.add("eni-1", window(0), rollup(2)).unwrap();
        }
        assert!(held.used < FOLDED + INTERFACE_COST + WINDOW_COST, "{}", held.used);
        assert_eq!(held.part("eni-1", window(0), identity).unwrap(), rollup(10_000));
        assert_eq!(held.lengths(), (1, 1));
    }

    #[test]
    fn absorbing_is_adding() {
        let (mut one, mut two, mut both) = (Held::default(), Held::default(), Held::default());
        for n in 0..200_u64 {
            let (id, at) = (format!("eni-{}", n % 7), window(n.cast_signed() % 5));
            (if n % 2 == 0 { &mut one } else { &mut two }).add(&id, at, rollup(n)).unwrap();
            both.add(&id, at, rollup(n)).unwrap();
        }
        one.absorb(two).unwrap();
        assert_eq!((one.used, one.lengths()), (both.used, both.lengths()));
        assert_eq!(rollups(&one), rollups(&both));
    }
}
