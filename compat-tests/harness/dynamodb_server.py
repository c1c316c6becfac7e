"""Amazon's DynamoDB Local for tests, and workers and producers that keep their results in it."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config as ClientConfig

from harness.fleet import Fleet, Producer, Worker
from harness.go_producer import GoProducer
from harness.process import Process
from harness.redis_server import MISSING
from harness.service_producer import ServicePythonProducer

__all__ = ["PAIRS", "URL", "DynamoDBFleet", "DynamoDBServer"]

# Both of Machinery's Redis clients were asked elsewhere; only the result store is another one here.
PAIRS = [
    ("python", "go-v1-redigo"),
    ("python", "go-v2-redigo"),
    ("go-v1-redigo", "python"),
    ("go-v2-redigo", "python"),
    ("python", "python"),
]
URL = "https://dynamodb"
# What scripts/setup-tests makes by Maven and javac.
JARS = Path(__file__).resolve().parents[2] / "build" / "java" / "dynamodb"
START_SECONDS = 60.0


class DynamoDBServer(Process):
    """DynamoDB in memory on 127.0.0.1 with Machinery's two tables; construct it and it answers.

    Every process finds it by ``environment``, as it finds Amazon's. ``port`` is for one that was there before.
    """

    def __init__(self, directory: Path, *, port: int = 0) -> None:
        java = shutil.which("java")
        if java is None or not (JARS / "Launcher.class").exists():
            raise RuntimeError(MISSING.format("DynamoDB Local", "maven default-jdk-headless"))
        command = [java, "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Djava.library.path={JARS}"]
        super().__init__(
            [*command, "-cp", f"{JARS}{os.pathsep}{JARS}/*", "Launcher", str(port)],
            name="dynamodb",
            directory=directory,
        )
        self.port = int(self.read_line(START_SECONDS))
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "AWS_ENDPOINT_URL_DYNAMODB": self.endpoint,
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.client: Any = boto3.client(
            "dynamodb",
            endpoint_url=self.endpoint,
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="secret",
            config=ClientConfig(retries={"total_max_attempts": 2}),
        )
        self.create("task_states", "TaskUUID")
        self.create("group_metas", "GroupUUID")

    def create(self, table: str, key: str, kind: str = "S") -> None:
        """A table with one hash key."""
        self.client.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind}],
            BillingMode="PAY_PER_REQUEST",
        )

    def task(self, uuid: str) -> Any:
        """A task's item as it is stored, or None."""
        return self._item("task_states", "TaskUUID", uuid)

    def group(self, uuid: str) -> Any:
        """A group's item as it is stored, or None."""
        return self._item("group_metas", "GroupUUID", uuid)

    def _item(self, table: str, key: str, uuid: str) -> Any:
        return self.client.get_item(TableName=table, Key={key: {"S": uuid}}, ConsistentRead=True).get("Item")

    def kill(self) -> int:
        """End it at once, and what asks it."""
        self.client.close()
        return super().kill()


class DynamoDBFleet(Fleet):
    """``Fleet`` with Redis as the broker and DynamoDB as the result store."""

    def start_worker(self, kind: str, stack: ExitStack, **settings: str | int) -> Worker:
        return super().start_worker(kind, stack, **{"backend": URL, **settings})

    def _start_producer(self, kind: str, queue: str) -> Producer:
        if kind == "python":
            ours = ServicePythonProducer(self.redis.url(), URL, default_queue=queue)
            self._stack.callback(ours.close)
            return ours
        _, version, client = kind.split("-")
        started = GoProducer(self.redis, self._directory, version, client, queue=queue, backend=URL)
        self._stack.callback(started.kill)
        return started
