//! Which negatives a pair admits: the f64 rule, and the f32 spans outside of which it is settled.

use crate::Rule;
use crate::marks::Span;

/// Relative width kept around a bound for f64's own rounding of `d_ap + margin`.
const F64_ALLOWANCE: f64 = 1.0 / (1u64 << 40) as f64;

/// The rule for one negative of one pair.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admission {
    semi_hard: bool,
    margin: f64,
}

/// Spans of approximate distances: inside `certain` a negative is admissible, outside `possible`
/// it is not, and between the two the f64 distance decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bracket {
    pub(crate) certain: Span,
    pub(crate) possible: Span,
}

impl Admission {
    /// Relative width kept around a bound, for the kernels.
    pub(crate) const ALLOWANCE: f64 = F64_ALLOWANCE;

    /// The margin, in squared L2.
    pub(crate) fn margin(self) -> f64 {
        self.margin
    }

    /// Whether `d_ap < d_an` is asked for.
    pub(crate) fn is_semi_hard(self) -> bool {
        self.semi_hard
    }

    /// `semi-hard` asks for `d_ap < d_an` too; every other rule for the margin only.
    pub(crate) fn new(rule: Rule, margin: f32) -> Self {
        Self {
            semi_hard: rule == Rule::SemiHard,
            margin: f64::from(margin),
        }
    }

    /// The definition, in f64: `d_an - d_ap < margin`, and `d_ap < d_an` if semi-hard.
    pub(crate) fn admits(self, d_ap: f64, d_an: f64) -> bool {
        (!self.semi_hard || d_ap < d_an) && self.is_within_margin(d_ap, d_an)
    }

    /// The part of the definition that every rule has: `d_an - d_ap < margin`.
    pub(crate) fn is_within_margin(self, d_ap: f64, d_an: f64) -> bool {
        d_an - d_ap < self.margin
    }

    /// Translates the definition to distances known within `slack`.
    pub(crate) fn bracket(self, d_ap: f64, slack: f64) -> Bracket {
        // f64::MIN is below every distance, and stays a number when an infinite slack is added.
        let low = if self.semi_hard { d_ap } else { f64::MIN };
        let high = d_ap + self.margin;
        let pad = slack + F64_ALLOWANCE * (d_ap + self.margin);
        Bracket {
            certain: Span {
                above: above(low + pad),
                below: below(high - pad),
            },
            possible: Span {
                above: below(low - pad),
                below: above(high + pad),
            },
        }
    }
}

/// An f32 above `bound`, or infinity.
pub(crate) fn above(bound: f64) -> f32 {
    (bound as f32).next_up()
}

/// An f32 below `bound`, or minus infinity.
pub(crate) fn below(bound: f64) -> f32 {
    (bound as f32).next_down()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLACK: f64 = 1e-6;

    #[track_caller]
    fn check(rule: Rule, d_an: f64, expected: bool) {
        let (admission, d_ap) = (Admission::new(rule, 0.25), 0.5);
        assert_eq!(admission.admits(d_ap, d_an), expected, "{rule} {d_an}");
        let bracket = admission.bracket(d_ap, SLACK);
        for error in [-SLACK, 0.0, SLACK] {
            let approx = (d_an + error) as f32;
            assert!(
                !bracket.certain.holds(approx) || expected,
                "{rule} {d_an}: certain"
            );
            assert!(
                bracket.possible.holds(approx) || !expected,
                "{rule} {d_an}: possible"
            );
        }
    }

    #[test]
    fn bounds_are_strict_and_the_bracket_contains_them() {
        for rule in [Rule::Violating, Rule::SemiHard] {
            check(rule, 0.75, false);
            check(rule, 0.75f64.next_down(), true);
            check(rule, 0.75f64.next_up(), false);
            check(rule, 0.5f64.next_up(), true);
            check(rule, 3.0, false);
        }
        check(Rule::SemiHard, 0.5, false);
        check(Rule::Violating, 0.5, true);
        check(Rule::SemiHard, 0.1, false);
        check(Rule::Violating, 0.0, true);
    }

    #[test]
    fn far_from_the_bounds_f32_is_enough() {
        let bracket = Admission::new(Rule::SemiHard, 0.25).bracket(0.5, SLACK);
        assert!(bracket.certain.holds(0.5 + 3e-6) && bracket.certain.holds(0.75 - 3e-6));
        assert!(!bracket.possible.holds(0.5 - 3e-6) && !bracket.possible.holds(0.75 + 3e-6));
    }

    #[test]
    fn an_infinite_slack_settles_nothing_but_the_excluded() {
        for rule in [Rule::Violating, Rule::SemiHard] {
            let bracket = Admission::new(rule, 0.25).bracket(1e40, f64::INFINITY);
            for x in [0.0, 1e30] {
                assert!(
                    !bracket.certain.holds(x) && bracket.possible.holds(x),
                    "{rule} {x}"
                );
            }
            assert!(!bracket.possible.holds(f32::INFINITY));
        }
    }
}
