"""How the jobs of a sweep are listed."""

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from composer.loading import Job


def jobs_table(
    jobs: Sequence[Job], cells: Mapping[int, Sequence[str]], titles: Sequence[str]
) -> Table:
    """A row for each job that has cells: its number, what varies, and the cells.

    Args:
        jobs: All jobs of the sweep.
        cells: The further cells by the job's number, in Rich's markup.
        titles: Theirs.
    """
    keys = dict.fromkeys(word.partition("=")[0] for job in jobs for word in job.varied)
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("job", justify="right")
    for key in keys:
        table.add_column(key, overflow="fold", max_width=40)
    for title in titles:
        table.add_column(title, no_wrap=True)
    for number, row in cells.items():
        values = dict(word.split("=", 1) for word in jobs[number].varied)
        table.add_row(str(number), *(escape(values.get(key, "")) for key in keys), *row)
    return table
