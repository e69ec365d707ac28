"""What stancelib brings along when it is installed: each package with its version, its licence and who asks for it.

    python -m benchmarks.dependencies            # of the base install and of the extras
    python -m benchmarks.dependencies parquet    # of the base install and one extra

Reads the installed packages alone, no network. Fails if one is not installed, is older than asked for, or has a licence
that is not known to allow use in any work.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

# Words of the names of licences that ask for no more than notice, or for changes to the package itself.
FREE = re.compile(
    r"\b(MIT|BSD|0BSD|Apache|ISC|PSF|PSFL|PSF-2\.0|Python Software Foundation|MPL|Mozilla Public License|Unlicense|"
    r"Zlib|HPND|CC0|CNRI|Public Domain|CMU License|matplotlib)\b",
    re.IGNORECASE,
)


def licence(package: Distribution) -> str:
    """As the metadata tell: the expression, the classifiers, or the first line of the text."""
    about = package.metadata
    if expression := about.get("License-Expression"):
        return str(expression)
    classifiers = [c.split(" :: ")[-1] for c in about.get_all("Classifier") or [] if c.startswith("License ::")]
    if names := [c for c in classifiers if c != "OSI Approved"]:
        return ", ".join(names)
    text = (about.get("License") or "").strip()
    return text.splitlines()[0] if text else "unknown"


def needed(extras: set[str]) -> dict[str, tuple[Distribution, str, list[str]]]:
    """Name -> the package, the licence, and what is wrong with it, of stancelib with these extras."""
    found: dict[str, tuple[Distribution, str, list[str]]] = {}
    waiting = deque([("stancelib", extras, "")])
    seen = set()
    while waiting:
        name, asked, by = waiting.popleft()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if (key, frozenset(asked)) in seen:
            continue
        seen.add((key, frozenset(asked)))
        try:
            package = distribution(name)
        except PackageNotFoundError:
            raise SystemExit(f"{name} is not installed, which {by} needs") from None
        if key != "stancelib":
            found.setdefault(key, (package, licence(package), []))
        for line in package.requires or ():
            wanted = Requirement(line)
            if wanted.marker and not any(wanted.marker.evaluate({"extra": extra}) for extra in asked or {""}):
                continue
            waiting.append((wanted.name, set(wanted.extras), name))
            try:
                version = distribution(wanted.name).version
            except PackageNotFoundError:
                continue  # said when its turn comes
            if not wanted.specifier.contains(version, prereleases=True):
                other = found.setdefault(
                    re.sub(r"[-_.]+", "-", wanted.name).lower(),
                    (distribution(wanted.name), licence(distribution(wanted.name)), []),
                )
                other[2].append(f"{name} wants {wanted.specifier}")
    return found


def main() -> None:
    extras = set(sys.argv[1:]) or {"all"}
    packages = needed(extras)
    base = needed({""}) if extras else packages
    bad = []
    for name, (package, terms, wrong) in sorted(packages.items()):
        wrong = wrong + ([] if FREE.search(terms) else ["licence?"])
        where = "base" if name in base else "extra"
        print(f"{name:28} {package.version:16} {where:6} {terms[:70]}{'  !! ' + '; '.join(wrong) if wrong else ''}")
        bad += [name] if wrong else []
    print(f"{len(packages)} packages, {len(base)} of them in the base install")
    if bad:
        raise SystemExit(f"look at {', '.join(bad)}")


if __name__ == "__main__":
    main()
