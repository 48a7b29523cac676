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
    /// Numbers of the folds that hold same pairs only, or different pairs only, ascending.
    ///
    /// Such a fold has no accuracy of both kinds: it says whether the threshold was low, or
    /// high. It comes of cutting a file whose own folds are longer, or of missing images.
    ///
    /// - `is_same`: one per pair
    ///
    /// # Errors
    /// As [`evaluate`](crate::evaluate) for folds that do not fit the pairs.
    pub fn of_one_kind(&self, is_same: &[bool]) -> Result<Vec<u32>, LfwError> {
        let Assignment { ids, of } = self.assign(is_same.len())?;
        let mut holds = vec![[false; 2]; ids.len()];
        for (&fold, &is_same) in of.iter().zip(is_same) {
            holds[fold][usize::from(is_same)] = true;
        }
        let folds = ids.into_iter().zip(holds);
        let of_one = folds.filter(|(_, holds)| *holds != [true; 2]);
        Ok(of_one.map(|(id, _)| id).collect())
    }

    /// The number of each pair's fold.
    ///
    /// - `pairs`: how many there are
    ///
    /// # Errors
    /// As [`evaluate`](crate::evaluate) for folds that do not fit the pairs.
    pub fn of_each(&self, pairs: usize) -> Result<Vec<u32>, LfwError> {
        let Assignment { ids, of } = self.assign(pairs)?;
        Ok(of.into_iter().map(|fold| ids[fold]).collect())
    }

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
    fn folds_of_one_kind_are_named() {
        let of_one_kind = |folds: Folds, is_same: &[bool]| folds.of_one_kind(is_same);
        let two = [true, false, true, true, false, false];
        let found = of_one_kind(Folds::Contiguous(3), &two).expect("three folds");
        assert_eq!(found, [2, 3], "the first has both");
        let given = Folds::Given(vec![7, 7, 9, 9, 9, 7]);
        assert_eq!(of_one_kind(given, &two).expect("two folds"), []);
        assert!(of_one_kind(Folds::Contiguous(7), &two).is_err());
    }

    #[test]
    fn each_pair_has_the_number_of_its_fold() {
        let of_each = |folds: Folds| folds.of_each(3).expect("two folds");
        assert_eq!(of_each(Folds::Contiguous(2)), [1, 1, 2]);
        assert_eq!(of_each(Folds::Given(vec![10, 9, 10])), [10, 9, 10]);
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
