//! `facenet mine`.

mod lists;

use facenet_train::miner::{Mined, Quantiles, Statistics};
use serde::Serialize;

use crate::args::MineArgs;
use crate::batch;
use crate::failure::Failure;
use crate::miner::Mining;
use crate::report::Output;

/// What `mine --json` prints.
#[derive(Debug, Serialize)]
struct Found {
    rule: String,
    margin: f32,
    seed: u64,
    /// What mined.
    device: String,
    rows: u64,
    masked_rows: u64,
    dim: usize,
    pairs: u64,
    active_share: f64,
    quantiles: Distances,
    /// Anchor, positive and negative of each.
    triplets: Vec<[u32; 3]>,
    /// For every row the nearest of other labels, the nearest first; only where asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hardest_negatives: Vec<Vec<u32>>,
}

/// Quantiles of squared L2, of the pairs and of rows of different labels.
#[derive(Debug, Serialize)]
struct Distances {
    d_ap: Quantiles,
    d_an: Quantiles,
}

pub(crate) fn run(args: &MineArgs, output: Output) -> Result<(), Failure> {
    let mining = Mining::new(&args.rule, output)?;
    if args.stream {
        return lists::run(args, &mining, output);
    }
    let batch = batch::read(&args.embeddings)?;
    let mined = mining.mine(&batch)?;
    let text = text(args, &mined.statistics);
    output.result(&text, &found(args, &mining, batch.dim, &mined))
}

fn found(args: &MineArgs, mining: &Mining, dim: usize, mined: &Mined) -> Found {
    let Mined {
        triplets,
        statistics,
        hardest_negatives,
    } = mined;
    let nearest = |row| hardest_negatives.of(row).iter().map(|near| near.index);
    let rows = triplets.iter().map(|t| [t.anchor, t.positive, t.negative]);
    Found {
        rule: args.rule.rule.to_string(),
        margin: args.rule.margin,
        seed: args.rule.seed,
        device: mining.device().to_string(),
        rows: statistics.rows,
        masked_rows: statistics.masked_rows,
        dim,
        pairs: statistics.pairs,
        active_share: statistics.active_share,
        quantiles: Distances {
            d_ap: statistics.d_ap,
            d_an: statistics.d_an,
        },
        triplets: rows.collect(),
        hardest_negatives: (0..hardest_negatives.len())
            .map(|row| nearest(row).collect())
            .collect(),
    }
}

fn text(args: &MineArgs, statistics: &Statistics) -> String {
    let Statistics {
        rows,
        masked_rows,
        pairs,
        active_share,
        triplets,
        d_ap,
        d_an,
    } = statistics;
    let quantiles = |name: &str, q: &Quantiles| {
        format!(
            "{name}: 5 % {:.4}, median {:.4}, 95 % {:.4}",
            q.q05, q.median, q.q95
        )
    };
    format!(
        "{}: {rows} rows, {masked_rows} of them left out for a NaN or an infinity\n\
         {triplets} triplets by {} of {pairs} pairs, {:.2} % of which are active\n{}\n{}\n\
         (--json gives the triplets)",
        args.embeddings.display(),
        args.rule.rule,
        100.0 * active_share,
        quantiles("d_ap", d_ap),
        quantiles("d_an", d_an),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_counts_rows_pairs_and_triplets() {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            args: MineArgs,
        }
        let line = Line::parse_from(["mine", "--embeddings", "e.safetensors"]);
        let statistics = Statistics {
            rows: 9,
            masked_rows: 1,
            pairs: 8,
            active_share: 0.5,
            triplets: 4,
            ..Statistics::default()
        };
        let text = text(&line.args, &statistics);
        assert!(
            text.starts_with("e.safetensors: 9 rows, 1 of them"),
            "{text}"
        );
        assert!(
            text.contains("4 triplets by violating of 8 pairs, 50.00 %"),
            "{text}"
        );
    }
}
