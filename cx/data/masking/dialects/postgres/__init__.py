"""Masking: rows are changed by the source's own SELECT, and are never anything else on the previews' server.

`columns` reads what the source has, `checking` holds the rules against it, `expressions` turns them into SQL,
`subset` chooses rows, `personal` finds what has no rule, `moving` lets the rows through, `leaks` looks for what must
not have come.
"""
