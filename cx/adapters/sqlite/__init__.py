"""Intent and history, in one SQLite file; of pull requests too (`deliveries`, `pulls`). What can be observed is not
stored."""

from cx.adapters.sqlite.database import Database
from cx.adapters.sqlite.intent import Deployment, StepTaken, Store

__all__ = ["Database", "Deployment", "StepTaken", "Store"]
