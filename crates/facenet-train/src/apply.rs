//! What people do with embeddings: thresholds, comparisons, galleries, clusters.

mod average;
mod calibrate;
mod calibration;
mod cluster;
mod dbscan;
mod decision;
mod fingerprint;
mod gallery;
mod identification;
mod people;
mod sorted_folders;
mod verify;

pub use calibrate::{CalibrateRequest, Calibrated, calibrate};
pub use calibration::Calibration;
pub use cluster::{
    ClusterConfig, ClusterMethod, Clustered, DEFAULT_MIN_IMAGES, cluster, to_cluster,
};
pub use decision::{Choice, Decision, decide, decide_rarest};
pub use fingerprint::made_by;
pub use gallery::{
    Candidate, EnrollReport, Enrolment, Identified, IdentifyReport, IdentifyRequest, enroll,
    identify,
};
pub use identification::{evaluate_identification, evaluate_stored_identification};
pub use people::{EmbeddedPeople, embed_people};
pub use sorted_folders::Placing;
pub use verify::verify;
