"""Intent and history, in one SQLite file; of pull requests too (`deliveries`, `pulls`). What can be observed is not
stored."""

from cx.core.history import Deployment, StepTaken
from cx.store.database import Database
from cx.store.intent import Store

__all__ = ["Database", "Deployment", "StepTaken", "Store"]
