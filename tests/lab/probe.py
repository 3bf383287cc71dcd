"""What ffprobe and ffmpeg, which share no code with the service, make of a stream or a file."""
import json
import subprocess

from wait import DEADLINE

# ffmpeg takes its time to look at a live stream; a second of it is enough to know what it is.
_LIVE = ["-analyzeduration", "1000000", "-timeout", str(int(DEADLINE * 1e6))]


def _run(*words: str) -> bytes:
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=2 * DEADLINE)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.decode()[-600:]}"
    return done.stdout


def stream(url: str, transport: str) -> dict:
    """ffprobe's description of the video of an RTSP URL: codec_name, width, height, profile, …"""
    out = _run("ffprobe", "-v", "error", "-rtsp_transport", transport, *_LIVE,
               "-show_streams", "-select_streams", "v", "-of", "json", url)
    return json.loads(out)["streams"][0]


def file(path: str) -> dict:
    """ffprobe's description of the video in a file, with every frame decoded and counted (nb_read_frames)."""
    out = _run("ffprobe", "-v", "error", "-count_frames", "-show_streams", "-show_format", "-select_streams", "v",
               "-of", "json", path)
    described = json.loads(out)
    return described["streams"][0] | {"format": described["format"]}


def pictures(source: str, count: int) -> list[bytes]:
    """The first pictures of a URL or a file, decoded and made small and grey (64x36, a byte a pixel)."""
    live = ["-rtsp_transport", "tcp", *_LIVE] if source.startswith("rtsp:") else []
    out = _run("ffmpeg", "-v", "error", *live, "-i", source, "-frames:v", str(count), "-vsync", "passthrough", "-vf", "scale=64:36",
               "-pix_fmt", "gray", "-f", "rawvideo", "-")
    size = 64 * 36
    return [out[at:at + size] for at in range(0, len(out), size)]


def moves(source: str) -> bool:
    """Whether the decoded picture of a URL or a file changes visibly within some frames."""
    seen = pictures(source, 10)
    assert len(seen) == 10, f"{len(seen)} of 10 pictures from {source}"
    changed = sum(abs(a - b) > 8 for a, b in zip(seen[0], seen[-1]))
    return changed > 20
