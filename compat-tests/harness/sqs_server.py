"""A real ElasticMQ, which speaks the protocol of SQS, for tests."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from harness.redis_server import MISSING, free_port

__all__ = ["ACCOUNT", "SQSServer", "sqs_variables"]

ACCOUNT = "000000000000"
LIBRARIES = Path(__file__).resolve().parent.parent / "java" / "sqs" / "target" / "lib"
REGION = "us-east-1"
START_SECONDS = 60.0
CONFIGURATION = """\
include classpath("application.conf")
node-address { protocol = http, host = "127.0.0.1", port = %(port)d, context-path = "" }
rest-sqs { enabled = true, bind-port = %(port)d, bind-hostname = "127.0.0.1", sqs-limits = strict }
rest-stats { enabled = false }
aws { region = "%(region)s", accountId = "%(account)s" }
"""


class SQSServer:
    """ElasticMQ on 127.0.0.1, without queues; construct it and it answers. Its log is in ``directory``."""

    def __init__(self, directory: Path) -> None:
        if shutil.which("java") is None:
            raise RuntimeError(MISSING.format("java", "default-jre-headless"))
        if not LIBRARIES.is_dir():
            raise RuntimeError("ElasticMQ is missing: run scripts/setup-tests")
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        configuration = directory / "elasticmq.conf"
        settings = {"port": self.port, "region": REGION, "account": ACCOUNT}
        configuration.write_text(CONFIGURATION % settings, encoding="utf-8")
        log_path = directory / "elasticmq.log"
        command = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dconfig.file={configuration}"]
        with log_path.open("ab") as log:
            self._child = subprocess.Popen(
                [*command, "-cp", f"{LIBRARIES}/*", "org.elasticmq.server.Main"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.client: Any = boto3.session.Session("test", "test", region_name=REGION).client(
            "sqs", endpoint_url=self.endpoint, config=Config(retries={"total_max_attempts": 1})
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.client.list_queues()
                return
            except (BotoCoreError, ClientError) as error:
                if self._child.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    text = log_path.read_text(encoding="utf-8", errors="replace")
                    raise RuntimeError(f"ElasticMQ did not start: {error!r}\n{text[-3000:]}") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop it at once."""
        self.client.close()
        self._child.kill()
        self._child.wait(10)

    @property
    def url(self) -> str:
        """The broker URL."""
        return f"{self.endpoint}/{ACCOUNT}"

    def create(self, queue: str, **attributes: str) -> str:
        """Make a queue; its name. ``*.fifo`` is a FIFO queue."""
        if queue.endswith(".fifo"):
            attributes["FifoQueue"] = "true"
        self.client.create_queue(QueueName=queue, Attributes=attributes)
        return queue

    def create_with_dead_letters(self, queue: str, receives: int, **attributes: str) -> str:
        """A queue and its ``dead-<queue>``, which gets what was received so often; the name of the latter."""
        dead = self.create(f"dead-{queue}")
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{dead}"
        policy = f'{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"{receives}"}}'
        self.create(queue, RedrivePolicy=policy, **attributes)
        return dead

    def queue_url(self, queue: str) -> str:
        """A queue's URL."""
        return f"{self.url}/{queue}"

    def send(self, queue: str, *bodies: str) -> None:
        """Put messages on a queue, past any producer."""
        for body in bodies:
            self.client.send_message(QueueUrl=self.queue_url(queue), MessageBody=body)

    def receive(self, queue: str, *, wait: int = 0, visibility: int = 30) -> list[dict[str, Any]]:
        """Take up to ten messages with all their attributes."""
        answer = self.client.receive_message(
            QueueUrl=self.queue_url(queue),
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait,
            VisibilityTimeout=visibility,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def counts(self, queue: str) -> tuple[int, int]:
        """Messages that wait (or are delayed), and messages that somebody holds."""
        asked = self.client.get_queue_attributes(QueueUrl=self.queue_url(queue), AttributeNames=["All"])
        told = asked["Attributes"]
        waiting = int(told["ApproximateNumberOfMessages"]) + int(told["ApproximateNumberOfMessagesDelayed"])
        return waiting, int(told["ApproximateNumberOfMessagesNotVisible"])


def sqs_variables(server: SQSServer) -> dict[str, str]:
    """What Go and Python need in their environment to use it."""
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL_SQS": server.endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "DISABLE_STRICT_SQS_CHECK": "1",
    }
