//! Embeddings seen from where they vary most.

use serde::Serialize;

use super::plane::Plane;
use crate::embedder::Rows;

/// People who are told apart, those with the most images.
const MAX_PEOPLE: usize = 20;
/// Points of all others, at most, spread evenly over their images.
const MAX_OTHERS: usize = 3_000;

/// Embeddings on their first two principal components.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Projection {
    /// Share of the variance along either axis.
    pub explained: [f64; 2],
    /// The people with the most images, two at least, the most first.
    pub people: Vec<String>,
    /// All images of those, and some of the others.
    pub points: Vec<Projected>,
}

/// An image in the plane.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Projected {
    /// Along the first component, from the mean.
    pub x: f64,
    /// Along the second.
    pub y: f64,
    /// Whose image it is, an index of [`Projection::people`]; `None` for the others.
    pub person: Option<usize>,
}

impl Projection {
    /// - `owners`: whose image each row is, an index of `names`
    pub(super) fn of(rows: &Rows, owners: &[u32], names: &[String]) -> Option<Self> {
        let plane = Plane::of(&rows.values, rows.dim)?;
        let chosen = with_most_images(owners, names.len());
        let person = |owner: u32| chosen.iter().position(|&one| one == owner);
        let n_others = owners
            .iter()
            .filter(|&&owner| person(owner).is_none())
            .count();
        let every = n_others.div_ceil(MAX_OTHERS).max(1);
        let mut others = 0;
        let mut points = Vec::new();
        for (row, &owner) in rows.values.chunks_exact(rows.dim).zip(owners) {
            let person = person(owner);
            others += usize::from(person.is_none());
            if person.is_some() || others % every == 0 {
                let [x, y] = plane.place(row);
                points.push(Projected { x, y, person });
            }
        }
        let people = chosen.iter().map(|&one| names[one as usize].clone());
        Some(Self {
            explained: plane.explained,
            people: people.collect(),
            points,
        })
    }
}

/// The people with the most images, of equals the first; nobody with one alone.
fn with_most_images(owners: &[u32], n_people: usize) -> Vec<u32> {
    let mut images = vec![0u32; n_people];
    for &owner in owners {
        images[owner as usize] += 1;
    }
    let mut people: Vec<u32> = (0..n_people as u32).collect();
    people.retain(|&one| images[one as usize] > 1);
    people.sort_by_key(|&one| std::cmp::Reverse(images[one as usize]));
    people.truncate(MAX_PEOPLE);
    people
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("p{i}")).collect()
    }

    fn rows(n: usize) -> Rows {
        Rows {
            values: (0..2 * n).map(|i| (i as f32).sin()).collect(),
            dim: 2,
            ids: Vec::new(),
        }
    }

    #[test]
    fn people_with_the_most_images_are_told_apart() {
        let owners = [0, 1, 1, 2, 3, 3, 3];
        let found = Projection::of(&rows(7), &owners, &names(4)).expect("they vary");
        assert_eq!(found.people, ["p3", "p1"]);
        let people: Vec<_> = found.points.iter().map(|point| point.person).collect();
        let (first, second) = (Some(0), Some(1));
        assert_eq!(people, [None, second, second, None, first, first, first]);
    }

    #[test]
    fn of_many_others_some_are_shown() {
        let n = 7_000;
        let owners: Vec<u32> = (0..n as u32).collect();
        let found = Projection::of(&rows(n), &owners, &names(n)).expect("they vary");
        assert!(found.people.is_empty());
        assert_eq!(found.points.len(), n / 3);
    }
}
