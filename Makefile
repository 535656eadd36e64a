# The doors. Each is a line into meson or scripts/; nothing is built here.
BUILD ?= build
PREFIX ?= /usr/local
.PHONY: all run check bench fuzz install clean fmt deps

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@scripts/deps build
	@meson setup --prefix $(PREFIX) $(BUILD) >/dev/null

deps:
	@scripts/deps all
run:
	@scripts/run
check:
	@scripts/check
bench:
	@scripts/bench
fuzz:
	@scripts/fuzz
# A build that was set up for another prefix is moved to the one that is asked for.
install: all
ifneq ($(origin PREFIX),file)
	@meson configure $(BUILD) --prefix $(PREFIX)
endif
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD)
fmt:
	@git ls-files '*.c' '*.h' | xargs clang-format -i
clean:
	@rm -rf $(BUILD) build-*
