//! Settings from a file and from the environment.

use std::{io::Write as _, sync::Mutex};

use datacoord::config::{ConfigError, LoadedConfig, Sources, layers};

use super::choices::Choices;

/// A secret that is always set, and that no text may show.
const SECRET: &str = "5up3r-s3cr3t";
/// Variables that an input may set, by any value.
const VARIABLES: [&str; 8] = [
    "DATACOORD__GRPC__MAXSTREAMS",
    "DATACOORD__MEMORY__LIMIT",
    "DATACOORD__COMPACTION__WINDOWS",
    "DATACOORD__WAL__ACCEPTLOSS",
    "DATACOORD__LOG__LEVEL",
    "PROXY_PORT",
    "MINIO_ADDRESS",
    "DATACOORD__NOSUCH__KEY",
];

/// Variables with their values, then the file.
pub(super) fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    // Both keys of the store are masked where they are printed.
    let secrets = ["DATACOORD__MINIO__SECRETACCESSKEY", "DATACOORD__MINIO__ACCESSKEYID"];
    let mut environment: Vec<_> = secrets.iter().map(|name| ((*name).to_owned(), SECRET.to_owned())).collect();
    for _ in 0..choices.below(3) {
        let name = choices.pick(&VARIABLES).to_string();
        environment.push((name, String::from_utf8_lossy(choices.bytes()).into_owned()));
    }
    let text = choices.rest();
    if is_repeated(&environment, text) {
        return;
    }
    let loaded = match load(&environment, text) {
        Ok(loaded) => loaded,
        Err(error) => return assert!(!error.to_string().contains(SECRET), "{error}"),
    };
    let shown = format!("{loaded:?}{}", loaded.render());
    assert!(!shown.contains(SECRET), "{shown}");
    // The masked secret is refused, so it is given again; another one would win.
    let printed = loaded.render().replace("\"***\"", SECRET).replace("'***'", SECRET).replace("***", SECRET);
    let again = load(&[], printed.as_bytes()).unwrap_or_else(|e| panic!("{e}\n{printed}"));
    assert_eq!(again.config, loaded.config, "{printed}");
}

/// True if the input itself has the secret, or the mask, somewhere else.
fn is_repeated(environment: &[(String, String)], text: &[u8]) -> bool {
    let given = environment.iter().skip(2).map(|(_, value)| value.clone()).collect::<String>();
    let all = given + &String::from_utf8_lossy(text);
    all.contains(SECRET) || all.contains("**") || all.to_lowercase().replace(['_', '.'], "").contains("accesskey")
}

fn load(environment: &[(String, String)], text: &[u8]) -> Result<LoadedConfig, ConfigError> {
    static FILE: Mutex<Option<tempfile::NamedTempFile>> = Mutex::new(None);
    let mut held = FILE.lock().expect("no run has failed");
    let file = held.get_or_insert_with(|| tempfile::NamedTempFile::with_suffix(".yaml").expect("a temporary file"));
    file.as_file().set_len(0).expect("an empty file");
    std::io::Seek::rewind(file.as_file_mut()).expect("its beginning");
    file.write_all(text).expect("its text");
    layers::load(&Sources { file: Some(file.path().to_owned()), environment: environment.to_vec(), flags: Vec::new() })
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let example = include_bytes!("../../../milvus.yaml.example");
    let with = |text: &str| [&[0], text.as_bytes()].concat();
    vec![
        [&[0], &example[..]].concat(),
        with("minio: { address: 'https://host:9000', useSSL: true }\ncommon: { storageType: minio }\n"),
        with("datacoord:\n  compaction:\n    windows: 22:00-06:00, 12:00-13:00\n  memory: { limit: 512 }\n"),
        with("proxy: { port: 0, maxNameLength: 255 }\nquotaAndLimits: { limits: { maxQueryResultWindow: 16384 } }\n"),
        // A character that YAML and Rust escape differently.
        b"\x01f:a &Gk=\n?\nk ]\xb5\x1d:[v\n".to_vec(),
        with("a: &x [1, *x]\nb: !!binary aGk=\n? [k]\n: v\n"),
        [&[1, 1, 3, 0], &b"512"[..], b"log: { level: debug, format: json }\n"].concat(),
    ]
}
