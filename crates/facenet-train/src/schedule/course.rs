//! What multiplies the base rate over a run, besides the reference's decay.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Course {
    /// The reference's: a factor every so many epochs.
    #[default]
    Exponential,
    /// Half a cosine, from 1 to 0 over the run (arXiv:1608.03983, one period down to 0).
    Cosine,
    /// `(1 - t)^power`, t from 0 to 1 over the run; a straight line with a power of 1.
    Polynomial,
}

impl Course {
    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exponential => "exponential",
            Self::Cosine => "cosine",
            Self::Polynomial => "polynomial",
        }
    }
}

/// A course over so many steps, with a rise before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// How it falls.
    pub course: Course,
    /// Exponent of [`Course::Polynomial`], above 0.
    pub power: f64,
    /// First steps, over which the factor rises in a line to 1 (arXiv:1706.02677, §2.2).
    pub warm_up: u64,
    /// Steps of the whole run, those of the rise included.
    pub total: u64,
}

impl Shape {
    /// Neither rise nor fall.
    pub const FLAT: Self = Self {
        course: Course::Exponential,
        power: 1.0,
        warm_up: 0,
        total: 0,
    };

    /// What the rate of step `step`, from 0, is multiplied by.
    ///
    /// `(step + 1) / warm_up` while the rise lasts. Then `t` is `(step - warm_up) / (total -
    /// warm_up)`: 0 at the first step after the rise, below 1 at the last, 1 after the run's end.
    pub fn factor(&self, step: u64) -> f64 {
        if step < self.warm_up {
            return (step + 1) as f64 / self.warm_up as f64;
        }
        let (done, steps) = (step - self.warm_up, self.total.saturating_sub(self.warm_up));
        let t = (done as f64 / steps.max(1) as f64).min(1.0);
        match self.course {
            Course::Exponential => 1.0,
            Course::Cosine => f64::midpoint(1.0, (PI * t).cos()),
            Course::Polynomial => (1.0 - t).powf(self.power),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_are_stored() {
        for course in [Course::Exponential, Course::Cosine, Course::Polynomial] {
            let stored = serde_json::to_value(course).expect("a name");
            assert_eq!(stored, course.name());
        }
    }

    /// Factors at the steps, of a run of 100.
    #[track_caller]
    fn check(course: Course, power: f64, warm_up: u64, expected: &[(u64, f64)]) {
        let shape = Shape {
            course,
            power,
            warm_up,
            total: 100,
        };
        for &(step, expected) in expected {
            let found = shape.factor(step);
            // The cosine is rounded once, at most by 2^-53 of 1.
            assert!(
                (found - expected).abs() < 1e-15,
                "{step}: {found} {expected}"
            );
        }
    }

    #[test]
    fn a_cosine_falls_from_1_by_half_at_the_middle_to_0() {
        let third = (50, 0.5);
        let quarter = (25, 0.5 + 0.5f64.sqrt() / 2.0);
        check(
            Course::Cosine,
            1.0,
            0,
            &[(0, 1.0), quarter, third, (100, 0.0), (200, 0.0)],
        );
        // From step 20 on over 80 steps: a third of them at 46.67, a quarter at 40.
        check(
            Course::Cosine,
            1.0,
            20,
            &[(20, 1.0), (40, quarter.1), (60, 0.5), (100, 0.0)],
        );
    }

    #[test]
    fn a_polynomial_is_a_power_of_what_is_left() {
        check(
            Course::Polynomial,
            1.0,
            0,
            &[(0, 1.0), (25, 0.75), (99, 0.01), (100, 0.0)],
        );
        check(
            Course::Polynomial,
            2.0,
            0,
            &[(0, 1.0), (50, 0.25), (75, 0.0625)],
        );
        check(Course::Polynomial, 0.5, 36, &[(36, 1.0), (84, 0.5)]);
    }

    #[test]
    fn the_rise_is_a_line_that_ends_at_1() {
        for course in [Course::Exponential, Course::Cosine, Course::Polynomial] {
            check(
                course,
                1.0,
                4,
                &[(0, 0.25), (1, 0.5), (2, 0.75), (3, 1.0), (4, 1.0)],
            );
        }
        check(Course::Exponential, 1.0, 4, &[(99, 1.0), (1000, 1.0)]);
    }

    #[test]
    fn a_flat_shape_changes_no_bit() {
        for step in [0, 1, 1000, u64::MAX] {
            assert_eq!(Shape::FLAT.factor(step).to_bits(), 1.0f64.to_bits());
        }
    }

    #[test]
    fn a_run_that_is_all_rise_divides_by_nothing() {
        check(Course::Cosine, 1.0, 100, &[(99, 1.0), (100, 1.0)]);
    }
}
