//! The fuzz targets of this crate, on their seeds and on damaged copies of them.

#[path = "../../../../fuzz/check.rs"]
pub(crate) mod check;
#[path = "../../../../fuzz/src/people.rs"]
mod people;
#[path = "../../../../fuzz/src/picture.rs"]
mod picture;
#[path = "../../../../fuzz/src/recipe.rs"]
mod recipe;

#[test]
fn damaged_lists_of_people_end_in_no_panic() {
    check::check(people::run, people::seeds);
}

#[test]
fn damaged_pictures_end_in_no_panic() {
    check::check(picture::run, picture::seeds);
}

#[test]
fn damaged_recipes_end_in_no_panic() {
    check::check(recipe::run, recipe::seeds);
}
