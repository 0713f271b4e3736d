//! REST, health and metrics on the HTTP port, as Milvus 2.3.5 has them there, and the operator's page.
//!
//! Translates and never decides: members of a request become the values that the gRPC edge makes of its messages, the
//! answer becomes JSON. Int64 are bare numbers in both directions and keep all their digits; members that are zero are
//! left out, enums are numbers. Differences from Milvus: the query string is read too (there it is ignored), and a
//! request that names no collection is refused (there it means all of them).
//!
//! With authorization or mutual TLS paths need a login or a certificate, except for probes and metrics; the files of the page
//! need no login (`guard`).
//!
//! | route | what |
//! |---|---|
//! | `POST /api/v1/compaction` | start a compaction |
//! | `GET /api/v1/compaction/state`, `/plans` | follow it |
//! | `POST /v2/vectordb/collections/compact`, `/get_compaction_state` | the same in the newer style |
//! | `POST /v2/vectordb/entities/…`, `/collections/…`, `/indexes/…` | rows and definitions (`v2`) |
//! | `GET /api/v1/health` | that something answers |
//! | `GET /healthz`, `/readyz` | how all components are, with reasons; whether calls are taken |
//! | `GET`, `PUT /log/level` | the level of the log |
//! | `GET /metrics` | Prometheus |
//! | `GET /`, `/page/…`, `/api/v2/…` | the operator's page, and the JSON and the events behind it (`page`) |

mod answer;
mod bounds;
mod compaction;
mod control;
mod guard;
mod health;
mod log_level;
mod milvus;
mod origin;
mod page;
mod paths;
mod profile;
mod request;
mod router;
mod serve;
mod shared;
mod streams;
#[cfg(test)]
mod tests;
mod v2;

pub use bounds::{LargeBodies, RequestBounds};
pub use control::ControlService;
pub use milvus::Milvus;
pub use router::router;
pub use serve::serve;
