//! The methods: one line for each command.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

use super::{
    envelope::{Call, Outcome},
    openrpc::{self, Schemas},
    params,
};
use crate::{
    api::errors::RpcError,
    command::{
        Command, Gateway, Role, access::Caller, cameras, controls, discover, events, external, info, library, metrics,
        recordings, retention, session, snapshots, streams, system,
    },
    error::{Error, Kind, Result},
};

type Run = fn(Option<Box<RawValue>>, Caller, Arc<Gateway>) -> BoxFuture<'static, Result<Box<RawValue>>>;

type Describe = fn(&mut Schemas) -> Value;

/// Every method there is, by name.
pub struct Table(BTreeMap<&'static str, Method>);

struct Method {
    role: Option<Role>,
    run: Run,
    describe: Describe,
}

fn method<C: Command>() -> (&'static str, Method) {
    let run: Run = |params, caller, gateway| Box::pin(run::<C>(params, caller, gateway));
    (C::METHOD, Method { role: C::ROLE, run, describe: openrpc::method::<C> })
}

impl Default for Table {
    /// All of them.
    #[rustfmt::skip]
    fn default() -> Self {
        Self(BTreeMap::from([
            method::<session::Ping>(),
            method::<session::Authenticate>(),
            method::<discover::Discover>(),
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
            method::<info::GetRecording>(),
            method::<info::GetSnapshot>(),
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
            method::<retention::SetPolicy>(),
            method::<retention::CleanUp>(),
        ]))
    }
}

impl Table {
    /// The name and least role of every method, by name.
    pub fn methods(&self) -> impl Iterator<Item = (&'static str, Option<Role>)> {
        self.0.iter().map(|(name, method)| (*name, method.role))
    }

    /// What writes each method into the document of them all, by name.
    pub(super) fn descriptions(&self) -> impl Iterator<Item = Describe> {
        self.0.values().map(|method| method.describe)
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
    use crate::{api::fixture::Served, command::NoParams, config};

    /// The methods that `docs/rpc.md` describes, with what it says of each.
    fn documented() -> BTreeMap<&'static str, &'static str> {
        let sections = include_str!("../../../docs/rpc.md").split("\n### `").skip(1);
        let section = |text: &'static str| text.split_once("\n## ").map_or(text, |(section, _)| section);
        sections.map(|text| section(text).split_once('`').unwrap()).collect()
    }

    /// `docs/rpc.md` and the table name the same methods with the same roles.
    #[test]
    fn the_documentation_has_every_method_and_no_other() {
        let role = |name, text: &'static str| {
            text.trim_start().strip_prefix("Role: ").unwrap_or_else(|| panic!("{name} has no role")).split('.').next()
        };
        let documented: BTreeMap<_, _> =
            documented().into_iter().map(|(name, text)| (name, role(name, text).unwrap())).collect();
        let table = Table::default();
        let registered = table.methods().map(|(name, role)| (name, role.map_or("none", Role::name))).collect();
        assert_eq!(documented, registered);
    }

    /// The parameters in a section's table, and whether each must be there. "As `list_recordings`": those of another.
    fn parameters(name: &str, sections: &BTreeMap<&str, &'static str>) -> BTreeMap<String, bool> {
        let text = sections[name];
        if let Some((_, table)) = text.split_once("| parameter | |\n|---|---|\n") {
            let rows = table.lines().take_while(|line| line.starts_with("| `"));
            let parameter = |row: &str| {
                let (name, rest) = row["| `".len()..].split_once('`').unwrap();
                (name.to_owned(), !rest.starts_with(", optional"))
            };
            return rows.map(parameter).collect();
        }
        match text.split_once(" As `").and_then(|(_, rest)| rest.split_once('`')) {
            Some((other, _)) => parameters(other, sections),
            None => BTreeMap::new(),
        }
    }

    /// `docs/rpc.md` and the types have the same parameters, and the same of them may be left out.
    #[test]
    fn the_documentation_has_every_parameter_and_no_other() {
        let sections = documented();
        let mut schemas = Schemas::new();
        for description in Table::default().descriptions().map(|describe| describe(&mut schemas)) {
            let params = description["params"].as_array().unwrap();
            let name = |param: &Value| param["name"].as_str().unwrap().to_owned();
            let of_type: BTreeMap<_, _> = params.iter().map(|one| (name(one), one["required"] == true)).collect();
            let method = description["name"].as_str().unwrap();
            assert_eq!(parameters(method, &sections), of_type, "{method}: the documentation, and the type");
        }
    }

    /// It has no fault that a test could wait for: this one is made for it.
    struct Faulty;

    impl Command for Faulty {
        const METHOD: &'static str = "faulty";
        const SUMMARY: &'static str = "Panics.";
        const ROLE: Option<Role> = None;
        type Params = NoParams;
        type Reply = ();

        async fn run(_: NoParams, _: &Caller, _: &Gateway) -> Result<()> {
            panic!("a fault")
        }
    }

    #[tokio::test]
    async fn a_command_that_panics_is_an_internal_error_and_no_more() {
        let server = Served::start(config::Server::default()).await;
        let gateway = Arc::clone(&server.gateway);
        let (_, method) = method::<Faulty>();
        let error = (method.run)(None, Caller::nobody(), gateway).await.unwrap_err();
        let error = RpcError::of(&error, &Caller::nobody());
        assert_eq!(error.code, -32603);
        assert!(error.data["request_id"].is_string(), "{error:?}");
        server.stop().await;
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
