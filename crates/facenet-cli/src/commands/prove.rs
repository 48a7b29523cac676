//! `facenet prove`: promises about checkpoints, tried on the machine at hand.

mod draws;
mod kills;
mod result;
mod run;
mod stops;
mod tally;
mod trained;

use std::path::PathBuf;
use std::time::Instant;

use tempfile::TempDir;

use crate::args::{ProveArgs, ProveCommand, ProveCommonArgs};
use crate::failure::Failure;
use crate::report::Output;
use crate::signals::Signals;
use draws::Draws;
use result::Final;
use run::Run;
use tally::{Meter, Proof, Proven, Tally};
use trained::Trained;

/// Beginning of the name of the folder that is worked in.
const PREFIX: &str = "facenet-prove-";
/// What runs are disturbed by.
const KILLS: &str = "kills";
const SIGNALS: &str = "signals";

pub(crate) fn run(args: &ProveArgs, output: Output) -> Result<(), Failure> {
    let (common, what, times) = match &args.what {
        ProveCommand::Resume(args) => (&args.common, KILLS, args.kills),
        ProveCommand::Stop(args) => (&args.common, SIGNALS, args.signals),
    };
    let began = Instant::now();
    let signals = Signals::listen();
    let folder = working_folder(common)?;
    let all = Trained::all(common.strategy);
    let mut meter = Meter::new(output, what, times * all.len() as u32);
    let mut proven = Vec::new();
    for &trained in all {
        let root = folder.path().join(trained.name());
        let trial = Trial {
            trained,
            root,
            what,
            times,
            seed: common.seed,
            signals: &signals,
        };
        match trial.prove(&mut meter) {
            Ok(one) => proven.push(one),
            // Nothing was found: the folder goes.
            Err(failure) if signals.come().is_some() => return Err(failure),
            Err(failure) => return Err(kept(folder, failure)),
        }
    }
    meter.finish();
    report(Proof::new(what, proven, began.elapsed()), folder, output)
}

/// One kind of run, disturbed so many times.
struct Trial<'a> {
    trained: Trained,
    root: PathBuf,
    what: &'static str,
    times: u32,
    seed: u64,
    /// To this process.
    signals: &'a Signals,
}

impl Trial<'_> {
    fn prove(&self, meter: &mut Meter) -> Result<Proven, Failure> {
        let whole = self.run("whole")?;
        let length = whole.to_the_end()?;
        let expected = Final::of(&whole)?;
        let mut draws = Draws::new(self.seed, self.trained, length);
        let mut tally = Tally {
            is_of_signals: self.what == SIGNALS,
            ..Tally::default()
        };
        while tally.landed < self.times {
            let run = self.run(&format!("run-{}", tally.runs))?;
            let mut is_done = false;
            while !is_done && tally.landed < self.times {
                is_done = disturb(&run, &mut draws, &mut tally)?;
                meter.set(tally.landed);
            }
            if !is_done {
                run.to_the_end()?;
            }
            tally.runs += 1;
            tally
                .differing
                .extend(Final::of(&run)?.differences(&expected, &run));
            if tally.differing.is_empty() {
                run.remove()?;
            }
        }
        meter.add(tally.landed);
        Ok(Proven::new(self.trained.name(), &tally, length, &expected))
    }

    fn run(&self, name: &str) -> Result<Run, Failure> {
        Run::new(&self.root.join(name), self.trained, self.signals.clone())
    }
}

/// Lets a run go until it is disturbed, or done; true where it is done.
fn disturb(run: &Run, draws: &mut Draws, tally: &mut Tally) -> Result<bool, Failure> {
    if tally.is_of_signals {
        stops::disturb(run, draws, tally)
    } else {
        kills::disturb(run, draws, tally)
    }
}

fn working_folder(common: &ProveCommonArgs) -> Result<TempDir, Failure> {
    let folder = tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir_in(&common.dir);
    folder.map_err(|error| {
        // Without the name, which is drawn.
        let (dir, error) = (common.dir.display(), error.kind());
        Failure::resources(format!(
            "--dir: {dir}: cannot make a folder there ({error})"
        ))
    })
}

/// The failure, and where the runs lie that it is about.
fn kept(folder: TempDir, failure: Failure) -> Failure {
    let folder = folder.keep();
    failure.and(&format!("the runs are kept in {}", folder.display()))
}

fn report(proof: Proof, folder: TempDir, output: Output) -> Result<(), Failure> {
    if proof.differences() == 0 {
        return output.result(&proof.text(), &proof);
    }
    let proof = proof.disproved(folder.keep());
    output.result(&proof.text(), &proof)?;
    Err(Failure::disproved(proof.error.unwrap_or_default()))
}
