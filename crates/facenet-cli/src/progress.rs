//! How a long command tells where it is: bars on a terminal, the reference's lines elsewhere.

use std::fmt::Write as _;
use std::time::Duration;

use facenet_train::lfw::Report;
use facenet_train::{Event, Health, Observer, Stage};
use indicatif::{ProgressBar, ProgressStyle};

use crate::memory::plan_line;
use crate::report::Output;
use crate::signals::{Signal, Signals};
use crate::stream;

/// Bar of a stage or of the steps; `{per_sec}` and `{eta}` are the rate and the time left.
const TEMPLATE: &str = "{prefix:>10} {wide_bar} {pos}/{len} {per_sec} eta {eta} {msg}";

/// Prints events to stderr.
pub(crate) struct Console {
    output: Output,
    stop: Stop,
    bar: Option<(Work, ProgressBar)>,
}

/// What the one bar on show counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Stage(Stage),
    Steps,
}

impl Work {
    fn prefix(self) -> &'static str {
        match self {
            Work::Stage(Stage::Scan) => "scan",
            Work::Stage(Stage::Measure) => "measure",
            Work::Stage(Stage::Mine) => "mine",
            Work::Stage(Stage::Classify) => "classify",
            Work::Stage(Stage::Score) => "score",
            Work::Stage(Stage::Embed) => "embed",
            Work::Steps => "train",
        }
    }

    fn unit_total(self, total: u64) -> ProgressBar {
        let style = ProgressStyle::with_template(TEMPLATE).expect("a constant template");
        ProgressBar::new(total)
            .with_style(style)
            .with_prefix(self.prefix())
    }
}

/// Whether signals stop the work at its next chunk.
enum Stop {
    /// They end the process, as the system has it.
    Never,
    /// They will, from the first time that the work asks: before, there is nothing to keep.
    Later,
    Listening(Signals),
    /// The person has been told.
    Told(Signal),
}

impl Console {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output,
            stop: Stop::Never,
            bar: None,
        }
    }

    /// With signals that stop the work.
    pub(crate) fn that_stops(output: Output) -> Self {
        Self {
            stop: Stop::Later,
            ..Self::new(output)
        }
    }

    /// The signal that has stopped the work.
    pub(crate) fn stopped_by(&self) -> Option<Signal> {
        match self.stop {
            Stop::Told(signal) => Some(signal),
            _ => None,
        }
    }

    /// Moves the bar of `work`, and shows it first where another is on show.
    fn advance(&mut self, work: Work, done: u64, total: u64, message: String) {
        if self.output.quiet || !self.output.is_terminal {
            return;
        }
        if self
            .bar
            .as_ref()
            .is_none_or(|(shown, bar)| *shown != work || bar.length() != Some(total))
        {
            self.clear();
            let bar = work.unit_total(total).with_position(done.saturating_sub(1));
            bar.reset_eta();
            bar.enable_steady_tick(Duration::from_millis(500));
            self.bar = Some((work, bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(done);
            bar.set_message(message);
        }
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// A line that stays, also under a bar.
    fn line(&self, text: &str) {
        match &self.bar {
            _ if self.output.quiet => {}
            Some((_, bar)) => bar.println(text),
            None => stream::tell(text),
        }
    }
}

impl Observer for Console {
    fn is_stop_asked(&mut self) -> bool {
        if let Stop::Later = self.stop {
            self.stop = Stop::Listening(Signals::listen());
        }
        if let Stop::Listening(signals) = &self.stop
            && let Some(signal) = signals.come()
        {
            let name = signal.name();
            self.stop = Stop::Told(signal);
            self.line(&format!(
                "{name}: stopping, and keeping the last complete step; another one quits at once"
            ));
        }
        matches!(self.stop, Stop::Told(_))
    }

    fn event(&mut self, event: &Event<'_>) {
        match *event {
            Event::Progress { stage, done, total } => {
                self.advance(Work::Stage(stage), done as u64, total as u64, String::new());
                if done >= total {
                    self.clear();
                }
            }
            Event::Stepped {
                step,
                total_steps,
                loss,
                epoch,
                ..
            } => {
                let message = format!("epoch {epoch} loss {loss:.3}");
                self.advance(Work::Steps, step, total_steps, message);
                if !self.output.is_terminal {
                    self.line(&line(event).unwrap_or_default());
                }
                if step == total_steps {
                    self.clear();
                }
            }
            Event::Warning(text) => {
                // Warnings show also when quiet: something needs mending.
                self.clear();
                stream::tell(&format!("warning: {text}"));
            }
            _ => {
                if let Some(text) = line(event) {
                    self.line(&text);
                }
            }
        }
    }
}

/// The event as the reference prints it, or in its manner.
fn line(event: &Event<'_>) -> Option<String> {
    Some(match *event {
        Event::Mined {
            statistics,
            triplets,
            seconds,
            ..
        } => format!(
            "(nrof_pairs, nrof_triplets) = ({}, {triplets}): time={seconds:.3} seconds, \
             active {:.1} %",
            statistics.pairs,
            100.0 * statistics.active_share
        ),
        Event::Stepped {
            epoch,
            step_in_epoch,
            epoch_size,
            loss,
            health,
            seconds,
            ..
        } => format!(
            "Epoch: [{epoch}][{step_in_epoch}/{epoch_size}]\tTime {seconds:.3}\tLoss {loss:2.3}\t{}",
            healthy(&health)
        ),
        Event::Scored {
            is_ema,
            report,
            step,
            missing,
            ..
        } => {
            let weights = if is_ema { "moving average" } else { "weights" };
            let caveat = if missing == 0 {
                String::new()
            } else {
                format!("; {missing} pairs missing: not an LFW result")
            };
            format!(
                "After step {step}, {weights}{caveat}\n{}",
                score_lines(report)
            )
        }
        Event::Planned(plan) => plan_line(plan),
        Event::Saved { path } => format!("Saved {}", path.display()),
        Event::Note(text) => text.to_owned(),
        _ => return None,
    })
}

/// What a step shows of the embeddings, behind the reference's columns.
fn healthy(health: &Health) -> String {
    let mut text = String::new();
    let percent = [
        ("Active", health.active_share),
        ("Accuracy", health.accuracy),
    ];
    for (name, share) in percent {
        if let Some(share) = share {
            let _ = write!(text, "{name} {:.1} %\t", 100.0 * share);
        }
    }
    for (name, quantiles) in [("d_ap", health.d_ap), ("d_an", health.d_an)] {
        if let Some([_, median, _]) = quantiles {
            let _ = write!(text, "{name} {median:.3}\t");
        }
    }
    let _ = write!(
        text,
        "Spread {:.3}\tGradient {:.3}",
        health.spread, health.gradient_norm
    );
    text
}

/// The reference's two lines of a score.
pub(crate) fn score_lines(report: &Report) -> String {
    report.to_string()
}
