use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use rand_chacha::ChaCha8Rng;

use crate::deck::{below, generator};
use crate::draw::{Images, draw_different, draw_same};
use crate::error::{LfwError, shown};
use crate::name::{ImageKey, is_component, is_file_name};
use crate::pairs::{Pair, Pairs};
use crate::resolve::EXTENSIONS;
use crate::share::{Holding, Share, share_out};

/// Someone to make pairs of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The folder's name.
    pub name: String,
    /// The images' file names in it, in any order; repeats count once.
    pub files: Vec<String>,
}

/// How many pairs are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairsConfig {
    /// Folds, at least 1; no person is in two of them.
    pub folds: u32,
    /// Same pairs in a fold, and as many different ones; at least 1.
    pub pairs_per_kind: u32,
    /// Fixes every draw.
    pub seed: u64,
}

impl Default for PairsConfig {
    /// LFW's view 2: 10 folds of 300 pairs of each kind.
    fn default() -> Self {
        Self {
            folds: 10,
            pairs_per_kind: 300,
            seed: 0,
        }
    }
}

/// Makes a pairs file for any folder of people, with people disjoint between folds.
///
/// People are shared out by their number of same pairs, so that each fold can be filled. As LFW's
/// authors did, a same pair is drawn by its person first and then two images, a different
/// pair by two people and then an image of each, uniformly; no pair comes twice. Pairs are
/// sorted by name within a fold. Images are given by number where the file name is LFW's
/// `name_%04d` with one of [`EXTENSIONS`], else by file name. The result depends on
/// the people and the seed, not on the order in which people are given.
///
/// # Errors
/// [`LfwError::TooFewSame`] and [`LfwError::TooFewDifferent`] with what is available,
/// [`LfwError::NothingAsked`], [`LfwError::TwicePerson`], and [`LfwError::Unwritable`] for names
/// that a pairs file cannot hold.
pub fn make_pairs(people: &[Person], config: &PairsConfig) -> Result<Pairs, LfwError> {
    let PairsConfig {
        folds,
        pairs_per_kind: per_kind,
        seed,
    } = *config;
    if folds == 0 || per_kind == 0 {
        return Err(LfwError::NothingAsked { folds, per_kind });
    }
    let people = sorted(people)?;
    check_total(&people, config)?;
    let mut order: Vec<usize> = (0..people.len()).collect();
    shuffle(&mut order, &mut generator(seed, 0));
    let holdings: Vec<_> = order
        .iter()
        .map(|&p| Holding::of(people[p].1.len()))
        .collect();
    let shares = share_out(&holdings, folds as usize, u64::from(per_kind));
    check_shares(&people, &shares, config)?;
    let mut pairs = Vec::new();
    for (fold, share) in shares.iter().enumerate() {
        let members: Vec<_> = share.people.iter().map(|&i| &people[order[i]]).collect();
        let mut rng = generator(seed, fold as u64 + 1);
        pairs.extend(draw_same(&members, per_kind, &mut rng));
        pairs.extend(draw_different(&members, per_kind, &mut rng));
    }
    Ok(numbered(pairs, config))
}

fn sorted(people: &[Person]) -> Result<Vec<Images>, LfwError> {
    let mut by_name = BTreeMap::new();
    for person in people {
        let found = || shown(&person.name);
        if !is_component(&person.name) {
            return Err(LfwError::Unwritable { found: found() });
        }
        if by_name.insert(person.name.clone(), keys(person)?).is_some() {
            return Err(LfwError::TwicePerson { found: found() });
        }
    }
    Ok(by_name.into_iter().collect())
}

fn keys(person: &Person) -> Result<Vec<ImageKey>, LfwError> {
    let mut files: Vec<&str> = person.files.iter().map(String::as_str).collect();
    files.sort_unstable();
    files.dedup();
    if let Some(bad) = files.iter().find(|file| !is_file_name(file)) {
        return Err(LfwError::Unwritable { found: shown(bad) });
    }
    let mut of_number: HashMap<u32, usize> = HashMap::new();
    for number in files.iter().filter_map(|file| number(&person.name, file)) {
        *of_number.entry(number).or_default() += 1;
    }
    // A number must lead to one file, so two with the same stem keep their names.
    let key = |file: &&str| match number(&person.name, file) {
        Some(number) if of_number[&number] == 1 => ImageKey::Number(number),
        _ => ImageKey::File((*file).to_owned()),
    };
    let mut keys: Vec<_> = files.iter().map(key).collect();
    keys.sort();
    Ok(keys)
}

/// The number of a file that follows LFW's convention.
fn number(name: &str, file: &str) -> Option<u32> {
    let (stem, extension) = file.rsplit_once('.')?;
    let digits = stem.strip_prefix(name)?.strip_prefix('_')?;
    let number: u32 = digits.parse().ok()?;
    let is_lfw = format!("{number:04}") == digits && EXTENSIONS.contains(&extension);
    is_lfw.then_some(number)
}

fn counts(people: &[Images]) -> (usize, usize) {
    (
        people.len(),
        people.iter().map(|(_, images)| images.len()).sum(),
    )
}

/// Refuses what no division can give, before anything of that size is allocated.
fn check_total(people: &[Images], config: &PairsConfig) -> Result<(), LfwError> {
    let PairsConfig {
        folds,
        pairs_per_kind: per_kind,
        ..
    } = *config;
    let same: u64 = people
        .iter()
        .map(|(_, images)| Holding::of(images.len()).same)
        .sum();
    let (people, images) = counts(people);
    let fair = same / u64::from(folds);
    if fair < u64::from(per_kind) || (folds as usize) > people {
        let poorest = if folds as usize > people { 0 } else { fair };
        return Err(LfwError::TooFewSame {
            folds,
            per_kind,
            people,
            images,
            same,
            poorest,
        });
    }
    Ok(())
}

fn check_shares(all: &[Images], shares: &[Share], config: &PairsConfig) -> Result<(), LfwError> {
    let PairsConfig {
        folds,
        pairs_per_kind: per_kind,
        ..
    } = *config;
    let (people, images) = counts(all);
    let same = shares.iter().map(|share| share.same).sum();
    let fewest = |of: fn(&Share) -> u64| shares.iter().map(of).min().unwrap_or(0);
    let poorest = fewest(|share| share.same);
    if poorest < u64::from(per_kind) {
        return Err(LfwError::TooFewSame {
            folds,
            per_kind,
            people,
            images,
            same,
            poorest,
        });
    }
    let poorest = fewest(Share::different);
    if poorest < u64::from(per_kind) {
        return Err(LfwError::TooFewDifferent {
            folds,
            per_kind,
            people,
            images,
            poorest,
        });
    }
    Ok(())
}

fn shuffle(order: &mut [usize], rng: &mut ChaCha8Rng) {
    for last in (1..order.len()).rev() {
        order.swap(last, below(rng, last as u64 + 1) as usize);
    }
}

fn numbered(mut pairs: Vec<Pair>, config: &PairsConfig) -> Pairs {
    let per_fold = 2 * config.pairs_per_kind as usize;
    for (i, pair) in pairs.iter_mut().enumerate() {
        pair.fold = (i / per_fold) as u32 + 1;
        pair.line = i + 2;
    }
    let (n_folds, per_kind) = (Some(config.folds), u64::from(config.pairs_per_kind));
    Pairs {
        path: PathBuf::from("pairs.txt"),
        n_folds,
        per_kind,
        list: pairs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str, files: &[&str]) -> Person {
        Person {
            name: name.to_owned(),
            files: files.iter().map(|f| (*f).to_owned()).collect(),
        }
    }

    fn config(folds: u32, pairs_per_kind: u32) -> PairsConfig {
        PairsConfig {
            folds,
            pairs_per_kind,
            seed: 5,
        }
    }

    #[test]
    fn numbers_stand_for_files_that_follow_lfw() {
        assert_eq!(number("Ann", "Ann_0001.jpg"), Some(1));
        assert_eq!(number("Ann", "Ann_12345.png"), Some(12345));
        for other in [
            "Ann_1.jpg",
            "Ann_00001.jpg",
            "Bob_0001.jpg",
            "Ann_0001.gif",
            "Ann_+001.jpg",
        ] {
            assert_eq!(number("Ann", other), None, "{other}");
        }
    }

    #[test]
    fn all_pairs_are_drawn_when_all_are_asked_for() {
        let ann = person("Ann", &["Ann_0001.jpg", "Ann_0002.png"]);
        let bob = person("Bob", &["1.pgm", "2.pgm"]);
        let text = make_pairs(&[bob, ann], &config(1, 2))
            .expect("one same pair each")
            .to_string();
        let [head, same @ .., _, _] = &text.lines().collect::<Vec<_>>()[..] else {
            panic!("{text}")
        };
        assert_eq!(
            (*head, same),
            ("1\t2", &["Ann\t1\t2", "Bob\t1.pgm\t2.pgm"][..])
        );
    }

    #[test]
    fn one_stem_with_two_extensions_keeps_its_file_names() {
        let ann = person(
            "Ann",
            &[
                "Ann_0001.jpg",
                "Ann_0001.png",
                "Ann_0002.jpg",
                "Ann_0002.jpg",
            ],
        );
        let file = |name: &str| ImageKey::File(name.to_owned());
        let expected = [
            ImageKey::Number(2),
            file("Ann_0001.jpg"),
            file("Ann_0001.png"),
        ];
        assert_eq!(keys(&ann).expect("good names"), expected);
    }

    #[test]
    fn what_is_available_is_named() {
        let two = [person("A", &["1.pgm", "2.pgm"]), person("B", &["1.pgm"])];
        let error = make_pairs(&two, &config(1, 2))
            .expect_err("one same pair")
            .to_string();
        assert!(
            error.contains("2 people with 3 images make 1 same pairs"),
            "{error}"
        );
        let one = [person("A", &["1.pgm", "2.pgm"])];
        let error = make_pairs(&one, &config(1, 1))
            .expect_err("nobody else")
            .to_string();
        assert!(
            error.contains("leave the poorest fold 0 different pairs"),
            "{error}"
        );
        let most = PairsConfig {
            folds: u32::MAX,
            pairs_per_kind: u32::MAX,
            seed: 0,
        };
        assert!(matches!(
            make_pairs(&two, &most),
            Err(LfwError::TooFewSame { .. })
        ));
        assert!(matches!(
            make_pairs(&two, &config(0, 1)),
            Err(LfwError::NothingAsked { .. })
        ));
    }

    #[test]
    fn names_that_no_line_can_hold_are_refused() {
        for (name, file) in [
            ("a\tb", "1.jpg"),
            ("..", "1.jpg"),
            ("a", "noextension"),
            ("a", "a\n.jpg"),
        ] {
            let found = make_pairs(&[person(name, &[file])], &config(1, 1));
            assert!(
                matches!(found, Err(LfwError::Unwritable { .. })),
                "{name:?} {file:?}"
            );
        }
        let twice = [person("A", &["1.jpg"]), person("A", &["2.jpg"])];
        assert!(matches!(
            make_pairs(&twice, &config(1, 1)),
            Err(LfwError::TwicePerson { .. })
        ));
    }
}
