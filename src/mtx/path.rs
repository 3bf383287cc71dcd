//! The keys of a path, in MediaMTX's order, with its defaults.

use super::{
    global::{RECORD_FORMAT, some_words},
    key::{
        Key,
        Kind::{Credential, Flag, Int, Networks, Records, Text, Word},
        Successor::{Not, Nothing, Same},
        Words, count, counts, flag, int, list, number, numbers, old, size, text, time, word,
    },
};

some_words! {
    TRANSPORT = ["automatic", "udp", "multicast", "tcp"], "invalid transport '{}'", false;
    RANGE_TYPE = ["", "clock", "npt", "smpte"], "invalid rtsp range type: '{}'", false;
    MOQ_TRANSPORT = ["quic", "webtransport"], "invalid MoQ transport '{}'", false;
    TRACK_CODEC = ["AV1", "VP9", "H265", "H264", "MPEG4Audio", "Opus", "G711", "LPCM"], "unsupported codec '{}'", false;
}

pub(super) static TRACK: &[Key] =
    &[word("codec", &TRACK_CODEC, ""), int("sampleRate", 0), int("channelCount", 0), flag("muLaw", false)];

static FORWARD: &[Key] = &[text("dest", ""), text("destFingerprint", ""), text("whipBearerToken", "")];

pub(super) static KEYS: &[Key] = &[
    text("name", ""),
    // General
    text("source", "publisher"),
    text("sourceFingerprint", ""),
    flag("sourceOnDemand", false),
    time("sourceOnDemandStartTimeout", "10s"),
    time("sourceOnDemandCloseAfter", "10s"),
    int("maxReaders", 0),
    text("srtReadPassphrase", ""),
    old("fallback", Text, Nothing),
    flag("useAbsoluteTimestamp", false),
    // Always available
    flag("alwaysAvailable", false),
    list("alwaysAvailableTracks", Records(TRACK)),
    text("alwaysAvailableFile", ""),
    // Forward
    list("forward", Records(FORWARD)),
    // Record
    flag("record", false),
    old("playback", Flag, Nothing),
    text("recordPath", "./recordings/%path/%Y-%m-%d_%H-%M-%S-%f"),
    word("recordFormat", &RECORD_FORMAT, "fmp4"),
    time("recordPartDuration", "1s"),
    size("recordMaxPartSize", "50M"),
    time("recordSegmentDuration", "1h0m0s"),
    time("recordDeleteAfter", "1d"),
    // Authentication (deprecated)
    old("publishUser", Credential, Nothing),
    old("publishPass", Credential, Nothing),
    old("publishIPs", Networks, Nothing),
    old("readUser", Credential, Nothing),
    old("readPass", Credential, Nothing),
    old("readIPs", Networks, Nothing),
    // Publisher source
    flag("overridePublisher", true),
    old("disablePublisherOverride", Flag, Not("overridePublisher")),
    text("srtPublishPassphrase", ""),
    flag("rtspDemuxMpegts", false),
    // RTSP source
    word("rtspTransport", &TRANSPORT, "automatic"),
    flag("rtspAnyPort", false),
    old("sourceProtocol", Word(&TRANSPORT), Same("rtspTransport")),
    old("sourceAnyPortEnable", Flag, Same("rtspAnyPort")),
    word("rtspRangeType", &RANGE_TYPE, ""),
    text("rtspRangeStart", ""),
    text("rtspScale", ""),
    old("rtspUDPReadBufferSize", Int("uint"), Nothing),
    counts("rtspUDPSourcePortRange", &[32768, 60999]),
    // MPEG-TS source
    old("mpegtsUDPReadBufferSize", Int("uint"), Nothing),
    // RTP source
    text("rtpSDP", ""),
    old("rtpUDPReadBufferSize", Int("uint"), Nothing),
    // MoQ source
    word("moqTransport", &MOQ_TRANSPORT, "quic"),
    // WHEP source
    text("whepBearerToken", ""),
    time("whepSTUNGatherTimeout", "5s"),
    time("whepHandshakeTimeout", "10s"),
    time("whepTrackGatherTimeout", "2s"),
    // Redirect source
    text("sourceRedirect", ""),
    // Raspberry Pi Camera source
    count("rpiCameraCamID", 0),
    flag("rpiCameraSecondary", false),
    count("rpiCameraWidth", 1920),
    count("rpiCameraHeight", 1080),
    flag("rpiCameraHFlip", false),
    flag("rpiCameraVFlip", false),
    number("rpiCameraBrightness", 0.0),
    number("rpiCameraContrast", 1.0),
    number("rpiCameraSaturation", 1.0),
    number("rpiCameraSharpness", 1.0),
    text("rpiCameraExposure", "normal"),
    text("rpiCameraAWB", "auto"),
    numbers("rpiCameraAWBGains", &[0.0, 0.0]),
    text("rpiCameraDenoise", "off"),
    count("rpiCameraShutter", 0),
    text("rpiCameraMetering", "centre"),
    number("rpiCameraGain", 0.0),
    number("rpiCameraEV", 0.0),
    text("rpiCameraROI", ""),
    flag("rpiCameraHDR", false),
    text("rpiCameraTuningFile", ""),
    text("rpiCameraMode", ""),
    number("rpiCameraFPS", 30.0),
    text("rpiCameraAfMode", "continuous"),
    text("rpiCameraAfRange", "normal"),
    text("rpiCameraAfSpeed", "normal"),
    number("rpiCameraLensPosition", 0.0),
    text("rpiCameraAfWindow", ""),
    count("rpiCameraFlickerPeriod", 0),
    flag("rpiCameraTextOverlayEnable", false),
    text("rpiCameraTextOverlay", "%Y-%m-%d %H:%M:%S - MediaMTX"),
    text("rpiCameraCodec", "auto"),
    count("rpiCameraIDRPeriod", 60),
    count("rpiCameraBitrate", 5000000),
    old("rpiCameraProfile", Text, Same("rpiCameraHardwareH264Profile")),
    old("rpiCameraLevel", Text, Same("rpiCameraHardwareH264Level")),
    old("rpiCameraHardwareH264Profile", Text, Nothing),
    old("rpiCameraHardwareH264Level", Text, Nothing),
    old("rpiCameraSoftwareH264Profile", Text, Nothing),
    old("rpiCameraSoftwareH264Level", Text, Nothing),
    text("rpiCameraH264Profile", "auto"),
    text("rpiCameraH264Level", "4.1"),
    old("rpiCameraJPEGQuality", Int("uint"), Same("rpiCameraMJPEGQuality")),
    count("rpiCameraMJPEGQuality", 60),
    // Hooks
    text("runOnInit", ""),
    flag("runOnInitRestart", false),
    text("runOnDemand", ""),
    flag("runOnDemandRestart", false),
    time("runOnDemandStartTimeout", "10s"),
    time("runOnDemandCloseAfter", "10s"),
    text("runOnUnDemand", ""),
    text("runOnAvailable", ""),
    flag("runOnAvailableRestart", false),
    text("runOnUnavailable", ""),
    old("runOnReady", Text, Same("runOnAvailable")),
    old("runOnReadyRestart", Flag, Same("runOnAvailableRestart")),
    old("runOnNotReady", Text, Same("runOnUnavailable")),
    text("runOnOnline", ""),
    flag("runOnOnlineRestart", false),
    text("runOnOffline", ""),
    text("runOnRead", ""),
    flag("runOnReadRestart", false),
    text("runOnUnread", ""),
    text("runOnRecordSegmentCreate", ""),
    text("runOnRecordSegmentComplete", ""),
];
