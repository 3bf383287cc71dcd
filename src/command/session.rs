//! The commands anybody may call.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Command, Gateway, NoParams, Role, Timestamp, access::Caller};
use crate::error::Result;

/// `ping`: is anybody there?
pub struct Ping;

/// The reply of [`Ping`].
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pong {
    /// Always.
    Pong,
}

impl Command for Ping {
    const METHOD: &'static str = "ping";
    const SUMMARY: &'static str = "Tells that somebody is there.";
    const ROLE: Option<Role> = None;
    type Params = NoParams;
    type Reply = Pong;

    async fn run(_: NoParams, _: &Caller, _: &Gateway) -> Result<Pong> {
        Ok(Pong::Pong)
    }
}

/// `authenticate`: binds a role to the conversation until the token's or key's expiry.
pub struct Authenticate;

/// The parameters of [`Authenticate`].
#[derive(Deserialize, JsonSchema)]
pub struct AuthenticateParams {
    /// The token or API key.
    auth_token: String,
}

/// The reply of [`Authenticate`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct Authenticated {
    authenticated: bool,
    role: Role,
    permissions: &'static [&'static str],
    expires_at: Timestamp,
    session_id: Uuid,
}

impl Command for Authenticate {
    const METHOD: &'static str = "authenticate";
    const SUMMARY: &'static str = "Binds a role to the socket until the credentials end.";
    const ROLE: Option<Role> = None;
    type Params = AuthenticateParams;
    type Reply = Authenticated;

    async fn run(params: AuthenticateParams, caller: &Caller, gateway: &Gateway) -> Result<Authenticated> {
        let identity = gateway.credentials.verify(&params.auth_token, caller.address())?;
        tracing::info!(session = %caller.session_id(), user = identity.user_id, role = %identity.role, "authenticated");
        let reply = Authenticated {
            authenticated: true,
            role: identity.role,
            permissions: identity.role.permissions(),
            expires_at: Timestamp(identity.expires),
            session_id: caller.session_id(),
        };
        caller.bind(identity);
        Ok(reply)
    }
}
