//! `facenet bench`: what parts of the work cost on this machine.

mod mine;

use crate::args::{BenchArgs, BenchCommand};
use crate::failure::Failure;
use crate::report::Output;

pub(crate) fn run(args: &BenchArgs, output: Output) -> Result<(), Failure> {
    match &args.what {
        BenchCommand::Mine(args) => mine::run(args, output),
    }
}
