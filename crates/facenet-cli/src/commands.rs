//! One file a command: flags to a library configuration, the call, the report.

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod embed;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod man;
pub(crate) mod mine;
pub(crate) mod pairs;
pub(crate) mod synth;
pub(crate) mod train;
