"""Every reader against damaged files: no foreign error, no end of the process, no hang, no flood of memory.

    python -m Testing.soak.fuzz                          # 200 mutations of each seed; about twenty minutes
    python -m Testing.soak.fuzz --only h5 --count 50     # seeds whose name holds h5
    python -m Testing.soak.fuzz --keep DIR               # what failed, to look at

A mutation may be read well or refused with `InputError` in one line; anything else is a failure. Each reader works in a
process that is watched: it is ended when one file takes it over five seconds of processor time. Prints one table, and
returns 1 when anything failed. Mutations depend on --seed alone.
"""

from __future__ import annotations

import argparse
import gzip
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import SimpleITK as sitk

from Testing.soak.fuzz_seeds import Seed, make_seeds
from VoxelMorphRegistrationLib.errors import DependencyMissing, InputError
from VoxelMorphRegistrationLib.exchange import elastix_tool
from VoxelMorphRegistrationLib.files import guarded

SECONDS, WALL_SECONDS = 5.0, 60.0
MEMORY_KB = 1 << 20
_NUMBERS = [b"-1", b"0", b"1e300", b"-1e300", b"nan", b"inf", b"99999999999", b"2147483648", b"1e-300", b"", b"x"]


def mutated(whole: bytes, chance: random.Random) -> bytes:
    """One of the ways in which files go wrong; a gzip file may be damaged inside, with its checksum right."""
    if whole[:2] == b"\x1f\x8b" and chance.random() < 0.6:
        return gzip.compress(mutated(gzip.decompress(whole), chance), 1)
    head, mark, packed = whole.partition(b"\n\n\x1f\x8b")
    if mark and chance.random() < 0.3:
        return head + b"\n\n" + gzip.compress(mutated(gzip.decompress(mark[2:] + packed), chance), 1)
    data = bytearray(whole)
    # Headers are where most of the meaning is.
    place = chance.randrange(min(len(data), 600) if chance.random() < 0.6 else len(data))
    way = chance.randrange(8)
    if way == 0:
        data[place] ^= 1 << chance.randrange(8)
    elif way == 1:
        data[place : place + chance.choice((1, 2, 4, 8))] = chance.choice((b"\0", b"\xff", b"\x7f")) * 4
    elif way == 2:
        del data[place:]
    elif way == 3:
        data[place:] = bytes(len(data) - place)
    elif way == 4:
        del data[place : place + chance.randrange(1, 64)]
    elif way == 5:
        data[place:place] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 64)))
    elif way == 6:
        for _ in range(chance.randrange(1, 16)):
            data[chance.randrange(len(data))] = chance.randrange(256)
    else:
        numbers = list(re.finditer(rb"-?\d+\.?\d*", whole[: 1 << 16]))
        if numbers:
            found = chance.choice(numbers)
            data[found.start() : found.end()] = chance.choice(_NUMBERS)
    return bytes(data)


def _forked(command: list[str], **options: object) -> SimpleNamespace:
    """What `subprocess.run` does for `guarded`, without starting Python and loading VTK each time."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(tell, 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stdout = os.fdopen(1, "w")
        guarded._child(*command[3:])
    os.close(tell)
    with os.fdopen(told, "rb") as stream:
        output = stream.read()
    _, status = os.waitpid(child, 0)
    return SimpleNamespace(returncode=os.waitstatus_to_exitcode(status), stdout=output)


def _read_one(seed: Seed, path: Path) -> str:
    """'read', 'refused', or what went wrong."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seed.read(path)
        outcome = "read"
    except (InputError, DependencyMissing) as error:
        outcome = "refused" if "\n" not in str(error) else "several lines"
    except BaseException as error:
        outcome = f"{type(error).__name__}: {' '.join(str(error).split())[:90]}"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return f"{grown / 1e6:.1f} GB of memory" if grown > MEMORY_KB + path.stat().st_size / 1000 else outcome


def _work(seed: Seed, folder: Path, start: int, count: int, base: int, tell: int) -> None:
    """Mutation after mutation in a process of its own: a line before each, its outcome behind it."""
    guarded.subprocess = SimpleNamespace(  # type: ignore[attr-defined]
        run=_forked, DEVNULL=-3, PIPE=-1, TimeoutExpired=TimeoutError
    )
    # A whole elastix, which takes half a minute to say no, is another program's to be tried.
    elastix_tool._has_itk_elastix = lambda: False
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    whole = seed.path.read_bytes()
    for number in range(start, count):
        path = folder / seed.path.name
        path.write_bytes(mutated(whole, random.Random(f"{base} {seed.path.name} {number}")))
        os.write(tell, f"{number}\n".encode())
        os.write(tell, f"{number} {_read_one(seed, path)}\n".encode("utf-8", "backslashreplace"))
    os._exit(0)


def _processor_seconds(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fuzz(seed: Seed, folder: Path, count: int, base: int, keep: Path | None) -> Counter[str]:
    """The outcomes of `count` mutations of a seed."""
    outcomes: Counter[str] = Counter()
    start = 0
    while start < count:
        told, tell = os.pipe()
        worker = os.fork()
        if worker == 0:
            os.close(told)
            _work(seed, folder, start, count, base, tell)
        os.close(tell)
        os.set_blocking(told, False)
        text, at, since = b"", start, (time.monotonic(), 0.0)
        ended = ""
        while True:
            try:
                block = os.read(told, 65536)
            except BlockingIOError:
                time.sleep(0.01)
                slow = _processor_seconds(worker) - since[1] > SECONDS or time.monotonic() - since[0] > WALL_SECONDS
                if slow and text.count(b"\n"):
                    os.kill(worker, signal.SIGKILL)
                    ended = "hang"
                continue
            if not block:
                break
            text += block
            since = (time.monotonic(), _processor_seconds(worker))
        os.close(told)
        _, status = os.waitpid(worker, 0)
        done = set()
        for line in text.decode("utf-8", "replace").splitlines():
            number, _, outcome = line.partition(" ")
            at = int(number)
            if outcome:
                done.add(at)
                outcomes[outcome] += 1
                if keep is not None and outcome not in ("read", "refused"):
                    _keep(seed, at, base, keep)
        if status == 0 and not ended:
            return outcomes
        outcomes[ended or f"process ended (status {status})"] += 1
        if keep is not None:
            _keep(seed, at, base, keep)
        start = at + 1
    return outcomes


def _keep(seed: Seed, number: int, base: int, keep: Path) -> None:
    keep.mkdir(parents=True, exist_ok=True)
    whole = mutated(seed.path.read_bytes(), random.Random(f"{base} {seed.path.name} {number}"))
    (keep / f"{number}_{seed.path.name}").write_bytes(whole)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="mutations of each seed (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="seeds whose name holds this")
    parser.add_argument("--keep", type=Path, help="folder for the mutations that failed")
    args = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="fuzz-"))
    failed = total = 0
    try:
        seeds = [seed for seed in make_seeds(scratch / "seeds") if args.only in seed.path.name]
        print(f"{'seed':20} {'read':>6} {'refused':>8} {'failed':>7} {'seconds':>8}  how", flush=True)
        for seed in seeds:
            started = time.monotonic()
            seed.read(seed.path)
            folder = scratch / seed.path.name
            folder.mkdir()
            outcomes = fuzz(seed, folder, args.count, args.seed, args.keep)
            wrong = {how: times for how, times in outcomes.items() if how not in ("read", "refused")}
            total += sum(outcomes.values())
            failed += sum(wrong.values())
            how = "; ".join(f"{times} x {how}" for how, times in wrong.items())
            print(
                f"{seed.path.name:20} {outcomes['read']:6} {outcomes['refused']:8} {sum(wrong.values()):7} "
                f"{time.monotonic() - started:8.0f}  {how}",
                flush=True,
            )
        print(f"{total} mutations, {failed} failed")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
