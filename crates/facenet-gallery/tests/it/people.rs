//! Galleries of people who do not exist.

use facenet_gallery::{Embedded, Gallery, Source};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

pub(crate) fn source() -> Source {
    Source {
        model: [5; 32],
        recipe: "160 pixels".into(),
    }
}

/// Unit rows in random directions.
pub(crate) fn unit_rows(n: usize, dim: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut row = || {
        let uniform = |_| f64::from(rng.next_u32()) / f64::from(u32::MAX) - 0.5;
        let values: Vec<f64> = (0..dim).map(uniform).collect();
        let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-9);
        values.into_iter().map(move |x| (x / norm) as f32)
    };
    (0..n).flat_map(|_| row()).collect()
}

/// Identity `i` is named `i`; templates of all are enrolled in turns.
pub(crate) fn gallery(rows: &[f32], dim: usize, n_identities: usize) -> Gallery {
    let source = source();
    let mut gallery = Gallery::new(source.clone(), dim).expect("a dimension");
    for (i, row) in rows.chunks_exact(dim).enumerate() {
        let embedded = Embedded {
            source: &source,
            rows: row,
        };
        let name = (i % n_identities).to_string();
        gallery.enroll(&name, embedded).expect("unit rows");
    }
    gallery
}
