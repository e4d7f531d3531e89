"""A whole service over a loopback channel: the example deployment, served in this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import several
from command_line import CommandLine

from sandbox.app import House
from sandbox.client import Client, Identity
from sandbox.deployment import Deployment
from sandbox.founding import create_deployment
from sandbox.serving import opened_house

POINT = several.POINT.replace("many.order", "shop.order")


@dataclass(frozen=True)
class Service:
    """A running service and ways to reach it."""

    deployment: Deployment
    house: House
    address: str

    def client(self, name: str = "agent") -> Client:
        return Client.from_deployment(self.deployment.root, name, self.address)

    def identity(self, name: str = "agent") -> Identity:
        return Identity.from_deployment(self.deployment.root, name)

    def channel(self, name: str = "agent") -> grpc.Channel:
        return grpc.secure_channel(self.address, self.identity(name).channel_credentials())


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """One deployment to copy from: certificates cost more than copying."""
    deployment = create_deployment(tmp_path_factory.mktemp("template") / "shop")
    (deployment.toolspecs / "shop.order.yaml").write_text(POINT, "utf-8")
    return deployment


@pytest.fixture
def deployment(template: Deployment, tmp_path: Path) -> Deployment:
    import shutil

    root = tmp_path / "shop"
    shutil.copytree(template.root, root)
    return Deployment(root)


@pytest.fixture
def service(deployment: Deployment) -> Iterator[Service]:
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, door):
        yield Service(deployment, house, door.address)


@pytest.fixture
def sandbox(deployment: Deployment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line over the deployment."""
    made = CommandLine(capsys, monkeypatch)
    made.over(deployment.root)
    return made


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with service.client() as made:
        yield made
