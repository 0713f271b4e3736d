use std::os::unix::fs::PermissionsExt as _;

use rstest::rstest;

use super::{check::CheckResult, machine, server, store};
use crate::{
    config::layers::{self, Sources},
    storage::SegmentStore,
};

#[tokio::test]
async fn a_store_is_tried_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = layers::load(&Sources::default()).unwrap().config;
    config.server.data_dir = folder.path().join("data");
    assert_eq!(store::check(&config).await.verdict, CheckResult::Skipped, "nothing is made");
    assert!(!config.server.data_dir.exists());
    std::fs::create_dir(&config.server.data_dir).unwrap();
    let tried = store::check(&config).await;
    assert_eq!(tried.verdict, CheckResult::Ok, "{tried:?}");
    let backend = SegmentStore::open(&config.storage, &config.server.data_dir).unwrap().backend();
    let left: Vec<_> = futures::StreamExt::collect(backend.list("")).await;
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_folder_is_tried_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(machine::folder(folder.path()).verdict, CheckResult::Ok);
    let later = machine::folder(&folder.path().join("a/b"));
    assert!(later.text.ends_with("is not there yet, and can be made"), "{later:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(machine::folder(&file).verdict, CheckResult::Problem);
    // Root may write everywhere.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
    let expected = if rustix::process::geteuid().is_root() { CheckResult::Ok } else { CheckResult::Problem };
    assert_eq!(machine::folder(folder.path()).verdict, expected);
}

#[rstest]
#[case(0, CheckResult::Problem)]
#[case((100 << 20) - 1, CheckResult::Problem)]
#[case(100 << 20, CheckResult::Warning)]
#[case(1 << 30, CheckResult::Ok)]
#[case(u64::MAX, CheckResult::Ok)]
fn little_room_is_told(#[case] free: u64, #[case] verdict: CheckResult) {
    let check = machine::room("disk", free, String::new());
    assert_eq!((check.verdict, check.advice.is_empty()), (verdict, verdict == CheckResult::Ok));
}

#[test]
fn a_port_in_use_is_a_problem_with_its_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = layers::load(&Sources::default()).unwrap().config.server;
    (config.grpc_listen, config.http_listen) = (taken.local_addr().unwrap(), "127.0.0.1:0".parse().unwrap());
    let [grpc, http] = machine::ports(&config).try_into().unwrap();
    assert_eq!((grpc.verdict, http.verdict), (CheckResult::Problem, CheckResult::Ok));
    assert!(grpc.advice.contains("--grpc-listen"), "{grpc:?}");
}

#[test]
fn a_misspelt_key_is_told_with_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("milvus.yaml");
    std::fs::write(&file, "dataCoord:\n  segmnt:\n    maxSize: 512\n").unwrap();
    let loaded = layers::load(&Sources { file: Some(file), ..Sources::default() }).unwrap();
    let check = machine::configuration(&loaded);
    assert_eq!(check.verdict, CheckResult::Warning);
    assert!(check.advice.contains("dataCoord.segment.maxSize"), "{check:?}");
    assert_eq!(machine::configuration(&layers::load(&Sources::default()).unwrap()).verdict, CheckResult::Ok);
}

#[rstest]
#[case("2.3.5-datacoord-0.1.0", "0.1.0", CheckResult::Ok)]
#[case("2.3.5-datacoord-0.2.0", "0.1.0", CheckResult::Warning)]
#[case("2.3.5", "0.1.0", CheckResult::Warning)]
fn versions_are_compared(#[case] of_server: &str, #[case] own: &str, #[case] verdict: CheckResult) {
    assert_eq!(server::same_version("version", of_server, own).verdict, verdict);
}

#[rstest]
#[case(0, 0, CheckResult::Ok)]
#[case(5000, 0, CheckResult::Ok)]
#[case(0, 5001, CheckResult::Warning)]
fn clocks_are_compared(#[case] of_server: i64, #[case] own: i64, #[case] verdict: CheckResult) {
    assert_eq!(server::apart("clock", of_server, own).verdict, verdict);
}
