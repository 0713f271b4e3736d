use std::{collections::HashSet, path::PathBuf, time::Duration};

use super::{
    keys::{KEYS, REFUSED},
    layers::load,
    milvus_yaml::example,
    raw::RawConfig,
    spelling::{find, normal},
    *,
};

fn root(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn from_yaml(text: &str) -> Result<LoadedConfig, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("milvus.yaml");
    std::fs::write(&path, text).unwrap();
    load(&Sources { file: Some(path), ..Sources::default() })
}

fn from_variables(variables: &[(&str, &str)]) -> Result<LoadedConfig, ConfigError> {
    let environment = variables.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    load(&Sources { environment, ..Sources::default() })
}

#[test]
fn without_any_layer_the_defaults_hold() {
    let loaded = load(&Sources::default()).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.ignored.is_empty());
}

#[test]
fn the_example_file_agrees_with_the_table_and_holds_the_defaults() {
    let path = root("milvus.yaml.example");
    let committed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(committed, example(), "write it again with: datacoord config --example > milvus.yaml.example");
    // Every value is there and is the default, by the file's own reading.
    let loaded = load(&Sources { file: Some(path), ..Sources::default() }).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.ignored.is_empty(), "{:?}", loaded.ignored);
}

#[test]
fn the_profiles_load() {
    for (name, s3) in [("standalone", false), ("s3", true), ("stock", false)] {
        let loaded = load(&Sources { file: Some(root(&format!("config/{name}.yaml"))), ..Sources::default() }).unwrap();
        assert_eq!(matches!(loaded.config.storage.kind, StorageKind::S3(_)), s3, "{name}");
        assert!(loaded.ignored.is_empty(), "{name}: {:?}", loaded.ignored);
    }
}

/// The numbers of Milvus 2.3.5, by its own table of parameters. `tests/layouts` has their effect.
#[test]
fn the_stock_profile_has_milvus_numbers() {
    let loaded = load(&Sources { file: Some(root("config/stock.yaml")), ..Sources::default() }).unwrap();
    let compaction = loaded.config.compaction;
    // "At least 3 small ones" there is "more than 2" here.
    assert_eq!((compaction.max_small_segments, compaction.max_inputs), (2, 30));
    assert_eq!((compaction.delta_ratio, compaction.expired_ratio, compaction.inclusive_shares), (0.2, 0.2, true));
    assert!(compaction.indexed_only);
    assert_eq!((compaction.delta_bytes, compaction.delta_logs), (2 << 20, 200));
    assert_eq!((compaction.small_proportion, compaction.full_proportion), (0.5, 0.85));
    assert_eq!((compaction.max_segment_bytes, compaction.global_interval.as_secs()), (512 << 20, 60));
}

/// Name, text in the file, and where it must arrive: the unit of every kind of key, by Milvus' documentation.
#[test]
fn keys_have_milvus_units() {
    type Place = fn(&Config) -> String;
    let table: &[(&str, &str, Place, &str)] = &[
        ("proxy.port", "19531", |c| c.server.grpc_listen.to_string(), "0.0.0.0:19531"),
        ("common.MetricsPort", "9092", |c| c.server.http_listen.to_string(), "0.0.0.0:9092"),
        ("datacoord.grpc.address", "127.0.0.1", |c| c.server.grpc_listen.to_string(), "127.0.0.1:19530"),
        ("proxy.grpc.serverMaxRecvSize", "134217728", |c| c.server.max_request_bytes.to_string(), "134217728"),
        ("common.security.authorizationEnabled", "true", |c| c.access.enabled.to_string(), "true"),
        ("common.security.superUsers", "\"root, ops\"", |c| c.access.is_super_user("ops").to_string(), "true"),
        ("common.security.defaultRootPassword", "else", |c| c.access.root_password.expose().to_owned(), "else"),
        ("proxy.minPasswordLength", "8", |c| c.access.min_password_length.to_string(), "8"),
        ("proxy.maxPasswordLength", "72", |c| c.access.max_password_length.to_string(), "72"),
        ("proxy.maxUsernameLength", "16", |c| c.access.max_username_length.to_string(), "16"),
        ("proxy.maxUserNum", "7", |c| c.access.max_users.to_string(), "7"),
        ("proxy.maxRoleNum", "8", |c| c.access.max_roles.to_string(), "8"),
        (
            "trace.exporter",
            "otlp, otlp: { endpoint: 'collector:4317', secure: false }",
            |c| c.trace.url(),
            "http://collector:4317",
        ),
        ("trace.exporter", "stdout", |c| format!("{:?}", c.trace.exporter), "None"),
        ("trace.sampleFraction", "0.5", |c| c.trace.sample_fraction.to_string(), "0.5"),
        ("dataCoord.segment.maxSize", "1024", |c| c.compaction.max_segment_bytes.to_string(), "1073741824"),
        ("dataCoord.segment.maxSize", "1024", |c| c.ingest.max_segment_bytes.to_string(), "1073741824"),
        ("dataCoord.segment.maxSize", "64KB", |c| c.ingest.max_segment_bytes.to_string(), "65536"),
        ("dataCoord.segment.minSizeFromIdleToSealed", "16.5", |c| c.ingest.min_idle_bytes.to_string(), "17301504"),
        ("dataCoord.segment.maxLife", "3600", |c| format!("{:?}", c.ingest.max_life), "3600s"),
        ("dataCoord.segment.maxLife", "2h", |c| format!("{:?}", c.ingest.max_life), "7200s"),
        ("dataCoord.compaction.global.interval", "5", |c| format!("{:?}", c.compaction.global_interval), "5s"),
        // "At least 3 small ones" there is "more than 2" here.
        ("dataCoord.compaction.min.segment", "3", |c| c.compaction.max_small_segments.to_string(), "2"),
        (
            "dataCoord.compaction.single.deltalog.maxsize",
            "2097152",
            |c| c.compaction.delta_bytes.to_string(),
            "2097152",
        ),
        ("dataNode.segment.binlog.maxsize", "1048576", |c| c.binlog.max_bytes.to_string(), "1048576"),
        ("indexCoord.segment.minSegmentNumRowsToEnableIndex", "10", |c| c.index.min_rows.to_string(), "10"),
        ("dataNode.compaction.maxConcurrency", "7", |c| c.worker.max_concurrency.to_string(), "7"),
        ("common.retentionDuration", "432000", |c| format!("{:?}", c.compaction.retention), "432000s"),
        ("quotaAndLimits.limits.maxCollectionNum", "7", |c| c.limits.max_collections.to_string(), "7"),
        ("quotaAndLimits.limits.maxCollectionNumPerDB", "7", |c| c.limits.max_database_collections.to_string(), "7"),
        ("common.JSONMaxLength", "1000", |c| c.limits.max_json_bytes.to_string(), "1000"),
        ("dataCoord.enableCompaction", "false", |c| c.compaction.enabled.to_string(), "false"),
        ("dataCoord.enableGarbageCollection", "false", |c| c.gc.enabled.to_string(), "false"),
        ("datacoord.storage.retryBackoff", "200", |c| format!("{:?}", c.storage.retry_backoff), "200ms"),
        ("datacoord.wal.fileSize", "8", |c| c.ingest.wal_file_bytes.to_string(), "8388608"),
        ("log.level", "fatal", |c| c.log.level.clone(), "error"),
        (
            "tls.serverPemPath",
            "configs/cert/server.pem",
            |c| format!("{:?}", c.tls.certificate),
            "\"configs/cert/server.pem\"",
        ),
        ("tls.caPemPath", "ca.pem", |c| format!("{:?}", c.tls.authorities), "\"ca.pem\""),
        ("datacoord.http.tls", "off", |c| format!("{:?}", c.tls.http_mode), "Some(Off)"),
        ("log.format", "json", |c| format!("{:?}", c.log.format), "Json"),
    ];
    for (key, text, place, expected) in table {
        let nested = key.split('.').map(|part| format!("{{ {part}: ")).collect::<String>();
        let yaml = format!("{nested}{text}{}", " }".repeat(key.split('.').count()));
        let loaded = from_yaml(&yaml).unwrap_or_else(|e| panic!("{key}: {e}"));
        assert_eq!(place(&loaded.config), *expected, "{key}: {text}");
        assert!(loaded.ignored.is_empty(), "{key}");
    }
}

#[test]
fn every_key_reaches_a_setting_of_its_own() {
    // Changing one key changes the raw, and only that key reads differently afterwards.
    for key in KEYS {
        let mut raw = RawConfig::default();
        let before: Vec<_> = KEYS.iter().map(|k| (k.get)(&raw)).collect();
        let other = match (key.get)(&raw) {
            setting::Setting::Flag(on) => setting::Setting::Flag(!on),
            setting::Setting::Count(n) => setting::Setting::Count(n + 1),
            setting::Setting::Bytes(n) => setting::Setting::Bytes(n + 1),
            setting::Setting::Time(t) => setting::Setting::Time(t + Duration::from_secs(1)),
            setting::Setting::Ratio(r) => setting::Setting::Ratio(r / 2.0 + 0.07),
            setting::Setting::Text(_) if key.name.ends_with(".address") => setting::Setting::Text("10.1.2.3".into()),
            setting::Setting::Text(_) if key.name.ends_with(".acceptLoss") => {
                setting::Setting::Text("67e55044-10b1-426f-9247-bb680e5fe0c8".into())
            }
            setting::Setting::Text(_) if key.name.ends_with(".windows") => setting::Setting::Text("22:00-06:00".into()),
            setting::Setting::Text(_) if key.name == "datacoord.http.tls" => setting::Setting::Text("off".into()),
            setting::Setting::Secret(s) => setting::Setting::Secret(Secret::new(format!("{}x", s.expose()))),
            setting::Setting::Text(t) if t == "noop" => setting::Setting::Text("otlp".into()),
            setting::Setting::Text(t) if t == "text" => setting::Setting::Text("json".into()),
            setting::Setting::Text(t) => setting::Setting::Text(t + "x"),
        };
        (key.set)(&mut raw, other.clone()).unwrap();
        for (k, old) in KEYS.iter().zip(before) {
            let expected = if k.name == key.name { other.clone() } else { old };
            assert_eq!((k.get)(&raw), expected, "{} after {}", k.name, key.name);
        }
    }
}

#[test]
fn no_two_keys_are_spelt_alike() {
    let names = KEYS.iter().flat_map(|k| k.spellings()).chain(REFUSED.iter().map(|r| r.name));
    let mut seen = HashSet::new();
    for name in names {
        assert!(seen.insert(normal(name)), "{name}");
    }
    // With our prefix, a variable must not mean two keys either.
    for key in KEYS {
        if let Some(found) = find(&format!("datacoord.{}", key.name)) {
            panic!("DATACOORD__{} means {found:?} and {key:?}", key.name);
        }
    }
}

#[test]
fn a_stock_file_loads_and_its_other_sections_are_counted() {
    let loaded = from_yaml(
        "etcd:\n  endpoints: localhost:2379\n  ssl: { enabled: false, tlsMinVersion: 1.3 }\nminio:\n  address: localhost\n  \
         port: 9000\n  useIAM: false\n  cloudProvider: aws\n  iamEndpoint:\n  region: ''\npulsar:\n  port: 6650\n\
         rocksmq:\n  compressionTypes: [0, 0, 7, 7, 7]\ndataCoord:\n  channel:\n    watchTimeoutInterval: 300\n  \
         segment:\n    maxSize: 256\ncommon:\n  storageType: remote\n  entityExpiration: -1\n  security:\n    \
         authorizationEnabled: false\n    tlsMode: 0\n",
    )
    .unwrap();
    assert_eq!(
        loaded.ignored,
        [
            "dataCoord.channel.watchTimeoutInterval",
            "etcd.endpoints",
            "etcd.ssl.enabled",
            "etcd.ssl.tlsMinVersion",
            "minio.iamEndpoint",
            "pulsar.port",
            "rocksmq.compressionTypes",
        ]
    );
    let StorageKind::S3(s3) = &loaded.config.storage.kind else { panic!("{:?}", loaded.config.storage) };
    assert_eq!(
        (s3.endpoint.as_str(), s3.bucket.as_str(), s3.root_path.as_str()),
        ("localhost:9000", "a-bucket", "files")
    );
    assert_eq!(loaded.config.ingest.max_segment_bytes, 256 << 20);
}

#[test]
fn later_layers_win_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    std::fs::write(&path, "minio: { port: 1, address: file, region: file, bucketName: file }").unwrap();
    let loaded = load(&Sources {
        file: Some(path.clone()),
        environment: [("MINIO_ADDRESS", "bare"), ("MINIO_REGION", "bare"), ("DATACOORD__MINIO__REGION", "ours")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .to_vec(),
        flags: vec![("minio.bucketName", "flag".to_owned()), ("common.storageType", "minio".to_owned())],
    })
    .unwrap();
    let StorageKind::S3(s3) = &loaded.config.storage.kind else { panic!() };
    assert_eq!((s3.endpoint.as_str(), s3.region.as_str(), s3.bucket.as_str()), ("bare:1", "ours", "flag"));
    let text = loaded.render();
    for line in [
        format!("  port: 1  # {}", path.display()),
        "  address: bare  # environment".to_owned(),
        "  region: ours  # environment".to_owned(),
        "  bucketName: flag  # flag".to_owned(),
        "  rootPath: files  # default".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
}

#[test]
fn variables_of_the_environment() {
    let compaction = |variables: &[(&str, &str)]| from_variables(variables).unwrap().config;
    assert_eq!(compaction(&[("DATACOORD__WAL__MAXSIZE", "512")]).ingest.wal_max_bytes, 512 << 20);
    assert_eq!(compaction(&[("DATACOORD__SEGMENT__MAX_SIZE", "64")]).ingest.max_segment_bytes, 64 << 20);
    assert_eq!(compaction(&[("DATACOORD__DATACOORD__WAL__MAXSIZE", "512")]).ingest.wal_max_bytes, 512 << 20);
    assert_eq!(compaction(&[("DATACOORD_SEGMENT_MAXSIZE", "64")]).ingest.max_segment_bytes, 64 << 20);
    // A proper name wins over an alias, an alias of a later layer over both; empty means unset.
    let both = [("DATACOORD_COMPACTION_WORKERMAXPARALLELTASKNUM", "3"), ("DATANODE_COMPACTION_MAXCONCURRENCY", "4")];
    assert_eq!(compaction(&both).worker.max_concurrency, 4);
    assert_eq!(compaction(&[("LOG_LEVEL", "")]).log.level, "info");
    // Kubernetes' service links, and strangers.
    let links = [("MINIO_PORT", "tcp://10.0.0.1:9000"), ("DATACOORD_SERVICE_PORT", "1"), ("PATH", "/bin")];
    assert_eq!(compaction(&links), Config::default());
}

#[test]
fn refusals_name_key_value_and_limit() {
    let yaml = |text: &str| from_yaml(text).unwrap_err().to_string();
    let table = [
        (
            yaml("datacoord: { wal: { maxsise: 1 } }"),
            ": unknown key datacoord.wal.maxsise: did you mean datacoord.wal.maxSize?",
        ),
        (yaml("datacoord: 5"), ": unknown key datacoord"),
        (yaml("proxy: { port: 70000 }"), ": proxy.port is 70000: must be 0 to 65535"),
        (yaml("proxy: { port: -1 }"), ": proxy.port is -1: expected a whole number, not negative"),
        (yaml("proxy: { port: 1.5 }"), ": proxy.port is 1.5: expected a whole number, not negative"),
        (
            yaml("dataCoord: { segment: { maxSize: lots } }"),
            ": dataCoord.segment.maxSize is lots: expected a size, e.g. 512 or 512MB",
        ),
        (
            yaml("dataCoord: { segment: { maxSize: 0 } }"),
            ": dataCoord.segment.maxSize is 0: must be 0.0625 to 65536 MB",
        ),
        (
            yaml("dataCoord: { segment: { sealProportion: 1.5 } }"),
            ": dataCoord.segment.sealProportion is 1.5: must be 0.01 to 1",
        ),
        (
            yaml("dataCoord: { segment: { maxLife: -5 } }"),
            ": dataCoord.segment.maxLife is -5: a time can't be negative or that long",
        ),
        (yaml("dataCoord: { enableCompaction: 1 }"), ": dataCoord.enableCompaction is 1: expected true or false"),
        (
            yaml("common: { storageType: opendal }"),
            ": common.storageType is opendal: must be one of local, minio, remote",
        ),
        (
            yaml("datacoord: { grpc: { address: nowhere.invalid } }"),
            ": datacoord.grpc.address is nowhere.invalid: expected an IP address or a name that has one, e.g. 127.0.0.1",
        ),
        (yaml("minio: { secretAccessKey: 0123 }"), ": minio.secretAccessKey is ***: expected text: put it in quotes"),
        (
            yaml("proxy: { minPasswordLength: 9, maxPasswordLength: 8 }"),
            "proxy.minPasswordLength is 9: must not exceed proxy.maxPasswordLength, which is 8",
        ),
        (yaml("common: { security: { tlsMode: 3 } }"), ": common.security.tlsMode is 3: must be 0 to 2"),
        (
            yaml("common: { security: { tlsMode: 1 } }\ntls: { serverPemPath: a }"),
            "tls.serverKeyPath is empty: common.security.tlsMode 1 and datacoord.http.tls \"same\" need it",
        ),
        (
            yaml("tls: { serverPemPath: a, serverKeyPath: b }\ndatacoord: { http: { tls: mutual } }"),
            "tls.caPemPath is empty: common.security.tlsMode 0 and datacoord.http.tls \"mutual\" need it",
        ),
        (
            yaml("datacoord: { http: { tls: yes } }"),
            ": datacoord.http.tls is yes: must be one of same, off, one-way, mutual",
        ),
        (
            yaml("common: { MetricsPort: 19530 }"),
            "proxy.port and common.MetricsPort are both 19530: must differ on one address",
        ),
        (
            yaml("log: { level: infoo }"),
            "log.level is \"infoo\": \"infoo\" is none of off, error, warn, info, debug, trace",
        ),
        (
            yaml("dataCoord: { segment: { maxSize: 1 } }\ndatacoord: { segment: { maxSize: 2 } }"),
            ": dataCoord.segment.maxSize is given twice",
        ),
        (
            yaml("dataCoord: { segment: { smallProportion: 0.9 } }"),
            "dataCoord.segment.smallProportion is 0.9: must not exceed dataCoord.segment.compactableProportion, which is 0.85",
        ),
        (
            yaml("datacoord: { wal: { maxSize: 100 } }"),
            "datacoord.wal.fileSize is 268435456 bytes: must not exceed datacoord.wal.maxSize, which is 104857600 bytes",
        ),
        (
            from_variables(&[("DATACOORD__WALL", "1")]).unwrap_err().to_string(),
            "environment: unknown key DATACOORD__WALL",
        ),
        (
            from_variables(&[("PROXY_PORT", "x")]).unwrap_err().to_string(),
            "environment: proxy.port is x: expected a whole number, not negative",
        ),
    ];
    for (message, expected) in table {
        assert!(message.ends_with(expected), "{message}\nexpected …{expected}");
    }
}

#[test]
fn secrets_are_never_printed() {
    let loaded = from_yaml(
        "common: { storageType: minio }\nminio: { accessKeyID: visible-key-id, secretAccessKey: s3cr3t-value }",
    )
    .unwrap();
    for text in [loaded.render(), format!("{loaded:?}"), format!("{:?}", loaded.config)] {
        assert!(!text.contains("s3cr3t-value") && !text.contains("visible-key-id"), "{text}");
    }
    let StorageKind::S3(s3) = &loaded.config.storage.kind else { panic!() };
    assert_eq!(s3.secret_key.expose(), "s3cr3t-value");
}

#[test]
fn the_address_of_a_store_may_be_a_url_that_agrees_with_the_rest() {
    let s3 = |minio: &str| {
        let loaded = from_yaml(&format!("common: {{ storageType: minio }}\nminio: {{ {minio} }}"));
        loaded.map(|loaded| match loaded.config.storage.kind {
            StorageKind::S3(s3) => (s3.endpoint, s3.use_ssl),
            StorageKind::Local { .. } => panic!(),
        })
    };
    for (minio, endpoint, use_ssl) in [
        ("address: localhost", "localhost:9000", false),
        ("address: localhost, useSSL: true", "localhost:9000", true),
        ("address: 'http://localhost:9001'", "localhost:9001", false),
        ("address: 'https://s3.example.com/', port: 443", "s3.example.com:443", true),
        ("address: 'HTTPS://s3.example.com', useSSL: true", "s3.example.com:9000", true),
        ("address: 'http://localhost', useSSL: false", "localhost:9000", false),
    ] {
        assert_eq!(s3(minio).unwrap(), (endpoint.to_owned(), use_ssl), "{minio}");
    }
    for (minio, part) in [
        ("address: 'http://localhost:9000', useSSL: true", "minio.useSSL is true"),
        ("address: 'https://localhost:9000', useSSL: false", "minio.useSSL is false"),
        ("address: 'ftp://localhost'", "must be http or https"),
        ("address: 'http://localhost:9000/files'", "must be a host"),
        ("address: 'http://'", "must be a host"),
    ] {
        let error = s3(minio).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("minio.address is"), "{minio}: {error}");
    }
}

#[test]
fn a_missing_or_broken_file_is_named() {
    let missing =
        load(&Sources { file: Some("/nowhere/x.yaml".into()), ..Sources::default() }).unwrap_err().to_string();
    assert!(missing.starts_with("configuration file /nowhere/x.yaml: "), "{missing}");
    let broken = from_yaml("a: [1,").unwrap_err().to_string();
    assert!(broken.starts_with("configuration file ") && broken.len() > 40, "{broken}");
}

#[test]
fn a_misspelt_key_of_our_sections_gets_a_suggestion() {
    let loaded = from_yaml(
        "dataCoord:\n  segmnt:\n    maxSize: 1\n  segment:\n    maxSzie: 1\n    diskSegmentMaxSize: 2048\n  compaction:\n    \
         enableAutoCompactoin: false\ncommon:\n  storagType: local\n  threadCoreCoefficient:\n    highPriority: 10\n\
         minio:\n  adress: a\n  listObjectsMaxKeys: 0\nlocalStorage:\n  pat: x\netcd:\n  rootPat: x\n",
    )
    .unwrap();
    let found: Vec<(&str, &str)> = loaded.misspelt.iter().map(|(given, known)| (given.as_str(), *known)).collect();
    assert_eq!(
        found,
        [
            ("common.storagType", "common.storageType"),
            ("dataCoord.compaction.enableAutoCompactoin", "dataCoord.compaction.enableAutoCompaction"),
            ("dataCoord.segment.maxSzie", "dataCoord.segment.maxSize"),
            ("dataCoord.segmnt.maxSize", "dataCoord.segment.maxSize"),
            ("localStorage.pat", "localStorage.path"),
            ("minio.adress", "minio.address"),
        ]
    );
    assert_eq!(loaded.ignored.len(), 10, "{:?}", loaded.ignored);
}

#[test]
fn the_flag_of_the_data_directory_wins_over_a_path_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("milvus.yaml");
    std::fs::write(&path, "localStorage: { path: /var/lib/milvus/data }").unwrap();
    let with = |flags: Vec<(&'static str, String)>| {
        load(&Sources { file: Some(path.clone()), flags, ..Sources::default() }).unwrap()
    };
    let root = |loaded: &LoadedConfig| match &loaded.config.storage.kind {
        StorageKind::Local { root } => root.clone(),
        StorageKind::S3(_) => panic!("not local"),
    };
    let loaded = with(vec![("datacoord.dataDir", "here".to_owned())]);
    assert_eq!((root(&loaded), loaded.unused_local_path.as_deref()), (None, Some("/var/lib/milvus/data")));
    let loaded = with(vec![]);
    assert_eq!((root(&loaded), loaded.unused_local_path), (Some("/var/lib/milvus/data".into()), None));
}

#[test]
fn a_masked_secret_is_no_secret() {
    let printed = from_yaml("minio: { secretAccessKey: s3cr3t }").unwrap().render();
    let error = from_yaml(&printed).unwrap_err().to_string();
    assert!(error.contains("KeyID is ***: this is what is printed in place"), "{error}");
    let error = from_variables(&[("MINIO_SECRETACCESSKEY", "***")]).unwrap_err().to_string();
    assert!(error.starts_with("environment: minio.secretAccessKey is ***: this is"), "{error}");
    assert!(from_variables(&[("MINIO_SECRETACCESSKEY", "********")]).is_err());
    assert!(from_variables(&[("MINIO_SECRETACCESSKEY", "**a**")]).is_ok());
}

#[test]
fn logins_have_memory_of_their_own() {
    let divided = |enabled| {
        let mut config = Config::default();
        config.access.enabled = enabled;
        config.divide_memory(512 << 20).unwrap();
        config.budget
    };
    let (without, with) = (divided(false), divided(true));
    assert_eq!((with.total, without.total), (512 << 20, 512 << 20));
    let parts = |division: &Division| Part::ALL.map(|part| division.of(part)).iter().sum::<u64>();
    assert!(with.base + parts(&with) <= with.total);
    // A tenth of it would have been slack.
    assert!(with.base - without.base >= 2 * HASH_BYTES * 9 / 10, "{with:?}");
    assert!(parts(&with) < parts(&without));
}
