"""The log of a node beside an application's own: what it configures holds, and no line comes twice."""

from __future__ import annotations

import logging
import logging.config
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest

from continuum.node.logs import settle_logging, start_logging

FORMAT = "APP %(levelname)s %(name)s %(message)s"


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], StringIO]]:
    """Lets a worker begin to log, and returns its standard error; the loggers are as before afterwards."""
    root, ours, last = logging.getLogger(), logging.getLogger("continuum"), logging.lastResort
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in (root, ours)]

    def begin() -> StringIO:
        root.handlers[:] = []  # those that pytest has added for the test
        stream = StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        start_logging("worker-1", "info")
        return stream

    yield begin
    logging.lastResort = last
    for logger, handlers, level, propagate in before:
        logger.handlers[:], logger.propagate, logger.disabled = handlers, propagate, False
        logger.setLevel(level)


def log_both() -> None:
    logging.getLogger("shop").info("of the shop")
    logging.getLogger("continuum").info("of ours")


def test_an_application_that_configures_nothing_is_logged_as_we_are(begin: Callable[[], StringIO]) -> None:
    stderr = begin()
    settle_logging()
    log_both()
    lines = stderr.getvalue().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "INFO    worker-1: of the shop",
        "INFO    worker-1: of ours",
    ]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("how", ["basic", "force", "dict", "handler"])
def test_what_an_application_configures_holds_and_ours_stays(
    begin: Callable[[], StringIO], open_folder: Path, how: str, late: bool
) -> None:
    stderr = begin()
    file = str(open_folder / "app.log")
    if late:
        settle_logging()
    if how in ("basic", "force"):
        logging.basicConfig(filename=file, level=logging.INFO, format=FORMAT, force=how == "force")
    elif how == "dict":
        handler = {"class": "logging.FileHandler", "filename": file, "formatter": "f"}
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": not late,
                "formatters": {"f": {"format": FORMAT}},
                "handlers": {"h": handler},
                "root": {"handlers": ["h"], "level": "INFO"},
            }
        )
    else:
        own = logging.FileHandler(file)
        own.setFormatter(logging.Formatter(FORMAT))
        logging.getLogger().addHandler(own)
        logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("shop").disabled = False
    if not late:
        settle_logging()
    log_both()
    assert Path(file).read_text().splitlines() == ["APP INFO shop of the shop"]
    assert stderr.getvalue().splitlines()[0].endswith("INFO    worker-1: of ours")
    assert len(stderr.getvalue().splitlines()) == 1


def test_a_level_that_an_application_does_not_name_is_the_usual_one(
    begin: Callable[[], StringIO], open_folder: Path
) -> None:
    begin()
    file = open_folder / "app.log"
    logging.basicConfig(filename=str(file), format=FORMAT)
    settle_logging()
    log_both()
    logging.getLogger("shop").warning("loud")
    assert file.read_text().splitlines() == ["APP WARNING shop loud"]
