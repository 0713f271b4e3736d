//! A connection to a server, and the steps that commands have in common.

use anyhow::Context as _;

use crate::{
    cli::{
        args::{By, CollectionArgument, PlaceFlags, ServerFlags},
        exit::{CommandFailure, Exit},
        output::OutputForm,
        reach,
    },
    client::Client,
    clock::{Clock as _, SystemClock},
    wire::proto::datacoord::CollectionRef,
};

/// Most names in an error.
const MOST_NAMES: usize = 20;

/// A connection to a server, with the flags that all commands share.
pub(in crate::cli) struct Session {
    pub(in crate::cli) client: Client,
    /// `host:port`.
    pub(super) endpoint: String,
    /// Empty: the default one.
    pub(super) database: String,
    pub(super) output: OutputForm,
    /// The author of orders, unless a flag names another.
    pub(super) author: String,
}

impl Session {
    /// Connects as the flags say, or to the server that runs on this machine.
    pub(in crate::cli) async fn open(place: &PlaceFlags, flags: ServerFlags) -> anyhow::Result<Self> {
        let found = reach::addresses(place)?;
        let environment = place.sources(&Default::default()).environment;
        let endpoint = flags.endpoint().map_or_else(|| found.grpc.clone(), str::to_owned);
        let known = reach::known(&endpoint, &found.grpc, found.grpc_tls, &found);
        let mut access = reach::access(&flags.reach, &environment, &known, &endpoint)?;
        access.patience = flags.timeout;
        let user = access.login.as_ref().map(|login| login.user.clone());
        let of_machine = || environment.iter().find(|(name, _)| name == "USER").map(|(_, user)| user.clone());
        Ok(Self {
            client: Client::connect(&endpoint, access).await?,
            endpoint,
            database: flags.database.unwrap_or_default(),
            output: OutputForm::of(flags.json),
            author: user.or_else(of_machine).unwrap_or_default(),
        })
    }

    pub(in crate::cli) fn output(&self) -> OutputForm {
        self.output
    }

    pub(super) fn named(&self, collection: &CollectionArgument) -> Option<CollectionRef> {
        Some(collection.within(&self.database))
    }

    pub(super) fn author(&self, by: By) -> String {
        by.by.unwrap_or_else(|| self.author.clone())
    }

    /// The id of a partition that is given by name or id.
    pub(super) async fn partition(&self, collection: &CollectionArgument, partition: &str) -> anyhow::Result<i64> {
        let partitions = self.client.partitions(&collection.within(&self.database)).await?;
        if let Some((_, id)) = partitions.iter().find(|(name, _)| name == partition) {
            return Ok(*id);
        }
        let asked = partition.parse().ok();
        let found = partitions.iter().find(|(_, id)| Some(*id) == asked).map(|(_, id)| *id);
        found.ok_or_else(|| {
            let names: Vec<&str> = partitions.iter().map(|(name, _)| name.as_str()).take(MOST_NAMES).collect();
            let text = format!("the collection has no partition {partition}; it has {}", names.join(", "));
            CommandFailure::error(Exit::NotFound, text)
        })
    }
}

/// Milliseconds since 1970.
pub(in crate::cli) fn now_ms() -> i64 {
    i64::try_from(SystemClock::new().now_ms()).unwrap_or(i64::MAX)
}

/// A member that every answer of the server has.
pub(super) fn given<T>(member: Option<T>, name: &str) -> anyhow::Result<T> {
    member.with_context(|| format!("the server's answer has no {name}: is it of another version?"))
}
