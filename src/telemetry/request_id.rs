//! The id of a request in all of its log lines.

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;

/// Keys under which clients send an id of their own; the first one counts.
const REQUEST_IDS: [&str; 3] = ["x-request-id", "client_request_id", "client-request-id"];
/// Characters of a client's id; the rest is left out.
const MAX_ID: usize = 64;

/// The id in all log lines of a call: the client's own, or a new one.
pub fn request_id(headers: &HeaderMap) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let given = REQUEST_IDS.iter().find_map(|key| headers.get(*key)?.to_str().ok().filter(|id| !id.is_empty()));
    match given {
        Some(id) => id.chars().take(MAX_ID).collect(),
        None => format!("{:x}-{:x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn an_id_is_the_clients_or_a_new_one() {
        let with = |key: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(key, HeaderValue::from_str(value).unwrap());
            request_id(&headers)
        };
        assert_eq!(with("x-request-id", "abc"), "abc");
        assert_eq!(with("client_request_id", "from pymilvus"), "from pymilvus");
        assert_eq!(with("x-request-id", &"x".repeat(1000)), "x".repeat(MAX_ID));
        let (one, two) = (with("x-request-id", ""), with("other", "abc"));
        assert!(one != two && !one.is_empty() && two != "abc", "{one} {two}");
    }
}
