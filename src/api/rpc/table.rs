//! The methods: one line for each command.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    envelope::{Call, Outcome},
    params,
};
use crate::{
    api::errors::RpcError,
    command::{
        Command, Gateway, Role, access::Caller, cameras, controls, events, external, library, metrics, recordings,
        session, snapshots, streams, system,
    },
    error::{Error, Kind, Result},
};

type Run = fn(Option<Box<RawValue>>, Caller, Arc<Gateway>) -> BoxFuture<'static, Result<Box<RawValue>>>;

/// Every method there is, by name.
pub struct Table(BTreeMap<&'static str, Method>);

struct Method {
    role: Option<Role>,
    run: Run,
}

fn method<C: Command>() -> (&'static str, Method) {
    (C::METHOD, Method { role: C::ROLE, run: |params, caller, gateway| Box::pin(run::<C>(params, caller, gateway)) })
}

impl Default for Table {
    /// All of them.
    #[rustfmt::skip]
    fn default() -> Self {
        Self(BTreeMap::from([
            method::<session::Ping>(),
            method::<session::Authenticate>(),
            method::<cameras::List>(),
            method::<cameras::Get>(),
            method::<cameras::GetCapabilities>(),
            method::<controls::Get>(),
            method::<controls::Set>(),
            method::<controls::Reset>(),
            method::<streams::GetUrl>(),
            method::<streams::GetStatus>(),
            method::<streams::List>(),
            method::<streams::Start>(),
            method::<streams::Stop>(),
            method::<external::Add>(),
            method::<external::Remove>(),
            method::<external::List>(),
            method::<external::Discover>(),
            method::<external::SetInterval>(),
            method::<snapshots::Take>(),
            method::<recordings::Start>(),
            method::<recordings::Stop>(),
            method::<library::List<library::Recordings>>(),
            method::<library::List<library::Snapshots>>(),
            method::<library::Delete<library::Recordings>>(),
            method::<library::Delete<library::Snapshots>>(),
            method::<events::Subscribe>(),
            method::<events::Unsubscribe>(),
            method::<events::GetStats>(),
            method::<metrics::Get>(),
            method::<system::GetStatus>(),
            method::<system::GetSystemStatus>(),
            method::<system::GetServerInfo>(),
            method::<system::GetStorageInfo>(),
        ]))
    }
}

impl Table {
    /// The name and least role of every method, by name.
    pub fn methods(&self) -> impl Iterator<Item = (&'static str, Option<Role>)> {
        self.0.iter().map(|(name, method)| (*name, method.role))
    }

    /// Makes a call: asks whether there were too many, finds the method, asks whether the caller may, reads the parameters, runs the command.
    ///
    /// Who the caller is, is asked when the call begins to run and not before: `authenticate` may stand just ahead of
    /// it in the same batch.
    pub(super) async fn call(&self, call: Call, caller: &Caller, gateway: &Arc<Gateway>) -> Outcome {
        gateway.rates.admit(caller.address()).map_err(|error| RpcError::of(&error, caller))?;
        let Some(method) = self.0.get(call.method.as_str()) else {
            return Err(RpcError::method_not_found(&match nearest(&call.method, self.0.keys().copied()) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => "the methods are listed in docs/rpc.md".to_owned(),
            }));
        };
        let reply = match method.role.map(|least| caller.require(least)) {
            Some(Err(refusal)) => Err(refusal),
            _ => (method.run)(call.params, caller.clone(), Arc::clone(gateway)).await,
        };
        let session = caller.session_id();
        match &reply {
            Ok(_) => tracing::debug!(%session, method = call.method, "answered"),
            Err(error) => tracing::debug!(%session, method = call.method, %error, "refused"),
        }
        reply.map_err(|error| RpcError::of(&error, caller))
    }
}

async fn run<C: Command>(
    params: Option<Box<RawValue>>,
    caller: Caller,
    gateway: Arc<Gateway>,
) -> Result<Box<RawValue>> {
    let params = params::read(params.as_deref())?;
    let running = tokio::time::timeout(C::DEADLINE, C::run(params, &caller, &gateway));
    // A command that panics spoils its own reply, not the socket with all that others asked on it.
    let finished = AssertUnwindSafe(running).catch_unwind().await;
    let in_time = finished.map_err(|_| Error::internal(format!("{} panicked", C::METHOD)))?;
    let reply = in_time.map_err(|_| {
        let message = format!("{} did not finish within {} s", C::METHOD, C::DEADLINE.as_secs());
        Error::dependency(C::METHOD, message)
    })??;
    to_raw_value(&reply).map_err(|error| {
        Error::with_source(Kind::Internal, format!("the reply of {} cannot be written", C::METHOD), error)
    })
}

/// The name among `names` that `wanted` was most likely meant to be, if one is near enough to be worth a guess.
pub(super) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.map(|name| (strsim::jaro_winkler(&wanted.to_ascii_lowercase(), name), name));
    near.filter(|(likeness, _)| *likeness > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/rpc.md` and the table name the same methods with the same roles.
    #[test]
    fn the_documentation_has_every_method_and_no_other() {
        let page = include_str!("../../../docs/rpc.md");
        let documented: BTreeMap<&str, &str> = page
            .split("\n### `")
            .skip(1)
            .map(|section| {
                let (name, text) = section.split_once('`').unwrap();
                let role = text.trim_start().strip_prefix("Role: ").expect(name).split('.').next().unwrap();
                (name, role)
            })
            .collect();
        let table = Table::default();
        let registered = table.methods().map(|(name, role)| (name, role.map_or("none", Role::name))).collect();
        assert_eq!(documented, registered);
    }

    #[test]
    fn a_slip_is_understood_and_nonsense_is_not() {
        let table = Table::default();
        let near = |wanted| nearest(wanted, table.methods().map(|(name, _)| name));
        assert_eq!(near("getCameraList"), Some("get_camera_list"));
        assert_eq!(near("get_camera_lst"), Some("get_camera_list"));
        assert_eq!(near("take_snapshots"), Some("take_snapshot"));
        assert_eq!(near("shutdown"), None);
    }
}
