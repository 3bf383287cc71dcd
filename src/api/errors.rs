//! What an error's kind means on a wire: one table for JSON-RPC, one for HTTP.

use std::convert::Infallible;

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;
use warp::{
    Reply,
    http::StatusCode,
    reject::Rejection,
    reply::{Response, with_status},
};

use crate::{
    command::access::Caller,
    error::{Error, Kind},
};

/// An error of the contract.
pub(super) struct Listed {
    pub(super) code: i32,
    pub(super) message: &'static str,
    /// The fields its `data` has.
    pub(super) data: &'static [&'static str],
}

const PARSE: Listed = Listed { code: -32700, message: "Parse error", data: &["hint"] };
const INVALID_REQUEST: Listed = Listed { code: -32600, message: "Invalid Request", data: &["hint"] };
const METHOD_NOT_FOUND: Listed = Listed { code: -32601, message: "Method not found", data: &["hint"] };
const INVALID_PARAMS: Listed = Listed { code: -32602, message: "Invalid params", data: &["param", "rule", "hint"] };
const INTERNAL: Listed = Listed { code: -32603, message: "Internal error", data: &["request_id"] };
const UNAUTHENTICATED: Listed = Listed { code: -32001, message: "Authentication failed", data: &["reason"] };
const PERMISSION_DENIED: Listed =
    Listed { code: -32002, message: "Permission denied", data: &["required_role", "have_role", "detail"] };
const NOT_FOUND: Listed = Listed { code: -32010, message: "Not found", data: &["resource", "id", "detail"] };
const INVALID_STATE: Listed =
    Listed { code: -32020, message: "Invalid state", data: &["state", "allowed_states", "detail"] };
const UNSUPPORTED: Listed = Listed { code: -32030, message: "Unsupported", data: &["feature", "detail"] };
const RATE_LIMITED: Listed = Listed { code: -32040, message: "Rate limited", data: &["retry_after_ms", "detail"] };
const DEPENDENCY: Listed = Listed { code: -32050, message: "Dependency failed", data: &["dependency", "detail"] };

/// What answers a text in which no method is called.
pub(super) const OF_NO_METHOD: [Listed; 3] = [PARSE, INVALID_REQUEST, METHOD_NOT_FOUND];

/// What a method can answer.
pub(super) const OF_METHODS: [Listed; 9] = [
    INVALID_PARAMS,
    INTERNAL,
    UNAUTHENTICATED,
    PERMISSION_DENIED,
    NOT_FOUND,
    INVALID_STATE,
    UNSUPPORTED,
    RATE_LIMITED,
    DEPENDENCY,
];

/// The `error` member of a JSON-RPC response.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct RpcError {
    pub(super) code: i32,
    pub(super) message: &'static str,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(super) data: Value,
}

impl RpcError {
    fn new(listed: &Listed, data: Value) -> Self {
        Self { code: listed.code, message: listed.message, data }
    }

    /// The text is not JSON (-32700).
    pub(super) fn parse(hint: String) -> Self {
        Self::new(&PARSE, json!({ "hint": hint }))
    }

    /// The JSON is not a request (-32600).
    pub(super) fn invalid_request(hint: &str) -> Self {
        Self::new(&INVALID_REQUEST, json!({ "hint": hint }))
    }

    /// There is no such method (-32601).
    pub(super) fn method_not_found(hint: &str) -> Self {
        Self::new(&METHOD_NOT_FOUND, json!({ "hint": hint }))
    }

    /// The JSON-RPC table, in words `caller` may read.
    ///
    /// An internal error is logged here with its causes, once; the caller learns the id of that line.
    pub(super) fn of(error: &Error, caller: &Caller) -> Self {
        let text = |text: &str| caller.may_read(text);
        let detail = text(error.message());
        let (listed, data) = match error.kind() {
            Kind::InvalidParams { param, rule, hint } => {
                (&INVALID_PARAMS, json!({ "param": param, "rule": text(rule), "hint": text(hint) }))
            }
            Kind::Internal => (&INTERNAL, json!({ "request_id": logged(error) })),
            Kind::Unauthenticated => (&UNAUTHENTICATED, json!({ "reason": detail })),
            Kind::PermissionDenied { required, have } => {
                (&PERMISSION_DENIED, json!({ "required_role": required, "have_role": have, "detail": detail }))
            }
            Kind::NotFound { resource, id } => {
                (&NOT_FOUND, json!({ "resource": resource, "id": id, "detail": detail }))
            }
            Kind::InvalidState { state, allowed } => {
                (&INVALID_STATE, json!({ "state": state, "allowed_states": allowed, "detail": detail }))
            }
            Kind::Unsupported { feature } => (&UNSUPPORTED, json!({ "feature": feature, "detail": detail })),
            Kind::RateLimited { retry_after } => {
                let millis = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
                (&RATE_LIMITED, json!({ "retry_after_ms": millis, "detail": detail }))
            }
            Kind::Dependency { dependency } => {
                (&DEPENDENCY, json!({ "dependency": text(dependency), "detail": detail }))
            }
        };
        Self::new(listed, data)
    }
}

/// The HTTP table, with a JSON body that says why in words `caller` may read.
pub(super) fn http(error: &Error, caller: &Caller) -> Response {
    let status = match error.kind() {
        Kind::InvalidParams { .. } => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::PermissionDenied { .. } => StatusCode::FORBIDDEN,
        Kind::NotFound { .. } => StatusCode::NOT_FOUND,
        Kind::InvalidState { .. } => StatusCode::CONFLICT,
        Kind::Unsupported { .. } => StatusCode::NOT_IMPLEMENTED,
        Kind::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
        Kind::Dependency { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let text = match error.kind() {
        Kind::Internal => format!("internal error, request {}", logged(error)),
        _ => caller.may_read(error.message()),
    };
    let mut response = plain(status, &text);
    if status == StatusCode::UNAUTHORIZED {
        let challenge = warp::http::HeaderValue::from_static("Bearer");
        response.headers_mut().insert(warp::http::header::WWW_AUTHENTICATE, challenge);
    }
    if let Kind::RateLimited { retry_after } = error.kind() {
        // HTTP counts whole seconds; a little later is still right.
        let seconds = retry_after.as_millis().div_ceil(1000).min(u128::from(u32::MAX)) as u32;
        response.headers_mut().insert(warp::http::header::RETRY_AFTER, seconds.into());
    }
    response
}

/// A refusal that no command made.
pub(super) fn plain(status: StatusCode, text: &str) -> Response {
    with_status(warp::reply::json(&json!({ "error": text })), status).into_response()
}

/// An error on the way out of a filter, and who is to read it.
#[derive(Debug)]
pub(super) struct Refused {
    /// Why.
    pub(super) error: Error,
    /// Who.
    pub(super) caller: Caller,
}

impl warp::reject::Reject for Refused {}

/// What is answered to a request that no route took, or that one refused.
pub(super) async fn rejected(rejection: Rejection) -> Result<Response, Infallible> {
    Ok(if let Some(Refused { error, caller }) = rejection.find() {
        http(error, caller)
    } else if rejection.is_not_found() {
        plain(StatusCode::NOT_FOUND, "there is nothing here")
    } else if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        plain(StatusCode::METHOD_NOT_ALLOWED, "this method is not for this place")
    } else {
        plain(StatusCode::BAD_REQUEST, "this is not a request that is understood here")
    })
}

/// Logs a fault of ours with its causes and gives the id by which a client can point to that line.
fn logged(error: &Error) -> Uuid {
    let request_id = Uuid::new_v4();
    tracing::error!(%request_id, error = error.chain(), "internal error");
    request_id
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn nobody() -> Caller {
        Caller::nobody()
    }

    #[test]
    fn every_kind_has_its_code_and_data() {
        let new = |kind| Error::new(kind, "why");
        let table = [
            (Error::invalid_param("a", "r", "h"), -32602, 400, json!({"param": "a", "rule": "r", "hint": "h"})),
            (new(Kind::Unauthenticated), -32001, 401, json!({"reason": "why"})),
            (
                new(Kind::PermissionDenied { required: "admin", have: "viewer" }),
                -32002,
                403,
                json!({"required_role": "admin", "have_role": "viewer", "detail": "why"}),
            ),
            (
                new(Kind::NotFound { resource: "camera", id: "camera7".into() }),
                -32010,
                404,
                json!({"resource": "camera", "id": "camera7", "detail": "why"}),
            ),
            (
                new(Kind::InvalidState { state: "RECORDING".into(), allowed: vec!["STOPPED"] }),
                -32020,
                409,
                json!({"state": "RECORDING", "allowed_states": ["STOPPED"], "detail": "why"}),
            ),
            (new(Kind::Unsupported { feature: "mkv".into() }), -32030, 501, json!({"feature": "mkv", "detail": "why"})),
            (
                new(Kind::RateLimited { retry_after: Duration::from_millis(250) }),
                -32040,
                429,
                json!({"retry_after_ms": 250, "detail": "why"}),
            ),
            (
                new(Kind::Dependency { dependency: "disk".into() }),
                -32050,
                503,
                json!({"dependency": "disk", "detail": "why"}),
            ),
        ];
        for (error, code, status, data) in table {
            let rpc = RpcError::of(&error, &nobody());
            assert_eq!((rpc.code, &rpc.data), (code, &data), "{error:?}");
            let listed = OF_METHODS.iter().find(|listed| listed.code == code).expect("it is listed");
            let fields: Vec<_> = data.as_object().unwrap().keys().map(String::as_str).collect();
            let mut expected = listed.data.to_vec();
            expected.sort_unstable();
            assert_eq!(fields, expected, "{error:?}");
            assert_eq!(http(&error, &nobody()).status().as_u16(), status, "{error:?}");
        }
    }

    #[test]
    fn whoever_comes_too_early_over_http_is_told_when_to_come_again() {
        let error = Error::new(Kind::RateLimited { retry_after: Duration::from_millis(1001) }, "why");
        assert_eq!(http(&error, &nobody()).headers()["retry-after"], "2");
    }

    #[test]
    fn an_internal_error_tells_its_id_and_nothing_else() {
        let error = Error::with_source(Kind::Internal, "secret message", std::io::Error::other("secret cause"));
        let rpc = RpcError::of(&error, &nobody());
        assert_eq!((rpc.code, rpc.message), (-32603, "Internal error"));
        assert!(rpc.data["request_id"].is_string());
        assert!(!serde_json::to_string(&rpc).unwrap().contains("secret"));
    }

    #[test]
    fn host_paths_are_for_admins() {
        let error = Error::dependency("/dev/video0", "/dev/video0 is busy");
        let data = json!({"dependency": "(host path)", "detail": "(host path) is busy"});
        assert_eq!(RpcError::of(&error, &nobody()).data, data);
    }
}
