"""How the jobs of a sweep are listed."""

from collections.abc import Mapping, Sequence

from rich.text import Text

from composer.cli.console import Console, print_table
from composer.loading import Job

NUMBERS = ("job", "parameters", "best")


def print_jobs(
    console: Console,
    jobs: Sequence[Job],
    cells: Mapping[int, Sequence[str | Text]],
    titles: Sequence[str],
) -> None:
    """A row for each job that has cells: its number, what varies, and the cells.

    Args:
        console: Where to.
        jobs: All jobs of the sweep.
        cells: The further cells by the job's number.
        titles: Theirs.
    """
    keys = dict.fromkeys(word.partition("=")[0] for job in jobs for word in job.varied)
    rows = []
    for number, row in cells.items():
        values = dict(word.split("=", 1) for word in jobs[number].varied)
        rows.append((str(number), *(values.get(key, "") for key in keys), *row))
    print_table(console, ("job", *keys, *titles), rows, numbers=NUMBERS)
