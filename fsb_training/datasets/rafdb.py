"""RAF-DB, basic emotions (Li et al., CVPR 2017): 15,339 faces by some 40 voters each.

    RAF-DB/EmoLabel/list_patition_label.txt     train_00001.jpg 5        (the published spelling)
    RAF-DB/Image/aligned/train_00001_aligned.jpg

or the same below RAF-DB/basic/, as the archive has it. Labels: 1 surprise, 2 fear, 3 disgust,
4 happiness, 5 sadness, 6 anger, 7 neutral.

The published pictures are faces cut and aligned by their landmarks, 100 x 100 px. They are taken
whole: a detector that cut them again would make another test set than the published one.
"""

from __future__ import annotations

from pathlib import Path

from fsb_perception.problems import Problems
from fsb_training.datasets.faceset import DatasetError, FaceSet
from fsb_training.datasets.labels import label_column
from fsb_training.datasets.tables import data_folder, known_label, read_words

_EMOTIONS = {
    "1": "surprise",
    "2": "fear",
    "3": "disgust",
    "4": "happiness",
    "5": "sadness",
    "6": "anger",
    "7": "neutral",
}


class RAFDB:
    """Loader of RAF-DB's basic emotions."""

    licence = "non-commercial research, on request to its authors"
    parts: tuple[str, ...] = ("train", "test")
    training_parts: tuple[str, ...] = ("train",)

    def load(self, root: Path, part: str) -> FaceSet:
        """Load the faces of ``part``; a picture's name has its part in front."""
        folder = data_folder(root, "RAF-DB/basic", "RAF-DB")
        files, emotions, problems = [], [], Problems()
        for where, words in read_words(folder / "EmoLabel" / "list_patition_label.txt"):
            if len(words) != 2:
                raise DatasetError(f"{where}: {len(words)} words, expected a picture and its label")
            name, emotion = words[0], known_label(words[1], _EMOTIONS, where)
            if not name.startswith(tuple(f"{p}_" for p in self.parts)):
                problems.note("name of neither train nor test", where)
            elif name.startswith(f"{part}_"):
                file = f"Image/aligned/{Path(name).stem}_aligned.jpg"
                if not (folder / file).is_file():
                    problems.note("picture is not there", folder / file)
                    continue
                files.append(file)
                emotions.append(emotion)
        return FaceSet(
            name="RAF-DB",
            part=part,
            root=folder,
            files=tuple(files),
            labels={"emotion": label_column("emotion", emotions)},
            problems=problems,
            aligned=True,
        )
