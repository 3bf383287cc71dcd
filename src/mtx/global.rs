//! The global keys, in MediaMTX's order, with its defaults.

use super::key::{
    Key,
    Kind::{Flag, Int, Networks, Records, Text, Texts, Time, Word, Words as Several},
    Successor::{Alone, Asked, Not, Nothing, PathDefault, Same, Servers},
    Words, count, credential, flag, int, list, old, records, size, text, texts, time, word, words,
};

macro_rules! words {
    ($($name:ident = $words:expr, $wrong:literal, $sorted:literal;)+) => {
        $(pub(super) static $name: Words = Words { words: &$words, wrong: $wrong, sorted: $sorted };)+
    };
}
pub(super) use words as some_words;

words! {
    LOG_LEVEL = ["error", "warn", "info", "debug"], "invalid log level: '{}'", false;
    LOG_DESTINATION = ["stdout", "file", "syslog"], "invalid log destination: {}", false;
    AUTH_METHOD = ["internal", "http", "jwt"], "invalid authMethod: '{}'", false;
    AUTH_ACTION = ["publish", "read", "playback", "api", "metrics", "pprof"], "invalid auth action: '{}'", false;
    ENCRYPTION = ["no", "optional", "strict"], "invalid encryption: '{}'", false;
    TRANSPORTS = ["udp", "multicast", "tcp"], "invalid transport: {}", true;
    AUTH_METHODS = ["basic", "digest"], "invalid authentication method: '{}'", false;
    HLS_VARIANT = ["mpegts", "fmp4", "lowLatency"], "invalid HLS variant: '{}'", false;
    RECORD_FORMAT = ["fmp4", "mpegts"], "invalid record format '{}'", false;
}

/// What a user may do, and where.
pub(super) static PERMISSION: &[Key] = &[word("action", &AUTH_ACTION, ""), text("path", "")];

/// A user of `authInternalUsers`.
pub(super) static USER: &[Key] =
    &[credential("user"), credential("pass"), list("ips", Networks), list("permissions", Records(PERMISSION))];

static ICE_SERVER: &[Key] = &[text("url", ""), text("username", ""), text("password", ""), flag("clientOnly", false)];

/// Everybody may publish, read and play; the API is for this machine.
const USERS: &str = r#"[
    {"user": "any", "permissions": [{"action": "publish"}, {"action": "read"}, {"action": "playback"}]},
    {"user": "any", "ips": ["127.0.0.1/32", "::1/128"],
     "permissions": [{"action": "api"}, {"action": "metrics"}, {"action": "pprof"}]}
]"#;

pub(super) static KEYS: &[Key] = &[
    // General
    word("logLevel", &LOG_LEVEL, "info"),
    words("logDestinations", &LOG_DESTINATION, &["stdout"]),
    flag("logStructured", false),
    text("logFile", "mediamtx.log"),
    text("sysLogPrefix", "mediamtx"),
    flag("dumpPackets", false),
    time("readTimeout", "10s"),
    time("writeTimeout", "10s"),
    old("readBufferCount", Int("int"), Same("writeQueueSize")),
    int("writeQueueSize", 512),
    int("udpMaxPayloadSize", 1452),
    count("udpReadBufferSize", 0),
    text("runOnConnect", ""),
    flag("runOnConnectRestart", false),
    text("runOnDisconnect", ""),
    // Authentication
    word("authMethod", &AUTH_METHOD, "internal"),
    records("authInternalUsers", USER, USERS),
    text("authHTTPAddress", ""),
    old("externalAuthenticationURL", Text, Asked("authHTTPAddress")),
    text("authHTTPFingerprint", ""),
    list("authHTTPExclude", Records(PERMISSION)),
    text("authJWTJWKS", ""),
    text("authJWTJWKSFingerprint", ""),
    text("authJWTClaimKey", "mediamtx_permissions"),
    list("authJWTExclude", Records(PERMISSION)),
    old("authJWTInHTTPQuery", Flag, Nothing),
    text("authJWTIssuer", ""),
    text("authJWTAudience", ""),
    // Control API
    flag("api", false),
    text("apiAddress", ":9997"),
    flag("apiEncryption", false),
    text("apiServerKey", "server.key"),
    text("apiServerCert", "server.crt"),
    old("apiAllowOrigin", Text, Alone("apiAllowOrigins")),
    texts("apiAllowOrigins", &["*"]),
    list("apiTrustedProxies", Networks),
    // Metrics
    flag("metrics", false),
    text("metricsAddress", ":9998"),
    flag("metricsEncryption", false),
    text("metricsServerKey", "server.key"),
    text("metricsServerCert", "server.crt"),
    old("metricsAllowOrigin", Text, Alone("metricsAllowOrigins")),
    texts("metricsAllowOrigins", &["*"]),
    list("metricsTrustedProxies", Networks),
    // PPROF
    flag("pprof", false),
    text("pprofAddress", ":9999"),
    flag("pprofEncryption", false),
    text("pprofServerKey", "server.key"),
    text("pprofServerCert", "server.crt"),
    old("pprofAllowOrigin", Text, Alone("pprofAllowOrigins")),
    texts("pprofAllowOrigins", &["*"]),
    list("pprofTrustedProxies", Networks),
    // Playback
    flag("playback", false),
    text("playbackAddress", ":9996"),
    flag("playbackEncryption", false),
    text("playbackServerKey", "server.key"),
    text("playbackServerCert", "server.crt"),
    old("playbackAllowOrigin", Text, Alone("playbackAllowOrigins")),
    texts("playbackAllowOrigins", &["*"]),
    list("playbackTrustedProxies", Networks),
    // RTSP server
    flag("rtsp", true),
    old("rtspDisable", Flag, Not("rtsp")),
    old("protocols", Several(&TRANSPORTS), Same("rtspTransports")),
    words("rtspTransports", &TRANSPORTS, &["multicast", "tcp", "udp"]),
    old("encryption", Word(&ENCRYPTION), Same("rtspEncryption")),
    word("rtspEncryption", &ENCRYPTION, "no"),
    text("rtspAddress", ":8554"),
    text("rtspsAddress", ":8322"),
    text("rtpAddress", ":8000"),
    text("rtcpAddress", ":8001"),
    text("multicastIPRange", "224.1.0.0/16"),
    int("multicastRTPPort", 8002),
    int("multicastRTCPPort", 8003),
    text("srtpAddress", ":8004"),
    text("srtcpAddress", ":8005"),
    int("multicastSRTPPort", 8006),
    int("multicastSRTCPPort", 8007),
    old("serverKey", Text, Same("rtspServerKey")),
    old("serverCert", Text, Same("rtspServerCert")),
    text("rtspServerKey", "server.key"),
    text("rtspServerCert", "server.crt"),
    old("authMethods", Several(&AUTH_METHODS), Same("rtspAuthMethods")),
    words("rtspAuthMethods", &AUTH_METHODS, &["basic"]),
    list("rtspTrustedProxies", Networks),
    old("rtspUDPReadBufferSize", Int("uint"), Nothing),
    // RTMP server
    flag("rtmp", true),
    old("rtmpDisable", Flag, Not("rtmp")),
    word("rtmpEncryption", &ENCRYPTION, "no"),
    text("rtmpAddress", ":1935"),
    text("rtmpsAddress", ":1936"),
    text("rtmpServerKey", "server.key"),
    text("rtmpServerCert", "server.crt"),
    list("rtmpTrustedProxies", Networks),
    // HLS server
    flag("hls", true),
    old("hlsDisable", Flag, Not("hls")),
    text("hlsAddress", ":8888"),
    flag("hlsEncryption", false),
    text("hlsServerKey", "server.key"),
    text("hlsServerCert", "server.crt"),
    old("hlsAllowOrigin", Text, Alone("hlsAllowOrigins")),
    texts("hlsAllowOrigins", &["*"]),
    list("hlsTrustedProxies", Networks),
    flag("hlsAlwaysRemux", false),
    word("hlsVariant", &HLS_VARIANT, "lowLatency"),
    int("hlsSegmentCount", 7),
    time("hlsSegmentDuration", "1s"),
    time("hlsPartDuration", "200ms"),
    size("hlsSegmentMaxSize", "50M"),
    text("hlsDirectory", ""),
    time("hlsMuxerCloseAfter", "1m0s"),
    text("hlsCDNSecret", ""),
    // WebRTC server
    flag("webrtc", true),
    old("webrtcDisable", Flag, Not("webrtc")),
    text("webrtcAddress", ":8889"),
    flag("webrtcEncryption", false),
    text("webrtcServerKey", "server.key"),
    text("webrtcServerCert", "server.crt"),
    old("webrtcAllowOrigin", Text, Alone("webrtcAllowOrigins")),
    texts("webrtcAllowOrigins", &["*"]),
    list("webrtcTrustedProxies", Networks),
    text("webrtcLocalUDPAddress", ":8189"),
    text("webrtcLocalTCPAddress", ""),
    flag("webrtcIPsFromInterfaces", true),
    texts("webrtcIPsFromInterfacesList", &[]),
    texts("webrtcAdditionalHosts", &[]),
    list("webrtcICEServers2", Records(ICE_SERVER)),
    time("webrtcSTUNGatherTimeout", "5s"),
    time("webrtcHandshakeTimeout", "10s"),
    time("webrtcTrackGatherTimeout", "2s"),
    old("webrtcICEUDPMuxAddress", Text, Same("webrtcLocalUDPAddress")),
    old("webrtcICETCPMuxAddress", Text, Same("webrtcLocalTCPAddress")),
    old("webrtcICEHostNAT1To1IPs", Texts, Same("webrtcAdditionalHosts")),
    old("webrtcICEServers", Texts, Servers("webrtcICEServers2")),
    // SRT server
    flag("srt", true),
    text("srtAddress", ":8890"),
    // MoQ server
    flag("moq", true),
    text("moqHTTP2Address", ":8892"),
    text("moqHTTP3Address", ":8892"),
    text("moqQUICAddress", ":8893"),
    text("moqServerKey", "auto.key"),
    text("moqServerCert", "auto.crt"),
    texts("moqAllowOrigins", &["*"]),
    list("moqTrustedProxies", Networks),
    old("moqHTTPS2Address", Text, Same("moqHTTP2Address")),
    old("moqHTTPS3Address", Text, Same("moqHTTP3Address")),
    // Record (deprecated)
    old("record", Flag, PathDefault),
    old("recordPath", Text, PathDefault),
    old("recordFormat", Word(&RECORD_FORMAT), PathDefault),
    old("recordPartDuration", Time, PathDefault),
    old("recordSegmentDuration", Time, PathDefault),
    old("recordDeleteAfter", Time, PathDefault),
];
