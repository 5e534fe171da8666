"""The files of `deploy/` and the pages that show commands name only what the command line has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from continuum_cli.main import cli

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy/systemd/continuum-node.service"
MANIFEST = ROOT / "deploy/kubernetes/continuum.yaml"
PAGES = [ROOT / "README.md", ROOT / "docs/deployment.md", ROOT / "docs/cluster.md"]


def command_lines() -> list[str]:
    lines = re.findall(r"^ExecStart=\S*/(continuum .*)$", UNIT.read_text(), re.MULTILINE)
    text = MANIFEST.read_text()
    for listed in re.findall(r"command: \[(.*)\]", text):
        lines.append(" ".join(part.strip().strip('"') for part in listed.split(",")))
    for block in re.findall(r"command:\n((?: +- .*\n)+)", text):
        lines.append(" ".join(re.findall(r"- (.*)", block)))
    for page in PAGES:
        lines += re.findall(r"^(?:    )?(continuum [a-z].*?)(?: +#.*)?$", page.read_text(), re.MULTILINE)
        lines += re.findall(r"`(continuum [a-z][^`]*)`", page.read_text())
    return sorted(set(lines))


def parse(line: str) -> None:
    """Follow the words of a command line down to its command, and let that take its options."""
    words = shlex.split(line.rstrip("\\").partition("|")[0].partition(">")[0])[1:]
    command: click.Command = cli
    context = click.Context(command, info_name="continuum")
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words[0])
        assert found is not None, f"{line}: there is no {words[0]!r}"
        command, words = found, words[1:]
    if not isinstance(command, click.Group) and words:
        command.make_context(line, [word.replace("APP...", "APP") for word in words], resilient_parsing=False)


@pytest.mark.parametrize("line", command_lines())
def test_a_command_that_is_shown_can_be_given(line: str) -> None:
    parse(line)


def test_the_unit_and_the_manifest_show_commands() -> None:
    lines = command_lines()
    assert sum("node start" in line for line in lines) >= 3
    assert sum("node health" in line for line in lines) >= 1


def test_an_option_that_does_not_exist_would_be_found() -> None:
    with pytest.raises(click.UsageError):
        parse("continuum node start shop.flows --no-such-option")
