"""Finds the current org and app of a command: by an option, a variable, or else the project file."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn

import typer

from almond_client.cli.arguments import project_file
from almond_client.cli.arguments.project_file import Project
from almond_client.cli.output import console
from almond_client.cli.output.failures import Failure, explained

_KEY: Final = "almond.project"


def org(context: typer.Context, given: str | None) -> str | None:
    """Return the org of an option or variable, or else that of the project file, or None."""
    if given is not None or context.resilient_parsing:
        return given
    project = _project(context)
    return None if project is None else project.org


def app(context: typer.Context, given: str | None) -> str | None:
    """Return the app of an option or variable, or else that of the project file, or None.

    The file's app is in the file's org: it is not taken if another org was given.
    """
    if given is not None or context.resilient_parsing:
        return given
    project = _project(context)
    if project is None or project.org not in {None, context.params.get("org")}:
        return None
    return project.app


def required_org(context: typer.Context, given: str | None) -> str | None:
    """Return the current org; ends the command if there is none."""
    found = org(context, given)
    if found is None and not context.resilient_parsing:
        _end("which org?", "--org ORG", "ALMOND_ORG")
    return found


def required_app(context: typer.Context, given: str | None) -> str | None:
    """Return the current app; ends the command if there is none."""
    found = app(context, given)
    if found is None and not context.resilient_parsing:
        project = _project(context)
        has_other = project is not None and project.app is not None
        why = f" That of {project_file.NAME} is in another org." if has_other else ""
        _end(f"which app?{why}", "--app APP", "ALMOND_APP")
    return found


def _end(question: str, option: str, variable: str) -> NoReturn:
    with explained():
        raise Failure.usage(question, f"give {option}, set {variable}, or write {project_file.NAME}")
    raise AssertionError


def _project(context: typer.Context) -> Project | None:
    """Return the project, read once for a command, and say on standard error what it names."""
    if _KEY not in context.meta:
        with explained():
            context.meta[_KEY] = project = _read()
        if project is not None:
            console.err().print(console.clean(f"from {project}"), style="dim")
    found: Project | None = context.meta[_KEY]
    return found


def _read() -> Project | None:
    try:
        directory = Path.cwd()
    except OSError:
        # The working directory was deleted.
        return None
    try:
        home = Path.home().resolve()
    except (OSError, RuntimeError):
        # The user has neither HOME nor a passwd entry.
        home = None
    path = project_file.find(directory, home)
    return None if path is None else project_file.read(path)
