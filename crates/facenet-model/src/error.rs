//! What can be wrong with a model.

use std::io;
use std::path::{Path, PathBuf};

use facenet_files::FileError;

use crate::config::Architecture;

/// Why a model cannot be built, loaded, saved or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// No network has this name.
    #[error("no network is called {found:?}; expected inception_resnet_v1 or mobilefacenet")]
    Architecture {
        /// The name given.
        found: String,
    },
    /// The network cannot have this size.
    #[error("{architecture}: {what}: found {found}, expected {expected}")]
    Config {
        /// The network.
        architecture: Architecture,
        /// Which value.
        what: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: String,
    },
    /// Tensors given do not make up the network.
    #[error(
        "{architecture} with {embedding_size} numbers: {problem}; give tensors of this network"
    )]
    Tensors {
        /// The network.
        architecture: Architecture,
        /// Numbers of an embedding.
        embedding_size: usize,
        /// Missing, left-over and misshapen tensors.
        problem: String,
    },
    /// Images that the network cannot take.
    #[error("images: found {found}, expected {expected}; change the batch or the image size")]
    Images {
        /// Shape and type given.
        found: String,
        /// Shape and type that would do.
        expected: String,
    },
    /// The model is to run in `bf16` where there is none.
    #[error("bf16: found {found}, expected f32 on the CPU by its own route; use f32 there")]
    Precision {
        /// The model's type, device and route.
        found: String,
    },
    /// A file or folder of a model is broken or foreign.
    #[error("{}: {problem}; {remedy}", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What was found and expected.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A file or folder of a model cannot be written.
    #[error(transparent)]
    Write(#[from] FileError),
    /// A file or folder of a model cannot be read.
    #[error("{}: cannot {action}; check that the path exists and may be used", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// Values cannot be put into a file of this kind.
    #[error("{what}: cannot be written as a file ({reason})")]
    Encode {
        /// The tensors or the configuration.
        what: &'static str,
        /// What the encoder says.
        reason: String,
    },
    /// No folded batch norm was measured.
    #[error(
        "batch norms: nothing was measured, expected images through a model with folded norms; show \
         it some, and leave a model with norms of its own as it is"
    )]
    Unmeasured,
    /// A tensor operation failed.
    #[error("tensor operation failed; check shapes, and the device's memory")]
    Candle(#[from] candle_core::Error),
}

impl ModelError {
    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            action,
            source,
        }
    }

    pub(crate) fn file(path: &Path, problem: impl Into<String>, remedy: &'static str) -> Self {
        Self::File {
            path: path.to_owned(),
            problem: problem.into(),
            remedy,
        }
    }

    pub(crate) fn encode(what: &'static str, reason: &dyn std::fmt::Display) -> Self {
        Self::Encode {
            what,
            reason: reason.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;

    #[test]
    fn a_message_names_file_and_remedy_and_leaves_the_source_to_the_chain() {
        let path = Path::new("runs/model/config.json");
        let broken = ModelError::file(path, "found 0 bytes", "copy it again").to_string();
        assert_eq!(
            broken,
            "runs/model/config.json: found 0 bytes; copy it again"
        );
        let refused = ModelError::io(path, "read the file", io::Error::other("disk on fire"));
        let message = refused.to_string();
        assert!(message.starts_with("runs/model/config.json: cannot read the file; "));
        assert!(!message.contains("fire"), "{message}");
        let source = refused.source().expect("the system's reason");
        assert_eq!(source.to_string(), "disk on fire");
    }
}
