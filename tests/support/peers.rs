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

/// Waits until an RTSP URL is of no path, and says so.
pub async fn is_unknown(url: &str) {
    let mut said = String::new();
    let unknown = async {
        while !said.contains("404") {
            said = ffprobe(url, &["-rtsp_transport", "tcp"]).await.err().unwrap_or_default();
        }
    };
    let waited = timeout(PATIENCE, unknown).await;
    waited.unwrap_or_else(|_| panic!("{url}: {said}"));
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
    let numbers = |line: &str| line.split(',').filter_map(|text| text.parse().ok()).collect::<Vec<f64>>();
    let packets: Vec<_> = text.lines().map(numbers).filter(|numbers| !numbers.is_empty()).collect();
    let Some((first, last)) = packets.first().zip(packets.last()) else { return 0.0 };
    last.iter().sum::<f64>() - first[0]
}

/// A decoded picture: when it is shown, in seconds, and its hash.
pub type Picture = (f64, String);

/// The pictures of a file or URL, up to so many, as ffmpeg decodes and shows them.
pub async fn pictures(what: &str, arguments: &[&str], most: usize) -> Result<Vec<Picture>, String> {
    let most = most.to_string();
    let to = ["-i", what, "-an", "-frames:v", &most, "-fps_mode", "passthrough", "-enc_time_base", "-1"];
    let text = run("ffmpeg", &[&["-v", "error"], arguments, &to, &["-f", "framemd5", "-"]].concat()).await?;
    let ticks =
        text.lines().find_map(|line| line.strip_prefix("#tb 0: 1/")).and_then(|ticks| ticks.parse::<f64>().ok());
    let ticks = ticks.ok_or("no time base")?;
    let picture = |line: &str| {
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        Some((fields.get(2)?.parse::<f64>().ok()? / ticks, (*fields.get(5)?).to_owned()))
    };
    Ok(text.lines().filter(|line| !line.starts_with('#')).filter_map(picture).collect())
}

/// Holds these pictures against those of a film at 30 a second: the same, in the same order, none left out, each shown
/// when it is in the film. At first the times of a stream are pressed together a little.
pub fn assert_is_part(pictures: &[Picture], film: &[Picture], what: &str) {
    let hashes = |pictures: &[Picture]| pictures.iter().map(|(_, hash)| hash.clone()).collect::<Vec<_>>();
    let (of_film, own) = (hashes(film), hashes(pictures));
    let begin = of_film.iter().position(|hash| own.first() == Some(hash));
    let begin = begin.unwrap_or_else(|| panic!("{what}: begins with no picture of the film"));
    let places: Vec<_> = own.iter().map(|hash| of_film.iter().position(|other| other == hash)).collect();
    assert!(of_film[begin..].starts_with(&own), "{what}: pictures {places:?}");
    let intervals: Vec<_> = pictures.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(intervals.iter().all(|interval| (interval - 1.0 / 30.0).abs() < 0.010), "{what}: {intervals:?}");
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
