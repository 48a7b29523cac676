//! `fixtures` against servers that stall, cut off, redirect, corrupt and ignore ranges.
//!
//! The real server could not be reached where this was written.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use xtask::{Fixtures, Source, Summary};

use crate::server::{Act, Server};

/// How long a test's client waits for a byte: short where a stall is staged, since only the
/// waiting makes such a test slow, and far longer than a loaded machine holds up an answer.
const STALLED: Duration = Duration::from_secs(2);

/// Long enough for any loaded machine, and never waited for.
const PATIENT: Duration = Duration::from_mins(1);

/// Names of the wanted files; 20 pictures, so that a cut can fall between them.
pub(crate) fn names() -> Vec<String> {
    let pictures = (0..20).map(|n| format!("A_{n}/A_{n}_0001.jpg"));
    pictures.chain(["pairs.txt".to_owned()]).collect()
}

/// Bytes of a file: noise that does not compress, so that the archive is long.
pub(crate) fn content(name: &str) -> Vec<u8> {
    let block = |n: u32| Sha256::digest(format!("{name} {n}").as_bytes());
    (0..100).flat_map(block).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

pub(crate) fn manifest() -> String {
    let line = |name: &String| format!("{}  {name}\n", hex(&Sha256::digest(content(name))));
    names().iter().map(line).collect()
}

/// The archive as the service packs it, with `content(name)` changed by `edit`.
pub(crate) fn archive(edit: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut add = |path: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, path, bytes)
            .expect("in memory");
    };
    add(
        "repo-2a62/images/A_0/A_0_0001.jpg",
        b"the set without funneling",
    );
    for name in names() {
        let folder = if name.contains('/') {
            "images_deepfunneled/"
        } else {
            ""
        };
        add(
            &format!("repo-2a62/{folder}{name}"),
            &edit(&name, content(&name)),
        );
    }
    archive
        .into_inner()
        .and_then(GzEncoder::finish)
        .expect("in memory")
}

fn whole() -> Vec<u8> {
    archive(|_, bytes| bytes)
}

/// A destination with its manifest beside it.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        fs::write(folder.path().join("manifest"), manifest()).expect("written");
        Self { folder }
    }

    pub(crate) fn to(&self) -> PathBuf {
        self.folder.path().join("to")
    }

    fn run(&self, source: Source, subset: bool) -> anyhow::Result<Summary> {
        Fixtures::new(self.folder.path().join("manifest"), self.to(), source)
            .accept_subset(subset)
            .run()
    }

    fn fetch(&self, server: &Server, read_timeout: Duration) -> anyhow::Result<Summary> {
        let backoff = Duration::from_millis(1);
        self.run(
            Source::archive(&server.url, read_timeout, 3, backoff),
            false,
        )
    }

    /// Every file lies there with its bytes, and nothing else does.
    #[track_caller]
    fn holds_exactly(&self, names: &[String]) {
        let mut found = files_below(&self.to());
        found.sort();
        let mut expected = names.to_vec();
        expected.sort();
        assert_eq!(found, expected);
        for name in names {
            assert_eq!(
                fs::read(self.to().join(name)).expect("it is there"),
                content(name)
            );
        }
    }
}

fn files_below(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for entry in entries.map(|entry| entry.expect("readable")) {
        let name = entry.file_name().into_string().expect("UTF-8");
        if entry.path().is_dir() {
            files.extend(
                files_below(&entry.path())
                    .iter()
                    .map(|below| format!("{name}/{below}")),
            );
        } else {
            files.push(name);
        }
    }
    files
}

/// The download succeeds with all files, after as many requests as there are `acts`.
#[track_caller]
fn succeeds(acts: &[Act], read_timeout: Duration) -> Vec<String> {
    let (place, server) = (Place::new(), Server::start(whole(), acts));
    let summary = place.fetch(&server, read_timeout).expect("all files come");
    assert_eq!((summary.added, summary.missing.len()), (names().len(), 0));
    place.holds_exactly(&names());
    assert_eq!(
        server.requests().len(),
        acts.len(),
        "{:?}",
        server.requests()
    );
    server.requests()
}

/// The download fails, for these reasons, and leaves nothing half-written.
#[track_caller]
fn fails(body: Vec<u8>, acts: &[Act], reasons: &[&str]) -> (Place, Server) {
    let (place, server) = (Place::new(), Server::start(body, acts));
    let error = place
        .fetch(&server, PATIENT)
        .expect_err("it cannot succeed");
    let message = format!("{error:#}");
    assert!(
        reasons.iter().all(|reason| message.contains(reason)),
        "{message}"
    );
    for name in files_below(&place.to()) {
        assert_eq!(
            fs::read(place.to().join(&name)).expect("it is there"),
            content(&name)
        );
    }
    (place, server)
}

#[test]
fn a_plain_answer_brings_every_file() {
    succeeds(&[Act::Whole], PATIENT);
    succeeds(&[Act::Chunked], PATIENT);
}

#[test]
fn a_cut_off_answer_is_continued_by_a_range() {
    let requests = succeeds(&[Act::CutAfter(20_000), Act::Ranged], PATIENT);
    assert!(requests[1].contains("range: bytes=20000-"), "{requests:?}");
}

#[test]
fn a_server_may_ignore_ranges() {
    succeeds(&[Act::CutAfter(20_000), Act::Whole], PATIENT);
    succeeds(&[Act::ChunkedCutAfter(20_000), Act::Chunked], PATIENT);
    let cuts = [5_000, 10_000, 20_000, 30_000, 50_000].map(Act::CutAfter);
    succeeds(&[&cuts[..], &[Act::Chunked]].concat(), PATIENT);
}

#[test]
fn a_stall_is_noticed_and_tried_again() {
    succeeds(&[Act::StallAfter(20_000), Act::Ranged], STALLED);
    succeeds(&[Act::StallAfter(0), Act::Whole], STALLED);
}

#[test]
fn redirects_are_followed_by_path_and_by_url() {
    let target = Server::start(whole(), &[Act::Whole]);
    let acts = [
        Act::Redirect("/elsewhere".into()),
        Act::Redirect(target.url.clone()),
    ];
    let (place, server) = (Place::new(), Server::start(Vec::new(), &acts));
    place.fetch(&server, PATIENT).expect("all files come");
    place.holds_exactly(&names());
    assert!(
        server.requests()[1].starts_with("get /elsewhere "),
        "{:?}",
        server.requests()
    );
}

#[test]
fn redirects_to_unsafe_places_and_in_circles_are_refused() {
    let unsafe_place = Act::Redirect("http://example.org/x".into());
    fails(
        whole(),
        &[unsafe_place],
        &["http://example.org/x", "use an https address"],
    );
    fails(
        whole(),
        &[Act::Redirect("/x".into())],
        &["more than 5 redirects"],
    );
}

#[test]
fn a_busy_server_is_tried_again_and_a_missing_page_is_not() {
    succeeds(&[Act::Status(503), Act::Status(429), Act::Whole], PATIENT);
    let (_, server) = fails(whole(), &[Act::Status(404)], &["404", "/archive.tar.gz"]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_server_that_never_answers_well_is_given_up() {
    let (_, server) = fails(
        whole(),
        &[Act::Status(500)],
        &["gave up after 3 failures", "500"],
    );
    assert_eq!(server.requests().len(), 3);
    let always_cut = [Act::CutAfter(20_000)];
    fails(
        whole(),
        &always_cut,
        &["files are missing", "gave up after 3 failures"],
    );
}

#[test]
fn a_corrupt_file_is_named_with_both_hashes_and_not_kept() {
    let bad = "A_3/A_3_0001.jpg";
    let body = archive(|name, bytes| {
        if name == bad {
            b"other".to_vec()
        } else {
            bytes
        }
    });
    // `printf other | sha256sum`
    let found = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";
    let expected = hex(&Sha256::digest(content(bad)));
    let (place, _) = fails(body, &[Act::Whole], &[bad, &expected, found]);
    let rest: Vec<_> = names().into_iter().filter(|name| name != bad).collect();
    place.holds_exactly(&rest);
}

#[test]
fn a_damaged_stream_is_fetched_again_from_its_start() {
    let mut damaged = whole();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 100].fill(0);
    let (place, server) = (Place::new(), Server::start(damaged, &[Act::Whole]));
    let error = place.fetch(&server, PATIENT).expect_err("always damaged");
    assert!(error.to_string().contains("content is wrong"), "{error:#}");
    assert_eq!(server.requests().len(), 3);
    let from_the_start = |request: &String| !request.contains("range:");
    assert!(server.requests().iter().all(from_the_start));
    let good = Server::start(whole(), &[Act::Whole]);
    place
        .fetch(&good, PATIENT)
        .expect("the next run completes it");
    place.holds_exactly(&names());
}

#[test]
fn a_second_run_fetches_nothing_and_mends_a_damaged_file() {
    let (place, server) = (Place::new(), Server::start(whole(), &[Act::Whole]));
    place.fetch(&server, PATIENT).expect("all files come");
    let again = place.fetch(&server, PATIENT).expect("nothing to do");
    assert_eq!((again.verified_before, again.added), (names().len(), 0));
    assert_eq!(server.requests().len(), 1);
    fs::File::create(place.to().join("pairs.txt"))
        .and_then(|mut file| file.write_all(b"half"))
        .expect("damaged");
    let mended = place.fetch(&server, PATIENT).expect("mended");
    assert_eq!(
        (mended.verified_before, mended.added),
        (names().len() - 1, 1)
    );
    place.holds_exactly(&names());
}

#[test]
fn an_archive_of_something_else_misses_files() {
    let mut empty = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_ustar();
    header.set_size(0);
    empty
        .append_data(&mut header, "repo/README.md", &b""[..])
        .expect("in memory");
    let body = empty
        .into_inner()
        .and_then(GzEncoder::finish)
        .expect("in memory");
    fails(body, &[Act::Whole], &["no file of the manifest was found"]);
}

#[test]
fn an_archive_on_the_disk_is_as_good() {
    let place = Place::new();
    let path = place.folder.path().join("a.tar.gz");
    fs::write(&path, whole()).expect("written");
    place
        .run(Source::Local(path), false)
        .expect("all files come");
    place.holds_exactly(&names());
}

#[test]
fn a_part_is_an_error_unless_accepted() {
    let place = Place::new();
    let from = place.folder.path().join("from");
    for name in &names()[..3] {
        let path = from.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content(name)).expect("written");
    }
    let error = place
        .run(Source::Local(from.clone()), false)
        .expect_err("a part");
    let message = error.to_string();
    assert!(
        message.starts_with("18 files are missing: A_10/A_10_0001.jpg,"),
        "{message}"
    );
    assert!(message.contains("--subset"), "{message}");
    let summary = place.run(Source::Local(from), true).expect("accepted");
    assert_eq!((summary.verified_before, summary.missing.len()), (3, 18));
}

#[test]
fn a_source_with_one_wrong_file_is_an_error_even_for_a_part() {
    let place = Place::new();
    let from = place.folder.path().join("from");
    fs::create_dir_all(&from).expect("made");
    fs::write(from.join("pairs.txt"), b"other").expect("written");
    let error = place
        .run(Source::Local(from), true)
        .expect_err("a wrong file");
    assert!(
        error.to_string().starts_with("pairs.txt: content is wrong"),
        "{error}"
    );
}
