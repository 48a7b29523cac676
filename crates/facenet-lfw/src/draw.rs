use std::collections::HashMap;

use rand_chacha::ChaCha8Rng;

use crate::deck::Deck;
use crate::name::{ImageKey, ImageName};
use crate::pairs::Pair;
use crate::share::Holding;

/// A name and its images, sorted.
pub(crate) type Images = (String, Vec<ImageKey>);

/// `wanted` same pairs of the members with two images or more, sorted by name.
pub(crate) fn draw_same(members: &[&Images], wanted: u32, rng: &mut ChaCha8Rng) -> Vec<Pair> {
    let able: Vec<_> = members
        .iter()
        .filter(|(_, images)| images.len() > 1)
        .collect();
    let size = |group: u64| Holding::of(able[group as usize].1.len()).same;
    let drawn = draw(able.len() as u64, size, wanted, rng);
    let pairs = drawn.into_iter().map(|(group, card)| {
        let (i, j) = two_of(card);
        let (name, images) = able[group as usize];
        pair(
            (name, &images[i as usize]),
            (name, &images[j as usize]),
            true,
        )
    });
    in_order(pairs.collect())
}

/// `wanted` different pairs among the members, sorted by name.
pub(crate) fn draw_different(members: &[&Images], wanted: u32, rng: &mut ChaCha8Rng) -> Vec<Pair> {
    let mut able: Vec<_> = members
        .iter()
        .filter(|(_, images)| !images.is_empty())
        .collect();
    able.sort();
    let of = |group: u64| {
        let (i, j) = two_of(group);
        (able[i as usize], able[j as usize])
    };
    let size = |group: u64| (of(group).0.1.len() * of(group).1.1.len()) as u64;
    let groups = Holding::of(able.len()).same;
    let pairs = draw(groups, size, wanted, rng)
        .into_iter()
        .map(|(group, card)| {
            let ((name, images), (other, others)) = of(group);
            let (i, j) = (card as usize / others.len(), card as usize % others.len());
            pair((name, &images[i]), (other, &others[j]), false)
        });
    in_order(pairs.collect())
}

/// `wanted` distinct `(group, card)`: the group uniform among those with cards left, then the card.
fn draw(
    groups: u64,
    size: impl Fn(u64) -> u64,
    wanted: u32,
    rng: &mut ChaCha8Rng,
) -> Vec<(u64, u64)> {
    let mut deck = Deck::new(groups);
    let mut cards: HashMap<u64, Deck> = HashMap::new();
    let mut drawn = Vec::new();
    while drawn.len() < wanted as usize && !deck.is_empty() {
        let at = deck.place(rng);
        let group = deck.card(at);
        let left = cards.entry(group).or_insert_with(|| Deck::new(size(group)));
        let place = left.place(rng);
        drawn.push((group, left.card(place)));
        left.remove(place);
        if left.is_empty() {
            deck.remove(at);
        }
    }
    drawn
}

/// The `rank`-th pair `i < j` in the order (0, 1), (0, 2), (1, 2), (0, 3), ...
fn two_of(rank: u64) -> (u64, u64) {
    let mut j = f64::midpoint(1.0, (1.0 + 8.0 * rank as f64).sqrt()) as u64;
    // The root may be off by one through rounding.
    while j * (j - 1) / 2 > rank {
        j -= 1;
    }
    while j * (j + 1) / 2 <= rank {
        j += 1;
    }
    (rank - j * (j - 1) / 2, j)
}

fn pair(a: (&str, &ImageKey), b: (&str, &ImageKey), is_same: bool) -> Pair {
    let image = |(name, image): (&str, &ImageKey)| ImageName {
        name: name.to_owned(),
        image: image.clone(),
    };
    Pair {
        a: image(a),
        b: image(b),
        is_same,
        fold: 1,
        line: 0,
    }
}

fn in_order(mut pairs: Vec<Pair>) -> Vec<Pair> {
    pairs.sort_by(|x, y| {
        (&x.a.name, &x.b.name, &x.a, &x.b).cmp(&(&y.a.name, &y.b.name, &y.a, &y.b))
    });
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deck::generator;

    #[test]
    fn ranks_count_the_pairs() {
        let found: Vec<_> = (0..6).map(two_of).collect();
        assert_eq!(found, [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]);
        let last = 4_000_000_000 * 3_999_999_999 / 2 - 1;
        assert_eq!(two_of(last), (3_999_999_998, 3_999_999_999));
    }

    #[test]
    fn groups_are_drawn_until_their_cards_are_out() {
        let mut drawn = draw(3, |group| group + 1, 100, &mut generator(1, 1));
        drawn.sort_unstable();
        assert_eq!(drawn, [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]);
    }
}
