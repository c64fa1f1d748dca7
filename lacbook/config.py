"""What decides a training run: `TrainConfig`, also importable from `lacbook.train`."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from lacbook.data import DATASETS, load_clips
from lacbook.data.clips import Clip
from lacbook.data.sampling import SHORTEST_CLIP
from lacbook.errors import InputError
from lacbook.files import whole_file
from lacbook.losses.gap_penalties import PENALTIES
from lacbook.losses.lac import LOCAL_TERMS
from lacbook.losses.scl import NEGATIVES
from lacbook.losses.tcc import FORMS as TCC_FORMS
from lacbook.losses.tcn import FORMS as TCN_FORMS
from lacbook.models.encoder import EncoderConfig

OWN = "own"
LOSSES = ("lac", "scl", "tcn", "tcc", "lav", "gta", OWN)
ALIGNMENT = ("temperature", "gap_open", "gap_extend")


@dataclass(frozen=True)
class TrainConfig:
    """All that decides a training run.

    Parameters
    ----------
    data : str
        Data set: puppets or ui-prmd.
    root : str, optional
        Folder of the data; Puppets come with lacbook.
    action : str, optional
        One action of Puppets (pour, squat, throw, jumping_jack); all when left out.
    movement : str, optional
        One movement of UI-PRMD, such as deep_squat; all when left out.
    idle : int
        Longest idle head and tail added to a UI-PRMD clip, frames.
    size : int
        Height and width of the frames that the encoder sees, pixels.
    loss : str
        lac, or scl (CARL) for its contrastive part alone; tcn, tcc, lav, gta: the earlier losses, of which
        the last three align clips of the same action and so use its label; own is what `lacbook.train.fit`
        calls a module that it was given.
    local : str
        LAC's local term: structured (likelihood of the true alignment), posterior (cross-entropy of the
        alignment's probabilities with a Gaussian in time), or released (the whole objective of the authors'
        code, to compare with).
    negatives : str
        SCL's negatives: single_noself (the other view) or batch_noself (the other videos of the batch, too).
    tcn_form : str
        TCN's loss: n_pairs or triplet.
    tcc_form : str
        TCC's loss: regression or classification.
    penalties : str
        What LAC's gap penalties depend on: scalar (nothing, one number each), matrix (the positions in the
        two views, as published) or content (the embeddings of the two frames).
    local_weight : float
        Weight of LAC's local term.
    temperature : float
        Of the soft alignment in the local term.
    gap_open : float
        Where the learned cost of a gap's first frame starts, in units of similarity.
    gap_extend : float
        Where the learned cost of each further frame starts.
    margin : float
        Where the learned margin starts: the cosine at which two frames count as unrelated.
    epochs : int
        Passes over the training clips.
    batch_size : int
        Clips in a step.
    view_length : int, optional
        Most frames T in a view; a pair of views has between half of them and all. When left out, 64 for
        Puppets and 96 for UI-PRMD, whose clips are longer.
    lr : float
        Adam's learning rate at its peak; it falls to 0 along a cosine.
    weight_decay : float
        Adam's weight decay.
    clip_norm : float
        Largest norm of the gradient.
    seed : int
        Of weights, views, augmentation and the order of the training clips.
    encoder : EncoderConfig
        Shape of the model.
    accelerator : str
        Device, in Lightning Fabric's words: auto, cpu, cuda, mps.
    precision : str
        In Lightning Fabric's words: 32-true, bf16-mixed.
    """

    data: str = "puppets"
    root: str | None = None
    action: str | None = None
    movement: str | None = None
    idle: int = 60
    size: int = 64
    loss: str = "lac"
    local: str = "structured"
    negatives: str = NEGATIVES[0]
    tcn_form: str = TCN_FORMS[0]
    tcc_form: str = TCC_FORMS[0]
    penalties: str = "scalar"
    local_weight: float = 0.3
    temperature: float = 0.1
    gap_open: float = 0.2
    gap_extend: float = 0.1
    margin: float = 0.5
    epochs: int = 40
    batch_size: int = 4
    view_length: int | None = None
    lr: float = 2e-3
    weight_decay: float = 1e-5
    clip_norm: float = 10.0
    seed: int = 0
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    accelerator: str = "auto"
    precision: str = "32-true"

    def __post_init__(self) -> None:
        for name, options in (
            ("data", DATASETS),
            ("loss", LOSSES),
            ("local", LOCAL_TERMS),
            ("negatives", NEGATIVES),
            ("tcn_form", TCN_FORMS),
            ("tcc_form", TCC_FORMS),
            ("penalties", PENALTIES),
        ):
            if getattr(self, name) not in options:
                raise InputError(
                    f"{name}: {getattr(self, name)!r} is unknown; choose from {', '.join(options)}"
                )
        for name in (*("epochs", "batch_size", "size", "lr", "clip_norm"), *ALIGNMENT):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name}: expected a number above 0, found {getattr(self, name)}")
        for name in ("seed", "idle", "local_weight", "weight_decay"):
            if not 0 <= getattr(self, name) < 2**32:
                raise InputError(f"{name}: expected 0 or above, found {getattr(self, name)}")
        if not -1 <= self.margin <= 1:
            raise InputError(f"margin: expected a cosine from -1 to 1, found {self.margin}")
        if self.longest_view < SHORTEST_CLIP:
            raise InputError(
                f"view_length: expected at least {SHORTEST_CLIP} frames, found {self.view_length}"
            )
        self.encoder.check()

    @property
    def frame_encoder(self) -> str:
        """The frame encoder, ``"auto"`` turned into the one that fits the data."""
        fitting = "pose" if self.data == "ui-prmd" else "conv"
        return fitting if self.encoder.frame_encoder == "auto" else self.encoder.frame_encoder

    @property
    def longest_view(self) -> int:
        """`view_length`, or what fits the data."""
        fitting = 96 if self.data == "ui-prmd" else 64
        return fitting if self.view_length is None else self.view_length

    @property
    def modality(self) -> str:
        """``"frames"`` or ``"poses"``, whichever the frame encoder reads."""
        return "poses" if self.frame_encoder == "pose" else "frames"

    def load_clips(self) -> list[Clip]:
        """Read the clips this run is about (`lacbook.data.load_clips`)."""
        return load_clips(
            self.data,
            self.root,
            action=self.action,
            movement=self.movement,
            modality=self.modality,
            size=self.size,
            idle=self.idle,
        )

    def save(self, path: Path) -> None:
        """Write as YAML."""
        with whole_file(path) as temporary:
            temporary.write_text(yaml.safe_dump(dataclasses.asdict(self), sort_keys=False))

    @classmethod
    def load(cls, path: Path) -> TrainConfig:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            The file is missing or is not such a configuration.
        """
        if not path.is_file():
            raise InputError(f"checkpoint: {path} is missing; expected a run folder made by `lacbook train`")
        try:
            values = yaml.safe_load(path.read_text())
            return cls(**{**values, "encoder": EncoderConfig(**values["encoder"])})
        except (yaml.YAMLError, TypeError, KeyError, ValueError) as error:
            raise InputError(f"checkpoint: {path} is not a lacbook configuration ({error})") from error
