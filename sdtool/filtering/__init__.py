"""filter-objaverse: which objects of a collection are usable, by rules, and why."""
