//! Registers metrics of every kind on one registry and keeps the list of them.
//!
//! Must never: take label values from anywhere but the program, since every new value costs a series for ever.

use prometheus::{
    Counter, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, core::Collector,
};

use crate::telemetry::TelemetryError;

/// The buckets of a histogram.
#[derive(Debug, Clone, Copy)]
pub(super) enum Buckets {
    /// 1 ms to about 9 min, doubling, in seconds.
    Seconds,
    /// Few, for a label of many values, because every value costs one line per bucket. In seconds.
    FewSeconds,
    /// Milvus' usual ones: 1 to 131072, doubling.
    Doubling,
    /// Milvus' own of long tasks, in milliseconds.
    LongTask,
    /// Milvus' own of writing objects, in milliseconds.
    Saving,
}

impl Buckets {
    fn bounds(self) -> Result<Vec<f64>, prometheus::Error> {
        match self {
            Self::Seconds => prometheus::exponential_buckets(0.001, 2.0, 20),
            Self::FewSeconds => Ok(vec![0.001, 0.005, 0.02, 0.1, 0.5, 2.5, 10.0, 60.0]),
            Self::Doubling => prometheus::exponential_buckets(1.0, 2.0, 18),
            Self::LongTask => Ok(vec![1.0, 1e2, 5e2, 1e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 3.6e6, 5e6, 1e7]),
            Self::Saving => Ok(vec![0.0, 10.0, 100.0, 200.0, 400.0, 1e3, 1e4]),
        }
    }
}

/// A metric as the inventory lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricEntry {
    pub name: &'static str,
    pub kind: &'static str,
    pub labels: Vec<&'static str>,
    pub help: &'static str,
}

/// Counters with `N` labels. Values are static strings, so the number of series can't grow with the data.
#[derive(Debug, Clone)]
pub struct CounterBy<const N: usize>(pub(super) IntCounterVec);

impl<const N: usize> CounterBy<N> {
    pub fn with(&self, labels: [&'static str; N]) -> IntCounter {
        self.0.with_label_values(&labels)
    }
}

/// Gauges with `N` labels.
#[derive(Debug, Clone)]
pub struct GaugeBy<const N: usize>(IntGaugeVec);

impl<const N: usize> GaugeBy<N> {
    pub fn with(&self, labels: [&'static str; N]) -> IntGauge {
        self.0.with_label_values(&labels)
    }
}

/// Histograms with `N` labels.
#[derive(Debug, Clone)]
pub struct HistogramBy<const N: usize>(pub(super) HistogramVec);

impl<const N: usize> HistogramBy<N> {
    pub fn with(&self, labels: [&'static str; N]) -> Histogram {
        self.0.with_label_values(&labels)
    }
}

/// Brings a counter up to a total that is counted elsewhere.
pub fn catch_up(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

/// Registers metrics and records them for the inventory.
pub(super) struct Registrar {
    pub(super) registry: Registry,
    pub(super) inventory: Vec<MetricEntry>,
}

impl Registrar {
    pub(super) fn add<C: Collector + Clone + 'static>(
        &mut self,
        kind: &'static str,
        (name, labels, help): (&'static str, &[&'static str], &'static str),
        created: Result<C, prometheus::Error>,
    ) -> Result<C, TelemetryError> {
        let fail = |source| TelemetryError::Metric { name, source };
        let metric = created.map_err(fail)?;
        self.registry.register(Box::new(metric.clone())).map_err(fail)?;
        self.inventory.push(MetricEntry { name, kind, labels: labels.to_vec(), help });
        Ok(metric)
    }

    pub(super) fn counter(&mut self, name: &'static str, help: &'static str) -> Result<IntCounter, TelemetryError> {
        self.add("counter", (name, &[], help), IntCounter::new(name, help))
    }

    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str) -> Result<IntGauge, TelemetryError> {
        self.add("gauge", (name, &[], help), IntGauge::new(name, help))
    }

    pub(super) fn seconds_counter(
        &mut self,
        name: &'static str,
        help: &'static str,
    ) -> Result<Counter, TelemetryError> {
        self.add("counter", (name, &[], help), Counter::new(name, help))
    }

    pub(super) fn seconds_gauge(&mut self, name: &'static str, help: &'static str) -> Result<Gauge, TelemetryError> {
        self.add("gauge", (name, &[], help), Gauge::new(name, help))
    }

    pub(super) fn histogram(
        &mut self,
        name: &'static str,
        buckets: Buckets,
        help: &'static str,
    ) -> Result<Histogram, TelemetryError> {
        let created = buckets.bounds().and_then(|b| Histogram::with_opts(HistogramOpts::new(name, help).buckets(b)));
        self.add("histogram", (name, &[], help), created)
    }

    pub(super) fn counter_by<const N: usize>(
        &mut self,
        name: &'static str,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Result<CounterBy<N>, TelemetryError> {
        let created = IntCounterVec::new(Opts::new(name, help), &labels);
        self.add("counter", (name, &labels, help), created).map(CounterBy)
    }

    pub(super) fn gauge_by<const N: usize>(
        &mut self,
        name: &'static str,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Result<GaugeBy<N>, TelemetryError> {
        let created = IntGaugeVec::new(Opts::new(name, help), &labels);
        self.add("gauge", (name, &labels, help), created).map(GaugeBy)
    }

    pub(super) fn histogram_by<const N: usize>(
        &mut self,
        name: &'static str,
        labels: [&'static str; N],
        buckets: Buckets,
        help: &'static str,
    ) -> Result<HistogramBy<N>, TelemetryError> {
        let created =
            buckets.bounds().and_then(|b| HistogramVec::new(HistogramOpts::new(name, help).buckets(b), &labels));
        self.add("histogram", (name, &labels, help), created).map(HistogramBy)
    }
}

/// Declares an area: a struct of handles and how each is registered. `by [..]` makes one handle per label value, `in ..`
/// names the buckets of a histogram.
macro_rules! area {
    ($(#[$doc:meta])* $struct:ident {
        $($field:ident: $kind:ident $(in $buckets:ident)? $(by [$($label:literal),+])? $name:literal, $help:literal;)+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $struct {
            $(#[doc = $help] pub $field: area!(@type $kind $([$($label),+])?),)+
        }

        impl $struct {
            pub(in crate::telemetry::metrics) fn register(registrar: &mut Registrar) -> Result<Self, TelemetryError> {
                Ok(Self {
                    $($field: area!(@make registrar, $kind $($buckets)? $([$($label),+])?, $name, $help)?,)+
                })
            }
        }
    };
    (@type counter) => { IntCounter };
    (@type gauge) => { IntGauge };
    (@type seconds_counter) => { Counter };
    (@type seconds_gauge) => { Gauge };
    (@type histogram) => { Histogram };
    (@type counter [$($label:literal),+]) => { CounterBy<{ [$($label),+].len() }> };
    (@type gauge [$($label:literal),+]) => { GaugeBy<{ [$($label),+].len() }> };
    (@type histogram [$($label:literal),+]) => { HistogramBy<{ [$($label),+].len() }> };
    (@make $r:ident, counter, $name:literal, $help:literal) => { $r.counter($name, $help) };
    (@make $r:ident, gauge, $name:literal, $help:literal) => { $r.gauge($name, $help) };
    (@make $r:ident, seconds_counter, $name:literal, $help:literal) => { $r.seconds_counter($name, $help) };
    (@make $r:ident, seconds_gauge, $name:literal, $help:literal) => { $r.seconds_gauge($name, $help) };
    (@make $r:ident, histogram $buckets:ident, $name:literal, $help:literal) => {
        $r.histogram($name, Buckets::$buckets, $help)
    };
    (@make $r:ident, counter [$($label:literal),+], $name:literal, $help:literal) => {
        $r.counter_by($name, [$($label),+], $help)
    };
    (@make $r:ident, gauge [$($label:literal),+], $name:literal, $help:literal) => {
        $r.gauge_by($name, [$($label),+], $help)
    };
    (@make $r:ident, histogram $buckets:ident [$($label:literal),+], $name:literal, $help:literal) => {
        $r.histogram_by($name, [$($label),+], Buckets::$buckets, $help)
    };
}
