use crate::error::LfwError;

/// Which pair belongs to which fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folds {
    /// So many contiguous blocks, numbered from 1; of `n` pairs in `k` folds the first
    /// `n mod k` have one more.
    Contiguous(usize),
    /// One number per pair, as [`Resolved::folds`](crate::Resolved::folds) gives them; folds are
    /// taken in ascending order of these numbers, and one without pairs does not exist.
    Given(Vec<u32>),
}

/// Folds made dense: `of[pair]` indexes `ids`.
pub(crate) struct Assignment {
    /// The folds' own numbers, ascending.
    pub(crate) ids: Vec<u32>,
    /// Per pair, the index of its fold.
    pub(crate) of: Vec<usize>,
}

impl Folds {
    pub(crate) fn assign(&self, pairs: usize) -> Result<Assignment, LfwError> {
        let given = match self {
            Self::Contiguous(n_folds) => contiguous(pairs, *n_folds)?,
            Self::Given(given) if given.len() == pairs => given.clone(),
            Self::Given(given) => {
                let found = given.len();
                return Err(LfwError::Shape {
                    what: "folds",
                    found,
                    expected: pairs,
                });
            }
        };
        let mut ids = given.clone();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() < 2 {
            return Err(LfwError::Folds {
                folds: ids.len(),
                pairs,
            });
        }
        let of = given
            .iter()
            .map(|id| ids.partition_point(|other| other < id))
            .collect();
        Ok(Assignment { ids, of })
    }
}

/// The fold of each pair, from 1.
pub(crate) fn contiguous(pairs: usize, n_folds: usize) -> Result<Vec<u32>, LfwError> {
    if !(2..=pairs).contains(&n_folds) {
        return Err(LfwError::Folds {
            folds: n_folds,
            pairs,
        });
    }
    let (size, longer) = (pairs / n_folds, pairs % n_folds);
    let blocks = (0..n_folds).map(|fold| (fold as u32 + 1, size + usize::from(fold < longer)));
    Ok(blocks
        .flat_map(|(id, len)| std::iter::repeat_n(id, len))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_blocks_are_longer_by_one() {
        assert_eq!(contiguous(7, 3).expect("3 of 7"), [1, 1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn folds_number_from_two_to_the_pairs() {
        for folds in [0, 1, 4, usize::MAX] {
            let error = Folds::Contiguous(folds)
                .assign(3)
                .err()
                .expect("impossible");
            assert!(matches!(error, LfwError::Folds { pairs: 3, .. }), "{error}");
        }
        assert_eq!(
            Folds::Contiguous(3).assign(3).expect("one each").of,
            [0, 1, 2]
        );
    }

    #[test]
    fn given_numbers_may_have_gaps() {
        let assignment = Folds::Given(vec![10, 9, 10]).assign(3).expect("two folds");
        assert_eq!(
            (assignment.ids, assignment.of),
            (vec![9, 10], vec![1, 0, 1])
        );
        assert!(Folds::Given(vec![1, 2]).assign(3).is_err());
        assert!(Folds::Given(vec![3, 3, 3]).assign(3).is_err());
    }
}
