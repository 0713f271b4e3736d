//! Keeps pages of other sites from starting something. A browser sends the requests of any page, with an `Origin`
//! header that names the page's site.
//!
//! Must never refuse a client that is no browser: it sends no `Origin`.

use axum::{
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Refuses a request that may change something and comes from a page of another host.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !reads && is_foreign(request.headers()) {
        let origin = request.headers().get(header::ORIGIN).and_then(|o| o.to_str().ok()).unwrap_or("another site");
        let text = format!("a page of {} may not do this here", origin.chars().take(100).collect::<String>());
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    next.run(request).await
}

/// True if there is an origin and it is not the host that the request is for.
fn is_foreign(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let site = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, site)| site);
    match (site, host) {
        (Some(site), Some(host)) => !site.eq_ignore_ascii_case(host),
        // A browser sends `null` for a page whose origin it hides.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::no_browser(None, "here:9091", false)]
    #[case::own_page(Some("http://here:9091"), "here:9091", false)]
    #[case::own_page_in_capitals(Some("http://HERE:9091"), "here:9091", false)]
    #[case::other_site(Some("https://elsewhere.example"), "here:9091", true)]
    #[case::other_port(Some("http://here:8080"), "here:9091", true)]
    #[case::hidden(Some("null"), "here:9091", true)]
    fn where_a_request_is_from(#[case] origin: Option<&str>, #[case] host: &str, #[case] expected: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        assert_eq!(is_foreign(&headers), expected);
    }
}
