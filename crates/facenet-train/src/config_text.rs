//! A configuration as a file that a command line takes.

use std::fmt::Write as _;

use serde_json::Value;

use crate::config::TrainConfig;

/// Settings that a run on a folder does not have.
const OF_DRAWN_PEOPLE: [&str; 3] = [
    "synthetic_identities",
    "synthetic_images",
    "synthetic_test_identities",
];

impl TrainConfig {
    /// Every value that is set under its flag's name, by name, as TOML: what `--config` takes back.
    /// Settings that do nothing beside this loss, strategy and source of pictures are left out, since
    /// a command line may not name them.
    ///
    /// # Panics
    /// Never: a record of plain fields is JSON.
    pub fn to_toml(&self) -> String {
        let mut text =
            String::from("# The configuration of a run; facenet train --config takes it.\n");
        let mut idle = self.idle_settings();
        if self.data_dir.is_some() {
            idle.extend(OF_DRAWN_PEOPLE);
        }
        for (name, value) in self.fields() {
            let is_set = !value.is_null() && !idle.contains(&name.as_str());
            if is_set {
                writeln!(text, "{name} = {}", toml_value(&value)).expect("a string takes all");
            }
        }
        text
    }
}

/// A value of JSON in TOML: strings have the same escapes but for DEL, and whole numbers beyond 64
/// signed bits are strings, which flags take as well.
fn toml_value(value: &Value) -> String {
    match value {
        Value::Number(number) if number.as_i64().is_none() && number.is_u64() => {
            format!("\"{number}\"")
        }
        other => other.to_string().replace('\u{7f}', "\\u007f"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_toml_with_its_own_digits() {
        let config = TrainConfig {
            margin: 0.2,
            lfw_folds: Some(vec![9, 10]),
            logs_base_dir: "a \"b\"\\\u{7f}".into(),
            seed: u64::MAX,
            ..TrainConfig::demo()
        };
        let text = config.to_toml();
        let table: toml::Table = toml::from_str(&text).expect("TOML");
        assert_eq!(table["margin"].as_float(), Some(0.2));
        assert_eq!(table["lfw_folds"].as_array().map(Vec::len), Some(2));
        assert_eq!(table["logs_base_dir"].as_str(), Some("a \"b\"\\\u{7f}"));
        assert_eq!(table["seed"].as_str(), Some("18446744073709551615"));
        assert!(!table.contains_key("data_dir") && !table.contains_key("batch_size"));
        assert!(table.contains_key("synthetic_images"));
        let text = TrainConfig::reference("faces".into()).to_toml();
        let table: toml::Table = toml::from_str(&text).expect("TOML");
        assert!(!table.contains_key("synthetic_images"));
    }
}
