"""``fsb replay``: recorded robots, judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from fsb_perception.config import PerceptionConfig
    from fsb_perception.replay.bags import Bag, ImageTopic
    from fsb_perception.replay.compare import Change
    from fsb_perception.replay.criteria import Criterion
    from fsb_perception.replay.truth import Statement

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Judge the node on recorded robots: bags in, answers out, without a running ROS.",
)
_CONSOLE = Console(soft_wrap=True, highlight=False)


@app.command("make-sample")
def make_sample(
    out: Annotated[Path, typer.Argument(help="folder to make: bag/ and truth.jsonl in it")],
    seconds: Annotated[float, typer.Option(min=0.1, help="how long")] = 20.0,
    raw: Annotated[bool, typer.Option("--raw", help="images as they are, not as JPEG")] = False,
    storage: Annotated[str, typer.Option(help="mcap or sqlite3")] = "mcap",
) -> None:
    """Write a bag of two cameras and three people, and what is true of it."""
    from fsb_perception.replay.sample import make_sample as make

    bag, truth = make(out, seconds=seconds, raw=raw, storage=storage)
    _CONSOLE.print(f"Written: {escape(str(bag))} and {escape(str(truth))}")
    _CONSOLE.print(f"Judge it:  fsb replay run {escape(str(bag))} --out {escape(str(out))}/replay")


@app.command()
def run(
    bags: Annotated[
        list[Path], typer.Argument(metavar="BAG...", help="folders of rosbag2, or their files")
    ],
    out: Annotated[Path, typer.Option(help="folder to write to; a folder in it for each bag")] = (
        Path("replay")
    ),
    bundle: Annotated[
        str, typer.Option(help="weight bundle: a name, a folder, or OWNER/NAME of a pulled one")
    ] = "nano",
    topics: Annotated[
        list[str] | None,
        typer.Option("--topic", help="topic of images; repeatable; all if not said"),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="what is known of the people: .jsonl or .csv; see the docs")
    ] = None,
    criteria: Annotated[
        Path | None,
        typer.Option(
            help="YAML list such as 'gender.track_accuracy >= 0.9'; one unmet is status 1"
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of options")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="any option, as tracker.max_coast=0.5"),
    ] = None,
) -> None:
    """Put every image of recordings through the pipeline, by their own stamps.

    Writes results.jsonl, the same bytes at every run on one machine; timing.jsonl; and summary.json
    with the hashes of all that the answers depend on and, given the truth, how good they are.
    Status 1 if a bag could not be read, or misses a criterion; the others are read all the same.
    """
    judge = _Judge.from_files(truth, criteria)
    makers = _Makers(_config(bundle, config, settings or ()))
    done = [
        _try(bag, folder, topics or (), makers, judge)
        for bag, folder in zip(bags, _folders(bags, out), strict=True)
    ]
    if not all(done):
        raise typer.Exit(1)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="folder that fsb replay run --truth wrote")],
    second: Annotated[Path, typer.Argument(help="folder of the run that may be better")],
) -> None:
    """Say what became better or worse from one run to another, and whether that may be chance.

    The runs are paired by the content of their bags and by the people in them. Status 1 if
    anything became worse beyond chance.
    """
    from fsb_perception.replay.compare import compare as compared
    from fsb_perception.replay.compare import load_runs

    changes = compared(load_runs(first), load_runs(second))
    _CONSOLE.print(_changes_table(changes))
    if any(change.verdict == "worse" for change in changes):
        raise typer.Exit(1)


def _config(bundle: str, file: Path | None, settings: Sequence[str]) -> PerceptionConfig:
    from fsb_perception.config import PerceptionConfig
    from fsb_perception.options import build, load_yaml, parse_settings

    said = load_yaml(file) if file else {}
    return build(PerceptionConfig, {"bundle": bundle} | said | parse_settings(settings))


def _folders(bags: Sequence[Path], out: Path) -> Iterator[Path]:
    """A folder for each bag, by its name; numbered where two bags have one name."""
    taken: set[str] = set()
    for bag in bags:
        name = bag.resolve().stem if bag.is_file() else bag.resolve().name
        number = 1
        unique = name
        while unique in taken:
            number += 1
            unique = f"{name}_{number}"
        taken.add(unique)
        yield out / unique


class _Makers:
    """One engine and one detector for all bags, made when the first is read."""

    def __init__(self, config: PerceptionConfig) -> None:
        from fsb_perception.bundle import load_bundle
        from fsb_perception.detection import build_detector
        from fsb_perception.engine import Engine
        from fsb_perception.replay.offline import pipelines

        engine = Engine(load_bundle(config.bundle), config.engine)
        self.config = config
        self.bundle_id = engine.bundle.bundle_id
        self.tasks = [task.name for task in engine.bundle.tasks]
        self.make = pipelines(config, engine, build_detector(config.detector))
        engine.warm_up()


@dataclass(frozen=True)
class _Judge:
    """What is known of the people, and what is demanded of the answers."""

    statements: Sequence[Statement] = ()
    criteria: Sequence[Criterion] = ()

    @classmethod
    def from_files(cls, truth: Path | None, criteria: Path | None) -> _Judge:
        from fsb_perception.options import OptionError
        from fsb_perception.replay.criteria import load_criteria
        from fsb_perception.replay.truth import read_truth

        if criteria and not truth:
            raise OptionError("--criteria are about the truth: name that too, with --truth")
        return cls(read_truth(truth) if truth else (), load_criteria(criteria) if criteria else ())

    def judge(self, results: Path, tasks: Sequence[str]) -> dict[str, Any]:
        """How good the answers in a file are, in all and by person; empty without any truth."""
        from fsb_perception.replay.matching import Truth, match
        from fsb_perception.replay.outputs import read_rows
        from fsb_perception.replay.persons import persons
        from fsb_perception.replay.scores import scores

        if not self.statements:
            return {}
        matches = match(read_rows(results), Truth(self.statements))
        people = [asdict(person) for person in persons(matches.faces, tasks)]
        return {"metrics": scores(matches, tasks), "people": people}


def _try(bag: Path, folder: Path, names: Sequence[str], makers: _Makers, judge: _Judge) -> bool:
    """Replay a bag; False if it cannot be, or is not good enough, with a line that says why."""
    from fsb_perception.replay.bags import BagError

    try:
        metrics = _run_one(bag, folder, names, makers, judge)
    except BagError as error:
        _CONSOLE.print(f"[bold red]Failed:[/] {escape(str(error))}")
        return False
    unmet = [str(each) for each in judge.criteria if not each.holds(metrics)]
    for line in unmet:
        _CONSOLE.print(f"  [bold red]Not met:[/] {escape(line)}")
    return not unmet


def _run_one(
    path: Path, folder: Path, names: Sequence[str], makers: _Makers, judge: _Judge
) -> dict[str, Any]:
    from rich.progress import track

    from fsb_perception.replay import outputs
    from fsb_perception.replay.bags import Bag, choose_topics
    from fsb_perception.replay.offline import answers

    bag = Bag(path)
    topics = choose_topics(bag, names)
    total = sum(topic.count for topic in topics) or None
    answered = track(answers(bag, topics, makers.make), path.name, total, console=_CONSOLE)
    counts, sha256 = outputs.write_answers(folder, answered)
    said = outputs.summary(
        counts,
        sha256,
        bag.problems,
        bag=path,
        bundle_id=makers.bundle_id,
        config=makers.config,
    )
    judged = judge.judge(folder / outputs.RESULTS, makers.tasks)
    metrics = judged.get("metrics", {})
    outputs.write_summary(folder, said | judged)
    _tell(bag, topics, said, folder)
    if judge.statements:
        _CONSOLE.print(_table(metrics) if metrics else "  The truth says nothing of these images.")
    return metrics


def _tell(bag: Bag, topics: Sequence[ImageTopic], said: dict[str, Any], folder: Path) -> None:
    names = ", ".join(topic.name for topic in topics)
    _CONSOLE.print(f"{escape(str(bag.path))}: {escape(names)}")
    _CONSOLE.print(
        f"  {said['frames']:,} images, {said['failed']:,} of them unreadable, "
        f"{said['tracks']:,} faces followed; results {said['results_sha256'][:12]}"
    )
    for line in bag.problems.lines():
        _CONSOLE.print(f"  [yellow]{escape(line)}[/]")
    _CONSOLE.print(f"  Written: {escape(str(folder))}")


_SHOWN = ("look_accuracy", "balanced_accuracy", "track_accuracy", "ece", "flips_a_minute")


def _table(metrics: dict[str, Any]) -> Table:
    table = Table("", *(name.replace("_", " ") for name in _SHOWN), box=None)
    for task, row in metrics.items():
        if "looks" in row:
            cells = [f"{row[name]:.3f}" if name in row else "-" for name in _SHOWN]
            table.add_row(f"  {task.replace('_', ' ')}", *cells)
    if "detection" in metrics:
        found, kept = metrics["detection"], metrics["tracking"]
        table.caption = (
            f"detection: precision {found['precision']:.3f}, recall {found['recall']:.3f}; "
            f"IDF1 {kept['idf1']:.3f}, {kept['id_switches']} switches"
        )
    return table


_STYLES = {"better": "green", "worse": "bold red", "not sure": "dim", "same": "dim"}


def _changes_table(changes: Sequence[Change]) -> Table:
    table = Table("metric", "first", "second", "difference", "95 % interval", "", box=None)
    for change in changes:
        interval = "-" if change.low is None else f"{change.low:+.3f} to {change.high:+.3f}"
        table.add_row(
            change.name.replace("_", " "),
            f"{change.first:.3f}",
            f"{change.second:.3f}",
            f"{change.second - change.first:+.3f}",
            interval,
            f"[{_STYLES[change.verdict]}]{change.verdict}[/]",
        )
    return table
