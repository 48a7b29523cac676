//! Open-set identification: who is nearest, and whether that is near enough.

use std::collections::HashSet;

use facenet_miner::{Embeddings, HalfIndex, Neighbour};

use crate::{Embedded, Gallery, GalleryError};

/// A gallery that is ready to be searched: its templates as halves beside the f32 values, see
/// [`HalfIndex`].
#[derive(Debug)]
pub struct Searcher<'a> {
    gallery: &'a Gallery,
    index: HalfIndex<'a>,
    /// Templates of the identity that has most.
    most: usize,
}

/// An identity and its template nearest to a probe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match<'a> {
    /// The identity's name.
    pub name: &'a str,
    /// The template, by its number in the gallery.
    pub template: u32,
    /// Squared L2 between the probe and the template, as [`facenet_miner::sq_l2`] has it.
    pub sq_l2: f64,
}

/// The answer for one probe.
#[derive(Debug, Clone, PartialEq)]
pub struct Identified<'a> {
    /// The nearest identities, each once, the nearest first.
    pub nearest: Vec<Match<'a>>,
    /// Whether the first of them is below the threshold; else the probe is of nobody enrolled.
    pub is_known: bool,
}

impl<'a> Searcher<'a> {
    /// Makes the halves, on all threads of the current pool.
    pub fn new(gallery: &'a Gallery) -> Self {
        let mut counts = vec![0usize; gallery.names().len()];
        for &owner in gallery.owners() {
            counts[owner as usize] += 1;
        }
        Self {
            gallery,
            index: HalfIndex::new(gallery.embeddings()),
            most: counts.into_iter().max().unwrap_or(0),
        }
    }

    /// Bytes that the first pass for one probe reads.
    pub fn bytes(&self) -> usize {
        self.index.bytes()
    }

    /// The identities nearest to each probe, exactly: those of a search by f64 distances to every
    /// template. An identity is as near as its nearest template; of equally near ones the one
    /// whose template was enrolled first comes first.
    ///
    /// Runs on all threads of the current pool; the answer does not depend on them.
    ///
    /// - `probes`: `[n, dim]`
    /// - `threshold`: squared L2; a probe is known when its nearest template is *below* it
    /// - `n`: identities wanted for each probe; at least one is searched for
    ///
    /// # Errors
    /// Those of [`Gallery::check`].
    pub fn identify(
        &self,
        probes: Embedded<'_>,
        threshold: f64,
        n: usize,
    ) -> Result<Vec<Identified<'a>>, GalleryError> {
        self.gallery.check(probes)?;
        let lists = self.templates(probes.rows, n);
        let identified = lists.into_iter().map(|list| {
            let nearest = self.identities(&list, n.max(1));
            let is_known = nearest.first().is_some_and(|near| near.sq_l2 < threshold);
            Identified { nearest, is_known }
        });
        Ok(identified.collect())
    }

    /// Of each probe so many of the nearest templates that `n` identities are among them: those
    /// before the first of the last one belong to `n - 1`, which have `most` each at most.
    fn templates(&self, probes: &[f32], n: usize) -> Vec<Vec<Neighbour>> {
        let k = n.saturating_sub(1).saturating_mul(self.most);
        let k = k.saturating_add(1).min(self.gallery.n_templates());
        let probes = Embeddings::new(probes, self.gallery.dim());
        let lists = probes.and_then(|probes| self.index.nearest(probes, k));
        lists.expect("whole rows of the gallery's dimension, as `check` found")
    }

    /// The first `n` identities of a list of templates.
    fn identities(&self, list: &[Neighbour], n: usize) -> Vec<Match<'a>> {
        let (names, owners) = (self.gallery.names(), self.gallery.owners());
        let mut seen = HashSet::new();
        let fresh = list
            .iter()
            .filter(|row| seen.insert(owners[row.index as usize]));
        let matches = fresh.map(|row| Match {
            name: &names[owners[row.index as usize] as usize],
            template: row.index,
            sq_l2: row.sq_l2,
        });
        matches.take(n).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    /// Templates on a circle, by angle in degrees.
    fn circle(degrees: &[f32]) -> Vec<f32> {
        let point = |degrees: &f32| [degrees.to_radians().cos(), degrees.to_radians().sin()];
        degrees.iter().flat_map(point).collect()
    }

    fn source() -> Source {
        Source {
            model: [0; 32],
            recipe: "r".into(),
        }
    }

    fn some() -> Gallery {
        let mut gallery = Gallery::new(source(), 2).expect("two values");
        for (name, degrees) in [
            ("Ann", &[0.0, 1.0, 2.0, 3.0][..]),
            ("Bob", &[20.0]),
            ("Cyd", &[40.0, 2.0]),
        ] {
            let rows = circle(degrees);
            let embedded = Embedded {
                source: &source(),
                rows: &rows,
            };
            gallery.enroll(name, embedded).expect("unit rows");
        }
        gallery
    }

    #[track_caller]
    fn check(degrees: f32, n: usize, threshold: f64, expected: &[(&str, u32)], is_known: bool) {
        let gallery = some();
        let probe = Embedded {
            source: &source(),
            rows: &circle(&[degrees]),
        };
        let found = Searcher::new(&gallery).identify(probe, threshold, n);
        let [found] = &found.expect("a unit row")[..] else {
            panic!("one answer a probe");
        };
        let names: Vec<_> = found.nearest.iter().map(|m| (m.name, m.template)).collect();
        assert_eq!(names, expected);
        assert_eq!(found.is_known, is_known);
    }

    #[test]
    fn identities_come_once_by_their_nearest_template() {
        check(2.2, 3, 1.0, &[("Ann", 2), ("Cyd", 6), ("Bob", 4)], true);
        check(38.0, 2, 1.0, &[("Cyd", 5), ("Bob", 4)], true);
        check(38.0, 9, 1.0, &[("Cyd", 5), ("Bob", 4), ("Ann", 3)], true);
        check(38.0, 0, 1.0, &[("Cyd", 5)], true);
    }

    #[test]
    fn who_is_not_below_the_threshold_is_unknown() {
        // 2 - 2 cos 180 degrees = 4 to the template at 0, and a little less to that at 3.
        check(183.0, 1, 4.0, &[("Cyd", 5)], true);
        check(3.0, 1, 0.0, &[("Ann", 3)], false);
        check(3.0, 1, 1e-9, &[("Ann", 3)], true);
        check(29.0, 1, f64::NAN, &[("Bob", 4)], false);
    }

    #[test]
    fn nobody_is_found_among_nobody() {
        let gallery = Gallery::new(source(), 2).expect("two values");
        let searcher = Searcher::new(&gallery);
        let probe = Embedded {
            source: &source(),
            rows: &[1.0, 0.0],
        };
        let found = searcher.identify(probe, 4.0, 3).expect("a unit row");
        assert_eq!((found[0].nearest.len(), found[0].is_known), (0, false));
        assert_eq!(searcher.bytes(), 0);
        let wrong = Embedded {
            rows: &[2.0, 0.0],
            ..probe
        };
        assert!(searcher.identify(wrong, 4.0, 3).is_err());
    }
}
