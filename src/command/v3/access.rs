//! Who may use the control API, play back and read metrics: MediaMTX's internal authentication.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::sleep};

use super::{Answer, Refusal, outside};
use crate::{
    command::Gateway,
    mtx::{Action, Asking},
};

/// Checks of passwords at once; more wait. A password hashed with Argon2 takes a core and megabytes for a while.
pub(super) const CHECKS: usize = 2;
/// The user that this service is to itself, where it reads its own streams.
pub(super) const OURSELVES: &str = "camera-service";
/// The longest that somebody with wrong credentials waits for the answer, so that guessing takes its time.
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// What a caller showed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// A name, or nothing.
    pub user: String,
    /// A password, or nothing.
    pub pass: String,
    /// A token that is no pair of the two, or nothing.
    pub token: String,
    /// The query of the request, which may have a token too.
    pub query: String,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shown({:?})", self.user)
    }
}

/// Lets a caller in, or not. One without credentials is told at once that it might show some; one with wrong ones after
/// a while. Meanwhile only its own connection waits, and of those there are only so many from one address.
pub async fn admit(gateway: &Arc<Gateway>, address: IpAddr, shown: Shown, action: Action, path: &str) -> Answer<()> {
    let global = gateway.engine.acting();
    let token = match global.text("authMethod") {
        // Users have none.
        "internal" => String::new(),
        method => token(&shown, method == "jwt" && global.flag("authJWTInHTTPQuery")),
    };
    let nothing = shown.user.is_empty() && shown.pass.is_empty() && token.is_empty();
    let Shown { user, pass, query, .. } = shown;
    let (id, user_agent) = (None, String::new());
    let asking =
        Asking { address, action, path: path.to_owned(), user, pass, token, query, id, user_agent, digest: None };
    let admitted = may(gateway, asking).await;
    match (admitted, nothing) {
        (true, _) => Ok(()),
        (false, true) => Err(Refusal::Unknown { ask: true }),
        (false, false) => {
            tracing::warn!(%address, ?action, path, "wrong credentials");
            wait(gateway).await;
            Err(Refusal::Unknown { ask: false })
        }
    }
}

/// The token that was shown: as such, as a password, or in the query where that counts.
pub(super) fn token(shown: &Shown, in_query: bool) -> String {
    if let Some(token) = [&shown.token, &shown.pass].into_iter().find(|token| !token.is_empty()) {
        return token.clone();
    }
    let of = |wanted: &str| {
        let mut fields = url::form_urlencoded::parse(shown.query.as_bytes()).filter(|(name, _)| name == wanted);
        fields.next().map(|(_, token)| token.into_owned()).filter(|_| fields.next().is_none())
    };
    in_query.then(|| of("token").or_else(|| of("jwt"))).flatten().unwrap_or_default()
}

/// Whether somebody may, by whoever is to be asked.
pub(super) async fn may(gateway: &Gateway, asking: Asking) -> bool {
    let global = gateway.engine.acting();
    if global.text("authMethod") != "internal" {
        return outside::admits(gateway, global, asking).await;
    }
    let users = gateway.engine.users();
    // Closed by nobody.
    let _turn = gateway.engine.checks.acquire().await;
    spawn_blocking(move || users.admit(&asking)).await.unwrap_or(false)
}

/// What wrong credentials cost.
pub(super) async fn wait(gateway: &Gateway) {
    tokio::select! {
        () = sleep(pause()) => {}
        () = gateway.stopping.cancelled() => {}
    }
}

/// A random time up to the longest.
fn pause() -> Duration {
    let mut random = [0; 4];
    // Without randomness it is the longest.
    match rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()) {
        Ok(_) => LONGEST_WAIT.mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX)),
        Err(_) => LONGEST_WAIT,
    }
}
