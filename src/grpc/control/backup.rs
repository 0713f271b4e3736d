//! The stream of a backup.

use futures::{
    FutureExt,
    future::BoxFuture,
    stream::{self, BoxStream, StreamExt},
};
use tonic::{Response, Status};

use super::{ControlApi, grpc_status};
use crate::{
    access::Caller,
    memory::Pool,
    model::AccessRefusal,
    standalone::{Backup, BackupPart as Part},
    wire::{
        proto::datacoord::{backup_part::Part as Message, *},
        status::of_refusal,
    },
};

/// Memory of a part while it is sent.
const MEMORY_BYTES: u64 = 4 << 20;

pub(in crate::grpc) type BackupStream = BoxStream<'static, Result<BackupPart, Status>>;

/// The rest of a stream.
enum Unsent {
    Head(Box<Backup>),
    Parts(Box<Backup>),
    Done,
}

impl ControlApi {
    /// The stream ends with the login of its caller.
    pub(super) async fn do_backup(
        &self,
        request: BackupRequest,
        caller: Caller,
    ) -> Result<Response<BackupStream>, Status> {
        let backup = self.standalone.backup(!request.without_objects).await.map_err(grpc_status)?;
        let gatekeeper = self.standalone.gatekeeper().clone();
        let ended = async move { gatekeeper.login_ended(&caller).await }.boxed();
        let parts = stream::unfold((Unsent::Head(Box::new(backup)), ended), next);
        let mut response = Response::new(parts.boxed());
        // An answer with an account is given up once its client takes nothing of it: what it pins can't stay for ever.
        let memory = Pool::new("datacoord.connections.idleTimeout", MEMORY_BYTES).account(MEMORY_BYTES).await;
        response.extensions_mut().insert(memory);
        Ok(response)
    }
}

/// With the end of the caller's login.
type SendingBackup = (Unsent, BoxFuture<'static, AccessRefusal>);

async fn next((unsent, mut ended): SendingBackup) -> Option<(Result<BackupPart, Status>, SendingBackup)> {
    let (message, unsent) = match unsent {
        Unsent::Done => return None,
        Unsent::Head(backup) => {
            let head = BackupHead {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                at_ms: i64::try_from(backup.at_ms).unwrap_or(i64::MAX),
                segments: i64::try_from(backup.segments()).unwrap_or(i64::MAX),
            };
            (Ok(Message::Head(head)), Unsent::Parts(backup))
        }
        Unsent::Parts(mut backup) => {
            let part = tokio::select! {
                biased;
                refusal = &mut ended => Err(of_refusal(&refusal)),
                part = backup.next_part() => part.map_err(grpc_status),
            };
            match part {
                Ok(Some(part)) => (Ok(message(part)), Unsent::Parts(backup)),
                Ok(None) => (Ok(Message::End(BackupEnd {})), Unsent::Done),
                Err(status) => (Err(status), Unsent::Done),
            }
        }
    };
    Some((message.map(|part| BackupPart { part: Some(part) }), (unsent, ended)))
}

fn message(part: Part) -> Message {
    match part {
        Part::Records(bytes) => Message::Records(bytes.into()),
        Part::Log { first, at, file_bytes, bytes } => {
            Message::Log(BackupLogPart { first: first.0, offset: at, file_bytes, data: bytes.into() })
        }
        Part::Object { object, at, bytes } => Message::Object(BackupObjectPart {
            name: object.path.to_string(),
            offset: at,
            object_bytes: object.bytes,
            checksum: object.checksum,
            data: bytes.into(),
        }),
    }
}
