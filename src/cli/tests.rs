use std::path::PathBuf;

use clap::{CommandFactory as _, Parser as _};

use super::{
    Addresses,
    args::{Cli, Command},
};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn serving_is_the_default_and_takes_its_flags_in_both_places() {
    for line in [
        "datacoord --data-dir d --grpc-listen 127.0.0.1:0 --http-listen 127.0.0.1:1 --ready-file r --log-level debug",
        "datacoord serve --data-dir d --grpc-listen 127.0.0.1:0 --http-listen 127.0.0.1:1 --ready-file r --log-level debug",
    ] {
        let cli = parse(line).unwrap();
        let flags = cli.layers.sources().flags;
        let Command::Serve(serve) = cli.command.unwrap_or(Command::Serve(cli.serve)) else { panic!("{line}") };
        assert_eq!(serve.ready_file, Some(PathBuf::from("r")), "{line}");
        let expected = [
            ("datacoord.dataDir", "d"),
            ("datacoord.grpc.address", "127.0.0.1"),
            ("proxy.port", "0"),
            ("datacoord.http.address", "127.0.0.1"),
            ("common.MetricsPort", "1"),
            ("log.level", "debug"),
        ];
        assert_eq!(flags, expected.map(|(key, value)| (key, value.to_owned())), "{line}");
    }
}

/// The flags that say where the server is mean something to the commands that ask it.
#[test]
fn commands_beside_a_server_find_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().display();
    let found = |line: &str| super::addresses(&parse(line).unwrap().layers);
    let Ok(configured) = found(&format!("datacoord healthcheck --data-dir {here}")) else { panic!("not loaded") };
    assert_eq!((configured.grpc.as_str(), configured.http.as_str()), ("127.0.0.1:19530", "127.0.0.1:9091"));

    let running = Addresses::new("127.0.0.1:5".parse().unwrap(), "0.0.0.0:6".parse().unwrap());
    running.write(&Addresses::file(folder.path())).unwrap();
    let Ok(of_server) = found(&format!("datacoord demo --data-dir {here}")) else { panic!("not loaded") };
    assert_eq!((of_server.grpc.as_str(), of_server.http.as_str()), ("127.0.0.1:5", "127.0.0.1:6"));
    let Ok(said) = found(&format!("datacoord demo --data-dir {here} --grpc-listen 10.0.0.1:7")) else { panic!() };
    assert_eq!(said.grpc, "10.0.0.1:7");
    assert!(matches!(found("datacoord demo --config nope.yaml"), Err(super::CommandError::Configuration(_))));
}

#[test]
fn exit_codes_of_the_parser() {
    for (line, code) in [
        ("datacoord --help", 0),
        ("datacoord --version", 0),
        ("datacoord --nonsense", 2),
        ("datacoord serve --grpc-listen nowhere", 2),
        ("datacoord nonsense", 2),
        ("datacoord demo --flushes 1", 2),
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), code, "{line}");
    }
}
