"""Makes a component of handler.py: `python3 -m pelton -o build/orders.wasm [--batch]`, in the project's folder."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from . import _handler
from ._effects import EFFECTS

SDK = Path(__file__).resolve().parents[1]
WIT = SDK.parents[1] / "wit"
# One name for the module of each interface whose own is another's too.
NAMES = {
    "handler": "pelton:handler/types@0.1.0=types",
    "batch": "pelton:handler/types@0.1.0=types",
    "http": "wasi:http/types@0.2.0=http_types",
    "config": "wasi:config/store@0.2.0-rc.1=config_store",
    "state": "wasi:keyvalue/store@0.2.0-draft2=keyvalue_store",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m pelton", description="Makes a component of handler.py.")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the component")
    parser.add_argument("--batch", action="store_true", help="of a function marked with @batch_handler")
    parser.add_argument(
        "--uses",
        metavar="WORDS",
        default=os.environ.get("PELTON_USES", ""),
        help="what the handler does beside its answer, as `pelton build` takes it from handler.toml: http,config,state,outbox,sql",
    )
    given = parser.parse_args()
    uses = given.uses.replace(",", " ").split()
    unknown = [word for word in uses if word not in EFFECTS]
    if unknown:
        parser.error(f"`uses` has the words {', '.join(EFFECTS)}, not {', '.join(unknown)}")
    wrong = look("@batch_handler" if given.batch else "@handler")
    if wrong:
        print(wrong, file=sys.stderr)
        return 1
    Path(given.output).parent.mkdir(parents=True, exist_ok=True)
    return componentize(given.output, "batch" if given.batch else "handler", uses)


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


def componentize(output: str, world: str, uses: list[str]) -> int:
    fresh = f"{output}.{os.getpid()}"
    module = "pelton_batch" if world == "batch" else "pelton_message"
    with tempfile.TemporaryDirectory(prefix="pelton-") as folder:
        command = ["componentize-py", "-d", str(WIT), *target(Path(folder), world, uses)]
        command += ["componentize", "-p", ".", "-p", str(SDK), module, "-o", fresh]
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


def target(folder: Path, world: str, uses: list[str]) -> list[str]:
    """What names the world: the contract's own, or one that adds what the handler uses to it."""
    if not uses:
        return ["-w", world]
    included = [f"pelton:handler/{world}", *(f"pelton:uses/{word}" for word in uses)]
    lines = [f"  include {name}@0.1.0;" for name in included]
    made = folder / "component.wit"
    made.write_text("\n".join(["package pelton:component;", "world component {", *lines, "}"]))
    named = [NAMES[word] for word in [world, *uses] if word in NAMES]
    return ["-d", str(made), "-w", "pelton:component/component", *(f"--import-interface-name={name}" for name in named)]


if __name__ == "__main__":
    sys.exit(main())
