#![doc = include_str!("../README.md")]

mod arithmetic;
mod config;
mod isa;
mod microkernels;
mod native;
mod nhwc;
mod norm;
mod number;
mod own;
mod pointwise;
mod route;
mod tape;
mod window;

pub use arithmetic::{Arithmetic, Precision};
pub use config::ConvConfig;
pub use isa::{Isa, with_isa};
pub use microkernels::buffer::Memory;
pub use nhwc::algorithm::Algorithm;
pub use nhwc::conv::NhwcConv;
pub use nhwc::kept::KeptWeights;
pub use norm::{BatchStatistics, batch_norm_eval, batch_norm_train};
pub use number::{Bf16, Format};
pub use pointwise::{add_channel_bias, global_average_pool, linear, prelu, relu, residual};
pub use route::Route;
pub use tape::{
    Account, Act, Filter, Ledger, Nhwc, Norm, ParameterGradients, Planned, PlannedConv,
    PlannedPass, Residual, Setting, Tape, plan as plan_nhwc, run as run_nhwc,
};
pub use window::{conv2d, depthwise_conv2d, max_pool2d};
