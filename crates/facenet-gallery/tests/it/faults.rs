//! Each operation of enrolling and forgetting failing in turn: the old gallery or the new one.

use std::path::Path;

use facenet_files::faults::{Fault, Problem, Scenario, Told};
use facenet_files::{Disk, FileSystem};
use facenet_gallery::{
    Embedded, Gallery, GalleryError, Source, forget_on, load, update, update_on,
};

fn source() -> Source {
    Source {
        model: [3; 32],
        recipe: "160 pixels".into(),
    }
}

fn enrol(
    files: &dyn FileSystem,
    path: &Path,
    name: &str,
    row: [f32; 2],
) -> Result<(), GalleryError> {
    let source = source();
    let fresh = Gallery::new(source.clone(), 2)?;
    let enrolled = update_on(files, path, Some(fresh), |gallery| {
        let (source, rows) = (&source, row.as_slice());
        gallery.enroll(name, Embedded { source, rows })
    });
    enrolled.map(drop)
}

/// Names and templates.
type State<'a> = (&'a [&'a str], usize);

fn check(
    name: &str,
    act: &dyn Fn(&dyn FileSystem, &Path) -> Result<(), GalleryError>,
    new: State<'_>,
) {
    let old: State<'_> = (&["Ann", "Bob"], 2);
    let folder = tempfile::tempdir().expect("a scratch folder");
    let scenario = Scenario {
        prepare: &|root| {
            enrol(&Disk, &root.join("g"), "Ann", [1.0, 0.0])?;
            Ok(enrol(&Disk, &root.join("g"), "Bob", [0.0, 1.0])?)
        },
        act: &|files, root| Ok(act(files, &root.join("g"))?),
        check: &|root, told| {
            check_told(told)?;
            let gallery = load(&root.join("g"))?;
            let names: Vec<_> = gallery.names().iter().map(String::as_str).collect();
            let found = (names.as_slice(), gallery.n_templates());
            if found != new && (found != old || told.is_done()) {
                return Err(format!("found {found:?}").into());
            }
            // Whoever comes next clears up, and can go on.
            update(&root.join("g"), None, |_| Ok(()))?;
            match std::fs::read_dir(root)?.count() {
                1 => Ok(()),
                names => Err(format!("found {names} names").into()),
            }
        },
    };
    let count = scenario.run(&folder.path().join("trials")).expect(name);
    println!("faults: {name}: {count}");
}

/// A full disk is told with the bytes needed.
fn check_told(told: &Told) -> Result<(), Problem> {
    match &told.error {
        Some(error)
            if told.fault == Some(Fault::Full) && !error.contains("bytes, and the disk") =>
        {
            Err(format!("found {error:?}").into())
        }
        _ => Ok(()),
    }
}

#[test]
fn enrolling() {
    let act = |files: &dyn FileSystem, path: &Path| enrol(files, path, "Cid", [0.0, -1.0]);
    check("gallery, enrol", &act, (&["Ann", "Bob", "Cid"], 3));
}

#[test]
fn forgetting() {
    let act = |files: &dyn FileSystem, path: &Path| forget_on(files, path, "Ann").map(drop);
    check("gallery, forget", &act, (&["Bob"], 1));
}
