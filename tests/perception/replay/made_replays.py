"""Made-up folders of replays: the files that `fsb replay run` writes, around made-up answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fsb_perception.replay.rows import line


def summary(rows: list[dict], **more: Any) -> dict[str, Any]:
    """Make the least content of a summary.json."""
    cameras = sorted({row["camera"] for row in rows})
    return {
        "format": 2,
        "bag": {"name": "kitchen", "sha256": "b" * 64},
        "topics": ["/front/image_raw"],
        "mode": "offline",
        "bundle": "nano@1234",
        "config": {"tracker": {"max_coast": 1.0}},
        "config_sha256": "c" * 64,
        "code": {"version": "0.1.0", "sha256": "d" * 64},
        "results_sha256": "e" * 64,
        "frames": len(rows),
        "failed": sum("error" in row for row in rows),
        "dropped": sum("dropped" in row for row in rows),
        "cameras": dict.fromkeys(cameras, 1),
        "tracks": len({f["face_id"] for row in rows for f in row.get("faces", ())}),
        "problems": {},
        "timing": {
            "decode": {},
            "process": {"p50_ms": 20.0, "p95_ms": 30.0, "p99_ms": 40.0},
            "wait": {},
        },
        "load": {},
    } | more


def written(folder: Path, rows: list[dict], **more: Any) -> Path:
    """Write a replay's folder."""
    folder.mkdir(exist_ok=True)
    times = [
        {"camera": r["camera"], "stamp": r["stamp"], "decode": 0.0, "process": 0.02, "wait": 0.0}
        for r in rows
        if "faces" in r
    ]
    for name, lines in (("results", rows), ("timing", times)):
        (folder / f"{name}.jsonl").write_bytes(b"".join(map(line, lines)))
    (folder / "summary.json").write_text(json.dumps(summary(rows, **more)))
    return folder
