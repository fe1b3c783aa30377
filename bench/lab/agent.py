"""The agent under test, the receiver that it posts to, and the webapp's rule over what it posted."""

import contextlib
import http.client
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
import time

NOBODY = "65534"
ANSWER = b'{"ok": true, "server": {"slug": "lab"}, "snapshot": {"id": 1, "collected_at": "2026-01-01T00:00:00+00:00", "bottleneck": "idle"}}'

# Binds a text over the agent's own /proc/self/NAME or /proc/NAME in a mount name space that ends with it.
BIND = 'while [ "$1" != -- ]; do mount --bind "$2" "$(echo "$1" | sed "s:self:$$:")" || exit 9; shift 2; done; shift; exec "$@"'


def gpu_options(run):
    """How the agent sees the run's GPUs."""
    return ["--gpu-source", "nvml", "--nvml-library", run.library, *(["--sysfs", run.sysfs] if run.sysfs else [])]


class Receiver:
    """Keeps each body with the instant at which it came."""

    def __init__(self):
        self.bodies = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.bodies.append((time.monotonic(), body))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(ANSWER)))
                self.end_headers()
                self.wfile.write(ANSWER)

            def log_message(self, format, *args):  # pylint: disable=redefined-builtin
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        """Where the agent posts to."""
        return f"http://127.0.0.1:{self.server.server_port}"

    def stop(self):
        """Ends it."""
        self.server.shutdown()
        self.server.server_close()


class Agent:
    """The agent's program, as a user who may nothing, beside one run."""

    def __init__(self, binary, run, place, scale=1, as_root=False):
        self.receiver = Receiver()
        self.tree = None
        command = [
            binary, "--quiet", "--interval", "1", "--host", self.receiver.url, "--server-slug", "lab",
            *([] if place.is_real else gpu_options(run)), *place.options,
        ]  # fmt: skip
        binds = ["/proc/self/mountstats", run.mountstats] if run.mountstats else []
        if run.setup.memory_text:
            meminfo, arcstats = memory_texts(run.setup.memory_text)
            path = os.path.join(run.directory, "meminfo")
            _write(path, meminfo)
            if arcstats:
                self.tree = Tree(os.path.join(run.directory, "proc"), path, arcstats)
                command += ["--procfs", self.tree.directory]
            else:
                binds += ["/proc/meminfo", path]
        if not as_root and os.geteuid() == 0:
            command = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", *command]
        if binds:
            command = ["unshare", "--mount", "sh", "-c", BIND, "sh", *binds, "--", *command]
        environment = {"PATH": os.environ["PATH"], "LANG": "C", "HOME": "/nonexistent", "AI_DASHBOARD_TOKEN": "lab"}
        if scale > 1:
            environment["AI_DASHBOARD_TEST_TIME_SCALE"] = str(scale)
        self.errors = os.path.join(run.directory, "agent.log")
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, env=environment)

    def stop(self):
        """Ends it in good order and returns the bodies."""
        ended = self.process.poll()
        if ended is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        self.receiver.stop()
        if self.tree:
            self.tree.stop()
        if ended is not None:
            with open(self.errors, encoding="utf-8", errors="replace") as file:
                raise RuntimeError(f"the agent ended by itself with {ended}: {file.read()[-400:]}")
        return self.receiver.bodies


def memory_texts(kind):
    """/proc/meminfo of a machine of this size whose memory is ZFS's cache or idle huge pages, and arcstats."""
    with open("/proc/meminfo", encoding="ascii") as file:
        text = file.read()
    total = int(re.search(r"MemTotal: +(\d+)", text).group(1))
    share = int(total * 0.9)
    free = int(total * 0.03)
    for name in ("MemFree", "MemAvailable"):
        text = re.sub(rf"({name}: +)\d+", rf"\g<1>{free}", text)
    for name in ("Cached", "Buffers"):
        text = re.sub(rf"^({name}: +)\d+", r"\g<1>10240", text, flags=re.MULTILINE)
    if kind == "hugepages":
        pages = share // 2048
        text = re.sub(r"(HugePages_Total: +)\d+", rf"\g<1>{pages}", text)
        text = re.sub(r"(HugePages_Free: +)\d+", rf"\g<1>{pages}", text)
        text = re.sub(r"(Hugetlb: +)\d+", rf"\g<1>{pages * 2048}", text)
        return text, ""
    lines = ["13 1 0x01 4 0 1 1", "name type data", f"c_min 4 {total * 1024 // 32}", f"c_max 4 {share * 1024}", f"size 4 {share * 1024}"]
    return text, "\n".join(lines) + "\n"


class Tree:
    """A /proc of links to the real one, with other texts for some files; processes come and go in it twice a second."""

    def __init__(self, directory, meminfo, arcstats):
        self.directory = directory
        os.makedirs(os.path.join(directory, "spl", "kstat", "zfs"))
        _write(os.path.join(directory, "spl", "kstat", "zfs", "arcstats"), arcstats)
        for name in os.listdir("/proc"):
            if not name.isdigit() and name not in ("meminfo", "spl"):
                os.symlink(f"/proc/{name}", os.path.join(directory, name))
        shutil.copy(meminfo, os.path.join(directory, "meminfo"))
        self.stopping = threading.Event()
        self._follow()
        threading.Thread(target=self._run, daemon=True).start()

    def _follow(self):
        here = {name for name in os.listdir(self.directory) if name.isdigit()}
        there = {name for name in os.listdir("/proc") if name.isdigit()}
        for name in here - there:
            os.unlink(os.path.join(self.directory, name))
        for name in there - here:
            os.symlink(f"/proc/{name}", os.path.join(self.directory, name))

    def _run(self):
        while not self.stopping.wait(0.5):
            self._follow()

    def stop(self):
        """Leaves it as it is."""
        self.stopping.set()


class Rule:
    """The webapp's rule: our own dashboard gives its word for each sample, in the answer."""

    def __init__(self, program, work):
        self.program = program
        self.database = os.path.join(work, "rule.db")
        self.lock = threading.Lock()
        self.process = subprocess.Popen(
            [program, "serve", "--listen", "http://127.0.0.1:0", "--database", self.database],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        for line in self.process.stdout:
            if found := re.search(r"listens on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found.group(1))
                break
        else:
            raise RuntimeError("the dashboard ended at once")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def words(self, slug, bodies):
        """The rule's word for each body."""
        with self.lock:
            command = [self.program, "register-server", slug, "--database", self.database]
            told = subprocess.run(command, capture_output=True, text=True, check=True)
        token = re.search(r"INGEST_TOKEN=(\S+)", told.stdout).group(1)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        words = []
        for _, body in bodies:
            headers = {"Content-Type": "application/json", "X-Monitoring-Token": token}
            connection.request("POST", f"/api/ingest/servers/{slug}/metrics/", body, headers)
            words.append(json.loads(connection.getresponse().read()).get("snapshot", {}).get("bottleneck", "refused"))
        connection.close()
        return words

    def stop(self):
        """Ends the dashboard."""
        self.process.terminate()
        self.process.wait()


def _write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
