"""The results as Markdown tables and plots, and the tables' place in the page that explains them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bench.figures import Curve, percentile
from bench.plots import Axis, line_plot

BEGIN, END = "<!-- tables: python -m bench.cluster -->", "<!-- end of tables -->"
_ENDS = {"power": "power cut", "kill -9": "`kill -9`"}
_TIMINGS = {"local": "", "memberlist": ", memberlist's LAN parameters"}


def tables(results: dict[str, list[dict[str, Any]]]) -> str:
    """All tables, each with its title."""
    parts = {
        "detection": (
            "**Seconds from the end of a host**",
            ("hosts", "end", "deaths", "suspected p50", "first verdict p50", "all know p50", "p95", "max"),
            (_detection(each) for each in _sorted(results.get("detection", []))),
        ),
        "talk": (
            "**What a host sends, no loss**",
            ("hosts", "meanwhile", "messages/s", "bytes/s"),
            (_talk(each) for each in _sorted(results.get("talk", []))),
        ),
        "loss": (
            "**Wrong suspicions and verdicts, while all hosts live**",
            (
                "hosts",
                "loss",
                "virtual time",
                "suspected, per host and minute",
                "hosts declared dead",
                "verdicts",
                "messages/s",
                "bytes/s",
            ),
            (_loss(each) for each in _sorted(results.get("loss", []))),
        ),
        "healing": (
            "**After a partition of half a minute heals**",
            ("hosts", "parts", "99.9% of views right after", "all after", "kilobytes sent per host"),
            (_healing(each) for each in _sorted(results.get("healing", []))),
        ),
        "cost": (
            "**Processor time of a message** (decoding, membership and its ticks, encoding, simulated network)",
            ("hosts", "microseconds"),
            ((_count(each["size"]), f"{each['us_per_message']:.0f}") for each in results.get("cost", [])),
        ),
    }
    return "\n\n".join(
        f"{title}\n\n{_table(head, rows)}" for name, (title, head, rows) in parts.items() if results.get(name)
    )


def with_tables(page: str, results: dict[str, list[dict[str, Any]]]) -> str:
    """Return the page with new tables between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables(results)}\n\n{END}{after}"


def plots(results: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """The drawings by the name of their file; none of what was not measured."""
    drawings: dict[str, str] = {}
    detections = [each for each in _sorted(results.get("detection", [])) if "timing" not in each]
    if detections:
        shares = range(5, 101, 5)
        drawings["cluster-detection.svg"] = line_plot(
            "All hosts know that one is gone",
            Axis("seconds after its end", [0, 1, 2, 3, 4]),
            "% of the deaths",
            {
                f"{_count(each['size'])} hosts, {each['end']}": tuple(
                    (percentile(each["all_s"], share), float(share)) for share in shares
                )
                for each in detections
                if each["end"] == "power" or each["size"] == 100
            },
        )
    losses = _sorted(results.get("loss", []))
    if losses:
        drawings["cluster-messages.svg"] = line_plot(
            "What a host sends while messages are lost",
            Axis("% lost", [0, 5, 10, 25]),
            "messages/s",
            {
                f"{_count(size)} hosts": _by_loss(losses, size)
                for size in sorted({each["size"] for each in losses})
            },
        )
    return drawings


def _by_loss(losses: list[dict[str, Any]], size: int) -> Curve:
    return tuple(
        (100.0 * each["loss"], float(each["messages_per_host_s"])) for each in losses if each["size"] == size
    )


def _detection(each: dict[str, Any]) -> Sequence[str]:
    known = each["all_s"]
    return (
        _count(each["size"]) + _TIMINGS[each.get("timing", "local")],
        _ENDS[each["end"]],
        str(len(known)),
        f"{percentile(each['suspected_s'], 50):.2f}",
        f"{percentile(each['first_s'], 50):.2f}",
        *(f"{percentile(known, share):.2f}" for share in (50, 95, 100)),
    )


def _talk(each: dict[str, Any]) -> Sequence[str]:
    publish_s = each.get("publish_s")
    return (
        _count(each["size"]) + _TIMINGS[each.get("timing", "local")],
        "nothing happens" if publish_s is None else f"each publishes 50 bytes every {publish_s:.0f} s",
        f"{each['messages_per_host_s']:.1f}",
        _count(each["bytes_per_host_s"]),
    )


def _loss(each: dict[str, Any]) -> Sequence[str]:
    return (
        _count(each["size"]),
        f"{each['loss']:.0%}",
        f"{each['seconds']:.0f} s",
        f"{each['suspicions_per_host_minute']:.2f}",
        _count(each["victims"]),
        f"{_count(each['verdicts'])} of {_count(each['size'] * (each['size'] - 1))} pairs",
        f"{each['messages_per_host_s']:.1f}",
        _count(each["bytes_per_host_s"]),
    )


def _healing(each: dict[str, Any]) -> Sequence[str]:
    return (
        _count(each["size"]),
        f"{_count(each['size'] - each['minority'])} and {_count(each['minority'])}",
        *(
            "not within two minutes" if each[name] is None else f"{each[name]:.1f} s"
            for name in ("nearly_s", "all_s")
        ),
        f"{each['kilobytes_per_host']:.0f}",
    )


def _sorted(results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    def key(each: dict[str, Any]) -> tuple[Any, ...]:
        return (each.get("timing", "local"), each["size"], each.get("loss", 0), -each.get("minority", 0))

    return sorted(results, key=key)


def _count(value: int) -> str:
    return f"{value:,}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
