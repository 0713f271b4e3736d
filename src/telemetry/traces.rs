//! Spans of calls and plans, sent to a collector of OpenTelemetry over OTLP.
//!
//! A thread of its own sends them in batches. Log lines have the same spans, whether or not they are sent.
//!
//! Must never: hold a call up. Spans that come faster than the collector takes them are lost.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use http::HeaderMap;
use opentelemetry::{
    propagation::{Extractor, TextMapPropagator},
    trace::TracerProvider,
};
use opentelemetry_otlp::WithTonicConfig;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter},
};
use tonic::transport::Channel;
use tracing::{Level, Metadata, Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

use super::TelemetryError;
use crate::config::{TraceConfig, TraceExporter};

/// How long the last spans may take when the server ends.
const END: Duration = Duration::from_secs(1);

/// Fields that say in one word which call, route, plan or planning a span is. The first one becomes part of its name.
const NAMING: [&str; 4] = ["method", "route", "kind", "trigger"];

/// Sends spans until [`Self::end`].
pub struct Traces {
    provider: SdkTracerProvider,
    /// The connection to the collector lives here. The runtime of the server begins later, and ends before the last spans.
    runtime: tokio::runtime::Runtime,
}

impl std::fmt::Debug for Traces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Traces")
    }
}

impl Traces {
    /// Begins to send, if the settings name a collector. The collector may be away. `connect` makes the connection to a URL,
    /// in a runtime.
    ///
    /// # Errors
    /// `Exporter`: no URL of a collector, or no thread.
    pub fn start<E: std::fmt::Display>(
        config: &TraceConfig,
        connect: impl FnOnce(&str) -> Result<Channel, E>,
    ) -> Result<Option<Self>, TelemetryError> {
        if config.exporter == TraceExporter::None {
            return Ok(None);
        }
        let url = config.url();
        let failed = |reason: String| TelemetryError::Exporter { url: url.clone(), reason };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("traces")
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let entered = runtime.enter();
        let channel = connect(&url).map_err(|error| failed(error.to_string()))?;
        let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_channel(channel);
        let exporter = exporter.build().map_err(|error| failed(error.to_string()))?;
        drop(entered);
        let resource = Resource::builder()
            .with_service_name("datacoord")
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_fraction)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(NamedSpans { inner: exporter, fails: AtomicBool::new(false) })
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        Ok(Some(Self { provider, runtime }))
    }

    /// The layer with which a subscriber sends its spans.
    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let layer: OpenTelemetryLayer<S, SdkTracer> = tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("datacoord"))
            .with_location(false)
            .with_threads(false);
        let is_ours = |about: &Metadata<'_>| about.target().starts_with("datacoord") && *about.level() <= Level::INFO;
        layer.with_filter(filter_fn(is_ours))
    }

    /// Sends the last spans. Must be called outside of a runtime.
    pub fn end(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(END) {
            tracing::warn!(%error, "the last spans may be lost");
        }
        self.runtime.shutdown_background();
    }
}

/// Makes a span part of the trace that the headers name, if they name one.
pub fn follow(span: &Span, headers: &HeaderMap) {
    let propagator = TraceContextPropagator::new();
    if propagator.fields().any(|field| headers.contains_key(field)) {
        // It fails where spans are not sent, and then nobody asks.
        let _ = span.set_parent(propagator.extract(&Carrier(headers)));
    }
}

struct Carrier<'a>(&'a HeaderMap);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// Names spans by the field that tells them apart, and logs when the collector goes and comes.
#[derive(Debug)]
struct NamedSpans<E> {
    inner: E,
    fails: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for NamedSpans<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        for span in &mut batch {
            span.name = name_of(span);
        }
        let sent = self.inner.export(batch).await;
        match (&sent, self.fails.swap(sent.is_err(), Relaxed)) {
            (Err(error), false) => tracing::warn!(%error, count, "the collector of spans takes none: they are lost"),
            (Ok(()), true) => tracing::info!("the collector takes spans again"),
            _ => {}
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

fn name_of(span: &SpanData) -> Cow<'static, str> {
    let naming = |field: &str| span.attributes.iter().find(|attribute| attribute.key.as_str() == field);
    match NAMING.iter().find_map(|field| naming(field)) {
        Some(attribute) => format!("{} {}", span.name, attribute.value.as_str()).into(),
        None => span.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opentelemetry::trace::TraceId;
    use parking_lot::Mutex;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Collector(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Collector {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().extend(batch);
            Ok(())
        }
    }

    /// Spans that `work` made, as they are sent.
    fn sent(sampler: Sampler, work: impl FnOnce()) -> Vec<SpanData> {
        let collector = Collector::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(NamedSpans { inner: collector.clone(), fails: AtomicBool::new(false) })
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .build();
        let traces = Traces { provider, runtime: tokio::runtime::Builder::new_current_thread().build().unwrap() };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(traces.layer()), work);
        traces.end();
        std::mem::take(&mut *collector.0.lock())
    }

    #[test]
    fn a_span_is_named_by_the_field_that_tells_it_apart() {
        let spans = sent(Sampler::AlwaysOn, || {
            drop(tracing::info_span!("call", id = "1", method = "milvus.proto.milvus.MilvusService/Insert"));
            drop(tracing::info_span!("plan", plan_id = 7, kind = "mix"));
            drop(tracing::info_span!("other"));
            drop(tracing::debug_span!("fine"));
            drop(tracing::info_span!(target: "h2", "frame"));
        });
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_ref()).collect();
        assert_eq!(names, ["call milvus.proto.milvus.MilvusService/Insert", "plan mix", "other"]);
    }

    #[test]
    fn a_call_is_part_of_its_clients_trace_and_follows_its_choice() {
        let call = |flags: &str| {
            let mut headers = HeaderMap::new();
            let parent = format!("00-22222222222222222222222222222222-1111111111111111-{flags}");
            headers.insert("traceparent", parent.parse().unwrap());
            let span = tracing::info_span!("call");
            follow(&span, &headers);
        };
        let spans = sent(Sampler::AlwaysOff, || {
            call("01");
            call("00");
            follow(&tracing::info_span!("call"), &HeaderMap::new());
        });
        let traces: Vec<TraceId> = spans.iter().map(|span| span.span_context.trace_id()).collect();
        assert_eq!(traces, [TraceId::from_hex("22222222222222222222222222222222").unwrap()]);
    }
}
