//! Identification against every f64 distance, and `forget` against search.

use std::collections::BTreeMap;

use facenet_gallery::{Embedded, Gallery, Searcher, forget, load, save};
use facenet_miner::sq_l2;
use proptest::prelude::*;

use crate::people::{gallery, source, unit_rows};

/// The definition: of every identity the least distance and the first template that has it,
/// sorted by those two.
fn naive(gallery: &Gallery, probe: &[f32], n: usize) -> Vec<(String, u32, u64)> {
    let rows = gallery.rows().chunks_exact(gallery.dim());
    let mut best: BTreeMap<u32, (u64, u32)> = BTreeMap::new();
    for (template, (row, &owner)) in rows.zip(gallery.owners()).enumerate() {
        let found = (sq_l2(row, probe).to_bits(), template as u32);
        let least = best.entry(owner).or_insert(found);
        *least = found.min(*least);
    }
    let mut all: Vec<_> = best
        .into_iter()
        .map(|(owner, found)| (found, owner))
        .collect();
    all.sort_unstable();
    all.truncate(n);
    let name = |owner: u32| gallery.names()[owner as usize].clone();
    all.into_iter()
        .map(|((d, template), owner)| (name(owner), template, d))
        .collect()
}

fn found(gallery: &Gallery, probes: &[f32], n: usize) -> Vec<Vec<(String, u32, u64)>> {
    let source = source();
    let embedded = Embedded {
        source: &source,
        rows: probes,
    };
    let found = Searcher::new(gallery).identify(embedded, 1.0, n);
    let found = found.expect("unit rows");
    let list = |nearest: &[facenet_gallery::Match<'_>]| {
        let entry = nearest
            .iter()
            .map(|m| (m.name.to_owned(), m.template, m.sq_l2.to_bits()));
        entry.collect()
    };
    found
        .iter()
        .map(|probe| {
            let is_below = probe.nearest.first().is_some_and(|m| m.sq_l2 < 1.0);
            assert_eq!(probe.is_known, is_below);
            list(&probe.nearest)
        })
        .collect()
}

proptest! {
    #[test]
    fn the_nearest_identities_are_the_naive_ones(
        dim in 2usize..40,
        n_rows in 1usize..300,
        n_identities in 1usize..20,
        n in 1usize..6,
        seed in any::<u64>(),
        copies in any::<bool>(),
    ) {
        let mut rows = unit_rows(n_rows, dim, seed);
        if copies {
            // Others' templates, bit for bit: ties between identities.
            let half = rows.len() / dim / 2 * dim;
            let (first, second) = rows.split_at_mut(half);
            second[..half].copy_from_slice(first);
        }
        let gallery = gallery(&rows, dim, n_identities);
        let probes = [&rows[..n_rows.min(7) * dim], &unit_rows(3, dim, !seed)].concat();
        let found = found(&gallery, &probes, n);
        for (probe, found) in probes.chunks_exact(dim).zip(found) {
            prop_assert_eq!(found, naive(&gallery, probe, n));
        }
    }
}

/// No bit depends on the threads, nor on which probes are searched for together.
#[test]
fn threads_and_company_do_not_matter() {
    let dim = 64;
    let rows = unit_rows(20_000, dim, 1);
    let gallery = gallery(&rows, dim, 5000);
    let probes = unit_rows(13, dim, 2);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("threads")
            .install(|| found(&gallery, &probes, 3))
    };
    let together = on(1);
    assert_eq!(together, on(3));
    for (probe, expected) in probes.chunks_exact(dim).zip(&together) {
        assert_eq!(found(&gallery, probe, 3), std::slice::from_ref(expected));
        assert_eq!(naive(&gallery, probe, 3), *expected);
    }
}

/// Who is forgotten is found neither by search nor in the file's bytes; the others are as before.
#[test]
fn forgetting_is_proven_by_search_and_by_bytes() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = folder.path().join("g");
    let (dim, rows) = (32, unit_rows(600, 32, 3));
    let before = gallery(&rows, dim, 100);
    save(&path, &before).expect("writable");
    let removed = forget(&path, "42").expect("enrolled");
    assert_eq!((removed.n_templates, removed.also_under.len()), (6, 0));
    let after = load(&path).expect("just written");
    assert_eq!((after.names().len(), after.n_templates()), (99, 594));
    let bytes = std::fs::read(&path).expect("just written");
    for (at, row) in rows.chunks_exact(dim).enumerate() {
        let needle: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
        let is_there = memchr::memmem::find(&bytes, &needle).is_some();
        let owner = (at % 100).to_string();
        assert_eq!(is_there, owner != "42", "{at}");
        let nearest = &found(&after, row, 1)[0][0];
        assert_eq!(nearest.0 == owner, owner != "42", "{at}");
        assert_eq!(nearest.2 == 0, owner != "42", "{at}");
    }
}
