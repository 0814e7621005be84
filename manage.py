#!/usr/bin/env python
"""Closer's command line: `manage.py help` lists the commands."""

import os
import sys

NOT_MIGRATED = ("42P01", "42703")  # PostgreSQL: undefined table, undefined column


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, ProgrammingError

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None):
            raise  # the server answered: this is no matter of reaching it
        reason = str(error).strip().splitlines()[0]
        sys.exit(
            f"The database does not answer ({reason}). "
            "Start 'make demo' in another terminal; where Closer has a PostgreSQL of its own, set "
            "DATABASE_URL to it, with the other settings of that installation (docs/running.md)."
        )
    except ProgrammingError as error:
        if getattr(error.__cause__, "sqlstate", None) not in NOT_MIGRATED:
            raise
        reason = str(error).strip().splitlines()[0]
        sys.exit(
            f"The database is not that of this version ({reason}): "
            "'manage.py migrate' first, or restore a backup."
        )
    except BrokenPipeError:  # whoever read our output has stopped reading
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
