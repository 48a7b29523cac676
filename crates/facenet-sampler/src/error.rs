//! What can be wrong with a request for a sample.

/// Why no sample can be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SamplerError {
    /// A round would hold no image, or too few to make a triplet.
    #[error(
        "sampler: {field} is {found}, expected {least} or more; a triplet needs two images of \
         one person and one of another"
    )]
    TooSmall {
        /// Field of [`SamplerConfig`](crate::SamplerConfig).
        field: &'static str,
        /// Its value.
        found: usize,
        /// The smallest value that is allowed.
        least: usize,
    },
    /// The identities together cannot fill a round.
    #[error(
        "sampler: {people_per_batch} people x {images_per_person} images need {needed} images, \
         but the {n_identities} identities offer {offered} when none gives more than \
         {images_per_person}; lower --people-per-batch or --images-per-person, or add images"
    )]
    TooFewImages {
        /// P, identities asked for.
        people_per_batch: usize,
        /// K, most images of one identity.
        images_per_person: usize,
        /// P x K.
        needed: u64,
        /// Sum over identities of the smaller of size and K.
        offered: u64,
        /// Identities with at least one image.
        n_identities: usize,
    },
    /// No identity can give an anchor and a positive.
    #[error(
        "sampler: none of the {n_identities} identities has 2 images or more, so no \
         anchor-positive pair exists; add images or check that the layout is \
         <root>/<identity>/<image>"
    )]
    NoPair {
        /// Identities with at least one image.
        n_identities: usize,
    },
    /// Identities and images are numbered in 32 bits.
    #[error(
        "sampler: {found} identities, expected at most {}; split the data set",
        u32::MAX
    )]
    TooManyIdentities {
        /// Identities given.
        found: usize,
    },
    /// A number of the look-alike sampler is out of range.
    #[error("sampler: {field} is {found}, expected {expected}")]
    OutOfRange {
        /// Field of [`LookAlikeConfig`](crate::LookAlikeConfig).
        field: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A stored state is not of this sampler.
    #[error(
        "sampler: {what}; restore the state that was written for these identities, or begin anew"
    )]
    State {
        /// What is wrong, found and expected.
        what: String,
    },
}
