//! What has been done and found, as it goes and in the end.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use facenet_train::{EMA_FILE, MODEL_FILE, OPTIMIZER_FILE};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::result::Final;
use crate::failure::Failure;
use crate::report::Output;

const TEMPLATE: &str = "{prefix:>10} {wide_bar} {pos}/{len} {per_sec} eta {eta}";

/// Counts of one strategy.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Whether disturbances are signals, not kills.
    pub(super) is_of_signals: bool,
    /// Disturbances that met a run that was not done.
    pub(super) landed: u32,
    /// Runs that were taken to their end.
    pub(super) runs: u32,
    pub(super) before_first_checkpoint: u32,
    pub(super) during_save: u32,
    pub(super) between_saves: u32,
    /// Signals whose run kept its last complete step.
    pub(super) kept: u32,
    /// Signals that ended a process that had no state yet.
    pub(super) before_it_listened: u32,
    /// Longest time from a signal to the end.
    pub(super) slowest: Duration,
    pub(super) differing: Vec<String>,
}

/// What was found of one strategy.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Proven {
    strategy: &'static str,
    /// Kills or signals.
    disturbances: u32,
    /// Runs that were disturbed, and then done.
    runs: u32,
    /// Seconds of the run that was not.
    run_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    kills: Option<Kills>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signals: Option<Signals>,
    /// SHA-256 of the undisturbed run's weights, average and optimizer.
    sha256: [String; 3],
    /// What another run's end has that this one's has not.
    differences: Vec<String>,
}

/// Where kills landed.
#[derive(Clone, Copy, Debug, Serialize)]
struct Kills {
    before_first_checkpoint: u32,
    during_save: u32,
    between_saves: u32,
}

/// What signals did.
#[derive(Clone, Copy, Debug, Serialize)]
struct Signals {
    kept: u32,
    before_it_listened: u32,
    slowest_seconds: f64,
}

impl Proven {
    pub(super) fn new(
        strategy: &'static str,
        tally: &Tally,
        length: Duration,
        end: &Final,
    ) -> Self {
        let hash = |name: &str| end.sha256.get(name).cloned().unwrap_or_default();
        let kills = Kills {
            before_first_checkpoint: tally.before_first_checkpoint,
            during_save: tally.during_save,
            between_saves: tally.between_saves,
        };
        let signals = Signals {
            kept: tally.kept,
            before_it_listened: tally.before_it_listened,
            slowest_seconds: tally.slowest.as_secs_f64(),
        };
        Self {
            strategy,
            disturbances: tally.landed,
            runs: tally.runs,
            run_seconds: length.as_secs_f64(),
            kills: (!tally.is_of_signals).then_some(kills),
            signals: tally.is_of_signals.then_some(signals),
            sha256: [MODEL_FILE, EMA_FILE, OPTIMIZER_FILE].map(hash),
            differences: tally.differing.clone(),
        }
    }

    fn text(&self, what: &str) -> String {
        let mut text = format!(
            "{}: {} {what} on {} runs of {:.2} s, {} differences\n",
            self.strategy,
            self.disturbances,
            self.runs,
            self.run_seconds,
            self.differences.len()
        );
        if let Some(kills) = self.kills {
            let _ = writeln!(
                text,
                "  before the first checkpoint {}, during a save {}, between saves {}",
                kills.before_first_checkpoint, kills.during_save, kills.between_saves
            );
        }
        if let Some(signals) = self.signals {
            let _ = writeln!(
                text,
                "  last complete step kept {}, before there was one to keep {}; slowest end {:.2} s",
                signals.kept, signals.before_it_listened, signals.slowest_seconds
            );
        }
        for (name, hash) in ["weights", "average", "optimizer"].iter().zip(&self.sha256) {
            let _ = writeln!(text, "  {name:<10} {hash}");
        }
        for difference in &self.differences {
            let _ = writeln!(text, "  {difference}");
        }
        text
    }
}

/// The result: the object that `prove --json` prints.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Proof {
    /// `proven` or `disproved`.
    status: &'static str,
    /// `kills` or `signals`.
    what: &'static str,
    strategies: Vec<Proven>,
    seconds: f64,
    /// Where disproving runs lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
}

impl Proof {
    pub(super) fn new(what: &'static str, strategies: Vec<Proven>, took: Duration) -> Self {
        Self {
            status: "proven",
            what,
            strategies,
            seconds: took.as_secs_f64(),
            dir: None,
            error: None,
            exit_code: None,
        }
    }

    pub(super) fn differences(&self) -> usize {
        let all = self.strategies.iter();
        all.map(|proven| proven.differences.len()).sum()
    }

    /// With the error and exit code that it comes to.
    pub(super) fn disproved(self, dir: PathBuf) -> Self {
        let error = format!(
            "{} differences between runs that were disturbed and one that was not; the runs are \
             kept in {}",
            self.differences(),
            dir.display()
        );
        Self {
            status: "disproved",
            dir: Some(dir),
            error: Some(error),
            exit_code: Some(Failure::MODEL),
            ..self
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for proven in &self.strategies {
            text += &proven.text(self.what);
        }
        text + &format!("{} in {:.0} s\n", self.status, self.seconds)
    }
}

/// Tells how far it is: a bar on a terminal, a line each tenth elsewhere.
pub(super) struct Meter {
    output: Output,
    what: &'static str,
    bar: Option<ProgressBar>,
    began: Instant,
    total: u32,
    /// Of strategies that are done.
    before: u32,
    told: u32,
}

impl Meter {
    pub(super) fn new(output: Output, what: &'static str, total: u32) -> Self {
        let shows_bar = output.is_terminal && !output.quiet;
        let bar = shows_bar.then(|| {
            let style = ProgressStyle::with_template(TEMPLATE).expect("a constant template");
            ProgressBar::new(u64::from(total))
                .with_style(style)
                .with_prefix(what)
        });
        Self {
            output,
            what,
            bar,
            began: Instant::now(),
            total,
            before: 0,
            told: 0,
        }
    }

    /// So many of the strategy at hand.
    pub(super) fn set(&mut self, landed: u32) {
        let done = self.before + landed;
        if let Some(bar) = &self.bar {
            bar.set_position(u64::from(done));
            return;
        }
        let tenth = 10 * done / self.total;
        if tenth > self.told {
            self.told = tenth;
            let seconds = self.began.elapsed().as_secs_f64();
            let left = seconds / f64::from(done) * f64::from(self.total - done);
            let (what, total) = (self.what, self.total);
            self.output.remark(&format!(
                "{done} of {total} {what}, {seconds:.0} s so far, about {left:.0} s left"
            ));
        }
    }

    /// A strategy is done.
    pub(super) fn add(&mut self, landed: u32) {
        self.before += landed;
    }

    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(differences: &[&str]) -> Proof {
        let proven = Proven {
            strategy: "one-pass",
            disturbances: 3,
            runs: 2,
            run_seconds: 1.5,
            kills: Some(Kills {
                before_first_checkpoint: 1,
                during_save: 0,
                between_saves: 2,
            }),
            signals: None,
            sha256: ["a", "b", "c"].map(str::to_owned),
            differences: differences.iter().map(|&text| text.to_owned()).collect(),
        };
        Proof::new("kills", vec![proven], Duration::from_secs(4))
    }

    #[test]
    fn a_proof_says_where_kills_landed() {
        let text = proof(&[]).text();
        assert!(
            text.contains("one-pass: 3 kills on 2 runs of 1.50 s, 0 differences"),
            "{text}"
        );
        assert!(
            text.contains("before the first checkpoint 1, during a save 0"),
            "{text}"
        );
        assert!(text.ends_with("proven in 4 s\n"), "{text}");
    }

    #[test]
    fn a_difference_is_told_with_its_run() {
        let proof = proof(&["r: model.safetensors"]).disproved("d".into());
        assert!(proof.text().contains("\n  r: model.safetensors\n"));
        let json = serde_json::to_value(&proof).expect("plain fields");
        assert_eq!(
            (&json["status"], &json["exit_code"]),
            (&"disproved".into(), &5.into())
        );
        let error = json["error"].as_str().expect("a text");
        assert!(
            error.contains("1 differences") && error.ends_with("kept in d"),
            "{error}"
        );
    }
}
