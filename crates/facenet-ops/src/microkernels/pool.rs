//! Which kept piece of memory a buffer gets: one policy, for memory and for its ledger.

/// How many times larger than needed a piece may be.
const MOST_WASTE: usize = 2;

/// Pieces that were given back, each of so many lines.
#[derive(Debug)]
pub(crate) struct Pool<P> {
    /// Passes so far.
    pass: u64,
    kept: Vec<Kept<P>>,
}

#[derive(Debug)]
struct Kept<P> {
    /// When it was given back.
    pass: u64,
    lines: usize,
    piece: P,
}

impl<P> Default for Pool<P> {
    fn default() -> Self {
        Self {
            pass: 0,
            kept: Vec::new(),
        }
    }
}

impl<P> Pool<P> {
    /// Lines of all pieces.
    pub(crate) fn lines(&self) -> usize {
        self.kept.iter().map(|kept| kept.lines).sum()
    }

    /// Begins a pass: drops what the two before have not touched.
    pub(crate) fn begin_pass(&mut self) {
        self.pass += 1;
        let oldest = self.pass.saturating_sub(2);
        self.kept.retain(|kept| kept.pass >= oldest);
    }

    /// The smallest piece of `wanted` lines or more that is not far too large, and its lines.
    pub(crate) fn take(&mut self, wanted: usize) -> Option<(P, usize)> {
        let sizes = self.kept.iter().map(|kept| kept.lines).enumerate();
        let fitting = sizes.filter(|&(_, lines)| (wanted..=MOST_WASTE * wanted).contains(&lines));
        let (at, lines) = fitting.min_by_key(|&(_, lines)| lines)?;
        Some((self.kept.swap_remove(at).piece, lines))
    }

    /// Keeps a piece for passes to come.
    pub(crate) fn give_back(&mut self, piece: P, lines: usize) {
        let pass = self.pass;
        self.kept.push(Kept { pass, lines, piece });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_fit_is_given_and_none_that_is_far_too_large() {
        let mut pool = Pool::default();
        pool.give_back('a', 10);
        pool.give_back('b', 7);
        pool.give_back('c', 8);
        assert_eq!(pool.take(8), Some(('c', 8)));
        assert_eq!(pool.take(3), None, "7 lines are more than twice as many");
        assert_eq!(pool.take(5), Some(('b', 7)));
        assert_eq!(pool.lines(), 10);
    }

    #[test]
    fn a_piece_lasts_two_passes_after_its_own() {
        let mut pool = Pool::default();
        pool.give_back((), 1);
        let lines = [(); 3].map(|()| {
            pool.begin_pass();
            pool.lines()
        });
        assert_eq!(lines, [1, 1, 0]);
    }
}
