"""The run directory: where it is, and whose."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from continuum.config import DatabaseChoice
from continuum.errors import ConfigurationError, NodeError
from continuum.node.config import NodeConfig
from continuum.node.rundir import ProcessList, ProcessRow, RunDirectory, choose_run_directory, read_processes
from continuum.supervisor.supervisor import ProcessInfo
from continuum.wire.sockets import SOCKET_PATH_BYTES_MAX

ELSEWHERE = DatabaseChoice("argument", url="postgresql://host/database")
ENGINE = ProcessInfo("engine-1", "engine", 42, "b-1", 0, "running")


def test_it_is_in_the_projects_folder(open_folder: Path) -> None:
    (open_folder / ".continuum").mkdir()
    (open_folder / "src").mkdir()
    path = choose_run_directory(ELSEWHERE, "default", "n1", open_folder / "src")
    assert path.parent.parent == open_folder / ".continuum/nodes"
    assert path.parent.name.startswith("default@")
    assert path.name == "n1"


def test_it_is_beside_the_embedded_database(open_folder: Path) -> None:
    choice = DatabaseChoice("embedded", embedded_root=open_folder / ".continuum")
    assert choose_run_directory(choice, "shop", "n1", Path("/")) == open_folder / ".continuum/nodes/shop/n1"


def test_a_path_too_long_for_sockets_gets_a_short_folder_of_this_user(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(open_folder))
    choice = DatabaseChoice("embedded", embedded_root=open_folder / ("x" * 90))
    path = choose_run_directory(choice, "default", "n1", open_folder)
    home = open_folder / f"continuum-{os.geteuid()}"
    assert path.parent.parent == home
    assert home.stat().st_mode & 0o777 == 0o700
    assert len(os.fsencode(path / "dispatcher")) <= SOCKET_PATH_BYTES_MAX
    assert path == choose_run_directory(choice, "default", "n1", open_folder)
    assert path != choose_run_directory(choice, "default", "n2", open_folder)


def test_without_a_project_it_is_a_folder_of_this_user(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(open_folder))
    path = choose_run_directory(ELSEWHERE, "default", "n1", Path("/"))
    assert path.parent.parent == open_folder / f"continuum-{os.geteuid()}"


@pytest.mark.parametrize("project", [True, False])
def test_nodes_of_one_name_on_different_databases_or_instances_do_not_meet(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, project: bool
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(open_folder))
    if project:
        (open_folder / ".continuum").mkdir()
    start = open_folder if project else Path("/")

    def place(url: str, instance: str = "default") -> Path:
        return choose_run_directory(DatabaseChoice("argument", url=url), instance, "n1", start)

    urls = [
        "postgresql://host/one",
        "postgresql://host/two",
        "postgresql://other/one",
        "postgresql://host:5433/one",
    ]
    paths = [place(url) for url in urls] + [place(urls[0], "shop")]
    nodes = [RunDirectory(path) for path in paths]  # each is alone in its own
    assert len(set(paths)) == len(paths)
    for node in nodes:
        node.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann@host/one",
        "postgres://bob:secret@host:5432/one?sslmode=require",
        "host=host dbname=one user=ann application_name=x",
    ],
)
def test_the_same_database_is_the_same_run_directory_however_it_is_written(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(open_folder))
    place = choose_run_directory(DatabaseChoice("argument", url=url), "default", "n1", Path("/"))
    same = DatabaseChoice("argument", url="postgresql://host/one")
    assert place == choose_run_directory(same, "default", "n1", Path("/"))


def test_the_dead_of_another_database_are_left_to_its_own_nodes(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(open_folder))
    other = DatabaseChoice("argument", url="postgresql://host/other")
    killed = RunDirectory(choose_run_directory(other, "default", "n1", Path("/")))
    killed.publish(ProcessList(1, "n1", "default", "b", (ENGINE,)))
    killed.release()
    directory = RunDirectory(choose_run_directory(ELSEWHERE, "default", "n2", Path("/")))
    assert directory.former_owners == []
    assert read_processes(killed.path) is not None
    directory.close()


def test_a_folder_that_others_may_enter_is_refused(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(open_folder))
    (open_folder / f"continuum-{os.geteuid()}").mkdir(mode=0o755)
    with pytest.raises(NodeError, match="not a folder of this user alone; nothing was started"):
        choose_run_directory(ELSEWHERE, "default", "n1", Path("/"))


def test_a_second_node_on_it_is_refused_with_the_process_of_the_first(open_folder: Path) -> None:
    first = RunDirectory(open_folder / "n1")
    with pytest.raises(NodeError, match=rf"already \(process {os.getpid()}\); nothing was started.*--name"):
        RunDirectory(open_folder / "n1")
    first.close()
    RunDirectory(open_folder / "n1").close()


def test_what_a_killed_node_left_is_removed(open_folder: Path) -> None:
    (open_folder / "n1").mkdir()
    for leftover in ("engine-1", "processes.json", "node.lock"):
        (open_folder / "n1" / leftover).touch()
    run_directory = RunDirectory(open_folder / "n1")
    assert [path.name for path in run_directory.path.iterdir()] == ["node.lock"]
    run_directory.close()
    assert not run_directory.path.exists()


def test_what_killed_nodes_left_beside_it_is_removed_and_a_live_node_is_not(open_folder: Path) -> None:
    live = RunDirectory(open_folder / "live")
    (open_folder / "dead").mkdir()
    for leftover in ("engine-1", "processes.json", "node.lock"):
        (open_folder / "dead" / leftover).touch()
    (open_folder / "other").mkdir()
    run_directory = RunDirectory(open_folder / "n1")
    assert sorted(path.name for path in open_folder.iterdir()) == [".lock", "live", "n1", "other"]
    live.close()
    run_directory.close()


@pytest.mark.rule("L2")
def test_the_owners_among_the_processes_of_killed_nodes_are_known_to_the_next(open_folder: Path) -> None:
    worker = ProcessInfo("worker-1", "worker", 43, "b-2", 0, "running")
    killed = {name: RunDirectory(open_folder / name) for name in ("same", "other")}
    for name, directory in killed.items():
        directory.publish(ProcessList(1, name, "default", "b", (ENGINE, worker)))
    for directory in killed.values():
        directory.release()  # what the kernel does when its process is killed
    directory = RunDirectory(open_folder / "same")
    assert set(directory.former_owners) == {f"{name}/default/engine-1/b-1" for name in ("same", "other")}
    directory.close()


def test_what_is_published_can_be_read_by_others(open_folder: Path) -> None:
    run_directory = RunDirectory(open_folder / "n1")
    published = ProcessList(7, "n1", "default", "b", (ENGINE,))
    run_directory.publish(published)
    assert read_processes(run_directory.path) == published
    assert published.rows() == [
        ProcessRow("supervisor", "supervisor", 7),
        ProcessRow("engine-1", "engine", 42),
    ]
    run_directory.close()
    assert read_processes(run_directory.path) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"modules": ()}, "needs a module", id="no module"),
        pytest.param({"instance": "No-Good"}, "no name for an instance", id="instance"),
        pytest.param({"name": "a/b"}, "no name for a node", id="name"),
        pytest.param({"engines": -1}, "engines is -1; it must be 0 to", id="engines"),
        pytest.param({"workers": 100_000}, "workers is 100000", id="workers"),
        pytest.param({"slots": 0}, "slots is 0", id="slots"),
        pytest.param({"queues": ()}, "at least one queue", id="queues"),
        pytest.param({"log_level": "loud"}, "no log level", id="log level"),
        pytest.param({"drain_s": -1.0}, "drain_s is -1.0", id="drain"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        NodeConfig(**{"modules": ("shop.flows",), **settings})  # type: ignore[arg-type]
