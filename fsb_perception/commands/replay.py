"""``fsb replay``: judge the node on recordings of robots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from fsb_perception.command_options import BundleOption, SettingsOption
from fsb_perception.commands.replay_record import record
from fsb_perception.progress import TerminalProgress

if TYPE_CHECKING:
    from fsb_perception.config import PerceptionConfig
    from fsb_perception.replay.running.many import Outcome
    from fsb_perception.replay.running.request import ReplayRequest

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Judge the node on recordings of robots: bags in, answers out, without a running ROS.",
)
app.command()(record)
_CONSOLE = Console(soft_wrap=True, highlight=False)
_PROGRESS = TerminalProgress(_CONSOLE)


@app.command("make-sample")
def make_sample(
    out: Annotated[Path, typer.Argument(help="folder to make: bag/ and truth.jsonl in it")],
    seconds: Annotated[float, typer.Option(min=0.1, help="length of the recording")] = 20.0,
    raw: Annotated[bool, typer.Option("--raw", help="raw images instead of JPEG")] = False,
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
    """Write a bag of two cameras and a few people, and the truth about them."""
    from fsb_perception.options import OptionError
    from fsb_perception.problems import lines
    from fsb_perception.replay.sample.bag import make_sample as make
    from fsb_perception.replay.sample.photos import read_people
    from fsb_perception.replay.sample.rendered import rendered_people

    if faces and rendered:
        raise OptionError("--faces and --rendered both name the people: give one of them")
    people, problems = read_people(faces) if faces else ([], None)
    if rendered:
        people = rendered_people()
    made = make(out, people, seconds=seconds, raw=raw, storage=storage, progress=_PROGRESS)
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
        typer.Option(help="truth about the people: .jsonl, .csv or a bag of boxes"),
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
        str,
        typer.Option(
            help="speed of realtime, a multiple of the recorded one, or 'search' for the highest "
            "that the node keeps up with; 1 if not given"
        ),
    ] = "",
    jobs: Annotated[int, typer.Option(min=1, help="processes that share the bags")] = 1,
    cluster: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers share the bags")
    ] = "",
    bundle: BundleOption = "nano",
    topics: Annotated[
        list[str] | None,
        typer.Option("--topic", help="topic of images; repeatable; all if not given"),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of options, or of the node's parameters")
    ] = None,
    settings: SettingsOption = None,
) -> None:
    """Put every image of recordings through the pipeline, by their own stamps.

    Writes results.jsonl, the same bytes at every run on one machine; timing.jsonl and load.jsonl;
    summary.json with the hashes of everything that the answers depend on and, given the truth,
    their metrics; and report.html. In realtime, images are published when they are due, and those
    without an answer are counted. Status 1 if a bag could not be read, none of its images was
    answered, or it misses a criterion, and if the truth is about no image of any bag; the other
    bags are read nevertheless. Started again, the command keeps the answers that are there, and
    only judges them again.
    """
    from fsb_perception.problems import lines
    from fsb_perception.replay.running.many import replay_all
    from fsb_perception.replay.running.replayer import folders
    from fsb_perception.replay.running.request import ReplayRequest
    from fsb_perception.replay.scoring.criteria import load_criteria
    from fsb_perception.replay.truth.files import read_truth
    from fsb_perception.replay.truth.statements import contradictions

    statements = read_truth(truth) if truth else []
    for line in lines(contradictions(statements).as_json()):
        _CONSOLE.print(f"[yellow]{escape(line)}[/]")
    request = ReplayRequest(
        config=_config(bundle, config, settings or ()),
        topics=tuple(topics or ()),
        truth=statements,
        criteria=load_criteria(criteria) if criteria else (),
        mcap=mcap,
        mode=mode,
        rate=rate,
        jobs=jobs,
        cluster=cluster,
    )
    _prepare_ros(request)
    if cluster:
        from fsb_perception.replay.running.cluster import replay_on_cluster

        outcomes = replay_on_cluster(request, bags, folders(bags, out))
    else:
        outcomes = replay_all(request, bags, folders(bags, out), _PROGRESS)
    if cluster or (jobs > 1 and len(bags) > 1):  # then no bag has a bar of its own
        outcomes = _PROGRESS.track("bags", outcomes, len(bags))
    finished = list(map(_printed, outcomes))
    is_used = _truth_is_used(request, finished)
    if not (is_used and all(map(_is_fine, finished))):
        raise typer.Exit(1)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="folder that fsb replay run --truth wrote")],
    second: Annotated[Path, typer.Argument(help="folder of the run that may be better")],
) -> None:
    """Show what became better or worse from one run to another, beyond chance.

    The runs are paired by the content of their bags and by the people in them. Status 1 if a
    metric became worse beyond chance.
    """
    from fsb_perception.commands.replay_tables import changes_table
    from fsb_perception.replay.scoring.compare import compare as compared
    from fsb_perception.replay.scoring.compare import load_runs

    changes = compared(load_runs(first), load_runs(second))
    _CONSOLE.print(changes_table(changes))
    if any(change.verdict == "worse" for change in changes):
        raise typer.Exit(1)


def _prepare_ros(request: ReplayRequest) -> None:
    from fsb_perception.replay.modes import MODES

    if MODES[request.mode].needs_ros:
        from fsb_perception.ros import environment

        environment.prepare()  # may start the program again


def _config(bundle: str, file: Path | None, settings: Sequence[str]) -> PerceptionConfig:
    from fsb_perception.config import PerceptionConfig
    from fsb_perception.options import build, flatten, load_tree, parse_settings
    from fsb_perception.replay.parameter_files import is_parameter_file, pipeline_options

    tree = load_tree(file) if file else {}
    options = flatten(tree)
    if is_parameter_file(options):
        options = pipeline_options(tree)
    return build(PerceptionConfig, {"bundle": bundle} | options | parse_settings(settings))


def _printed(outcome: Outcome) -> Outcome:
    """Print what became of a recording, and return it."""
    from fsb_perception.commands.replay_tables import metrics_table, result_lines

    bag, result, error = outcome
    if result is None:
        _print_failure(error)
        return outcome
    for line in result_lines(bag, result):
        _CONSOLE.print(line)
    if result.summary.metrics is not None:
        _CONSOLE.print(metrics_table(result.summary.metrics))
    if result.summary.fault:
        _print_failure(f"{bag}: {result.summary.fault}")
    for criterion in result.unmet:
        _CONSOLE.print(f"  [bold red]Not met:[/] {escape(str(criterion))}")
    return outcome


def _print_failure(reason: str) -> None:
    _CONSOLE.print(f"[bold red]Failed:[/] {escape(reason)}")


def _is_fine(outcome: Outcome) -> bool:
    result = outcome.result
    return result is not None and not result.summary.fault and not result.unmet


def _truth_is_used(request: ReplayRequest, outcomes: Sequence[Outcome]) -> bool:
    """Return False, and print the reason, if the truth is about none of the answered images."""
    summaries = [outcome.result.summary for outcome in outcomes if outcome.result]
    answered = [summary for summary in summaries if not summary.fault]
    if not request.truth or not answered or any(summary.truth_images for summary in answered):
        return True
    stamps = [s for one in request.truth for s in (one.stamp, one.start, one.end) if s is not None]
    named = ", ".join(sorted({one.camera or "without a name" for one in request.truth}))
    there = ", ".join(
        sorted({name or "without a name" for summary in answered for name in summary.cameras})
    )
    _print_failure(
        f"the truth is about none of the answered images: its cameras are {named}, those of the "
        f"images {there}; its stamps are from {min(stamps)} to {max(stamps)} ns. Correct the one "
        "that differs"
    )
    return False
