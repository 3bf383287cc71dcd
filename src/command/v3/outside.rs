//! Who is not known here is asked elsewhere: another server (`authMethod: http`), or the signature of a token (`jwt`).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jsonwebtoken::{
    DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, PublicKeyUse},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::{sync::Semaphore, task::spawn_blocking};
use ureq::{
    Agent,
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::{
    command::Gateway,
    mtx::{Action, Asking, Set, permissions, permit},
};

/// Questions under way at once; more wait.
const QUESTIONS: usize = 16;
/// How long the keys of tokens count, until they are fetched again.
const KEYS: Duration = Duration::from_secs(3600);
/// The longest answer that is read, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// What is kept between two questions.
pub(super) struct Outside {
    questions: Semaphore,
    keys: Mutex<Option<Keys>>,
}

#[derive(Clone)]
struct Keys {
    fetched: Instant,
    from: String,
    set: Arc<[Jwk]>,
}

/// A set of keys (RFC 7517, 5).
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Default for Outside {
    fn default() -> Self {
        Self { questions: Semaphore::new(QUESTIONS), keys: Mutex::default() }
    }
}

/// What another server is asked.
#[derive(Serialize)]
struct Question<'a> {
    ip: String,
    user: &'a str,
    password: &'a str,
    token: &'a str,
    action: &'static str,
    path: &'a str,
    protocol: &'static str,
    id: Option<uuid::Uuid>,
    query: &'a str,
    #[serde(rename = "userAgent")]
    user_agent: &'a str,
}

/// Whether somebody may, as whoever is asked says.
pub(super) async fn admits(gateway: &Gateway, global: Set, asking: Asking) -> bool {
    let http = global.text("authMethod") == "http";
    if permit(global.records(if http { "authHTTPExclude" } else { "authJWTExclude" }), &asking) {
        return true;
    }
    let outside = Arc::clone(&gateway.engine.outside);
    // Closed by nobody.
    let _turn = outside.questions.acquire().await;
    let own = Arc::clone(&outside);
    let answer = spawn_blocking(move || if http { ask(&global, &asking) } else { own.check(&global, &asking) }).await;
    match answer {
        Ok(Ok(())) => true,
        Ok(Err(why)) => {
            tracing::info!("not admitted: {why}");
            false
        }
        Err(error) => {
            tracing::error!(%error, "nobody was asked");
            false
        }
    }
}

/// Asks another server. Blocks on it. Error: it says no, or nothing.
fn ask(global: &Set, asking: &Asking) -> Result<(), String> {
    let question = Question {
        ip: asking.address.to_string(),
        user: &asking.user,
        password: &asking.pass,
        token: &asking.token,
        action: asking.action.word(),
        path: &asking.path,
        protocol: if matches!(asking.action, Action::Read | Action::Publish) { "rtsp" } else { "" },
        id: asking.id,
        query: &asking.query,
        user_agent: &asking.user_agent,
    };
    let body = serde_json::to_string(&question).map_err(|error| error.to_string())?;
    let request = agent(global).post(global.text("authHTTPAddress")).header("content-type", "application/json");
    let answer = request.send(body).map_err(|error| format!("the server that is asked: {error}"))?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("the server that is asked: {status}")),
    }
}

impl Outside {
    /// The keys of tokens are fetched again when the next one comes.
    pub(super) fn forget_keys(&self) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Checks a token. Blocks on the server that has the keys. Error: why it is no good.
    fn check(&self, global: &Set, asking: &Asking) -> Result<(), String> {
        if asking.token.is_empty() {
            return Err("JWT not provided".into());
        }
        let claims = claims(&self.keys(global)?, global, &asking.token)?;
        let name = global.text("authJWTClaimKey");
        let granted = claims.get(name).ok_or_else(|| format!("claim '{name}' not found inside JWT"))?;
        // The list, or a text in which it is written.
        let granted = match granted {
            Value::String(text) => permissions(&serde_json::from_str(text).map_err(|error| error.to_string())?)?,
            list => permissions(list)?,
        };
        match permit(&granted, asking) {
            true => Ok(()),
            false => Err("user doesn't have permission to perform action".into()),
        }
    }

    fn keys(&self, global: &Set) -> Result<Arc<[Jwk]>, String> {
        let from = global.text("authJWTJWKS");
        let kept = self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(kept) = kept.filter(|kept| kept.from == from && kept.fetched.elapsed() < KEYS) {
            return Ok(kept.set);
        }
        let failed = |error: ureq::Error| format!("the keys of tokens: {error}");
        let mut answer = agent(global).get(from).call().map_err(failed)?;
        let text = answer.body_mut().with_config().limit(LONGEST).read_to_string().map_err(failed)?;
        let set: KeySet = serde_json::from_str(&text).map_err(|error| format!("the keys of tokens: {error}"))?;
        // Keys of kinds that are not understood are to be left aside (RFC 7517, 5).
        let set = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        let keys = Keys { fetched: Instant::now(), from: from.to_owned(), set };
        let set = Arc::clone(&keys.set);
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Some(keys);
        Ok(set)
    }
}

/// What a token claims, if one of the keys has signed it, for whom and by whom the configuration says, and it counts now.
fn claims(keys: &[Jwk], global: &Set, token: &str) -> Result<Map<String, Value>, String> {
    let header = decode_header(token).map_err(|error| error.to_string())?;
    let mut rules = Validation::new(header.alg);
    rules.required_spec_claims.clear();
    (rules.leeway, rules.validate_nbf) = (0, true);
    let (issuer, audience) = (global.text("authJWTIssuer"), global.text("authJWTAudience"));
    rules.validate_aud = !audience.is_empty();
    if !audience.is_empty() {
        rules.set_audience(&[audience]);
        rules.required_spec_claims.insert("aud".into());
    }
    if !issuer.is_empty() {
        rules.set_issuer(&[issuer]);
        rules.required_spec_claims.insert("iss".into());
    }
    let mut why = "the token is signed by nobody who is known".to_owned();
    // What a key says it is for, it is for alone (RFC 7517, 4.2, 4.4). Its kind is held against the token's by `decode`.
    let fits = |key: &&Jwk| {
        let Some(named) = &header.kid else { return true };
        key.common.key_id.as_ref() == Some(named)
    };
    let for_it = |key: &&Jwk| {
        let algorithm = key.common.key_algorithm.is_none_or(|known| known.to_string() == format!("{:?}", header.alg));
        algorithm && key.common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature)
    };
    for key in keys.iter().filter(fits).filter(for_it) {
        let checked = DecodingKey::from_jwk(key).and_then(|key| decode::<Map<String, Value>>(token, &key, &rules));
        match checked {
            Ok(token) => return Ok(token.claims),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// A client that trusts what this machine trusts, goes where it is sent as Go's does, and gives up in time.
fn agent(global: &Set) -> Agent {
    let known = rustls_native_certs::load_native_certs().certs;
    let known: Vec<_> = known.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    let tls = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(known))).build();
    let time = Some(global.time("readTimeout").duration());
    Agent::config_builder().timeout_global(time).tls_config(tls).build().into()
}
