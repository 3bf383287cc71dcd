"""The controls of cameras: all kinds are read, set while somebody watches, refused as a whole, and reset."""
from typing import Any

import probe
import v4l2
from cameras import FIXTURE, Vivid, Webcam
from fixture import Fixture
from rpc import Rpc, RpcError
from scenarios import Lab, scenario
from service import Service
from wait import wait_for

INVALID_PARAMS, INVALID_STATE, PERMISSION_DENIED, DEPENDENCY_FAILED = -32602, -32020, -32002, -32050

TOPIC = "camera.control_change"


def controls(service: Service, device: str) -> dict[str, dict]:
    """All controls of a camera by name."""
    listed = service.rpc.call("get_camera_controls", device=device)["controls"]
    found = {control["name"]: control for control in listed}
    assert len(found) == len(listed), listed
    return found


def values(service: Service, device: str) -> dict[str, Any]:
    """What the controls are set to, without those that the driver changes itself (vivid's gain)."""
    return {name: control["value"] for name, control in controls(service, device).items()
            if "value" in control and name != "gain" and not control["read_only"]}


def put(service: Service, device: str, **wanted: Any) -> dict[str, Any]:
    """Sets controls, and returns what was read back."""
    return service.rpc.call("set_camera_control", device=device, controls=wanted)["controls"]


def refused(service: Service, device: str, code: int, name: str, **wanted: Any) -> RpcError:
    """Setting these is refused because of the control `name`, and nothing has changed."""
    before = values(service, device)
    try:
        read_back = put(service, device, **wanted)
    except RpcError as error:
        assert error.code == code, (wanted, str(error))
        assert name in str(error), (wanted, str(error))
        after = values(service, device)
        assert after == before, (wanted, before, after)
        return error
    raise AssertionError(f"{wanted} was set: {read_back}")


def plugged(service: Service) -> tuple[Vivid, str]:
    """vivid, and its id."""
    vivid = Vivid()

    def found() -> str | None:
        return next((camera["device"] for camera in service.connected() if camera.get("node") == vivid.node), None)

    return vivid, wait_for("vivid to be a camera", found)


def subscribed(service: Service) -> Rpc:
    """A socket that is told of changed controls."""
    rpc = service.connect("viewer")
    rpc.call("subscribe_events", topics=[TOPIC])
    return rpc


def wait_listening(service: Service, node: str) -> None:
    """Waits until the service hears what others do to a camera's controls: a thread of its own does."""
    thread = "thread hears-" + node.removeprefix("/dev/")
    wait_for(f"{node} to be listened to", lambda: thread in service.resources())


def told(rpc: Rpc, since: int) -> list[dict]:
    """What was told of controls, in its order."""
    return [event["data"] for method, event in rpc.notifications[since:] if method == "event"]


def wait_told(rpc: Rpc, since: int, name: str, value: Any, member: str = "controls") -> dict:
    """Waits for the event that says so, and returns it."""
    def found() -> dict | None:
        events = (event for method, event in rpc.notifications[since:] if method == "event")
        return next((event for event in events if event["data"].get(member, {}).get(name) == value), None)
    return wait_for(f"{name} to be told as {value}", found)


@scenario
def controls_of_every_kind_are_read_and_set_while_streaming(lab: Lab) -> None:
    """vivid has one of each. Its stream goes on: one run of the pipeline, and no packet missing."""
    service = lab.service()
    _, device = plugged(service)
    reader = service.reader(device)
    started = service.status(device)["pipeline"]["runs"]
    there = controls(service, device)
    kinds = {control["type"] for control in there.values()}
    assert kinds == {"integer", "boolean", "menu", "integer_menu", "button", "integer64", "string", "bitmask"}, kinds
    for control in there.values():
        assert ("value" in control) == (control["type"] != "button"), control
        assert ("menu" in control) == control["type"].endswith("menu"), control
    assert there["menu"]["menu"] == [
        {"index": number, "name": f"Menu Item {number}"} for number in (1, 3, 4)], there["menu"]
    assert {"index": 4, "name": "5"} in there["integer_menu"]["menu"], there["integer_menu"]
    assert any(control["read_only"] for control in there.values()), there
    assert there["gain_automatic"]["value"] is True and there["gain"]["inactive"], there["gain"]

    for name, value in [
        ("integer_32_bits", -(2**31)), ("integer_64_bits", 2**62), ("boolean", not there["boolean"]["value"]),
        ("menu", 4), ("integer_menu", 2), ("string", "lab"), ("bitmask", 0x80000010), ("brightness", 100),
    ]:
        assert put(service, device, **{name: value}) == {name: value}, name
        assert controls(service, device)[name]["value"] == value, name
    assert put(service, device, button=True) == {"button": None}
    # A menu by the name of its entry, another control by its id.
    assert put(service, device, menu="Menu Item 3") == {"menu": 3}
    assert put(service, device, rx_rgb_quantization_range="RGB Full Range (0-255)") == {"rx_rgb_quantization_range": 2}
    assert put(service, device, **{str(there["brightness"]["id"]): 101}) == {"brightness": 101}
    reader.wait_frames(20)
    reader.close()
    assert reader.packets_missed == 0, reader.packets_missed
    pipeline = service.status(device)["pipeline"]
    assert pipeline["runs"] == started, pipeline

    after = service.rpc.call("reset_camera_controls", device=device)["controls"]
    for control in after:
        settable = not (control["read_only"] or control["inactive"] or control["type"] == "button")
        if settable and "default" in control:
            assert control["value"] == control["default"], control


@scenario
def controls_that_do_not_fit_are_refused_and_nothing_is_set(lab: Lab) -> None:
    service = lab.service()
    _, device = plugged(service)
    # Some controls of vivid cannot be set while it streams.
    service.reader(device).close()
    there = controls(service, device)
    read_only = next(name for name, control in there.items() if control["read_only"] and not control["inactive"])
    for name, value in [
        ("brightness", 256), ("brightness", -1), ("brightness", "high"), ("boolean", 2), ("menu", 2), ("menu", 9),
        ("integer_menu", 0), ("string", "x"), ("string", "much too long"), ("bitmask", 1), ("button", False),
        ("contrast", None), ("contrast", [1]), ("integer_32_bits", 2**31), (read_only, 1),
    ]:
        # Beside it one that fits, and that comes first.
        error = refused(service, device, INVALID_PARAMS, name, **{name: value, "alpha_component": 9})
        assert error.data["param"] == f"controls.{name}" and error.data["rule"] and error.data["hint"], error
    error = refused(service, device, INVALID_PARAMS, "brightnes", brightnes=1)
    assert "brightness" in error.data["hint"], error

    grabbed = next(name for name, control in there.items() if control["grabbed"])
    refused(service, device, INVALID_STATE, grabbed, brightness=1, **{grabbed: False})
    refused(service, device, INVALID_STATE, "gain", gain=50)
    refused(service, device, INVALID_STATE, "gain", gain=50, brightness=1)
    # The switch and what depends on it, in one request.
    assert put(service, device, gain=50, gain_automatic=False) == {"gain": 50, "gain_automatic": False}
    assert controls(service, device)["gain"]["value"] == 50
    # The other way round the switch is set, the gain is not, and both are put back: on leaving automatic gain the
    # driver has taken over the gain of that moment.
    refused(service, device, INVALID_STATE, "gain", gain=60, gain_automatic=True)
    assert controls(service, device)["gain"]["value"] == 50
    service.rpc.call("reset_camera_controls", device=device)
    assert controls(service, device)["gain_automatic"]["value"] is True

    viewer = service.connect("viewer")
    assert viewer.call("get_camera_controls", device=device)["controls"]
    try:
        viewer.call("set_camera_control", device=device, controls={"brightness": 1})
        raise AssertionError("a viewer has set a control")
    except RpcError as error:
        assert error.code == PERMISSION_DENIED, error
    viewer.close()


@scenario
def controls_are_seen_in_the_picture(lab: Lab) -> None:
    """The decoded picture is as bright as the control says."""
    service = lab.service()
    _, device = plugged(service)
    url = service.wait_stream(device)

    def brightness() -> float:
        picture = probe.pictures(url, 3)[-1]
        return sum(picture) / len(picture)

    put(service, device, brightness=0)
    dark = wait_for("a dark picture", lambda: (seen := brightness()) < 90 and seen + 1)
    put(service, device, brightness=255)
    bright = wait_for("a bright picture", lambda: (seen := brightness()) > 150 and seen)
    print(f"mean grey {dark - 1:.0f} at brightness 0, {bright:.0f} at 255", flush=True)
    service.rpc.call("reset_camera_controls", device=device)
    wait_for("a usual picture", lambda: dark + 10 < brightness() < bright - 10)


@scenario
def controls_of_a_usb_webcam_disturb_no_frame(lab: Lab) -> None:
    """uvcvideo asks the camera over USB. The film goes on meanwhile, not an access unit missing or changed."""
    service = lab.service()
    webcam = Webcam("Tuned", port=2, serial="C1", kind="h264")
    device = service.id_of(webcam)
    reader = service.reader(device)
    there = controls(service, device)
    assert there["brightness"] | {"id": 0} == {
        "name": "brightness", "id": 0, "type": "integer", "value": 128, "default": 128, "min": 0, "max": 255,
        "step": 1, "read_only": False, "inactive": False, "grabbed": False}, there
    for round_ in range(10):
        assert put(service, device, brightness=round_, contrast=100 - round_) == {
            "brightness": round_, "contrast": 100 - round_}
    refused(service, device, INVALID_PARAMS, "contrast", brightness=77, contrast=101)
    # Another program: told by uvcvideo as well.
    wait_listening(service, webcam.nodes[0])
    rpc = subscribed(service)
    v4l2.set_control(webcam.nodes[0], there["contrast"]["id"], 33)
    wait_told(rpc, 0, "contrast", 33)
    rpc.close()
    reset = service.rpc.call("reset_camera_controls", device=device)["controls"]
    assert {control["name"]: control["value"] for control in reset} == {"brightness": 128, "contrast": 50}, reset
    reader.wait_frames(20)
    reader.close()
    Fixture(FIXTURE).assert_whole(reader)

    webcam.unplug()
    service.wait_status(device, "DISCONNECTED")
    try:
        raise AssertionError(controls(service, device))
    except RpcError as error:
        assert error.code == INVALID_STATE and error.data["state"] == "DISCONNECTED", error


@scenario
def controls_of_a_broken_kind_leave_the_others(lab: Lab) -> None:
    """The camera refuses whatever is about its brightness. It has a contrast still."""
    service = lab.service()
    device = service.id_of(Webcam("Broken", port=3, serial="C2", fault="broken"))
    there = controls(service, device)
    assert "contrast" in there and "value" not in there.get("brightness", {}), there
    assert put(service, device, contrast=7) == {"contrast": 7}


@scenario
def controls_that_a_camera_does_not_answer_for_hold_nobody_up(lab: Lab) -> None:
    """The driver waits for the camera, and the callers are told so in time. Pictures flow as before, and when the camera
    is well again, so are its controls."""
    service = lab.service()
    webcam = Webcam("Deaf", port=4, serial="C3", fault="deaf@10")
    device = service.id_of(webcam)
    reader = service.reader(device)
    reader.wait_frames(20)
    for _ in range(3):
        try:
            raise AssertionError(put(service, device, brightness=1, contrast=2))
        except RpcError as error:
            assert error.code == DEPENDENCY_FAILED, error
            print(error, flush=True)
    threads = [name for name in service.resources() if name.startswith("thread controls-")]
    assert sum(service.resources()[name] for name in threads) <= 1, service.resources()
    webcam.heal()

    def well() -> bool:
        try:
            return put(service, device, brightness=3, contrast=4) == {"brightness": 3, "contrast": 4}
        except RpcError as error:
            assert error.code == DEPENDENCY_FAILED, error
            return False

    wait_for("the controls to work again", well)
    reader.wait_frames(20)
    reader.close()
    Fixture(FIXTURE).assert_whole(reader)
