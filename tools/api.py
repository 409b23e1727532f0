"""Names what breaks in the public interface since an earlier commit: `python -m tools.api v1.2.0`.

Public is what `amili_arm_async`, `amili_arm_async.blocking`, `amili_arm_async.sandbox` and `amili_arm_async.spark` export, and the sections
of a client, wherever it is defined.
"""

from __future__ import annotations

import re
import sys

import griffe

PACKAGE = "amili_arm_async"
EXPORTING = {f"{PACKAGE}.blocking", f"{PACKAGE}.sandbox", f"{PACKAGE}.spark"}
"""The modules below the package whose exports are public too."""


def only_public(package: griffe.Module) -> griffe.Module:
    """Hides the modules that nobody is meant to import from, and shows the sections of a client as if they were exported."""
    for module in package.modules.values():
        module.public = module.path in EXPORTING
        for inner in module.modules.values():
            inner.public = False
    client = package["client"]
    for name, made in re.findall(r"self\.([a-z]\w*) = ([A-Z]\w*)\(", client.source):
        section = griffe.Alias(name, client.members[made].target_path, parent=package)
        section.public = True
        package.members[f"ArmClient.{name}"] = section
    return package


def main() -> int:
    """Prints one line for each break; 1 where there is one."""
    old = griffe.load_git(PACKAGE, ref=sys.argv[1], resolve_aliases=True)
    new = griffe.load(PACKAGE, search_paths=["."], resolve_aliases=True)
    lines = {f"{breakage.obj.path}: {breakage.kind.value}" for breakage in griffe.find_breaking_changes(only_public(old), only_public(new))}
    print(*sorted(lines), sep="\n", end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
