//! Whose rows the plain decoder has passed, by the text of the columns that say so, numbered.

/// The most spans of columns that an identity is made of: one for each field that may be part of it.
pub(super) const SPANS: usize = 8;
/// The most bytes of an identity.
const LONGEST: usize = 255;
/// How many are remembered. With one more, all are forgotten.
const MOST: usize = 16_384;
/// Places to look at: a power of two, at least twice as many as identities.
const SLOTS: usize = 2 * MOST;
/// How many places are looked at for one. Whoever may tag an interface chooses a part of its identity, but
/// not that long chains of them are searched.
const REACH: usize = 16;

/// Identities by the last bytes of their interface's id.
#[derive(Debug, Default)]
pub(super) struct Identities {
    /// Place among the identities plus one; zero is empty. None as long as there is no identity.
    slots: Vec<u16>,
    known: Vec<Identity>,
    /// Their spans, one behind another.
    texts: Vec<u8>,
    /// Number of the first one.
    first: u32,
}

/// Where the spans of an identity stand among the texts.
#[derive(Debug)]
struct Identity {
    begin: u32,
    lengths: [u8; SPANS],
}

impl Identities {
    /// The number of the identity of these spans.
    #[inline]
    pub(super) fn find<'a>(
        &self,
        interface: u64,
        spans: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Option<u32> {
        let at = slot(interface);
        for at in at..at + REACH {
            let place = usize::from(*self.slots.get(at % SLOTS)?).checked_sub(1)?;
            if self.is(self.known.get(place)?, spans.clone()) {
                return Some(self.first.wrapping_add(u32::try_from(place).ok()?));
            }
        }
        None
    }

    #[inline]
    fn is<'a>(&self, identity: &Identity, spans: impl Iterator<Item = &'a [u8]>) -> bool {
        let Some(mut text) = self.texts.get(identity.begin as usize..) else { return false };
        for (length, span) in identity.lengths.iter().zip(spans) {
            if span.len() != usize::from(*length) {
                return false;
            }
            match text.split_at_checked(span.len()) {
                Some((first, rest)) if first == span => text = rest,
                _ => return false,
            }
        }
        true
    }

    /// Adds an identity that is not there and returns its number, which no other one had.
    pub(super) fn insert<'a>(
        &mut self,
        interface: u64,
        spans: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Option<u32> {
        if spans.clone().map(<[u8]>::len).sum::<usize>() > LONGEST {
            return None;
        }
        if self.known.len() == MOST {
            self.first = self.first.wrapping_add(u32::try_from(MOST).ok()?);
            self.known.clear();
            self.texts.clear();
            self.slots.clear();
        }
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, 0);
        }
        let from = slot(interface);
        let at = (from..from + REACH).map(|at| at % SLOTS).find(|at| self.slots[*at] == 0)?;
        let place = u16::try_from(self.known.len()).ok()?;
        let begin = u32::try_from(self.texts.len()).ok()?;
        let mut lengths = [0; SPANS];
        for (length, span) in lengths.iter_mut().zip(spans) {
            *length = u8::try_from(span.len()).ok()?;
            self.texts.extend_from_slice(span);
        }
        self.slots[at] = place + 1;
        self.known.push(Identity { begin, lengths });
        Some(self.first.wrapping_add(u32::from(place)))
    }
}

/// Where to look for an identity first.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the number of a slot")]
fn slot(interface: u64) -> usize {
    let mixed = interface.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (u64::BITS - SLOTS.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans<'a>(
        first: &'a [u8],
        second: &'a [u8],
    ) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        [first, second].into_iter()
    }

    #[test]
    fn each_identity_has_a_number_of_its_own_until_all_are_forgotten() {
        let (mut identities, mut given) = (Identities::default(), 0);
        for n in 0u64..40_000 {
            let (first, second) = (format!("123456789012 eni-{n:017x} "), format!("vpc-{n} "));
            let spans = || spans(first.as_bytes(), second.as_bytes());
            let interface = n << 8;
            assert_eq!(identities.find(interface, spans()), None);
            // A few find no place.
            let number = identities.insert(interface, spans());
            assert!(number.is_none_or(|number| number == given));
            assert_eq!(identities.find(interface, spans()), number);
            given += u32::from(number.is_some());
            assert_eq!(identities.find(interface, self::spans(first.as_bytes(), b"vpc-x ")), None);
        }
        assert!(given > 39_000, "{given}");
    }

    #[test]
    fn one_interface_may_have_several_identities_but_no_long_chain() {
        let mut identities = Identities::default();
        let numbers: Vec<_> = (0..100)
            .map(|n| identities.insert(7, spans(b"eni-1 ", format!("tag-{n} ").as_bytes())))
            .collect();
        assert_eq!(numbers.iter().flatten().count(), REACH);
        assert_eq!(identities.find(7, spans(b"eni-1 ", b"tag-3 ")), Some(3));
        assert_eq!(identities.find(7, spans(b"eni-1 ", b"tag-99 ")), None);
        assert_eq!(identities.find(7, spans(b"eni-1 t", b"ag-3 ")), None);
        assert_eq!(identities.insert(8, spans(b"eni-1 ", &[b'x'; LONGEST])), None);
    }
}
