//! Metrics as Prometheus scrapes them.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use tokio::time::timeout;

use super::{
    ask, curl_at,
    support::{Camera, PATIENCE, SMALL, Service},
};

/// Samples by their name: labels and value.
pub type Samples = BTreeMap<String, Vec<(BTreeMap<String, String>, f64)>>;

/// All metrics, or those that the query names.
pub async fn scrape(service: &Service, query: &str) -> Samples {
    let port = service.app.engine_addresses().metrics.expect("they are served");
    let reply = curl_at(&format!("http://{port}/metrics{query}"), "GET", "", &[]).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "text/plain; charset=utf-8"), "{reply:?}");
    assert_eq!(reply.header("server"), "mediamtx");
    let samples = parse(&reply.body);
    typed(&reply.body, &samples);
    samples
}

/// What is said of a metric is said of one that is there, once, in front of it; and histograms add up.
fn typed(text: &str, samples: &Samples) {
    let mut types = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|said| said.split_once(' ')) else { continue };
        assert!(text.contains(&format!("# HELP {name} ")), "no help: {line}");
        assert!(types.insert(name, kind).is_none(), "twice: {line}");
        let of_it = |line: &str| line.strip_prefix(name).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
        assert!(!text.lines().take(number).any(of_it), "behind its samples: {line}");
        match kind {
            "counter" => assert!(name.ends_with("_total"), "{line}"),
            "gauge" => assert!(!name.ends_with("_total"), "{line}"),
            _ => assert_eq!(kind, "histogram", "{line}"),
        }
    }
    for name in samples.keys().filter(|name| name.starts_with("camera_service_")) {
        let of = ["", "_bucket", "_sum", "_count"].iter().find_map(|part| types.get(name.strip_suffix(part)?));
        let kind = of.unwrap_or_else(|| panic!("no type: {name}"));
        let Some(base) = name.strip_suffix("_bucket").filter(|_| *kind == "histogram") else { continue };
        let mut buckets: BTreeMap<_, Vec<(f64, f64)>> = BTreeMap::new();
        for (labels, count) in &samples[name] {
            let mut labels = labels.clone();
            let bound = labels.remove("le").expect("a bound").parse().unwrap();
            buckets.entry(labels).or_default().push((bound, *count));
        }
        for (labels, counts) in buckets {
            assert!(counts.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1), "{name}: {counts:?}");
            let (bound, all) = *counts.last().unwrap();
            let count = samples[&format!("{base}_count")].iter().find(|(of, _)| *of == labels).map(|(_, count)| *count);
            assert_eq!((bound, Some(all)), (f64::INFINITY, count), "{name}");
            assert!(samples[&format!("{base}_sum")].iter().any(|(of, _)| *of == labels), "{name}");
        }
    }
}

/// Prometheus' text format, strictly: every line is a comment, empty, or a sample whose labels are in order.
fn parse(text: &str) -> Samples {
    let line_is = Regex::new(r#"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$"#).unwrap();
    let label_is = Regex::new(r#"^([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\]*)"$"#).unwrap();
    let mut samples = Samples::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let found = line_is.captures(line).unwrap_or_else(|| panic!("no sample: {line}"));
        let mut labels = Vec::new();
        for label in found.get(2).map_or("", |labels| labels.as_str()).split(',').filter(|label| !label.is_empty()) {
            let label = label_is.captures(label).unwrap_or_else(|| panic!("no label: {line}"));
            labels.push((label[1].to_owned(), label[2].to_owned()));
        }
        let value = found[3].parse().unwrap_or_else(|error| panic!("{error}: {line}"));
        let count = labels.len();
        let labels: BTreeMap<_, _> = labels.into_iter().collect();
        assert_eq!(labels.len(), count, "a label twice: {line}");
        samples.entry(found[1].to_owned()).or_default().push((labels, value));
    }
    samples
}

/// Every name there is, with both generations of what a session, a connection and a path count.
const NAMES: &[(&str, &[&str])] = &[
    (
        "paths",
        &[
            "",
            "_readers",
            "_inbound_bytes",
            "_outbound_bytes",
            "_inbound_frames_in_error",
            "_bytes_received",
            "_bytes_sent",
        ],
    ),
    ("rtsp_conns", &["", "_inbound_bytes", "_outbound_bytes", "_bytes_received", "_bytes_sent"]),
    (
        "rtsp_sessions",
        &[
            "",
            "_inbound_bytes",
            "_inbound_rtp_packets",
            "_inbound_rtp_packets_lost",
            "_inbound_rtp_packets_in_error",
            "_inbound_rtp_packets_jitter",
            "_inbound_rtcp_packets",
            "_inbound_rtcp_packets_in_error",
            "_outbound_bytes",
            "_outbound_rtp_packets",
            "_outbound_rtp_packets_reported_lost",
            "_outbound_rtp_packets_discarded",
            "_outbound_rtcp_packets",
            "_bytes_received",
            "_bytes_sent",
            "_rtp_packets_received",
            "_rtp_packets_sent",
            "_rtp_packets_lost",
            "_rtp_packets_in_error",
            "_rtp_packets_jitter",
            "_rtcp_packets_received",
            "_rtcp_packets_sent",
            "_rtcp_packets_in_error",
        ],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_name_of_mediamtx_is_there_with_and_without_anybody_to_count() {
    let service = Service::start(SMALL).await;
    let mut scraped = scrape(&service, "").await;
    for (family, suffixes) in NAMES {
        for suffix in *suffixes {
            let name = format!("{family}{suffix}");
            let samples = scraped.remove(&name).unwrap_or_else(|| panic!("no {name}"));
            assert_eq!(samples, [(BTreeMap::new(), 0.0)], "{name}");
        }
    }
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    let mut reader = tokio::process::Command::new("ffmpeg")
        .args(["-v", "error", "-rtsp_transport", "tcp", "-i", &service.url("camera0"), "-f", "null", "-"])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let reading = |samples: &Samples| samples["paths_readers"].iter().any(|(_, count)| *count == 1.0);
    let read = async {
        loop {
            // Each look takes a while; the reader comes in the meantime.
            let scraped = scrape(&service, "").await;
            if reading(&scraped) && scraped["rtsp_sessions_outbound_bytes"].iter().any(|(_, bytes)| *bytes > 0.0) {
                return scraped;
            }
        }
    };
    let scraped = timeout(PATIENCE, read).await.expect("a reader in time");
    let labels = |name: &str| scraped[name][0].0.keys().cloned().collect::<BTreeSet<_>>();
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(labels("paths"), set(&["name", "state"]));
    assert_eq!(labels("paths_readers"), set(&["name", "readerType", "state"]));
    assert_eq!(labels("rtsp_conns"), set(&["id"]));
    assert_eq!(labels("rtsp_sessions"), set(&["id", "path", "remoteAddr", "state"]));
    for (family, suffixes) in NAMES {
        for suffix in *suffixes {
            assert!(scraped.contains_key(&format!("{family}{suffix}")), "{family}{suffix}");
        }
    }
    assert_eq!(scraped["paths_bytes_sent"], scraped["paths_outbound_bytes"]);
    assert!(scraped["rtsp_sessions_outbound_rtp_packets"][0].1 > 0.0);

    let own = &scraped["camera_service_frames_published_total"][0];
    assert_eq!(own.0["path"], "camera0");
    assert!(own.1 > 0.0);
    let counted = |name: &str| scraped[name][0].1;
    let (captured, encoded) =
        (counted("camera_service_frames_captured_total"), counted("camera_service_frames_encoded_total"));
    let dropped: f64 = scraped["camera_service_frames_dropped_total"].iter().map(|(_, count)| count).sum();
    // Of what the camera has delivered some may be on its way.
    let all = captured >= encoded && captured < encoded + dropped + 100.0;
    assert!(encoded >= own.1 && all, "{captured}, {encoded}, {dropped}, {}", own.1);
    let stage = |name: &str, stage: &str| {
        let samples = &scraped[&format!("camera_service_stage_seconds_{name}")];
        samples.iter().find(|(labels, _)| labels["stage"] == stage).expect("it is there").1
    };
    // Every frame that was encoded was timed; none needs a second.
    assert!((encoded - stage("count", "encode")).abs() <= 1.0, "{encoded}: {:?}", stage("count", "encode"));
    assert!(stage("sum", "encode") > 0.0 && stage("sum", "encode") < encoded);
    assert_eq!(stage("count", "decode"), 0.0, "its pictures are raw");
    let buckets = &scraped["camera_service_frame_delay_seconds_bucket"];
    assert!(buckets.iter().any(|(labels, count)| labels["le"] == "+Inf" && *count > 0.0), "{buckets:?}");
    assert!(scraped["camera_service_rtsp_frame_age_seconds_count"][0].1 > 0.0);
    assert!(scraped.contains_key("camera_service_recording_sync_seconds_count"));
    assert!(scraped.contains_key("camera_service_snapshot_seconds_count"));
    let queues = &scraped["camera_service_queue_overflows_total"];
    assert!(queues.iter().any(|(labels, _)| labels["queue"] == "sockets"), "{queues:?}");
    assert!(scraped["camera_service_disk_free_bytes"].iter().all(|(_, bytes)| *bytes > 0.0));
    assert!(scraped["camera_service_frames_dropped_total"].iter().any(|(labels, _)| labels["reason"] == "broken_jpeg"));

    for nothing in ["?path=nowhere", "?hls_muxer=camera0", "?type=rtsp_conns&path=camera0", "?rtsps_conn=1"] {
        assert_eq!(scrape(&service, nothing).await, Samples::new(), "{nothing}");
    }
    let forwards = scrape(&service, "?type=forward_dests").await;
    assert_eq!(forwards.keys().collect::<Vec<_>>(), ["forward_dests", "forward_dests_outbound_bytes"]);
    let only = scrape(&service, "?path=camera0").await;
    assert!(only.keys().all(|name| name.starts_with("paths")), "{:?}", only.keys());
    let family = scrape(&service, "?type=rtsp_conns").await;
    assert!(family.keys().all(|name| name.starts_with("rtsp_conns")), "{:?}", family.keys());
    reader.kill().await.unwrap();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_may_read_them() {
    let service = Service::start(SMALL).await;
    let users = r#"{"authInternalUsers":[{"user":"any","permissions":[{"action":"api"}]},
        {"user":"prom","pass":"pw","permissions":[{"action":"metrics"}]}]}"#;
    assert_eq!(ask(&service, "PATCH", "/config/global/patch", users).await.status, 200);
    let port = service.app.engine_addresses().metrics.unwrap();
    let url = format!("http://{port}/metrics");
    assert_eq!(curl_at(&url, "GET", "", &[]).await.status, 401);
    assert_eq!(curl_at(&url, "GET", "", &["-u", "prom:pw"]).await.status, 200);
    assert_eq!(curl_at(&format!("http://{port}/other"), "GET", "", &["-u", "prom:pw"]).await.status, 404);
    let elsewhere = curl_at(&format!("{url}/?type=paths"), "GET", "", &[]).await;
    assert_eq!((elsewhere.status, elsewhere.header("location")), (301, "/metrics?type=paths"), "{elsewhere:?}");
    assert_eq!(curl_at(&format!("{url}/"), "POST", "", &[]).await.status, 401);
    service.stop().await;
}
