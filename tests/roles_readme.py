"""Make the README of every role from its argument_specs, so that the two never part.

    roles_readme.py            write roles/*/README.md
    roles_readme.py --check    say what is not as it would be written, and exit 1

It also holds the defaults of the specification against defaults/main.yml, which the role really uses.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).parents[1] / "roles"
COMMAND = "tests/roles_readme.py"


def main() -> int:
    """Write or check; give the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check: bool = parser.parse_args().check
    faults: list[str] = []
    for role in sorted(path.parents[1] for path in ROLES.glob("*/meta/argument_specs.yml")):
        spec = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]
        faults.extend(default_faults(role, spec))
        readme = role / "README.md"
        text = render(role.name, spec)
        if check and (not readme.exists() or readme.read_text() != text):
            faults.append(f"{readme}: not what {COMMAND} writes: run it")
        elif not check:
            readme.write_text(text)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def load(path: Path) -> dict[str, Any]:
    """Give what a YAML file holds."""
    content: dict[str, Any] = yaml.safe_load(path.read_text()) or {}
    return content


def default_faults(role: Path, spec: dict[str, Any]) -> Iterator[str]:
    """Tell of defaults that the specification and the role have different, and of variables that only one has."""
    path = role / "defaults/main.yml"
    defaults = load(path) if path.exists() else {}
    options = spec["options"]
    for name, value in defaults.items():
        if name not in options:
            yield f"{path}: {name} is not in argument_specs.yml"
        elif "default" in options[name] and not computed(value) and options[name]["default"] != value:
            yield f"{path}: {name} is {value!r}, but {options[name]['default']!r} in argument_specs.yml"
    for name, option in options.items():
        if name.startswith(role.name) and "default" in option and name not in defaults:
            yield f"{path}: {name} is missing, but argument_specs.yml gives it a default"


def computed(value: object) -> bool:
    """Tell whether a default is an expression, which the specification can only describe."""
    return isinstance(value, str) and "{{" in value


def render(name: str, spec: dict[str, Any]) -> str:
    """Give the README of one role."""
    lines = [f"<!-- Made by {COMMAND} from meta/argument_specs.yml. -->", "", f"# {name}", ""]
    lines += [f"{spec['short_description']}.", ""]
    for paragraph in as_list(spec.get("description", [])):
        lines += [markdown(paragraph), ""]
    lines += ["| Variable | Type | Default | Meaning |", "|---|---|---|---|"]
    lines += [row(option, details) for option, details in spec["options"].items()]
    return "\n".join(lines) + "\n"


def row(option: str, details: dict[str, Any]) -> str:
    """Give the table's row of one variable."""
    kind = details["type"] + (f" of {details['elements']}" if "elements" in details else "")
    meaning = " ".join(markdown(text) for text in as_list(details["description"]))
    if "choices" in details:
        meaning += " One of " + ", ".join(f"`{choice}`" for choice in details["choices"]) + "."
    if details.get("required"):
        default = "required"
    elif "default" in details:
        default = f"`{yaml.safe_dump(details['default'], default_flow_style=True).splitlines()[0]}`"
    else:
        default = ""
    return f"| `{option}` | {kind} | {default} | {meaning} |".replace("  ", " ")


def as_list(value: str | list[str]) -> list[str]:
    """Give one text or several as several."""
    return [value] if isinstance(value, str) else value


def markdown(text: str) -> str:
    """Give Ansible's markup C(...) as Markdown, on one line."""
    return re.sub(r"[CO]\(([^)]*)\)", r"`\1`", " ".join(text.split()))


if __name__ == "__main__":
    sys.exit(main())
