"""A worker of `bucketroute-dataplane --workers N`, as its supervisor starts it; not for users.

    python -P -m bucketroute_dataplane.worker NUMBER LINK LOG_TURN [the supervisor's arguments]

LINK and LOG_TURN are descriptors that it inherits. Its settings are those of the supervisor.
"""

import os
import sys

from bucketroute_dataplane.settings import SettingsError, load_settings
from bucketroute_dataplane.shell.worker import Seat, run_worker


def main() -> None:
    """Exit codes as those of the pod's process."""
    number, link, log_turn = map(int, sys.argv[1:4])
    try:
        settings = load_settings(sys.argv[4:], os.environ)
    except SettingsError as exc:
        print(f"bucketroute-dataplane: {exc}", file=sys.stderr)
        sys.exit(2)
    sys.exit(run_worker(settings, Seat(number=number, link=link, log_turn=log_turn)))


if __name__ == "__main__":
    main()
