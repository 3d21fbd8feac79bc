"""hilbertsd networks: chains of networks, their table, figure and numbers.

Only typer is imported at the top; everything heavy loads once the command runs.
"""

from __future__ import annotations

import dataclasses
import json as _json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilbertsd.cli.experiment import Experiment, described, interrupts_explained, pose
from hilbertsd.cli.options import Output, taking
from hilbertsd.cli.output import chosen_folder, look, show, write_texts
from hilbertsd.errors import HilbertSDError

if TYPE_CHECKING:
    from hilbertsd.cli.experiment import Posed
    from hilbertsd.nets import Curves, NetworkChain

ROUNDS = "rounds"
"""Folder of the checkpoints, beside the results."""


@taking(Experiment)
def networks(
    asked: Experiment,
    rounds: Annotated[int, described("--rounds", "N", "After ordinary training, round 0.")] = 10,
    seeds: Annotated[
        int, described("--seeds", "N", "Independent chains, of seeds 0 to N - 1.")
    ] = 10,
    early_stopping: Annotated[
        bool,
        typer.Option(
            "--early-stopping",
            help="Also train a network from scratch until each round's training loss is reached.",
        ),
    ] = False,
    device: Annotated[
        str, described("--device", "NAME", "cpu, gpu or auto (a gpu where there is one).")
    ] = "auto",
    output: Output = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print the curves as JSON; write files only with --output."),
    ] = False,
) -> None:
    """Train chains of networks, each on what the last one predicts.

    Round 0 learns the given labels, of which some are wrong; round t + 1 learns what round t
    predicts at the training points. Prints training and test accuracy and losses of each round,
    mean and standard deviation over the seeds. Writes table.txt, curves.json, figure.pdf and
    figure.png, and each round to the folder rounds as soon as it is finished: the same command goes
    on from there after Ctrl-C, and so does one with more rounds. A folder holds one chain; for
    another take another --output. Takes the extra nets: pip install 'hilbertsd[nets]'. Without
    arguments: about a minute on two cores.
    """
    from hilbertsd import inputs as check

    # --json writes only with --output
    folder = None if json and output is None else chosen_folder("networks", output)
    check.whole_number("--rounds", rounds, check.MOST_ROUNDS)
    check.whole_number("--seeds", seeds, least=1)
    found = _devices(device)
    posed = pose(asked)
    chain, controls = _trained(posed, rounds, seeds, early_stopping, found, folder)
    heading = posed.heading | {"chains": f"{seeds} seeds, {rounds} rounds after round 0"}
    document = _document(posed, chain, controls, found)
    from hilbertsd.report.networks import text

    if json:
        show(document)
    else:
        show(text(chain.curves, heading, controls, **look()))
    if folder is None:
        return
    table = text(chain.curves, heading, controls)
    written = _write(folder, posed, chain, controls, {"table.txt": table, "curves.json": document})
    if not json:
        show(f"{written}\n")


def _devices(name: str) -> list[Any]:
    """Return the devices of a kind."""
    import jax

    if name not in ("auto", "cpu", "gpu"):
        raise HilbertSDError(f"--device must be cpu, gpu or auto, got {name!r}")
    if name == "auto":
        return jax.devices()
    try:
        return jax.devices(name)
    except RuntimeError:
        here = jax.devices()[0].platform
        raise HilbertSDError(
            f"--device {name}: JAX finds none, it has {here}. Install JAX for it, see "
            "https://docs.jax.dev/en/latest/installation.html, or take --device auto"
        ) from None


def _trained(
    posed: Posed,
    rounds: int,
    seeds: int,
    early_stopping: bool,
    devices: list[Any],
    folder: Path | None,
) -> tuple[NetworkChain, Curves | None]:
    """Train the chains, and the controls if asked for."""
    import jax

    from hilbertsd.nets import early_stopping_controls, train_chain
    from hilbertsd.nets.checkpoint import Folder

    checkpoints = None if folder is None else folder / ROUNDS
    where: dict[str, Any] = {"devices": devices, "progress": True}
    explained = interrupts_explained(checkpoints, "round", lambda found: Folder(found).rounds())
    with jax.default_device(devices[0]), explained:
        chain = train_chain(
            posed.make,
            posed.data,
            posed.settings,
            rounds=rounds,
            seeds=range(seeds),
            folder=checkpoints,
            **where,
        )
        if not early_stopping:
            return chain, None
        return chain, early_stopping_controls(posed.make, posed.data, chain, **where)


def _document(
    posed: Posed, chain: NetworkChain, controls: Curves | None, devices: list[Any]
) -> str:
    """Return everything measured, and what it was measured on, as JSON."""

    def listed(curves: Curves) -> dict[str, Any]:
        return {name: values.tolist() for name, values in curves._asdict().items()}

    document = {
        "format": "hilbertsd-network-curves",
        "version": 1,
        "network": posed.heading["network"],
        "settings": dataclasses.asdict(chain.settings),
        "data": posed.data.settings,
        "seeds": list(chain.seeds),
        "device": devices[0].device_kind,
        "versions": chain.provenance["versions"],
        "axes": ["round", "seed"],
        "curves": listed(chain.curves),
        "early_stopping": None if controls is None else listed(controls),
    }
    return _json.dumps(document, allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def _write(
    folder: Path,
    posed: Posed,
    chain: NetworkChain,
    controls: Curves | None,
    texts: dict[str, str],
) -> str:
    """Write texts and the figure into the folder and return a line that says so."""
    from hilbertsd import plots
    from hilbertsd.report.networks import figure

    names = write_texts(folder, texts)
    drawn = figure(chain.curves, controls, title=posed.title)
    names += [path.name for path in plots.save(drawn, folder / "figure")]
    return f"Written to {folder}: {', '.join(names)}, and the networks of each round in {ROUNDS}"
