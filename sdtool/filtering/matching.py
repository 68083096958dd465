"""Rules applied to hundreds of thousands of records: the inner loop of filter-objaverse.

Each rule is one bit of an integer. Word lists become dictionaries from a raw tag to the bits of the
rules that name it, filled in as tags are met, so that a tag is taken apart once and not per object.
"""

from collections import Counter
from collections.abc import Callable

from sdtool.filtering.rules import (
    FLAGS,
    MEASURED_FLAGS,
    MEASURES,
    NUMBERS,
    WORD,
    Measures,
    Rule,
    number,
    plain,
)
from sdtool.io.objects import ObjectRecord

INFINITE = float("inf")
REMEMBERED = 100_000  # different tags, or words of names


class _Memory(dict):
    """raw text → `find(raw text)`, found once; forgotten when there are too many."""

    def __init__(self, find: Callable):
        self.find = find

    def __missing__(self, text: str):
        if len(self) >= REMEMBERED:
            self.clear()
        self[text] = value = self.find(text)
        return value


class RuleMatcher:
    """Applies rules. `bits(record, …)` says which rules hold of it, `reasons(bits)` what follows."""

    def __init__(self, rules: list[Rule]):
        self.rules = rules
        bit = {rule.name: 1 << index for index, rule in enumerate(rules)}
        every = [(bit[rule.name], rule) for rule in rules]

        def lookup(name: str) -> dict[str, int]:
            bits: Counter[str] = Counter()
            for b, rule in every:
                for word in rule.lists.get(name, ()):
                    bits[word] |= b
            return dict(bits)

        def memory(name: str) -> _Memory:
            bits = lookup(name)
            return _Memory(lambda text: bits.get(plain(text), 0))

        self._tags, self._categories = memory("tags"), memory("categories")
        self._lvis, self._licenses = memory("lvis"), memory("licenses")
        self._uids, self._words = lookup("uids"), lookup("words")
        self._starts = {word[:n] for word in self._words for n in range(1, len(word))}
        self._first = _Memory(self._beginning)
        limits = [(n, v, INFINITE, b) for b, rule in every for n, v in rule.below.items()]
        limits += [(n, -INFINITE, v, b) for b, rule in every for n, v in rule.above.items()]
        flags = [(n, v, b) for b, rule in every for n, v in rule.flags.items()]
        self._limits = [test for test in limits if test[0] in NUMBERS]
        self._restricted, self._in_lvis, self._has_file = (
            tuple(
                sum(b for n, v, b in flags if n == name and v is value) for value in (False, True)
            )
            for name in FLAGS
        )
        self._late_limits = [test for test in limits if test[0] in MEASURES]
        self._late_flags = [test for test in flags if test[0] in MEASURED_FLAGS]
        self._required = self._sum(lambda rule: rule.effect == "require")
        self._required_early = self._sum(lambda r: r.effect == "require" and not r.measured)
        self._keeping = self._sum(lambda rule: rule.effect == "keep")
        self._final = self._sum(lambda rule: rule.is_final)
        self._reasons = _Memory(self._name_reasons)

    def bits(
        self,
        record: ObjectRecord,
        has_file: bool,
        measures: Measures | None = None,
        joined: int = 0,
    ) -> int:
        """The rules that hit, as bits: a "require" rule hits what meets none of its tests.

        measures: what --inspect found, None before; then tests and "require" rules that need it
        hit nothing. joined: the rules that the object's rows in tables meet (`joining.Joined`).
        """
        met = joined | self._licenses[record.license] | self._uids.get(record.uid, 0)
        tags, categories, first = self._tags, self._categories, self._first
        for tag in record.tags:
            met |= tags[tag]
        for category in record.categories:
            met |= categories[category]
        for category in record.lvis:
            met |= self._lvis[category]
        words = WORD.findall(record.name)
        for index, word in enumerate(words):
            if joined := first[word]:
                met |= self._phrases(joined, words[index + 1 :])
        for name, low, high, bit in self._limits:
            value = getattr(record, name)
            if value is not None and not low <= value <= high:
                met |= bit
        met |= self._restricted[record.age_restricted]
        met |= self._in_lvis[bool(record.lvis)] | self._has_file[has_file]
        if measures is None:
            return met ^ self._required_early
        for name, low, high, bit in self._late_limits:
            value = number(record, measures, name)
            if value is not None and not low <= value <= high:
                met |= bit
        for name, wanted, bit in self._late_flags:
            if measures.get(name) is wanted:
                met |= bit
        return met ^ self._required

    def reasons(self, bits: int) -> tuple[str, ...]:
        """The names of the rules that remove an object of these bits; none if it stays."""
        return self._reasons[bits]

    def tally(self, counted: Counter[int]) -> dict[str, tuple[int, int]]:
        """{rule: (how many it removes alone, how many only it removes)} of objects counted by bits.

        Of a "keep" rule: how many it meets, and how many stay for it alone.
        """
        found = {}
        for index, rule in enumerate(self.rules):
            bit = 1 << index
            alone = sum(n for bits, n in counted.items() if bits & bit)
            if rule.effect == "keep":
                only = [b for b in counted if b & bit and not self._out(b) and self._out(b & ~bit)]
            else:
                only = [b for b in counted if self._out(b) == bit]
            found[rule.name] = alone, sum(counted[bits] for bits in only)
        return found

    def _out(self, bits: int) -> int:
        """The rules of `bits` that remove the object, after those that keep it."""
        return bits & (self._final if bits & self._keeping else ~self._keeping)

    def _name_reasons(self, bits: int) -> tuple[str, ...]:
        if not self._out(bits):
            return ()
        out = bits & ~self._keeping
        return tuple(rule.name for index, rule in enumerate(self.rules) if out >> index & 1)

    def _sum(self, chosen: Callable[[Rule], bool]) -> int:
        return sum(1 << index for index, rule in enumerate(self.rules) if chosen(rule))

    def _beginning(self, word: str) -> str:
        """The word as phrases hold it; empty if none begins so."""
        word = word.casefold()
        return word if word in self._words or word in self._starts else ""

    def _phrases(self, joined: str, following: list[str]) -> int:
        """The bits of the phrases that are `joined` and some words after it."""
        met = self._words.get(joined, 0)
        for word in following:
            if joined not in self._starts:
                break
            joined += word.casefold()
            met |= self._words.get(joined, 0)
        return met
