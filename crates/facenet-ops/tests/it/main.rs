//! Every operation against naive loops, finite differences, and the other route.

mod bf16;
mod gradients;
mod kernels;
mod naive;
mod routes;
mod special;
mod tape;
mod tensors;
