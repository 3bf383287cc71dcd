"""Which camera is which: by serial number, by port where there is none, and never by chance."""
from cameras import Webcam
from scenarios import Lab, scenario
from service import Service


def ids(service: Service, *webcams: Webcam) -> list[str]:
    """The ids of plugged-in webcams, all different."""
    found = [service.id_of(webcam) for webcam in webcams]
    assert len(set(found)) == len(webcams), found
    return found


@scenario
def two_cameras_keep_their_ids_in_any_order(lab: Lab) -> None:
    """Unplugged and plugged in again the other way round, into each other's ports; and after a restart."""
    service = lab.service()
    first, second = Webcam("Order", port=0, serial="O1"), Webcam("Order", port=1, serial="O2")
    one, two = ids(service, first, second)
    first.unplug()
    second.unplug()
    service.wait_status(one, "DISCONNECTED")
    service.wait_status(two, "DISCONNECTED")
    second, first = Webcam("Order", port=0, serial="O2"), Webcam("Order", port=1, serial="O1")
    assert ids(service, first, second) == [one, two]
    service.wait_status(one, "CONNECTED")
    service.wait_status(two, "CONNECTED")
    service = lab.restarted()
    assert ids(service, first, second) == [one, two]
    service.reader(one).close()
    service.reader(two).close()


@scenario
def identical_cameras_without_serials_are_told_apart_by_port(lab: Lab) -> None:
    service = lab.service()
    left, right = Webcam("Twin", port=2), Webcam("Twin", port=3)
    one, two = ids(service, left, right)
    left.unplug()
    right.unplug()
    service.wait_status(one, "DISCONNECTED")
    service.wait_status(two, "DISCONNECTED")
    right, left = Webcam("Twin", port=3), Webcam("Twin", port=2)
    assert ids(service, left, right) == [one, two]
    service.reader(one).close()
    service.reader(two).close()


@scenario
def cameras_with_the_same_serial_are_told_apart_by_port(lab: Lab) -> None:
    """Makers stamp one number on a whole batch. Once two were seen at once, the number says nothing any more."""
    service = lab.service()
    known = len(service.cameras())
    left, right = Webcam("Batch", port=4, serial="SAME"), Webcam("Batch", port=5, serial="SAME")
    one, two = ids(service, left, right)
    left.unplug()
    right.unplug()
    service.wait_status(one, "DISCONNECTED")
    service.wait_status(two, "DISCONNECTED")
    right = Webcam("Batch", port=5, serial="SAME")
    assert ids(service, right) == [two]
    left = Webcam("Batch", port=4, serial="SAME")
    assert ids(service, left, right) == [one, two]
    assert len(service.cameras()) == known + 2, service.cameras()
    service.reader(one).close()
    service.reader(two).close()
