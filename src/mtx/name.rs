//! Names of paths, and texts that lead somewhere: URLs and redirects.

use url::Url;

/// Whether a path may be called so. Error: the rule that it breaks.
pub(super) fn check(name: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte);
    match name {
        "" => Err("cannot be empty"),
        _ if name.starts_with('/') => Err("can't begin with a slash"),
        _ if name.ends_with('/') => Err("can't end with a slash"),
        _ if !name.bytes().all(plain) => Err("can contain only alphanumeric characters, underscore, dot, minus, slash"),
        _ if name.split('/').any(|part| [".", ".."].contains(&part)) => Err("can't contain dot path segments"),
        _ => Ok(()),
    }
}

/// The same, for somebody who comes to it. Error: MediaMTX's message.
pub fn check_path(name: &str) -> Result<(), String> {
    check(name).map_err(|rule| format!("invalid path name: {rule} ({name})"))
}

/// Reads the URL of a source; `$NAME` in it stands for something.
pub(super) fn url(text: &str) -> Result<Url, String> {
    let wrong = || format!("'{text}' is not a valid URL");
    let url = Url::parse(&filled(text)).map_err(|_| wrong())?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong());
    }
    if url.username().is_empty() != url.password().unwrap_or_default().is_empty() {
        return Err("username and password must be both provided".into());
    }
    Ok(url)
}

/// With something that can be read in the place of `$MTX_PATH`, `$G1` and the like, a number where a port is.
fn filled(text: &str) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, variable) = rest.split_at(at);
        let end =
            variable[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(variable.len(), |end| end + 1);
        filled.push_str(before);
        filled.push_str(if before.ends_with(':') { "1935" } else { "abc" });
        rest = &variable[end..];
    }
    filled + rest
}

/// Whether readers can be sent there: a path of this server, or a URL of RTSP.
pub(super) fn check_redirect(text: &str) -> Result<(), String> {
    match text.strip_prefix('/') {
        Some(name) => check(name).map_err(|rule| format!("'{text}': {rule}")),
        None => {
            let url = Url::parse(text).ok().filter(|url| ["rtsp", "rtsps"].contains(&url.scheme()));
            url.map(drop).ok_or_else(|| format!("'{text}' is not a valid RTSP URL"))
        }
    }
}
