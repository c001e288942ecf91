"""Open pages in a headless Chromium, through its DevTools protocol over a pipe."""

import base64
import fcntl
import json
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell")

#: DevTools events that report errors and messages of a page.
COMPLAINTS = {"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"}


def found():
    """The path of a Chromium, or None if none is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """An open page: `run` evaluates an expression in it, `complaints` are its error events."""

    def __init__(self, ask, wait):
        self._ask, self._wait = ask, wait
        target = ask("Target.createTarget", url="about:blank")["targetId"]
        attached = ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self("enable", domain)
        self.complaints, self.requests = [], []

    def __call__(self, method, domain, **words):
        return self._ask(f"{domain}.{method}", self._session, **words)

    def open(self, path, width, height=900, dark=False):
        """Load a file in a window of this size; set `complaints` and the URLs of `requests`."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self("setDeviceMetricsOverride", "Emulation", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("setEmulatedMedia", "Emulation", features=[scheme])
        self("navigate", "Page", url=path.resolve().as_uri())
        told = self._wait("Page.loadEventFired")
        self.complaints = [event for event in told if event["method"] in COMPLAINTS]
        sent = [event for event in told if event["method"] == "Network.requestWillBeSent"]
        self.requests = [event["params"]["request"]["url"] for event in sent]

    def run(self, expression):
        """The value of an expression, as JSON."""
        words = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        done = self("evaluate", "Runtime", **words)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def picture(self, path):
        """Write an image of the whole page as PNG, to look at."""
        words = {"format": "png", "captureBeyondViewport": True}
        data = self("captureScreenshot", "Page", **words)["data"]
        path.write_bytes(base64.b64decode(data))


@contextmanager
def opened(folder):
    """Yield a `Page` of a browser whose profile is in a folder."""
    down, up = os.pipe(), os.pipe()
    # The browser reads from file descriptor 3 and writes to 4.
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (down[0], up[1])]
    shell = f'exec "$0" "$@" 3<&{theirs[0]} 4>&{theirs[1]}'
    words = [found(), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    words += ["--disable-dev-shm-usage", "--remote-debugging-pipe", f"--user-data-dir={folder}"]
    browser = subprocess.Popen(
        ["bash", "-c", shell, *words],
        pass_fds=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for end in (down[0], up[1], *theirs):
        os.close(end)
    try:
        with os.fdopen(down[1], "wb", 0) as orders, os.fdopen(up[0], "rb", 0) as answers:
            yield Page(*_protocol(orders, answers))
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()


def _protocol(orders, answers):
    """The functions ``ask``, which calls a method, and ``wait``.

    ``wait`` waits for an event and returns all events received until then.
    """
    events, rest, count = [], b"", 0

    def message():
        nonlocal rest
        while b"\0" not in rest:
            more = os.read(answers.fileno(), 1 << 20)
            assert more, "the browser is gone"
            rest += more
        one, _, rest = rest.partition(b"\0")
        return json.loads(one)

    def ask(method, session=None, **words):
        nonlocal count
        count += 1
        order = {"id": count, "method": method, "params": words}
        order |= {"sessionId": session} if session else {}
        orders.write(json.dumps(order).encode() + b"\0")
        while (got := message()).get("id") != count:
            events.append(got)
        assert "error" not in got, got["error"]
        return got["result"]

    def wait(method):
        while method not in [event["method"] for event in events]:
            events.append(message())
        told = list(events)
        events.clear()
        return told

    return ask, wait
