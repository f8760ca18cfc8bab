"""A headless chromium, spoken to over a pipe: real clocks, any width, keys, screenshots."""

import base64
import contextlib
import itertools
import json
import os
import subprocess
from pathlib import Path

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --mute-audio "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--disable-default-apps --hide-scrollbars --remote-debugging-pipe"
)


class Browser:
    """One chromium with one tab. Commands are those of the DevTools protocol."""

    def __init__(self, profile: Path) -> None:
        to_browser, self.output = os.pipe()
        self.input, from_browser = os.pipe()
        os.set_inheritable(to_browser, True)
        os.set_inheritable(from_browser, True)
        command = (
            f"exec chromium {FLAGS} --user-data-dir={profile} 3<&{to_browser} 4>&{from_browser}"
        )
        self.process = subprocess.Popen(
            ["bash", "-c", command], pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self.numbers, self.buffer, self.session = itertools.count(1), b"", None
        self.events: list[dict] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        self.send("Performance.enable", timeDomain="threadTicks")

    def send(self, method: str, **params):
        """A command's result; events on the way are kept."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.output, data[:65536]) :]
        while (answer := self.receive()).get("id") != number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def receive(self) -> dict:
        """The next message, whatever it is."""
        while b"\0" not in self.buffer:
            more = os.read(self.input, 1 << 20)
            if not more:
                raise RuntimeError("chromium has gone")
            self.buffer += more
        first, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(first)

    def seen(self, method: str) -> list[dict]:
        """What events of a kind said since the page was opened."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def look(self, width: int, height: int = 900, scheme: str = "light") -> None:
        """The size of the screen and the colours that the reader's system prefers."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.send("Emulation.setEmulatedMedia", features=[feature])

    def open(self, path: Path, fragment: str = "") -> None:
        """Load a file and wait until it is there."""
        self.send("Page.navigate", url="about:blank")
        self.wait("Page.loadEventFired")
        self.send("Page.navigate", url=f"file://{path}{fragment}")
        self.wait("Page.loadEventFired")

    def wait(self, method: str) -> None:
        """Until an event of this kind has come; what came before is forgotten."""
        while not self.seen(method):
            self.events.append(self.receive())
        self.events = [event for event in self.events if event.get("method") != method]

    def run(self, code: str):
        """The value of an expression in the page, awaited if it is a promise."""
        done = self.send("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise RuntimeError(json.dumps(done["exceptionDetails"])[:2000])
        return done["result"].get("value")

    def busy(self) -> float:
        """Seconds of processor time that the page's thread has used for tasks."""
        metrics = self.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "TaskDuration")

    def press(self, key: str) -> None:
        """One key, down and up."""
        code = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}[key]
        for kind in ("rawKeyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """End this chromium, and only this one."""
        with contextlib.suppress(OSError, RuntimeError):
            self.session = None
            self.send("Browser.close")
        os.close(self.output)
        os.close(self.input)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
