"""The guide to changing workflow code: its blocks are run as they stand, against a node and runs that live on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from continuum import Client, workflow
from continuum.postgres import migrate
from tests.integration.commands import CHECKOUT, Commands, Outcome
from tests.integration.servers import wait_until

GUIDE = (CHECKOUT / "docs" / "changing-workflow-code.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


FIRST, BESIDE, PATCHED, CARELESS = blocks("python")
START, CHECK, AFTERWARDS = blocks("sh")
(REPORT,) = blocks("text")


class Shop(Commands):
    """The folder of the guide's reader."""

    def deploy(self, code: str) -> None:
        (self.folder / "shop.py").write_text(code)

    def typed(self, block: str) -> list[Outcome]:
        """Run each line of a block, that begins with `continuum`."""
        outcomes = []
        for line in block.splitlines():
            name, *arguments = [part.strip("'") for part in re.findall(r"'[^']*'|\S+", line)]
            assert name == "continuum", line
            outcomes.append(self(*arguments))
        return outcomes

    def waits_for_box(self, key: str) -> bool:
        return "signal packed" in self("run", "show", key).out

    def packs(self, key: str) -> object:
        assert self("run", "signal", key, "packed", '"carton"').code == 0
        return self("run", "result", key, "--timeout", "30").document


@pytest.fixture
def shop(tmp_path: Path, database_url: str, fresh_schema: str) -> Shop:
    """Two runs of the first version that wait, and no node."""
    migrate(database_url, fresh_schema)
    shop = Shop(tmp_path, database_url, fresh_schema.removeprefix("continuum_"))
    shop.deploy(FIRST)
    with shop.node("shop", "--workers", "1"):
        assert [outcome.code for outcome in shop.typed(START)] == [0, 0]
        wait_until(lambda: all(shop.waits_for_box(key) for key in "ab"), "both are charged", 60)
    return shop


def events(shop: Shop, key: str) -> list[str]:
    return [line.split()[2] for line in shop.lines("run", "history", key)[1:]]


@pytest.mark.rule("D3")
def test_the_old_version_beside_the_new_one_finishes_its_runs(shop: Shop) -> None:
    shop.deploy(BESIDE)
    (checked,) = shop.typed(CHECK)
    assert checked.code == 0, checked
    assert checked.out.splitlines()[1].split()[2:5] == ["2", "2", "0"]
    assert "its own version" in checked.out
    with shop.node("shop", "--workers", "1"):
        assert shop.packs("a") == "shipped a in carton"
        shop.lines("run", "start", "shop.order", "--args", '["new"]', "--id", "new")
        assert shop.packs("new") == "shipped new in carton"
        assert "timer_fired" in events(shop, "new")
        assert "timer_fired" not in events(shop, "a")


@pytest.mark.rule("D5", "D7")
def test_a_patched_workflow_takes_over_the_runs_as_far_as_the_guide_says(shop: Shop) -> None:
    shop.deploy(PATCHED)
    (checked,) = shop.typed(CHECK)
    assert checked.code == 0, checked
    assert "the newest, which takes it over" in checked.out
    with shop.node("shop", "--workers", "1"):
        assert shop.packs("a") == "shipped a in a wrapped carton"
        assert events(shop, "a").count("activity_scheduled") == 2, "not insured"
        assert events(shop, "a").count("patched") == 1
        shop.lines("run", "start", "shop.order", "--args", '["new"]', "--id", "new")
        assert shop.packs("new") == "shipped new in a wrapped carton"
        assert events(shop, "new").count("patched") == 2
        assert events(shop, "new").count("activity_scheduled") == 3
        listed = shop("versions", "list", "--json").document
        assert [(row["runs"], row["engines"]) for row in listed] == [(1, 0), (0, 1)], "b sleeps still"


@pytest.mark.rule("D4", "D5")
def test_a_careless_change_is_found_by_the_check_and_harms_no_run(shop: Shop) -> None:
    shop.deploy(CARELESS)
    (checked,) = shop.typed(CHECK)
    assert checked.code == 1
    assert normal(checked.out).startswith(normal(REPORT)), checked.out
    document = shop("check", "shop", "--json").document
    (version,) = document["versions"]
    assert (document["runs"], version["drifting"], version["code"]) == (2, 2, "newest")
    assert version["drifts"][0]["recorded"].startswith("activity shop.charge #1")
    with shop.node("shop", "--workers", "1"):
        shop.lines("run", "signal", "a", "packed", '"carton"')
        wait_until(lambda: "cannot adopt" in shop("run", "show", "a").out, "the drift is shown", 60)
        assert shop("run", "show", "a", "--json").document["state"] == "suspended"
    shop.deploy(FIRST)
    with shop.node("shop", "--workers", "1"):
        assert shop("run", "result", "a", "--timeout", "30").document == "shipped a in carton"


@pytest.fixture
def idle_shop(tmp_path: Path, database_url: str, fresh_schema: str) -> Shop:
    """No node and no run."""
    migrate(database_url, fresh_schema)
    shop = Shop(tmp_path, database_url, fresh_schema.removeprefix("continuum_"))
    shop.deploy(FIRST)
    return shop


@pytest.mark.rule("D3", "D4")
def test_runs_that_the_code_is_missing_for_are_counted_and_fail_a_strict_check(idle_shop: Shop) -> None:
    shop = idle_shop
    shop.lines("run", "start", "shop.order", "--args", '["a"]')
    fine = shop("check", "shop", "--strict")
    assert (fine.code, "would wait" in fine.out) == (0, False), fine

    @workflow(name="changing.pinned")
    async def pinned() -> None: ...

    with Client(database=shop.database, instance=str(shop.instance)) as client:
        client.start(pinned())
    shop.lines("run", "start", "shop.gone", "--args", "[]", "--allow-unknown")
    shop.deploy(FIRST + '\n\n@workflow(name="changing.pinned")\nasync def another() -> int:\n    return 1\n')
    plain = shop("check", "shop")
    strict = shop("check", "shop", "--strict")
    assert (plain.code, strict.code) == (0, 1)
    assert plain.out == strict.out
    (told,) = [line for line in plain.out.splitlines() if "would wait" in line]
    assert told.startswith("2 live runs would wait, because APP has no code for them: ")
    assert f"changing.pinned ({pinned.version_hash[:12]}), shop.gone (none yet)" in told
    document = shop("check", "shop", "--json").document
    assert (document["runs"], document["without_code"]) == (3, 2)
    assert shop("check", "shop", "--json", "--strict").code == 1


@pytest.mark.rule("D6", "O1")
def test_versions_are_forgotten_when_nobody_needs_them(shop: Shop) -> None:
    pinned = shop("versions", "list", "--json").document
    assert [(row["workflow"], row["runs"], row["engines"]) for row in pinned] == [("shop.order", 2, 0)]
    assert shop("versions", "gc", "--execute", "--json").document["versions"] == []
    for key in "ab":
        shop.lines("run", "cancel", key)
    (hash_,) = [row["version_hash"] for row in pinned]
    outcomes = shop.typed(AFTERWARDS)
    assert [outcome.code for outcome in outcomes] == [0, 0, 0]
    listed, dry, done = (outcome.out for outcome in outcomes)
    assert hash_[:12] in listed
    assert dry == f"would forget shop.order {hash_}\nnothing was changed; --execute does it\n"
    assert done == f"forgot shop.order {hash_}\n"
    assert shop("versions", "list", "--json").document == []


def test_a_check_of_an_application_that_does_not_exist_is_refused(shop: Shop) -> None:
    shop("check", "nowhere").assert_refused(1, "nowhere")


def normal(report: str) -> str:
    """A report without what differs each time: ids, versions, places; and with single blanks."""
    report = re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b", "ID", report)
    report = re.sub(r"\b[0-9a-f]{12}\b", "VERSION", report)
    report = re.sub(r"\(\S+\.py:\d+\)", "(SITE)", report)
    return "\n".join(" ".join(line.split()) for line in report.splitlines())
