"""A local AWS (ministack) on the loopback interface, for the scripts beside this one.

It listens on 127.0.0.1 only, on a free port, keeps everything in memory and in a directory of its own, and ends with the
script that started it. It is good for wiring: buckets, tables, topics and templates exist and answer. It is not a judge
of DynamoDB's conditions, transactions or throttling.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
REGION = "us-east-1"
ACCOUNT = "123456789012"


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def listening_addresses(port):
    """Addresses on which something listens at this port, from the kernel's tables; none where there is no /proc."""
    addresses = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = pathlib.Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            local, state = line.split()[1], line.split()[3]
            address, local_port = local.split(":")
            if state == "0A" and int(local_port, 16) == port:
                addresses.add(address)
    return addresses


def stop(process, grace=10):
    """Ends a process that was started in its own session, and what it started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            pass
        try:
            process.wait(timeout=grace)
            # The leader is gone; whatever it left in its group goes with it.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            return
        except subprocess.TimeoutExpired:
            continue


def exit_on_signals():
    """Turns signals into SystemExit, so that `with` and `finally` clean up. Ctrl-C is how a watch is meant to end."""
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, lambda number, _frame: sys.exit(0 if number == signal.SIGINT else 128 + number))


class Emulator:
    """`with Emulator() as aws:` starts ministack; `aws.environment` points any SDK at it."""

    def __init__(self):
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.url,
            # ministack takes a key of twelve digits for the account that calls. Not a credential of anything.
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "loopback",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            # Nobody's real profile or instance role may leak in.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="flowlog-emulator-")
        self.log = pathlib.Path(self.directory) / "ministack.log"
        environment = {
            **os.environ,
            **self.environment,
            "BIND_HOST": HOST,  # its default is every interface
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            "STATE_DIR": f"{self.directory}/state",
            "TMPDIR": self.directory,
            "LOG_LEVEL": "WARNING",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ministack"],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait(self, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"ministack ended at once:\n{self.log.read_text()[-2000:]}")
            try:
                urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=2).close()
                break
            except (urllib.error.URLError, OSError):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"ministack does not answer:\n{self.log.read_text()[-2000:]}") from None
                time.sleep(0.2)
        # 0100007F is 127.0.0.1 as the kernel writes it.
        elsewhere = listening_addresses(self.port) - {"0100007F"}
        if elsewhere:
            raise RuntimeError(f"ministack listens beyond the loopback interface: {sorted(elsewhere)}")

    def __exit__(self, *_):
        stop(self.process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def client(self, service):
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="loopback",
        )
