//! Threshold random walk: a source whose first contacts are nearly all refused is scanning.
//!
//! Each first contact multiplies the odds of "scanner" by 4 if it was refused and divides them by 4
//! if it was accepted (Jung et al. 2004, with the likelihoods .8 and .2). Four net refusals reach
//! the upper threshold, ln 99; the lower one is a floor, so that a good past is no credit.

/// The walk of one source.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Walk(f64);

impl Walk {
    /// ln 4: what one contact weighs.
    const STEP: f64 = 1.386_294_361_119_890_6;
    /// ln 0.0101.
    const FLOOR: f64 = -4.595_219_855_134_923;
    /// ln 99.
    const SCANNER: f64 = 4.595_119_850_134_59;

    /// A first contact was refused.
    #[must_use]
    pub fn refused(self) -> Self {
        Self(self.0 + Self::STEP)
    }

    /// A first contact was let through.
    #[must_use]
    pub fn accepted(self) -> Self {
        Self((self.0 - Self::STEP).max(Self::FLOOR))
    }

    /// Whether the source is a scanner by now.
    pub fn is_scanner(self) -> bool {
        self.0 >= Self::SCANNER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(steps: &str) -> Walk {
        steps.chars().fold(Walk::default(), |walk, step| match step {
            'r' => walk.refused(),
            _ => walk.accepted(),
        })
    }

    #[test]
    fn four_net_refusals_are_a_scanner() {
        assert!(!walk("rrr").is_scanner());
        assert!(walk("rrrr").is_scanner());
        assert!(!walk("rararrr").is_scanner());
        assert!(walk("rararrrr").is_scanner());
    }

    #[test]
    fn a_good_past_is_no_credit() {
        assert_eq!(walk("aaaaaaaaaaaaaaaaaaaa"), walk("aaaa"));
        assert!(walk("aaaaaaaaaaaarrrrrrrr").is_scanner());
    }

    #[test]
    fn the_constants_are_logarithms() {
        assert!((Walk::STEP - 4f64.ln()).abs() < 1e-12);
        assert!((Walk::SCANNER - 99f64.ln()).abs() < 1e-12);
        assert!((Walk::FLOOR - 0.0101f64.ln()).abs() < 1e-12);
    }
}
