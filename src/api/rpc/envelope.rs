//! The envelope of JSON-RPC 2.0 (<https://www.jsonrpc.org/specification>): requests, notifications, batches.
//!
//! Ids go back as the very text they came in, so that no number loses digits on the way.

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::api::errors::RpcError;

/// Members of one batch that run at a time.
const BATCH_CONCURRENCY: usize = 8;

/// One call of a client.
#[derive(Debug)]
pub(super) struct Call {
    /// The method's name.
    pub(super) method: String,
    /// The parameters, an object or an array, as they came.
    pub(super) params: Option<Box<RawValue>>,
    /// The id to answer to; a notification has none.
    id: Option<Box<RawValue>>,
}

/// What a call returned.
pub(super) type Outcome = Result<Box<RawValue>, RpcError>;

/// A call that can be made, or the refusal of something that is none and the id it bore.
type Member = Result<Call, (Box<RawValue>, RpcError)>;

#[derive(Serialize)]
struct Response {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<RpcError>,
    id: Box<RawValue>,
}

impl Response {
    fn new(id: Box<RawValue>, outcome: Outcome) -> Self {
        let (result, error) = match outcome {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(error)),
        };
        Self { jsonrpc: "2.0", result, error, id }
    }
}

/// Makes the calls in `text` and gives the text to send back, if there is any.
pub(super) async fn answer<F, Running>(text: &str, call: F) -> Option<String>
where
    F: Fn(Call) -> Running,
    Running: Future<Output = Outcome>,
{
    let whole: &RawValue = match serde_json::from_str(text) {
        Ok(whole) => whole,
        Err(error) => return render(&refusal(RpcError::parse(format!("this is not JSON: {error}")))),
    };
    if !whole.get().starts_with('[') {
        return render(&run(member(whole), &call).await?);
    }
    let members: Vec<&RawValue> = match serde_json::from_str(whole.get()) {
        Ok(members) => members,
        Err(error) => return render(&refusal(RpcError::parse(format!("this is not JSON: {error}")))),
    };
    if members.is_empty() {
        return render(&refusal(RpcError::invalid_request("a batch has at least one member")));
    }
    let members: Vec<Member> = members.into_iter().map(member).collect();
    let running = stream::iter(members.into_iter().map(|member| run(member, &call)));
    let responses: Vec<Response> = running.buffered(BATCH_CONCURRENCY).filter_map(std::future::ready).collect().await;
    if responses.is_empty() { None } else { render(&responses) }
}

/// A notification for a client.
pub(super) fn notification(method: &str, params: &impl Serialize) -> Option<String> {
    #[derive(Serialize)]
    struct Notification<'a, P> {
        jsonrpc: &'static str,
        method: &'a str,
        params: &'a P,
    }
    render(&Notification { jsonrpc: "2.0", method, params })
}

async fn run<F, Running>(member: Member, call: F) -> Option<Response>
where
    F: Fn(Call) -> Running,
    Running: Future<Output = Outcome>,
{
    match member {
        Ok(mut request) => {
            let id = request.id.take();
            let outcome = call(request).await;
            id.map(|id| Response::new(id, outcome))
        }
        Err((id, error)) => Some(Response::new(id, Err(error))),
    }
}

/// Reads one member. What is wrong with it spoils only itself.
fn member(raw: &RawValue) -> Member {
    #[derive(Deserialize)]
    struct Request<'a> {
        #[serde(borrow, default, deserialize_with = "present")]
        jsonrpc: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        method: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        params: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        id: Option<&'a RawValue>,
    }
    /// Tells a member that is null from one that is not there.
    fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
        <&RawValue>::deserialize(deserializer).map(Some)
    }

    let refuse = |id: Option<&RawValue>, hint| {
        (id.map_or_else(|| RawValue::NULL.to_owned(), ToOwned::to_owned), RpcError::invalid_request(hint))
    };
    if !raw.get().starts_with('{') {
        return Err(refuse(None, "a request is an object"));
    }
    let Ok(request) = serde_json::from_str::<Request>(raw.get()) else {
        return Err(refuse(None, "a member of the request is there twice"));
    };
    if request.id.is_some_and(|id| id.get().starts_with(['{', '[', 't', 'f'])) {
        return Err(refuse(None, "id is a string, a number or null"));
    }
    let id = request.id;
    let is_version = |version: &RawValue| serde_json::from_str(version.get()).is_ok_and(|text: String| text == "2.0");
    if !request.jsonrpc.is_some_and(is_version) {
        return Err(refuse(id, "jsonrpc is \"2.0\""));
    }
    let Some(Ok(method)) = request.method.map(|method| serde_json::from_str(method.get())) else {
        return Err(refuse(id, "method is a string"));
    };
    let params = match request.params {
        // Some clients write null where the specification would have them write nothing.
        Some(params) if params.get() == "null" => None,
        Some(params) if !params.get().starts_with(['{', '[']) => {
            return Err(refuse(id, "params is an object or is absent"));
        }
        params => params.map(ToOwned::to_owned),
    };
    Ok(Call { method, params, id: id.map(ToOwned::to_owned) })
}

fn refusal(error: RpcError) -> Response {
    Response::new(RawValue::NULL.to_owned(), Err(error))
}

/// Everything rendered here is made of types that cannot fail to serialise; a failure would be our fault.
fn render(message: &impl Serialize) -> Option<String> {
    serde_json::to_string(message).inspect_err(|error| tracing::error!(%error, "a message was not rendered")).ok()
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
