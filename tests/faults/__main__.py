"""`make faults`: each case on real hosts, with recorders beside the agents and a receiver of alarms; the table at the
end says what held.

    python -m tests.faults                    every case, on a lab of its own, which stays up
    python -m tests.faults --case 6 --seed 7 --scale 1

SCALE stretches the lengths of the faults; at 1 they are as long as the titles say. The lab is that of LAB_NAME
(default: faults), installed with playbooks/site.yml first; --as-is takes it as it stands. The results are kept in
build/faults.json: of each case the last for each seed and scale. `--document` runs nothing: it takes them into docs/.
"""

import argparse
import importlib
import os
import pkgutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.faults import cases, report
from tests.faults.case import CASES, Result, run_case
from tests.faults.lab import HERE, CaseError, Lab
from tests.lab.steps import say, stop_on_sigterm

DEFAULT_SCALE: Final = 0.2
DEFAULT_SEED: Final = 1


def main() -> int:
    """Run cases; 0 when all held, 1 when one did not."""
    for module in pkgutil.iter_modules(cases.__path__):
        importlib.import_module(f"{cases.__name__}.{module.name}")
    options = _options()
    if options.document:
        say("\n".join(map(str, report.document())))
        return 0
    stop_on_sigterm()
    # All that asks for the lab's name asks the environment.
    os.environ.setdefault("LAB_NAME", "faults")
    chosen = [CASES[number] for number in options.case or sorted(CASES)]
    if options.short:
        chosen = [case for case in chosen if case.is_short]
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="webmon-faults-") as scratch:
        lab = Lab(os.environ["LAB_NAME"], options.inventory, Path(scratch))
        say(f"lab {lab.name}, SEED={options.seed} SCALE={options.scale:g}")
        try:
            if not options.as_is:
                say("boot the hosts and install everything: playbooks/site.yml")
                lab.boot()
            lab.equip()
            for case in chosen:
                say(f"case {case.number}: {case.title}")
                result = run_case(lab, case, options.seed, options.scale)
                say(f"      {'; '.join(result.problems) or 'ok'} ({result.seconds:.0f} s)")
                results.append(result)
            lab.unequip()
        except CaseError as error:
            say(f"FAILED: {error}")
            return 1
        except KeyboardInterrupt:
            lab.mend()
            lab.unequip()
            say("stopped")
        finally:
            report.keep(results)
    say("\n" + report.table(results))
    failed = [result.case for result in results if result.problems]
    if failed:
        numbers = ", ".join(map(str, failed))
        say(f"\nFAILED: {numbers}; again with: make faults CASE=n SEED={options.seed} SCALE={options.scale:g}")
    return 1 if failed or len(results) < len(chosen) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--case", type=int, action="append", choices=sorted(CASES), help="its number; may be repeated")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of the random moments (default: %(default)s)")
    parser.add_argument("--scale", type=float, default=DEFAULT_SCALE, help="of the lengths (default: %(default)s)")
    parser.add_argument("--short", action="store_true", help="only the most telling cases")
    parser.add_argument("--as-is", action="store_true", help="the lab is up and installed already")
    parser.add_argument("--inventory", type=Path, default=HERE / "inventory", help="of the lab")
    parser.add_argument("--document", action="store_true", help="write docs/ from what is kept; run nothing")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
