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

/// The `error` member of a JSON-RPC response.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct RpcError {
    pub(super) code: i32,
    pub(super) message: &'static str,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(super) data: Value,
}

impl RpcError {
    /// The text is not JSON (-32700).
    pub(super) fn parse(hint: String) -> Self {
        Self { code: -32700, message: "Parse error", data: json!({ "hint": hint }) }
    }

    /// The JSON is not a request (-32600).
    pub(super) fn invalid_request(hint: &str) -> Self {
        Self { code: -32600, message: "Invalid Request", data: json!({ "hint": hint }) }
    }

    /// There is no such method (-32601).
    pub(super) fn method_not_found(hint: &str) -> Self {
        Self { code: -32601, message: "Method not found", data: json!({ "hint": hint }) }
    }

    /// The JSON-RPC table, in words `caller` may read.
    ///
    /// An internal error is logged here with its causes, once; the caller learns the id of that line.
    pub(super) fn of(error: &Error, caller: &Caller) -> Self {
        let text = |text: &str| caller.may_read(text);
        let detail = text(error.message());
        let (code, message, data) = match error.kind() {
            Kind::InvalidParams { param, rule, hint } => {
                (-32602, "Invalid params", json!({ "param": param, "rule": text(rule), "hint": text(hint) }))
            }
            Kind::Internal => (-32603, "Internal error", json!({ "request_id": logged(error) })),
            Kind::Unauthenticated => (-32001, "Authentication failed", json!({ "reason": detail })),
            Kind::PermissionDenied { required, have } => {
                (-32002, "Permission denied", json!({ "required_role": required, "have_role": have, "detail": detail }))
            }
            Kind::NotFound { resource, id } => {
                (-32010, "Not found", json!({ "resource": resource, "id": id, "detail": detail }))
            }
            Kind::InvalidState { state, allowed } => {
                (-32020, "Invalid state", json!({ "state": state, "allowed_states": allowed, "detail": detail }))
            }
            Kind::Unsupported { feature } => (-32030, "Unsupported", json!({ "feature": feature, "detail": detail })),
            Kind::RateLimited { retry_after } => {
                let millis = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
                (-32040, "Rate limited", json!({ "retry_after_ms": millis, "detail": detail }))
            }
            Kind::Dependency { dependency } => {
                (-32050, "Dependency failed", json!({ "dependency": text(dependency), "detail": detail }))
            }
        };
        Self { code, message, data }
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
