"""Objects that failed since a file could not be opened: a finished stage tries them again once it can be."""

import sys
from collections.abc import Callable, Iterator

from sdtool.io.failures import FAILURES, can_be_opened, error_of
from sdtool.io.files import atomic_path, read_jsonl
from sdtool.io.ledger import Ledger
from sdtool.io.objects import ObjectRecord
from sdtool.io.stage_record import StageRecord
from sdtool.io.words import counted


def tried_again(record: StageRecord, before: Callable[[], None] = lambda: None) -> bool:
    """Whether a finished stage goes on, as files that it could not open can be opened now; says so.

    before: called first, when the directory is this process's.
    """
    failures = record.out / FAILURES
    count = sum(map(can_be_opened, read_jsonl(failures))) if failures.is_file() else 0
    if not count:
        return False
    record.hold()
    before()
    record.reopen()
    said = f"{counted(count, 'object')} of which a file could not be opened before, and now can be"
    print(f"tried again: {said}; the others stay as they are", file=sys.stderr)
    return True


def tried_again_by_ledger(
    record: StageRecord,
    ledger: str,
    results: str,
    items: Callable[[], Iterator[tuple[int, ObjectRecord]]],
) -> bool:
    """The same of a stage that works by a ledger of this name: it is written again, of its results (the name
    of their file) and failures. items: (place in the listing, record) of every object."""

    def restore() -> None:
        places = {item.uid: index for index, item in items()}
        with atomic_path(record.out / ledger) as temporary:
            temporary.unlink(missing_ok=True)
            made = Ledger(temporary)
            with made.gathering():
                for name in (results, FAILURES):
                    for line in read_jsonl(record.out / name):
                        made.add_line(places[line["uid"]], line["uid"], error_of(line) or line)
            made.close()

    return tried_again(record, restore)
