//! The fuzz targets of this crate, on their seeds and on damaged copies of them.

#[path = "../../../../fuzz/check.rs"]
pub(crate) mod check;
#[path = "../../../../fuzz/src/checkpoint.rs"]
mod checkpoint;
#[path = "../../../../fuzz/src/events.rs"]
mod events;
#[path = "../../../../fuzz/src/schedule.rs"]
mod schedule;
#[path = "../../../../fuzz/src/stored.rs"]
mod stored;

#[test]
fn damaged_checkpoints_end_in_no_panic() {
    check::check(checkpoint::run, checkpoint::seeds);
}

#[test]
fn damaged_event_files_end_in_no_panic() {
    check::check(events::run, events::seeds);
}

#[test]
fn damaged_schedules_end_in_no_panic() {
    check::check(schedule::run, schedule::seeds);
}

#[test]
fn damaged_stored_embeddings_end_in_no_panic() {
    check::check(stored::run, stored::seeds);
}
