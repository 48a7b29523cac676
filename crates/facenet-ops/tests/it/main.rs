//! Every operation against naive loops, finite differences, and the other route.

mod bf16;
mod bf16_tape;
mod gradients;
mod kernels;
mod naive;
mod net;
mod routes;
mod special;
mod tape;
mod tensors;
mod winograd;
