"""Where a node listens, where the others reach it, and where its key comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from continuum.config import KEY_VARIABLE, resolve_cluster_key
from continuum.errors import ConfigurationError
from continuum.node.addresses import advertised_of, bind_of, resolve
from continuum.node.config import NodeConfig
from continuum.wire.curve import ClusterKey, generate_key
from continuum.wire.endpoint import DEFAULT_PORT, Endpoint

KEY = ClusterKey.parse(generate_key(), "the test")
LOCAL_DATABASE = "postgresql://user@127.0.0.1:5432/db"


def config(**settings: object) -> NodeConfig:
    return NodeConfig(("app",), **settings)  # type: ignore[arg-type]


def test_without_a_key_a_node_listens_on_the_loopback_and_with_one_everywhere() -> None:
    assert bind_of(config(), None) == Endpoint("127.0.0.1", 0)
    assert bind_of(config(), KEY) == Endpoint("0.0.0.0", 0)
    assert bind_of(config(bind="tcp://127.0.0.2:7"), None) == Endpoint("127.0.0.2", 7)
    assert bind_of(config(bind="localhost"), None) == Endpoint("127.0.0.1", DEFAULT_PORT)
    assert bind_of(config(bind="tcp://10.0.0.1:7"), KEY) == Endpoint("10.0.0.1", 7)


@pytest.mark.rule("M3")
@pytest.mark.parametrize("bind", ["tcp://0.0.0.0:7", "tcp://10.0.0.1:7", "tcp://[::]:7", "tcp://eth0:7"])
def test_what_others_reach_needs_a_key(bind: str) -> None:
    with pytest.raises(ConfigurationError, match="`continuum cluster keygen` prints a key"):
        bind_of(config(bind=bind), None)


@pytest.mark.parametrize("setting", [{"bind": "tcp://:1"}, {"join": ("a:b",)}, {"advertise": ""}])
def test_an_address_that_is_none_is_refused_before_anything_starts(setting: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="is no address"):
        config(**setting)


def test_what_is_bound_is_what_others_are_told_unless_it_is_every_address() -> None:
    bound = Endpoint("10.0.0.1", 7)
    assert advertised_of(config(), bound, LOCAL_DATABASE) == bound
    assert advertised_of(config(advertise="nat.example.net:9"), bound, LOCAL_DATABASE) == Endpoint(
        "nat.example.net", 9
    )
    everywhere = Endpoint("0.0.0.0", 7)
    assert advertised_of(config(advertise="10.9.9.9"), everywhere, LOCAL_DATABASE) == Endpoint("10.9.9.9", 7)
    told = advertised_of(config(), everywhere, LOCAL_DATABASE)
    assert told.port == 7 and not told.is_wildcard


def test_seeds_are_resolved_and_those_that_cannot_be_found_are_left_out() -> None:
    assert resolve(["127.0.0.2:7", "localhost:8", "nobody.invalid:9"])[0] == "127.0.0.2:7"
    assert "127.0.0.1:8" in resolve(["localhost:8"])
    assert resolve(["[::1]:7"]) == ["[::1]:7"]


def test_the_key_is_the_file_s_then_the_environment_s_then_the_project_s(tmp_path: Path) -> None:
    texts = {name: generate_key() for name in ("file", "environment", "project", "beside")}
    public = {name: ClusterKey.parse(text, name).public for name, text in texts.items()}
    (tmp_path / "key").write_text(texts["file"] + "\n")
    (tmp_path / "beside").write_text(texts["beside"])
    folder = tmp_path / "project" / "below"
    folder.mkdir(parents=True)
    environment = {KEY_VARIABLE: texts["environment"]}

    def found(file: str | None = None, environment: dict[str, str] | None = None) -> bytes | None:
        key = resolve_cluster_key(file, environment=environment or {}, directory=folder)
        return None if key is None else key.public

    assert found() is None
    project = tmp_path / "project" / "pyproject.toml"
    project.write_text('[tool.continuum]\ncluster_key_file = "../beside"\n')
    assert found() == public["beside"]
    project.write_text(f'[tool.continuum]\ncluster_key = "{texts["project"]}"\n')
    assert found() == public["project"]
    assert found(None, environment) == public["environment"]
    assert found(str(tmp_path / "key"), environment) == public["file"]
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        found(str(tmp_path / "nothing"))


def test_a_project_s_key_that_is_none_is_named_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.continuum]\ncluster_key = "hunter2"\n')
    with pytest.raises(ConfigurationError) as refusal:
        resolve_cluster_key(environment={}, directory=tmp_path)
    assert "cluster_key in [tool.continuum]" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)
