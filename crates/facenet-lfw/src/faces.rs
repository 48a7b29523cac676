use rayon::prelude::*;

use crate::distance::sq_l2;
use crate::error::LfwError;

/// Embedded images of people, and which of them are compared.
///
/// Nothing of the comparisons is held: there are half as many as the square of the images.
#[derive(Debug, Clone, Copy)]
pub struct Faces<'a> {
    rows: &'a [f32],
    dim: usize,
    owners: &'a [u32],
    n_people: usize,
    listed: Option<&'a [[usize; 2]]>,
}

/// Two images of `people`, and how far apart they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) sq_l2: f64,
    pub(crate) people: [u32; 2],
}

impl Comparison {
    pub(crate) fn is_same(self) -> bool {
        self.people[0] == self.people[1]
    }
}

impl<'a> Faces<'a> {
    /// All images against all others.
    ///
    /// - `rows`: `[n, dim]` row-major, embeddings of unit norm
    /// - `owners`: `[n]`, whose image each is; every number from 0 to the largest is somebody
    ///
    /// # Errors
    /// [`LfwError::Shape`] unless there is one row an owner, [`LfwError::NotANumber`] with the first
    /// row that holds NaN or infinity.
    pub fn new(rows: &'a [f32], dim: usize, owners: &'a [u32]) -> Result<Self, LfwError> {
        let expected = owners.len() * dim;
        if rows.len() != expected || dim == 0 {
            let (what, found) = ("embeddings", rows.len());
            return Err(LfwError::Shape {
                what,
                found,
                expected,
            });
        }
        if let Some(at) = rows.iter().position(|x| !x.is_finite()) {
            let (row, element) = (at / dim, at % dim);
            return Err(LfwError::NotANumber { row, element });
        }
        let n_people = owners.iter().max().map_or(0, |&last| last as usize + 1);
        Ok(Self {
            rows,
            dim,
            owners,
            n_people,
            listed: None,
        })
    }

    /// These comparisons only.
    ///
    /// - `pairs`: indices of two images each
    ///
    /// # Errors
    /// [`LfwError::Shape`] for an index that is no image's.
    pub fn only(self, pairs: &'a [[usize; 2]]) -> Result<Self, LfwError> {
        let n = self.owners.len();
        match pairs.iter().flatten().find(|&&image| image >= n) {
            Some(&found) => Err(LfwError::Shape {
                what: "pairs",
                found,
                expected: n,
            }),
            None => Ok(Self {
                listed: Some(pairs),
                ..self
            }),
        }
    }

    /// Number of people.
    pub fn n_people(&self) -> usize {
        self.n_people
    }

    /// Number of images.
    pub fn n_images(&self) -> usize {
        self.owners.len()
    }

    /// Whose image each is.
    pub(crate) fn owners(&self) -> &'a [u32] {
        self.owners
    }

    /// The comparisons asked for; `None` where all are.
    pub(crate) fn listed(&self) -> Option<&'a [[usize; 2]]> {
        self.listed
    }

    /// Squared L2 of two images.
    pub(crate) fn sq_l2(&self, i: usize, j: usize) -> f64 {
        sq_l2(self.row(i), self.row(j))
    }

    fn row(&self, image: usize) -> &'a [f32] {
        &self.rows[image * self.dim..][..self.dim]
    }

    /// Takes every comparison into some `T`s, each begun by `empty`, and joins those.
    ///
    /// Which comparison goes into which is the threads' affair: `join` must not care.
    pub(crate) fn fold<T: Send>(
        &self,
        empty: impl Fn() -> T + Sync,
        take: impl Fn(&mut T, Comparison) + Sync,
        join: impl Fn(T, T) -> T + Sync,
    ) -> T {
        let compare = |into: &mut T, i: usize, j: usize| {
            let people = [self.owners[i], self.owners[j]];
            let sq_l2 = self.sq_l2(i, j);
            take(into, Comparison { sq_l2, people });
        };
        if let Some(pairs) = self.listed {
            let pairs = pairs.par_iter().fold(&empty, |mut into, &[i, j]| {
                compare(&mut into, i, j);
                into
            });
            return pairs.reduce(&empty, &join);
        }
        let images = (0..self.owners.len()).into_par_iter();
        let rows = images.fold(&empty, |mut into, i| {
            (0..i).for_each(|j| compare(&mut into, i, j));
            into
        });
        rows.reduce(&empty, &join)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(faces: &Faces<'_>) -> [usize; 2] {
        let take =
            |counts: &mut [usize; 2], one: Comparison| counts[usize::from(one.is_same())] += 1;
        faces.fold(|| [0, 0], take, |a, b| [a[0] + b[0], a[1] + b[1]])
    }

    #[test]
    fn all_are_compared_once_or_those_that_are_listed() {
        let faces = Faces::new(&[0.0, 1.0, 2.0, 4.0], 1, &[0, 0, 1, 2]).expect("four images");
        assert_eq!((faces.n_people(), faces.n_images()), (3, 4));
        assert_eq!(count(&faces), [5, 1]);
        let listed = faces.only(&[[0, 1], [3, 0], [3, 0]]).expect("images");
        assert_eq!(count(&listed), [2, 1]);
        assert_eq!(listed.sq_l2(3, 1), 9.0);
        let most = |most: &mut f64, one: Comparison| *most = most.max(one.sq_l2);
        assert_eq!(listed.fold(|| 0.0, most, f64::max), 16.0);
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let shape =
            |found: Result<Faces<'_>, LfwError>| matches!(found, Err(LfwError::Shape { .. }));
        assert!(shape(Faces::new(&[0.0; 3], 2, &[0, 1])));
        assert!(shape(Faces::new(&[], 0, &[])));
        let faces = Faces::new(&[0.0; 4], 2, &[0, 1]).expect("two images");
        assert!(shape(faces.only(&[[0, 2]])));
        let nan = Faces::new(&[0.0, 0.0, 1.0, f32::NAN], 2, &[0, 1]);
        assert!(matches!(
            nan,
            Err(LfwError::NotANumber { row: 1, element: 1 })
        ));
    }
}
