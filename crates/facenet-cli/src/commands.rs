//! One file a command: flags to a library configuration, the call, the report.

pub(crate) mod bench;
pub(crate) mod calibrate;
pub(crate) mod cluster;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod embed;
pub(crate) mod enroll;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod forget;
pub(crate) mod identify;
pub(crate) mod import;
pub(crate) mod man;
pub(crate) mod mine;
pub(crate) mod pairs;
pub(crate) mod prove;
pub(crate) mod report;
pub(crate) mod synth;
pub(crate) mod train;
pub(crate) mod verify;
