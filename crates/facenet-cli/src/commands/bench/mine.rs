//! `facenet bench mine`.

use facenet_train::peak_rss_mib;
use serde::Serialize;

use crate::args::BenchMineArgs;
use crate::batch::{self, Batch};
use crate::clock::{Timing, time};
use crate::failure::Failure;
use crate::miner::Mining;
use crate::report::Output;

/// What `bench mine --json` prints.
#[derive(Debug, Serialize)]
struct Timed {
    bench: &'static str,
    /// `None` where hardest negatives alone are searched for.
    rule: Option<String>,
    hardest_negatives: usize,
    device: String,
    n: usize,
    dim: usize,
    threads: usize,
    seed: u64,
    pairs: u64,
    triplets: u64,
    #[serde(flatten)]
    timing: Timing,
    /// Of the whole process: the program, the rows and the work.
    peak_rss_mib: Option<f64>,
}

pub(crate) fn run(args: &BenchMineArgs, output: Output) -> Result<(), Failure> {
    let mining = Mining::new(&args.rule, output)?;
    let batch = rows(args)?;
    let (mined, timing) = if args.search_only {
        time(args.repeats, || mining.search(&batch))?
    } else {
        time(args.repeats, || mining.mine(&batch))?
    };
    let timed = Timed {
        bench: "mine",
        rule: (!args.search_only).then(|| args.rule.rule.to_string()),
        hardest_negatives: args.rule.hardest_negatives,
        device: mining.device().to_string(),
        n: batch.labels.len(),
        dim: batch.dim,
        threads: mining.threads(),
        seed: args.rule.seed,
        pairs: mined.statistics.pairs,
        triplets: mined.statistics.triplets,
        timing,
        peak_rss_mib: peak_rss_mib(),
    };
    output.result(&text(&timed), &timed)
}

fn rows(args: &BenchMineArgs) -> Result<Batch, Failure> {
    match &args.embeddings {
        Some(file) => Ok(batch::read(file)?),
        None => batch::drawn(args.people, args.images, args.dim, args.rule.seed),
    }
}

fn text(timed: &Timed) -> String {
    let Timing {
        median_s,
        best_s,
        worst_s,
        repeats,
        cpu_s,
        cores_used,
    } = &timed.timing;
    let known = |number: Option<f64>| {
        number.map_or_else(|| "unknown".to_owned(), |number| format!("{number:.2}"))
    };
    let search = format!("hardest {} negatives", timed.hardest_negatives);
    let what = timed.rule.as_ref().unwrap_or(&search);
    let cpu_ms = cpu_s.map(|seconds| 1e3 * seconds);
    format!(
        "{} on {} x {}, {}, {} threads: median {:.3} ms, best {:.3}, worst {:.3} of {repeats} calls\n\
         {} triplets of {} pairs; CPU time a call: {} ms on {} cores; peak memory of the process: {} MiB",
        what,
        timed.n,
        timed.dim,
        timed.device,
        timed.threads,
        1e3 * median_s,
        1e3 * best_s,
        1e3 * worst_s,
        timed.triplets,
        timed.pairs,
        known(cpu_ms),
        known(*cores_used),
        known(timed.peak_rss_mib),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_what_was_timed() {
        let timed = |rule: Option<&str>| Timed {
            bench: "mine",
            rule: rule.map(str::to_owned),
            hardest_negatives: 64,
            device: "cpu".to_owned(),
            n: 1800,
            dim: 128,
            threads: 2,
            seed: 666,
            pairs: 10,
            triplets: 7,
            timing: Timing {
                median_s: 0.002,
                best_s: 0.001,
                worst_s: 0.004,
                repeats: 5,
                cpu_s: None,
                cores_used: Some(1.5),
            },
            peak_rss_mib: Some(11.25),
        };
        let mined = text(&timed(Some("violating")));
        assert!(
            mined.starts_with("violating on 1800 x 128, cpu, 2 threads: median 2.000 ms"),
            "{mined}"
        );
        assert!(
            mined.contains("7 triplets of 10 pairs; CPU time a call: unknown"),
            "{mined}"
        );
        let searched = text(&timed(None));
        assert!(
            searched.starts_with("hardest 64 negatives on"),
            "{searched}"
        );
    }
}
