"""The columns of localization tables: one name, one unit, and what each program calls them.

In memory a column has its canonical name and unit. A module or a user may ask for it by any name that a supported
program uses (`resolve`); readers rename on the way in (`canonical`), writers on the way out (`name_in`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Column:
    """One column of the vocabulary.

    Parameters
    ----------
    name : str
        Canonical name.
    unit : str
        Unit in memory: ``nm``, ``frame``, ``photon``, ``ADU`` or ``''``.
    desc : str
        Meaning.
    names : mapping
        Format -> the name that the format gives it.
    aliases : tuple of str
        Further names under which it is found.
    """

    name: str
    unit: str
    desc: str
    names: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    def known_as(self) -> tuple[str, ...]:
        """Every name, the canonical one first, then in order of preference."""
        return tuple(dict.fromkeys((self.name, *self.names.values(), *self.aliases)))


def _column(name: str, unit: str, desc: str, aliases: tuple[str, ...] = (), **names: str) -> Column:
    return Column(name, unit, desc, MappingProxyType(names), aliases)


COLUMNS: tuple[Column, ...] = (
    _column(
        "x",
        "nm",
        "position along x (the column of an image)",
        pyme="x",
        picasso="x",
        thunderstorm="x [nm]",
        deepstorm="x [nm]",
        aliases=("fitResults_x0", "xnm", "x_nm", "position_x", "xnano", "X (nm)", "Position X [nm]", "Position-0-0"),
    ),
    _column(
        "y",
        "nm",
        "position along y (the row of an image)",
        pyme="y",
        picasso="y",
        thunderstorm="y [nm]",
        deepstorm="y [nm]",
        aliases=("fitResults_y0", "ynm", "y_nm", "position_y", "ynano", "Y (nm)", "Position Y [nm]", "Position-1-0"),
    ),
    _column(
        "z",
        "nm",
        "position along the optical axis",
        pyme="z",
        picasso="z",
        thunderstorm="z [nm]",
        deepstorm="z [nm]",
        aliases=("znm", "z_nm", "position_z", "znano", "Z (nm)", "Position Z [nm]", "Position-2-0"),
    ),
    _column(
        "frame",
        "frame",
        "frame of the movie, counted from 0",
        pyme="t",
        picasso="frame",
        thunderstorm="frame",
        deepstorm="frame",
        aliases=("tIndex", "frame_ix", "Frame", "frame_index", "First Frame", "ImageNumber-0-0"),
    ),
    _column(
        "photons",
        "photon",
        "detected photons",
        pyme="nPhotons",
        picasso="photons",
        thunderstorm="intensity [photon]",
        deepstorm="Photon #",
        aliases=("phot", "intensity", "Photons", "Photon #", "Number Photons"),
    ),
    _column(
        "background",
        "photon",
        "background per pixel",
        pyme="background",
        picasso="bg",
        thunderstorm="offset [photon]",
        aliases=("bkg", "local_background", "Background"),
    ),
    _column(
        "background_std",
        "photon",
        "standard deviation of the background",
        pyme="background_std",
        picasso="bg_std",
        thunderstorm="bkgstd [photon]",
        aliases=("local_background_sigma",),
    ),
    _column("A", "ADU", "height of the fitted peak", pyme="A", picasso="A", aliases=("fitResults_A", "Amplitude-0-0")),
    _column(
        "sigma",
        "nm",
        "width (standard deviation) of the fitted spot",
        pyme="sig",
        picasso="sigma",
        thunderstorm="sigma [nm]",
        deepstorm="Sigma [nm]",
        aliases=("fitResults_sigma", "PSFxnm", "psf_sigma", "Sigma [nm]"),
    ),
    _column(
        "sigma_x",
        "nm",
        "width of the spot along x",
        pyme="sigmax",
        picasso="sx",
        thunderstorm="sigma1 [nm]",
        aliases=("fitResults_sigmax", "psf_sigma_x"),
    ),
    _column(
        "sigma_y",
        "nm",
        "width of the spot along y",
        pyme="sigmay",
        picasso="sy",
        thunderstorm="sigma2 [nm]",
        aliases=("fitResults_sigmay", "psf_sigma_y"),
    ),
    _column(
        "error_x",
        "nm",
        "standard error of x",
        pyme="error_x",
        picasso="lpx",
        aliases=(
            "fitError_x0",
            "uncertainty_xy [nm]",
            "uncertainty [nm]",
            "locprecnm",
            "xnmerr",
            "uncertainty_x",
            "x_sig",
            "Precision [nm]",
            "Position-0-0-uncertainty",
        ),
    ),
    _column(
        "error_y",
        "nm",
        "standard error of y",
        pyme="error_y",
        picasso="lpy",
        aliases=("fitError_y0", "ynmerr", "uncertainty_y", "y_sig", "Position-1-0-uncertainty"),
    ),
    _column(
        "error_z",
        "nm",
        "standard error of z",
        pyme="error_z",
        picasso="lpz",
        thunderstorm="uncertainty_z [nm]",
        aliases=("fitError_z0", "locprecznm", "zerr", "uncertainty_z", "z_sig", "Position-2-0-uncertainty"),
    ),
    _column(
        "chi2",
        "",
        "reduced chi square of the fit",
        pyme="nchi2",
        picasso="chi2",
        thunderstorm="chi2",
        aliases=("chi_square", "nChi2", "Chi square"),
    ),
    _column(
        "log_likelihood", "", "log-likelihood of the fit", pyme="logLikelihood", picasso="log_likelihood", aliases=("LLrel",)
    ),
    _column("result_code", "", "how the fit ended", pyme="resultCode", picasso="result_code"),
    _column("group", "", "index of the group or cluster", pyme="clumpIndex", picasso="group", aliases=("cluster_label",)),
    _column(
        "detections",
        "",
        "localizations that were merged into this one",
        pyme="clumpSize",
        thunderstorm="detections",
        aliases=("frames_number", "Number Frames"),
    ),
    _column(
        "probability",
        "",
        "probability that it is a real molecule",
        pyme="probability",
        picasso="probability",
        deepstorm="confidence [a.u]",
        aliases=("prob", "confidence [a.u.]"),
    ),
    _column("error_photons", "photon", "standard error of the photons", picasso="photons_unc", aliases=("phot_sig", "photerr")),
    _column("error_background", "photon", "standard error of the background", picasso="bg_unc", aliases=("bg_sig",)),
    _column("error_sigma", "nm", "standard error of the width"),
    _column("error_sigma_x", "nm", "standard error of the width along x", picasso="sx_unc"),
    _column("error_sigma_y", "nm", "standard error of the width along y", picasso="sy_unc"),
    _column("channel", "", "colour channel", aliases=("Channel",)),
    _column("iterations", "", "steps that the fit took", picasso="iterations"),
    _column("ellipticity", "", "ellipticity of the spot", picasso="ellipticity"),
    _column("net_gradient", "ADU", "net gradient at detection", picasso="net_gradient"),
    _column("dx", "nm", "drift correction that was added to x", pyme="dx"),
    _column("dy", "nm", "drift correction that was added to y", pyme="dy"),
    _column("dz", "nm", "drift correction that was added to z", pyme="dz"),
)

BY_NAME: Mapping[str, Column] = MappingProxyType({column.name: column for column in COLUMNS})


def _index() -> dict[str, str]:
    found: dict[str, str] = {column.name: column.name for column in COLUMNS}
    for column in COLUMNS:
        for name in column.known_as():
            found.setdefault(name, column.name)
    return found


_CANONICAL: Mapping[str, str] = MappingProxyType(_index())


def canonical(name: str) -> str:
    """The canonical name of a column, or `name` itself where the vocabulary does not hold it."""
    return _CANONICAL.get(name, name)


def unit_of(name: str) -> str:
    """Unit in memory of a column known by any name; ``''`` for a column outside the vocabulary."""
    column = BY_NAME.get(canonical(name))
    return column.unit if column else ""


def resolve(name: str, present: Collection[str]) -> str | None:
    """Which of the columns in `present` is meant by `name`.

    The exact name wins; else any column that the vocabulary knows as the same quantity, in its order of preference.

    Examples
    --------
    >>> resolve("lpx", ["x", "error_x"])
    'error_x'
    """
    if name in present:
        return name
    meaning = BY_NAME.get(canonical(name))
    if meaning is None:
        return None
    return next((known for known in meaning.known_as() if known in present), None)


def can_provide(name: str, present: Collection[str]) -> bool:
    """Whether a table with the columns `present` can answer for `name`, directly or by combining two columns."""
    if resolve(name, present) is not None:
        return True
    return canonical(name) == "sigma" and all(resolve(part, present) for part in ("sigma_x", "sigma_y"))


def canonical_names(names: Collection[str]) -> dict[str, str]:
    """Map the column names of a file to names in memory.

    Of several columns with one meaning (PYME's ``t`` and ``tIndex``, ``x`` and ``fitResults_x0``) only the most preferred is
    renamed; the others keep their own names.
    """
    result = {name: name for name in names}
    for column in COLUMNS:
        found = next((known for known in column.known_as() if known in result), None)
        if found is not None and column.name not in result.values():
            result[found] = column.name
    return result


def name_in(fmt: str, name: str) -> str:
    """The name that a format gives to a canonical column; `name` itself where it has none."""
    column = BY_NAME.get(name)
    return column.names.get(fmt, name) if column else name
