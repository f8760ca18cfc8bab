"""What is installed with steinflow: licences, and versions that are known to be bad. Offline."""

import re
import tomllib
from importlib.metadata import distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent

FREE = re.compile(
    r"MIT|BSD|Apache|PSF|Python Software Foundation|MPL|Mozilla Public|ISC|Zlib|CC0|Unlicense"
)
EXCEPTIONS = {
    "pygame-ce": "LGPL: an unchanged library of its own, which draws classic-control environments",
}

# Bad versions, and why: advisories of which a version at hand could matter here.
BAD = {
    "aiohttp": ("<3.9.4", "CVE-2024-23334, CVE-2024-30251: paths that escape, endless loop"),
    "certifi": (">=2021.5.30,<2024.7.4", "CVE-2024-39689: a root that is no longer trusted"),
    "cryptography": ("<42.0.4", "CVE-2024-26130: crash on crafted PKCS#12"),
    "idna": ("<3.7", "CVE-2024-3651: quadratic time"),
    "imageio-ffmpeg": ("<0.4.9", "binaries of 2019"),
    "jinja2": ("<3.1.6", "CVE-2024-56201, CVE-2025-27516: code from templates"),
    "pillow": ("<10.3", "CVE-2023-4863, CVE-2023-50447, CVE-2024-28219: memory, code"),
    "protobuf": ("<4.25.8", "CVE-2025-4565: endless recursion"),
    "pyyaml": ("<5.4", "CVE-2020-14343: code from YAML"),
    "ray": ("<2.52", "CVE-2023-6019 to 6021, CVE-2025-62593: commands through the dashboard"),
    "requests": ("<2.32.4", "CVE-2024-35195, CVE-2024-47081: certificates, passwords"),
    "setuptools": ("<78.1.1", "CVE-2024-6345, CVE-2025-47273: code, paths that escape"),
    "tqdm": ("<4.66.3", "CVE-2024-34062: code from arguments"),
    "urllib3": ("<2.5", "CVE-2025-50181: redirects"),
    "virtualenv": ("<20.26.6", "CVE-2024-53899: commands from a path"),
    "zipp": ("<3.19.1", "CVE-2024-5569: endless loop"),
}


def licence(metadata):
    """What a distribution says of its licence."""
    classifiers = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License")]
    first = (metadata.get("License") or "").strip().split("\n")[0]
    return "; ".join(filter(None, [metadata.get("License-Expression"), first, *classifiers]))


def is_free(text):
    """Whether a licence lets anybody use, change and sell what contains it."""
    return bool(FREE.search(text)) and not re.search(r"\b[AL]?GPL|Affero|Lesser General", text)


def bad(pinned):
    """Names, versions and reasons of bad ones."""
    return [
        (name, version, BAD[name][1])
        for name, version in pinned
        if name in BAD and SpecifierSet(BAD[name][0]).contains(version, prereleases=True)
    ]


def installed():
    return [(canonicalize_name(d.name), d) for d in distributions() if d.name]


def locked(path):
    """Names and versions of a lock file."""
    lines = (line.split(";")[0].strip() for line in path.read_text().splitlines())
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return [(canonicalize_name(name), version.split()[0]) for name, version in pairs]


def lowest():
    """The lowest versions that pyproject.toml lets in."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [project["dependencies"], *project["optional-dependencies"].values()]
    return [
        (canonicalize_name(requirement.name), part.version)
        for requirement in map(Requirement, chain(*lines))
        for part in requirement.specifier
        if part.operator in (">=", "==")
    ]


def test_licences_are_free():
    texts = {name: licence(d.metadata) for name, d in installed()}
    assert len(texts) > 20
    assert {n for n, text in texts.items() if not is_free(text)} <= set(EXCEPTIONS), texts
    assert not is_free("GPL-3.0-only") and not is_free("") and is_free("BSD-3-Clause")


@pytest.mark.parametrize("where", ["installed", "requirements.lock", "requirements-core.lock"])
def test_no_version_is_known_to_be_bad(where):
    if where == "installed":
        pinned = [(name, d.version) for name, d in installed()]
    else:
        pinned = locked(ROOT / where)
    assert len(pinned) > 10 and bad(pinned) == []


def test_no_bad_version_is_let_in():
    assert len(lowest()) > 15 and bad(lowest()) == []
    assert bad([("jinja2", "3.1.5")]) and not bad([("jinja2", "3.1.6")])  # so that it can fail
