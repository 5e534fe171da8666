"""What a process may lack: standard descriptors and streams, and an interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from continuum.errors import ConfigurationError
from continuum.surroundings import interpreter

CLOSED = """
import os, sys
from continuum import surroundings
descriptors = [*surroundings.pipe(), surroundings.beyond_standard(os.open(os.devnull, os.O_RDONLY))]
surroundings.open_standard()
ready = [os.fstat(n) is not None for n in range(3)] + [s is not None for s in (sys.stdin, sys.stdout, sys.stderr)]
print("to nobody", file=sys.stderr)
os.write(int(sys.argv[1]), repr((min(descriptors) >= 3, all(ready))).encode())
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_are_opened_and_nothing_of_ours_takes_their_place(closed: str) -> None:
    reader, writer = os.pipe()
    command = f"exec {sys.executable} -c '{CLOSED}' {writer} {closed}"
    subprocess.run(["sh", "-c", command], pass_fds=[writer], timeout=60, check=True)
    os.close(writer)
    assert os.read(reader, 100) == b"(True, True)"
    os.close(reader)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full"])
def test_the_command_line_lives_without_them_and_says_so_with_its_exit_code(closed: str) -> None:
    command = f"exec {sys.executable} -m continuum_cli cluster keygen {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert done.returncode == (1 if "full" in closed else 0)


@pytest.mark.parametrize("executable", ["", None, "/usr/bin/uwsgi", "/nowhere/python3.11", "/bin/sh"])
def test_an_executable_that_is_no_interpreter_is_replaced_by_the_one_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, executable: str | None
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(sys, "_base_executable", executable)
    found = interpreter()
    assert Path(found).parent == Path(sys.prefix, "bin")
    said = subprocess.run([found, "-c", "import continuum"], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stderr


def test_without_any_interpreter_it_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, open_folder: Path
) -> None:
    for name in ("prefix", "exec_prefix", "base_prefix"):
        monkeypatch.setattr(sys, name, "/nowhere")
    monkeypatch.setattr(sys, "executable", "/usr/bin/uwsgi")
    monkeypatch.setattr(sys, "_base_executable", None)
    with pytest.raises(
        ConfigurationError, match=r"'/usr/bin/uwsgi'.*nothing was started. Set sys.executable"
    ):
        interpreter()


def test_the_usual_interpreter_is_itself() -> None:
    assert interpreter() == sys.executable
