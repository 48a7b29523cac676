//! Timing of repeated calls, and what the process has used.

use std::fs;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Calls before the clock starts.
const WARM_UP: usize = 2;
/// Timed calls go on until this much time has passed.
const AT_LEAST: Duration = Duration::from_secs(2);

/// How long calls took, in seconds of wall time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Timing {
    pub(crate) median_s: f64,
    pub(crate) best_s: f64,
    pub(crate) worst_s: f64,
    pub(crate) repeats: usize,
    /// CPU time of all threads, a call; `None` where the system does not say.
    pub(crate) cpu_s: Option<f64>,
    /// CPU time of all threads over wall time.
    pub(crate) cores_used: Option<f64>,
}

/// [`time_for`] [`AT_LEAST`].
pub(crate) fn time<T, E>(
    repeats: usize,
    work: impl FnMut() -> Result<T, E>,
) -> Result<(T, Timing), E> {
    time_for(repeats, AT_LEAST, work)
}

/// Calls `work` [`WARM_UP`] times, then at least `repeats` times and until `at_least` has passed;
/// gives the last call's result.
pub(crate) fn time_for<T, E>(
    repeats: usize,
    at_least: Duration,
    mut work: impl FnMut() -> Result<T, E>,
) -> Result<(T, Timing), E> {
    for _ in 0..WARM_UP {
        work()?;
    }
    let (start, cpu) = (Instant::now(), cpu_time());
    let mut seconds = Vec::new();
    loop {
        let call = Instant::now();
        let result = work()?;
        seconds.push(call.elapsed().as_secs_f64());
        let wall = start.elapsed();
        if seconds.len() >= repeats && wall >= at_least {
            let used = cpu_time()
                .zip(cpu)
                .map(|(end, start)| end.saturating_sub(start));
            return Ok((result, Timing::of(seconds, wall, used)));
        }
    }
}

impl Timing {
    /// The median of an even number of calls is the mean of the middle two.
    fn of(mut seconds: Vec<f64>, wall: Duration, cpu: Option<Duration>) -> Self {
        seconds.sort_unstable_by(f64::total_cmp);
        let (n, last) = (seconds.len(), seconds.len() - 1);
        Self {
            median_s: f64::midpoint(seconds[last / 2], seconds[n / 2]),
            best_s: seconds[0],
            worst_s: seconds[last],
            repeats: n,
            cpu_s: cpu.map(|cpu| cpu.as_secs_f64() / n as f64),
            cores_used: cpu.map(|cpu| cpu.as_secs_f64() / wall.as_secs_f64()),
        }
    }
}

/// CPU time of this process, its threads that have ended included, to a hundredth of a second.
fn cpu_time() -> Option<Duration> {
    cpu_ticks(&fs::read_to_string("/proc/self/stat").ok()?)
        .map(|ticks| Duration::from_millis(ticks * MILLISECONDS_OF_A_TICK))
}

/// Linux tells CPU times to programs in units of this, on every processor of today.
const MILLISECONDS_OF_A_TICK: u64 = 10;

/// User and system time: the 12th and 13th field after the name, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seconds: &[f64], expected: [f64; 3]) {
        let cpu = Duration::from_secs(6);
        let timing = Timing::of(seconds.to_vec(), Duration::from_secs(4), Some(cpu));
        assert_eq!([timing.median_s, timing.best_s, timing.worst_s], expected);
        assert_eq!(timing.repeats, seconds.len());
        assert_eq!(timing.cpu_s, Some(6.0 / seconds.len() as f64));
        assert_eq!(timing.cores_used, Some(1.5));
    }

    #[test]
    fn the_median_is_of_the_sorted_calls() {
        check(&[3.0], [3.0, 3.0, 3.0]);
        check(&[3.0, 1.0], [2.0, 1.0, 3.0]);
        check(&[9.0, 1.0, 2.0], [2.0, 1.0, 9.0]);
        check(&[4.0, 1.0, 2.0, 3.0], [2.5, 1.0, 4.0]);
    }

    #[test]
    fn a_failing_call_ends_the_timing() {
        let mut calls = 0;
        let failed = time(5, || {
            calls += 1;
            if calls < 4 { Ok(()) } else { Err(calls) }
        });
        assert_eq!(failed, Err(4));
    }

    #[test]
    fn cpu_time_is_that_of_user_and_system() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 100 0 0 0 250 30 9 9 20 0 3 0 1 1 1";
        assert_eq!(cpu_ticks(stat), Some(280));
        assert_eq!(cpu_ticks("7 (a"), None);
        if cfg!(target_os = "linux") {
            assert!(cpu_time().is_some());
        }
    }
}
