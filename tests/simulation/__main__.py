"""The deterministic simulation of the scheduling core, from the command line.

    python -m tests.simulation                            the short set: 60 seeds × 200 steps
    python -m tests.simulation --seeds 20000 --steps 200  the long one
    python -m tests.simulation --seed 4711                one seed, with its trace
    python -m tests.simulation --mutations                the seeded defects; each has to be caught

A seed that breaks an invariant is printed with what happened before, and the exit code is 1.
"""

import argparse
import gc
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.simulation.database import Database, installation

SEEDS, STEPS = 60, 200
PROGRESS_EVERY = 100


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, help="this one only, with its trace")
    parser.add_argument("--mutations", nargs="*", metavar="NAME", help="try the seeded defects (these, or all)")
    chosen = parser.parse_args()
    with installation() as template, TemporaryDirectory() as folder:
        if chosen.mutations is not None:
            from tests.simulation import mutations

            return mutations.try_all(template, Path(folder), chosen.mutations, chosen.steps)
        database = Database(template, Path(folder))
        try:
            if chosen.seed is not None:
                return one(database, chosen.seed, chosen.steps)
            return many(database, range(chosen.first, chosen.first + chosen.seeds), chosen.steps)
        finally:
            database.close()


def one(database: Database, seed: int, steps: int) -> int:
    from tests.simulation.world import Failure, World

    world = World(database, seed)
    try:
        world.run(steps)
    except Failure as failure:
        say(str(failure))
        return 1
    say("\n".join(world.trace))
    say(f"seed {seed}: trace {world.digest()}")
    return 0


def many(database: Database, seeds: range, steps: int) -> int:
    from tests.simulation.world import Failure, World

    started, failed, runs = time.monotonic(), [], 0
    # The garbage of a seed is collected with it: looking for it all the time costs a tenth.
    gc.freeze()
    gc.disable()
    for number, seed in enumerate(seeds, 1):
        world = World(database, seed)
        try:
            say(f"seed {seed}: trace {world.run(steps)}")
        except Failure as failure:
            failed.append(seed)
            say(str(failure))
        runs += len(world.observer.runs)
        del world
        gc.collect()
        if number % PROGRESS_EVERY == 0:
            say(f"{number} seeds, {len(failed)} failed, {time.monotonic() - started:.0f} s")
    took = time.monotonic() - started
    say(f"{len(seeds)} seeds × {steps} steps, {runs} runs, {took:.0f} s, failed: {failed or 'none'}")
    return 1 if failed else 0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
