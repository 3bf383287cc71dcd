"""What a webcam gives is what goes out, or is encoded; from every kind the right thing comes."""
import probe
from cameras import FIXTURE, HEIGHT, WIDTH, Webcam
from fixture import Fixture
from scenarios import Lab, scenario
from service import UNTOUCHED


@scenario
def an_h264_webcam_is_passed_through(lab: Lab) -> None:
    """No encoder in the pipeline, and the very slices the webcam sent, in its order, none missing."""
    service = lab.service()
    device = service.id_of(Webcam("Ready", port=0, serial="R1", kind="h264"))
    reader = service.reader(device)
    reader.wait_frames(70)  # more than once round
    reader.close()
    Fixture(FIXTURE).assert_whole(reader)
    pipelines = service.pipelines(device)
    assert pipelines and not any("x264enc" in line or "dec " in line for line in pipelines), pipelines


@scenario
def an_mjpeg_webcam_is_decoded_and_encoded(lab: Lab) -> None:
    service = lab.service()
    device = service.id_of(Webcam("Motion", port=1, serial="M1", kind="mjpeg"))
    url = service.wait_stream(device)
    video = probe.stream(url, "tcp")
    assert (video["codec_name"], video["width"], video["height"]) == ("h264", WIDTH, HEIGHT), video
    assert probe.moves(url)
    assert any("jpegdec" in line and "x264enc" in line for line in service.pipelines(device))


@scenario
def an_mjpeg_webcam_is_passed_through_when_configured(lab: Lab) -> None:
    service = lab.service()
    device = service.id_of(Webcam("Still", port=2, serial=UNTOUCHED, kind="mjpeg"))
    video = probe.stream(service.wait_stream(device), "tcp")
    assert (video["codec_name"], video["width"], video["height"]) == ("mjpeg", WIDTH, HEIGHT), video
    assert not any("x264enc" in line for line in service.pipelines(device))


@scenario
def a_raw_webcam_is_encoded(lab: Lab) -> None:
    """It has only 320x180 where 640x360 is wanted, and gives what it has."""
    service = lab.service()
    device = service.id_of(Webcam("Raw", port=3, serial="Y1", kind="yuyv"))
    video = probe.stream(service.wait_stream(device), "tcp")
    assert (video["codec_name"], video["width"], video["height"]) == ("h264", 320, 180), video
