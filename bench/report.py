"""From kept runs to medians, ratios and tables; nothing is typed by hand."""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Result = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """A number to reach: `who`'s rate over `other`'s, at least; or its round trips a message, at most."""

    what: str
    scene: Mapping[str, object]
    who: str = "ours"
    other: str | None = None
    at_least: float | None = None
    at_most: float | None = None


_LOOPBACK = {"part": "loopback", "size": 30_000}
_DKIM = {"part": "dkim"}
_CHUNKING = {"part": "delay", "rtt_ms": 80, "size": 30_000, "chunking": True}
_PIPELINING = {**_CHUNKING, "chunking": False}
_SHORT = {**_PIPELINING, "size": 3_000}
_POOL = "nodemailer"
TARGETS = (
    Target("loopback, 30 KB, against smtp-source", _LOOPBACK, other="smtp-source", at_least=1.0),
    Target("loopback, 30 KB, against nodemailer", _LOOPBACK, other=_POOL, at_least=10),
    Target("80 ms, CHUNKING, 30 KB, against nodemailer", _CHUNKING, other=_POOL, at_least=25),
    Target("80 ms, CHUNKING, 30 KB, round trips a message", _CHUNKING, at_most=0.1),
    Target("80 ms, PIPELINING only, 30 KB, against nodemailer", _PIPELINING, other=_POOL, at_least=1.6),
    Target("80 ms, PIPELINING only, 3 KB, against nodemailer", _SHORT, other=_POOL, at_least=1.9),
    Target("80 ms, PIPELINING only, 3 KB, round trips a message", _SHORT, at_most=1.1),
    Target("DKIM, one process, against nodemailer with DKIM", _DKIM, other=_POOL, at_least=4),
    Target("DKIM, two processes, against nodemailer with DKIM", _DKIM, "ours, two workers", _POOL, at_least=8),
)


def summary(result: Result) -> Result:
    """Medians of every scene, and the ratios that are numbers to reach."""
    return {
        **{name: result[name] for name in ("at", "rounds", "seconds", "connections", "sink", "delay", "skipped")},
        "medians": [{**_named(each["scene"]), **_medians(result, each)} for each in result["scenes"]],
        "targets": list(_reached(result)),
        "valid": not invalid(result),
    }


def invalid(result: Result) -> list[Result]:
    """The runs whose mails did not all come, or not once."""
    return [run for scene in result["scenes"] for runs in scene["runs"].values() for run in runs if not run["valid"]]


def _named(scene: Result) -> Result:
    return {name: scene[name] for name in ("part", "size", "rtt_ms", "receiver", "chunking", "tls", "dkim")}


def _medians(result: Result, made: Result) -> Result:
    return {name: _median(result, made["scene"], runs) for name, runs in made["runs"].items() if _valid(runs)}


def _median(result: Result, scene: Result, runs: list[Result]) -> Result:
    rates = [run["rate"] for run in _valid(runs)]
    middle = statistics.median(rates)
    return {
        "rate": round(middle, 1),
        "low": min(rates),
        "high": max(rates),
        "round_trips": round(_round_trips(result, scene, middle), 3) if scene["rtt_ms"] else None,
        "octets_each": runs[0]["octets_each"],
        "peak_mb": max(sum(run["peak_mb"]) for run in runs),
        "sink_peak_mb": max(run["sink_peak_mb"] for run in runs),
    }


def _round_trips(result: Result, scene: Result, rate: float) -> float:
    """What a message costs of a connection's time, in round trips: seconds × connections / messages / round trip."""
    return float(result["connections"] / rate / (scene["rtt_ms"] / 1000))


def _valid(runs: list[Result]) -> list[Result]:
    return [run for run in runs if run["valid"]]


def _reached(result: Result) -> Iterator[Result]:
    for target in TARGETS:
        value = _value(result, target)
        wanted = target.at_least if target.at_most is None else target.at_most
        reached = value is not None and (value >= wanted if target.at_most is None else value <= wanted)  # type: ignore[operator]
        yield {
            "what": target.what,
            "value": None if value is None else round(value, 2),
            "wanted": f"{'at most' if target.at_most else 'at least'} {wanted:g}",
            "reached": None if value is None else reached,
        }


def _value(result: Result, target: Target) -> float | None:
    """None where it was not measured."""
    for made in result["scenes"]:
        if any(made["scene"][name] != value for name, value in target.scene.items()):
            continue
        medians = _medians(result, made)
        if target.who not in medians or (target.other and target.other not in medians):
            continue
        if target.other is None:
            return float(medians[target.who]["round_trips"])
        return float(medians[target.who]["rate"] / medians[target.other]["rate"])
    return None


# Tables

_YES = {True: "yes", False: "no", None: "-"}


def markdown(result: Result) -> str:
    """The tables of docs/performance.md."""
    machine = result["machine"]
    head = ["number to reach", "wanted", "measured", "reached"]
    rows = [[each["what"], each["wanted"], _plain(each["value"]), _YES[each["reached"]]] for each in _reached(result)]
    lines = [
        f"Measured {result['at'][:10]} on {machine['cpus']} cores with Python {machine['python']}:"
        f" {result['rounds']} rounds of {result['seconds']:g} s each, {result['connections']} connections,"
        f" sink: {result['sink']}, delay: {result['delay']}.",
        "",
        *_table(head, rows),
    ]
    for made in result["scenes"]:
        lines += ["", f"**{_title(made['scene'])}**", "", *_scene_table(result, made)]
    lines += ["", *(f"Not measured: {what}: {reason.splitlines()[0]}." for what, reason in result["skipped"].items())]
    if wrong := invalid(result):
        lines += ["", f"Invalid runs, not counted in: {len(wrong)}."]
    return "\n".join(lines).rstrip()


def _title(scene: Result) -> str:
    words = [f"{scene['size'] // 1000} KB"]
    words.append(f"round trip {scene['rtt_ms']:g} ms" if scene["rtt_ms"] else "loopback")
    words += [{"tls": "STARTTLS", "dkim": "DKIM RSA-2048"}[name] for name in ("tls", "dkim") if scene[name]]
    words += [] if scene["chunking"] else ["the sink offers no CHUNKING"]
    words += {"own": ["sink bench/sink.py"], "postfix": ["into Postfix with discard"]}.get(scene["receiver"], [])
    words += ["into smtp-sink"] if scene["receiver"] == "smtp-sink" else []
    return ", ".join(words)


def _scene_table(result: Result, made: Result) -> list[str]:
    medians = _medians(result, made)
    is_far = bool(made["scene"]["rtt_ms"])
    head = ["who", "messages/s", "low to high", "octets each", "peak memory", "ours is"]
    rows = []
    for name, each in medians.items():
        times = medians["ours"]["rate"] / each["rate"] if "ours" in medians else None
        row = [
            name,
            _plain(each["rate"]),
            f"{_plain(each['low'])} to {_plain(each['high'])}",
            _plain(each["octets_each"]),
            f"{each['peak_mb']:.0f} MB",
            "" if name == "ours" else f"{times:.2f} ×" if times else "-",
        ]
        rows.append([*row, f"{each['round_trips']:.3g}"] if is_far else row)
    return _table([*head, "round trips a message"] if is_far else head, rows)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
