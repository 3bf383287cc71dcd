"""Controls that others change are told; those that were set through the service are set again."""
import json
from typing import Any

import v4l2
from cameras import Webcam
from scenarios import Lab, scenario
from scenarios.controls import TOPIC, controls, plugged, put, subscribed, told, wait_listening, wait_told
from service import ON_DEMAND, PINNED, Service
from wait import wait_for

# vivid counts in it, and tells of it.
CLOCK = "read_only_integer_32_bits"


def is_set(service: Service, device: str, **wanted: Any) -> bool:
    """Whether controls have these values."""
    there = controls(service, device)
    return {name: there[name].get("value") for name in wanted} == wanted


def remembered(service: Service) -> list[str]:
    """The cameras in the file of what controls were set to."""
    file = service.folder / "state" / "controls.json"
    return [camera["id"] for camera in json.loads(file.read_text())["cameras"]] if file.exists() else []


@scenario
def controls_changed_by_another_program_are_told(lab: Lab) -> None:
    service = lab.service()
    vivid, device = plugged(service)
    service.reader(device).close()
    wait_listening(service, vivid.node)
    there = controls(service, device)
    rpc = subscribed(service)

    # Every kind, by another program. A text is not in the kernel's event.
    for name, value in [("brightness", 17), ("boolean", not there["boolean"]["value"]), ("menu", 4),
                        ("bitmask", 0x80000010), ("string", "told")]:
        mark = rpc.mark()
        given = value - 2**32 if name == "bitmask" else value
        v4l2.set_control(vivid.node, there[name]["id"], given)
        event = wait_told(rpc, mark, name, value)
        assert (event["topic"], event["device"], event["data"]["device"]) == (TOPIC, device, device), event
        assert set(event["data"]["controls"]) <= {name, CLOCK}, event
    # What depends on a switch comes along.
    mark = rpc.mark()
    v4l2.set_control(vivid.node, there["gain_automatic"]["id"], 0)
    wait_told(rpc, mark, "gain", False, "inactive")
    wait_told(rpc, mark, "gain_automatic", False)

    # A slider that is dragged floods nobody, and where it ends is told.
    mark = rpc.mark()
    v4l2.set_control(vivid.node, there["contrast"]["id"], *(step % 99 for step in range(5000)), 99)
    wait_told(rpc, mark, "contrast", 99)
    events = told(rpc, mark)
    print(f"{len(events)} events of 5001 changes", flush=True)
    last = [data["controls"]["contrast"] for data in events if "contrast" in data["controls"]][-1]
    assert len(events) < 2500 and last == 99, events

    # What the service sets itself is told once, and what is as it was is not told.
    mark = rpc.mark()
    put(service, device, brightness=18)
    put(service, device, brightness=18)
    put(service, device, brightness=19, contrast=98)
    service.rpc.call("reset_camera_controls", device=device)
    wait_told(rpc, mark, "brightness", there["brightness"]["default"])
    wait_told(rpc, mark, "contrast", there["contrast"]["default"])
    values = [data["controls"]["brightness"] for data in told(rpc, mark) if "brightness" in data["controls"]]
    assert values == sorted(set(values), key=values.index), values
    assert values[-1] == there["brightness"]["default"] and set(values) <= {18, 19, values[-1]}, values

    # An unplugged camera has nobody listening, and its number is free: the next one has it.
    node = vivid.node
    vivid.unplug()
    service.wait_status(device, "DISCONNECTED")
    wait_for("nobody to listen", lambda: not any("hears-" in name for name in service.resources()))
    vivid.plug()
    assert vivid.node == node, (vivid.node, node)
    rpc.close()


@scenario
def controls_of_a_camera_that_nobody_watches_are_told_when_the_service_sets_them(lab: Lab) -> None:
    """It is left alone but for the moment in which they are set."""
    service = lab.service()
    webcam = Webcam("Sleeping", port=1, serial=ON_DEMAND)
    device = service.id_of(webcam)
    rpc = subscribed(service)
    mark = rpc.mark()
    put(service, device, brightness=40, contrast=41)
    wait_told(rpc, mark, "contrast", 41)
    put(service, device, brightness=40, contrast=42)
    wait_told(rpc, mark, "contrast", 42)
    assert [data["controls"] for data in told(rpc, mark)] == [{"brightness": 40, "contrast": 41}, {"contrast": 42}]
    wait_for("the camera to be let go", lambda: not service.has_open(webcam.nodes[0]))
    service.rpc.call("reset_camera_controls", device=device)
    rpc.close()


@scenario
def controls_come_back_with_the_camera(lab: Lab) -> None:
    """In another port, and after a restart. What another program has set does not, nor what was reset."""
    service = lab.service()
    webcam = Webcam("Kept", port=2, serial="K1")
    device = service.id_of(webcam)
    put(service, device, brightness=7)
    put(service, device, brightness=8, contrast=70)
    contrast = controls(service, device)["contrast"]["id"]
    v4l2.set_control(webcam.nodes[0], contrast, 71)
    assert is_set(service, device, brightness=8, contrast=71)
    webcam.unplug()
    service.wait_status(device, "DISCONNECTED")
    webcam = Webcam("Kept", port=4, serial="K1")
    assert service.id_of(webcam) == device
    wait_for("the values to be back in another port", lambda: is_set(service, device, brightness=8, contrast=70))

    before = lab.terminated()
    v4l2.set_control(webcam.nodes[0], contrast, 72)
    service = lab.started(before)
    assert service.id_of(webcam) == device
    wait_for("the values to be back after a restart", lambda: is_set(service, device, brightness=8, contrast=70))
    assert device in remembered(service), remembered(service)
    service.rpc.call("reset_camera_controls", device=device)
    assert is_set(service, device, brightness=128, contrast=50) and device not in remembered(service)


@scenario
def controls_that_the_configuration_fixes_are_set(lab: Lab) -> None:
    """Whenever the camera is plugged in; what it does not have is warned of, and what is set is not remembered where it
    says so."""
    service = lab.service()
    webcam = Webcam("Pinned", port=3, serial=PINNED)
    device = service.id_of(webcam)
    wait_for("the fixed value", lambda: is_set(service, device, contrast=33))
    assert put(service, device, contrast=60, brightness=61) == {"contrast": 60, "brightness": 61}
    assert device not in remembered(service)
    assert sum("WARN" in line and "no_such_control" in line for line in service.logged().splitlines()) == 1


@scenario
def controls_that_the_camera_does_not_answer_for_do_not_keep_it_off_the_air(lab: Lab) -> None:
    service = lab.service()
    device = service.id_of(Webcam("Pinned", port=5, serial=PINNED, fault="deaf"))
    service.reader(device).close()
    said = f"its controls are not what they were set to: {service.status(device)['node']}"
    wait_for(f"the log to say: {said}", lambda: said in service.logged())


@scenario
def controls_of_every_kind_come_back(lab: Lab) -> None:
    """vivid is bound anew with its defaults. Gain can only be set once its automatism is off."""
    service = lab.service()
    vivid, device = plugged(service)
    service.reader(device).close()
    wanted = {
        "integer_32_bits": -(2**31), "integer_64_bits": 2**62, "boolean": False, "menu": 4, "integer_menu": 2,
        "string": "kept", "bitmask": 0x80000010, "brightness": 100, "gain_automatic": False, "gain": 50,
    }
    assert put(service, device, **wanted) == wanted
    put(service, device, button=True)
    vivid.unplug()
    service.wait_status(device, "DISCONNECTED")
    vivid.plug()
    service.wait_status(device, "CONNECTED")
    wait_for("the values to be back", lambda: is_set(service, device, **wanted))
    # While the automatism decides, what it decides is left to it.
    put(service, device, gain_automatic=True)
    vivid.unplug()
    service.wait_status(device, "DISCONNECTED")
    vivid.plug()
    service.wait_status(device, "CONNECTED")
    del wanted["gain_automatic"], wanted["gain"]
    wait_for("the values to be back", lambda: is_set(service, device, gain_automatic=True, **wanted))
    assert not any("WARN" in line and "not set again" in line and f"camera={device}" in line
                   for line in service.logged().splitlines()), "nothing to warn of"
    service.rpc.call("reset_camera_controls", device=device)
