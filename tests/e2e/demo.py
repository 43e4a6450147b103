"""The demo of `make demo`: every step of the README against a service of its own.

It prints each step with its decision, and exits 0 only if every decision is right.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from e2e.service import DevService
from support import leftovers

console = Console(highlight=False, soft_wrap=True)


class Demo:
    """Runs and prints the steps, and counts those with a wrong result."""

    def __init__(self, service: DevService) -> None:
        self.service = service
        self.wrong = 0

    def verify(self, about: str, token: str, app: str, action: str, expected: str) -> None:
        """Verify a token, and compare the decision with the right one: ALLOWED or a reason."""
        words = ["tokens", "verify", "-t", "-", "--org", "acme", "--app", app, "--action", action, "--json"]
        ran = self.service.almond(*words, stdin=token)
        try:
            answer = json.loads(ran.out)
            reasons = [denial["reason"].removeprefix("DENIAL_REASON_") for denial in answer["denials"]]
            decision = "ALLOWED" if answer["allowed"] is True and ran.code == 0 else " ".join(reasons)
            sentence = answer["denials"][0]["sentence"] if answer["denials"] else ""
        except (ValueError, KeyError):
            decision, sentence = f"no decision (exit {ran.code})", ran.err.strip()
        right = decision == expected
        self.wrong += not right
        colour = "green" if decision == "ALLOWED" else "red"
        mark = "" if right else f"   [bold]WRONG, expected {expected}[/bold]"
        console.print(f"  {about}: [{colour}]{decision}[/{colour}]{mark}")
        if sentence:
            console.print(f"    {sentence}", style="dim", markup=False)

    def run(self, about: str, *words: str, stdin: str = "") -> str:
        """Run a command that must succeed; returns what it printed."""
        console.print(f"\n[bold]{about}[/bold]\n  $ almond {' '.join(words)}")
        ran = self.service.almond(*words, stdin=stdin)
        if ran.code != 0:
            self.wrong += 1
            console.print(f"  failed with exit {ran.code}: {ran.err.strip()}", style="red", markup=False)
        return ran.out.strip()


def run_demo(service: DevService) -> int:
    """Run all steps; returns how many had a wrong result."""
    demo = Demo(service)
    deploy = demo.run("Mint a deploy token", "tokens", "create", "deploy", "--org", "acme", "--app", "web")
    demo.verify("write the app web", deploy, "web", "w", "ALLOWED")
    demo.verify("write another app", deploy, "api", "w", "WRONG_OBJECT")
    demo.verify("the same token, cut off on paste", deploy[:-9], "web", "w", "TRUNCATED")
    words = ("tokens", "attenuate", "-t", "-", "--read-only")
    narrow = demo.run("Narrow it to reading, offline", *words, stdin=deploy)
    demo.verify("read the app web", narrow, "web", "r", "ALLOWED")
    demo.verify("write the app web", narrow, "web", "w", "ACTION")
    demo.run("Revoke the narrowed token alone", "tokens", "revoke", "--token", "-", stdin=narrow)
    demo.verify("read with the narrowed one", narrow, "web", "r", "REVOKED")
    demo.verify("write with its parent", deploy, "web", "w", "ALLOWED")
    listed = demo.run("List what is there", "tokens", "list", "--org", "acme", "--json")
    token_id = _first_id(listed)
    demo.run("Revoke the deploy token by its id", "tokens", "revoke", token_id)
    demo.verify("write the app web", deploy, "web", "w", "REVOKED")
    return demo.wrong


def _first_id(listed: str) -> str:
    try:
        return str(json.loads(listed)[0]["id"])
    except (ValueError, LookupError, TypeError):
        return "not-listed"


def main() -> None:
    """Run the demo."""
    temporary = leftovers.temporary_directory("demo")
    with temporary as directory, DevService(directory / "data", is_program=True) as service:
        wrong = run_demo(service)
    if wrong:
        console.print(f"\n[bold red]{wrong} steps came out wrong.[/bold red]")
        sys.exit(1)
    console.print("\n[bold green]Every decision was the right one.[/bold green]")


if __name__ == "__main__":
    main()
