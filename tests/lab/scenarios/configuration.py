"""The configuration file is changed while cameras stream."""
from cameras import Webcam
from scenarios import Lab, scenario
from scenarios.controls import controls
from wait import wait_for


@scenario
def a_camera_is_what_the_changed_file_says_and_goes_on_streaming(lab: Lab) -> None:
    """Its controls are others, in the device itself; what it encodes itself no encoder of ours can change; and it is
    another camera by name when the file says so."""
    service = lab.service()
    webcam = Webcam("Changed", port=0, serial="CHANGED")
    device = service.id_of(webcam)
    reader = service.reader(device)
    runs = service.status(device)["pipeline"]["runs"]

    def says(**more: object) -> None:
        service.configure({"camera": {"devices": [{"match": {"serial": "CHANGED"}, **more}]}})

    assert controls(service, device)["contrast"]["value"] != 44
    says(controls={"contrast": "44"})
    wait_for("its contrast to be set", lambda: controls(service, device)["contrast"]["value"] == 44)
    says(name="Over the door", bitrate="300k")
    wait_for("its name", lambda: service.status(device)["name"] == "Over the door")
    reader.wait_frames(5)
    reader.close()
    assert service.status(device)["pipeline"]["runs"] == runs

    says(id="camera99")
    wait_for("camera99", lambda: [camera["device"] for camera in service.connected()] == ["camera99"])
    assert device not in [camera["device"] for camera in service.cameras()]
    service.reader("camera99").close()
    service.configure({})
