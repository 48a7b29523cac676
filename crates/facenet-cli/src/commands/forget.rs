//! `facenet forget`.

use std::path::Path;

use facenet_train::TrainError;
use facenet_train::gallery::{Removed, forget, load};
use serde::Serialize;

use crate::args::ForgetArgs;
use crate::failure::Failure;
use crate::report::Output;

/// What `forget --json` prints. Where the proof fails there is an error instead.
#[derive(Debug, Serialize)]
struct Forgotten<'a> {
    gallery: &'a Path,
    name: &'a str,
    templates: usize,
    /// Others who have one of the templates, bit for bit.
    also_under: &'a [String],
    n_identities: usize,
    n_templates: usize,
}

pub(crate) fn run(args: &ForgetArgs, output: Output) -> Result<(), Failure> {
    let removed = forget(&args.gallery, &args.name).map_err(TrainError::from)?;
    let left = load(&args.gallery).map_err(TrainError::from)?;
    let forgotten = Forgotten {
        gallery: &args.gallery,
        name: &args.name,
        templates: removed.n_templates,
        also_under: &removed.also_under,
        n_identities: left.names().len(),
        n_templates: left.n_templates(),
    };
    output.result(&text(args, &removed, &forgotten), &forgotten)
}

fn text(args: &ForgetArgs, removed: &Removed, left: &Forgotten<'_>) -> String {
    let mut text = format!(
        "{}: removed {:?} with {} templates; the file was read again, and neither the name nor the bytes of \
         a template are in it; left are {} templates of {} people",
        args.gallery.display(),
        args.name,
        removed.n_templates,
        left.n_templates,
        left.n_identities,
    );
    if !removed.also_under.is_empty() {
        let others = removed.also_under.join(", ");
        text = format!(
            "{text}\nSome of the templates were also enrolled, bit for bit, under {others}, where they stay"
        );
    }
    text
}
