/// What sharing out needs to know of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holding {
    /// Same pairs that the person's images make: `images * (images - 1) / 2`.
    pub(crate) same: u64,
    /// Images.
    pub(crate) images: u64,
}

impl Holding {
    pub(crate) fn of(images: usize) -> Self {
        let images = images as u64;
        Self {
            same: images * images.saturating_sub(1) / 2,
            images,
        }
    }
}

/// A fold while people are dealt to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Share {
    /// Indices of its people.
    pub(crate) people: Vec<usize>,
    /// Same pairs, each person's counted up to what one fold wants.
    capped: u64,
    /// Same pairs in all.
    pub(crate) same: u64,
    images: u64,
    squares: u64,
}

impl Share {
    /// Pairs of images of different people: `((Σ images)² − Σ images²) / 2`.
    pub(crate) fn different(&self) -> u64 {
        (self.images * self.images - self.squares) / 2
    }

    fn add(&mut self, person: usize, holding: Holding, wanted: u64) {
        self.people.push(person);
        self.capped += holding.same.min(wanted);
        self.same += holding.same;
        self.images += holding.images;
        self.squares += holding.images * holding.images;
    }

    fn remove(&mut self, person: usize, holding: Holding, wanted: u64) {
        self.people.retain(|&other| other != person);
        self.capped -= holding.same.min(wanted);
        self.same -= holding.same;
        self.images -= holding.images;
        self.squares -= holding.images * holding.images;
    }
}

/// Shares people out so that each fold has `wanted` same pairs and as many different ones, where it can.
///
/// Those with the most same pairs come first, each to the fold that has the fewest; swaps then help
/// a fold that still lacks some. All the others go where the fewest different pairs are. Finding
/// a division whenever one exists is bin covering, which is NP-hard; the caller checks the result.
///
/// - `holdings`: in the order in which equals are to be dealt
pub(crate) fn share_out(holdings: &[Holding], n_folds: usize, wanted: u64) -> Vec<Share> {
    let mut folds = vec![Share::default(); n_folds];
    let mut order: Vec<usize> = (0..holdings.len()).collect();
    order.sort_by_key(|&person| std::cmp::Reverse(holdings[person].images));
    let mut queue = order.into_iter().peekable();
    while let Some(person) = queue.next_if(|&p| holdings[p].same > 0 && poorest(&folds).1 < wanted)
    {
        let (fold, _) = poorest(&folds);
        folds[fold].add(person, holdings[person], wanted);
    }
    while poorest(&folds).1 < wanted && swap_for_poorest(&mut folds, holdings, wanted) {}
    for person in queue {
        let fewest = (0..n_folds).min_by_key(|&f| (folds[f].different(), folds[f].images));
        let fold = fewest.unwrap_or(0);
        folds[fold].add(person, holdings[person], wanted);
    }
    folds
}

/// The fold with the fewest same pairs, and how many.
fn poorest(folds: &[Share]) -> (usize, u64) {
    let fewest =
        (0..folds.len()).min_by_key(|&fold| (folds[fold].capped, folds[fold].people.len()));
    fewest.map_or((0, 0), |fold| (fold, folds[fold].capped))
}

/// Gives the poorest fold a richer person for a poorer one, or for nobody, where that brings the
/// folds together nearer to what they want; whether it found any.
fn swap_for_poorest(folds: &mut [Share], holdings: &[Holding], wanted: u64) -> bool {
    let (poor, have) = poorest(folds);
    let value = |person: usize| holdings[person].same.min(wanted);
    let met = |a: u64, b: u64| a.min(wanted) + b.min(wanted);
    let back: Vec<_> = distinct(&folds[poor].people, value)
        .into_iter()
        .map(Some)
        .chain([None])
        .collect();
    for rich in (0..folds.len()).filter(|&fold| fold != poor) {
        for person in distinct(&folds[rich].people, value) {
            for &other in &back {
                let (gained, lost) = (value(person), other.map_or(0, value));
                let after = (
                    folds[rich].capped + lost - gained,
                    have + gained - lost.min(have),
                );
                if gained > lost && met(after.0, after.1) > met(folds[rich].capped, have) {
                    move_person(folds, holdings, wanted, (rich, poor, person));
                    if let Some(other) = other {
                        move_person(folds, holdings, wanted, (poor, rich, other));
                    }
                    return true;
                }
            }
        }
    }
    false
}

/// One person of each value, as those of one value are worth the same.
fn distinct(people: &[usize], value: impl Fn(usize) -> u64) -> Vec<usize> {
    let mut people = people.to_vec();
    people.sort_by_key(|&person| value(person));
    people.dedup_by_key(|person| value(*person));
    people
}

fn move_person(
    folds: &mut [Share],
    holdings: &[Holding],
    wanted: u64,
    (from, to, person): (usize, usize, usize),
) {
    folds[from].remove(person, holdings[person], wanted);
    folds[to].add(person, holdings[person], wanted);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(images: &[usize], n_folds: usize, wanted: u64) -> Vec<Share> {
        let holdings: Vec<_> = images.iter().map(|&n| Holding::of(n)).collect();
        share_out(&holdings, n_folds, wanted)
    }

    #[track_caller]
    fn check(images: &[usize], n_folds: usize, wanted: u64) {
        let folds = shared(images, n_folds, wanted);
        assert!(
            folds
                .iter()
                .all(|f| f.same >= wanted && f.different() >= wanted),
            "{folds:?}"
        );
        let mut people: Vec<_> = folds.iter().flat_map(|f| f.people.clone()).collect();
        people.sort_unstable();
        assert_eq!(people, (0..images.len()).collect::<Vec<_>>());
    }

    #[test]
    fn the_rich_go_to_the_poor() {
        check(&[3, 3, 3, 3], 2, 6);
        check(&[10; 40], 10, 180);
    }

    #[test]
    fn one_with_many_images_fills_a_fold_but_needs_company() {
        check(&[100, 5, 5, 1], 2, 20);
        check(&[100, 5, 5, 5], 2, 15);
    }

    #[test]
    fn swaps_fill_what_greed_leaves_short() {
        // Same pairs 10, 10, 6, 6, 6 for two folds of 18: greed gives 22 and 16.
        check(&[5, 5, 4, 4, 4], 2, 18);
        // No division of these 38 gives 19 twice.
        let folds = shared(&[5, 5, 4, 4, 4], 2, 19);
        assert!(folds.iter().any(|f| f.same < 19));
    }

    #[test]
    fn pairs_of_a_fold_are_counted_across_people() {
        let folds = shared(&[2, 3, 4], 1, 1);
        assert_eq!(
            (folds[0].same, folds[0].different()),
            (1 + 3 + 6, 6 + 8 + 12)
        );
    }
}
