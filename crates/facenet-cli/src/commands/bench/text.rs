//! What `bench train`, `forward` and `load` print for people.

use std::fmt::Write as _;

use super::work::Timed;

/// A line of what was timed, and a line a figure.
pub(super) fn table(timed: &Timed) -> String {
    let timing = &timed.timing;
    let mut text = format!("{}\n", subject(timed));
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<14}{value}");
    };
    row(
        "images/s",
        format!(
            "{:.2} (worst {:.2}, best {:.2} of {} calls of {} images)",
            timed.images_per_s,
            timed.images_per_s_worst,
            timed.images_per_s_best,
            timing.repeats,
            timed.images,
        ),
    );
    if let (Some(gflops), Some(share), Some(peak)) =
        (timed.gflops, timed.share_of_peak, timed.peak_gflops)
    {
        let percent = 100.0 * share;
        row(
            "GFLOP/s",
            format!("{gflops:.1}, {percent:.1} % of {peak:.1} in registers"),
        );
    }
    row("cores used", known(timing.cores_used, 2));
    row(
        "peak memory",
        format!("{} MiB of the process", known(timed.peak_rss_mib, 0)),
    );
    text
}

/// `train: mobilefacenet, 112 x 112 pixels, 128 numbers, ...`.
fn subject(timed: &Timed) -> String {
    let mut parts = Vec::new();
    if let Some(network) = &timed.network {
        parts.push(network.model_def.clone());
        parts.push(format!("{} numbers", network.embedding_size));
    }
    parts.push(format!("{0} x {0} pixels", timed.image_size));
    parts.push(format!("batch {}", timed.batch_size));
    parts.extend(timed.optimizer.clone());
    if let Some(network) = &timed.network {
        parts.push(network.precision.to_owned());
        let state = if network.winograd { "on" } else { "off" };
        parts.push(format!("Winograd {state}"));
    }
    parts.push(format!("{} threads", timed.threads));
    format!("{}: {}", timed.bench, parts.join(", "))
}

fn known(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(
        || "unknown".to_owned(),
        |number| format!("{number:.digits$}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timing;
    use crate::commands::bench::work::NetworkOf;

    fn timed() -> Timed {
        Timed {
            bench: "train",
            network: Some(NetworkOf {
                model_def: "mobilefacenet".to_owned(),
                embedding_size: 128,
                precision: "f32",
                winograd: false,
            }),
            optimizer: Some("ADAM".to_owned()),
            image_size: 112,
            batch_size: 90,
            seed: 666,
            threads: 2,
            images: 90,
            images_per_s: 45.0,
            images_per_s_best: 60.0,
            images_per_s_worst: 30.0,
            gflops: Some(58.4),
            peak_gflops: Some(233.6),
            share_of_peak: Some(0.25),
            timing: Timing {
                median_s: 2.0,
                best_s: 1.5,
                worst_s: 3.0,
                repeats: 3,
                cpu_s: None,
                cores_used: Some(1.5),
            },
            peak_rss_mib: None,
        }
    }

    #[test]
    fn a_table_says_what_was_timed_and_its_figures() {
        let expected = "train: mobilefacenet, 128 numbers, 112 x 112 pixels, batch 90, ADAM, f32, \
            Winograd off, 2 threads\n\
            images/s      45.00 (worst 30.00, best 60.00 of 3 calls of 90 images)\n\
            GFLOP/s       58.4, 25.0 % of 233.6 in registers\n\
            cores used    1.50\n\
            peak memory   unknown MiB of the process\n";
        assert_eq!(table(&timed()), expected);
    }

    #[test]
    fn loading_has_no_network_and_no_operations() {
        let loaded = Timed {
            bench: "load",
            network: None,
            optimizer: None,
            gflops: None,
            ..timed()
        };
        let table = table(&loaded);
        assert!(
            table.starts_with("load: 112 x 112 pixels, batch 90, 2 threads\n"),
            "{table}"
        );
        assert!(!table.contains("GFLOP"), "{table}");
    }
}
