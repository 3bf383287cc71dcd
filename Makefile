# Two commands for a newcomer: `make run` and `make test`. Both install the Debian packages that are missing.

# Everything `make run` writes is here, so that it needs no root.
RUN_FOLDER := $(CURDIR)/.run

.PHONY: run token deb deb-arm64 test test-machine test-arm64 deps lab bench

# Builds and starts the service with the default configuration.
run:
	packaging/install-deps build run
	CAMERA_SERVICE__STATE_DIRECTORY="$(RUN_FOLDER)" cargo run --release --locked -- run

# A token for a control client of the service that `make run` started.
ROLE ?= admin
token:
	@CAMERA_SERVICE__STATE_DIRECTORY="$(RUN_FOLDER)" cargo run -q --release --locked -- token --role "$(ROLE)"

# The Debian package, into target/debian/. PROFILE=dev builds faster and runs slower.
PROFILE ?= release
deb:
	packaging/install-deps build run package
	packaging/build-deb --profile "$(PROFILE)"

# The same for a Raspberry Pi or a Jetson, into target/arm64/, built on this machine.
deb-arm64:
	packaging/build-deb --profile "$(PROFILE)" --arch arm64

# Runs what deb-arm64 made, under emulation.
test-arm64:
	packaging/cross-root arm64 tests/arm64

# Everything that has to hold before a change is merged. SKIP_LAB=1 leaves the camera lab out, SKIP_MACHINE=1 the machine.
test:
	packaging/install-deps build run test $(if $(filter 1,$(SKIP_LAB)),,lab) $(if $(filter 1,$(SKIP_MACHINE)),,package machine)
	tests/all

# The package, installed on a machine like production; MACHINE=broken checks that one only.
test-machine:
	packaging/install-deps build run package machine
	tests/machine/run $(MACHINE)

# The packages alone.
deps:
	packaging/install-deps

# Real cameras under a guest kernel; LAB=hotplug runs the scenarios of that name.
lab:
	packaging/install-deps build run lab
	tests/lab/run $(LAB)

# Measures the paths of a frame, of a request and of a notification.
bench:
	packaging/install-deps build run
	cargo bench --locked
