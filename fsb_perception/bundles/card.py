"""The model card of a bundle, written from its manifest, and the upload of both to the hub."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fsb_perception.bundles import hub
from fsb_perception.bundles.bundle import Bundle
from fsb_perception.bundles.hub import HubId
from fsb_perception.bundles.manifest import BundleError, BundleTask, Manifest
from fsb_perception.errors import visible

# Licences that the hub knows by these names; every other is "other", and described in the text.
_HUB_LICENCES = ("apache-2.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc0-1.0", "mit")


def push_bundle(bundle: Bundle, hub_id: HubId, *, private: bool = True, create: bool = True) -> str:
    """Upload a bundle with its model card: three files, and none of the others in the folder.

    Args:
        bundle: from `load_bundle`, so its files match its manifest.
        hub_id: where to upload.
        private: refuse a repository that everybody can read; one made here is private.
        create: make the repository if there is none.

    Returns:
        The address of the commit.

    Raises:
        BundleError: ``hub_id`` names a revision: uploads go to the main branch.
        HubError: no token, no right, no network, or a public repository.
    """
    if hub_id.revision != HubId.revision:
        raise BundleError(f"a bundle goes to the main branch: give {hub_id.repo}, not {hub_id}")
    card = model_card(bundle, hub_id)
    return hub.push(bundle.folder, hub_id, card, private=private, create=create)


def model_card(bundle: Bundle, hub_id: HubId) -> str:
    """Return the README.md of a bundle's repository: its manifest as Markdown text."""
    manifest = bundle.manifest
    sections = (
        ("Intended use", _prose(manifest.intended_use)),
        ("Limits", _prose(manifest.limits)),
        ("How to use", _usage(hub_id)),
        ("What it estimates", _table(task_rows(manifest))),
        ("What was measured", _measured(manifest)),
        ("What it was trained on", _trained_on(manifest)),
        ("Licence", _prose(manifest.licence)),
        ("What it is", _list(fact_rows(bundle))),
    )
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections)
    return f"---\n{_front_matter(manifest)}\n---\n\n# {manifest.name}\n\n{_SUMMARY}\n\n{body}\n"


_SUMMARY = (
    "Weights for FSB, facial soft biometrics for social robots: how the faces in a camera image "
    "look, as ROS 2 messages. The files are a manifest and safetensors; they contain no code."
)


def task_rows(manifest: Manifest) -> list[list[str]]:
    """Return a heading and one row a task: labels in order of the logits, and temperature."""

    def row(task: BundleTask) -> list[str]:
        temperature = manifest.temperatures.get(task.name, 1.0)
        return [task.name, ", ".join(task.labels), f"{temperature:.2f}"]

    return [["task", "labels", "temperature"], *map(row, manifest.tasks)]


def metric_rows(manifest: Manifest) -> list[list[str]]:
    """Return a heading and one row a data set and task, with a column for every metric of any."""
    measured = [
        (data, task, metrics)
        for data, tasks in manifest.metrics.items()
        for task, metrics in tasks.items()
    ]
    names = list(dict.fromkeys(name for _, _, metrics in measured for name in metrics))
    return [
        ["measured on", "task", *(name.replace("_", " ") for name in names)],
        *(
            [data, task, *(_number(metrics.get(name)) for name in names)]
            for data, task, metrics in measured
        ),
    ]


def data_rows(manifest: Manifest) -> list[list[str]]:
    """Return a heading and one row for each data set used in training."""
    rows = [[data.name, f"{data.count:,}", data.licence] for data in manifest.training_data]
    return [["data set", "images", "licence"], *rows]


def fact_rows(bundle: Bundle) -> list[list[str]]:
    """Return the facts of a bundle, as rows of name and value without a heading."""
    manifest = bundle.manifest
    size = manifest.preprocessing.size
    rows = [
        ["bundle", bundle.bundle_id],
        ["format", str(manifest.format_version)],
        ["digest", f"sha256:{bundle.digest}"],
        ["size", f"{bundle.size_bytes / 1e6:.1f} MB"],
        ["backbone", manifest.backbone],
        ["faces", f"{size} x {size} px, aligned by {manifest.preprocessing.alignment}"],
    ]
    if manifest.format_version > 1:  # 1 had neither
        rows += [["adapter", adapter_text(manifest.adapter)], ["head", manifest.head]]
    return rows


def adapter_text(adapter: dict[str, object]) -> str:
    """Return adapter settings as one line.

    >>> adapter_text({"method": "lora", "rank": 8})
    'lora: rank 8'
    """
    options = ", ".join(f"{name} {value}" for name, value in adapter.items() if name != "method")
    method = str(adapter.get("method", "unnamed"))
    return f"{method}: {options}" if options else method


def _front_matter(manifest: Manifest) -> str:
    from huggingface_hub import ModelCardData

    known = manifest.licence.lower() in _HUB_LICENCES
    data = ModelCardData(
        license=manifest.licence.lower() if known else "other",
        license_name=None if known else "see-licence-below",
        library_name="facial-soft-biometrics",
        pipeline_tag="image-classification",
        tags=["face", "ros2", "safetensors", *(task.name for task in manifest.tasks)],
    )
    return data.to_yaml()


def _usage(hub_id: HubId) -> str:
    return (
        "With FSB installed:\n\n```bash\n"
        f"fsb bundle pull {hub_id}\n"
        f"fsb image --bundle {hub_id} PICTURE\n"
        f"ros2 launch fsb_perception perception.launch.py bundle:={hub_id}\n```"
    )


def _measured(manifest: Manifest) -> str:
    if not manifest.metrics:
        return "Nothing yet: do not rely on it."
    return "`count` is the number of faces.\n\n" + _table(metric_rows(manifest))


def _trained_on(manifest: Manifest) -> str:
    return _table(data_rows(manifest)) if manifest.training_data else "The manifest does not say."


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first row is its heading."""
    heading, *rest = rows
    return "\n".join(map(_row, (heading, ["---"] * len(heading), *rest)))


def _list(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"- {name}: {_prose(value)}" for name, value in rows)


def _row(cells: Iterable[str]) -> str:
    # Text of the manifest must not open a new cell or row.
    texts = (" ".join(visible(cell).replace("|", "/").split()) for cell in cells)
    return f"| {' | '.join(texts)} |"


def _prose(text: str) -> str:
    """Return text of the manifest as one paragraph: no line of it can open a heading."""
    return " ".join(visible(text).split()) or "The manifest does not say."


def _number(value: float | int | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
