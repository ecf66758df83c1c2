"""``lead-scoring``: everything the DAGs do, without Airflow.

Every command prints for people, or with ``--json`` one machine-readable object on stdout. Exit status: 0 done, 1 a
check said no, 2 bad input, 130 and 143 stopped by SIGINT and SIGTERM. An error is one line on stderr that names the
field, the value and what to do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lead_scoring.cli.process import Stopped, scratch_folder, stopping
from lead_scoring.errors import LeadScoringError, exhausted


def parser() -> argparse.ArgumentParser:
    from lead_scoring.cli import catalog, data, models, operations, registry, scores, sync
    from lead_scoring.cli.examples import show_examples

    top = argparse.ArgumentParser(prog="lead-scoring", description="Lead scores from the warehouse to Salesforce.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in (data, catalog, models, registry, scores, sync, operations):
        group.add_commands(commands)
    show_examples(top)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        options = parser().parse_args(arguments)
        with stopping(), scratch_folder():
            return int(options.call(options) or 0)
    except Stopped as stopped:
        print(f"stopped by {stopped.name}; run the command again, it finds what is finished", file=sys.stderr)
        return stopped.exit_code
    except LeadScoringError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader of our output closed it, as `head` does
        sys.stderr.close()
        return 0
    except (OSError, MemoryError) as error:
        if ran_out := exhausted(error):
            print(f"error: {ran_out}", file=sys.stderr)
            return ran_out.exit_code
        if isinstance(error, MemoryError):
            raise
        print(f"error: {error.filename or 'file'}: {error.strerror or error}; check path and rights", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
