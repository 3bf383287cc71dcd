//! Configuration, user, folders, ports, certificate, media, devices and clock: what is there before anything runs.

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use support::process::BINARY;

use super::{Desk, Report, is_root, support};

#[test]
fn a_line_each_for_people_with_what_to_do() {
    let desk = Desk::new();
    desk.configure("servr: { port: 1 }");
    let output = desk.command(&["--only", "config,unit"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let (last, lines) =
        text.lines().collect::<Vec<_>>().split_last().map(|(last, lines)| (*last, lines.to_vec())).unwrap();
    assert!(last.contains(" ok, ") && last.contains("1 failed"), "{text}");
    assert!(
        lines.iter().all(|line| ["ok ", "warn", "FAIL", "skip"].contains(&&line[..4]) || line.starts_with("ok")),
        "{text}"
    );
    let failed = lines.iter().find(|line| line.starts_with("FAIL")).unwrap();
    assert!(
        failed.contains("config.keys") && failed.contains(":1:1: servr") && failed.contains(" -> write \"server\""),
        "{text}"
    );
}

#[test]
fn a_configuration_is_missing_wrong_or_warned_of() {
    let desk = Desk::new();
    desk.examine(&["--only", "config"]).has("ok", "config.keys", "every key is known");
    desk.configure("recording: { quality: low }");
    desk.examine(&["--only", "config"]).has("warn", "config.keys", "recording.quality");
    desk.configure("server: { prot: 1 }\nstreams: { fps: 0 }");
    let report = desk.examine(&["--only", "config"]);
    report.has("fail", "config.keys", "server.prot");
    report.has("fail", "config.keys", "streams.fps");
    assert_eq!(report.count("config.keys"), 2);
    let mtx = desk.path("mediamtx.yml");
    desk.configure(&format!("mediamtx: {{ config_file: {}, api_bind_address: {} }}", mtx.display(), desk.address));
    desk.examine(&["--only", "config"]).has("fail", "config.mediamtx", "mediamtx.yml");
    fs::write(&mtx, "paths: { cam: { sourc: publisher } }\n").unwrap();
    desk.examine(&["--only", "config"]).has("fail", "config.mediamtx", "sourc");
    fs::write(&mtx, "paths: { cam: { source: publisher } }\n").unwrap();
    desk.examine(&["--only", "config"]).has("ok", "config.mediamtx", "mediamtx.yml");
    // Where it says that the service listens is where ports are looked at.
    fs::write(&mtx, format!("rtspAddress: {}:9554\n", desk.address)).unwrap();
    desk.examine(&["--only", "ports"]).has("ok", "ports.mediamtx.rtsp_port", ":9554 is free");
    fs::write(&mtx, "rtspAddress: here\n").unwrap();
    desk.examine(&["--only", "config"]).has("fail", "config.mediamtx", "'rtspAddress' is no address");
    fs::remove_file(desk.config()).unwrap();
    desk.examine(&["--only", "config"]).has("fail", "config.file", "cannot be read");
    // What depends on it is not guessed.
    desk.examine(&["--only", "ports"]).has("skipped", "ports", "comes first");
}

#[test]
fn a_user_is_missing_or_not_in_the_group_of_cameras() {
    let desk = Desk::new();
    fs::set_permissions(desk.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = format!("{BINARY} run --config {}", desk.config().display());
    desk.start_with(&binary, "User=no-such-user");
    let report = desk.examine(&["--only", "user,folders"]);
    report.has("fail", "user.exists", "no user no-such-user");
    report.has("skipped", "folders", "no user no-such-user");
    desk.start_with(&binary, "User=nobody\nSupplementaryGroups=\n");
    desk.examine(&["--only", "user"]).has("fail", "user.video", "nobody is not in the group video");
    desk.start_with(&binary, "User=nobody\n");
    desk.examine(&["--only", "user"]).has("ok", "user.video", "nobody is in the group video");
    let has_render = fs::read_to_string("/etc/group").unwrap().lines().any(|line| line.starts_with("render:"));
    if has_render {
        desk.examine(&["--only", "user"]).has("ok", "user.render", "no encoder of a graphics card");
        desk.configure("encoder: { order: [vah264enc, x264enc] }");
        desk.start_with(&binary, "User=nobody");
        desk.examine(&["--only", "user"]).has("warn", "user.render", "nobody is not in the group render");
    }
    desk.start_with(&binary, "User=root\n");
    desk.examine(&["--only", "user"]).has("warn", "user.exists", "runs as root");
    desk.start_with(&binary, "User=nobody\nGroup=no-such-group\n");
    desk.examine(&["--only", "user"]).has("fail", "user.exists", "no group no-such-group");
}

#[test]
fn a_folder_is_no_folder_or_open_to_all() {
    let desk = Desk::new();
    desk.examine(&["--only", "folders"]).has("ok", "folders.state_directory", "the service makes it");
    fs::write(desk.path("state"), "").unwrap();
    let report = desk.examine(&["--only", "folders"]);
    report.has("fail", "folders.state_directory", "is not a folder");
    report.has("fail", "folders.mediamtx.snapshots_path", "cannot be made");
    report.has("fail", "folders.mediamtx.recordings_path", "cannot be made");
    // Of two folders of recordings one is enough.
    let fallback = desk.path("fallback");
    desk.configure(&format!(
        "storage: {{ warn_percent: 100, block_percent: 100, fallback_path: {} }}",
        fallback.display()
    ));
    desk.examine(&["--only", "folders"]).has("warn", "folders.mediamtx.recordings_path", "cannot be made");

    fs::remove_file(desk.path("state")).unwrap();
    fs::create_dir(desk.path("state")).unwrap();
    fs::set_permissions(desk.path("state"), fs::Permissions::from_mode(0o777)).unwrap();
    desk.examine(&["--only", "folders"]).has("warn", "folders.state_directory", "everybody");
    assert!(!fallback.exists(), "the doctor makes nothing");
}

#[test]
fn a_folder_and_a_file_are_tried_as_the_services_user() {
    let desk = Desk::new();
    let (state, secret) = (desk.path("state"), desk.path("state/jwt-secret"));
    fs::create_dir(&state).unwrap();
    fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    fs::set_permissions(desk.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let closed = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    if is_root() {
        desk.start_with(&format!("{BINARY} run --config {}", desk.config().display()), "User=nobody");
        let nobody = 65534;
        desk.examine(&["--only", "folders"]).has("fail", "folders.state_directory", "as nobody");
        closed(&state, 0o775);
        chown(&state, Some(0), Some(nobody)).unwrap();
        desk.examine(&["--only", "folders"]).has("warn", "folders.state_directory", "belongs to root");
        chown(&state, Some(nobody), None).unwrap();
        closed(&secret, 0o600);
        let report = desk.examine(&["--only", "folders"]);
        report.has("ok", "folders.state_directory", "can be written to by nobody");
        // What `sudo camera-service token` leaves behind.
        report.has("fail", "folders.state_files", "jwt-secret");
        chown(&secret, Some(nobody), None).unwrap();
        desk.examine(&["--only", "folders"]).has("ok", "folders.state_files", "nobody can use");
        // A file that only root may read is none that the service reads.
        closed(&desk.config(), 0o600);
        desk.examine(&["--only", "config"]).has("fail", "config.file", "cannot be read");
        closed(&desk.config(), 0o644);
    } else {
        closed(&secret, 0o000);
        desk.examine(&["--only", "folders"]).has("fail", "folders.state_files", "jwt-secret");
        closed(&state, 0o500);
        desk.examine(&["--only", "folders"]).has("fail", "folders.state_directory", "cannot be written to");
        closed(&state, 0o700);
        desk.start_with(&format!("{BINARY} run"), "User=nobody");
        let report = desk.examine(&["--only", "folders"]);
        report.has("skipped", "folders.state_directory", "run as root");
    }
}

#[test]
fn a_disk_is_fuller_than_the_configuration_allows() {
    let desk = Desk::new();
    desk.examine(&["--only", "folders"]).has("ok", "room.state_directory", "of the disk");
    // Every system's own disk is fuller than that; where on it, makes no difference.
    let there = format!("mediamtx: {{ recordings_path: /usr/share/none, api_bind_address: {} }}", desk.address);
    desk.configure(&format!("{there}\nstorage: {{ warn_percent: 1, block_percent: 100 }}"));
    desk.examine(&["--only", "folders"]).has("warn", "room.mediamtx.recordings_path", "storage.warn_percent 1");
    desk.configure(&format!("{there}\nstorage: {{ warn_percent: 1, block_percent: 1 }}"));
    desk.examine(&["--only", "folders"]).has("fail", "room.mediamtx.recordings_path", "storage.block_percent 1");
}

#[test]
fn a_port_is_taken_and_by_whom_or_cannot_be_had() {
    let desk = Desk::new();
    desk.examine(&["--only", "ports"]).has("ok", "ports.server.port", ":8002 is free");
    for (port, check) in [
        (8002, "ports.server.port"),
        (8003, "ports.security.health.port"),
        (8554, "ports.mediamtx.rtsp_port"),
        (8322, "ports.mediamtx.rtsps_port"),
        (9997, "ports.mediamtx.api_port"),
        (9998, "ports.mediamtx.metrics_port"),
        (9996, "ports.mediamtx.playback_port"),
    ] {
        if port == 8322 {
            desk.configure(&format!("mediamtx: {{ rtsps_enabled: true, api_bind_address: {} }}", desk.address));
        }
        let taken = TcpListener::bind((desk.address.as_str(), port)).unwrap();
        let report = desk.examine(&["--only", "ports"]);
        report.has("fail", check, &format!(":{port} is taken by "));
        report.has("fail", check, &format!("(pid {})", std::process::id()));
        drop(taken);
    }
    // What to set is what decides. At another address: a process that another test starts just now may hold for a moment
    // what was let go here.
    let desk = Desk::new();
    let mtx = desk.path("mediamtx.yml");
    fs::write(&mtx, format!("rtspAddress: {}:9554\nplayback: yes\n", desk.address)).unwrap();
    desk.configure(&format!("mediamtx: {{ config_file: {}, api_bind_address: {} }}", mtx.display(), desk.address));
    let [rtsp, playback, health] =
        [9554, 9996, 8003].map(|port| TcpListener::bind((desk.address.as_str(), port)).unwrap());
    let report = desk.examine(&["--only", "ports"]);
    assert!(report.fix("ports.mediamtx.rtsp_port").ends_with(&format!("or set rtspAddress in {}", mtx.display())));
    assert!(report.fix("ports.mediamtx.playback_port").ends_with("or set mediamtx.playback_port"));
    assert!(report.fix("ports.security.health.port").ends_with("or set security.health.port"));
    desk.start_with(
        &format!("{BINARY} --config {} run", desk.config().display()),
        &format!("Environment=MTX_RTSPADDRESS={}:9554", desk.address),
    );
    let report = desk.examine(&["--only", "ports"]);
    assert!(report.fix("ports.mediamtx.rtsp_port").ends_with("or set MTX_RTSPADDRESS"));
    drop((rtsp, playback, health));
    desk.configure(&format!("rtsp: {{ bind_address: {}, udp_first_port: 8000, udp_last_port: 8003 }}", desk.address));
    desk.examine(&["--only", "ports"]).has("ok", "ports.rtsp.udp_first_port", "8000 to 8003 are free");
    let taken = UdpSocket::bind((desk.address.as_str(), 8001)).unwrap();
    desk.examine(&["--only", "ports"]).has("fail", "ports.rtsp.udp_first_port", "UDP ports 8001 are taken");
    drop(taken);
    // Of the documentation's network (RFC 5737), and so of no machine.
    desk.configure("server: { host: 192.0.2.1 }");
    desk.examine(&["--only", "ports"]).has("fail", "ports.server.port", "cannot listen on 192.0.2.1");
    if is_root() {
        desk.configure(&format!("server: {{ host: {}, port: 81 }}", desk.address));
        desk.start_with(&format!("{BINARY} run --config {}", desk.config().display()), "User=nobody");
        fs::set_permissions(desk.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // Where any user may have any port, there is nothing to be seen.
        let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
        if first.trim().parse::<u16>().unwrap() > 81 {
            desk.examine(&["--only", "ports"]).has("fail", "ports.server.port", "needs a privilege");
        }
    }
}

fn certify(desk: &Desk, from: i32, until: i32) {
    let mut params = CertificateParams::new([desk.address.clone()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    let pair = KeyPair::generate().unwrap();
    fs::write(desk.path("cert.pem"), params.self_signed(&pair).unwrap().pem()).unwrap();
    fs::write(desk.path("key.pem"), pair.serialize_pem()).unwrap();
}

#[test]
fn a_certificate_is_missing_foreign_over_or_not_yet_good() {
    let desk = Desk::new();
    let root = desk.folder.path().display();
    let health = format!("health: {{ bind_address: {} }}", desk.address);
    desk.examine(&["--only", "certificate"]).has("ok", "certificate.files", "none is needed");
    desk.configure(&format!(
        "security: {{ ssl: {{ enabled: true, cert_file: {root}/cert.pem, key_file: {root}/key.pem }}, {health} }}"
    ));
    let look = || desk.examine(&["--only", "certificate"]);
    look().has("fail", "certificate.files", "cannot be read");
    certify(&desk, 2020, 2090);
    look().has("ok", "certificate.dates", "good until 2090-01-01");
    certify(&desk, 2020, 2021);
    look().has("fail", "certificate.dates", "ended on 2021-01-01");
    certify(&desk, 2090, 2091);
    look().has("fail", "certificate.dates", "from 2090-01-01 on");
    fs::write(desk.path("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    look().has("fail", "certificate.files", "is not the key");
    fs::write(desk.path("cert.pem"), "nonsense").unwrap();
    look().has("fail", "certificate.files", "no certificate in it");
    desk.configure(&format!("mediamtx: {{ rtsps_enabled: true, api_bind_address: {} }}", desk.address));
    look().has("fail", "certificate.files", "security.ssl.cert_file");
}

#[test]
fn elements_and_encoders_are_missing_or_do_not_work() {
    let desk = Desk::new();
    let report = desk.examine(&["--only", "media"]);
    report.has("ok", "media.gstreamer", "GStreamer 1.");
    report.has("ok", "media.elements", "launch files is there");
    report.has("ok", "media.encoder", "x264enc encodes");

    // A machine without plugins.
    let mut command = desk.command(&["--json", "--only", "media"]);
    command.env("GST_PLUGIN_SYSTEM_PATH_1_0", desk.path("none")).env("GST_REGISTRY", desk.path("registry"));
    let bare = Report::of(command.output().unwrap());
    bare.has("fail", "media.elements", "v4l2src, which source/raw needs");
    bare.has("fail", "media.decoder", "avdec_h264");
    bare.has("fail", "media.encoder", "x264enc: not installed");

    // The variables of the unit count, also for another user.
    if is_root() {
        fs::set_permissions(desk.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (none, registry) = (desk.path("none").display().to_string(), desk.path("registry").display().to_string());
        let command = format!("{BINARY} run --config {}", desk.config().display());
        let variables = format!("Environment=GST_PLUGIN_SYSTEM_PATH_1_0={none} GST_REGISTRY={registry}.nobody");
        desk.start_with(&command, &format!("User=nobody\n{variables}"));
        desk.examine(&["--only", "media"]).has("fail", "media.elements", "v4l2src");
        desk.start_with(&command, "User=nobody");
        desk.examine(&["--only", "media"]).has("ok", "media.encoder", "x264enc encodes");
        desk.start_with(&command, "");
    }

    let launch = |name: &str, line: &str| {
        let file = desk.path("pipelines").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, line).unwrap();
    };
    launch("output/rtsp-h264.launch", "identity ! nosuchelement");
    let more = format!("pipelines_directory: {}", desk.path("pipelines").display());
    desk.configure(&more);
    desk.examine(&["--only", "media"]).has("fail", "media.elements", "nosuchelement, which output/rtsp-h264 needs");
    fs::remove_file(desk.path("pipelines/output/rtsp-h264.launch")).unwrap();

    // It is there, and fails at the first picture.
    launch(
        "encoder/x264enc.launch",
        "x264enc name=encoder ! capsfilter name=profile ! identity name=broken error-after=1",
    );
    let report = desk.examine(&["--only", "media"]);
    report.has("fail", "media.encoder", "no encoder works (x264enc: ");
    report.has("warn", "media.x264enc", "installed, and does not encode");
    desk.configure(&format!("{more}\nstreams: {{ codec: mjpeg }}"));
    desk.examine(&["--only", "media"]).has("warn", "media.encoder", "no encoder works");
    desk.configure("camera: { devices: [{ match: { name: Door }, encoder: openh264enc }] }");
    desk.examine(&["--only", "media"]).has("fail", "media.pinned_encoder", "openh264enc");
}

#[test]
fn a_device_that_is_named_is_away_or_closed() {
    let desk = Desk::new();
    let node = desk.path("video7");
    let named =
        format!("camera: {{ discovery_enabled: false, devices: [{{ match: {{ node: {} }} }}] }}", node.display());
    desk.configure(&named);
    desk.examine(&["--only", "devices"]).has("warn", "devices.pinned", "which is not there");
    fs::write(&node, "").unwrap();
    desk.examine(&["--only", "devices"]).has("ok", "devices.pinned", "can be opened");
    fs::set_permissions(&node, fs::Permissions::from_mode(0o000)).unwrap();
    if is_root() {
        fs::set_permissions(desk.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        desk.start_with(&format!("{BINARY} run --config {}", desk.config().display()), "User=nobody");
    }
    desk.examine(&["--only", "devices"]).has("fail", "devices.pinned", "can not open");
}

#[test]
fn a_clock_follows_nobody() {
    let desk = Desk::new();
    let program = desk.path("timedatectl");
    for (says, status) in [("no", "warn"), ("yes", "ok")] {
        fs::write(&program, format!("#!/bin/sh\necho {says}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = desk.command(&["--json", "--only", "clock"]);
        let report = Report::of(command.env("PATH", desk.folder.path()).output().unwrap());
        // A machine that runs systemd-timesyncd says so in a file as well.
        if says == "yes" || !Path::new("/run/systemd/timesync/synchronized").exists() {
            report.has(status, "clock.synchronised", "a time server is followed".trim_start_matches("a "));
        }
        report.has("ok", "clock.date", "it is ");
    }
}
