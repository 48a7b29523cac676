//! `facenet enroll`.

use facenet_train::apply::{Enrolment, enroll};

use crate::args::EnrollArgs;
use crate::commands::embed::{model_source, tell_skipped};
use crate::failure::Failure;
use crate::progress::Console;
use crate::report::Output;

pub(crate) fn run(args: &EnrollArgs, output: Output) -> Result<(), Failure> {
    let source = model_source(args.model.clone(), &args.source)?;
    let enrolment = whom(args)?;
    let mut console = Console::new(output);
    let report = enroll(&source, &args.gallery, &enrolment, &mut console)?;
    drop(console);
    tell_skipped(&report.skipped, output);
    let text = format!(
        "{}: {} templates of {} people added, {} there already; now {} templates of {} people",
        args.gallery.display(),
        report.added,
        report.people,
        report.already,
        report.n_templates,
        report.n_identities,
    );
    output.result(&text, &report)
}

fn whom(args: &EnrollArgs) -> Result<Enrolment, Failure> {
    match (&args.data_dir, &args.name) {
        (Some(folder), None) => Ok(Enrolment::Folder(folder.clone())),
        (None, Some(name)) => Ok(Enrolment::Person {
            name: name.clone(),
            images: args.images.clone(),
        }),
        _ => Err(Failure::usage(
            "--data-dir, --name: give a folder of people, or one person's name and images",
        )),
    }
}
