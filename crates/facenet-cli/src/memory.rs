//! The memory of a run, for people.

use std::fmt::Write as _;

use facenet_train::{DryRun, MemoryPlan};

/// One line: the sum, and what it is made of.
pub(crate) fn plan_line(plan: &MemoryPlan) -> String {
    let parts = [
        ("model", Some(plan.model_mib)),
        ("activations", plan.activations_mib),
        ("gradients", Some(plan.gradients_mib)),
        (
            "classifier",
            (plan.classifier_mib > 0.0).then_some(plan.classifier_mib),
        ),
        ("optimizer", Some(plan.optimizer_mib)),
        ("images", Some(plan.images_mib)),
        ("loader", Some(plan.loader_mib)),
        ("program", Some(plan.program_mib)),
    ];
    let known = parts.iter().filter_map(|(what, mib)| Some((what, (*mib)?)));
    let parts: Vec<_> = known
        .map(|(what, mib)| format!("{what} {mib:.0}"))
        .collect();
    let mut line = format!(
        "Memory: about {:.0} MiB, a step {:.0} ({})",
        plan.total_mib,
        plan.step_mib,
        parts.join(", ")
    );
    if plan.activations_mib.is_none() {
        line += "; without what the device holds";
    }
    if plan.total_mib > plan.step_mib {
        let _ = write!(line, "; while it saves {:.0} of copies", plan.saving_mib);
    }
    line
}

/// What a dry run came to.
pub(crate) fn dry_run_text(made: &DryRun) -> String {
    let measured = made
        .peak_rss_mib
        .map_or("not known".to_owned(), |mib| format!("{mib:.0} MiB"));
    format!(
        "dry-run: one step of {} images, loss {:.3}\nMemory: {:.0} MiB planned, {measured} measured\n\
         Time:   {:.2} s to load, embed and mine the round, {:.2} s for the step: {:.1} images/s\n",
        made.images,
        made.loss,
        made.memory.step_mib,
        made.round_seconds,
        made.step_seconds,
        made.images_per_second
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const PLAN: MemoryPlan = MemoryPlan {
        program_mib: 20.0,
        model_mib: 8.0,
        optimizer_mib: 4.0,
        gradients_mib: 8.4,
        classifier_mib: 0.0,
        activations_mib: Some(100.0),
        loader_mib: 3.0,
        images_mib: 7.0,
        step_mib: 150.4,
        saving_mib: 12.0,
        total_mib: 150.4,
    };

    #[test]
    fn a_line_has_the_sum_and_its_parts() {
        let expected = "Memory: about 150 MiB, a step 150 (model 8, activations 100, gradients 8, \
                        optimizer 4, images 7, loader 3, program 20)";
        assert_eq!(plan_line(&PLAN), expected);
    }

    #[test]
    fn what_is_elsewhere_and_what_saving_takes_are_told() {
        let plan = MemoryPlan {
            activations_mib: None,
            total_mib: 160.0,
            ..PLAN
        };
        let line = plan_line(&plan);
        assert!(
            line.contains("without what the device holds; while it saves 12 of copies"),
            "{line}"
        );
        assert!(!line.contains("activations"), "{line}");
    }

    #[test]
    fn planned_and_measured_stand_beside_each_other() {
        let made = DryRun {
            status: "dry-run",
            memory: PLAN,
            peak_rss_mib: Some(149.0),
            round_seconds: 1.0,
            step_seconds: 2.0,
            images: 30,
            images_per_second: 10.0,
            loss: 0.25,
        };
        let text = dry_run_text(&made);
        assert!(
            text.contains("150 MiB planned, 149 MiB measured\n"),
            "{text}"
        );
        assert!(
            text.contains("2.00 s for the step: 10.0 images/s"),
            "{text}"
        );
    }
}
