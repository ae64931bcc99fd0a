"""What holds for every tier of tests: Hypothesis finds the same examples on each run, and few.

`scripts/test` takes the profile `whole`. More examples, and others: `pytest --hypothesis-profile=thorough`.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from examples import WHOLE

same: dict[str, object] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("quick", max_examples=6, derandomize=True, database=None, **same)
settings.register_profile("whole", max_examples=WHOLE, derandomize=True, database=None, **same)
settings.register_profile("thorough", max_examples=2000, **same)
settings.load_profile("quick")
