use std::time::Duration;

use clap::CommandFactory as _;
use rstest::rstest;

use super::*;

fn parse(line: &str) -> clap::error::Result<Command> {
    let words = std::iter::once("datacoord").chain(line.split_whitespace());
    Cli::read(words).map(|cli| cli.command.unwrap())
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[rstest]
#[case("segments books", CollectionArgument::Name("books".into()), false, false)]
#[case("segments 470804626993578487 --dropped", CollectionArgument::Id(470_804_626_993_578_487), true, false)]
#[case("segments -q _books2", CollectionArgument::Name("_books2".into()), false, true)]
fn segments(#[case] line: &str, #[case] collection: CollectionArgument, #[case] dropped: bool, #[case] quiet: bool) {
    let Command::Segments(ServerCommand { flags, .. }) = parse(line).unwrap() else { panic!("{line}") };
    assert_eq!((flags.collection, flags.dropped, flags.quiet), (collection, dropped, quiet));
}

#[test]
fn jobs_are_filtered() {
    let line = "jobs books --state partially-completed --trigger tick --since 2h -n 5 --json --database shop";
    let Command::Jobs(ServerCommand { flags, server }) = parse(line).unwrap() else { panic!() };
    assert_eq!(flags.collection, Some(CollectionArgument::Name("books".into())));
    assert_eq!((flags.state, flags.trigger.as_deref()), (Some(StateFilter::PartiallyCompleted), Some("tick")));
    assert_eq!((flags.since, flags.limit, flags.quiet), (Some(Duration::from_secs(7200)), 5, false));
    assert_eq!((server.json, server.database.as_deref()), (true, Some("shop")));
    let Command::Jobs(ServerCommand { flags, server }) = parse("jobs").unwrap() else { panic!() };
    assert_eq!((flags.collection, flags.state, flags.since, flags.limit), (None, None, None, 20));
    assert_eq!((server.json, server.endpoint, server.timeout), (false, None, None));
}

#[test]
fn a_dry_run_has_the_scope_of_a_request() {
    let line = "plan books --partition p --channel ch --segments 1,2,3 --target-size 2GB --timeout 5s --endpoint db:1";
    let Command::Plan(ServerCommand { flags: PlanFlags { scope, automatic }, server }) = parse(line).unwrap() else {
        panic!()
    };
    assert_eq!((scope.partition.as_deref(), scope.channel.as_deref()), (Some("p"), Some("ch")));
    assert_eq!((scope.segments, scope.target_size, automatic), (vec![1, 2, 3], Some(2048), false));
    assert_eq!((server.timeout, server.endpoint.as_deref()), (Some(Duration::from_secs(5)), Some("db:1")));
    let Command::Plan(ServerCommand { flags, .. }) = parse("plan books --automatic").unwrap() else { panic!() };
    assert!(flags.automatic && !flags.scope.clustering && !flags.scope.l0);
}

#[test]
fn a_compaction_has_scope_terms_and_patience() {
    let compact = |line: &str| {
        let Command::Compact(ServerCommand { flags, .. }) = parse(line).unwrap() else { panic!("{line}") };
        flags
    };
    let plain = compact("compact books");
    assert_eq!((plain.wait, plain.priority, plain.deadline, plain.dry_run, plain.quiet), (None, 0, None, false, false));
    let flags = compact("compact books --clustering --wait --priority -5 --deadline 10m");
    assert_eq!((flags.wait, flags.priority), (Some(None), -5));
    assert_eq!(flags.deadline, Some(DeadlineFlag::In(Duration::from_secs(600))));
    assert!(flags.scope.clustering);
    assert_eq!(compact("compact books --wait=30s -q").wait, Some(Some(Duration::from_secs(30))));
    assert!(compact("compact 7 --dry-run --l0").dry_run);
}

#[test]
fn a_deadline_is_a_moment() {
    let at = |text: &str| deadline(text).unwrap().at_ms(5000);
    assert_eq!((at("2s"), at("1970-01-01T00:00:09Z"), at("1970-01-01 00:00:09")), (7000, 9000, 9000));
}

#[test]
fn a_watch_is_of_everything_or_of_a_job() {
    let watched = |line: &str| {
        let Command::Watch(ServerCommand { flags, .. }) = parse(line).unwrap() else { panic!("{line}") };
        (flags.job, flags.interval)
    };
    assert_eq!(watched("watch"), (None, None));
    assert_eq!(watched("watch 5 --interval 1s"), (Some(5), Some(1000)));
}

#[rstest]
#[case("throttle", None)]
#[case("throttle 1.5", Some(Limit::MbPerSecond(1.5)))]
#[case("throttle none", Some(Limit::None))]
#[case("throttle configured", Some(Limit::Configured))]
fn limits(#[case] line: &str, #[case] limit: Option<Limit>) {
    let Command::Throttle(ServerCommand { flags, .. }) = parse(line).unwrap() else { panic!("{line}") };
    assert_eq!(flags.limit, limit);
}

#[rstest]
#[case("pause books", Some(CollectionArgument::Name("books".into())), None, false)]
#[case("pause --job 5", None, Some(5), false)]
#[case("pause --everything --by ops", None, None, true)]
fn scopes_of_a_pause(
    #[case] line: &str,
    #[case] collection: Option<CollectionArgument>,
    #[case] job: Option<i64>,
    #[case] everything: bool,
) {
    let Command::Pause(ServerCommand { flags, .. }) = parse(line).unwrap() else { panic!("{line}") };
    assert_eq!((flags.collection, flags.job, flags.everything), (collection, job, everything));
}

#[rstest]
#[case("512", 512)]
#[case("512MB", 512)]
#[case("512 mb", 512)]
#[case("2GB", 2048)]
fn sizes_are_megabytes(#[case] text: &str, #[case] mb: i64) {
    assert_eq!(megabytes(text), Ok(mb));
}

#[test]
fn a_collection_is_sent_by_name_or_by_id() {
    let named = collection("books").unwrap().within("shop");
    assert_eq!((named.db_name.as_str(), named.collection_name.as_str(), named.collection_id), ("shop", "books", 0));
    let by_id = collection("7").unwrap().within("");
    assert_eq!((by_id.db_name.as_str(), by_id.collection_name.as_str(), by_id.collection_id), ("", "", 7));
}

/// Usage is exit code 2, and the text names the argument.
#[rstest]
#[case("segments", "<COLLECTION>")]
#[case("segments 0", "id above 0")]
#[case("segments 7books", "does not begin with a digit")]
#[case("segments books --quiet --json", "--json")]
#[case("explain", "<SEGMENT|COLLECTION>")]
#[case("lineage books", "SEGMENT")]
#[case("jobs --state done", "possible values")]
#[case("jobs --trigger never", "possible values")]
#[case("jobs --since yesterday", "a time such as")]
#[case("jobs --limit 0", "--limit")]
#[case("job", "<JOB>")]
#[case("cancel", "JOB")]
#[case("cancel 1 --plan 2", "--plan")]
#[case("pause", "COLLECTION")]
#[case("pause books --everything", "--everything")]
#[case("throttle -1", "-1")]
#[case("throttle 0", "`none`")]
#[case("throttle fast", "`none`")]
#[case("compact", "<COLLECTION>")]
#[case("compact books --wait --dry-run", "--dry-run")]
#[case("compact books --quiet --json", "--json")]
#[case("compact books --priority 101", "-100..=100")]
#[case("compact books --deadline tomorrow", "2026-11-29T20:00:00Z")]
#[case("compact books --segments 1,x", "--segments")]
#[case("watch --interval 10ms", "50ms to 1m")]
#[case("plan books --clustering --l0", "--l0")]
#[case("plan books --target-size 0", "512MB")]
#[case("plan books --automatic --l0", "--automatic")]
#[case("status --timeout 0s", "more than nothing")]
#[case("segmnts books", "segments")]
#[case("segments books --jsn", "--json")]
#[case("status --cert-file c.pem", "--key-file")]
fn refused(#[case] line: &str, #[case] names: &str) {
    let error = parse(line).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{line}");
    assert!(error.to_string().contains(names), "{line}: {error}");
}

#[test]
fn every_variable_of_the_command_line_is_known_to_the_configuration() {
    fn variables(command: &clap::Command, into: &mut std::collections::BTreeSet<String>) {
        into.extend(command.get_arguments().filter_map(|arg| Some(arg.get_env()?.to_str()?.to_owned())));
        command.get_subcommands().for_each(|command| variables(command, into));
    }
    let mut found = std::collections::BTreeSet::new();
    variables(&Cli::command(), &mut found);
    assert!(found.len() > 5);
    for name in found {
        assert!(crate::config::layers::COMMAND_VARIABLES.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn a_port_alone_is_an_address() {
    let cli =
        Cli::try_parse_from(["datacoord", "serve", "--grpc-listen", ":19531", "--http-listen", "localhost:0"]).unwrap();
    let Some(Command::Serve(flags)) = cli.command else { panic!() };
    assert_eq!(flags.layers.grpc_listen.unwrap().to_string(), "0.0.0.0:19531");
    assert!(flags.layers.http_listen.unwrap().ip().is_loopback());
    let cli = Cli::try_parse_from(["datacoord", "healthcheck", "--endpoint", ":9091"]).unwrap();
    let Some(Command::Healthcheck(flags)) = cli.command else { panic!() };
    assert_eq!(flags.endpoint.as_deref(), Some("127.0.0.1:9091"));
}
