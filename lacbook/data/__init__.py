"""Data sets, each a list of `Clip`, and what makes training views of them."""

from __future__ import annotations

from pathlib import Path

from lacbook.data.clips import Clip
from lacbook.errors import InputError

DATASETS = ("puppets", "ui-prmd")


def load_clips(
    data: str,
    root: Path | str | None = None,
    *,
    action: str | None = None,
    movement: str | None = None,
    modality: str = "frames",
    size: int = 64,
    idle: int = 60,
) -> list[Clip]:
    """Load a data set by name.

    Parameters
    ----------
    data : {"puppets", "ui-prmd"}
    root : Path, optional
        Its folder. Puppets come with lacbook; UI-PRMD has to be given.
    action, movement : str, optional
        One action of Puppets, one movement of UI-PRMD; all when left out.
    modality : {"frames", "poses"}
        What a Puppets clip shows; UI-PRMD has poses only.
    size : int, default 64
        Height and width of frames, pixels.
    idle : int, default 60
        Longest idle head and tail added to a UI-PRMD clip, frames.

    Returns
    -------
    list of Clip

    Raises
    ------
    InputError
        `data` is unknown, an option belongs to the other data set, or the files are missing or broken.
    """
    if data == "puppets":
        if movement is not None:
            raise InputError(f"movement: {movement!r} belongs to --data ui-prmd; Puppets take an action")
        from lacbook.data.puppets import load_puppets

        return load_puppets(None if root is None else Path(root), action=action, modality=modality, size=size)
    if data == "ui-prmd":
        if action is not None:
            raise InputError(f"action: {action!r} belongs to --data puppets; UI-PRMD takes a movement")
        if root is None:
            raise InputError(
                "root: --data ui-prmd needs --root, the folder with the packed UI-PRMD files; found none"
            )
        if modality != "poses":
            raise InputError(
                f"frame_encoder: UI-PRMD has poses only; expected the pose encoder, found one for {modality}"
            )
        from lacbook.data.ui_prmd import load_ui_prmd

        return load_ui_prmd(root, movement=movement, idle=idle)
    raise InputError(f"data: {data!r} is unknown; choose from {', '.join(DATASETS)}")
