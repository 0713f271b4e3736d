//! The files of the page, which are parts of the program.
//!
//! They name no other host, and the policy that goes with them has the browser refuse every request to one, every script
//! that is not among them, and frames of other sites around them.

use axum::{
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};

use crate::http::paths;

/// One file.
pub(super) struct Asset {
    pub(super) path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! assets {
    ($($path:path, $kind:ident, $file:literal;)*) => {
        [$(Asset { path: $path, kind: $kind, text: include_str!(concat!("web/", $file)) }),*]
    };
}

pub(super) static ASSETS: [Asset; 14] = assets! {
    paths::PAGE, HTML, "index.html";
    paths::PAGE_STYLE, CSS, "style.css";
    paths::PAGE_PARTS_STYLE, CSS, "parts.css";
    paths::PAGE_MAIN, SCRIPT, "main.js";
    paths::PAGE_SERVER, SCRIPT, "server.js";
    paths::PAGE_ELEMENTS, SCRIPT, "elements.js";
    paths::PAGE_UNITS, SCRIPT, "units.js";
    paths::PAGE_SUMMARY, SCRIPT, "summary.js";
    paths::PAGE_PLANS, SCRIPT, "plans.js";
    paths::PAGE_SEGMENTS, SCRIPT, "segments.js";
    paths::PAGE_DETAILS, SCRIPT, "details.js";
    paths::PAGE_HISTORY, SCRIPT, "history.js";
    paths::PAGE_PLOTS, SCRIPT, "plots.js";
    paths::PAGE_ACTIONS, SCRIPT, "actions.js";
};

/// `data:` is for the icon.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    // The next release has other files under the same names.
    (header::CACHE_CONTROL, "no-cache"),
];

impl Asset {
    pub(super) fn response(&self) -> Response {
        (HEADERS, [(header::CONTENT_TYPE, self.kind)], self.text).into_response()
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &'static str {
        self.text
    }
}
