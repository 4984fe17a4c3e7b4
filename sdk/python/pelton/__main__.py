"""Makes a component of handler.py: `python3 -m pelton -o build/orders.wasm [--batch]`, in the project's folder."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import traceback
from pathlib import Path

from . import _handler

SDK = Path(__file__).resolve().parents[1]
WIT = SDK.parents[1] / "wit"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m pelton", description="Makes a component of handler.py.")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the component")
    parser.add_argument("--batch", action="store_true", help="of a function marked with @batch_handler")
    given = parser.parse_args()
    wrong = look("@batch_handler" if given.batch else "@handler")
    if wrong:
        print(wrong, file=sys.stderr)
        return 1
    Path(given.output).parent.mkdir(parents=True, exist_ok=True)
    return componentize(given.output, "batch" if given.batch else "handler")


def look(decorator: str) -> str | None:
    """What is wrong with handler.py, found here and now: inside a component it would be told less clearly."""
    sys.path.insert(0, os.getcwd())
    try:
        import handler as _  # noqa: F401
    except Exception as error:
        trace = error.__traceback__ and error.__traceback__.tb_next
        while trace and "importlib" in trace.tb_frame.f_code.co_filename:
            trace = trace.tb_next
        text = "".join(traceback.format_exception(type(error), error, trace)).rstrip()
        return f"{text}\n\nhandler.py cannot be imported: see above"
    return _handler.misses(decorator)


def componentize(output: str, world: str) -> int:
    fresh = f"{output}.{os.getpid()}"
    module = "pelton_batch" if world == "batch" else "pelton_message"
    command = ["componentize-py", "-d", str(WIT), "-w", world, "componentize", "-p", ".", "-p", str(SDK), module, "-o", fresh]
    done = subprocess.run(
        command, env=os.environ | {"RUST_BACKTRACE": "0"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode == 0:
        # Renamed into place: whoever reads it meanwhile sees the old bytes or the new.
        os.replace(fresh, output)
    else:
        print(done.stdout.rstrip(), file=sys.stderr)
        Path(fresh).unlink(missing_ok=True)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
