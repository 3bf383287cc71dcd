"""The promises, one function each, in the order in which they run."""
from typing import Callable

from service import Service


class Lab:
    """What a scenario is given: the service. One with the usual configuration is shared until a scenario fails."""

    def __init__(self) -> None:
        self._service: Service | None = None

    def service(self) -> Service:
        """The running service, started when there is none."""
        if self._service is None or self._service.process.poll() is not None:
            self._service = Service()
        return self._service

    def restarted(self) -> Service:
        """The service, stopped as systemd stops it and started again."""
        return self.started(self.terminated())

    def started(self, before: Service, user: int = 0) -> Service:
        """A service with the files of one that was terminated, as another user if need be."""
        self._service = Service(keep=before, user=user)
        return self._service

    def configured(self, settings: dict) -> Service:
        """A service with files of its own and these settings, in place of the one that runs."""
        self.stop()
        self._service = Service(settings)
        return self._service

    def terminated(self) -> Service:
        """The service, after SIGTERM and an exit code of 0."""
        before = self.service()
        self._service = None
        code = before.terminate()
        assert code == 0, f"exit code {code} after SIGTERM"
        return before

    def close(self) -> None:
        """As `stop`, for `contextlib.closing`: before what the service writes to is taken away."""
        self.stop()

    def stop(self) -> None:
        """Ends the service, however it is."""
        if self._service is not None:
            self._service.end()
            self._service = None


Scenario = Callable[[Lab], None]
ALL: list[Scenario] = []


def scenario(function: Scenario) -> Scenario:
    """Adds a function to those that run."""
    ALL.append(function)
    return function
