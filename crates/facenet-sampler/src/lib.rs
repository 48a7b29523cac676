//! Batches of P identities x K images from identity sizes and a seed.
