//! Preprocessing recipes, in TOML or JSON.

use facenet_dataset::Recipe;

/// Reads a recipe; one that passes its check is one that can be used.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Ok(recipe) = Recipe::parse(text, "fuzz") {
        recipe.check("fuzz").expect("checked when it was read");
    }
}

/// The same recipe in both forms.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let toml = "centre_crop = 150\nresize = 160\nstandardisation = \"fixed\"\n";
    let json = "{\"centre_crop\": 150, \"resize\": 160, \"standardisation\": \"per-image\"}";
    [toml, json].map(|text| text.as_bytes().to_vec()).into()
}
