"""``fsb replay``: recorded robots, judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from fsb_perception.command_options import BundleOption, SettingsOption
from fsb_perception.commands.replay_record import record

if TYPE_CHECKING:
    from fsb_perception.config import PerceptionConfig
    from fsb_perception.replay.running.many import MakeAnswering, Outcome
    from fsb_perception.replay.running.replayer import Order

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Judge the node on recorded robots: bags in, answers out, without a running ROS.",
)
app.command()(record)
_CONSOLE = Console(soft_wrap=True, highlight=False)


@app.command("make-sample")
def make_sample(
    out: Annotated[Path, typer.Argument(help="folder to make: bag/ and truth.jsonl in it")],
    seconds: Annotated[float, typer.Option(min=0.1, help="how long")] = 20.0,
    raw: Annotated[bool, typer.Option("--raw", help="images as they are, not as JPEG")] = False,
    storage: Annotated[str, typer.Option(help="mcap or sqlite3")] = "mcap",
    faces: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="your own photographs: NAME.jpg or NAME/*.jpg of each person, and labels.csv",
        ),
    ] = None,
    rendered: Annotated[
        bool,
        typer.Option("--rendered", help="people of a body model; needs requirements/rendered.txt"),
    ] = False,
) -> None:
    """Write a bag of two cameras and a few people, and what is true of it."""
    from fsb_perception.options import OptionError
    from fsb_perception.problems import lines
    from fsb_perception.replay.sample.bag import make_sample as make
    from fsb_perception.replay.sample.photos import read_people
    from fsb_perception.replay.sample.rendered import rendered_people

    if faces and rendered:
        raise OptionError("--faces and --rendered both say who is in the sample: give one of them")
    people, problems = read_people(faces) if faces else ([], None)
    if rendered:
        people = rendered_people()
    made = make(out, people, seconds=seconds, raw=raw, storage=storage, progress=_progress)
    for line in lines(problems.as_json()) if problems else ():
        _CONSOLE.print(f"  {escape(line)}")
    bag, truth = (escape(str(path)) for path in made)
    _CONSOLE.print(f"Written: {bag} and {truth}")
    _CONSOLE.print(f"Judge it:  fsb replay run {bag} --truth {truth} --out {escape(str(out))}/run")


@app.command()
def run(
    bags: Annotated[
        list[Path], typer.Argument(metavar="BAG...", help="folders of rosbag2, or their files")
    ],
    out: Annotated[Path, typer.Option(help="folder to write to; a folder in it for each bag")] = (
        Path("replay")
    ),
    truth: Annotated[
        Path | None,
        typer.Option(help="what is known of the people: .jsonl, .csv or a bag of boxes"),
    ] = None,
    criteria: Annotated[
        Path | None, typer.Option(help="YAML list of lines like gender.track_accuracy >= 0.9")
    ] = None,
    mcap: Annotated[
        bool, typer.Option("--mcap", help="also write a bag with the answers over the images")
    ] = False,
    mode: Annotated[
        str,
        typer.Option(
            help="offline; or through the running node: lockstep, image by image, or realtime"
        ),
    ] = "offline",
    rate: Annotated[
        str | None,
        typer.Option(help="of realtime: times as fast as life, or 'search' for the highest; 1"),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="processes that share the bags")] = 1,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers share the bags"),
    ] = None,
    bundle: BundleOption = "nano",
    topics: Annotated[
        list[str] | None,
        typer.Option("--topic", help="topic of images; repeatable; all if not said"),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of options, or of the node's parameters")
    ] = None,
    settings: SettingsOption = None,
) -> None:
    """Put every image of recordings through the pipeline, by their own stamps.

    Writes results.jsonl, the same bytes at every run on one machine; timing.jsonl and load.jsonl;
    and summary.json with the hashes of all that the answers depend on and, given the truth, how
    good they are. In realtime the node is played to with a clock, and what it drops is counted.
    Status 1 if a bag could not be read, or misses a criterion; the others are read all the same.
    Started again, it keeps the answers that are there, and judges them anew.
    """
    from fsb_perception.options import OptionError
    from fsb_perception.replay.running.many import replay_all
    from fsb_perception.replay.running.replayer import Order, folders
    from fsb_perception.replay.scoring.criteria import MEASURED, load_criteria
    from fsb_perception.replay.truth.files import read_truth

    demands = load_criteria(criteria) if criteria else ()
    for demand in demands:
        if not truth and demand.name.split(".")[0] not in MEASURED:
            raise OptionError(f"{demand.name} is about the truth: name that too, with --truth")
    if rate and mode != "realtime":
        raise OptionError(f"--rate is of --mode realtime, got --mode {mode}")
    if mode == "realtime" and jobs > 1:
        raise OptionError("--jobs: recordings that are played at once would slow each other down")
    order = Order(
        config=_config(bundle, config, settings or ()),
        topics=tuple(topics or ()),
        truth=read_truth(truth) if truth else (),
        criteria=demands,
        mcap=mcap,
    )
    if cluster:
        outcomes = _on_cluster(order, bags, folders(bags, out), cluster, mode)
    else:
        how = _answering(mode, rate or "1")
        outcomes = replay_all(order, bags, folders(bags, out), how, jobs, _progress)
    if cluster or (jobs > 1 and len(bags) > 1):  # then no single bag tells how far it is
        outcomes = iter(_progress(outcomes, "bags", len(bags)))
    good = [_tell(outcome) for outcome in outcomes]
    if not all(good):
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
    from fsb_perception.commands.replay_tables import changes_table
    from fsb_perception.replay.scoring.compare import compare as compared
    from fsb_perception.replay.scoring.compare import load_runs

    changes = compared(load_runs(first), load_runs(second))
    _CONSOLE.print(changes_table(changes))
    if any(change.verdict == "worse" for change in changes):
        raise typer.Exit(1)


def _on_cluster(
    order: Order, bags: Sequence[Path], out: Iterable[Path], address: str, mode: str
) -> Iterator[Outcome]:
    from fsb_perception.options import OptionError
    from fsb_perception.replay.running.cluster import replay_on_cluster

    if mode != "offline":
        raise OptionError(f"--cluster: got --mode {mode}, which one machine does; leave it out")
    return replay_on_cluster(order, bags, out, address)


def _answering(mode: str, rate: str) -> MakeAnswering:
    from fsb_perception.registry import UnknownNameError

    if mode not in _MODES:
        raise UnknownNameError("mode", mode, _MODES)
    return _MODES[mode](rate)


def _offline(_: str) -> MakeAnswering:
    from fsb_perception.replay.running.offline import Offline

    return Offline


def _lockstep(_: str) -> MakeAnswering:
    from fsb_perception.ros import environment

    environment.prepare()  # may start the program anew
    from fsb_perception.ros.playing.lockstep import Lockstep

    return Lockstep


def _realtime(rate: str) -> MakeAnswering:
    from functools import partial

    from fsb_perception.ros import environment

    environment.prepare()  # may start the program anew
    from fsb_perception.ros.playing.realtime import Realtime

    return partial(Realtime, rate=rate)


_MODES = {"offline": _offline, "lockstep": _lockstep, "realtime": _realtime}


def _config(bundle: str, file: Path | None, settings: Sequence[str]) -> PerceptionConfig:
    from fsb_perception.config import PerceptionConfig
    from fsb_perception.options import build, flatten, load_tree, parse_settings
    from fsb_perception.replay.parameter_files import is_parameter_file, pipeline_options

    tree = load_tree(file) if file else {}
    said = flatten(tree)
    if is_parameter_file(said):
        said = pipeline_options(tree)
    return build(PerceptionConfig, {"bundle": bundle} | said | parse_settings(settings))


def _progress(each: Iterable[Any], name: str, total: int | None) -> Iterable[Any]:
    from rich.progress import track

    return track(each, name, total, console=_CONSOLE)


def _tell(outcome: Outcome) -> bool:
    """Say what became of a recording; False if it failed, or is not good enough."""
    from fsb_perception.commands.replay_tables import metrics_table, told

    bag, done, error = outcome
    if done is None:
        _CONSOLE.print(f"[bold red]Failed:[/] {escape(error)}")
        return False
    for line in told(bag, done):
        _CONSOLE.print(line)
    if "metrics" in done.summary:
        _CONSOLE.print(metrics_table(done.summary["metrics"]))
    for criterion in done.unmet:
        _CONSOLE.print(f"  [bold red]Not met:[/] {escape(str(criterion))}")
    return not done.unmet
