"""What `python -m benchmarks drift` runs on which data: this project's modules, and the peers with the settings that serve them best."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One method with its settings.

    Attributes
    ----------
    label : str
        Name in the table.
    tool : str
        'ours', or the name of a peer.
    method : str
        Name in the tool's METHODS.
    settings : dict
        Of the method.
    against : str
        Label of the peer's entry whose time this one's is compared with.
    once : bool
        Takes long: measured once, whatever the number of repeats.
    """

    label: str
    tool: str
    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    against: str = ""
    once: bool = False


def ours(label: str, *modules: tuple[str, dict[str, Any]], against: str = "", once: bool = False) -> Entry:
    """Modules of this project, one after the other."""
    return Entry(label, "ours", "chain", {"modules": list(modules)}, against, once)


def rcc(frames: int, binsize: float, corr_window: int, *, against: str = "", deep: bool = False) -> Entry:
    settings = {"step": frames, "window": frames, "binsize": binsize, "corr_window": corr_window, "flatten_z": not deep}
    return ours(f"Locs_RCC {frames}{' 3D' * deep}", ("Locs_RCC", settings), SPLINE, against=against)


def aim(frames: int, *, deep: bool = False, against: str = "", **more: Any) -> Entry:
    return ours(
        f"Locs_AIM {frames}{' 3D' * deep}", ("Locs_AIM", {"segmentation": frames, "flatten_z": not deep, **more}), against=against
    )


def entropy(*, deep: bool = False, against: str = "") -> Entry:
    return ours(f"Locs_Entropy{' 3D' * deep}", ("Locs_Entropy", {"flatten_z": not deep}), against=against)


def auto(*, deep: bool = False, against: str = "") -> tuple[Entry, Entry]:
    """The estimate alone, whose time is compared, and once with the check."""
    settings = {"method": "auto", "flatten_z": not deep}
    label = f"Locs_Drift{' 3D' * deep}"
    return (
        ours(label, ("Locs_Drift", settings | {"verify": False}), against=against),
        ours(f"{label} + check", ("Locs_Drift", settings | {"allow_failed": True}), once=True),
    )


def checked(method: str, frames: int | None = None) -> Entry:
    """A method and settings that the data may not bear, with the verdict."""
    settings = {"method": method, "segmentation": frames, "flatten_z": True, "allow_failed": True}
    return ours(f"Locs_Drift {method} {frames or ''}".rstrip(), ("Locs_Drift", settings), once=True)


def chunks(module: str, size: int, model: str, *, against: str = "") -> Entry:
    return ours(f"{module} {model}", (module, {"chunk_size": size}), ("Drift_Model", {"offset": model}), against=against)


def picasso_aim(frames: int, *, deep: bool = False) -> Entry:
    return Entry(f"Picasso AIM {frames}{' 3D' * deep}", "picasso", "aim", {"segmentation": frames, "deep": deep})


def picasso_rcc(frames: int) -> Entry:
    return Entry(f"Picasso RCC {frames}", "picasso", "rcc", {"segmentation": frames}, once=True)


def locan(method: str, size: int, model: str, *, once: bool = False) -> Entry:
    settings = {"method": method, "chunk_size": size, "model": model}
    return Entry(f"locan {method} {model}", "locan", "drift", settings, once=once)


def comet(frames: int, most: int, *, reach: float = 300.0, deep: bool = True) -> Entry:
    settings = {"segmentation": frames, "most": most, "reach": reach, "start": reach / 3, "deep": deep}
    return Entry(f"COMET {frames}", "comet", "comet", settings, once=True)


SPLINE = ("Drift_Interpolate", {"smoothing_factor": 0.0})
AIM_100, AIM_50 = "Picasso AIM 100", "Picasso AIM 50"

_TUTORIAL = (
    chunks("Locs_CC", 10_000, "linear", against="locan cc linear"),
    chunks("Locs_ICP", 10_000, "linear", against="locan icp linear"),
    rcc(2500, 10.0, 5, against="Picasso AIM 1000"),
    aim(1000, against="Picasso AIM 1000"),
    entropy(against="locan cc linear"),
    *auto(against="locan cc linear"),
    picasso_aim(1000),
    locan("cc", 10_000, "linear"),
    locan("icp", 10_000, "linear"),
)
_SHORT = (
    aim(100, against=AIM_100),
    aim(100, deep=True, against="Picasso AIM 400 3D"),
    entropy(against=AIM_100),
    entropy(deep=True, against="Picasso AIM 400 3D"),
    *auto(against=AIM_100),
    *auto(deep=True, against="Picasso AIM 400 3D"),
    picasso_aim(100),
    picasso_aim(400, deep=True),
)
_GRIDS = (aim(50, against=AIM_50), entropy(against=AIM_50), *auto(against=AIM_50), picasso_aim(50))

PLANS: dict[str, tuple[Entry, ...]] = {
    "tutorial": (*_TUTORIAL, comet(1000, 300, reach=60.0, deep=False)),
    "tutorial_locan": _TUTORIAL,
    "filaments_1m": (
        *_SHORT,
        rcc(500, 40.0, 10, against="Picasso RCC 500"),
        picasso_rcc(500),
        chunks("Locs_CC", 25_000, "spline", against="locan cc spline"),
        chunks("Locs_ICP", 25_000, "spline", against="locan icp spline"),
        locan("cc", 25_000, "spline", once=True),
        locan("icp", 25_000, "spline", once=True),
        comet(200, 1000),
    ),
    "aim_5": _GRIDS,
    "aim_50": (*_GRIDS, rcc(200, 20.0, 10)),
    "fast": (*_GRIDS, checked("aim", 400), checked("rcc", 500), checked("rcc", 2500)),
    "fast_filaments": (*_SHORT, checked("aim", 400), checked("rcc", 2500)),
    "jump": (*_SHORT, rcc(500, 40.0, 10)),
    "sparse": (
        *(entropy(), *auto(), aim(400), rcc(2500, 30.0, 5), picasso_aim(400)),
        *(checked("aim"), checked("rcc"), checked("rcc", 2500)),
    ),
    "empty_windows": (aim(100), entropy(), *auto(), rcc(500, 40.0, 10), picasso_aim(100)),
    "two_colours": (aim(100, against=AIM_100), entropy(against=AIM_100), *auto(against=AIM_100), picasso_aim(100)),
    "filaments_10m": (
        aim(100, against=AIM_100),
        aim(100, deep=True, against="Picasso AIM 100 3D"),
        entropy(against=AIM_100),
        entropy(deep=True, against="Picasso AIM 100 3D"),
        *auto(against=AIM_100),
        *auto(deep=True, against="Picasso AIM 100 3D"),
        picasso_aim(100),
        picasso_aim(100, deep=True),
    ),
}

NOTES: dict[str, str] = {
    "aim_5": "COMET is left out here: over six minutes on two processors.",
    "aim_50": "COMET is left out here: over an hour on two processors.",
    "filaments_10m": "COMET, locan and Picasso's RCC are left out here: minutes to hours each.",
}
"""What is told below the table of a data set."""
