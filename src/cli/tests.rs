use std::path::PathBuf;

use super::{
    args::{Cli, Command},
    exit::Exit,
    reach,
};
use crate::server::ready::Addresses;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::read(line.split_whitespace())
}

#[test]
fn serving_is_the_default_and_takes_its_flags_in_both_places() {
    for line in [
        "datacoord --data-dir d --grpc-listen 127.0.0.1:0 --http-listen 127.0.0.1:1 --ready-file r --log-level debug",
        "datacoord serve --data-dir d --grpc-listen 127.0.0.1:0 --http-listen 127.0.0.1:1 --ready-file r --log-level debug",
    ] {
        let cli = parse(line).unwrap();
        let Command::Serve(serve) = cli.command.unwrap_or(Command::Serve(cli.serve)) else { panic!("{line}") };
        let flags = cli.place.sources(&serve.layers).flags;
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

#[test]
fn flags_of_the_server_belong_to_it_alone() {
    for line in [
        "datacoord --grpc-listen 127.0.0.1:0 status",
        "datacoord --ready-file r segments c",
        "datacoord --log-level debug serve",
        "datacoord status --grpc-listen 127.0.0.1:0",
        "datacoord healthcheck --log-level debug",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
    for line in ["datacoord --data-dir d status", "datacoord status --data-dir d", "datacoord config --log-level debug"]
    {
        parse(line).unwrap();
    }
}

/// The flags that say where the server is mean something to the commands that ask it.
#[test]
fn commands_beside_a_server_find_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().display();
    let found = |line: &str| reach::addresses(&parse(line).unwrap().place);
    let configured = found(&format!("datacoord healthcheck --data-dir {here}")).unwrap();
    assert_eq!((configured.grpc.as_str(), configured.http.as_str()), ("127.0.0.1:19530", "127.0.0.1:9091"));

    let running = Addresses::new("127.0.0.1:5".parse().unwrap(), "0.0.0.0:6".parse().unwrap());
    running.write(&Addresses::file(folder.path())).unwrap();
    let of_server = found(&format!("datacoord demo --data-dir {here}")).unwrap();
    assert_eq!((of_server.grpc.as_str(), of_server.http.as_str()), ("127.0.0.1:5", "127.0.0.1:6"));
    assert_eq!(Exit::of(&found("datacoord demo --config nope.yaml").unwrap_err()), Exit::Configuration);
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
