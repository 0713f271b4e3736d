use super::{
    Access, Client, ClientError,
    connection::{poll, succeeded},
};
use crate::wire::proto::common::Status;

#[test]
fn either_code_of_a_status_is_a_refusal() {
    succeeded("Insert", None).unwrap();
    succeeded("Insert", Some(Status::default())).unwrap();
    let refused = Status { code: 1100, reason: "field id".to_owned(), ..Status::default() };
    let error = succeeded("Insert", Some(refused)).unwrap_err();
    assert_eq!(error.to_string(), "Insert: code 1100: field id");
    let older = Status { error_code: 1, reason: "not loaded".to_owned(), ..Status::default() };
    assert_eq!(succeeded("Query", Some(older)).unwrap_err().to_string(), "Query: code 0: not loaded");
}

#[tokio::test(start_paused = true)]
async fn polling_ends_with_the_answer_an_error_or_the_patience() {
    let mut asked = 0;
    let answer = poll("the third answer", || {
        asked += 1;
        let answer = (asked == 3).then_some(asked);
        async move { Ok(answer) }
    });
    assert_eq!(answer.await.unwrap(), 3);
    let refused =
        || async { Err::<Option<()>, _>(ClientError::Refused { call: "x", code: 1, reason: "no".to_owned() }) };
    assert_eq!(poll("nothing", refused).await.unwrap_err().to_string(), "x: code 1: no");
    let never = poll("the flush", || async { Ok(None::<()>) }).await.unwrap_err();
    assert_eq!(never.to_string(), "the flush took longer than 120 s");
}

#[tokio::test]
async fn addresses_without_a_server_are_named() {
    let error = Client::connect("127.0.0.1:1", Access::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "no server at 127.0.0.1:1: start one with `datacoord serve`");
    let error = Client::connect("not an address", Access::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "not an address is not an address");
}
