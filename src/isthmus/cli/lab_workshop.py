"""`isthmus lab workshop`: the hands-on course."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from isthmus.cli import render
from isthmus.cli.lab_options import LabName, open_lab
from isthmus.cli.options import Output
from isthmus.cli.render import Format
from isthmus.errors import EXIT_FOUND

app = typer.Typer(
    no_args_is_help=True, help="A course: networks by hand, with Neutron, and broken."
)

Number = Annotated[int, typer.Argument(help="Number of the lesson, or of the broken lab.")]


@app.command("list")
def list_lessons(name: LabName = "lab", output: Output = Format.TABLE) -> None:
    """List the lessons."""
    from isthmus.lab.workshop.course import make_course

    rows = [asdict(one) for one in make_course(open_lab(name).plan)]
    render.print_rows(rows, ("number", "title"), output)
    if output is Format.TABLE:
        render.note("Begin with: isthmus lab workshop show 1")


@app.command()
def show(number: Number, name: LabName = "lab", output: Output = Format.TABLE) -> None:
    """Print a lesson: what to type, why, and what is seen then."""
    from isthmus.lab.workshop.course import find_lesson

    lesson = asdict(find_lesson(open_lab(name).plan, number))
    if output is not Format.TABLE:
        render.print_row(lesson, output)
        return
    _print(lesson)


def _print(lesson: dict[str, Any]) -> None:
    render.print_line(f"{lesson['number']}. {lesson['title']}")
    render.print_line(f"\n{lesson['aim']}")
    for number, step in enumerate(lesson["steps"], start=1):
        render.print_line(f"\n  {number}. {step['why']}")
        for command in step["commands"]:
            render.print_line(f"     $ {command}")
        if step["shows"]:
            render.print_line(f"     shows: {step['shows']}")
    if lesson["away"]:
        render.print_line("\n  Away with it, when you are done:")
        for command in lesson["away"]:
            render.print_line(f"     $ {command}")


@app.command("break")
def break_lab(number: Number, name: LabName = "lab") -> None:
    """Break the lab in one way, for you to find out which."""
    from isthmus.lab.workshop.with_neutron import find_fault

    fault = find_fault(number)
    open_lab(name).break_for_workshop(fault)
    render.note(f"Broken. {fault.symptom} Ask: isthmus why ws-a ws-b icmp")


@app.command()
def answer(
    number: Number,
    code: Annotated[str, typer.Argument(help="The cause, as why or check calls it.")],
) -> None:
    """Tell whether that is the cause; ends with 1 if it is not."""
    from isthmus.lab.workshop.with_neutron import find_fault

    fault = find_fault(number)
    if code.strip().lower() != fault.code:
        render.note("That is not it. What stands first in the answer of isthmus why?")
        raise typer.Exit(EXIT_FOUND)
    render.note(f"That is it. {fault.story} Repair it as the answer says, and see packets pass.")
