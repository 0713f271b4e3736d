//! `datacoord config`: the settings in effect, and whether a server could start with them.

use serde::Serialize;

use super::{
    args::{ConfigAction, ConfigFlags, PlaceFlags},
    output::OutputForm,
    show,
};
use crate::{
    config::{
        self,
        layers::{self, SettingInEffect},
    },
    server,
};

/// The answer of `show`.
#[derive(Debug, Serialize)]
struct Settings {
    settings: Vec<SettingInEffect>,
}

/// The answer of `check`, for settings that are right.
#[derive(Debug, Serialize)]
struct CheckedSettings {
    /// Keys that a layer above the defaults has set.
    set: usize,
    /// Keys of the file without a meaning here.
    ignored: Vec<String>,
    /// Those of them that are nearly spelt like a known key.
    misspelt: Vec<Misspelt>,
    /// Keys of Milvus without a meaning here, set to another value than its default.
    without_effect: Vec<&'static str>,
    /// Keys that Milvus does not have either.
    unknown: Vec<String>,
    /// Everything that may be a mistake, in sentences.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Misspelt {
    key: String,
    nearest: &'static str,
}

pub(super) fn run(place: &PlaceFlags, flags: &ConfigFlags) -> anyhow::Result<()> {
    if flags.example {
        print!("{}", config::milvus_yaml::example());
        return Ok(());
    }
    let mut loaded = layers::load(&place.sources(&flags.layers))?;
    let output = OutputForm::of(flags.json);
    match flags.action {
        ConfigAction::Show => {
            let settings = Settings { settings: loaded.entries() };
            output.answer(&settings, |_| loaded.render())
        }
        ConfigAction::Check => {
            // As the server does at its start.
            server::divide_memory(&mut loaded.config)?;
            server::load_tls(&loaded.config)?;
            let checked = CheckedSettings {
                set: loaded.entries().iter().filter(|entry| entry.origin != "default").count(),
                warnings: loaded.warnings(),
                ignored: loaded.ignored,
                without_effect: loaded.without_effect,
                unknown: loaded.unknown,
                misspelt: loaded.misspelt.into_iter().map(|(key, nearest)| Misspelt { key, nearest }).collect(),
            };
            output.answer(&checked, |checked| {
                show::settings_checked(checked.set, checked.ignored.len(), &checked.warnings)
            })
        }
    }
}
