"""Commands that list sites, tasks and config keys, and check the installation or a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from inversescope.cli.answers import print_answers
from inversescope.cli.cluster import ClusterAddress
from inversescope.cli.json_lines import AsJson, print_lines
from inversescope.cli.shared import app, screen
from inversescope.errors import UserError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from inversescope.subject import Subject


@app.command()
def sites(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Model: `smollm2`, a name on the Hugging Face hub, or a folder.")
    ],
    select: Annotated[
        str, typer.Option("--select", help="Print only these sites, such as `z.*.*`, one address a line.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List the sites of a model.

    Example: `inversescope sites smollm2 --select "z.*.*"`
    """
    from inversescope.cli.tables.looking import sites_table
    from inversescope.sites import every, require_addresses
    from inversescope.subject import Subject

    wanted = select.split(",") if select else []
    require_addresses(wanted)
    subject = Subject.load(model)
    if as_json:
        print_lines(
            {"site": str(site), "point": site.point, "layer": site.layer, "head": site.head}
            | {"coordinates": subject.dimension(site)}
            for site in subject.sites(wanted or map(every, subject.points))
        )
    elif wanted:
        typer.echo("\n".join(str(site) for site in subject.sites(wanted)))
    else:
        print_answers(sites_table(subject.name, subject.shape, subject.points))


@app.command()
def tasks(
    name: Annotated[str | None, typer.Argument(metavar="TASK", help="Task whose config keys are printed.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the tasks, which define the inputs. With TASK: print the config keys of one task.

    Example: `inversescope tasks ioi`
    """
    from inversescope.cli.tables.looking import summary, task_table, tasks_table
    from inversescope.tasks import entries

    registered = entries()
    if name is not None and name not in registered:
        raise UserError("there is no such task", given=name, allowed=", ".join(registered))
    if as_json and name is not None:
        print_lines(_keys("task", registered[name].config))
    elif as_json:
        print_lines({"task": each, "summary": summary(entry)} for each, entry in registered.items())
    else:
        shown = tasks_table(registered.values()) if name is None else task_table(registered[name])
        print_answers(shown)


def _keys(section: str, model: type[BaseModel]) -> Iterator[dict[str, str]]:
    """The keys of a section of a config, each with its default as it is written there."""
    from inversescope.config import keys

    return (
        {"section": section, "key": key, "default": default, "meaning": meaning}
        for key, default, meaning in keys(model)
    )


@app.command()
def doctor(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="Model: `smollm2`, a name on the Hugging Face hub, or a folder."),
    ] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="Number format: auto, float32, bfloat16 or float16.")] = "auto",
    device: Annotated[
        str, typer.Option("--device", help="Device: auto, cpu, cuda, cuda:N, or all (layers spread over all GPUs).")
    ] = "auto",
    bits: Annotated[
        int | None, typer.Option("--bits", help="Bits to which each weight is rounded, 8 or 4; default: not rounded.")
    ] = None,
    attention: Annotated[
        str | None,
        typer.Option("--attention", help="Attention kernel: sdpa, eager, flash_attention_2 or flex_attention."),
    ] = None,
    cluster: ClusterAddress = None,
    storage: Annotated[
        Path | None,
        typer.Option("--storage", help="With --cluster: the folder of the runs, which every node must see."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the installation, the device and the bundled model; print how to install what is missing.

    With MODEL: load the model and check by its own numbers that each site name refers to the right activation, and that
    a batch changes no input. A check cannot tell where no input changed enough; its points are offered all the same.
    Exit code 1 if a check fails.

    With --cluster: compare the nodes of a cluster, which must be alike.

    Examples: `inversescope doctor`, `inversescope doctor smollm2`
    """
    if cluster is not None:
        _compare_nodes(cluster, storage, as_json)
        return
    if model is not None:
        _examine(model, as_json, dtype=dtype, device=device, bits=bits, attention=attention)
        return
    from inversescope.cli.tables.looking import doctor_table
    from inversescope.plan.doctor import examine

    checks = examine()
    if as_json:
        print_lines(map(vars, checks))
    else:
        print_answers(doctor_table(checks))
    if any(check.ok is False for check in checks):
        raise typer.Exit(2)


def _compare_nodes(address: str, storage: Path | None, as_json: bool) -> None:
    from inversescope.cli.tables.looking import nodes_table

    if storage is not None and not storage.is_dir():
        raise UserError("there is no such folder", given=storage, allowed="a folder that every node sees")
    with screen.status(f"connecting to {address}"):
        from inversescope.cluster.address import connected
        from inversescope.cluster.nodes import compare, nodes_of_cluster

        with connected(address, 1):
            compared = compare(nodes_of_cluster(storage))
    if as_json:
        print_lines(map(vars, compared))
    else:
        print_answers(nodes_table(compared))
    if not all(fact.ok for fact in compared):
        raise typer.Exit(1)


def _examine(model: str, as_json: bool, *, dtype: str, device: str, bits: int | None, attention: str | None) -> None:
    with screen.status("loading the model"):
        from inversescope.cli.tables.looking import site_checks_table
        from inversescope.subject import Subject
        from inversescope.subject.site_checks import drift, examine

        subject = Subject.load(model, dtype=dtype, device=device, bits=bits, attention=attention)
    with screen.status("examining it"):
        rounding = drift(subject)
        checks = (*examine(subject), *([] if rounding is None else [rounding]))
    if as_json:
        print_lines(vars(check) | {"ok": check.ok} for check in checks)
        print_lines([{"name": "every input starts with (subject.prefix)", "tokens": subject.prefix}])
    else:
        print_answers(site_checks_table(subject.name, checks))
        _show_prefix(subject)
    if any(check.ok is False for check in checks):
        raise typer.Exit(1)


def _show_prefix(subject: Subject) -> None:
    try:
        tokenizer = subject.tokenizer
        first = " ".join(f"{tokenizer.show([token])} ({token})" for token in subject.prefix)
    except UserError as error:
        typer.echo(str(error))
        first = " ".join(map(str, subject.prefix))
    origin = "as the model's own tokenizer does; a config can set it (subject.prefix)"
    print_answers(Text(f"every input starts with: {first or 'nothing'}, {origin}"))


@app.command()
def config(
    section: Annotated[
        str | None, typer.Argument(metavar="SECTION", help="Section, such as `train`; default: all sections.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the keys of a config, with defaults and meanings. For the keys of a task: `inversescope tasks TASK`.

    Example: `inversescope config train`
    """
    from inversescope.cli.tables.looking import keys_table
    from inversescope.config import sections

    models = sections()
    if section is not None and section not in models:
        raise UserError("there is no such section", given=section, allowed=", ".join(models))
    chosen = models if section is None else {section: models[section]}
    if as_json:
        print_lines(row for name, model in chosen.items() for row in _keys(name, model))
        return
    print_answers(*(keys_table(name, model) for name, model in chosen.items()))
