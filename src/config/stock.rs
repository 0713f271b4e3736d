//! Milvus' own keys with their defaults: which names are Milvus', and which values were chosen on purpose.
//!
//! Must never decide about a setting: it only helps to say what a file or the environment asks for in vain.

use std::{collections::HashMap, sync::LazyLock};

use super::spelling::normal;

/// Key, default of 2.3.5, default of a newer release, further defaults; by tabs.
const TABLE: &str = include_str!("milvus_defaults.tsv");
/// Stands for a key that the release does not have.
const ABSENT: &str = "-";
/// Stands for every value.
const ANY: &str = "*";

/// A key of Milvus.
#[derive(Debug)]
pub(super) struct StockKey {
    pub(super) name: &'static str,
    defaults: Vec<&'static str>,
}

impl StockKey {
    fn parse(line: &'static str) -> Option<Self> {
        let mut columns = line.split('\t');
        Some(Self { name: columns.next()?, defaults: columns.filter(|column| *column != ABSENT).collect() })
    }

    /// Whether a value is the default of some release.
    pub(super) fn is_default(&self, value: &str) -> bool {
        self.defaults.iter().any(|default| *default == ANY || is_same(default, value.trim()))
    }
}

/// Numbers are the same if they are equal: `1` and `1.0`.
fn is_same(default: &str, value: &str) -> bool {
    let numbers = default.parse::<f64>().ok().zip(value.parse::<f64>().ok());
    numbers.map_or_else(|| default.eq_ignore_ascii_case(value), |(default, value)| default == value)
}

fn lines() -> impl Iterator<Item = &'static str> {
    TABLE.lines().filter(|line| !line.starts_with('#'))
}

/// Finds a key of Milvus by its name in any spelling that Milvus would accept.
pub(super) fn find_stock(name: &str) -> Option<&'static StockKey> {
    static KEYS: LazyLock<HashMap<String, StockKey>> =
        LazyLock::new(|| lines().filter_map(StockKey::parse).map(|key| (normal(key.name), key)).collect());
    KEYS.get(&normal(name))
}

/// The file of a release as YAML: keys with their defaults, from that column of the table.
#[cfg(test)]
pub(super) fn stock_file(column: usize) -> String {
    let values = lines().filter_map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        let value = columns.get(column).copied().filter(|value| ![ABSENT, ANY].contains(value))?;
        // Texts as Milvus quotes them: bare where YAML reads a number or a flag.
        let is_bare = value.parse::<f64>().is_ok() || ["true", "false"].contains(&value);
        Some(format!("{}: {}\n", columns.first()?, if is_bare { value.to_owned() } else { format!("{value:?}") }))
    });
    values.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{LoadedConfig, Sources, StorageKind, layers::load};

    fn loaded(yaml: &str, variables: &[(&str, &str)]) -> LoadedConfig {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("milvus.yaml");
        std::fs::write(&path, yaml).unwrap();
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        load(&Sources { file: Some(path), environment, ..Sources::default() }).unwrap()
    }

    /// Files with every key of a release and its default.
    #[test]
    fn the_files_of_milvus_load_without_a_warning() {
        for (column, keys) in [(1, 340), (2, 800)] {
            let text = stock_file(column);
            assert!(text.lines().count() >= keys, "{}", text.lines().count());
            let loaded = loaded(&text, &[]);
            assert_eq!(loaded.warnings(), Vec::<String>::new());
            // It asks for a bucket.
            assert!(matches!(loaded.config.storage.kind, StorageKind::S3(_)));
        }
    }

    #[test]
    fn values_that_were_chosen_in_vain_are_named_in_one_warning() {
        let yaml = "queryNode: { scheduler: { maxReadConcurrentRatio: 1.0, cpuRatio: 11 } }\n\
                    quotaAndLimits: { enabled: false, limits: { maxCollectionNum: 70 } }\n\
                    dataCoord: { segment: { maxSize: 64, diskSegmentMaxSize: 4096 } }\n\
                    etcd: { ssl: { enabled: true, tlsCert: '' } }\nmine: { own: 1 }\ndataNode: { segmnt: 1 }\n";
        // The variable of a key that has an effect, one of a key that has none, and one with Milvus' default.
        let variables =
            [("DATACOORD_SEGMENT_SMALLPROPORTION", "0.4"), ("PULSAR_PORT", "1"), ("ETCD_ROOTPATH", "by-dev")];
        let loaded = loaded(yaml, &variables);
        let expected = [
            "dataCoord.segment.diskSegmentMaxSize",
            "etcd.ssl.enabled",
            "pulsar.port",
            "queryNode.scheduler.cpuRatio",
            "quotaAndLimits.enabled",
        ];
        assert_eq!(loaded.without_effect, expected);
        assert_eq!(loaded.unknown, ["dataNode.segmnt", "mine.own"]);
        let warnings = loaded.warnings();
        assert_eq!(warnings.iter().filter(|warning| warning.contains("without effect here")).count(), 1);
        assert!(warnings.iter().any(|warning| warning.ends_with(": dataNode.segmnt, mine.own")), "{warnings:?}");
    }

    #[test]
    fn variables_that_match_nothing_are_named() {
        let variables = [
            ("DATACOORD_SEGMENT_MAXSZIE", "64"),
            ("MINIO_ADRESS", "minio"),
            ("DATACOORD_END_POINT", "db:1"),
            // Not ours to judge.
            ("DATACOORD_ENDPOINT", "db:1"),
            ("DATACOORD_PORT_19530_TCP_ADDR", "10.0.0.1"),
            ("MINIO_SERVICE_HOST", "10.0.0.1"),
            ("MINIO_ROOT_USER", "admin"),
            ("PATH", "/bin"),
        ];
        let loaded = loaded("common: { storageType: local }", &variables);
        let found: BTreeSet<(&str, Option<&str>)> =
            loaded.unknown_variables.iter().map(|found| (found.name.as_str(), found.nearest)).collect();
        let expected = [
            ("DATACOORD_END_POINT", None),
            ("DATACOORD_SEGMENT_MAXSZIE", Some("dataCoord.segment.maxSize")),
            ("MINIO_ADRESS", Some("minio.address")),
        ];
        assert_eq!(found, expected.into_iter().collect());
        assert_eq!(loaded.warnings().len(), 3, "{:?}", loaded.warnings());
    }

    #[test]
    fn defaults_are_compared_by_value() {
        let key = find_stock("queryNode.scheduler.maxReadConcurrentRatio").unwrap();
        assert!(key.is_default("1") && key.is_default("1.0") && key.is_default(" 1 ") && !key.is_default("1.1"));
        assert!(find_stock("ETCD_SSL_ENABLED").unwrap().is_default("False"));
        assert!(find_stock("etcd.ssl.on").is_none());
    }
}
