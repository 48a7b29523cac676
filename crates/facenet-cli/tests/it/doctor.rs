//! `doctor`: what is found, told three ways, and the exit code that says whether to train on it.

use std::fs;

use serde_json::{Value, json};

use crate::support::{DATA, MODEL, Scratch, USAGE};

fn picture(person: u32, number: u32) -> String {
    format!("synth_{person:05}/synth_{person:05}_{number:04}.png")
}

fn copy(scratch: &Scratch, from: &str, to: &str) {
    let bytes = fs::read(scratch.path(&format!("faces/{from}"))).expect("synthetic");
    scratch.write(to, bytes);
}

/// `kind: images` of the findings of an object, the grave ones with a mark.
fn found(object: &Value) -> Vec<String> {
    let findings = object["findings"].as_array().expect("a list").iter();
    let line = |one: &Value| {
        let images = one["images"].as_array().expect("a list").iter();
        let images: Vec<_> = images.map(|path| path.as_str().expect("a path")).collect();
        let mark = if one["is_grave"] == true { "!" } else { "" };
        let kind = one["kind"].as_str().expect("a word");
        format!("{mark}{kind}: {}", images.join(" "))
    };
    findings.map(line).collect()
}

#[test]
fn the_example_runs_and_a_sound_folder_has_nothing() {
    let scratch = Scratch::with_faces();
    let help = scratch.run("doctor --help").done().stdout;
    let example = help
        .lines()
        .nth(2)
        .and_then(|line| line.strip_prefix("Example: facenet "));
    let example = example.unwrap_or_else(|| panic!("no example at the beginning of {help}"));
    let told = scratch.run(example).done();
    let expected = "faces: 12 identities, 48 images, 48 readable\nNothing found\n";
    assert_eq!(told.stdout, expected);
    let page = scratch.read("suspects.html");
    assert!(page.contains("<p>0 found, 0 of them grave"), "{page}");
    let object = scratch.run("doctor faces --json").done().json();
    let expected = json!({
        "folder": "faces", "identities": 12, "images": 48, "readable": 48, "counts": {},
        "grave": 0, "separation": null, "html": null, "findings": [], "exit_code": 0,
    });
    assert_eq!(object, expected);
}

#[test]
fn planted_faults_are_told_in_a_table_an_object_and_a_page() {
    let scratch = Scratch::with_faces();
    scratch.write("faces/synth_00001/broken.jpg", "no picture");
    scratch.write("faces/synth_00001/notes.txt", "no picture");
    copy(&scratch, &picture(2, 1), "faces/synth_00003/<b>.png");
    copy(&scratch, &picture(4, 1), "faces/lonely/1.png");
    copy(&scratch, &picture(5, 1), "test/x/1.png");
    let line = "doctor faces --against test --html page.html";
    let told = scratch.run(line);
    assert_eq!(told.code, DATA, "{told:#?}");
    let message = "faces: training on it would be wrong for 3 reason(s), marked with ! in the \
        list; mend or leave out what they name";
    assert_eq!(told.error(), message);
    for part in [
        "\nduplicate             2      2\n",
        "\n! duplicate: faces/synth_00002/synth_00002_0001.png, faces/synth_00003/<b>.png: the \
         same file under 2 names\n",
        "\n  unreadable: faces/synth_00001/broken.jpg: a text is not read",
        "\n! overlap: faces/synth_00005/synth_00005_0001.png, test/x/1.png: the same file as one \
         of test\n",
    ] {
        assert!(
            told.stdout.contains(part),
            "lacks {part:?}: {}",
            told.stdout
        );
    }
    let object = scratch.run(&format!("{line} --json"));
    assert_eq!(
        (object.code, object.stdout.lines().count()),
        (DATA, 1),
        "{object:#?}"
    );
    let object = object.json();
    assert_eq!(
        (&object["error"], &object["exit_code"]),
        (&message.into(), &DATA.into())
    );
    let faces = |name: String| format!("faces/{name}");
    let expected = [
        "unreadable: faces/synth_00001/broken.jpg".to_owned(),
        "passed-over: faces/synth_00001/notes.txt".to_owned(),
        "single-image: faces/lonely/1.png".to_owned(),
        format!("!duplicate: faces/lonely/1.png {}", faces(picture(4, 1))),
        format!(
            "!duplicate: {} faces/synth_00003/<b>.png",
            faces(picture(2, 1))
        ),
        format!("!overlap: {} test/x/1.png", faces(picture(5, 1))),
    ];
    assert_eq!(found(&object), expected);
    let page = scratch.read("page.html");
    assert_eq!(
        page.matches("<img src=\"data:image/png;base64,iVBOR")
            .count(),
        7,
        "{page}"
    );
    assert!(page.contains("faces/synth_00003/&lt;b&gt;.png") && !page.contains("<b>"));
    for loads in ["http://", "https://", "<script", "src=\"faces"] {
        assert!(!page.contains(loads), "{loads}");
    }
}

/// A network that has seen two steps tells nobody apart; its word is not grave.
#[test]
fn people_are_compared_by_embedding() {
    let scratch = Scratch::with_run();
    for number in 1..5 {
        copy(
            &scratch,
            &picture(6, number),
            &format!("faces/other_name/{number}.png"),
        );
        copy(
            &scratch,
            &picture(7, number),
            &format!("test/someone/{number}.png"),
        );
    }
    let line = "doctor faces --model run/model --against test --json";
    let run = scratch.run(line);
    assert_eq!(run.code, DATA, "the copies are grave: {run:#?}");
    let object = run.json();
    let separation = &object["separation"];
    assert_eq!(separation["same_pairs"], 13 * 6, "{separation}");
    let below = separation["same_below"].as_f64().expect("measured");
    let above = separation["other_above"].as_f64().expect("measured");
    assert!(0.0 < below && below <= above && above < 4.0, "{separation}");
    let names = |kind: &str, names: [&str; 2]| {
        let findings = object["findings"].as_array().expect("a list").iter();
        let mut of_kind = findings.filter(|one| one["kind"] == kind);
        let found = of_kind.find(|one| one["identities"] == json!(names));
        found.unwrap_or_else(|| panic!("no {kind} of {names:?}: {object:#}"))["sq_l2"].as_f64()
    };
    assert!(names("two-names", ["other_name", "synth_00006"]) < Some(below));
    assert!(names("same-person", ["synth_00007", "someone"]) < Some(below));
    // Nothing is below 0, nothing beyond 4: by those lines nobody is suspicious.
    let quiet = scratch
        .run(&format!("{line} --same-below 0 --other-above 4"))
        .json();
    assert_eq!(quiet["separation"]["same_below"], 0.0);
    assert!(
        quiet["findings"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|one| one["sq_l2"].is_null())
    );
}

#[test]
fn what_cannot_be_looked_through_is_refused() {
    let scratch = Scratch::with_run();
    scratch.refuses("doctor gone", DATA, &["gone: cannot read"]);
    scratch.refuses(
        "doctor faces --against run",
        DATA,
        &["run: no identity with an image"],
    );
    scratch.refuses("doctor faces --model gone", MODEL, &["gone"]);
    let line = "doctor faces --model run/model --same-below 5";
    scratch.refuses(line, USAGE, &["--same-below: found 5", "from 0 to 4"]);
    assert_eq!(scratch.run("doctor faces --same-below 1").code, USAGE);
}
