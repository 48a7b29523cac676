//! One anchor against all rows: approximate distances, and f64 where they leave a doubt.

use crate::Neighbour;
use crate::admission::{Admission, above};
use crate::choice::Choice;
use crate::lanes::sq_l2_to_each;
use crate::marks::{Span, positions};
use crate::nearest::Nearest;
use crate::problem::Problem;
use crate::simd::{Level, mark_both, mark_within, min_above};
use crate::tile::PANEL;

/// Room for one anchor at a time; reused from anchor to anchor.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// f64 distances computed so far, NaN elsewhere.
    exact: Vec<f64>,
    /// Where `exact` is set.
    touched: Vec<u32>,
    /// Approximate distances to the anchor's own group.
    positives: Vec<f32>,
    /// Rows under consideration.
    listed: Vec<u32>,
    /// Values of the anchor in f64.
    anchor: Vec<f64>,
    choice: Choice,
    /// A bit for each row: what a scan is certain of, and what it holds possible.
    certain: Vec<u64>,
    possible: Vec<u64>,
    level: Level,
}

impl Scratch {
    pub(crate) fn new(n: usize) -> Self {
        let n_words = n.div_ceil(PANEL);
        Self {
            exact: vec![f64::NAN; n],
            touched: vec![],
            positives: vec![],
            listed: vec![],
            anchor: vec![],
            choice: Choice::default(),
            certain: vec![0; n_words],
            possible: vec![0; n_words],
            level: Level::best(),
        }
    }
}

/// An anchor and its distances to all rows.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    problem: &'a Problem<'a>,
    anchor: usize,
    slack: f64,
    /// Within `slack` of the f64 distances; infinite at the anchor's own group and beyond the last
    /// row, which keeps every scan away from there.
    approx: &'a [[f32; PANEL]],
    scratch: &'a mut Scratch,
}

impl<'a> Row<'a> {
    /// - `approx`: distances to all rows, within the problem's slack, and infinity up to whole
    ///   panels; the anchor's group is overwritten
    pub(crate) fn new(
        problem: &'a Problem<'a>,
        anchor: usize,
        approx: &'a mut [f32],
        scratch: &'a mut Scratch,
    ) -> Self {
        for row in scratch.touched.drain(..) {
            scratch.exact[row as usize] = f64::NAN;
        }
        scratch.positives.clear();
        for &member in problem.group(anchor) {
            scratch.positives.push(approx[member as usize]);
            approx[member as usize] = f32::INFINITY;
        }
        scratch.anchor.clear();
        let values = problem.row(anchor).iter().copied().map(f64::from);
        scratch.anchor.extend(values);
        let slack = problem.slack().of_row(problem.sq_norms()[anchor]);
        let (approx, _) = approx.as_chunks();
        Self {
            problem,
            anchor,
            slack,
            approx,
            scratch,
        }
    }

    pub(crate) fn problem(&self) -> &'a Problem<'a> {
        self.problem
    }

    pub(crate) fn anchor(&self) -> usize {
        self.anchor
    }

    /// Distances within the slack of the f64 ones, infinite at the anchor's own group and beyond the
    /// last row.
    pub(crate) fn approx(&self) -> &'a [[f32; PANEL]] {
        self.approx
    }

    /// Room for [`Choice`], to be taken and put back.
    pub(crate) fn choice(&mut self) -> &mut Choice {
        &mut self.scratch.choice
    }

    /// How far an approximate distance can be from the f64 one.
    pub(crate) fn slack(&self) -> f64 {
        self.slack
    }

    /// Rows of other labels with approximate distance in `span`, ascending.
    pub(crate) fn within(&mut self, span: Span) -> &[u32] {
        self.keep_listed(span, |_, _| true);
        &self.scratch.listed
    }

    /// The f64 distance to `row`, computed once.
    pub(crate) fn exact(&mut self, row: u32) -> f64 {
        let known = self.scratch.exact[row as usize];
        if !known.is_nan() {
            return known;
        }
        let distance = self.problem.exact(self.anchor, row as usize);
        self.scratch.exact[row as usize] = distance;
        self.scratch.touched.push(row);
        distance
    }

    /// The f64 distances to `rows`, in place of what `out` held.
    pub(crate) fn exact_each(&self, rows: &[u32], out: &mut Vec<f64>) {
        out.clear();
        let rows = rows.iter().map(|&row| self.problem.row(row as usize));
        sq_l2_to_each(&self.scratch.anchor, rows, out);
    }

    /// Number of admissible negatives of the pair with distance `d_ap`, which `possible` marks
    /// from then on.
    pub(crate) fn count(&mut self, admission: Admission, d_ap: f64) -> usize {
        let bracket = admission.bracket(d_ap, self.slack);
        let Scratch {
            certain,
            possible,
            level,
            ..
        } = self.scratch;
        let spans = [bracket.certain, bracket.possible];
        let [n_certain, n_possible] = mark_both(*level, self.approx, spans, [certain, possible]);
        if n_certain == n_possible {
            return n_certain;
        }
        self.decide(admission, d_ap)
    }

    /// Takes the marks of what is possible, not certain and not so from those of the possible,
    /// and counts the rest.
    fn decide(&mut self, admission: Admission, d_ap: f64) -> usize {
        let mut count = 0;
        for word in 0..self.scratch.possible.len() {
            let mut kept = self.scratch.certain[word];
            for bit in positions(&[self.scratch.possible[word] & !kept]) {
                let d_an = self.exact((word * PANEL) as u32 + bit);
                kept |= u64::from(admission.admits(d_ap, d_an)) << bit;
            }
            self.scratch.possible[word] = kept;
            count += kept.count_ones() as usize;
        }
        count
    }

    /// The admissible negatives of the pair with distance `d_ap`, ascending.
    pub(crate) fn list(&mut self, admission: Admission, d_ap: f64) -> &[u32] {
        self.count(admission, d_ap);
        let Scratch {
            listed, possible, ..
        } = self.scratch;
        listed.clear();
        listed.extend(positions(possible));
        listed
    }

    /// Lists the rows with approximate distance in `span` that `keep` accepts.
    fn keep_listed(&mut self, span: Span, mut keep: impl FnMut(&mut Self, u32) -> bool) {
        let Scratch {
            possible, level, ..
        } = self.scratch;
        mark_within(*level, self.approx, span, possible);
        let mut listed = std::mem::take(&mut self.scratch.listed);
        listed.clear();
        listed.extend(positions(&self.scratch.possible));
        listed.retain(|&negative| keep(self, negative));
        self.scratch.listed = listed;
    }

    /// The closest admissible negative; ties go to the smaller index.
    pub(crate) fn closest(&mut self, admission: Admission, d_ap: f64) -> Option<u32> {
        let bracket = admission.bracket(d_ap, self.slack);
        let limit = self
            .closest_limit(bracket.certain.above)
            .min(bracket.possible.below);
        let span = Span {
            above: bracket.possible.above,
            below: limit,
        };
        self.keep_listed(span, |row, negative| {
            admission.admits(d_ap, row.exact(negative))
        });
        self.nearest_listed().map(|(negative, _)| negative)
    }

    /// The nearest row of another label and its f64 distance; ties go to the smaller index.
    pub(crate) fn nearest_negative(&mut self) -> Option<(u32, f64)> {
        let limit = self.closest_limit(f32::NEG_INFINITY);
        self.keep_listed(Span::below(limit), |_, _| true);
        self.nearest_listed()
    }

    /// The `k` nearest rows of other labels, the nearest first; ties go to the smaller index.
    pub(crate) fn nearest_negatives(&mut self, k: usize) -> Vec<Neighbour> {
        let mut nearest = Nearest::of_row(self.problem, self.anchor, k);
        nearest.offer(0, self.approx);
        nearest.finish_row()
    }

    /// An approximate distance that the nearest row lies below, among those whose f64 distance
    /// exceeds what a distance above `certain` exceeds: its f64 distance is at most that of the
    /// row with the least approximate one, and each of the two is off by the slack at most.
    fn closest_limit(&self, certain: f32) -> f32 {
        above(f64::from(min_above(self.scratch.level, self.approx, certain)) + 2.0 * self.slack)
    }

    /// The listed row of least f64 distance, the first of equals.
    fn nearest_listed(&mut self) -> Option<(u32, f64)> {
        let listed = std::mem::take(&mut self.scratch.listed);
        let mut nearest = None;
        for &negative in &listed {
            let d_an = self.exact(negative);
            if nearest.is_none_or(|(_, least)| d_an < least) {
                nearest = Some((negative, d_an));
            }
        }
        self.scratch.listed = listed;
        nearest
    }

    /// The farthest row of the anchor's label and its f64 distance; ties go to the smaller index.
    pub(crate) fn farthest_positive(&mut self) -> Option<(u32, f64)> {
        let group = self.problem.group(self.anchor);
        let others = |(place, &row): (usize, &u32)| (row as usize != self.anchor).then_some(place);
        let places: Vec<usize> = group.iter().enumerate().filter_map(others).collect();
        let approx = |scratch: &Scratch, place: usize| f64::from(scratch.positives[place]);
        let greatest = places.iter().map(|&place| approx(self.scratch, place));
        let limit = greatest.fold(f64::NEG_INFINITY, f64::max) - 2.0 * self.slack;
        let mut farthest = None;
        for place in places {
            if approx(self.scratch, place) >= limit {
                let d_ap = self.exact(group[place]);
                if farthest.is_none_or(|(_, most)| d_ap > most) {
                    farthest = Some((group[place], d_ap));
                }
            }
        }
        farthest
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Embeddings, Rule};

    /// Anchor 0 at the origin of a line; rows 0 and 1 share a label. Every approximate distance
    /// is wrong by nearly the whole slack.
    pub(crate) fn with_row<T>(
        points: &[f32],
        sign: f64,
        look: impl FnOnce(&mut Row<'_>) -> T,
    ) -> T {
        let mut labels: Vec<u32> = (0..points.len() as u32).collect();
        labels[1] = 0;
        let embeddings = Embeddings::new(points, 1).expect("points on a line");
        let problem = Problem::new(embeddings, &labels).expect("a label a row");
        let slack = problem.slack().of_row(problem.sq_norms()[0]);
        let off = |row| (problem.exact(0, row) + sign * 0.9 * slack) as f32;
        let mut approx: Vec<f32> = (0..points.len()).map(off).collect();
        approx.resize(points.len().next_multiple_of(PANEL), f32::INFINITY);
        let mut scratch = Scratch::new(points.len());
        look(&mut Row::new(&problem, 0, &mut approx, &mut scratch))
    }

    #[test]
    fn f64_decides_at_the_bounds() {
        // d_ap = 0.25, margin 0.75: 1.0 is on the bound and out; its neighbour below is in.
        let points = [
            0.0,
            0.5,
            1.0,
            1.0f32.next_down(),
            0.5,
            0.5f32.next_up(),
            2.0,
        ];
        for sign in [-1.0, 1.0] {
            let list = |rule| {
                let admission = Admission::new(rule, 0.75);
                with_row(&points, sign, |row| {
                    let listed = row.list(admission, 0.25).to_vec();
                    assert_eq!(row.count(admission, 0.25), listed.len());
                    listed
                })
            };
            assert_eq!(list(Rule::Violating), [3, 4, 5]);
            assert_eq!(list(Rule::SemiHard), [3, 5]);
        }
    }

    #[test]
    fn the_closest_is_the_nearest_of_the_list() {
        let points = [0.0, 0.5, 0.7, -0.7, 0.6, -0.6, 0.4];
        for sign in [-1.0, 1.0] {
            with_row(&points, sign, |row| {
                let semi_hard = Admission::new(Rule::SemiHard, 0.75);
                assert_eq!(row.closest(semi_hard, 0.25), Some(4));
                assert_eq!(
                    row.closest(Admission::new(Rule::Violating, 0.75), 0.25),
                    Some(6)
                );
                assert_eq!(
                    row.closest(Admission::new(Rule::SemiHard, 0.01), 0.25),
                    None
                );
            });
        }
    }

    #[test]
    fn hardest_ties_go_to_the_smaller_index() {
        with_row(&[0.0, 0.5, 0.7, -0.6, 0.6], 1.0, |row| {
            assert_eq!(
                row.nearest_negative().map(|(negative, _)| negative),
                Some(3)
            );
            assert_eq!(row.farthest_positive(), Some((1, 0.25)));
        });
    }
}
