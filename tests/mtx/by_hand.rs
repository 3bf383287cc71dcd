//! RTSP as it is spoken to MediaMTX, by clients that no library wrote.

use serde_json::json;

use super::{
    done, get,
    hand::{Hand, sdp},
    support::{Camera, PATIENCE, SMALL, Service, peers::ffprobe},
};

const TCP: &str = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";

/// `camera0` streams, `studio` may be published to.
async fn start() -> Service {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    done(&service, "POST", "/config/paths/add/studio", "{}").await;
    service
}

/// Nobody is connected any more, and nobody has a session.
async fn all_are_gone(service: &Service) {
    let gone = async {
        for list in ["/rtspconns/list", "/rtspsessions/list"] {
            while get(service, list).await["itemCount"] != 0 {}
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("they go");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_asked_for_by_its_track() {
    let service = start().await;
    for (path, tracks) in [
        ("camera0", &["/trackID=0", "/"][..]),
        ("camera0/", &["trackID=0"]),
        ("camera0?user=x&of=/a/b", &["/trackID=0"]),
    ] {
        for track in tracks {
            let mut hand = Hand::connect(&service, path).await;
            let described = hand.ask("DESCRIBE", "", "Accept: application/sdp\r\n").await;
            assert_eq!(described.header("content-base"), format!("{}/", hand.url.trim_end_matches('/')));
            assert!(described.body.contains("a=control:trackID=0\r\n"), "{}", described.body);
            assert_eq!(hand.ask("SETUP", track, TCP).await.status, 200, "{path}{track}");
            let played = hand.ask("PLAY", if path.ends_with('/') { "" } else { "/" }, "").await;
            assert_eq!((played.status, played.header("range")), (200, ""), "{path}{track}");
            assert!(played.header("rtp-info").ends_with("/camera0/trackID=0"), "{played:?}");
            hand.take(3).await;
            let session = get(&service, "/rtspsessions/list").await["items"][0].clone();
            let query = path.split_once('?').map_or("", |(_, query)| query);
            assert_eq!((&session["path"], &session["query"]), (&json!("camera0"), &json!(query)));
            assert_eq!(hand.ask("PAUSE", "", "").await.status, 200);
            assert_eq!(hand.ask("PLAY", "", "").await.status, 200);
            hand.take(3).await;
            // Reading it goes on with another session.
            let over = hand.ask("TEARDOWN", "", "").await;
            assert_eq!((over.status, over.header("session"), over.header("connection")), (200, "", ""));
            hand.session = None;
            assert_eq!(hand.ask("SETUP", track, TCP).await.status, 200);
            assert_eq!(hand.ask("PLAY", "", "").await.status, 200);
            hand.take(3).await;
            drop(hand);
            all_are_gone(&service).await;
        }
    }
    // Others put the name of the stream in front of the query.
    let mut hand = Hand::connect(&service, "camera0").await;
    assert_eq!(hand.ask("SETUP", "/trackID=0?user=/x", TCP).await.status, 200);
    assert_eq!(hand.ask("PLAY", "?user=/x", "").await.status, 200);
    let mut other = Hand::connect(&service, "camera0").await;
    assert_eq!(other.ask("SETUP", "/trackID=1", TCP).await.status, 404);
    assert!(other.is_closed().await);
    for transport in ["tcp", "udp", "http"] {
        ffprobe(&service.url("camera0?user=x"), &["-rtsp_transport", transport]).await.unwrap();
    }
    drop(hand);
    all_are_gone(&service).await;
    // This one tries whatever a base with a query may mean.
    let url = format!("location={}", service.url("camera0?user=x"));
    let source = ["-q", "rtspsrc", "protocols=tcp", &url, "!", "fakesink"];
    let mut reader = tokio::process::Command::new("gst-launch-1.0").args(source).kill_on_drop(true).spawn().unwrap();
    let reads = async {
        loop {
            let session = get(&service, "/rtspsessions/list").await["items"][0].clone();
            if session["outboundRTPPackets"].as_u64() > Some(10) {
                return session;
            }
        }
    };
    let session = tokio::time::timeout(PATIENCE, reads).await.expect("it reads");
    assert_eq!(session["query"], "user=x");
    reader.kill().await.unwrap();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_may_have_a_query_and_name_its_streams_by_whole_urls() {
    let service = start().await;
    let base = service.url("studio");
    for (query, control, track) in [
        ("", "trackID=0", "/trackID=0"),
        ("?user=x", "streamid=0", "/streamid=0"),
        ("", &format!("{base}/trackID=0"), "/trackID=0"),
        ("?user=x", &format!("{base}?user=x/trackID=0"), "/trackID=0"),
    ] {
        let mut hand = Hand::connect(&service, &format!("studio{query}")).await;
        hand.send("ANNOUNCE", "", "Content-Type: application/sdp\r\n", &sdp(control)).await;
        let announced = hand.reply().await.expect("a reply");
        assert_eq!((announced.status, announced.header("session")), (200, ""), "{query} {control}");
        let record = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record\r\n";
        assert_eq!(hand.ask("SETUP", track, record).await.status, 200, "{query} {control}");
        assert_eq!(hand.ask("RECORD", "", "").await.status, 200, "{query} {control}");
        let session = get(&service, "/rtspsessions/list").await["items"][0].clone();
        assert_eq!((&session["path"], &session["state"]), (&json!("studio"), &json!("publish")));
        assert_eq!(session["query"], query.trim_start_matches('?'));
        drop(hand);
        all_are_gone(&service).await;
    }
    let mut groups = Hand::connect(&service, "studio").await;
    groups.send("ANNOUNCE", "", "Content-Type: application/sdp\r\n", &sdp("trackID=0")).await;
    assert_eq!(groups.reply().await.expect("a reply").status, 200);
    let refused = groups.ask("SETUP", "/trackID=0", "Transport: RTP/AVP;multicast;mode=record\r\n").await;
    assert_eq!(refused.status, 461);
    drop(groups);

    let url = format!("{base}?user=x&pass=y");
    let source = "videotestsrc is-live=true ! video/x-raw,width=320,height=240 ! x264enc tune=zerolatency ! h264parse";
    let sink = format!("location={url}");
    let gst = [&["-q"][..], &source.split(' ').collect::<Vec<_>>(), &["!", "rtspclientsink", "protocols=tcp", &sink]];
    let pictures = ["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25", "-c:v", "libx264"];
    let fast =
        ["-preset", "ultrafast", "-g", "10", "-pix_fmt", "yuv420p", "-f", "rtsp", "-rtsp_transport", "tcp", &url];
    for (program, arguments) in [("gst-launch-1.0", gst.concat()), ("ffmpeg", [&pictures[..], &fast].concat())] {
        let mut publisher = tokio::process::Command::new(program).args(arguments).kill_on_drop(true).spawn().unwrap();
        service.streaming("studio").await;
        let video = ffprobe(&service.url("studio?who=me"), &["-rtsp_transport", "tcp"]).await.unwrap();
        assert_eq!(video["width"], 320, "{program}");
        let mut reader = Hand::play(&service, "studio").await;
        publisher.kill().await.unwrap();
        assert!(reader.reply().await.is_none(), "readers leave with the publisher");
        all_are_gone(&service).await;
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_why_and_some_are_the_last() {
    let service = start().await;
    done(&service, "POST", "/config/paths/add/there", r#"{"source":"redirect","sourceRedirect":"/camera0"}"#).await;
    for (path, method, more, headers, status, is_last) in [
        ("nowhere", "DESCRIBE", "", "", 400, true),
        ("nowhere", "SETUP", "/trackID=0", TCP, 400, true),
        ("studio", "DESCRIBE", "", "", 404, true),
        ("studio", "SETUP", "/trackID=0", TCP, 404, true),
        ("there", "DESCRIBE", "", "", 302, false),
        ("there", "SETUP", "/trackID=0", TCP, 404, true),
        ("camera0", "PLAY", "", "Session: nobody\r\n", 454, true),
        ("camera0", "SETUP", "/trackID=0", "Transport: RTP/SAVP;unicast;client_port=5000-5001\r\n", 461, false),
        ("camera0", "SETUP", "/trackID=0", "Transport: RTP/AVP;multicast\r\n", 461, false),
        ("camera0", "SETUP", "/trackID=0", "Transport: RAW/RAW/UDP\r\n", 461, false),
        ("camera0", "SETUP", "/trackID=0", "Transport: RTP/AVP;unicast\r\n", 461, false),
        ("camera0", "SETUP", "/trackID=0", "Transport: RTP/AVP/TCP;interleaved=300-301\r\n", 461, false),
        ("camera0", "GET_PARAMETER", "", "", 501, false),
        ("camera0", "SET_PARAMETER", "", "", 501, false),
    ] {
        let mut hand = Hand::connect(&service, path).await;
        let reply = hand.ask(method, more, headers).await;
        assert_eq!(reply.status, status, "{method} {path}{more} {headers}");
        assert_eq!(hand.is_closed().await, is_last, "{method} {path}{more} {headers}");
    }
    let sent = Hand::connect(&service, "there").await.ask("DESCRIBE", "", "").await;
    let target = sent.header("location");
    assert!(target.starts_with("rtsp://127.0.0.1:") && target.ends_with("/camera0"), "{target}");
    let mut unnumbered = Hand::connect(&service, "camera0").await;
    unnumbered.say(format!("OPTIONS {} RTSP/1.0\r\n\r\n", service.url("camera0")).as_bytes()).await;
    assert_eq!(unnumbered.reply().await.expect("a reply").status, 400);
    assert!(unnumbered.is_closed().await);

    let users = r#"{"rtspAuthMethods":["basic","digest"],"authInternalUsers":[{"user":"any","permissions":[{"action":"api"}]},
        {"user":"me","pass":"pw","permissions":[{"action":"read"},{"action":"publish"}]}]}"#;
    done(&service, "PATCH", "/config/global/patch", users).await;
    for (method, more, headers) in
        [("DESCRIBE", "", ""), ("SETUP", "/trackID=0", TCP), ("ANNOUNCE", "", "Content-Type: application/sdp\r\n")]
    {
        let mut hand = Hand::connect(&service, "camera0").await;
        let asked = hand.ask(method, more, headers).await;
        assert_eq!(asked.status, 401, "{method}");
        assert!(asked.header("www-authenticate").contains("realm=\"ipcam\""), "{asked:?}");
        assert!(!hand.is_closed().await, "{method}");
        let wrong = hand.ask(method, more, &format!("{headers}Authorization: Basic bWU6bm8=\r\n")).await;
        assert_eq!((wrong.status, wrong.header("www-authenticate")), (401, ""), "{method}");
        assert!(hand.is_closed().await, "{method}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_understood_in_every_form() {
    let service = start().await;
    let mut hand = Hand::connect(&service, "camera0").await;
    let options = hand.ask("OPTIONS", "", "Require: www.onvif.org/ver20/backchannel\r\n").await;
    let public = "DESCRIBE, ANNOUNCE, SETUP, PLAY, RECORD, PAUSE, GET_PARAMETER, TEARDOWN";
    assert_eq!((options.status, options.header("public")), (200, public));
    let described = hand.ask("DESCRIBE", "", "Require: www.onvif.org/ver20/backchannel, a.b\r\n").await;
    assert_eq!((described.status, described.header("content-type")), (200, "application/sdp"));
    let ways = "tRANSPORT:   RTP/SAVP;unicast;client_port=5000-5001 , FOO/BAR, rtp/avp/tcp; UNICAST ;interleaved=4-5;mode=\"PLAY\" ,\
                RTP/AVP;unicast;client_port=5000-5001\r\nuser-agent:me\r\n";
    let agreed = hand.ask("SETUP", "/trackID=0", ways).await;
    assert_eq!(agreed.status, 200);
    assert!(agreed.header("transport").starts_with("RTP/AVP/TCP;unicast;interleaved=4-5"), "{agreed:?}");
    assert_eq!(hand.ask("PLAY", "", "Range: npt=0.000-\r\nScale: 1.0\r\n").await.status, 200);
    hand.take(1).await;
    let alive = hand.ask("GET_PARAMETER", "", "").await;
    assert_eq!((alive.status, alive.header("content-type"), alive.body.as_str()), (200, "text/parameters", ""));
    hand.send("GET_PARAMETER", "", "Content-Type: text/parameters\r\n", "packets_received\r\n").await;
    assert_eq!(hand.reply().await.expect("a reply").status, 200);
    assert_eq!(hand.ask("SET_PARAMETER", "", "").await.status, 501);
    assert_eq!(hand.ask("PLAY", "", "").await.status, 200, "again");
    hand.take(3).await;
    let session = get(&service, "/rtspsessions/list").await["items"][0].clone();
    assert_eq!((&session["userAgent"], &session["transport"]), (&json!("me"), &json!("TCP")));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_belongs_to_its_connection() {
    let service = start().await;
    let mut owner = Hand::play(&service, "camera0").await;
    for (method, more, headers) in [
        ("TEARDOWN", "", ""),
        ("PAUSE", "", ""),
        ("GET_PARAMETER", "", ""),
        ("SETUP", "/trackID=0", TCP),
        ("OPTIONS", "", ""),
    ] {
        let mut other = Hand::connect(&service, "camera0").await;
        other.session = owner.session.clone();
        assert_eq!(other.ask(method, more, headers).await.status, 400, "{method}");
        assert!(other.reply().await.is_none(), "{method}");
        drop(other);
        while get(&service, "/rtspconns/list").await["itemCount"] != 1 {}
        assert_eq!(owner.ask("GET_PARAMETER", "", "").await.status, 200, "{method}");
        owner.take(30).await;
    }
    assert_eq!(owner.ask("TEARDOWN", "", "").await.status, 200);
    drop(owner);
    all_are_gone(&service).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_for_what_was_asked_about() {
    let service = start().await;
    done(&service, "POST", "/config/paths/add/door", r#"{"source":"/dev/video0"}"#).await;
    let users = r#"{"authInternalUsers":[{"user":"any","permissions":[{"action":"api"}]},
        {"user":"me","pass":"pw","permissions":[{"action":"read","path":"camera0"},{"action":"publish","path":"studio"}]}]}"#;
    done(&service, "PATCH", "/config/global/patch", users).await;
    let me = "Authorization: Basic bWU6cHc=\r\n";
    let allowed = async || {
        let mut hand = Hand::connect(&service, "camera0").await;
        assert_eq!(hand.ask("SETUP", "/trackID=0", &format!("{TCP}{me}")).await.status, 200);
        hand
    };
    // Another path has to be asked about.
    let mut hand = allowed().await;
    hand.url = service.url("door");
    assert_eq!(hand.ask("SETUP", "/trackID=0", TCP).await.status, 400, "with the session of the first");
    assert!(hand.reply().await.is_none());
    let mut hand = allowed().await;
    hand.session = None;
    assert_eq!(hand.ask("SETUP", "/trackID=0", TCP).await.status, 400, "a second session");
    // What flows stays where it goes.
    let mut hand = allowed().await;
    assert_eq!(hand.ask("PLAY", "", "").await.status, 200);
    hand.take(1).await;
    let elsewhere = "Transport: RTP/AVP;unicast;client_port=5000-5001\r\n";
    assert_eq!(hand.ask("SETUP", "/trackID=0", elsewhere).await.status, 400);
    // Who may publish may not read for that.
    let mut hand = Hand::connect(&service, "studio").await;
    let announce = format!("Content-Type: application/sdp\r\n{me}");
    hand.send("ANNOUNCE", "", &announce, &sdp("trackID=0")).await;
    assert_eq!(hand.reply().await.expect("a reply").status, 200);
    assert_eq!(hand.ask("DESCRIBE", "", "").await.status, 401);
    let record = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record\r\n";
    assert_eq!(hand.ask("SETUP", "/trackID=0", record).await.status, 200);
    assert_eq!(hand.ask("RECORD", "", "").await.status, 200);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_harms_nobody() {
    let service = start().await;
    let mut reader = Hand::play(&service, "camera0").await;
    let url = service.url("camera0");
    let long = format!("OPTIONS {url}/{} RTSP/1.0\r\nCSeq: 1\r\n\r\n", "a".repeat(100_000));
    let announce = |length: &str| format!("ANNOUNCE {url} RTSP/1.0\r\nCSeq: 1\r\nContent-Length: {length}\r\n\r\n");
    for nonsense in [
        b"\x00\xff\xfe\r\n\r\n\x00\x01garbage\r\n\r\n".as_slice(),
        b"GET / HTTP/1.0\r\n\r\n",
        b"OPTIONS * RTSP/9.9\r\nCSeq: 1\r\n\r\n",
        b"OPTIONS\r\n\r\n",
        b"JUMP rtsp://x/camera0 RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        b"$\x63\x00\x04abcd$\x00\x00\x00$\xff\x00\x01a",
        b"SETUP rtsp://x/camera0/trackID=0 RTSP/1.0\r\nCSeq: 1\r\nTrans",
        long.as_bytes(),
        announce("200000").as_bytes(),
        announce("4000000000").as_bytes(),
        announce("-5").as_bytes(),
        announce("70000").as_bytes(),
    ] {
        let mut hand = Hand::connect(&service, "camera0").await;
        hand.say(nonsense).await;
        reader.take(3).await;
        drop(hand);
        while get(&service, "/rtspconns/list").await["itemCount"] != 1 {}
    }
    for length in ["131073", "4000000000"] {
        let mut large = Hand::connect(&service, "camera0").await;
        large.say(announce(length).as_bytes()).await;
        assert_eq!(large.reply().await.map(|reply| reply.status), Some(413), "{length}");
        assert!(large.reply().await.is_none());
    }
    // What is no text is not taken for it.
    let sdp = sdp("trackID=0").replace("H264", "H\u{1}");
    let sdp: Vec<_> = sdp.bytes().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
    let body = [announce(&sdp.len().to_string()).as_bytes(), &sdp].concat();
    let shown = format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\nAuthorization: Basic ");
    for request in [
        body.as_slice(),
        b"DESCRIBE rtsp://x/came\xffra0?\xff RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        &[shown.as_bytes(), b"\xff\r\n\r\n"].concat(),
    ] {
        let mut hand = Hand::connect(&service, "camera0").await;
        hand.say(request).await;
        let reply = hand.reply().await.expect("a reply");
        assert_eq!(reply.status, 400, "{}", String::from_utf8_lossy(request));
        assert!(hand.reply().await.is_none());
    }
    // Packets on channels that nobody has, in the middle of a session that goes on.
    reader.say(b"$\x63\x00\x04abcd$\x00\x00\x00$\xff\x00\x01a$\x01\x00\x03abc").await;
    assert_eq!(reader.ask("GET_PARAMETER", "", "").await.status, 200);
    // Somebody asks and asks and does not listen.
    let mut deaf = Hand::connect(&service, "camera0").await;
    let question = format!("OPTIONS {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n");
    deaf.say(question.repeat(50_000).as_bytes()).await;
    reader.take(30).await;
    assert_eq!(reader.ask("GET_PARAMETER", "", "").await.status, 200);
    drop(deaf);
    drop(reader);
    all_are_gone(&service).await;
    service.stop().await;
}
