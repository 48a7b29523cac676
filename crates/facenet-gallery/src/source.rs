//! Where embeddings come from: only those of one source can be compared.

/// What made the embeddings of a gallery: a model, and how a picture is prepared for it.
///
/// Distances between embeddings of two sources mean nothing, though they look like any other;
/// so a gallery takes and searches embeddings of its own source only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// SHA-256 of the model's weights.
    pub model: [u8; 32],
    /// The preparation of a picture, in words of the caller's: compared byte for byte.
    pub recipe: String,
}

/// Embeddings with what made them.
#[derive(Debug, Clone, Copy)]
pub struct Embedded<'a> {
    /// What made them.
    pub source: &'a Source,
    /// `[n, dim]` row-major, unit norm.
    pub rows: &'a [f32],
}

/// The first characters of a fingerprint, for messages.
pub(crate) fn abbreviated(model: &[u8; 32]) -> String {
    let [a, b, c, d, e, f, ..] = model;
    format!("{a:02x}{b:02x}{c:02x}{d:02x}{e:02x}{f:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_told_by_its_first_bytes() {
        let mut model = [0; 32];
        (model[0], model[5], model[6]) = (0xab, 0x01, 0xff);
        assert_eq!(abbreviated(&model), "ab0000000001");
    }
}
