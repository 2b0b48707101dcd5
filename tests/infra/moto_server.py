"""moto's server on the loopback interface, on a free port, for as long as a `with` block lasts.

It knows VPCs, routes, peering connections, endpoints and flow logs, which ministack's CloudFormation does not.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "dev"))

from emulator import HOST, free_port, listening_addresses, stop  # noqa: E402
from templates import REGION  # noqa: E402


class Moto:
    def __init__(self):
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "loopback",
            "AWS_SECRET_ACCESS_KEY": "loopback",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def __enter__(self):
        self.log = tempfile.NamedTemporaryFile(prefix="flowlog-moto-", suffix=".log")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(self.port)],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
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
                raise RuntimeError(f"moto ended at once:\n{pathlib.Path(self.log.name).read_text()[-2000:]}")
            try:
                urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                if time.monotonic() > deadline:
                    raise RuntimeError("moto does not answer") from None
                time.sleep(0.2)
        elsewhere = listening_addresses(self.port) - {"0100007F"}
        if elsewhere:
            raise RuntimeError(f"moto listens beyond the loopback interface: {sorted(elsewhere)}")

    def __exit__(self, *_):
        stop(self.process)
        self.log.close()

    def client(self, service, region=REGION):
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id="loopback",
            aws_secret_access_key="loopback",
        )

    def reset(self):
        request = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")
        urllib.request.urlopen(request, timeout=30).close()
