use crate::faces::Comparison;

/// The nearest of all different pairs that are shown to it.
///
/// Which they are does not depend on the order: the smallest by distance, then by the two people.
#[derive(Debug, Clone)]
pub(crate) struct Impostors {
    most: usize,
    /// At most twice `most`, unsorted.
    nearest: Vec<Comparison>,
    /// Nothing at or beyond it is among them.
    limit: f64,
}

impl Impostors {
    /// - `most`: pairs that are kept, 1 or more
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            nearest: Vec::new(),
            limit: f64::INFINITY,
        }
    }

    pub(crate) fn add(&mut self, one: Comparison) {
        // At the limit the people decide, so what is there is taken too.
        if one.is_same() || one.sq_l2 > self.limit {
            return;
        }
        let [a, b] = one.people;
        let people = [a.min(b), a.max(b)];
        self.nearest.push(Comparison { people, ..one });
        if self.nearest.len() >= self.most.saturating_mul(2).max(64) {
            self.shrink();
        }
    }

    pub(crate) fn join(mut self, other: Self) -> Self {
        self.nearest.extend(other.nearest);
        self.shrink();
        self
    }

    fn shrink(&mut self) {
        if self.nearest.len() <= self.most {
            return;
        }
        let (_, last, _) = self.nearest.select_nth_unstable_by(self.most - 1, order);
        self.limit = last.sq_l2;
        self.nearest.truncate(self.most);
    }

    /// The pairs kept, the nearest first.
    pub(crate) fn sorted(mut self) -> Vec<Comparison> {
        self.shrink();
        self.nearest.sort_unstable_by(order);
        self.nearest
    }
}

fn order(x: &Comparison, y: &Comparison) -> std::cmp::Ordering {
    let by_people = || x.people.cmp(&y.people);
    x.sq_l2.total_cmp(&y.sq_l2).then_with(by_people)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(sq_l2: f64, a: u32, b: u32) -> Comparison {
        let people = [a, b];
        Comparison { sq_l2, people }
    }

    #[test]
    fn the_nearest_are_kept_in_any_order_and_any_parts() {
        // 500 pairs, distances 0 to 96 with many ties.
        let all: Vec<_> = (0..500u32)
            .map(|i| pair(f64::from(i * 37 % 97), i, i + 1))
            .collect();
        let mut expected = all.clone();
        expected.sort_unstable_by(order);
        for most in [1, 7, 40, 499, 1000] {
            let take = |part: &[Comparison]| {
                let mut kept = Impostors::new(most);
                for &one in part {
                    kept.add(one);
                }
                kept
            };
            let whole = take(&all).sorted();
            assert_eq!(whole, expected[..most.min(500)]);
            let reversed: Vec<_> = all.iter().rev().copied().collect();
            assert_eq!(take(&reversed).sorted(), whole);
            let (head, tail) = all.split_at(123);
            assert_eq!(take(tail).join(take(head)).sorted(), whole);
        }
    }

    #[test]
    fn one_persons_pairs_are_no_impostors_and_the_smaller_number_comes_first() {
        let mut kept = Impostors::new(5);
        kept.add(pair(0.0, 3, 3));
        kept.add(pair(1.0, 9, 2));
        assert_eq!(kept.sorted(), [pair(1.0, 2, 9)]);
    }
}
