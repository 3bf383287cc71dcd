//! The health probes: `/health…` on a port of their own, without credentials.

use std::{convert::Infallible, sync::Arc, time::SystemTime};

use serde_json::{Value, json};
use warp::{
    Filter, Reply,
    http::StatusCode,
    path::FullPath,
    reply::{Response, with_status},
};

use super::errors;
use crate::command::{
    Gateway, Timestamp,
    health::{Component, Components, Condition, Health},
};

/// The routes of the health port. Any HTTP client may ask; only GET and HEAD are answered.
pub(super) fn routes(gateway: Arc<Gateway>) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    warp::get()
        .or(warp::head())
        .unify()
        .and(warp::path::full())
        .and_then(move |path: FullPath| {
            let answer = answer(path.as_str(), &gateway.health());
            async move {
                let (status, body) = answer.ok_or_else(warp::reject::not_found)?;
                Ok::<_, warp::Rejection>(with_status(warp::reply::json(&body), status).into_response())
            }
        })
        .recover(errors::rejected)
        .unify()
}

/// The reply to a path; `None` for one that is not ours.
fn answer(path: &str, health: &Health) -> Option<(StatusCode, Value)> {
    let timestamp = Timestamp(SystemTime::now());
    let status = health.status();
    let component = |part: &Component| {
        (code(part.status), json!({ "status": part.status, "timestamp": timestamp, "details": part.details }))
    };
    Some(match path {
        "/health" | "/health/system" => {
            let body = json!({
                "status": status,
                "timestamp": timestamp,
                "version": env!("CARGO_PKG_VERSION"),
                "uptime": health.uptime.as_secs_f64(),
                "components": health.components,
            });
            (code(status), body)
        }
        "/health/detailed" => {
            let Components { mediamtx, camera_monitor, service_manager } = &health.components;
            let parts =
                [("mediamtx", mediamtx), ("camera_monitor", camera_monitor), ("service_manager", service_manager)];
            // Looked at when asked: nothing is remembered that could be old.
            let list = parts.map(|(name, part)| {
                json!({ "name": name, "status": part.status, "details": part.details, "last_checked": timestamp })
            });
            let body = json!({
                "status": status,
                "timestamp": timestamp,
                "version": env!("CARGO_PKG_VERSION"),
                "uptime": health.uptime.as_secs_f64(),
                "components": list,
                "metrics": health.counts,
            });
            (code(status), body)
        }
        "/health/cameras" => component(&health.components.camera_monitor),
        "/health/mediamtx" => component(&health.components.mediamtx),
        "/health/ready" => {
            let (code, word, message) = match health.ready {
                true => (StatusCode::OK, "ready", "the service takes requests"),
                false => (StatusCode::SERVICE_UNAVAILABLE, "not_ready", "the service is starting or stopping"),
            };
            let body = json!({
                "ready": health.ready,
                "status": word,
                "timestamp": timestamp,
                "message": message,
                "details": health.components,
            });
            (code, body)
        }
        // Whoever answers this lives.
        "/health/live" => {
            (StatusCode::OK, json!({ "alive": true, "timestamp": timestamp, "message": "the service is alive" }))
        }
        _ => return None,
    })
}

fn code(condition: Condition) -> StatusCode {
    match condition {
        Condition::Healthy | Condition::Degraded => StatusCode::OK,
        Condition::Unhealthy => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        api::fixture::{Served, http},
        command::health::Counts,
        config,
    };

    fn health(ready: bool, monitor: Condition) -> Health {
        let part = |status| Component { status, details: "so".into() };
        let components = Components {
            mediamtx: part(Condition::Healthy),
            camera_monitor: part(monitor),
            service_manager: part(Condition::Healthy),
        };
        Health { ready, uptime: Duration::from_millis(1500), components, counts: Counts::default() }
    }

    fn fields(body: &Value) -> Vec<&str> {
        body.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn the_whole_is_as_its_worst_part() {
        for (monitor, code, word) in [
            (Condition::Healthy, 200, "healthy"),
            (Condition::Degraded, 200, "degraded"),
            (Condition::Unhealthy, 500, "unhealthy"),
        ] {
            for path in ["/health", "/health/system"] {
                let (status, body) = answer(path, &health(true, monitor)).unwrap();
                assert_eq!((status.as_u16(), &body["status"]), (code, &json!(word)));
                assert_eq!(fields(&body), ["components", "status", "timestamp", "uptime", "version"]);
                assert_eq!(fields(&body["components"]), ["camera_monitor", "mediamtx", "service_manager"]);
                assert_eq!(body["components"]["camera_monitor"], json!({"status": word, "details": "so"}));
            }
            assert_eq!(answer("/health/cameras", &health(true, monitor)).unwrap().0.as_u16(), code);
            assert_eq!(answer("/health/mediamtx", &health(true, monitor)).unwrap().0.as_u16(), 200);
        }
    }

    #[test]
    fn the_details_are_a_list_with_numbers() {
        let (status, body) = answer("/health/detailed", &health(true, Condition::Unhealthy)).unwrap();
        assert_eq!((status.as_u16(), &body["status"]), (500, &json!("unhealthy")));
        assert_eq!(fields(&body), ["components", "metrics", "status", "timestamp", "uptime", "version"]);
        assert_eq!(fields(&body["components"][1]), ["details", "last_checked", "name", "status"]);
        assert_eq!(fields(&body["metrics"]), ["cameras", "connected", "readers", "recordings", "streaming"]);
    }

    #[test]
    fn readiness_and_life_are_different_questions() {
        let (status, body) = answer("/health/ready", &health(false, Condition::Healthy)).unwrap();
        assert_eq!((status.as_u16(), &body["ready"], &body["status"]), (503, &json!(false), &json!("not_ready")));
        let (status, body) = answer("/health/ready", &health(true, Condition::Healthy)).unwrap();
        assert_eq!((status.as_u16(), &body["ready"], &body["status"]), (200, &json!(true), &json!("ready")));
        let (status, body) = answer("/health/live", &health(false, Condition::Unhealthy)).unwrap();
        assert_eq!((status.as_u16(), fields(&body)), (200, vec!["alive", "message", "timestamp"]));
        assert!(answer("/healthy", &health(true, Condition::Healthy)).is_none());
    }

    #[tokio::test]
    async fn probes_need_no_credentials() {
        let server = Served::start(config::Server::default()).await;
        let reply = http(server.health, "GET /health/ready HTTP/1.1", "").await;
        assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"));
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(body["details"]["camera_monitor"]["details"], "0 cameras known, 0 connected, 0 unusable");
        assert_eq!(http(server.health, "HEAD /health HTTP/1.1", "").await.status, 200);
        assert_eq!(http(server.health, "GET /ws HTTP/1.1", "").await.status, 404);
        assert_eq!(http(server.health, "POST /health HTTP/1.1", "").await.status, 405);
    }
}
