//! Programs of others that read what the service serves and writes.

use std::path::Path;

use serde_json::Value;
use tokio::{process::Command, time::timeout};

use super::PATIENCE;

/// What `ffprobe` says of a file or URL: its first video stream. Fails with ffprobe's own words.
pub async fn ffprobe(what: &str, arguments: &[&str]) -> Result<Value, String> {
    let fixed = ["-v", "error", "-of", "json", "-select_streams", "v:0", "-show_streams"];
    let output = run("ffprobe", &[&fixed[..], arguments, &[what]].concat()).await?;
    let mut json: Value = serde_json::from_str(&output).map_err(|error| error.to_string())?;
    Ok(json["streams"][0].take())
}

/// Decodes all of a file; every complaint is a failure.
pub async fn decode(file: &Path) -> Result<(), String> {
    let file = file.display().to_string();
    match run("ffmpeg", &["-v", "error", "-xerror", "-i", &file, "-f", "null", "-"]).await {
        Ok(complaints) if complaints.is_empty() => Ok(()),
        Ok(complaints) | Err(complaints) => Err(complaints),
    }
}

/// From the first packet of a file to the end of the last, in seconds.
pub async fn length(file: &Path) -> f64 {
    let of = ["-v", "error", "-show_entries", "packet=pts_time,duration_time", "-of", "csv=p=0"];
    let text = run("ffprobe", &[&of[..], &[&file.display().to_string()]].concat()).await.unwrap();
    let last = text.lines().last().unwrap_or_default().trim_end_matches(',');
    last.split(',').filter_map(|seconds| seconds.parse::<f64>().ok()).sum()
}

/// Runs a program to its end: what it prints, or what it complains of.
pub async fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let child = Command::new(program).args(arguments).kill_on_drop(true).output();
    let output = timeout(PATIENCE, child).await.map_err(|_| format!("{program} hangs"))?.expect("it is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{program}: {}", text(&output.stderr))),
    }
}
