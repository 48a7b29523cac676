//! `facenet bench`: what parts of the work cost on this machine.

mod mine;
mod text;
mod work;

use crate::args::{BenchArgs, BenchCommand};
use crate::failure::Failure;
use crate::report::Output;

pub(crate) fn run(args: &BenchArgs, output: Output) -> Result<(), Failure> {
    match &args.what {
        BenchCommand::Train(args) => work::train(args, output),
        BenchCommand::Forward(args) => work::forward(args, output),
        BenchCommand::Load(args) => work::load(args, output),
        BenchCommand::Mine(args) => mine::run(args, output),
    }
}
