//! Which request means what.

use percent_encoding::percent_decode_str;
use warp::http::Method;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Info,
    Refresh,
    Global,
    PatchGlobal,
    PathDefaults,
    PatchPathDefaults,
    ConfPaths,
    ConfPath,
    AddPath,
    PatchPath,
    EditPath,
    ReplacePath,
    DeletePath,
    Paths,
    Path,
    StopPath,
    Forwards,
    Forward,
    Connections(Tls),
    Connection(Tls),
    Sessions(Tls),
    Session(Tls),
    Kick(Tls),
    Recordings,
    Recording,
    DeleteSegment,
}

/// Which of the two RTSP servers is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    Without,
    Inside,
}

/// Where a request leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Here, with the name or id at the end of its path.
    Found(Endpoint, String),
    /// To another path, which differs in a slash at its end.
    Elsewhere(String),
    /// Nowhere: the path is not there, or not for this method.
    Nowhere,
}

use Endpoint::*;
use Tls::*;

/// Every request there is. `*` at the end is a name, slashes and all; `:` is an id. What stands after the line break are
/// requests of earlier programs, which MediaMTX does not have.
const TABLE: &[(Method, &str, Endpoint)] = &[
    (Method::GET, "/info", Info),
    (Method::POST, "/auth/jwks/refresh", Refresh),
    (Method::GET, "/config/global/get", Global),
    (Method::PATCH, "/config/global/patch", PatchGlobal),
    (Method::GET, "/config/pathdefaults/get", PathDefaults),
    (Method::PATCH, "/config/pathdefaults/patch", PatchPathDefaults),
    (Method::GET, "/config/paths/list", ConfPaths),
    (Method::GET, "/config/paths/get/*", ConfPath),
    (Method::POST, "/config/paths/add/*", AddPath),
    (Method::PATCH, "/config/paths/patch/*", PatchPath),
    (Method::POST, "/config/paths/replace/*", ReplacePath),
    (Method::DELETE, "/config/paths/delete/*", DeletePath),
    (Method::GET, "/paths/list", Paths),
    (Method::GET, "/paths/get/*", Path),
    (Method::GET, "/paths/forward/list", Forwards),
    (Method::GET, "/paths/forward/get", Forward),
    (Method::GET, "/rtspconns/list", Connections(Without)),
    (Method::GET, "/rtspconns/get/:", Connection(Without)),
    (Method::GET, "/rtspsessions/list", Sessions(Without)),
    (Method::GET, "/rtspsessions/get/:", Session(Without)),
    (Method::POST, "/rtspsessions/kick/:", Kick(Without)),
    (Method::GET, "/rtspsconns/list", Connections(Inside)),
    (Method::GET, "/rtspsconns/get/:", Connection(Inside)),
    (Method::GET, "/rtspssessions/list", Sessions(Inside)),
    (Method::GET, "/rtspssessions/get/:", Session(Inside)),
    (Method::POST, "/rtspssessions/kick/:", Kick(Inside)),
    (Method::GET, "/recordings/list", Recordings),
    (Method::GET, "/recordings/get/*", Recording),
    (Method::DELETE, "/recordings/deletesegment", DeleteSegment),
    (Method::POST, "/config/global/patch", PatchGlobal),
    (Method::POST, "/config/paths/edit/*", EditPath),
    (Method::POST, "/config/paths/delete/*", DeletePath),
];

impl Endpoint {
    /// Whether it is about the RTSP server inside TLS, which need not be there.
    pub(super) fn is_inside_tls(self) -> bool {
        matches!(self, Connections(Inside) | Connection(Inside) | Sessions(Inside) | Session(Inside) | Kick(Inside))
    }

    /// Whether the path ends in the name of something, which may not be empty.
    pub(super) fn takes_name(self) -> bool {
        TABLE.iter().any(|(_, pattern, endpoint)| *endpoint == self && pattern.ends_with('*'))
    }
}

/// Finds what a request means.
pub(super) fn route(method: &Method, path: &str) -> Route {
    let Some(path) = path.strip_prefix("/v3") else { return Route::Nowhere };
    let of_method = || TABLE.iter().filter(|(known, ..)| known == method);
    let mut found = of_method().filter_map(|(_, pattern, endpoint)| Some((*endpoint, argument(pattern, path)?)));
    if let Some((endpoint, argument)) = found.next() {
        return Route::Found(endpoint, decoded(argument));
    }
    let (shorter, longer) = (path.strip_suffix('/'), format!("{path}/"));
    let fits = |pattern: &str| match shorter {
        Some(shorter) => argument(pattern, shorter).is_some(),
        None => pattern.strip_suffix('*') == Some(longer.as_str()),
    };
    if of_method().any(|(_, pattern, _)| fits(pattern)) {
        return Route::Elsewhere(format!("/v3{}", shorter.unwrap_or(&longer)));
    }
    older(method, path)
}

/// `GET /v3/paths/{name}` and `POST /v3/paths/{name}/stop`, of earlier programs. A name cannot end in `/stop` there.
fn older(method: &Method, path: &str) -> Route {
    let Some(name) = path.strip_prefix("/paths/").filter(|name| !name.is_empty()) else { return Route::Nowhere };
    match (method, name.strip_suffix("/stop")) {
        (&Method::GET, _) => Route::Found(Path, decoded(name)),
        (&Method::POST, Some(name)) => Route::Found(StopPath, decoded(name)),
        _ => Route::Nowhere,
    }
}

/// What stands in `path` where the pattern has its end open. `None`: it is another path.
fn argument<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    if let Some(start) = pattern.strip_suffix('*') {
        return path.strip_prefix(start);
    }
    if let Some(start) = pattern.strip_suffix(':') {
        return path.strip_prefix(start).filter(|id| !id.is_empty() && !id.contains('/'));
    }
    (pattern == path).then_some("")
}

fn decoded(argument: &str) -> String {
    percent_decode_str(argument).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_lead_where_mediamtx_takes_them() {
        let found = |endpoint, argument: &str| Route::Found(endpoint, argument.into());
        let elsewhere = |path: &str| Route::Elsewhere(path.into());
        for (method, path, expected) in [
            (Method::GET, "/v3/info", found(Info, "")),
            (Method::GET, "/v3/paths/get/my/nested/path", found(Path, "my/nested/path")),
            (Method::GET, "/v3/paths/get/a%2Fb", found(Path, "a/b")),
            (Method::GET, "/v3/config/paths/get/~%5Ecam.*$", found(ConfPath, "~^cam.*$")),
            (Method::GET, "/v3/paths/get/", found(Path, "")),
            (Method::GET, "/v3/paths/get", elsewhere("/v3/paths/get/")),
            (Method::GET, "/v3/paths/list/", elsewhere("/v3/paths/list")),
            (Method::POST, "/v3/config/paths/add", elsewhere("/v3/config/paths/add/")),
            (Method::POST, "/v3/paths/list", Route::Nowhere),
            (Method::HEAD, "/v3/paths/list", Route::Nowhere),
            (Method::GET, "/v3/rtspsessions/get/x", found(Session(Without), "x")),
            (Method::GET, "/v3/rtspsessions/get/x/y", Route::Nowhere),
            (Method::GET, "/v3/rtspsessions/get/x/", elsewhere("/v3/rtspsessions/get/x")),
            (Method::GET, "/v3/rtspsessions/get", Route::Nowhere),
            (Method::GET, "/v3/hlsmuxers/list", Route::Nowhere),
            (Method::GET, "/v2/paths/list", Route::Nowhere),
            (Method::GET, "/v3", Route::Nowhere),
            (Method::POST, "/v3/config/paths/edit/a", found(EditPath, "a")),
            (Method::POST, "/v3/config/paths/delete/a", found(DeletePath, "a")),
            (Method::GET, "/v3/paths/camera0", found(Path, "camera0")),
            (Method::POST, "/v3/paths/camera0/stop", found(StopPath, "camera0")),
            (Method::GET, "/v3/paths/forward/list", found(Forwards, "")),
        ] {
            assert_eq!(route(&method, path), expected, "{method} {path}");
        }
    }
}
