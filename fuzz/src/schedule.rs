//! Files of learning rates.

use std::path::Path;

use facenet_train::{RateAt, Schedule};

/// Reads rates; one that holds at some epoch is a number above 0.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let Ok(schedule) = Schedule::parse(text, Path::new("fuzz"), 0) else {
        return;
    };
    for epoch in [0, 1, 100, u64::MAX] {
        if let RateAt::Rate(rate) = schedule.at(epoch, 0) {
            assert!(rate.is_finite() && rate > 0.0, "{rate}");
        }
    }
}

/// Rates with a comment, and an end.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    vec![b"# epoch: rate\n0: 0.05\n60: 5e-3\n\n80: -1\n".to_vec()]
}
