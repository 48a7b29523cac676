//! Triplet mining: embeddings and labels in, anchor-positive-negative triplets out.
