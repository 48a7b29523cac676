//! What can stop a training run.

use std::io;
use std::path::{Path, PathBuf};

use facenet_dataset::DatasetError;
use facenet_files::FileError;
use facenet_gallery::GalleryError;
use facenet_lfw::LfwError;
use facenet_miner::MineError;
use facenet_model::ModelError;

use crate::watch::{COLLAPSE_STEPS, Collapse};

/// Why a run cannot begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A flag's value, or several together, cannot train.
    #[error("{flag}: {problem}")]
    Config {
        /// The flag, as typed.
        flag: &'static str,
        /// What was found, what is expected and what to do.
        problem: String,
    },
    /// The data do not serve the run.
    #[error("{}: {what}; {remedy}", .path.display())]
    Data {
        /// File or folder.
        path: PathBuf,
        /// What is wrong, found and expected.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// A number is no longer finite.
    #[error("step {step}: {what}; {}", remedy_of_divergence(*.step))]
    Diverged {
        /// Optimizer steps made before.
        step: u64,
        /// Which number, and its value.
        what: String,
    },
    /// The embeddings have become one point, where the loss has no slope that parts them.
    #[error(
        "step {step}: the embeddings have collapsed: for {steps} steps the loss has been within \
         1 % of {}, what it is where all embeddings are the same, and their spread has fallen \
         from {highest_spread:.3} to {spread:.2e}; lower --learning-rate, in a new run or \
         with --resume CHECKPOINT, or begin anew with --on-collapse rollback, --warm-up-steps, \
         --rule semi-hard or a larger --people-per-batch", *.level as f32
    )]
    Collapsed {
        /// Optimizer steps made before.
        step: u64,
        /// Steps that showed it.
        steps: usize,
        /// Loss of embeddings that are all the same.
        level: f64,
        /// Highest spread of an earlier step, from 0 to 1.
        highest_spread: f64,
        /// Spread of the last step.
        spread: f64,
    },
    /// Mining finds nothing to train on any more.
    #[error(
        "step {step}: {rounds} rounds in a row gave no triplet under rule {rule} (last loss: \
         {}); {}",
        .last_loss.map_or_else(|| "none yet".to_owned(), |loss| loss.to_string()),
        remedy_of_starvation(*.images, *.is_one_identity)
    )]
    Starved {
        /// Optimizer steps made before.
        step: u64,
        /// Empty rounds in a row.
        rounds: u32,
        /// Name of the mining rule.
        rule: String,
        /// Loss of the last step, if there was one.
        last_loss: Option<f64>,
        /// Images of the last of them that could be read.
        images: usize,
        /// Whether those, two or more, were of one identity.
        is_one_identity: bool,
    },
    /// A checkpoint is not what this run can go on from.
    #[error("{}: {what}; {remedy}", .path.display())]
    Checkpoint {
        /// The checkpoint's folder, or the file in it.
        path: PathBuf,
        /// What is wrong, found and expected.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// Another process has the run.
    #[error("{}: another process trains here; wait for its end, or stop it", .path.display())]
    Busy {
        /// The run's folder.
        path: PathBuf,
    },
    /// The work was asked to stop, and did.
    #[error("stopped, as asked")]
    Interrupted,
    /// A run was asked to stop, and has kept its last complete step.
    #[error("stopped after step {step}, as asked; go on with: facenet train --resume {}", .run_dir.display())]
    Stopped {
        /// Optimizer steps made.
        step: u64,
        /// The run's folder, which has the checkpoint.
        run_dir: PathBuf,
    },
    /// The learning-rate schedule file cannot be used.
    #[error("{}{}: {what}; {remedy}", .path.display(), line_suffix(*.line))]
    Schedule {
        /// The file.
        path: PathBuf,
        /// The line, from 1, where one is to blame.
        line: Option<usize>,
        /// What is wrong, found and expected.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A file or folder cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file or folder cannot be read.
    #[error(
        "{}: cannot {action}; check that the path exists and that you may use it",
        .path.display()
    )]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb and its object.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// This build, or this machine, does not have the device.
    #[error("--device: {name} {problem}")]
    Device {
        /// The device, as typed.
        name: String,
        /// What it lacks, and what to do.
        problem: String,
    },
    /// Images, folders or recipes are wrong.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The identities cannot be sampled as asked.
    #[error(transparent)]
    Sampler(#[from] facenet_sampler::SamplerError),
    /// Mining cannot be done as asked.
    #[error(transparent)]
    Mine(#[from] MineError),
    /// Pairs or their figures are wrong.
    #[error(transparent)]
    Lfw(#[from] LfwError),
    /// A model is missing, broken or of another kind.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A gallery cannot be read, written, or asked so.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// A tensor operation failed.
    #[error("tensor operation failed; check the device's memory and --device")]
    Candle(#[from] candle_core::Error),
}

/// What kind of thing went wrong: the exit codes of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitClass {
    /// The command was asked for something impossible.
    Usage = 2,
    /// Images, pairs or lists are missing or broken.
    Data = 3,
    /// Training diverged, or found nothing to train on.
    Diverged = 4,
    /// A checkpoint or model is missing, broken or of another kind.
    Model = 5,
    /// The disk, the memory or the device is not available: a CUDA device too that this build or
    /// this machine does not have.
    Resources = 6,
    /// The work was asked to stop: 128 and the number of the interrupt signal, as a shell says it.
    Stopped = 130,
}

impl ExitClass {
    /// The exit code.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl TrainError {
    /// What `flag` is wrong about: found, expected, what to do.
    pub fn config(flag: &'static str, problem: impl Into<String>) -> Self {
        Self::Config {
            flag,
            problem: problem.into(),
        }
    }

    /// After `step` steps, `what` is not finite.
    pub fn diverged(step: u64, what: impl Into<String>) -> Self {
        Self::Diverged {
            step,
            what: what.into(),
        }
    }

    /// After `step` steps, the embeddings are one point.
    pub(crate) fn collapsed(step: u64, collapse: Collapse) -> Self {
        Self::Collapsed {
            step,
            steps: COLLAPSE_STEPS,
            level: collapse.level,
            highest_spread: collapse.highest_spread,
            spread: collapse.spread,
        }
    }

    /// After `step` steps, `rounds` rounds under `rule` gave nothing.
    pub fn starved(
        step: u64,
        rounds: u32,
        rule: impl Into<String>,
        last_loss: Option<f64>,
    ) -> Self {
        Self::Starved {
            step,
            rounds,
            rule: rule.into(),
            last_loss,
            images: 2,
            is_one_identity: false,
        }
    }

    /// A checkpoint, or a file of one, that cannot be used.
    ///
    /// - `what`: may hold what a file says, of which no control character is kept
    pub fn checkpoint(path: &Path, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Checkpoint {
            path: path.to_owned(),
            what: what.into().replace(char::is_control, " "),
            remedy: remedy.into(),
        }
    }

    /// A file-system call that failed; `action` is a verb and its object.
    pub fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            action,
            source,
        }
    }

    /// The kind of error. An unwritable folder or full disk is [`ExitClass::Resources`], whoever
    /// wrote; a schedule or recipe file that is missing or wrong is [`ExitClass::Usage`], as a
    /// flag would be, and so are sizes that a network does not have (those of a saved model are
    /// its file's fault).
    pub fn exit_class(&self) -> ExitClass {
        match self {
            Self::Dataset(DatasetError::Write { .. } | DatasetError::Thread { .. })
            | Self::Lfw(LfwError::Write { .. })
            | Self::Mine(MineError::Device { .. })
            | Self::Model(ModelError::Write(_))
            | Self::Busy { .. }
            | Self::File(_)
            | Self::Io { .. }
            | Self::Device { .. }
            | Self::Candle(_) => ExitClass::Resources,
            Self::Mine(
                MineError::OpenFile { .. }
                | MineError::FileLength { .. }
                | MineError::Misaligned { .. }
                | MineError::Header { .. }
                | MineError::Tensor { .. },
            ) => ExitClass::Data,
            Self::Config { .. }
            | Self::Schedule { .. }
            | Self::Mine(_)
            | Self::Model(ModelError::Config { .. })
            | Self::Dataset(DatasetError::Recipe { .. } | DatasetError::Config { .. })
            | Self::Lfw(
                LfwError::FarTarget { .. }
                | LfwError::NothingAsked { .. }
                | LfwError::CalibrationFar { .. }
                | LfwError::FalseAlarms { .. },
            ) => ExitClass::Usage,
            Self::Gallery(error) => of_gallery(error),
            Self::Data { .. } | Self::Dataset(_) | Self::Sampler(_) | Self::Lfw(_) => {
                ExitClass::Data
            }
            Self::Diverged { .. } | Self::Collapsed { .. } | Self::Starved { .. } => {
                ExitClass::Diverged
            }
            Self::Checkpoint { .. } | Self::Model(_) => ExitClass::Model,
            Self::Interrupted | Self::Stopped { .. } => ExitClass::Stopped,
        }
    }
}

/// A gallery is data, but for what belongs to the model, the command line or the disk.
fn of_gallery(error: &GalleryError) -> ExitClass {
    match error {
        GalleryError::Io { source, .. } if source.kind() != io::ErrorKind::NotFound => {
            ExitClass::Resources
        }
        GalleryError::Write(_) | GalleryError::StillThere { .. } => ExitClass::Resources,
        GalleryError::Model { .. }
        | GalleryError::Recipe { .. }
        | GalleryError::Dim { .. }
        | GalleryError::Ragged { .. }
        | GalleryError::NotUnit { .. } => ExitClass::Model,
        GalleryError::Name { .. } => ExitClass::Usage,
        _ => ExitClass::Data,
    }
}

/// Before the first step no rate is to blame.
fn remedy_of_divergence(step: u64) -> &'static str {
    if step == 0 {
        "check the images and the weights of --pretrained-model: no step has been made yet"
    } else {
        "lower --learning-rate, in a new run or with --resume CHECKPOINT, or begin anew with \
         --clip-gradient-norm or --warm-up-steps"
    }
}

fn remedy_of_starvation(images: usize, is_one_identity: bool) -> &'static str {
    if images < 2 {
        "of the last round's images no two could be read: mend the images, as `facenet doctor` lists \
         them"
    } else if is_one_identity {
        "all images of the last round are of one identity, and a negative is of another: add \
         identities with readable images"
    } else {
        "raise --margin, --people-per-batch or --images-per-person, or choose another --rule"
    }
}

fn line_suffix(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(":{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: &TrainError, class: ExitClass, code: u8, message: &str) {
        assert_eq!(error.exit_class(), class);
        assert_eq!(error.exit_class().code(), code);
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn a_round_that_could_not_be_read_is_not_said_to_be_of_one_identity() {
        let said = |images, is_one_identity| {
            let error = TrainError::Starved {
                step: 0,
                rounds: 3,
                rule: "violating".to_owned(),
                last_loss: None,
                images,
                is_one_identity,
            };
            error.to_string()
        };
        assert!(said(0, false).contains("no two could be read: mend the images"));
        assert!(said(9, true).contains("are of one identity"));
        assert!(said(9, false).contains("raise --margin"));
    }

    #[test]
    fn a_flag_is_named_first() {
        let error = TrainError::config("--batch-size", "found 4, expected a multiple of 3");
        check(
            &error,
            ExitClass::Usage,
            2,
            "--batch-size: found 4, expected a multiple of 3",
        );
    }

    #[test]
    fn a_schedule_names_file_and_line() {
        let error = |line| TrainError::Schedule {
            path: "rates.txt".into(),
            line,
            what: "found nothing".to_owned(),
            remedy: "write lines `epoch: rate`",
        };
        let rest = ": found nothing; write lines `epoch: rate`";
        check(
            &error(Some(3)),
            ExitClass::Usage,
            2,
            &format!("rates.txt:3{rest}"),
        );
        check(
            &error(None),
            ExitClass::Usage,
            2,
            &format!("rates.txt{rest}"),
        );
    }

    #[test]
    fn every_kind_has_the_exit_code_of_its_contract() {
        let io = TrainError::io(Path::new("x"), "read it", io::ErrorKind::NotFound.into());
        let data = TrainError::Data {
            path: "x".into(),
            what: String::new(),
            remedy: String::new(),
        };
        assert_eq!(io.exit_class().code(), 6);
        assert_eq!(data.exit_class().code(), 3);
        assert_eq!(
            TrainError::diverged(1, "the loss is NaN")
                .exit_class()
                .code(),
            4
        );
        assert_eq!(
            TrainError::starved(1, 2, "violating", None)
                .exit_class()
                .code(),
            4
        );
        assert_eq!(
            TrainError::checkpoint(Path::new("x"), "", "")
                .exit_class()
                .code(),
            5
        );
    }

    #[test]
    fn a_gallery_is_data_unless_the_model_the_disk_or_a_flag_is_to_blame() {
        let io = |kind: io::ErrorKind| GalleryError::Io {
            path: "g".into(),
            what: "read this gallery",
            source: kind.into(),
        };
        let unknown = GalleryError::Unknown {
            name: "Ann".to_owned(),
            n_identities: 0,
        };
        let other = GalleryError::Model {
            found: String::new(),
            expected: String::new(),
        };
        let name = GalleryError::Name {
            found: String::new(),
            why: "it is empty",
        };
        for (error, class) in [
            (io(io::ErrorKind::NotFound), ExitClass::Data),
            (io(io::ErrorKind::PermissionDenied), ExitClass::Resources),
            (unknown, ExitClass::Data),
            (other, ExitClass::Model),
            (name, ExitClass::Usage),
        ] {
            assert_eq!(TrainError::from(error).exit_class(), class);
        }
    }

    #[test]
    fn a_leaf_that_cannot_write_lacks_resources_and_a_bad_setting_is_usage() {
        let denied = || {
            let source = io::ErrorKind::PermissionDenied.into();
            FileError::new(Path::new("x"), "write this file", source)
        };
        for error in [
            TrainError::from(denied()),
            LfwError::from(denied()).into(),
            DatasetError::from(denied()).into(),
            ModelError::from(denied()).into(),
            GalleryError::from(denied()).into(),
        ] {
            assert_eq!(error.exit_class(), ExitClass::Resources);
        }
        let target = TrainError::from(LfwError::FarTarget { found: 2.0 });
        assert_eq!(target.exit_class(), ExitClass::Usage);
    }

    #[test]
    fn a_collapse_is_told_with_its_numbers_and_a_remedy() {
        let collapse = Collapse {
            level: f64::from(0.2f32),
            highest_spread: 0.875,
            spread: 0.0015,
        };
        check(
            &TrainError::collapsed(69, collapse),
            ExitClass::Diverged,
            4,
            "step 69: the embeddings have collapsed: for 25 steps the loss has been within 1 % of \
             0.2, what it is where all embeddings are the same, and their spread has fallen from \
             0.875 to 1.50e-3; lower --learning-rate, in a new run or with --resume CHECKPOINT, \
             or begin anew with --on-collapse rollback, --warm-up-steps, --rule semi-hard or a \
             larger --people-per-batch",
        );
    }

    #[test]
    fn no_rate_is_to_blame_before_the_first_step() {
        let message = |step| TrainError::diverged(step, "the loss is NaN").to_string();
        assert!(message(0).ends_with("no step has been made yet"));
        assert!(message(1).contains("lower --learning-rate"));
    }

    #[test]
    fn starving_tells_the_last_loss() {
        let with = TrainError::starved(7, 10, "semi-hard", Some(0.5)).to_string();
        assert!(with.contains("10 rounds in a row"), "{with}");
        assert!(with.contains("last loss: 0.5"), "{with}");
        let without = TrainError::starved(0, 1, "semi-hard", None).to_string();
        assert!(without.contains("none yet"), "{without}");
    }
}
