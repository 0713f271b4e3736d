//! Keeps pages of other sites from starting something, and from reading what the page reads. A browser sends the requests of
//! any page. It tells the page's site in the header `Origin`, except with a request that only reads.
//!
//! A site may also let its own name lead to this server. Then both names are the same, and only a list of our names
//! helps. Nobody can have a public name without a dot, so addresses and such names need no entry.
//!
//! Must never refuse a client that is no browser: it sends no `Origin`, and does not read the page.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::paths::PAGE_ROUTES;
use crate::config::{Config, TlsMode};

/// Longest name in a refusal.
const MAX_NAME: usize = 100;

/// Names under which browsers may reach this server.
#[derive(Debug, Clone)]
pub(super) struct OwnNames {
    /// `None`: any. A login or a certificate keeps other sites out.
    listed: Option<Arc<[String]>>,
}

impl OwnNames {
    pub(super) fn new(config: &Config) -> Self {
        let is_open = !config.access.enabled && config.tls.http() == TlsMode::Off;
        let names = config.server.http_names.split(',').map(|name| name.trim().to_ascii_lowercase());
        Self { listed: is_open.then(|| names.filter(|name| !name.is_empty()).collect()) }
    }

    /// Whether a request for this host may come from a browser.
    fn have(&self, host: &str) -> bool {
        let Some(listed) = &self.listed else { return true };
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
        !name.contains('.') || name.parse::<IpAddr>().is_ok() || listed.contains(&name)
    }
}

/// Refuses a request of a page of another host that may change something, and one of any page under a name that is not ours.
pub(super) async fn check(State(own): State<OwnNames>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !reads && is_foreign(headers) {
        let origin = headers.get(header::ORIGIN).and_then(|o| o.to_str().ok()).unwrap_or("another site");
        return refusal(format!("a page of {} may not do this here", cut(origin)));
    }
    let is_of_browser = headers.contains_key(header::ORIGIN) || PAGE_ROUTES.contains(&request.uri().path());
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if let Some(host) = host.filter(|host| is_of_browser && !own.have(host)) {
        let name = cut(host);
        return refusal(format!(
            "{name:?} is no name of this server: datacoord.http.names lists those that browsers may use without users or TLS"
        ));
    }
    next.run(request).await
}

fn refusal(text: String) -> Response {
    (StatusCode::FORBIDDEN, text).into_response()
}

fn cut(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
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

    #[rstest]
    #[case::address("127.0.0.1:9091", true)]
    #[case::address_of_six_words("[::1]:9091", true)]
    #[case::no_dot("localhost:9091", true)]
    #[case::in_the_list("DB.example.com:9091", true)]
    #[case::another_in_the_list("db2.example.com", true)]
    #[case::of_somebody("evil.example:9091", false)]
    #[case::below_one_in_the_list("a.db.example.com", false)]
    #[case::an_address_as_a_label("127.0.0.1.evil.example", false)]
    #[case::with_a_user("localhost@evil.example", false)]
    #[case::no_name("a b.c", false)]
    fn names_of_browsers(#[case] host: &str, #[case] expected: bool) {
        let mut config = Config::default();
        config.server.http_names = "db.example.com, db2.example.com".to_owned();
        assert_eq!(OwnNames::new(&config).have(host), expected);
        config.access.enabled = true;
        assert!(OwnNames::new(&config).have(host), "a login keeps other sites out");
    }
}
