//! Where spans go.

/// Spans of calls and plans, as Milvus' `trace` section has them.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceConfig {
    pub exporter: TraceExporter,
    /// Host and port of a collector, or its URL.
    pub otlp_endpoint: String,
    /// TLS to an endpoint that is no URL.
    pub otlp_secure: bool,
    /// The part of traces that is sent, from 0 to 1. A call whose client sends its own trace follows the client's choice.
    pub sample_fraction: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceExporter {
    None,
    Otlp,
}

impl Default for TraceConfig {
    fn default() -> Self {
        Self { exporter: TraceExporter::None, otlp_endpoint: String::new(), otlp_secure: true, sample_fraction: 0.0 }
    }
}

impl TraceConfig {
    /// The URL of the collector.
    pub fn url(&self) -> String {
        let endpoint = &self.otlp_endpoint;
        match (endpoint.contains("://"), self.otlp_secure) {
            (true, _) => endpoint.clone(),
            (false, true) => format!("https://{endpoint}"),
            (false, false) => format!("http://{endpoint}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::as_milvus_has_it("collector:4317", true, "https://collector:4317")]
    #[case::without_tls("collector:4317", false, "http://collector:4317")]
    #[case::a_url_says_it_itself("http://collector:4317", true, "http://collector:4317")]
    fn the_scheme_follows_from_secure(#[case] endpoint: &str, #[case] secure: bool, #[case] url: &str) {
        let config = TraceConfig { otlp_endpoint: endpoint.to_owned(), otlp_secure: secure, ..TraceConfig::default() };
        assert_eq!(config.url(), url);
    }
}
